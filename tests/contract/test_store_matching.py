"""What every store guarantees about holds and sightings."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest
from filings import (
    LATER_MS,
    NOW_MS,
    WINDOW_MS,
    direct,
    envelope,
    item,
    key,
    lease,
    lines,
    names,
    sighting,
    standing,
    waiting,
)

from flybridge.records import Apply, Filing, Hold
from flybridge.store.figures import Held
from flybridge.store.records import Lane, Settlement


def seen(*sightings, **fields) -> Filing:
    """File sightings and nothing else."""
    return Filing(envelope(**fields), Apply(), sightings=sightings)


async def people(store, now_ms: int = NOW_MS, **named) -> dict[str, tuple]:
    """Lease what is due and give who each item is of."""
    return {d.insert_id.removeprefix("id-"): (d.user_id, d.device_id) for d in await lease(store, now_ms, **named)}


async def test_a_hold_waits_and_a_sighting_releases_it(store):
    """The item becomes due with the identity that was seen."""
    await store.file([waiting("w", "k")], NOW_MS)
    assert (await names(store), await standing(store)) == ([], {"held": 1})
    filed = await store.file([seen(sighting("k"))], NOW_MS + 1)
    assert (filed.matched, filed.outcomes) == (1, {"applied": 1})
    assert await people(store, NOW_MS + 1) == {"w": ("ada", "ada-phone")}
    assert await store.holds() == []
    assert [(line.outcome, line.reason) for line in await lines(store)] == [
        ("pending", "matched"),
        ("applied", "sighting"),
    ]


async def test_what_would_be_matched_at_once_is_known_beforehand(store):
    """And nothing is kept of the question, nor of what the filings themselves would show."""
    asked = [waiting("w", "k", "l"), waiting("other", "m"), direct("d"), seen(sighting("m")), waiting("another", "k")]
    assert not await store.has_sightings()
    assert await store.are_matched(asked) == [False] * 5
    await store.file([seen(sighting("k", app="another")), seen(sighting("l"))], NOW_MS)
    assert await store.has_sightings()
    for _ in range(2):
        assert await store.are_matched(asked) == [True, False, False, False, False]
    await store.file(asked[:2], NOW_MS)
    assert await standing(store) == {"applied": 2, "held": 1, "pending": 1}


@pytest.mark.parametrize("end", ["dead", "parked", "lapsed"])
async def test_what_a_match_gave_is_kept_through_death(store, end):
    """An item that dies after its match is delivered under the same identity, if it is after all."""
    await store.file([waiting("w", "k")], NOW_MS)
    await store.file([seen(sighting("k"))], NOW_MS)
    [leased] = await lease(store)
    if end == "lapsed":
        assert await store.begin([leased.id], "worker") == [leased.id]
        assert (await store.rescue(NOW_MS, owner="worker", resend_uncertain=False)).parked == 1
    else:
        await store.settle([Settlement(leased.id, end, reason="invalid")], "worker", NOW_MS)
    [letter] = await store.dead()
    assert await store.redeliver([letter.id], NOW_MS) == 1
    assert await people(store) == {"w": ("ada", "ada-phone")}
    assert await store.audit() == []


async def test_who_was_seen_before_needs_no_wait(store):
    """The same identity, the same reason, without ever being held."""
    await store.file([seen(sighting("k"))], NOW_MS)
    filed = await store.file([waiting("w", "k")], NOW_MS)
    assert (filed.matched, filed.outcomes) == (1, {"pending": 1})
    assert await people(store) == {"w": ("ada", "ada-phone")}


@pytest.mark.parametrize("order", [1, -1])
async def test_one_batch_matches_within_itself(store, order):
    """Whichever of the two comes first in it."""
    filed = await store.file([waiting("w", "k"), seen(sighting("k"))][::order], NOW_MS)
    assert (filed.matched, filed.outcomes) == (1, {"pending": 1, "applied": 1})
    assert await people(store) == {"w": ("ada", "ada-phone")}


async def test_any_key_releases_and_it_happens_once(store):
    """A hold with three keys is released by the one that is seen; the others find nothing left."""
    await store.file([waiting("w", "a", "b", "c")], NOW_MS)
    assert (await store.file([seen(sighting("b"))], NOW_MS)).matched == 1
    assert (await store.file([seen(sighting("a"), sighting("c"))], NOW_MS)).matched == 0
    assert await names(store) == ["w"]


async def test_one_sighting_releases_all_of_a_person_in_the_order_of_events(store):
    """Whatever the order in which they were filed, and with what is filed beside it."""
    await store.file([waiting("third", "k", event_ms=30), waiting("first", "k", event_ms=10)], NOW_MS)
    batch = [waiting("second", "k", event_ms=20), waiting("last", "k", event_ms=30), seen(sighting("k"))]
    assert (await store.file(batch, NOW_MS)).matched == 4
    assert await names(store) == ["first", "second", "third", "last"]


async def test_a_sighting_of_another_app_or_key_releases_nothing(store):
    """Keys are an app's own, even if somebody made them equal."""
    await store.file([waiting("w", "k")], NOW_MS)
    assert (await store.file([seen(sighting("k", app="game"), sighting("other"))], NOW_MS)).matched == 0
    await store.file([waiting("g", "k", app="game")], NOW_MS)
    assert await people(store, lane=Lane("game", "http_v2")) == {"g": ("ada", "ada-phone")}
    assert await standing(store) == {"held": 1, "applied": 1, "pending": 1}


