"""Forgetting: a person is gone everywhere, nobody else is, the account still adds up, and they stay gone."""

from __future__ import annotations

import pytest
from filings import LATER_MS, NOW_MS, direct, envelope, item, key, lease, lines, sighting, standing, waiting
from msgspec import structs

from flybridge.errors import FlybridgeError
from flybridge.records import DAY_MS, Apply, Dead, Filing, Person, Source
from flybridge.store.core.tables import Read
from flybridge.store.receipt import Removed, VendorStep
from flybridge.store.records import Retention, Settlement

ASKED_MS = NOW_MS + 1000


def about(filing: Filing, *keys: str, event_ms: int = NOW_MS, **fields) -> Filing:
    """Say whom a filing is about."""
    person = Person(tuple(key(k) for k in keys), event_ms)
    came = structs.replace(filing.envelope, received_ms=max(event_ms, filing.envelope.received_ms))
    return structs.replace(filing, envelope=came, persons=(person,), **{"digest": b"d" * 16, **fields})


async def forget(store, *keys: str, now_ms: int = ASKED_MS, receipt: str = "receipt", **named):
    """Forget a person and give what was removed."""
    return (await store.forget([key(k) for k in keys], now_ms, receipt=receipt, **named)).removed


async def file(store, *filings: Filing, now_ms: int = NOW_MS):
    """File a batch and give its outcomes."""
    return dict((await store.file(filings, now_ms)).outcomes)


async def test_what_waits_ends_as_forgotten_and_others_are_left_alone(store):
    """Held, pending and dead events of the person are erased; the neighbour's are still there."""
    await file(
        store,
        about(waiting("w", "idfa"), "af", "idfa"),
        about(direct("p"), "af", "cuid"),
        about(Filing(envelope(), Dead("map", "fault", "detail", "")), "af"),
        about(waiting("other", "idfa-2"), "af-2", "idfa-2"),
        about(direct("also-other"), "af-2"),
    )
    assert await forget(store, "cuid") == Removed(1, held=1, pending=1, dead=1, tombstones=3)
    assert await standing(store) == {"forgotten": 3, "held": 1, "pending": 1}
    assert [held.event_type for held in await store.holds()] == ["[AppsFlyer] other"]
    assert await store.dead() == []
    assert [delivery.insert_id for delivery in await lease(store)] == ["id-also-other"]
    assert await store.audit() == []


async def test_what_would_end_as_forgotten_is_known_beforehand(store):
    """And nothing is kept of the question. What happened after the request would not, nor would the neighbour's."""
    await file(store, about(waiting("w", "idfa"), "af", "idfa"), about(waiting("other", "idfa-2"), "af-2", "idfa-2"))
    asked = [
        about(direct("again"), "af"),
        about(direct("later"), "af", event_ms=ASKED_MS + 1),
        about(direct("neighbour"), "af-2"),
        about(direct("same device"), "new", "idfa"),
        about(direct("by that device's installation"), "new"),
        direct("nobody's"),
    ]
    assert await store.are_forgotten(asked) == [False] * 6
    await forget(store, "af")
    for _ in range(2):
        assert await store.are_forgotten(asked) == [True, False, False, True, True, False]
    assert await file(store, *asked, now_ms=ASKED_MS + 2) == {"forgotten": 3, "pending": 3}


async def test_what_rows_show_of_the_forgotten_is_known_of_the_next_ones(store):
    """As it would be if they had been filed: of the same installation, and of what is known of it."""
    assert not await store.has_forgotten()
    await file(store, about(direct("known"), "af-2", "idfv"))
    await forget(store, "cuid")
    assert await store.has_forgotten()
    shown: dict[bytes, int] = {}
    pages = ([about(direct("first"), "af-2", "cuid")], [about(direct("next"), "af-2"), about(direct("same"), "idfv")])
    for page in pages:
        assert await store.are_forgotten(page, shown) == [True] * len(page)
    assert await store.are_forgotten(pages[1]) == [False, False]
    for page in pages:
        assert await file(store, *page, now_ms=ASKED_MS + 2) == {"forgotten": len(page)}


