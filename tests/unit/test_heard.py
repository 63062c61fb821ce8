"""When an app is silent for longer than usual, and who is refused at the endpoints."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.errors import InboxUnavailable, StoreUnavailable
from flybridge.insight.heard import (
    GONE_DAYS,
    KEPT_DAYS,
    RECENT_MS,
    STEADY_MS,
    Heard,
    read_heard,
    refused_sentence,
    silence_sentence,
    together,
    write_heard,
)
from flybridge.operations.doctor import listening
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.telemetry.door_counts import DoorCounts
from flybridge.telemetry.hearing import UNWRITTEN_MS, Hearing
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_800_000_000_000


class States:
    """A store of named values."""

    def __init__(self):
        self.values = {}

    async def put_state(self, name, value):
        self.values[name] = value

    async def states(self, beginning):
        return [(name, value) for name, value in sorted(self.values.items()) if name.startswith(beginning)]

    async def drop_states(self, names):
        for name in names:
            self.values.pop(name, None)


def regular(days, every_ms=10 * 60_000, *, last_ms=NOW_MS, outage=None):
    """Return what is known of an app that sends at these intervals, but for five hours so many days ago."""
    heard = Heard("shop", "push")
    at = last_ms - days * DAY_MS
    while at <= last_ms:
        if outage is None or not 0 < at - (last_ms - outage * DAY_MS) < 5 * HOUR_MS:
            heard.hear(at)
        at += every_ms
    heard.hear(last_ms)
    return heard


@pytest.mark.parametrize(
    ("heard", "after_ms", "is_silent"),
    [
        (regular(10), 30 * 60_000, False),  # no silence below an hour is worth a word
        (regular(10), 2 * HOUR_MS, True),
        (regular(10, 2 * HOUR_MS), 3 * HOUR_MS, False),
        (regular(10, 2 * HOUR_MS), 5 * HOUR_MS, True),
        (regular(10, outage=5), 2 * HOUR_MS, True),  # one outage does not hide the next
        (regular(1), 5 * HOUR_MS, False),  # nothing is usual yet
        (regular(10), (GONE_DAYS + 1) * DAY_MS, False),  # nobody expects it any more
        (Heard("shop", "push"), 5 * HOUR_MS, False),
        (Heard("shop", "file", NOW_MS, regular(10).gaps), 5 * HOUR_MS, False),  # files come when somebody brings them
    ],
)
def test_a_silence_is_longer_than_usual_or_not(heard, after_ms, is_silent):
    """By the days before, and never by one of them alone."""
    assert bool(heard.silent_ms(NOW_MS + after_ms)) is is_silent


@given(st.lists(st.integers(0, 40 * DAY_MS), min_size=1, max_size=60))
def test_messages_may_come_in_any_order(offsets):
    """The last is the latest, no gap is negative, and only some days are kept."""
    heard = Heard("shop", "push")
    for offset in offsets:
        heard.hear(NOW_MS + offset)
    assert heard.last_ms == NOW_MS + max(offsets)
    assert all(gap > 0 for gap in heard.gaps.values())
    assert len(heard.gaps) <= KEPT_DAYS + 1


def test_two_processes_that_share_the_messages_are_one_app():
    """Each has longer silences than both together."""
    often, seldom = regular(10, 10 * 60_000), regular(10, 3 * HOUR_MS, last_ms=NOW_MS - HOUR_MS)
    seldom.refuse(401, 2, NOW_MS)
    often.refuse(401, 1, NOW_MS - 5)
    (found,) = together([seldom, often])
    assert found.last_ms == NOW_MS
    assert found.usual_ms <= often.usual_ms
    assert (found.refused[401].n, found.refused[401].last_ms) == (3, NOW_MS)


def test_a_refusal_is_worth_a_warning_for_an_hour():
    """A wrong token or address is; a body that is too large is the sender's business."""
    heard = Heard("shop", "push")
    heard.refuse(401, 3, NOW_MS)
    heard.refuse(413, 3, NOW_MS)
    assert list(heard.wrong(NOW_MS + RECENT_MS - 1)) == [401]
    assert not heard.wrong(NOW_MS + RECENT_MS)


def test_sentences_say_who_and_what_to_do():
    """Their remedy is one command."""
    heard = regular(10)
    assert "AppsFlyer" in silence_sentence(heard, 5 * HOUR_MS)
    assert "wrong token" in refused_sentence(heard, 401, 2)
    assert "flybridge setup" in refused_sentence(Heard("", ""), 404, 1)
    checks = listening([heard], NOW_MS + 5 * HOUR_MS)
    assert [check.warning for check in checks] == [True]
    heard.refuse(401, 1, NOW_MS)
    assert [check.ok for check in listening([heard], NOW_MS)] == [False]
    assert listening([], NOW_MS)[0].ok


def unstored(n=3, *, at_ms=NOW_MS, problem="The stream is full."):
    """Return what is known of an app whose messages the inbox has refused."""
    heard = Heard("shop", "push", problem=problem)
    heard.refuse(503, n, at_ms)
    return heard


def test_what_was_noted_while_the_clock_was_ahead_is_taken_back():
    """Else an app would not be silent, a refusal would last, and an inbox that refuses would look well for a month."""
    heard = unstored()
    heard.refuse(401, 1, NOW_MS)
    heard.hear(NOW_MS - 1)
    assert not heard.believe(NOW_MS)
    ahead_ms = NOW_MS + 32 * DAY_MS
    heard.hear(ahead_ms)
    heard.refuse(401, 1, ahead_ms)
    assert heard.unstored(NOW_MS) == 0
    assert heard.believe(NOW_MS)
    assert (heard.last_ms, heard.unstored(NOW_MS)) == (NOW_MS, 3)
    assert list(heard.gaps) == []
    assert heard.wrong(NOW_MS + RECENT_MS - 1)
    assert not heard.wrong(NOW_MS + RECENT_MS)


