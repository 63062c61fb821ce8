"""What was pushed too long ago to be recognised is not read, and the rest is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.appsflyer.raw_pull import DAY_S, PullWindow
from flybridge.history.live_days import NOTHING, Forgotten
from flybridge.records import DAY_MS, HOUR_MS, day_of

FIRST = 20_000
"""A day since 1970."""
seconds = st.integers(FIRST * DAY_S, (FIRST + 12) * DAY_S) | st.integers(FIRST, FIRST + 12).map(lambda n: n * DAY_S)
forgotten = st.builds(
    Forgotten,
    st.frozensets(st.integers(FIRST, FIRST + 12).map(lambda n: day_of(n * DAY_MS))),
    st.integers(FIRST * DAY_MS, (FIRST + 12) * DAY_MS),
)


@given(forgotten, seconds, seconds, st.lists(seconds, max_size=30))
def test_a_window_keeps_exactly_what_is_recognised(gone, one, other, moments):
    """In order, without a part that is empty or that overlaps another, and whole days stay in one part."""
    window = PullWindow(min(one, other), max(one, other))
    parts = gone.without(window)
    assert all(part.begin_s < part.end_s for part in parts)
    assert all(before.end_s < after.begin_s for before, after in pairwise(parts))
    edges = [at + more for part in parts for at in (part.begin_s, part.end_s) for more in (-1, 0)]
    for at in (*moments, *edges, window.begin_s, window.end_s - 1):
        if window.begin_s <= at < window.end_s:
            assert any(part.begin_s <= at < part.end_s for part in parts) is not gone.holds(at * 1000), at
        else:
            assert not any(part.begin_s <= at < part.end_s for part in parts)
    assert NOTHING.without(window) == ([window] if one != other else [])


@pytest.mark.parametrize(
    ("hours_ago", "processed_days_ago", "is_held"),
    [
        (24 * 9, None, True),
        (24 * 9, 1, True),
        (24 * 6 + 1, None, True),
        (24 * 6 - 1, None, False),  # its key is still there
        (24 * 12, None, False),  # nothing was pushed on that day
        (24 * 12, 11, False),  # nor on that
        (24 * 11, None, True),  # it may have been pushed on the next
        (24 * 12, 9, True),  # it came late, and was pushed then
        (24 * 12, 5, False),  # it came so late that its key is still there
    ],
)
def test_an_event_is_forgotten_by_the_days_on_which_was_pushed(hours_ago, processed_days_ago, is_held):
    """What happened while nothing was received is read, however old."""
    now_ms = FIRST * DAY_MS + 11 * HOUR_MS
    gone = Forgotten(frozenset(day_of(now_ms - n * DAY_MS) for n in range(11)), now_ms - 6 * DAY_MS)
    processed = "" if processed_days_ago is None else day_of(now_ms - processed_days_ago * DAY_MS)
    assert gone.holds(now_ms - hours_ago * HOUR_MS, processed) is is_held
