"""What every store guarantees about filing, accounting and retention (`store.protocol`)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from filings import (
    DAY,
    LATER_MS,
    NOW_MS,
    bought,
    counted,
    direct,
    envelope,
    lease,
    lines,
    names,
    sighting,
    standing,
    waiting,
)
from filings import key as content
from msgspec import structs

from flybridge.records import DAY_MS, Apply, Dead, Envelope, Filing, Filter, Media, Refuse, Restricted, Source
from flybridge.store.figures import Count, LedgerEntry, RestrictedCount
from flybridge.store.records import Retention, Settlement

DEAD = Dead("map", "no_event_time", "The postback has no event_time.", "Select event_time in the Push API.")


async def test_every_decision_has_its_outcome(store):
    """One of each: the answer, the counters and the ledger agree."""
    filed = await store.file(
        [
            direct(),
            waiting("held", "k"),
            Filing(envelope(), Filter("event_not_selected")),
            Filing(envelope(source=Source.FILE), Refuse("restricted_source")),
            Filing(envelope(app="game"), Apply()),
            Filing(envelope(), DEAD),
        ],
        NOW_MS,
    )
    assert filed.outcomes == {"pending": 1, "held": 1, "filtered": 1, "refused": 1, "applied": 1, "dead": 1}
    assert {
        Count("shop", DAY, "push", "pending", "", 1),
        Count("shop", DAY, "push", "held", "", 1),
        Count("shop", DAY, "push", "filtered", "event_not_selected", 1),
        Count("shop", DAY, "file", "refused", "restricted_source", 1),
        Count("game", DAY, "push", "applied", "sighting", 1),
        Count("shop", DAY, "push", "dead", "no_event_time", 1),
    } == set(await store.counts())


async def test_the_ledger_tells_where_an_envelope_stands(store):
    """A line names receipt, app, source, outcome, reason, insert_id and times."""
    await store.file([direct(receipt="r", digest=b"of the bytes")], NOW_MS + 5)
    (delivery,) = await lease(store, NOW_MS + 5)
    await store.settle([Settlement(delivery.id, "delivered", tries=1)], "worker", NOW_MS + 9)
    assert await lines(store) == [
        LedgerEntry("r", "shop", "push", "delivered", "", "id-install", NOW_MS, NOW_MS + 9, 0, b"of the bytes")
    ]


async def test_the_ledger_streams_all_pages_of_one_app(store):
    """More lines than any page holds come once each, in the order of filing, for the app that was asked for."""
    await store.file([direct(receipt=f"s{n}") for n in range(2500)] + [direct(receipt="g", app="game")], NOW_MS)
    assert [line.receipt for line in await lines(store, app="shop")] == [f"s{n}" for n in range(2500)]
    assert [line.receipt for line in await lines(store, app="game")] == ["g"]


async def test_a_known_receipt_has_no_second_effect(store):
    """An inbox may hand out an envelope again after a crash; neither later nor in the same batch does it count."""
    first = [direct("a", receipt="a"), waiting("w", "k"), Filing(envelope("d"), DEAD)]
    await store.file(first, NOW_MS)
    filed = await store.file([*first, direct("b", receipt="b"), direct("b", receipt="b")], LATER_MS)
    assert (filed.outcomes, filed.repeated) == ({"pending": 1}, 4)
    assert await standing(store) == {"pending": 2, "held": 1, "dead": 1}
    assert await names(store, LATER_MS) == ["a", "b"]


async def test_the_same_content_counts_as_duplicate_and_does_nothing_else(store):
    """Its sightings, its performance and its item are those of the first."""
    first = direct("a", key=content("a"), key_until_ms=LATER_MS, performance=bought())
    await store.file([waiting("w", "k"), first], NOW_MS)
    again = direct("a", key=content("a"), key_until_ms=LATER_MS, performance=bought(), sightings=(sighting("k"),))
    filed = await store.file([again], NOW_MS + 1)
    assert (filed.outcomes, filed.matched) == ({"duplicate": 1}, 0)
    assert await names(store, LATER_MS) == ["a"]
    assert await counted(store) == 1
    assert await standing(store) == {"held": 1, "pending": 1, "duplicate": 1}


async def test_the_first_of_a_batch_wins(store):
    """Two envelopes of the same content in one batch: one effect."""
    await store.file([direct(n, key=content("same"), key_until_ms=LATER_MS) for n in ("a", "b")], NOW_MS)
    assert await names(store) == ["a"]
    assert await standing(store) == {"pending": 1, "duplicate": 1}


async def test_a_key_is_remembered_until_its_time_and_no_longer(store):
    """The last millisecond of the dedup window still counts, the next does not."""
    for at, name in ((NOW_MS, "first"), (NOW_MS + 999, "inside"), (NOW_MS + 1000, "after")):
        await store.file([direct(name, key=content("a"), key_until_ms=at + 1000)], at)
    assert await names(store, LATER_MS) == ["first", "after"]


async def test_a_batch_is_filed_whole_or_not_at_all(store):
    """A filing that can't be written takes its batch with it, and the store goes on."""
    broken = Filing(envelope(), object())
    with pytest.raises(AssertionError):
        await store.file([direct("a", key=content("a"), key_until_ms=LATER_MS), waiting("w", "k"), broken], NOW_MS)
    assert await standing(store) == {}
    assert (await counted(store), await store.holds()) == (0, [])
    await store.file([direct("a", key=content("a"), key_until_ms=LATER_MS)], NOW_MS)
    assert await names(store) == ["a"]