@pytest.mark.parametrize(
    ("heard_ms", "after_ms", "n"),
    [
        (0, 0, 3),
        (NOW_MS, 0, 3),
        (NOW_MS + STEADY_MS, STEADY_MS, 3),  # some are stored, others are not
        (NOW_MS + STEADY_MS + 1, STEADY_MS + 1, 0),
        (0, RECENT_MS - 1, 3),
        (0, RECENT_MS, 0),
    ],
)
def test_messages_that_the_inbox_refuses_are_said_until_it_stores_again(heard_ms, after_ms, n):
    """Or until nothing was sent for long."""
    heard = unstored()
    if heard_ms:
        heard.hear(heard_ms)
    assert heard.unstored(NOW_MS + after_ms) == n
    failing = [check for check in listening([heard], NOW_MS + after_ms) if not check.ok]
    assert [("3 requests" in check.detail, "The stream is full." in check.detail) for check in failing] == [
        (True, True)
    ] * bool(n)


def test_the_last_reason_of_all_processes_counts():
    """And how many each has refused."""
    (found,) = together([unstored(2, problem="New."), unstored(5, at_ms=NOW_MS - 5, problem="Old.")])
    assert (found.unstored(NOW_MS), found.problem) == (7, "New.")
    assert unstored(problem="").unstored(NOW_MS) == 0


async def test_what_was_usual_survives_a_restart():
    """A new process goes on from the notes of the one before, and counts refusals from its own beginning."""
    store, clock, halt = States(), ManualClock(NOW_MS), asyncio.Event()
    before = regular(10, last_ms=NOW_MS - HOUR_MS)
    await write_heard(store, "alone", [before], NOW_MS)
    counts = DoorCounts("shop", "push")
    counts.refuse(401)
    hearing = Hearing([counts], "alone")
    envelope = SimpleNamespace(app="shop", source="push", received_ms=NOW_MS)
    hearing.filed([SimpleNamespace(envelope=envelope)])
    halt.set()
    await hearing.run(store, clock, halt, failed=lambda problem: pytest.fail(str(problem)))
    (found,) = await read_heard(store)
    assert found.last_ms == NOW_MS
    assert len(found.gaps) >= 10
    assert found.refused[401].n == 1


async def noted(store, process, n=1, *, hears=True, now_ms=NOW_MS):
    """Run a process that refuses so many requests, and ends."""
    counts, halt = DoorCounts("shop", "push"), asyncio.Event()
    for _ in range(n):
        counts.refuse(401)
    halt.set()
    hearing = Hearing([counts], process, hears=hears)
    await hearing.run(store, ManualClock(now_ms), halt, failed=lambda problem: pytest.fail(str(problem)))


async def test_each_refusal_is_counted_once_however_many_processes_begin():
    """What another process has noted stays its own; its own are gone on with, if they are of late."""
    store = States()
    for process in ("a", "b", "alone", "c", "alone"):
        await noted(store, process)
    await noted(store, "intake-1", 3, hears=False)
    (found,) = await read_heard(store)
    assert found.refused[401].n == 8
    await noted(store, "alone", now_ms=NOW_MS + RECENT_MS)
    (found,) = await read_heard(store, of="alone")
    assert found.refused[401].n == 1


async def test_notes_of_processes_that_are_long_gone_are_deleted():
    """Workers of a cluster have a new name at each start."""
    store = States()
    await write_heard(store, "old", [regular(3, last_ms=NOW_MS - (GONE_DAYS + 1) * DAY_MS)], NOW_MS)
    await write_heard(store, "new", [regular(3)], NOW_MS)
    assert list(store.values) == ["heard/new"]
    store.values["heard/odd"] = b"[1]"
    assert len(await read_heard(store)) == 1


async def test_what_can_not_be_noted_is_known_to_the_process_itself():
    """A full disk takes no notes of what it refuses. Those of other processes are read all the same."""
    store, count = States(), DoorCounts("shop", "push")
    await write_heard(store, "another", [Heard("shop", "push", NOW_MS - 5)], NOW_MS)
    await write_heard(store, "alone", [Heard("shop", "stream", NOW_MS - 9)], NOW_MS)
    hearing = Hearing([count], "alone")
    count.problem = "The disk is full."
    count.refuse(503)
    hearing.look(NOW_MS)
    (found,) = await hearing.read(store)
    assert (found.last_ms, found.unstored(NOW_MS), found.problem) == (NOW_MS - 5, 1, "The disk is full.")


def test_that_the_store_took_nothing_is_said_until_it_is_not_tried_in_vain_any_more():
    """Of the store alone, and not of what another clock says."""
    hearing = Hearing([], "alone")
    hearing.fail(InboxUnavailable("No quorum."), NOW_MS)
    assert not hearing.unwritten(NOW_MS)
    hearing.fail(StoreUnavailable("The disk is full."), NOW_MS)
    assert hearing.unwritten(NOW_MS + UNWRITTEN_MS - 1) == "The disk is full."
    assert not hearing.unwritten(NOW_MS + UNWRITTEN_MS)
    assert not hearing.unwritten(NOW_MS - 1)


@pytest.mark.parametrize("status", [401, 404])
def test_what_was_refused_says_for_how_long_it_is_said(status):
    """Whoever has corrected a token would take it for wrong still."""
    one = Heard("shop", "push")
    one.refuse(status, 1, 0)
    assert refused_sentence(one, status, 1).endswith("This is said for an hour after the last one.")
    assert one.wrong(HOUR_MS - 1)
    assert not one.wrong(HOUR_MS)