async def test_a_sighting_of_nobody_releases_nothing(store):
    """Without a user and a device there is nobody to give the event to."""
    await store.file([waiting("w", "k"), seen(sighting("k", None, None))], NOW_MS)
    assert await standing(store) == {"held": 1, "applied": 1}


async def test_the_newest_sighting_of_all_keys_wins_and_a_conflict_is_named(store):
    """Whatever the order in which sightings were filed."""
    old, new = sighting("a", "old", "phone-1", seen_ms=NOW_MS - 9), sighting("b", "new", "phone-2", seen_ms=NOW_MS - 1)
    await store.file([seen(new)], NOW_MS)
    await store.file([seen(old)], NOW_MS)
    await store.file([waiting("w", "a", "b"), waiting("only", "a")], NOW_MS)
    assert await people(store) == {"w": ("new", "phone-2"), "only": ("old", "phone-1")}
    assert [line.reason for line in await lines(store)][2:] == ["conflict", "matched"]


async def test_a_device_and_its_user_are_joined_from_two_sightings(store):
    """One stream knows the device, another the user of it."""
    await store.file([seen(sighting("a", None, "phone", seen_ms=2), sighting("b", "ada", "phone", seen_ms=1))], NOW_MS)
    await store.file([waiting("w", "a", "b")], NOW_MS)
    assert await people(store) == {"w": ("ada", "phone")}


async def test_a_sighting_is_renewed_by_a_newer_one(store):
    """Somebody who comes back to a shared device is its newest user again."""
    for user, at in (("ada", 1), ("eve", 2), ("ada", 3), ("eve", 2)):
        await store.file([seen(sighting("k", user, user, seen_ms=at))], NOW_MS)
    await store.file([waiting("w", "k")], NOW_MS)
    assert await people(store) == {"w": ("ada", "ada")}


@pytest.mark.parametrize("order", list(permutations((("ada", 1), ("ada", 5), ("eve", 3)))))
async def test_who_was_seen_last_does_not_depend_on_the_order_of_filing(store, order):
    """A sighting that only renews an older one of the same person counts with its own time."""
    for user, at in order:
        await store.file([seen(sighting("k", user, user, seen_ms=at))], NOW_MS)
    await store.file([waiting("w", "k")], NOW_MS)
    assert await people(store) == {"w": ("ada", "ada")}


async def test_an_identifier_of_very_many_people_keeps_the_newest(store):
    """What is remembered per key is bounded, and the winner is always among it."""
    for n in range(40):
        await store.file([seen(sighting("k", f"u{n}", f"d{n}", seen_ms=NOW_MS + n * (-1) ** n))], NOW_MS)
    await store.file([waiting("w", "k")], NOW_MS)
    assert await people(store) == {"w": ("u38", "d38")}


async def test_a_hold_ends_at_its_millisecond(store):
    """Not one earlier; its ids and its item are gone, and a sighting afterwards finds nothing."""
    await store.file([waiting("w", "k", expires_ms=NOW_MS + 1000)], NOW_MS)
    assert await store.expire(NOW_MS + 999) == 0
    assert await store.expire(NOW_MS + 1000) == 1
    assert (await store.holds(), await standing(store)) == ([], {"expired": 1})
    assert (await store.file([seen(sighting("k"), received_ms=NOW_MS + 1000)], NOW_MS + 1000)).matched == 0