async def test_a_delivered_line_stays_counted_and_is_nobodys(store):
    """Digest and insert_id go, the outcome stays."""
    await file(store, about(direct("d"), "af"))
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    assert await forget(store, "af") == Removed(1, anonymised=1, tombstones=1)
    (line,) = await lines(store)
    assert (line.outcome, line.digest, line.insert_id) == ("delivered", b"", "")


async def test_a_settlement_of_what_was_in_flight_is_stale(store):
    """The answer comes after the request to be forgotten, and changes nothing."""
    await file(store, about(direct("d"), "af"))
    (delivery,) = await lease(store)
    assert (await forget(store, "af")).pending == 1
    settled = await store.settle([Settlement(delivery.id, "delivered")], "worker", ASKED_MS)
    assert (settled.settled, settled.stale) == (0, 1)
    assert await standing(store) == {"forgotten": 1}


async def test_keys_lead_from_one_installation_to_the_next(store):
    """The first phone and the second share a user id; asking by the first one's idfa forgets both."""
    await file(
        store,
        about(direct("a"), "af-1", "idfa-1", "cuid"),
        about(direct("b"), "af-2", "cuid"),
        about(direct("c"), "af-3"),
    )
    removed = await forget(store, "idfa-1")
    assert (removed.installations, removed.pending, removed.tombstones) == (2, 2, 4)
    assert await standing(store) == {"forgotten": 2, "pending": 1}


async def test_a_key_that_everybody_has_leads_to_nobody(store):
    """A placeholder user id on many installations does not join them, and gets no tombstone."""
    await file(store, *(about(direct(f"n{n}"), f"af-{n}", "guest") for n in range(60)))
    removed = await forget(store, "af-7")
    assert (removed.installations, removed.pending, removed.shared, removed.tombstones) == (1, 1, 1, 1)
    assert await file(store, about(direct("next"), "af-8", "guest")) == {"pending": 1}


async def test_a_key_of_more_installations_than_anybody_has_is_refused(store):
    """Nothing is removed, and the sentence says why."""
    await file(store, *(about(direct(f"n{n}"), f"af-{n}", "guest") for n in range(501)))
    with pytest.raises(FlybridgeError, match="more than 500 installations"):
        await forget(store, "guest")
    assert await standing(store) == {"pending": 501}
    assert await store.receipts() == []


async def test_sightings_are_deleted(store):
    """Who was seen with the person's keys is not known any more: a later hold waits."""
    seen = about(Filing(envelope(), Apply(), sightings=(sighting("idfa"), sighting("cuid"))), "device", "idfa", "cuid")
    await file(store, seen)
    removed = await forget(store, "cuid")
    assert (removed.sightings, removed.anonymised) == (2, 1)
    after = about(waiting("w", "idfa"), "af", "idfa", event_ms=ASKED_MS + 1)
    assert await file(store, after) == {"held": 1}


async def test_a_hold_is_found_by_its_key_alone(store):
    """Also one that was filed before persons were."""
    await file(store, waiting("w", "idfa"))
    assert (await forget(store, "idfa")).held == 1
    assert await standing(store) == {"forgotten": 1}


async def test_lines_can_be_named_besides(store):
    """A dead letter that nobody could read has no keys, but an id of its own."""
    await file(store, Filing(envelope(), Dead("decode", "not_json", "", "")), direct("other"))
    (letter,) = await store.dead()
    assert (await forget(store, "af", also=[letter.id])).dead == 1
    assert await standing(store) == {"forgotten": 1, "pending": 1}


@pytest.mark.parametrize(
    ("event_ms", "outcome"),
    [(NOW_MS, "forgotten"), (ASKED_MS, "forgotten"), (0, "forgotten"), (ASKED_MS + 1, "pending")],
)
async def test_data_from_before_the_request_has_no_effect(store, event_ms, outcome):
    """A re-import ends as forgotten, also of an event that says no time; what the person does later counts."""
    await forget(store, "af")
    again = about(direct("again"), "af", "new-key", event_ms=event_ms, key=key("content"), key_until_ms=LATER_MS)
    assert await file(store, again, now_ms=LATER_MS) == {outcome: 1}
    (line,) = await lines(store)
    gone = outcome == "forgotten"
    assert (line.reason, line.digest == b"", line.insert_id == "") == ("before_request" if gone else "", gone, gone)
    assert len(await lease(store, LATER_MS)) == (0 if gone else 1)


