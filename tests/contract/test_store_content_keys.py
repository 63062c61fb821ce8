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


async def test_a_later_row_is_asked_about_alone(store):
    """Its file has those before it, which are not new: the second of two equal rows is."""
    await store.file([counted(key_ms=100)], NOW_MS)
    assert await store.are_known([counted(ordinal=2)], NOW_MS) == [False]
    await store.file([counted(ordinal=1), counted(ordinal=2)], NOW_MS)
    assert await store.are_known([counted(ordinal=2), counted(ordinal=4)], NOW_MS) == [True, False]


def at(hour, ms=None, ordinal=0, *, of="event"):
    """File an item of the first of two hours, of the second, or of either."""
    first, second = f"{of} 1", f"{of} 2"
    other = {"other_key": content(second)} if hour == "either" else {}
    return counted(second if hour == "second" else first, key_ms=ms, ordinal=ordinal, **other)


DOUBLED = {
    "two pushes, two rows": ("first .1, second .4, either 1, either 2", "1100"),
    "a third row": ("first .1, second .4, either 1, either 2, either 3", "11001"),
    "one push, two rows": ("second .4, either 1, either 2", "101"),
    "rows, then pushes": ("either 1, either 2, second .7, first .7, first .8", "11001"),
    "one row, two pushes": ("either 1, second .7, first .7", "101"),
    "a row between": ("second .7, either 1, first .7, either 2", "1010"),
    "rows of UTC": ("either 1, first 1, second 1, either 2", "1010"),
    "milliseconds": ("second .8, either .8 1, either .8 2, first .8, either .8 3", "10100"),
    "other milliseconds": ("first .1, either .2 1, second .2, first .2", "1101"),
    "conversions": ("second, either, first, either", "1010"),
    "conversions of a file first": ("either, either, second, first", "1001"),
}
"""What is filed, with milliseconds or ordinals, and which of it is new."""


def doubled(text, of):
    """File what a line of the table names."""
    for one in text.split(", "):
        hour, *marks = one.split()
        ms = next((int(mark[1:]) for mark in marks if mark[0] == "."), None)
        yield at(hour, ms, next((int(mark) for mark in marks if mark[0] != "."), 0), of=of)


@pytest.mark.parametrize(("filings", "new"), DOUBLED.values(), ids=DOUBLED)
async def test_what_may_have_happened_in_two_hours_is_known_by_both(store, filings, new):
    """One by one and in one batch, as was said before it was filed; and nothing of it is new again."""
    expected = [one == "1" for one in new]
    assert await store.are_known(list(doubled(filings, "one")), NOW_MS) == [not one for one in expected]
    assert await filed(store, *doubled(filings, "one")) == expected
    assert await filed(store, *doubled(filings, "one")) == [False] * len(expected)
    assert (await store.file(list(doubled(filings, "batch")), NOW_MS)).outcomes["pending"] == sum(expected)
    assert all(await store.are_known(list(doubled(filings, "batch")), NOW_MS))


async def test_hours_of_two_zones_that_follow_each_other_stay_apart(store):
    """New York sets its clocks back an hour before Chicago: the second hour of one is the first of the other."""
    chicago = counted("b", ordinal=1, other_key=content("c"))
    new_york = counted("a", ordinal=1, other_key=content("b"))
    assert await filed(store, chicago, new_york, counted("c", key_ms=5), counted("a", key_ms=5)) == [1, 1, 0, 0]
    assert await filed(store, counted("b", ordinal=1, other_key=content("c"))) == [False]


async def test_what_is_left_of_two_hours_when_one_was_forgotten(store):
    """The other is known by itself."""
    await store.file([at("either", ordinal=1)], NOW_MS)
    await store.file([counted("event 1", until_ms=NOW_MS + 2 * DAY_MS, ordinal=2)], NOW_MS)
    assert (await store.file([at("second", 7)], UNTIL_MS + 1)).outcomes == {"pending": 1}


async def test_two_hours_are_filed_once_by_two_processes_at_once(open_store):
    """A row of either, and pushes of both: as many as happened, however they meet."""
    stores = [await open_store() for _ in range(3)]
    given = [at("either", ordinal=1), at("first", 1), at("second", 1), at("either", ordinal=2)]
    done = await asyncio.gather(*(store.file([one], NOW_MS) for one in given for store in stores))
    assert sum(one.outcomes.get("pending", 0) for one in done) == 2
