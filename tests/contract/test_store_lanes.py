"""What every store guarantees to operators of lanes: the queue, retrying, taking out, and what may be double."""

from __future__ import annotations

from filings import LANE, LATER_MS, NOW_MS, direct, lease, names, standing

from flybridge.store.records import Lane, Settlement, UncertainCount


async def test_a_queue_is_listed_in_the_order_of_becoming_due(store):
    """With what is leased, and without anything that identifies a person."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    await store.file([direct("c")], NOW_MS - 5)
    (first,) = await lease(store, limit=1)
    listed = await store.queued(LANE)
    assert [one.event_type for one in listed] == ["[AppsFlyer] c", "[AppsFlyer] a", "[AppsFlyer] b"]
    assert [one.leased for one in listed] == [True, False, False]
    assert [one.due_ms for one in listed] == [NOW_MS - 5, NOW_MS, NOW_MS]
    assert len(await store.queued(LANE, 2)) == 2
    assert await store.queued(Lane("nobody", "nowhere")) == []
    assert first.event_type == "[AppsFlyer] c"


async def test_what_waits_for_another_try_is_due_when_it_is_hastened(store):
    """In this lane only; what is leased stays leased."""
    await store.file([direct("a"), direct("b"), direct("c", app="game")], NOW_MS)
    one, _ = await lease(store)
    (other,) = await lease(store, lane=Lane("game", "http_v2"))
    for delivery in (one, other):
        await store.settle([Settlement(delivery.id, "due", due_ms=LATER_MS)], "worker", NOW_MS)
    await store.hasten(LANE, NOW_MS)
    assert await names(store, NOW_MS) == ["a"]
    assert await lease(store, NOW_MS, lane=Lane("game", "http_v2")) == []


async def test_what_is_taken_out_is_a_dead_letter_that_can_be_delivered_again(store):
    """What is being sent can't be taken out, and the account agrees."""
    await store.file([direct("a"), direct("b")], NOW_MS)
    ids = [one.id for one in await store.queued(LANE)]
    await lease(store, limit=1)
    assert await store.take_out([*ids, 999], NOW_MS) == ids[1:]
    assert await store.take_out(ids, NOW_MS) == []
    assert await standing(store) == {"pending": 1, "dead": 1}
    assert await store.audit() == []
    (letter,) = await store.dead()
    assert (letter.id, letter.reason, letter.stage) == (ids[1], "taken_out", "deliver")
    assert letter.detail
    assert letter.remedy
    assert await store.redeliver([letter.id], NOW_MS) == 1
    assert await names(store, NOW_MS) == ["b"]


async def test_what_may_have_arrived_twice_is_counted_and_listed(store):
    """Whatever became of it, newest first."""
    await store.file([direct("a"), direct("b"), direct("c", app="game")], NOW_MS)
    assert await store.uncertain_counts() == []
    one, two = await lease(store)
    await store.settle([Settlement(one.id, "due", due_ms=NOW_MS, tries=1, uncertain=1)], "worker", NOW_MS)
    (one,) = await lease(store)
    await store.settle([Settlement(one.id, "delivered", uncertain=1)], "worker", NOW_MS)
    await store.settle([Settlement(two.id, "parked", uncertain=1)], "worker", NOW_MS)
    assert await store.uncertain_counts() == [
        UncertainCount("shop", "dead", 1, 1),
        UncertainCount("shop", "delivered", 1, 2),
    ]
    assert [(entry.outcome, entry.uncertain) for entry in await store.uncertain()] == [("dead", 1), ("delivered", 2)]
    assert len(await store.uncertain(limit=1)) == 1
    assert await store.uncertain(app="game") == []


async def test_states_are_kept_by_name(store):
    """Listed by how their names begin, in order; written again in place."""
    for name, value in (("lanes/b", b"2"), ("lanes/a", b"1"), ("lane", b"x"), ("lanesx", b"y"), ("lanes/b", b"3")):
        await store.put_state(name, value)
    assert await store.states("lanes/") == [("lanes/a", b"1"), ("lanes/b", b"3")]
    await store.drop_states(["lanes/a", "nothing"])
    assert await store.states("lanes/") == [("lanes/b", b"3")]
