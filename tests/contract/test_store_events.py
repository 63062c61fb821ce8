"""Finding events and reading one's story, on every store."""

from __future__ import annotations

import pytest
from filings import LATER_MS, NOW_MS, direct, envelope, key, lease, waiting
from msgspec import structs

from flybridge.records import HOUR_MS, Apply, Dead, Filing, Filter, Person, Source
from flybridge.store.core import events as core
from flybridge.store.events import EventFilter
from flybridge.store.protocol import Settlement


def of(filing: Filing, name: str) -> Filing:
    """Say that a filing is about somebody."""
    return structs.replace(filing, persons=(Person((key(name),), NOW_MS),))


def received(filing: Filing, received_ms: int) -> Filing:
    """Say when a filing was received."""
    return structs.replace(filing, envelope=structs.replace(filing.envelope, received_ms=received_ms))


async def found(store, before=None, limit=50, **chosen):
    """Return the outcomes and reasons that a filter finds, newest first."""
    page = await store.find_events(EventFilter(**chosen), before=before, limit=limit)
    return [(row.outcome, row.reason) for row in page.rows]


async def test_events_come_newest_first_a_page_at_a_time(store):
    """Each page goes on where the one before ended, and the last says that nothing is left."""
    await store.file([Filing(envelope(), Filter(f"r{n}")) for n in range(7)], NOW_MS)
    seen, before, pages = [], None, 0
    while True:
        page = await store.find_events(EventFilter(), before=before, limit=3)
        seen += [row.reason for row in page.rows]
        pages += 1
        if not page.following:
            break
        before = page.following
    assert seen == [f"r{n}" for n in range(6, -1, -1)]
    assert pages == 3


@pytest.mark.parametrize(
    ("chosen", "n"),
    [
        ({}, 5),
        ({"app": "shop"}, 4),
        ({"app": "game"}, 1),
        ({"outcome": "held"}, 1),
        ({"outcome": "dead"}, 1),
        ({"outcome": "dead", "app": "game"}, 0),
        ({"outcome": "pending"}, 1),
        ({"outcome": "filtered", "reason": "r"}, 1),
        ({"reason": "r"}, 1),
        ({"source": "stream"}, 1),
        ({"insert_id": "id-d"}, 1),
        ({"insert_id": "id-w", "outcome": "held"}, 1),
        ({"insert_id": "nothing"}, 0),
        ({"event": "nothing"}, 0),
        ({"media_source": "nothing"}, 0),
        ({"since_ms": NOW_MS + 1}, 0),
        ({"until_ms": NOW_MS - 1}, 0),
        ({"since_ms": NOW_MS, "until_ms": NOW_MS}, 5),
    ],
)
async def test_every_filter_finds_what_it_says(store, chosen, n):
    """By app, source, outcome, reason, insert_id and time."""
    await store.file(
        [
            direct("d"),
            waiting("w", "k"),
            Filing(envelope(app="game"), Filter("r")),
            Filing(envelope(source=Source.STREAM), Apply()),
            Filing(envelope(), Dead("map", "bad", "what", "remedy")),
        ],
        NOW_MS,
    )
    assert len(await found(store, **chosen)) == n


async def test_time_is_found_without_reading_from_the_end(store, monkeypatch):
    """A search of an old day begins there, whatever came since; one of a new day stops where it begins."""
    monkeypatch.setattr(core, "PAGE", 10)
    monkeypatch.setattr(core, "MOST_READ", 60)
    filings = [received(Filing(envelope(), Filter(f"h{hour}")), NOW_MS + hour * HOUR_MS) for hour in range(300)]
    await store.file(filings, LATER_MS)
    old = NOW_MS + 10 * HOUR_MS
    assert ("filtered", "h10") in await found(store, since_ms=old, until_ms=old)
    page = await store.find_events(EventFilter(since_ms=NOW_MS + 295 * HOUR_MS))
    assert (len(page.rows), page.following) == (5, 0)
    assert page.read <= 20


async def test_a_search_reads_a_bounded_number_of_rows(store, monkeypatch):
    """What is not among them is found by going on."""
    monkeypatch.setattr(core, "PAGE", 10)
    monkeypatch.setattr(core, "MOST_READ", 20)
    await store.file(
        [Filing(envelope(), Filter("rare")), *(Filing(envelope(), Filter("r")) for _ in range(50))], NOW_MS
    )
    read, before = [], None
    while True:
        page = await store.find_events(EventFilter(reason="rare"), before=before)
        read.append(page.read)
        if page.rows or not page.following:
            break
        before = page.following
    assert [row.reason for row in page.rows] == ["rare"]
    assert max(read) <= 20


async def test_the_events_of_a_person_are_found_by_any_of_their_keys(store):
    """Newest first; those of others are not, and of somebody unknown there are none."""
    both = structs.replace(Filing(envelope(), Filter("a")), persons=(Person((key("ada"), key("phone")), NOW_MS),))
    await store.file([both], NOW_MS)
    await store.file([of(Filing(envelope(), Filter("b")), "ada"), of(Filing(envelope(), Filter("c")), "bob")], NOW_MS)
    assert [row.reason for row in await store.events_of([key("phone")])] == ["b", "a"]
    assert [row.reason for row in await store.events_of([key("ada"), key("bob")])] == ["c", "b", "a"]
    assert await store.events_of([key("eve")]) == []
    assert await store.events_of([]) == []


async def test_a_story_has_what_is_kept_and_no_more(store):
    """Held with its kinds, pending with its delivery, dead with the reason; of what is delivered nothing is left."""
    await store.file(
        [waiting("w", "k"), direct("d"), Filing(envelope(body=b"{}"), Dead("map", "bad", "x", "y"))], NOW_MS
    )
    rows = {row.outcome: row.id for row in (await store.find_events(EventFilter())).rows}
    held = await store.story(rows["held"])
    assert (held.held.key_kinds, held.item.event_type, held.dead) == (("idfa",), "[AppsFlyer] w", None)
    pending = await store.story(rows["pending"])
    assert (pending.delivery.endpoint, pending.delivery.leased, pending.item.user_id) == ("http_v2", False, "ada")
    dead = await store.story(rows["dead"])
    assert (dead.dead.detail, dead.dead.body, dead.item) == ("x", b"{}", None)
    (delivery,) = await lease(store)
    assert (await store.story(rows["pending"])).delivery.leased
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    done = await store.story(rows["pending"])
    assert (done.row.outcome, done.delivery, done.item) == ("delivered", None, None)
    assert await store.story(10**12) is None