async def test_verbs_at_the_same_time_do_not_disturb_each_other(store):
    """A verb that fails takes none of those with it that run beside it."""
    batches = [store.file([direct(str(n))], NOW_MS) for n in range(20)]
    broken = [store.file([Filing(envelope(), object())], NOW_MS) for _ in range(5)]
    results = await asyncio.gather(*batches, *broken, return_exceptions=True)
    assert sum(isinstance(result, AssertionError) for result in results) == 5
    assert await standing(store) == {"pending": 20}


async def test_two_processes_that_file_the_same_receipts_file_them_once(open_store):
    """A worker that is slower than its lease meets the one that took over."""
    first, second = await open_store(), await open_store()
    batch = [direct(str(n), receipt=f"r{n}") for n in range(50)]
    one, other = await asyncio.gather(first.file(batch, NOW_MS), second.file(batch, NOW_MS))
    assert {one.repeated, other.repeated} == {0, 50}
    assert await standing(first) == {"pending": 50}


async def test_everything_is_there_after_a_restart(open_store):
    """Closing and opening changes nothing."""
    first = await open_store()
    await first.file([direct("a"), waiting("w", "k"), Filing(envelope(), DEAD)], NOW_MS)
    second = await open_store()
    await second.file([Filing(envelope(), Apply(), sightings=(sighting("k"),))], NOW_MS)
    assert await names(second) == ["a", "w"]
    assert await standing(first) == {"pending": 2, "dead": 1, "applied": 1}


async def test_a_dead_letter_keeps_all_a_person_needs(store):
    """Stage, reason, sentence, remedy, the original bytes, and which version gave up."""
    body = b'{"event_name": "install", \xff'
    await store.file([Filing(envelope("r", body=body, source=Source.PULL, media=Media.QUERY), DEAD)], NOW_MS + 7)
    (letter,) = await store.dead()
    assert (letter.receipt, letter.app, letter.source, letter.media) == ("r", "shop", "pull", "query")
    assert (letter.stage, letter.reason, letter.detail, letter.remedy) == (
        DEAD.stage,
        DEAD.reason,
        DEAD.detail,
        DEAD.remedy,
    )
    assert (letter.body, letter.received_ms, letter.died_ms) == (body, NOW_MS, NOW_MS + 7)
    assert letter.version


async def test_dead_letters_are_listed_newest_first_and_by_app_and_reason(store):
    """A limit cuts the oldest."""
    other = Dead("decode", "not_json", "", "")
    for at, (app, end) in enumerate((("shop", DEAD), ("game", DEAD), ("shop", other))):
        await store.file([Filing(envelope(f"r{at}", app), end)], NOW_MS + at)
    assert [letter.receipt for letter in await store.dead(limit=2)] == ["r2", "r1"]
    assert [letter.receipt for letter in await store.dead(app="shop")] == ["r2", "r0"]
    assert [letter.receipt for letter in await store.dead(reason="no_event_time")] == ["r1", "r0"]


