"""Every row of the tables in `docs/states.md`, walked on every store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from filings import LATER_MS, NOW_MS, WINDOW_MS, direct, envelope, key, lease, sighting, standing, waiting
from msgspec import structs

from flybridge.records import Apply, Dead, Filing, Filter, Person, Refuse
from flybridge.store.records import Rescued, Settlement

DOCUMENT = (Path(__file__).parents[2] / "docs" / "states.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.*) \| `(\w+)` \|$", re.MULTILINE)


def table(heading: str) -> list[tuple[str, str, str]]:
    """Read the rows of one section: from, what happens, to."""
    rows = ROW.findall(DOCUMENT.split(f"\n## {heading}")[1].split("\n## ")[0])
    assert rows
    return rows


DEAD = Dead("map", "no_event_time", "", "")
KNOWN = Filing(envelope("sighting"), Apply("known"), sightings=(sighting("known"),))
DECISIONS = {
    "`Filter`": Filter("f"),
    "`Refuse`": Refuse("r"),
    "`Apply`": Apply(),
    "`Deliver`": direct("d").decision,
    "`Hold`, a user with one of its keys is known": waiting("w", "known").decision,
    "`Hold`, no user is known": waiting("w", "k").decision,
    "`Hold`, no user is known, and its window is over": waiting("w", "k", expires_ms=NOW_MS).decision,
    "`Hold`, no user is known, its window is over, and it has a fallback": structs.replace(
        waiting("w", "k", expires_ms=NOW_MS).decision, fallback_user_id="customer"
    ),
    "`Dead`": DEAD,
}


async def settle(store, state: str, owner: str = "worker") -> None:
    """Settle all that `owner` has, or says it has."""
    await store.settle([Settlement(i, state, due_ms=NOW_MS) for i in range(1, 50)], owner, NOW_MS)


async def leased(store) -> None:
    """Lease what is due."""
    assert await lease(store)


async def begun(store) -> None:
    """Lease what is due and begin to send it."""
    assert await store.begin([delivery.id for delivery in await lease(store)], "worker")


async def died(store) -> None:
    """Deliver in vain."""
    await leased(store)
    await settle(store, "dead")


async def redeliver(store) -> None:
    """Redeliver all dead letters."""
    assert await store.redeliver([letter.id for letter in await store.dead()], NOW_MS) == 1


async def arrive(store) -> None:
    """Record that the vendor has what the dead letters hold."""
    assert await store.arrived_after_all([letter.id for letter in await store.dead()], NOW_MS)


def of_ada(filing: Filing) -> Filing:
    """Say that a filing is about Ada."""
    return structs.replace(filing, persons=(Person((key("ada"),), NOW_MS),))


async def envelope_event(store, before: str, what: str) -> None:
    """Bring an envelope to where it is before, and let happen what the row says."""
    filed = re.fullmatch(r"(filed|replayed) as (.*)", what)
    if filed and filed[2] in DECISIONS:
        await store.file([KNOWN], NOW_MS)
        replayed = filed[1] == "replayed"
        if replayed:
            await store.file([Filing(envelope("it"), DEAD)], NOW_MS)
        await store.file([Filing(envelope("it"), DECISIONS[filed[2]], replayed=replayed)], NOW_MS)
        return
    match before, what:
        case "received", "filed about a person who was forgotten after it happened":
            await store.forget([key("ada")], LATER_MS, receipt="receipt")
            await store.file([of_ada(direct())], LATER_MS)
        case "held", "its person is forgotten":
            await store.file([of_ada(waiting("w", "k"))], NOW_MS)
            await store.forget([key("ada")], NOW_MS, receipt="receipt")
        case "pending", "its person is forgotten":
            await store.file([of_ada(direct())], NOW_MS)
            await store.forget([key("ada")], NOW_MS, receipt="receipt")
        case "dead", "its person is forgotten":
            await store.file([of_ada(Filing(envelope("it"), DEAD))], NOW_MS)
            await store.forget([key("ada")], NOW_MS, receipt="receipt")
        case "received", "filed with a content key that is remembered":
            for receipt in ("first", "it"):
                await store.file([Filing(envelope(receipt), Apply(), key=key("c"), key_until_ms=LATER_MS)], NOW_MS)
        case "held", "a user is sighted with one of its keys":
            await store.file([waiting("w", "known")], NOW_MS)
            await store.file([KNOWN], NOW_MS)
        case "held", "`expire` at or after `expires_ms`":
            await store.file([waiting("w", "k")], NOW_MS)
            await store.expire(NOW_MS + WINDOW_MS)
        case "held", "`expire` at or after `expires_ms`, and it has a fallback":
            waits = waiting("w", "k")
            hold = structs.replace(waits.decision, fallback_user_id="customer")
            await store.file([structs.replace(waits, decision=hold)], NOW_MS)
            await store.expire(NOW_MS + WINDOW_MS)
        case "held", "`expire_now` by an operator":
            await store.file([waiting("w", "k")], NOW_MS)
            await store.expire_now([hold.id for hold in await store.holds()], NOW_MS)
        case "held", "`release` by an operator":
            await store.file([waiting("w", "k")], NOW_MS)
            await store.release([hold.id for hold in await store.holds()], NOW_MS, user_id="ada")
        case "pending", "rescued in flight, must not be sent twice":
            await store.file([direct()], NOW_MS)
            await begun(store)
            await store.rescue(LATER_MS, resend_uncertain=False)
        case "pending", _:
            await store.file([direct()], NOW_MS)
            await leased(store)
            await settle(store, re.fullmatch(r"settled as `(\w+)`", what)[1])
        case "dead", "redelivered":
            await store.file([direct()], NOW_MS)
            await died(store)
            await redeliver(store)
        case "dead", "shown as arrived after all":
            await store.file([direct()], NOW_MS)
            await died(store)
            await arrive(store)
        case _:
            pytest.fail(f"docs/states.md has a row that no test walks: {before}, {what}")


@pytest.mark.parametrize(("before", "what", "after"), table("Envelopes"))
async def test_an_envelope_moves_as_documented(store, before, what, after):
    """The outcome after the event is the table's, and the envelope stands nowhere else."""
    await envelope_event(store, before, what)
    found = [
        count.outcome
        for count in await store.counts()
        if count.n and count.reason != "known" and not (after == "duplicate" and count.outcome == "applied")
    ]
    assert found == [after]


