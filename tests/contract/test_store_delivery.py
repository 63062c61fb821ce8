"""What every store guarantees about deliveries: leases, settlements, rescue, dead letters of delivery."""

from __future__ import annotations

import asyncio

from filings import LANE, LATER_MS, NOW_MS, direct, envelope, key, lease, lines, names, sighting, standing, waiting
from msgspec.structs import replace

from flybridge.records import Apply, Dead, Delivery, Filing
from flybridge.store.records import LONGEST_LEASE_MS, Capacity, Lane, LaneDepth, Rescued, Settled, Settlement


async def test_a_delivery_carries_all_the_request_needs(store):
    """Item, identity, tries and time of reception come back from the lease."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    expected = Delivery(
        delivery.id, "shop", "http_v2", "id-a", "[AppsFlyer] a", b'{"name": "a"}', "ada", None, 0, 0, False, NOW_MS
    )
    assert delivery == expected


async def test_lanes_are_those_with_something_due(store):
    """An app without due deliveries is no lane, nor one whose deliveries wait for a retry."""
    assert await store.lanes(NOW_MS) == []
    await store.file([direct("a"), direct("b", app="game")], NOW_MS)
    assert await store.lanes(NOW_MS - 1) == []
    assert await store.lanes(NOW_MS) == [Lane("game", "http_v2"), LANE]
    (delivery,) = await lease(store)
    assert await store.lanes(NOW_MS) == [Lane("game", "http_v2")]
    await store.settle([Settlement(delivery.id, "due", due_ms=NOW_MS + 10)], "worker", NOW_MS)
    assert await store.lanes(NOW_MS + 9) == [Lane("game", "http_v2")]
    assert LANE in await store.lanes(NOW_MS + 10)


async def test_the_oldest_are_leased_first_and_no_more_than_asked(store):
    """The order of becoming due, then of filing."""
    await store.file([direct("a"), direct("b")], NOW_MS + 1)
    await store.file([direct("c")], NOW_MS)
    assert await names(store, LATER_MS, limit=2) == ["c", "a"]
    assert await names(store, LATER_MS, limit=2) == ["b"]
    assert await names(store, LATER_MS) == []


async def test_a_lane_that_nobody_filed_for_is_empty(store):
    """Leasing from it is no mistake."""
    assert await lease(store, lane=Lane("nobody", "nowhere")) == []


async def test_what_there_is_room_for_is_leased_as_it_is_filed(store):
    """It is what a lease would give, in the order of filing; what finds no room, and other lanes, are due as ever."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    leased = await lease(store)
    batch = [direct("c"), direct("d", app="game"), direct("e"), direct("f")]
    filed = await store.file(batch, NOW_MS, [Capacity(LANE, 2, "worker", NOW_MS + 60_000)])
    assert [delivery.insert_id for delivery in filed.leased] == ["id-c", "id-e"]
    for delivery, before in zip(filed.leased, leased, strict=True):
        alike = replace(before, id=delivery.id, insert_id="", event_type="", body=b"")
        assert replace(delivery, insert_id="", event_type="", body=b"") == alike
    assert await names(store) == ["f"]
    assert await names(store, lane=Lane("game", "http_v2")) == ["d"]
    ends = [Settlement(delivery.id, "delivered", tries=1) for delivery in filed.leased]
    assert await store.settle(ends, "worker", NOW_MS) == Settled(2)
    assert await store.audit() == []


async def test_nothing_is_leased_that_is_not_filed_or_has_waited(store):
    """Duplicates, receipts that are known, and holds that find their person: these have an order of their own."""
    capacity = [Capacity(LANE, 9, "worker", NOW_MS + 60_000)]
    first = direct("a", receipt="r", key=key("content"), key_until_ms=LATER_MS)
    assert len((await store.file([first], NOW_MS, capacity)).leased) == 1
    again = direct("a", key=key("content"), key_until_ms=LATER_MS)
    assert (await store.file([first, again], NOW_MS, capacity)).leased == []
    await store.file([waiting("b", "idfa")], NOW_MS, capacity)
    seen = Filing(envelope(), Apply(), sightings=(sighting("idfa"),))
    assert (await store.file([seen], NOW_MS, capacity)).leased == []
    assert await names(store) == ["b"]