async def test_dead_letters_are_listed_by_id(store):
    """Just these, newest first, however many; what is no dead letter is left out, and app and reason leave fewer."""
    await store.file([direct("a", receipt="alive")], NOW_MS)
    for at in range(120):
        await store.file([Filing(envelope(f"r{at}", "game" if at % 2 else "shop"), DEAD)], NOW_MS + at)
    listed = await store.dead(limit=200)
    ids = [letter.id for letter in listed]
    others = range(ids[-1] - 3, ids[-1])
    assert await store.dead(ids=[*reversed(ids), ids[0], *others, 0, -1, 2**63 - 1, 2**63, 10**30]) == listed
    assert await store.dead(ids=ids[:3]) == listed[:3]
    assert await store.dead(ids=[]) == []
    assert await store.dead(ids=ids[:3], app=listed[1].app) == [listed[1]]
    assert await store.dead(ids=ids, reason="other") == []


async def test_the_ids_of_dead_letters_are_read_in_pages(store):
    """In the order in which they were received; a letter that dies again keeps its place."""
    other = Dead("decode", "not_json", "", "")
    ends = (("shop", DEAD), ("game", DEAD), ("shop", other), ("shop", DEAD))
    for at, (app, end) in enumerate(ends):
        await store.file([Filing(envelope(f"r{at}", app), end)], NOW_MS - at)
    ids = [letter.id for letter in await store.dead()]
    assert await store.dead_ids() == ids == sorted(ids)
    assert await store.dead_ids(limit=2) == ids[:2]
    assert await store.dead_ids(after=ids[1], limit=2) == ids[2:]
    assert await store.dead_ids(after=ids[3]) == []
    assert await store.dead_ids(ids=[ids[2], ids[0], 0, -1, 2**70, 10**6], limit=1) == [ids[0], ids[2]]
    assert await store.dead_ids(ids=ids, app="shop", reason=DEAD.reason) == [ids[0], ids[3]]
    assert await store.dead_ids(ids=[]) == []
    assert await store.dead_ids(app="shop", reason=DEAD.reason) == [ids[0], ids[3]]
    await store.file([Filing(envelope("r0"), DEAD, replayed=True)], NOW_MS + 9)
    assert await store.dead_ids() == ids


async def test_a_replayed_letter_is_not_received_anew(store):
    """It leaves the dead letters, its line moves, its key does not stop it, and its performance counts once."""
    dead = Filing(envelope("r"), DEAD, key=content("a"), key_until_ms=LATER_MS, performance=bought())
    await store.file([dead], NOW_MS)
    (letter,) = await store.take_dead([(await store.dead())[0].id])
    replayed = direct(
        "a", receipt=letter.receipt, key=dead.key, key_until_ms=LATER_MS, performance=bought(), replayed=True
    )
    filed = await store.file([replayed, replayed], NOW_MS + 1)
    assert (filed.outcomes, filed.repeated) == ({"pending": 1}, 1)
    assert (await store.dead(), await standing(store)) == ([], {"pending": 1})
    assert await counted(store) == 1
    assert [line.insert_id for line in await lines(store)] == ["id-a"]
    assert await names(store, LATER_MS) == ["a"]


async def test_a_replay_of_what_is_not_dead_does_nothing(store):
    """Two operators who replay the same letter, or one who invents a receipt, change nothing."""
    await store.file([direct("a", receipt="r")], NOW_MS)
    replays = [direct(receipt="r", replayed=True), direct(receipt="unknown", replayed=True)]
    assert (await store.file(replays, NOW_MS)).repeated == 2
    assert await standing(store) == {"pending": 1}


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (Filter("f"), "filtered"),
        (Refuse("r"), "refused"),
        (Apply(), "applied"),
        (waiting("w", "k").decision, "held"),
        (Dead("map", "still", "detail", "remedy"), "dead"),
    ],
)
async def test_a_replay_may_end_in_any_outcome(store, decision, outcome):
    """Also in death once more, with the new reason."""
    await store.file([Filing(envelope("r"), DEAD)], NOW_MS)
    await store.file([Filing(envelope("r", body=b"[]"), decision, replayed=True)], NOW_MS + 3)
    assert await standing(store) == {outcome: 1}
    assert [(letter.reason, letter.died_ms) for letter in await store.dead()] == (
        [("still", NOW_MS + 3)] if outcome == "dead" else []
    )


FIELDS = {
    "app": "game",
    "source": Source.FILE,
    "media": Media.ROW,
    "received_ms": NOW_MS + 5,
    "body": b"[]",
    "receipt": "a-receipt",
    "ordinal": 3,
    "newest": True,
}
"""An envelope in which no field is as in the others."""


