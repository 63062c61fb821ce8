"""Bundles: what is leased as it is filed shares a row, and each of it can still go its own way."""

from __future__ import annotations

import pytest
from filings import DAY, LANE, LATER_MS, NOW_MS, direct, key, lines, names, standing
from msgspec import structs

from flybridge.records import Person
from flybridge.store.core.tables import Read, Write
from flybridge.store.figures import Discrepancy
from flybridge.store.records import AttemptRecord, Capacity, Lane, LaneDepth, Rescued, Settled, Settlement

UNTIL_MS = NOW_MS + 60_000
DEAD = ("dead", "parked")
TRIED = (AttemptRecord(NOW_MS, 503, "unavailable", "come again"),)


def room(lane: Lane = LANE, n: int = 9) -> Capacity:
    """Return capacity of a worker that begins nothing for itself."""
    return Capacity(lane, n, "worker", UNTIL_MS)


async def bundled(store, *filed: str, **fields) -> dict[str, int]:
    """File events into a bundle. Return their deliveries by name."""
    filings = [structs.replace(direct(name), persons=(Person((key(name),), NOW_MS),), **fields) for name in filed]
    leased = (await store.file(filings, NOW_MS, [room()])).leased
    assert await bundles(store) == 1
    return {one.insert_id.removeprefix("id-"): one.id for one in leased}


async def bundles(store) -> int:
    """Return how many there are."""
    return len(await store._write(lambda ledger: ledger.tables.read(Read.BUNDLES)))


async def test_the_lanes_of_a_batch_have_one_each(store):
    """And what finds no room, or is begun for itself, has rows of its own."""
    game, other = Lane("game", "http_v2"), Lane("other", "http_v2")
    capacity = [room(n=2), room(game), Capacity(other, 9, "worker", UNTIL_MS, begins=True)]
    apps = ("shop", "game", "other", "shop", "game", "shop")
    filed = await store.file([direct(f"{n}", app=app) for n, app in enumerate(apps)], NOW_MS, capacity)
    assert [one.insert_id for one in filed.leased] == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await bundles(store) == 2
    assert await store.depths(NOW_MS) == [
        LaneDepth(game, 0, 0, 2, 0), LaneDepth(other, 0, 0, 1, 0), LaneDepth(LANE, 1, 0, 2, NOW_MS),
    ]  # fmt: skip
    ends = [Settlement(one.id, "delivered", tries=1) for one in filed.leased]
    assert await store.settle(ends, "worker", NOW_MS) == Settled(5)
    assert (await bundles(store), await standing(store)) == (0, {"delivered": 5, "pending": 1})
    assert await store.audit() == []


async def test_what_is_delivered_leaves_and_the_last_takes_it_along(store):
    """The others are still leased, and come back without it when the lease lapses."""
    ids = await bundled(store, "a", "b", "c")
    assert await store.settle([Settlement(ids["b"], "delivered")], "worker", NOW_MS) == Settled(1)
    assert await store.settle([Settlement(ids["b"], "delivered")], "worker", NOW_MS) == Settled(0, stale=1)
    assert (await store.depths(NOW_MS))[0].leased == 2
    assert await store.audit() == []
    assert await store.rescue(UNTIL_MS - 1) == Rescued()
    assert await store.rescue(UNTIL_MS) == Rescued(returned=2)
    assert await names(store, UNTIL_MS) == ["a", "c"]
    assert await store.audit() == []


async def test_two_answers_about_one_count_once(store):
    """The first takes effect, in one call as in two."""
    ids = await bundled(store, "a", "b")
    twice = [Settlement(ids["a"], "delivered"), Settlement(ids["a"], "dead", reason="no")]
    assert await store.settle(twice, "worker", NOW_MS) == Settled(1, stale=1)
    assert await standing(store) == {"delivered": 1, "pending": 1}


@pytest.mark.parametrize("owner", ["worker", None])
async def test_what_a_former_worker_settles_is_stale(store, owner):
    """Its bundle was taken back."""
    ids = await bundled(store, "a", "b")
    assert (await store.rescue(UNTIL_MS, owner=owner)).returned == 2
    assert await store.settle([Settlement(ids["a"], "delivered")], "worker", UNTIL_MS) == Settled(0, stale=1)
    assert await store.settle([Settlement(ids["b"], "delivered")], "another", UNTIL_MS) == Settled(0, stale=1)
    assert await names(store, UNTIL_MS) == ["a", "b"]