async def test_a_sighting_in_the_last_millisecond_still_releases(store):
    """And one millisecond later it does not, even if nobody has called `expire` yet."""
    await store.file(
        [waiting("in", "a", expires_ms=NOW_MS + 1000), waiting("out", "b", expires_ms=NOW_MS + 999)], NOW_MS
    )
    last = seen(sighting("a"), sighting("b"), received_ms=NOW_MS + 999)
    assert (await store.file([last], NOW_MS + 999)).matched == 1
    assert await names(store, LATER_MS) == ["in"]
    assert await store.expire(NOW_MS + 999) == 1


async def test_a_sighting_that_was_received_in_time_is_in_time_whenever_it_is_filed(store):
    """Each by its own reception, whatever else is in the batch; one from the future was received now."""
    until_ms = NOW_MS + 1000
    await store.file([waiting(name, name, expires_ms=until_ms) for name in ("in", "out", "ahead")], NOW_MS)
    batch = [
        seen(sighting("in"), received_ms=until_ms - 1),
        seen(sighting("out"), received_ms=until_ms),
        seen(sighting("ahead"), received_ms=LATER_MS + 1),
    ]
    assert (await store.file(batch, LATER_MS)).matched == 1
    assert await names(store, LATER_MS) == ["in"]
    assert await store.expire(LATER_MS) == 2
    assert await store.audit() == []


async def test_a_sighting_in_time_is_in_time_also_if_a_later_one_was_filed_first(open_store):
    """By another worker: what one leases of the inbox is not filed in the order in which it was received."""
    first, second = [await open_store() for _ in range(2)]
    until_ms = NOW_MS + 1000
    await first.file([waiting(name, name, expires_ms=until_ms) for name in ("in", "out")], NOW_MS)
    late = [seen(sighting(name), received_ms=until_ms + 1) for name in ("in", "out")]
    assert (await first.file(late, LATER_MS, heard_ms=0)).matched == 0
    in_time = [seen(sighting("in"), received_ms=until_ms - 1), seen(sighting("out"), received_ms=until_ms)]
    assert (await second.file(in_time, LATER_MS, heard_ms=0)).matched == 1
    assert await names(second, LATER_MS) == ["in"]
    assert await first.expire(LATER_MS) == 1


async def test_a_sighting_from_the_future_is_one_of_now(store):
    await store.file([waiting("w", "k", expires_ms=NOW_MS + 1000)], NOW_MS)
    assert (await store.file([seen(sighting("k"), received_ms=LATER_MS)], NOW_MS + 999)).matched == 1


async def test_a_hold_stays_while_a_sighting_may_have_been_received_in_time(store):
    """Not all that was received before its end is filed yet."""
    until_ms = NOW_MS + 1000
    await store.file([waiting("in", "a", expires_ms=until_ms), waiting("out", "b", expires_ms=until_ms - 1)], NOW_MS)
    assert await store.expire(LATER_MS, heard_ms=until_ms - 1) == 1
    assert [hold.expires_ms for hold in await store.holds()] == [until_ms]
    assert (await store.file([seen(sighting("a"), received_ms=until_ms - 1)], LATER_MS)).matched == 1
    assert await standing(store) == {"applied": 1, "expired": 1, "pending": 1}


async def test_the_end_of_a_window_is_not_before_now(store):
    """Whatever is said of what is filed."""
    await store.file([waiting("w", "k", expires_ms=NOW_MS + 1000)], NOW_MS)
    assert await store.expire(NOW_MS + 999, heard_ms=LATER_MS) == 0


async def test_what_is_filed_after_its_window_waits_while_a_sighting_may_have_been_received_in_time(store):
    """After a long outage the sighting of an install may be some batches behind it."""
    late_ms, until_ms = NOW_MS + WINDOW_MS, NOW_MS + 1000
    batch = [waiting("in", "a", expires_ms=until_ms), waiting("out", "b", expires_ms=until_ms)]
    filed = await store.file([*batch, waiting("none", "c", expires_ms=NOW_MS)], late_ms, heard_ms=0)
    assert filed.outcomes == {"held": 2, "expired": 1}
    assert (await store.file([seen(sighting("a"), received_ms=until_ms - 1)], late_ms, heard_ms=0)).matched == 1
    assert await store.expire(late_ms, heard_ms=late_ms) == 1
    assert await names(store, late_ms) == ["in"]