@pytest.mark.parametrize("ahead_ms", [1, 300_000, 10 * DAY_MS])
async def test_what_was_received_before_the_request_is_judged_by_reception(store, ahead_ms):
    """A device whose clock is ahead dates an event after the request that came before it."""
    await store.forget([key("ada")], NOW_MS, receipt="f")
    late = structs.replace(direct("late"), persons=(Person((key("ada"),), NOW_MS + ahead_ms),))
    await store.file([late], NOW_MS + 1)
    assert (await lines(store))[0].outcome == "forgotten"
    later = structs.replace(late, envelope=envelope(received_ms=NOW_MS + 1))
    await store.file([later], NOW_MS + 2)
    assert await standing(store) == {"forgotten": 1, "pending": 1}


async def test_an_unreadable_message_that_waited_in_the_inbox_ends_as_forgotten(store):
    """It mentions the person, and was received before the request; what is received later is kept."""
    await store.forget([key("ada")], NOW_MS, receipt="f")
    dead = Dead("decode", "not_json", "d", "r")
    for received_ms in (NOW_MS, NOW_MS + 1):
        about = envelope(received_ms=received_ms, body=b"ada, cut")
        await store.file([Filing(about, dead, mentions=(key("bob"), key("ada")))], NOW_MS + 2)
    assert [line.outcome for line in await lines(store)] == ["forgotten", "dead"]
    assert [letter.received_ms for letter in await store.dead()] == [NOW_MS + 1]


@pytest.mark.parametrize("source", [Source.FILE, Source.PULL, Source.LOCKER, Source.SIGHTINGS])
async def test_an_unreadable_row_that_mentions_the_person_ends_as_forgotten_whenever_it_is_read(store, source):
    """It does not say when it happened, and may be from before the request. One that mentions others is kept."""
    await store.forget([key("ada")], NOW_MS, receipt="f")
    dead = Dead("decode", "bad_row", "d", "r")
    later = NOW_MS + 10 * DAY_MS
    for mentioned in ("ada", "bob"):
        row = envelope(received_ms=later, body=f"{mentioned},cut".encode(), source=source)
        await store.file([Filing(row, dead, mentions=(key(mentioned),))], later)
    assert [line.outcome for line in await lines(store)] == ["forgotten", "dead"]
    assert [letter.body for letter in await store.dead()] == [b"bob,cut"]


async def test_keys_lead_to_all_that_are_known_to_be_the_same_person(store):
    """As far as forgetting them follows, and nothing is changed. A key that is not known leads to itself."""
    await file(
        store, about(waiting("w", "idfa"), "af", "idfa"), about(direct("p"), "af-2", "idfa"), about(direct("o"), "x")
    )
    assert await store.linked([key("af-2")]) == {key("af"), key("af-2"), key("idfa")}
    assert await store.linked([key("new")]) == {key("new")}
    assert await standing(store) == {"held": 1, "pending": 2}


async def test_what_is_suppressed_leaves_no_trace_and_is_no_duplicate(store):
    """Not the content key, not a sighting, not a key of the person."""
    await forget(store, "af")
    old = about(direct("old"), "af", "idfa", key=key("content"), key_until_ms=LATER_MS, sightings=(sighting("idfa"),))
    assert await file(store, old) == {"forgotten": 1}
    assert await file(store, structs.replace(old, envelope=envelope())) == {"forgotten": 1}
    assert await file(store, waiting("w", "idfa")) == {"held": 1}
    assert (await forget(store, "idfa", receipt="next")).installations == 0


