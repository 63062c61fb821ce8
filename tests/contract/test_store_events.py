"""Finding events and reading one's story, on every store."""

from __future__ import annotations

import pytest
from filings import LATER_MS, NOW_MS, direct, envelope, key, lease, sighting, waiting
from msgspec import structs

from flybridge.records import DAY_MS, HOUR_MS, Apply, Dead, Filing, Filter, Person, Source
from flybridge.store.core import events as core
from flybridge.store.events import MOST_ATTEMPTS, EventAttempt, EventFilter
from flybridge.store.records import AttemptRecord, Retention, Settlement


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


REFUSED = AttemptRecord(NOW_MS + 1, 503, "server_error_503", "vendor answered 503: busy")
SILENT = AttemptRecord(NOW_MS + 2, 0, "no_answer")


async def number_of(store, outcome: str) -> int:
    """Return the number of the only event with an outcome."""
    ((number),) = [row.id for row in (await store.find_events(EventFilter(outcome=outcome))).rows]
    return number


async def test_a_story_has_every_attempt_that_was_not_accepted(store):
    """In order, with status and words, whatever came of the event in the end; what is accepted at once has none."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    first, second = await lease(store)
    await store.settle(
        [
            Settlement(first.id, "due", due_ms=NOW_MS + 10, tries=1, attempts=(REFUSED, SILENT)),
            Settlement(second.id, "delivered"),
        ],
        "worker",
        NOW_MS,
    )
    number = await number_of(store, "pending")
    expected = [
        EventAttempt("http_v2", NOW_MS + 1, 503, "server_error_503", "vendor answered 503: busy", first.id),
        EventAttempt("http_v2", NOW_MS + 2, 0, "no_answer", "", first.id),
    ]
    assert (await store.story(number)).attempts == expected
    (again,) = await lease(store, NOW_MS + 10)
    await store.settle([Settlement(again.id, "delivered")], "worker", NOW_MS + 10)
    assert await store.attempts([number]) == {number: expected}
    assert await store.audit() == []


async def test_what_died_on_its_way_was_an_attempt_without_an_answer(store):
    """The process ended after it had begun to send."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    await store.begin([delivery.id], "worker")
    await store.rescue(NOW_MS + 60_000)
    (attempt,) = (await store.story(await number_of(store, "pending"))).attempts
    assert (attempt.status, attempt.reason, attempt.at_ms) == (0, "no_answer", NOW_MS + 60_000)


@pytest.mark.parametrize("state", ["dead", "parked"])
async def test_attempts_go_on_after_a_replay(store, state):
    """A dead letter that is delivered again is the same event, and is still found while it waits."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, state, reason="no", attempts=(REFUSED,))], "worker", NOW_MS)
    number = await number_of(store, "dead")
    await store.redeliver([number], NOW_MS)
    assert (await store.story(number)).delivery.endpoint == "http_v2"
    (again,) = await lease(store)
    await store.settle([Settlement(again.id, "due", due_ms=LATER_MS, attempts=(SILENT,))], "worker", NOW_MS)
    found = await store.story(number)
    assert [one.reason for one in found.attempts] == ["server_error_503", "no_answer"]
    assert found.delivery.due_ms == LATER_MS


async def test_what_was_held_shows_how_it_waits_to_be_sent(store):
    """Its delivery has a number of its own."""
    await store.file([waiting("w", "k")], NOW_MS)
    await store.file([Filing(envelope(source=Source.STREAM), Apply(), sightings=(sighting("k"),))], NOW_MS)
    assert (await store.story(await number_of(store, "pending"))).delivery.endpoint == "http_v2"


async def test_only_the_newest_attempts_are_kept(store):
    """A lane may be probed for days with the same event."""
    await store.file([direct("a")], NOW_MS)
    for n in range(3):
        (delivery,) = await lease(store)
        many = tuple(structs.replace(REFUSED, at_ms=n * 60 + one) for one in range(60))
        await store.settle([Settlement(delivery.id, "due", due_ms=NOW_MS, attempts=many)], "worker", NOW_MS)
    kept = (await store.story(await number_of(store, "pending"))).attempts
    assert [one.at_ms for one in kept] == list(range(180 - MOST_ATTEMPTS, 180))


async def test_attempts_go_with_their_ledger_row(store):
    """After its retention, and at once when the person is forgotten: a vendor's words may quote what it was sent."""
    about = structs.replace(direct("a"), persons=(Person((key("ada"),), NOW_MS),))
    await store.file([about, direct("b")], NOW_MS)
    for delivery in await lease(store):
        await store.settle([Settlement(delivery.id, "delivered", attempts=(REFUSED,))], "worker", NOW_MS)
    numbers = [row.id for row in (await store.find_events(EventFilter())).rows]
    assert len(await store.attempts(numbers)) == 2
    await store.forget([key("ada")], NOW_MS, receipt="r")
    assert len(await store.attempts(numbers)) == 1
    await store.prune(NOW_MS + 5 * DAY_MS, Retention(ledger_days=1, dead_days=1))
    assert await store.attempts(numbers) == {}
    assert await store.audit() == []