async def test_what_is_matched_at_once_is_leased_unless_something_has_waited(store):
    """In the order in which it happened, and with the identity that it was matched to."""
    capacity = [Capacity(LANE, 3, "worker", NOW_MS + 60_000)]
    await store.file([waiting("waits", "y"), Filing(envelope(), Apply(), sightings=(sighting("x", "eve"),))], NOW_MS)
    batch = [waiting("b", "x", event_ms=NOW_MS - 1), waiting("a", "x", event_ms=NOW_MS - 2), direct("c")]
    batch.append(waiting("d", "x"))
    filed = await store.file(batch, NOW_MS, capacity)
    assert [(one.insert_id, one.user_id) for one in filed.leased] == [("id-c", "ada"), ("id-a", "eve"), ("id-b", "eve")]
    assert (filed.matched, await names(store)) == (3, ["d"])
    seen = Filing(envelope(), Apply(), sightings=(sighting("y", "eve"),))
    assert (await store.file([waiting("e", "x"), seen], NOW_MS, capacity)).leased == []
    assert await names(store) == ["waits", "e"]
    await store.settle([Settlement(one.id, "delivered") for one in filed.leased], "worker", NOW_MS)
    assert await standing(store) == {"delivered": 3, "pending": 3, "applied": 2}
    assert await store.audit() == []


async def test_what_was_leased_as_it_was_filed_is_rescued_like_any_lease(store):
    """The worker it was leased to has died."""
    await store.file([direct("a")], NOW_MS, [Capacity(LANE, 9, "worker", NOW_MS + 60_000)])
    assert await store.rescue(NOW_MS + 59_999) == Rescued()
    assert await store.rescue(NOW_MS + 60_000) == Rescued(returned=1)
    assert await names(store, LATER_MS) == ["a"]


async def test_what_is_delivered_is_gone(store):
    """The count moves and nothing is left to lease or rescue."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    assert await store.settle([Settlement(delivery.id, "delivered", tries=1)], "worker", NOW_MS) == Settled(1)
    assert await standing(store) == {"delivered": 1}
    assert await store.rescue(LATER_MS) == Rescued()
    assert await store.depths(LATER_MS) == []


async def test_a_retry_comes_back_when_it_is_due(store):
    """With the tries it has spent, and alone if it is to be split; not a millisecond early."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "due", due_ms=NOW_MS + 500, tries=3, split=True)], "worker", NOW_MS)
    assert await lease(store, NOW_MS + 499) == []
    (again,) = await lease(store, NOW_MS + 500)
    assert (again.id, again.tries, again.split) == (delivery.id, 3, True)


async def test_a_lapsed_lease_is_taken_back_and_not_before(store):
    """A worker that dies loses its deliveries after the lease, and only then; they keep their place."""
    await store.file([direct("a")], NOW_MS)
    await store.file([direct("b")], NOW_MS + 1)
    await lease(store, limit=1)
    assert await store.rescue(NOW_MS + 59_999) == Rescued()
    assert await store.rescue(NOW_MS + 60_000) == Rescued(returned=1)
    (again,) = await lease(store, NOW_MS + 60_000, limit=1)
    assert await store.rescue(NOW_MS + 120_000 - LONGEST_LEASE_MS) == Rescued()
    assert await store.rescue(NOW_MS + 119_999 - LONGEST_LEASE_MS) == Rescued(returned=1)  # the clock was set back
    (again,) = await lease(store, NOW_MS + 60_000, limit=1)
    assert again.tries == 0
    await store.rescue(NOW_MS + 120_000)
    assert await names(store, LATER_MS) == ["a", "b"]


async def test_the_leases_of_a_worker_that_is_gone_are_taken_back_at_once(store):
    """Those of the others stay."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    await lease(store, limit=1, owner="gone")
    await lease(store, limit=1, owner="here")
    assert await store.rescue(NOW_MS, owner="gone") == Rescued(returned=1)
    assert await names(store) == ["a"]


async def test_a_former_owner_settles_nothing(store):
    """Its verdict comes too late: the delivery stays with whoever has it now, and the call says so."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store, owner="former")
    await store.rescue(LATER_MS)
    assert await store.settle([Settlement(delivery.id, "dead")], "former", LATER_MS) == Settled(0, 1)
    (same,) = await lease(store, LATER_MS, owner="present")
    assert await store.settle([Settlement(delivery.id, "delivered")], "former", LATER_MS) == Settled(0, 1)
    assert await store.settle([Settlement(same.id, "delivered")], "present", LATER_MS) == Settled(1, 0)
    assert await standing(store) == {"delivered": 1}