AS_WAITED = [("af", "idfa"), ("af", "cuid")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("asked", ["idfa", "af", "cuid"])
async def test_what_waits_in_the_inbox_shows_what_else_is_the_persons(store, asked, size, order):
    """Messages that were received before the request and link ids are followed, in whichever order and batch."""
    waits = [about(waiting("w", "idfa"), *AS_WAITED[0]), about(direct("d"), *AS_WAITED[1])]
    await forget(store, asked)
    waits = [waits[place] for place in order]
    for at in range(0, 2, size):
        await file(store, *waits[at : at + size], about(direct("other"), "af-2", "cuid-2"), now_ms=LATER_MS)
    assert await standing(store) == {"forgotten": 2, "pending": 2 // size}
    new = about(direct("new"), "af", "cuid", event_ms=ASKED_MS + 1)
    assert await file(store, new, now_ms=LATER_MS) == {"pending": 1}
    assert await store.audit() == []


async def test_what_was_filed_already_is_removed_with_what_shows_whose_it_is(store):
    """Held, in flight in a bundle, and settled; what was received after the request is new data and stays."""
    await file(store, about(waiting("w", "idfa"), "af", "idfa"), about(direct("p"), "af"), about(direct("q"), "af-3"))
    await forget(store, "cuid")
    await file(store, about(direct("n"), "af", event_ms=ASKED_MS + 1), now_ms=LATER_MS)
    shows = about(direct("s", receipt="shows"), "af", "cuid")
    for _ in range(2):  # the process that filed it was killed before the inbox knew
        await store.file([shows], LATER_MS)
    assert await standing(store) == {"forgotten": 3, "pending": 2}
    assert sorted(one.insert_id for one in await lease(store, LATER_MS)) == ["id-n", "id-q"]
    assert (await forget(store, "af", receipt="next", now_ms=LATER_MS)).pending == 1
    assert await store.audit() == []


async def test_what_comes_later_from_before_shows_installations_alone(store):
    """A file says that another installation was the person's, and which user id was used on it by others, too."""
    await forget(store, "idfa")
    old = [about(direct(f"o{n}"), f"af-{n}", "cuid", *("idfa",) * (n < 2)) for n in range(3)]
    late = [structs.replace(one, envelope=envelope(received_ms=LATER_MS)) for one in old]
    assert await file(store, *late, now_ms=LATER_MS) == {"forgotten": 2, "pending": 1}
    again = structs.replace(about(waiting("w", "x"), "af-1"), envelope=envelope(received_ms=LATER_MS))
    assert await file(store, again, now_ms=LATER_MS) == {"forgotten": 1}


async def test_what_a_file_has_held_is_removed_with_what_shows_whose_it_is(store):
    """It was received after the request, and happened before."""
    await forget(store, "cuid")
    old = [
        about(waiting("w", "x"), "af"),
        about(waiting("v", "x", event_ms=ASKED_MS + 1), "af"),
        about(direct(), "af", "cuid"),
    ]
    for one in old:
        await file(store, structs.replace(one, envelope=envelope(received_ms=LATER_MS)), now_ms=LATER_MS)
    assert await standing(store) == {"forgotten": 2, "held": 1}


async def test_a_key_that_everybody_has_shows_nobody(store):
    """Neither one of which the store knows that many have it, nor one that many have in the batch."""
    await file(store, *(about(direct(f"d{n}"), f"af-{n}", "default") for n in range(60)))
    await forget(store, "ada")
    many = [about(direct(f"e{n}"), f"ag-{n}", "placeholder", *("ada",) * (n == 7)) for n in range(60)]
    await file(store, *many, about(direct("s"), "af", "ada", "default"), now_ms=LATER_MS)
    assert await standing(store) == {"pending": 119, "forgotten": 2}


async def test_only_the_forgotten_are_taken_out_of_a_message_about_many(store):
    """A cohort names two people; the other one is still learnt."""
    await forget(store, "ada")
    people = (Person((key("ada"), key("ada-idfa"))), Person((key("bob"), key("bob-idfa"))))
    seen = (sighting("ada-idfa", "ada"), sighting("bob-idfa", "bob"))
    cohort = Filing(envelope(source=Source.COHORT), Apply(), sightings=seen, persons=people)
    assert await file(store, cohort) == {"applied": 1}
    assert await file(store, waiting("a", "ada-idfa"), waiting("b", "bob-idfa")) == {"held": 1, "pending": 1}


@pytest.mark.parametrize("occurrence", ["", "-950", "-r2"])
async def test_the_content_key_of_what_is_forgotten_is_forgotten(store, occurrence):
    """The same event of a person who came back is no duplicate of something that does not exist."""
    content = key("content")
    event = structs.replace(direct("e"), decision=structs.replace(item("e"), insert_id=content.hex() + occurrence))
    event = about(event, "af", key=content, key_until_ms=LATER_MS)
    await file(store, event)
    await forget(store, "af")
    back = structs.replace(event, envelope=envelope(received_ms=ASKED_MS + 1))
    back = structs.replace(back, persons=(Person((key("af"),), ASKED_MS + 1),))
    assert await file(store, back) == {"pending": 1}


async def test_a_replayed_letter_of_the_forgotten_ends_as_forgotten(store):
    """It died unreadable, the person was forgotten, and a later version can read it."""
    await file(store, Filing(envelope("letter"), Dead("map", "fault", "", "")))
    await forget(store, "af")
    again = about(direct("again", receipt="letter"), "af", replayed=True)
    assert await file(store, again) == {"forgotten": 1}
    assert await standing(store) == {"forgotten": 1}
    assert await store.dead() == []


async def test_a_receipt_is_kept_and_added_to(store):
    """Running it again adds to the counts; vendor steps are remembered; the keys find it."""
    await file(store, about(direct("a"), "af"))
    await forget(store, "af", "cuid")
    await file(store, about(direct("b"), "af", event_ms=ASKED_MS + 5))
    assert (await forget(store, "cuid", "af", now_ms=ASKED_MS + 10)).pending == 2
    step = VendorStep("amplitude", "shop", "customer_user_id", "1", "failed", 500, "again", 3)
    await store.note("receipt", [step])
    (kept,) = await store.receipts(keys=[key("cuid"), key("af")])
    assert (kept.id, kept.made_ms, kept.steps, kept.settled) == ("receipt", ASKED_MS, (step,), False)
    assert await store.receipts(keys=[key("af")]) == []
    assert await store.receipts() == [kept]


async def test_forgetting_survives_being_opened_again(open_store):
    """The tombstone is in the file, not in the process."""
    first, second = await open_store(), await open_store()
    await forget(first, "af")
    assert await file(second, about(direct("old"), "af")) == {"forgotten": 1}


async def test_keys_of_people_go_with_their_last_line(store):
    """Retention reaches the index of people, too, except where a sighting still needs it."""
    await file(
        store,
        about(Filing(envelope(), Apply()), "af", "cuid"),
        about(Filing(envelope(), Apply(), sightings=(sighting("idfa"),)), "device", "idfa"),
    )
    await store.prune(NOW_MS + 40 * DAY_MS, Retention(ledger_days=30, dead_days=30))
    assert (await forget(store, "cuid")).installations == 0
    assert (await forget(store, "idfa", receipt="next")).installations == 1


async def test_both_keys_of_an_event_of_two_moments_are_removed(store):
    """Its insert_id names them."""
    first, second = key("first"), key("second")
    deliver = structs.replace(item(user_id="ada"), insert_id=f"{first.hex()}-{second.hex()}-r2")
    known = {"key": first, "other_key": second, "ordinal": 2, "key_until_ms": NOW_MS + DAY_MS}
    await file(
        store, about(Filing(envelope(), deliver, **known), "ada"), direct(key=key("other"), key_until_ms=LATER_MS)
    )
    assert await remembered(store, first, second, key("other")) == 3
    await forget(store, "ada")
    assert await remembered(store, first, second, key("other")) == 1


async def remembered(store, *keys: bytes) -> int:
    """Return how many of these content keys are remembered."""
    return len(await store._read(lambda db: db.among(Read.SEEN, keys, NOW_MS)))
