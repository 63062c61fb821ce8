"""A survey knows each event that it has met, as the store does, whether it was written to its table already or not."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.history import noted, surveyed_events
from flybridge.history.progress import Progress
from flybridge.store.core.occurrences import Occurrences

KEYS = st.sampled_from([b"a", b"b", b"c"])
MARKS = st.tuples(KEYS, st.none(), st.integers(1, 4)) | st.tuples(KEYS, st.integers(0, 3), st.just(0))
SECONDS = st.tuples(st.integers(0, 30).map(bytes), st.none(), st.integers(1, 2))
BITS = st.sampled_from([8, 64, 1 << 12])


@given(st.lists(st.lists(MARKS, max_size=6) | st.lists(SECONDS, max_size=6), max_size=20), st.integers(1, 9), BITS)
def test_an_event_is_met_again_when_the_store_says_so(pages, together, bits):
    """However many are written together, and however many share a bit."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(surveyed_events, "NOTED", together)
        patch.setattr(noted, "BITS", bits)
        kept = defaultdict[bytes, Occurrences](Occurrences)
        with closing(Progress(Path(place) / "imports.db")) as progress:
            for page in pages:
                expected = []
                for key, ms, ordinal in page:
                    # The rows of a file come in the order of their ordinals.
                    next_one = 1 + max((-mark for mark in kept[key].marks if mark < 0), default=0)
                    counted = min(ordinal, next_one) if ms is None else 0
                    expected.append((key, ms, counted, not kept[key].take(ms, counted)))
                marks = [(key, ms, ordinal) for key, ms, ordinal, _ in expected]
                assert progress.surveyed.are_met(marks, {}) == [again for *_, again in expected]


MOMENTS = st.tuples(KEYS, st.none() | KEYS).filter(lambda row: row[0] != row[1])


@given(st.lists(st.lists(MOMENTS, max_size=6), max_size=20), st.integers(1, 9), BITS)
def test_an_event_with_two_moments_is_met_again_by_either(pages, together, bits):
    """Whichever of them the other row has."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(surveyed_events, "NOTED", together)
        patch.setattr(noted, "BITS", bits)
        met = set()
        with closing(Progress(Path(place) / "imports.db")) as progress:
            for page in pages:
                expected = []
                for row in page:
                    expected.append(not met.isdisjoint(row))
                    met.update(key for key in row if key is not None)
                others = {at: (other, None, 1) for at, (_, other) in enumerate(page) if other is not None}
                assert progress.surveyed.are_met([(key, None, 1) for key, _ in page], others) == expected