async def test_a_settlement_counts_once(store):
    """Twice in one call, or in two: the second is stale."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    twice = [Settlement(delivery.id, "delivered"), Settlement(delivery.id, "dead")]
    assert await store.settle(twice, "worker", NOW_MS) == Settled(1, 1)
    assert await store.settle(twice, "worker", NOW_MS) == Settled(0, 2)
    assert await standing(store) == {"delivered": 1}


async def test_a_lapsed_lease_that_nobody_took_may_still_be_settled(store):
    """The vendor's answer is worth more than the clock."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    assert await store.settle([Settlement(delivery.id, "delivered")], "worker", LATER_MS) == Settled(1)


async def test_begin_gives_what_is_still_owned(store):
    """What was taken back must not be sent."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    ids = [delivery.id for delivery in await lease(store)]
    assert await store.begin(ids, "somebody else") == []
    await store.settle([Settlement(ids[0], "due", due_ms=LATER_MS)], "worker", NOW_MS)
    assert await store.begin(ids, "worker") == ids[1:]


async def test_what_had_begun_is_uncertain_and_sent_again(store):
    """The vendor may have it: that is a try, and both delivery and ledger remember the doubt."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    first, _ = await lease(store)
    await store.begin([first.id], "worker")
    assert await store.rescue(NOW_MS, owner="worker") == Rescued(returned=1, uncertain=1)
    assert [(d.tries, d.uncertain) for d in await lease(store)] == [(1, 1), (0, 0)]
    assert [line.uncertain for line in await lines(store)] == [1, 0]
    assert await store.rescue(NOW_MS, owner="worker") == Rescued(returned=2)


async def test_what_had_begun_is_parked_where_it_must_not_be_sent_twice(store):
    """It waits as a dead letter with reason uncertain and a remedy, until somebody redelivers it."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    await store.begin([delivery.id], "worker")
    assert await store.rescue(LATER_MS, resend_uncertain=False) == Rescued(parked=1)
    (letter,) = await store.dead(reason="uncertain")
    assert letter.stage == "deliver"
    assert letter.remedy
    assert await store.redeliver([letter.id], LATER_MS) == 1
    (again,) = await lease(store, LATER_MS)
    assert (again.tries, again.uncertain, again.insert_id) == (0, 1, "id-a")


async def test_a_settlement_may_add_to_the_doubt(store):
    """A connection that broke after sending leaves the same doubt as a process that died."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    first, second = await lease(store)
    again = Settlement(first.id, "due", due_ms=NOW_MS, tries=1, uncertain=1)
    await store.settle([again, Settlement(second.id, "parked", uncertain=1)], "worker", NOW_MS)
    (same,) = await lease(store)
    assert same.uncertain == 1
    assert [line.uncertain for line in await lines(store)] == [1, 1]
    await store.redeliver([letter.id for letter in await store.dead()], NOW_MS)
    assert [delivery.uncertain for delivery in await lease(store)] == [1]


