"""Messages that are kept beside the ledger, on every store: whose, how long, and how they go."""

from __future__ import annotations

import pytest
from filings import NOW_MS, direct, envelope, key, lease, waiting
from msgspec import structs
from test_store_sealed import execute, flip, other_than

from flybridge.errors import SealBroken
from flybridge.records import DAY_MS, HOUR_MS, Dead, Filing, Filter, Media, Person, Source
from flybridge.sealing import Seal
from flybridge.store.events import EventFilter, EventMessage
from flybridge.store.records import Retention, Settlement

BODY = b'{"event_name": "install"}'


def of(filing: Filing, *names: str, **fields) -> Filing:
    """Say whom a filing is about, each person by one key, and what its message was."""
    message = structs.replace(filing.envelope, **({"body": BODY} | fields))
    return structs.replace(filing, envelope=message, persons=tuple(Person((key(name),), NOW_MS) for name in names))


async def file(store, *filings: Filing):
    """File a batch."""
    await store.file(filings, NOW_MS)


async def kept(store) -> dict[str, EventMessage]:
    """Return the messages that are kept, by the outcome of their event."""
    rows = (await store.find_events(EventFilter())).rows
    stories = [await store.story(row.id) for row in rows]
    return {one.row.outcome: one.message for one in stories if one.message is not None}


async def number(store) -> int:
    """Return the number of kept messages."""
    return execute(store, "SELECT count(*) FROM messages")[0][0]


@pytest.mark.parametrize("source", list(Source))
@pytest.mark.parametrize("persons", [(), ("ada",), ("ada", "bob")])
async def test_what_arrived_about_one_person_is_kept(store, source, persons):
    """What was read can be read again; what is about several is not found when one of them is forgotten."""
    await file(store, of(Filing(envelope(source=source), Filter("r")), *persons))
    expected = source in {Source.PUSH, Source.STREAM} and len(persons) == 1
    assert await kept(store) == ({"filtered": EventMessage("json", BODY)} if expected else {})


async def test_every_outcome_has_its_message(store):
    """Held, delivered, repeated, left out; a dead letter has it already, until it is filed again."""
    again = of(direct("d", key=key("d"), key_until_ms=NOW_MS + DAY_MS), "ada", media=Media.QUERY)
    dead = of(Filing(envelope("letter"), Dead("map", "bad", "x", "y")), "ada")
    await file(store, again, of(waiting("w", "k"), "ada"), of(Filing(envelope(), Filter("r")), "ada"), dead)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    await file(store, structs.replace(again, envelope=structs.replace(again.envelope, receipt="again", body=b"2")))
    assert await kept(store) == {
        "delivered": EventMessage("query", BODY),
        "duplicate": EventMessage("query", b"2"),
        "held": EventMessage("json", BODY),
        "filtered": EventMessage("json", BODY),
    }
    replayed = structs.replace(of(direct("late"), "ada"), envelope=dead.envelope, replayed=True)
    await file(store, replayed)
    assert (await kept(store))["pending"] == EventMessage("json", BODY)
    await file(store, replayed)
    assert await number(store) == 5


async def test_a_message_that_is_dead_again_is_kept_once(store):
    """Replayed in vain, and at last with success."""
    dead = of(Filing(envelope("letter"), Dead("map", "bad", "x", "y")), "ada")
    await file(store, dead)
    await file(store, structs.replace(dead, replayed=True))
    assert await number(store) == 0
    await file(store, structs.replace(of(direct("late"), "ada"), envelope=dead.envelope, replayed=True))
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "dead", reason="r", detail="d")], "worker", NOW_MS)
    assert await number(store) == 1
    assert await store.redeliver([delivery.id], NOW_MS) <= 1
    assert await number(store) == 1


async def test_a_message_goes_with_its_time(store):
    """At the hour and not before, at once where the setting is 0, and with the ledger row in any case."""
    await file(store, of(direct("a"), "ada"))
    assert await store.prune(NOW_MS + 2 * HOUR_MS - 1, Retention(ledger_days=9, dead_days=9, message_hours=2)) == 0
    assert await store.prune(NOW_MS + 2 * HOUR_MS, Retention(ledger_days=9, dead_days=9, message_hours=2)) == 1
    assert await number(store) == 0
    await file(store, of(Filing(envelope(), Filter("r")), "ada"))
    await store.prune(NOW_MS + DAY_MS, Retention(ledger_days=1, dead_days=9, message_hours=720))
    assert await number(store) == 0
    await file(store, of(Filing(envelope(), Filter("r")), "ada"))
    await store.prune(NOW_MS, Retention(ledger_days=9, dead_days=9))
    assert await number(store) == 0
    assert await store.audit() == []


async def test_many_messages_are_deleted_in_one_go(store):
    """More than one step deletes."""
    await file(store, *(of(Filing(envelope(), Filter("r")), "ada") for _ in range(2_345)))
    await store.prune(NOW_MS + HOUR_MS, Retention(ledger_days=9, dead_days=9, message_hours=1))
    assert await number(store) == 0


async def test_to_forget_a_person_deletes_their_messages_alone(store):
    """Those of what is delivered, too, and what comes later from before is not kept."""
    await file(store, of(direct("a"), "ada"), of(direct("b"), "bob"), of(Filing(envelope(), Filter("r")), "ada"))
    for delivery in await lease(store):
        await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    await store.forget([key("ada")], NOW_MS + 1, receipt="f")
    assert await number(store) == 1
    await file(store, of(direct("late"), "ada"))
    assert await number(store) == 1
    assert list(await kept(store)) == ["delivered"]


async def test_a_damaged_message_is_said_to_be_so(store):
    """One bit: the story is told without it, and everything else goes on."""
    await file(store, of(direct("a"), "ada"))
    flip(store, "messages", "sealed", 100)
    assert await kept(store) == {"pending": EventMessage(is_sealed=True)}
    assert len(await lease(store)) == 1


async def test_messages_tell_whether_the_secret_is_right(store):
    """They may be all that is sealed: a wrong secret is refused, a former one opens them."""
    await file(store, of(Filing(envelope(), Filter("r")), "ada"))
    execute(store, "DELETE FROM state")
    with pytest.raises(SealBroken, match="former_secrets"):
        await other_than(store, Seal(b"another secret")).open()
    rotated = other_than(store, Seal(b"another secret", b"the secret of the tests"))
    await rotated.open()
    assert await kept(rotated) == {"filtered": EventMessage("json", BODY)}
    await rotated.close()


async def test_nothing_is_kept_unless_it_is_asked_for(store):
    """As it is without the setting."""
    usual = other_than(store, store._seal)
    await usual.open()
    await file(usual, of(direct("a"), "ada"))
    await usual.close()
    assert await number(store) == 0
    assert await kept(store) == {}