async def test_what_is_filed_after_its_window_matches_at_once_or_never(store):
    """After a long outage: who is known gets the event, nobody waits for the others."""
    await store.file([seen(sighting("known"))], NOW_MS)
    late = NOW_MS + WINDOW_MS
    filed = await store.file([waiting("a", "known"), waiting("b", "unknown")], late)
    assert filed.outcomes == {"pending": 1, "expired": 1}
    assert await names(store, late) == ["a"]
    assert await store.holds() == []


async def test_expire_ends_the_oldest_first_and_no_more_than_asked(store):
    """Many expiries are worked through in parts."""
    await store.file([waiting(str(n), "k", expires_ms=NOW_MS + n) for n in (3, 1, 2)], NOW_MS)
    assert await store.expire(NOW_MS + 9, limit=2) == 2
    assert [held.expires_ms for held in await store.holds()] == [NOW_MS + 3]
    assert await store.expire(NOW_MS + 9, limit=2) == 1


async def test_what_has_found_its_person_does_not_stand_in_the_way_of_what_expires(store):
    """Of holds of the same moment, those that wait end, as many as asked for, whatever is between them."""
    at = NOW_MS + 9
    await store.file([waiting(str(n), f"k{n}", expires_ms=at) for n in range(12)], NOW_MS)
    await store.file([seen(*(sighting(f"k{n}") for n in range(12) if n % 4))], NOW_MS)
    assert [await store.expire(at, limit=2) for _ in range(3)] == [2, 1, 0]
    assert await standing(store) == {"applied": 1, "expired": 3, "pending": 9}
    assert await store.audit() == []


async def test_holds_show_what_waits_and_nobody(store):
    """Enough to understand why it waits, nothing that identifies a person."""
    hold = Hold(item("w"), (key("a"), key("b")), ("idfa", "customer_user_id"), 7, NOW_MS + WINDOW_MS, "tiktok")
    await store.file([Filing(envelope("r"), hold), waiting("g", "k", app="game"), waiting("later", "k")], NOW_MS)
    (first,) = await store.holds(limit=1)
    kinds = ("idfa", "customer_user_id")
    assert first == Held(first.id, "r", "shop", "[AppsFlyer] w", "tiktok", kinds, NOW_MS, 7, NOW_MS + WINDOW_MS)
    assert [held.event_type for held in await store.holds(app="shop")] == ["[AppsFlyer] w", "[AppsFlyer] later"]


async def test_two_processes_that_see_the_same_person_release_once(open_store):
    """The race for one key has one winner per hold."""
    first, second = await open_store(), await open_store()
    await first.file([waiting(str(n), "k") for n in range(20)], NOW_MS)
    batches = [store.file([seen(sighting("k"))], NOW_MS) for _ in range(10) for store in (first, second)]
    filed = await asyncio.gather(*batches)
    assert sum(one.matched for one in filed) == 20
    assert sorted(await names(second)) == sorted(str(n) for n in range(20))


async def test_a_hold_and_its_sighting_filed_at_the_same_time_always_meet(open_store):
    """Two processes, every interleaving the machine comes up with: nothing stays behind."""
    first, second = await open_store(), await open_store()
    for n in range(30):
        await asyncio.gather(
            first.file([waiting(str(n), f"k{n}")], NOW_MS), second.file([seen(sighting(f"k{n}"))], NOW_MS)
        )
    assert await standing(first) == {"pending": 30, "applied": 30}
    assert await first.holds() == []


async def test_a_postback_may_carry_sightings_of_its_own(store):
    """An event with a customer user id releases what waits for that person."""
    await store.file([waiting("w", "k")], NOW_MS)
    assert (await store.file([direct("d", sightings=(sighting("k"),))], NOW_MS)).matched == 1
    assert sorted(await names(store)) == ["d", "w"]


async def test_holds_are_listed_a_page_at_a_time_and_by_media_source(store):
    """Above an id, in the order of filing; of one source only those."""
    await store.file([waiting("a", "k1"), waiting("b", "k2"), waiting("c", "k3")], NOW_MS)
    first, second, third = await store.holds()
    assert [one.id for one in await store.holds(after=first.id)] == [second.id, third.id]
    assert [one.id for one in await store.holds(media_source="tiktok", limit=2)] == [first.id, second.id]
    assert await store.holds(media_source="other") == []
    assert await store.holds(app="game", media_source="tiktok") == []