async def test_a_worker_may_park_what_it_is_unsure_about(store):
    """Settling as parked is dead with reason uncertain, whatever reason the worker gives."""
    await store.file([direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    parked = Settlement(delivery.id, "parked", reason="timeout", detail="No answer after 30 s.")
    await store.settle([parked], "worker", NOW_MS)
    (letter,) = await store.dead()
    assert (letter.reason, letter.detail) == ("uncertain", "No answer after 30 s.")


async def test_a_dead_delivery_is_a_letter_with_its_item(store):
    """Stage deliver, the vendor's reason, and the item as it would have been sent."""
    await store.file([direct("a", receipt="r")], NOW_MS)
    (delivery,) = await lease(store)
    end = Settlement(
        delivery.id, "dead", reason="invalid_field", detail="time: not a number", remedy="Fix the mapping."
    )
    await store.settle([end], "worker", NOW_MS + 5)
    (letter,) = await store.dead()
    assert (letter.receipt, letter.stage, letter.body) == ("r", "deliver", b'{"name": "a"}')
    assert (letter.reason, letter.detail, letter.remedy) == (end.reason, end.detail, end.remedy)
    assert letter.died_ms == NOW_MS + 5
    assert await standing(store) == {"dead": 1}


async def test_a_redelivered_letter_is_the_same_item_with_fresh_tries(store):
    """Also when its identity came from a match. Redelivering twice, or what is no delivery, does nothing."""
    await store.file([waiting("w", "k")], NOW_MS)
    await store.file([direct("d", sightings=(sighting("k", "eve", "eve-phone"),))], NOW_MS)
    leased = await lease(store)
    await store.settle([Settlement(d.id, "dead", tries=9, reason="no") for d in leased], "worker", NOW_MS)
    ids = [letter.id for letter in await store.dead()]
    assert await store.redeliver([*ids, 999_999], NOW_MS + 1) == 2
    assert await store.redeliver(ids, NOW_MS + 1) == 0
    again = {d.insert_id: d for d in await lease(store, NOW_MS + 1)}
    assert (again["id-w"].user_id, again["id-w"].device_id, again["id-w"].tries) == ("eve", "eve-phone", 0)
    assert again["id-d"].user_id == "ada"
    assert await standing(store) == {"pending": 2}


async def test_two_workers_never_lease_the_same(open_store):
    """Whoever asks, every delivery is given once."""
    first, second = await open_store(), await open_store()
    await first.file([direct(str(n)) for n in range(100)], NOW_MS)
    batches = await asyncio.gather(
        *(names(store, owner=owner, limit=7) for _ in range(10) for store, owner in ((first, "a"), (second, "b")))
    )
    assert sorted(name for batch in batches for name in batch) == sorted(str(n) for n in range(100))


async def test_depths_tell_what_is_due_later_and_leased(store):
    """Per lane, and since when the first of them has been due."""
    await store.file([direct(str(n)) for n in range(5)] + [direct("g", app="game")], NOW_MS)
    first, _ = await lease(store, limit=2)
    await store.settle([Settlement(first.id, "due", due_ms=LATER_MS)], "worker", NOW_MS)
    assert await store.depths(NOW_MS + 1) == [
        LaneDepth(Lane("game", "http_v2"), 1, 0, 0, NOW_MS),
        LaneDepth(LANE, 3, 1, 1, NOW_MS),
    ]


async def test_what_is_shown_as_arrived_is_delivered_with_one_doubt_less(store):
    """What is in flight or may have arrived: not what is only leased, or was never sent."""
    await store.file([direct("a"), direct("b"), direct("c"), direct("d"), direct("e", app="game")], NOW_MS)
    first, second, third, fourth = await lease(store)
    await store.begin([first.id, second.id], "worker")
    await store.rescue(NOW_MS, owner="worker")
    first, second, third, fourth = await lease(store)
    await store.settle([Settlement(first.id, "due", due_ms=LATER_MS)], "worker", NOW_MS)
    await store.begin([third.id], "worker")
    found = await store.in_doubt(LANE, NOW_MS)
    assert sorted((one.id, one.body, one.uncertain) for one in found) == [
        (first.id, first.body, 1), (second.id, second.body, 1), (third.id, third.body, 0),
    ]  # fmt: skip
    assert await store.arrived([one.id for one in (first, second, third, fourth)], NOW_MS) == 3
    assert await standing(store) == {"delivered": 3, "pending": 2}
    assert [line.uncertain for line in await lines(store)] == [0, 0, 0, 0, 0]
    assert await store.in_doubt(LANE, NOW_MS) == []
    assert await store.arrived([first.id], NOW_MS) == 0
    again = [Settlement(second.id, "due", due_ms=NOW_MS), Settlement(third.id, "delivered")]
    assert await store.settle(again, "worker", NOW_MS) == Settled(0, 2)
    assert await store.audit() == []


async def test_a_dead_letter_that_has_arrived_after_all_is_delivered(store):
    """What was parked in doubt, and not what could not be processed."""
    await store.file([direct("a"), direct("b"), Filing(envelope(), Dead("map", "m", "detail", "remedy"))], NOW_MS)
    first, second = await lease(store)
    await store.begin([first.id], "worker")
    dead = Settlement(first.id, "dead", reason="uncertain", uncertain=1)
    await store.settle([dead, Settlement(second.id, "dead", reason="no")], "worker", NOW_MS)
    letters = {letter.reason: letter.id for letter in await store.dead()}
    assert await store.arrived_after_all(letters.values(), NOW_MS) == 2
    assert await standing(store) == {"delivered": 2, "dead": 1}
    assert [line.uncertain for line in await lines(store)] == [0, 0, 0]
    assert [letter.reason for letter in await store.dead()] == ["m"]
    assert await store.redeliver(letters.values(), NOW_MS) == 0
    assert await store.audit() == []