@pytest.mark.parametrize(
    "end",
    [
        Settlement(0, "dead", reason="no", detail="d"),
        Settlement(0, "parked"),
        Settlement(0, "due", due_ms=LATER_MS, tries=1, attempts=TRIED),
        Settlement(0, "delivered", tries=2, attempts=TRIED),
        Settlement(0, "delivered", uncertain=1),
    ],
    ids=lambda end: f"{end.state} {end.uncertain} {len(end.attempts)}",
)
async def test_whatever_else_is_said_of_one_is_noted_of_that_one(store, end):
    """As of a delivery that has rows of its own. The others go on."""
    ids = await bundled(store, "a", "b", "c")
    (alone,) = (await store.file([direct("alone")], NOW_MS, [structs.replace(room(), begins=True)])).leased
    of = {one.insert_id.removeprefix("id-"): row_id async for row_id, one in _numbered(store)}
    ends = [structs.replace(end, id=ids["b"]), structs.replace(end, id=alone.id), Settlement(ids["c"], "delivered")]
    assert await store.settle(ends, "worker", NOW_MS) == Settled(3)
    left, lone = await store.story(of["b"]), await store.story(of["alone"])
    assert [left.row.outcome, left.row.reason, left.row.uncertain] == [
        lone.row.outcome, lone.row.reason, lone.row.uncertain,
    ]  # fmt: skip
    assert (
        structs.replace(lone.delivery, due_ms=0) == structs.replace(left.delivery, due_ms=0)
        if lone.delivery
        else (left.delivery is None)
    )
    assert [one.reason for one in left.attempts] == [one.reason for one in lone.attempts]
    assert await store.audit() == []
    assert await store.settle([Settlement(ids["a"], "delivered")], "worker", NOW_MS) == Settled(1)
    assert {b'{"name": "b"}', b'{"name": "alone"}'} == {one.body for one in await store.dead()} or end.state not in DEAD


async def _numbered(store):
    numbers = await store._read(lambda db: db.read(Read.LEDGER, 0, None, 1000))
    by_receipt = {receipt: number for number, receipt, *_ in numbers}
    for line in await lines(store):
        yield by_receipt[line.receipt], line


async def test_one_can_be_begun_for_itself(store):
    """What has begun and is not settled when the lease lapses is uncertain; the rest is not."""
    ids = await bundled(store, "a", "b")
    assert await store.begin([ids["b"], ids["a"] + 1000], "another") == []
    assert await store.begin([ids["b"]], "worker") == [ids["b"]]
    assert await store.rescue(UNTIL_MS) == Rescued(returned=1, uncertain=1)
    assert await store.audit() == []


async def test_who_is_forgotten_leaves_it(store):
    """Their content is erased at once, and what is settled of it later is stale. The others are delivered."""
    ids = await bundled(store, "a", "b")
    receipt = await store.forget([key("a")], NOW_MS, receipt="one")
    assert (receipt.removed.pending, await standing(store)) == (1, {"forgotten": 1, "pending": 1})
    assert await store.audit() == []
    ends = [Settlement(number, "delivered") for number in ids.values()]
    assert await store.settle(ends, "worker", NOW_MS) == Settled(1, stale=1)
    assert await standing(store) == {"forgotten": 1, "delivered": 1}


async def test_the_content_of_who_is_forgotten_is_erased_also_when_it_was_delivered(store):
    """It would stay for as long as the others are in flight."""
    ids = await bundled(store, "a", "b")
    await store.settle([Settlement(ids["a"], "delivered")], "worker", NOW_MS)
    await store.forget([key("a")], NOW_MS, receipt="one")
    assert await bundles(store) == 0
    assert await store.settle([Settlement(ids["b"], "delivered")], "worker", NOW_MS) == Settled(1)
    assert await standing(store) == {"delivered": 2}


async def test_what_is_in_flight_can_be_looked_at(store):
    """In the queue and by itself, until it has ended."""
    await store.file([direct("due")], NOW_MS - 1)
    ids = await bundled(store, "a", "b")
    await store.settle([Settlement(ids["a"], "delivered")], "worker", NOW_MS)
    queue = await store.queued(LANE)
    assert [(one.event_type, one.leased) for one in queue] == [("[AppsFlyer] due", False), ("[AppsFlyer] b", True)]
    assert [one.event_type for one in await store.queued(LANE, 1)] == ["[AppsFlyer] due"]
    story = await store.story(ids["b"])
    assert (story.delivery.endpoint, story.delivery.leased, story.item.event_type) == ("http_v2", True, "[AppsFlyer] b")
    gone = await store.story(ids["a"])
    assert (gone.delivery, gone.item, gone.row.outcome) == (None, None, "delivered")
    assert await store.take_out([ids["b"]], NOW_MS) == []


async def test_the_audit_knows_what_a_bundle_has(store):
    """What is missing in it is found."""
    await bundled(store, "a", "b")
    ((number, in_flight, _),) = await store._write(lambda ledger: ledger.tables.read(Read.BUNDLES))
    await store._write(lambda ledger: ledger.tables.write(Write.FEWER_IN_FLIGHT, [(0, "[]", number)]))
    assert await store.audit() == [
        Discrepancy("shop", DAY, "2 envelopes are counted as pending, but 0 deliveries exist.", 2, 0)
    ]
    await store._write(lambda ledger: ledger.tables.write(Write.FEWER_IN_FLIGHT, [(2, in_flight, number)]))
