"""What only many writers can break: two stores in one place, everything at the same time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from filings import (
    LATER_MS,
    NOW_MS,
    WINDOW_MS,
    bought,
    counted,
    direct,
    envelope,
    key,
    lease,
    lines,
    names,
    sighting,
    standing,
    waiting,
)
from msgspec import structs

from flybridge.records import Apply, Carried, Dead, Filing, Filter, Person, Source
from flybridge.store.performance import Slice
from flybridge.store.records import Retention, Settlement

DEAD = Dead("map", "no_event_time", "", "")


def seen(*named: str, **fields) -> Filing:
    """File sightings of these keys and nothing else."""
    return Filing(envelope(source=Source.STREAM), Apply(), sightings=tuple(sighting(k, **fields) for k in named))


async def pair(open_store):
    """Open the place twice, as two processes."""
    return await open_store(), await open_store()


async def test_two_filers_of_the_same_receipts_in_any_order_have_one_effect(open_store):
    """Whatever the batches and their order: each receipt is filed once, by one of the two."""
    one, two = await pair(open_store)
    dice = random.Random(5)
    filings = [
        make(n)
        for n in range(40)
        for make in (
            lambda n: direct(f"d{n}", receipt=f"d{n}", performance=bought()),
            lambda n: Filing(envelope(f"f{n}"), Filter("f")),
            lambda n: structs.replace(waiting(f"w{n}", f"k{n}"), envelope=envelope(f"w{n}")),
            lambda n: Filing(envelope(f"x{n}"), DEAD),
        )
    ]
    for _ in range(4):
        verbs = []
        for store in (one, two):
            shuffled = dice.sample(filings, len(filings))
            verbs += [store.file(shuffled[at : at + 20], NOW_MS) for at in range(0, len(shuffled), 20)]
        filed = await asyncio.gather(*verbs)
        assert sum(sum(each.outcomes.values()) + each.repeated for each in filed) == 2 * len(filings)
    assert await standing(one) == {"pending": 40, "filtered": 40, "held": 40, "dead": 40}
    assert await counted(two) == 40
    assert sorted(await names(two)) == sorted(f"d{n}" for n in range(40))


async def test_the_same_content_filed_twice_at_once_counts_once(open_store):
    """Two receipts, one content key, two processes: one effect and one duplicate."""
    one, two = await pair(open_store)
    for n in range(30):
        content = {"key": key(f"c{n}"), "key_until_ms": LATER_MS, "performance": bought()}
        await asyncio.gather(*(store.file([direct(f"n{n}", **content)], NOW_MS) for store in (one, two)))
    assert await standing(one) == {"pending": 30, "duplicate": 30}
    assert await counted(one) == 30
    assert len(await lease(two)) == 30


async def test_a_letter_replayed_twice_at_once_is_replayed_once(open_store):
    """Two operators press the same button."""
    one, two = await pair(open_store)
    for n in range(20):
        await one.file([Filing(envelope(f"r{n}"), DEAD)], NOW_MS)
        again = direct(f"a{n}", receipt=f"r{n}", replayed=True)
        filed = await asyncio.gather(*(store.file([again], NOW_MS) for store in (one, two, one, two)))
        assert sorted(each.repeated for each in filed) == [0, 1, 1, 1]
    assert await standing(two) == {"pending": 20}


async def test_holds_and_their_sightings_always_meet_whatever_the_batches(open_store):
    """Many rounds of holds with several keys against sightings of any of them, from both sides."""
    one, two = await pair(open_store)
    dice = random.Random(7)
    matched = 0
    for turn in range(25):
        people = [f"{turn}-{n}" for n in range(8)]
        holds = [waiting(p, f"{p}-a", f"{p}-b", f"{p}-c") for p in people]
        sightings = [seen(f"{p}-{dice.choice('abc')}") for p in people]
        both = dice.sample(holds + sightings, len(people) * 2)
        cut = dice.randint(4, 12)
        filed = await asyncio.gather(one.file(both[:cut], NOW_MS), two.file(both[cut:], NOW_MS))
        matched += sum(each.matched for each in filed)
    assert matched == 200
    assert await standing(one) == {"pending": 200, "applied": 200}
    assert await one.holds() == []
    sent = await names(two)
    assert (len(sent), len(set(sent))) == (200, 200)


async def test_two_sightings_of_one_key_are_both_remembered(open_store):
    """Neither overwrites the other: the newest wins and the conflict is seen."""
    one, two = await pair(open_store)
    for n in range(20):
        old, new = seen(f"k{n}", user_id="old", device_id="d1", seen_ms=1), seen(f"k{n}", user_id="new", device_id="d2")
        await asyncio.gather(one.file([old], NOW_MS), two.file([new], NOW_MS))
    await one.file([waiting(f"w{n}", f"k{n}") for n in range(20)], NOW_MS)
    assert {delivery.user_id for delivery in await lease(two)} == {"new"}
    assert Counter(line.reason for line in await lines(one) if line.outcome == "pending") == {"conflict": 20}


async def test_leasers_never_share_an_item_and_leave_none(open_store):
    """Many leasers of both processes, with settlements between."""
    one, two = await pair(open_store)
    await one.file([direct(str(n)) for n in range(300)], NOW_MS)
    given: list[str] = []

    async def work(store, owner: str) -> None:
        while batch := await store.lease(batch_lane, 7, NOW_MS, 60_000, owner):
            given.extend(delivery.insert_id for delivery in batch)
            settled = await store.settle([Settlement(d.id, "delivered") for d in batch], owner, NOW_MS)
            assert settled.settled == len(batch)

    batch_lane = (await one.lanes(NOW_MS))[0]
    await asyncio.gather(*(work(store, f"{i}-{n}") for n in range(3) for i, store in enumerate((one, two))))
    # A leaser may find nothing while the others hold the rest for a moment: what is left then is given to the next.
    await work(one, "last")
    assert Counter(given) == Counter(f"id-{n}" for n in range(300))
    assert await standing(two) == {"delivered": 300}


async def test_expirers_end_each_hold_once(open_store):
    """They may all try: the holds that ended are counted once between them."""
    one, two = await pair(open_store)
    await one.file([waiting(str(n), f"k{n}") for n in range(200)], NOW_MS)
    ended = 0
    while ended < 200:
        found = await asyncio.gather(*(store.expire(NOW_MS + WINDOW_MS, 30) for store in (one, two, one, two)))
        ended += sum(found)
    assert ended == 200
    assert await standing(one) == {"expired": 200}
    assert await two.expire(NOW_MS + WINDOW_MS) == 0


async def test_a_hold_is_either_sighted_or_expired_or_released_by_hand(open_store):
    """The clock, an operator and a sighting reach for the same holds."""
    one, two = await pair(open_store)
    await one.file([waiting(str(n), f"k{n}", expires_ms=NOW_MS + 5) for n in range(60)], NOW_MS)
    ids = [hold.id for hold in await one.holds()]
    matched, ended, released, *_ = await asyncio.gather(
        two.file([seen(f"k{n}") for n in range(60)], NOW_MS),
        one.expire(NOW_MS + 5, 40),
        two.release(ids[20:50], NOW_MS, user_id="eve"),
        one.expire_now(ids[40:], NOW_MS),
    )
    totals = Counter(await standing(one))
    assert totals["pending"] == matched.matched + len(released.released)
    assert totals["pending"] + totals["expired"] + totals["held"] == 60
    assert totals["applied"] == 60
    assert len(await lease(two)) == totals["pending"]
    assert ended <= 40


async def test_a_settlement_and_a_rescue_of_one_delivery_do_not_both_count(open_store):
    """Either the answer comes first, or the delivery is due again and the answer is stale."""
    one, two = await pair(open_store)
    for n in range(20):
        await one.file([direct(str(n))], NOW_MS)
        (delivery,) = await lease(one)
        settled, rescued = await asyncio.gather(
            one.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS), two.rescue(LATER_MS)
        )
        assert settled.settled + rescued.returned == 1
        if rescued.returned:
            (again,) = await lease(two)
            await two.settle([Settlement(again.id, "delivered")], "worker", NOW_MS)
    assert await standing(one) == {"delivered": 20}


async def test_counters_of_one_hot_day_are_exact(open_store):
    """Everybody counts the same app, day, source, campaign and kind of key at once."""
    one, two = await pair(open_store)
    carried = Carried("ios", "1", "tiktok", "idfa")
    batches = [
        [direct(performance=bought(1.0), carried=carried), waiting("w", f"{n}", carried=carried), seen(f"s{n}")]
        for n in range(60)
    ]
    await asyncio.gather(*(store.file(batch, NOW_MS) for store, batch in zip((one, two) * 30, batches, strict=True)))
    assert [(row.n, row.revenue) for row in await one.performance(Slice(0, 50_000, 50_000))] == [(60, 60_000_000)]
    assert [row.n for row in await two.coverage()] == [120]
    assert [count.n for count in await one.hold_counts()] == [60]
    assert [kind.n for kind in await two.sighted_kinds()] == [60]
    assert await standing(one) == {"pending": 60, "held": 60, "applied": 60}


async def test_a_person_new_to_two_processes_is_one_person(open_store):
    """Both meet her at the same moment; forgetting her finds one installation and all her lines."""
    one, two = await pair(open_store)
    about = [structs.replace(direct(str(n)), persons=(Person((key("af"), key(f"id{n}")), NOW_MS),)) for n in range(10)]
    await asyncio.gather(*(store.file([one_of], NOW_MS) for store, one_of in zip((one, two) * 5, about, strict=True)))
    removed = (await one.forget([key("id3")], NOW_MS + 1, receipt="receipt")).removed
    assert (removed.installations, removed.pending) == (1, 10)


async def test_nobody_slips_past_being_forgotten(open_store):
    """What is filed while she is forgotten is either found by it or stopped by her tombstone."""
    one, two = await pair(open_store)
    for turn in range(10):
        af = f"af{turn}"
        about = [
            structs.replace(direct(f"{turn}-{n}"), persons=(Person((key(af), key(f"cu{turn}")), NOW_MS),))
            for n in range(6)
        ]
        await one.file(about[:1], NOW_MS)
        others = zip((one, two, one, two, one), about[1:], strict=True)
        filings = [store.file([filing], NOW_MS) for store, filing in others]
        await asyncio.gather(*filings, two.forget([key(f"cu{turn}")], NOW_MS + 1, receipt=f"receipt{turn}"))
    assert await standing(one) == {"forgotten": 60}
    assert await lease(two) == []


async def test_two_who_prune_delete_each_line_once(open_store):
    """They share the work, and the account says how much is gone."""
    one, two = await pair(open_store)
    await one.file([Filing(envelope(), Filter("f")) for _ in range(1500)], NOW_MS)
    removed = await asyncio.gather(
        *(store.prune(NOW_MS + WINDOW_MS, Retention(ledger_days=1, dead_days=1)) for store in (one, two, one))
    )
    rest = await two.prune(NOW_MS + WINDOW_MS, Retention(ledger_days=1, dead_days=1))
    assert sum(removed) + rest == 1500
    assert await lines(one) == []
    assert await standing(two) == {"filtered": 1500}