WAYS = {"due": None, "leased": leased, "begun": begun, "dead": died}

EVENTS = {
    "`lease`": leased,
    "`begin`": lambda store: store.begin(range(1, 50), "worker"),
    "settled as `due`": lambda store: settle(store, "due"),
    "settled as `delivered`": lambda store: settle(store, "delivered"),
    "settled as `dead`": lambda store: settle(store, "dead"),
    "settled as `parked`": lambda store: settle(store, "parked"),
    "settled by a former owner": lambda store: settle(store, "delivered", owner="former"),
    "`rescue` before the lease lapses": lambda store: store.rescue(NOW_MS + 59_999),
    "`rescue` when the lease has lapsed": lambda store: store.rescue(NOW_MS + 60_000),
    "`rescue` of its owner, who is gone": lambda store: store.rescue(NOW_MS, owner="worker"),
    "`rescue` when the lease has lapsed, must not be sent twice": lambda store: store.rescue(
        LATER_MS, resend_uncertain=False
    ),
    "`redeliver`": redeliver,
    "shown as arrived after all": arrive,
}


async def delivery_state(store) -> str:
    """Find out where the one delivery stands."""
    depths = await store.depths(NOW_MS)
    if not depths:
        (outcome,) = await standing(store)
        return outcome
    if depths[0].due:
        return "due"
    assert depths[0].leased == 1
    return "begun" if await store.rescue(NOW_MS, owner="worker") == Rescued(uncertain=1) else "leased"


@pytest.mark.parametrize(("before", "what", "after"), table("Deliveries"))
async def test_a_delivery_moves_as_documented(store, before, what, after):
    """The state after the event is the table's."""
    await store.file([direct()], NOW_MS)
    if WAYS[before]:
        await WAYS[before](store)
    await EVENTS[what](store)
    assert await delivery_state(store) == after


def test_every_event_is_in_the_table():
    """What the store can do to a delivery is documented."""
    assert {what for _, what, _ in table("Deliveries")} == set(EVENTS)
