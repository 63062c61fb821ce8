"""Repeats: what a store takes for a duplicate where the same may happen several times within a second."""

from __future__ import annotations

import asyncio

import pytest
from filings import NOW_MS, direct, envelope
from filings import key as content

from flybridge.records import DAY_MS, Dead, Filing, OutcomeKind

UNTIL_MS = NOW_MS + DAY_MS


def counted(name="event", *, until_ms=UNTIL_MS, **fields):
    """File an item under a key of a second."""
    return direct(key=content(name), key_until_ms=until_ms, **fields)


async def filed(store, *filings):
    """File one after the other, and return which were new."""
    return [(await store.file([one], NOW_MS)).outcomes.get("pending", 0) == 1 for one in filings]


@pytest.mark.parametrize(
    ("marks", "new"),
    [
        ([(100, 0), (950, 0), (100, 0)], [True, True, False]),
        ([(100, 0), (950, 0), (None, 1), (None, 2), (None, 3), (400, 0), (401, 0)], [1, 1, 0, 0, 1, 0, 1]),
        ([(None, 3), (None, 1), (None, 2), (7, 0), (8, 0), (9, 0), (10, 0)], [1, 1, 1, 0, 0, 0, 1]),
        ([(None, 1), (None, 1), (0, 0), (None, 1)], [1, 0, 0, 0]),
        ([(None, 0), (None, 0), (None, 1), (None, 2)], [1, 0, 0, 1]),
        ([(0, 0), (999, 0), (None, 0)], [1, 1, 0]),
    ],
)
async def test_the_number_of_occurrences_is_the_greater_of_the_two(store, marks, new):
    """In one batch and in many, also after it was opened again."""
    assert await filed(store, *(counted(key_ms=ms, ordinal=n) for ms, n in marks)) == list(map(bool, new))
    again = [counted("batch", key_ms=ms, ordinal=n) for ms, n in marks]
    assert (await store.file(again, NOW_MS)).outcomes.get("pending", 0) == sum(new)
    assert sum(await filed(store, *(counted("batch", key_ms=ms, ordinal=n) for ms, n in marks))) == 0


async def test_two_processes_that_file_the_same_at_once_file_it_once(open_store):
    """Each of many milliseconds is new to one of them, whatever else they remember at that moment."""
    stores = [await open_store() for _ in range(3)]
    await stores[0].file([counted(key_ms=0)], NOW_MS)
    done = await asyncio.gather(*(store.file([counted(key_ms=ms)], NOW_MS) for ms in range(1, 9) for store in stores))
    assert sum(one.outcomes.get("pending", 0) for one in done) == 8


async def test_occurrences_are_remembered_as_long_as_the_newest(store):
    """A new one prolongs; a repeat does not; when it is over all begins anew."""
    await store.file([counted(key_ms=1, until_ms=NOW_MS + 10)], NOW_MS)
    await store.file([counted(key_ms=2, until_ms=NOW_MS + 20)], NOW_MS)
    await store.file([counted(ordinal=1, until_ms=NOW_MS + 99)], NOW_MS)
    assert (await store.file([counted(key_ms=1)], NOW_MS + 15)).outcomes == {"duplicate": 1}
    assert (await store.file([counted(key_ms=1)], NOW_MS + 21)).outcomes == {"pending": 1}
    assert (await store.file([counted(key_ms=2)], NOW_MS + 22)).outcomes == {"pending": 1}


async def test_a_replay_is_not_stopped_and_keeps_what_is_remembered(store):
    """It counts as one of the occurrences, and takes none away."""
    dead = Filing(envelope("letter"), Dead("map", "fault", "d", "r"))
    await store.file([dead, counted(key_ms=5)], NOW_MS)
    replay = counted(key_ms=5, receipt="letter", replayed=True)
    assert (await store.file([replay], NOW_MS)).outcomes == {OutcomeKind.PENDING: 1}
    assert await filed(store, counted(key_ms=5), counted(key_ms=6)) == [False, True]


async def test_what_is_known_is_told_without_filing(store):
    """As filing one after the other would find it, and nothing is remembered by the question."""
    await store.file([counted(key_ms=100), counted("plain")], NOW_MS)
    asked = [
        counted(key_ms=100),
        counted(ordinal=1),
        counted(ordinal=2),
        counted(ordinal=2),
        counted("plain"),
        counted("new"),
        counted("new"),
        direct(key=None),
    ]
    for _ in range(2):
        assert await store.are_known(asked, NOW_MS) == [True, True, False, True, True, False, True, False]