def test_the_envelope_of_the_next_test_has_every_field():
    """Whatever envelopes get in time, a dead letter has to keep."""
    assert FIELDS.keys() == {field.name for field in msgspec.structs.fields(Envelope)}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_dead_letter_keeps_every_field_of_its_envelope(store, field):
    """It is replayed as what it was: the newest conversion of its person, the third of its equal rows."""
    first = structs.replace(envelope("r"), **{field: FIELDS[field]})
    await store.file([Filing(first, DEAD)], NOW_MS)
    (letter,) = await store.dead()
    assert letter.envelope == first
    (taken,) = await store.take_dead([letter.id])
    assert taken.envelope == first
    await store.file([Filing(taken.envelope, DEAD, replayed=True)], NOW_MS)
    assert [letter.envelope for letter in await store.dead()] == [first]


async def test_take_dead_gives_only_what_can_be_processed_again(store):
    """A dead delivery is redelivered, not processed; taking changes nothing."""
    await store.file([Filing(envelope("r"), DEAD), direct("a")], NOW_MS)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "dead", reason="no")], "worker", NOW_MS)
    ids = [letter.id for letter in await store.dead()]
    assert [letter.receipt for letter in await store.take_dead([*ids, 999_999])] == ["r"]
    assert len(await store.dead()) == 2


async def test_what_restrictions_changed_is_counted_once_and_beside_the_events(store):
    """A duplicate changes nothing; what was refused for its source counts too."""
    changed = Restricted("redact", "Facebook Ads", DAY)
    kept_back = Filing(envelope(), Refuse("restricted_source"), restricted=changed)
    again = Filing(envelope(), Refuse("restricted_source"), content("again"), NOW_MS * 2, restricted=changed)
    await store.file([kept_back, again], NOW_MS)
    await store.file([structs.replace(again, envelope=envelope())], NOW_MS)
    assert await store.restricted() == [RestrictedCount("shop", DAY, "Facebook Ads", "redact", 2)]


async def test_prune_deletes_what_is_settled_and_old_and_keeps_the_counts(store):
    """What is held, pending or dead stays, however old, and so does what was settled yesterday."""
    await store.file(
        [
            Filing(envelope("f"), Filter("f")),
            waiting("w", "k", expires_ms=NOW_MS + 99 * DAY_MS),
            direct("p"),
            Filing(envelope("d"), DEAD),
        ],
        NOW_MS,
    )
    await store.file([Filing(envelope("new", received_ms=NOW_MS + 9 * DAY_MS), Filter("f"))], NOW_MS + 9 * DAY_MS)
    before = await standing(store)
    assert await store.prune(NOW_MS + 10 * DAY_MS, Retention(ledger_days=10, dead_days=30)) == 1
    assert before == await standing(store)
    assert "f" not in {line.receipt for line in await lines(store)}
    assert len(await lines(store)) == 4
    assert await store.audit() == []


async def test_prune_deletes_old_dead_letters_and_they_stay_counted(store):
    """A dead letter that nobody replayed in time is gone for good, and the account says so."""
    await store.file([Filing(envelope("d"), DEAD)], NOW_MS)
    assert await store.prune(NOW_MS + 29 * DAY_MS, Retention(ledger_days=7, dead_days=30)) == 0
    assert await store.prune(NOW_MS + 30 * DAY_MS, Retention(ledger_days=7, dead_days=30)) == 1
    assert (await store.dead(), await standing(store)) == ([], {"dead": 1})
    assert (await store.file([Filing(envelope("d"), Apply(), replayed=True)], NOW_MS)).repeated == 1


async def test_prune_forgets_keys_that_stop_nothing_any_more(store):
    """Only those: a key within its time still stops its duplicate afterwards."""
    await store.file([direct("a", key=content("a"), key_until_ms=NOW_MS + 1000)], NOW_MS)
    await store.file([direct("b", key=content("b"), key_until_ms=NOW_MS + 1001)], NOW_MS)
    assert await store.prune(NOW_MS + 1000, Retention(ledger_days=7, dead_days=7)) == 1
    filed = await store.file([direct("b", key=content("b"), key_until_ms=LATER_MS)], NOW_MS + 1000)
    assert filed.outcomes == {"duplicate": 1}


async def test_prune_works_through_many_steps(store):
    """Thousands of lines go in one call."""
    await store.file([Filing(envelope(), Filter("f"), content(str(n)), NOW_MS + 1) for n in range(2500)], NOW_MS)
    assert await store.prune(NOW_MS + DAY_MS, Retention(ledger_days=1, dead_days=1)) == 5000
    assert await lines(store) == []
    assert await standing(store) == {"filtered": 2500}
