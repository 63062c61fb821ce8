"""One sealed piece that can't be opened holds up no other, and a wrong secret is refused before anything is done."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import psycopg
import pytest
from filings import NOW_MS, direct, envelope, key, lease, names, sighting, standing, waiting
from msgspec import structs

from flybridge.errors import SealBroken
from flybridge.insight.reasons import REASONS
from flybridge.records import DAY_MS, Apply, Dead, Filing, Member, MemberChange, OutcomeKind, Person
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Action
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.records import Lane, Settlement
from flybridge.store.sqlite.store import SqliteStore


def execute(store, sql: str, *values: bytes) -> list:
    """Run a statement behind the store's back."""
    if isinstance(store, SqliteStore):
        with sqlite3.connect(store._place) as db:
            rows = db.execute(sql, values).fetchall()
        db.close()
        return rows
    with psycopg.connect(store._place) as server:
        cursor = server.execute(sql.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []


def flip(store, table: str, column: str, bit: int) -> None:
    """Flip one bit of the first value of a sealed column."""
    ((sealed,),) = execute(store, f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY 1 LIMIT 1")
    damaged = bytearray(sealed)
    damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
    execute(store, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", bytes(damaged), sealed)


def other_than(store, seal: Seal):
    """Open the same store with other secrets."""
    return SqliteStore(store._place, seal) if isinstance(store, SqliteStore) else PostgresStore(store._place, seal)


async def filled(store) -> None:
    """File some of everything: due, matched, held, with a fallback, dead of either stage, and sighted."""
    due = [direct(f"due{n}", persons=(Person((key(f"due{n}"),), NOW_MS),)) for n in range(3)]
    await store.file(due, NOW_MS)
    (first, *_) = await lease(store, limit=1)
    await store.settle([Settlement(first.id, "dead", reason="r", detail="d")], "worker", NOW_MS)
    await store.file([Filing(envelope(body=b"unread"), Dead("map", "m", "detail", "remedy")) for _ in range(2)], NOW_MS)
    await store.file([waiting("matched0", "a"), waiting("matched1", "b"), waiting("held", "c")], NOW_MS)
    fallback = waiting("fallback", "d", expires_ms=NOW_MS + 5)
    hold = structs.replace(fallback.decision, fallback_user_id="customer")
    await store.file([structs.replace(fallback, decision=hold)], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("a"), sighting("b")))], NOW_MS)


COLUMNS = [
    ("items", "sealed"), ("deliveries", "who"), ("holds", "fallback"), ("sightings", "sealed"), ("dead", "detail"),
    ("state", "value"), ("messages", "sealed"),
]  # fmt: skip


@pytest.mark.parametrize("bit", [0, 77, 100, 2**16])
@pytest.mark.parametrize(("table", "column"), COLUMNS)
async def test_a_flipped_bit_holds_up_nothing_else(open_store, table, column, bit):
    """Whatever it hits: all but one are delivered, and that one is a dead letter; every command goes on."""
    store = await open_store()
    await filled(store)
    flip(store, table, column, bit)
    reopened = await open_store()
    await reopened.expire(NOW_MS + 5)
    await reopened.file([Filing(envelope(), Apply(), sightings=(sighting("c"),))], NOW_MS + 5)
    await reopened.file([waiting("later", "a"), waiting("later too", "b"), direct("new")], NOW_MS + 6)
    await reopened.file([Filing(envelope(), Apply(), sightings=(sighting("a"), sighting("b")))], NOW_MS + 7)
    sent = set(await names(reopened, NOW_MS + 8))
    everything = {"due1", "due2", "matched0", "matched1", "held", "fallback", "later", "later too", "new"}
    assert len(everything - sent) <= 1
    letters = await reopened.dead()
    lost = [letter for letter in letters if letter.reason == "sealed"]
    assert len(lost) == len(everything - sent)
    assert all(letter.is_sealed and "former_secrets" in letter.remedy for letter in lost)
    assert len(letters) == 3 + len(lost)
    assert len(await reopened.take_dead([letter.id for letter in letters])) >= 1
    await reopened.forget([key("nobody")], NOW_MS + 9, receipt="f")
    assert await reopened.audit() == []


async def test_damaged_text_holds_up_nothing_else(tmp_path):
    """A bit in any text of any table, which SQLite does not check: all others are delivered, all lists are read."""
    seal, whole = Seal(b"the secret of the contract suite"), tmp_path / "whole.db"
    store = SqliteStore(whole, seal)
    await store.open()
    await filled(store)
    await store.close()
    with closing(sqlite3.connect(whole)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        places = [
            (table, column)
            for table in tables
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
            if kind == "TEXT" and table != "migrations"
            if db.execute(f"SELECT 1 FROM {table} WHERE {column} <> ''").fetchone()
        ]
    assert {("cells", "app"), ("ledger", "receipt"), ("holds", "event_type"), ("dead", "reason")} <= set(places)
    for table, column in places:
        damaged = tmp_path / f"{table}-{column}.db"
        shutil.copy(whole, damaged)
        with closing(sqlite3.connect(damaged)) as db:
            ((text,),) = db.execute(f"SELECT {column} FROM {table} WHERE {column} <> '' LIMIT 1").fetchall()
            with db:
                db.execute(
                    f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE {column} = ?", (b"\xe1" + text.encode(), text)
                )
        store = SqliteStore(damaged, seal)
        await store.open()
        await store.file([waiting("later", "a"), direct("new")], NOW_MS)
        await store.file([Filing(envelope(), Apply(), sightings=(sighting("c"),))], NOW_MS + 5)
        sent = set(await names(store, NOW_MS + 8))
        if table != "lanes":
            assert len({"due1", "due2", "matched0", "matched1", "held", "new"} - sent) <= 1, (table, column)
        assert len(await store.dead()) == 3, (table, column)
        await store.counts()
        await store.holds()
        await store.hold_counts()
        await store.forget([key("nobody")], NOW_MS + 9, receipt="f")
        await store.close()


async def test_a_damaged_lane_is_listed_as_waiting_and_new_events_go_on(open_store):
    """Its row is the one place that says where its deliveries go: they are shown as those of a lane not configured."""
    store = await open_store()
    await store.file([direct("a"), direct("b")], NOW_MS)
    execute(store, "UPDATE lanes SET id = id + 1000")
    reopened = await open_store()
    await reopened.file([direct("c")], NOW_MS)
    assert await names(reopened) == ["c"]
    assert [(depth.lane, depth.due) for depth in await reopened.depths(NOW_MS) if depth.due] == [(Lane("?", "?"), 2)]
    assert len(await reopened.take_out(range(1, 100), NOW_MS)) == 2
    assert await standing(reopened) == {"dead": 2, "pending": 1}


async def test_what_did_not_open_is_delivered_when_it_opens_again(open_store):
    """Nothing of a dead letter `sealed` is lost: with the bytes as they were it is sent under its identity."""
    store = await open_store()
    await store.file([waiting("a", "k"), direct("b")], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k"),))], NOW_MS)
    flip(store, "deliveries", "who", 300)
    assert await names(store) == ["b"]
    assert await standing(store) == {"pending": 1, "dead": 1, "applied": 1}
    (letter,) = await store.dead()
    assert (letter.stage, letter.reason, letter.body) == ("deliver", "sealed", b"")
    flip(store, "items", "who", 300)
    assert await store.redeliver([letter.id], NOW_MS) == 1
    (delivery,) = await lease(store)
    assert (delivery.user_id, delivery.device_id) == ("ada", "ada-phone")


async def test_a_page_of_damaged_ones_hides_none_behind_it(open_store):
    """Leasing goes on until it has something, however many can't be opened."""
    store = await open_store()
    await store.file([direct(f"n{n}") for n in range(8)], NOW_MS)
    for (number,) in execute(store, "SELECT id FROM items ORDER BY id LIMIT 7"):
        execute(store, f"UPDATE items SET sealed = ? WHERE id = {number}", b"x" * 40)
    assert await names(store, limit=2) == ["n7"]


async def test_a_wrong_secret_is_refused_when_the_store_is_opened(store):
    """Also before it holds anything; with the former one beside it, it is opened, and afterwards needs that no more."""
    other = Seal(b"another secret")
    with pytest.raises(SealBroken, match="former_secrets"):
        await other_than(store, other).open()
    await store.file([direct("a")], NOW_MS)
    with pytest.raises(SealBroken, match="former_secrets"):
        await other_than(store, other).open()
    assert await names(store) == ["a"]
    rotated = other_than(store, Seal(b"another secret", b"the secret of the tests"))
    await rotated.open()
    await rotated.close()
    again = other_than(store, other)
    await again.open()
    await again.close()


async def test_what_a_worker_with_a_newer_secret_has_sealed_is_left_to_it(store):
    """While the secret of a cluster is changed: a worker that does not have it yet makes no dead letters of that."""
    rotated = other_than(store, Seal(b"another secret", b"the secret of the tests"))
    await rotated.open()
    await store.file([direct("old")], NOW_MS)
    await rotated.file([direct("new")], NOW_MS)
    with pytest.raises(SealBroken, match="Restart it with the new one"):
        await lease(store)
    assert sorted(await names(rotated)) == ["new", "old"]
    assert await store.dead() == []
    await rotated.close()


async def test_a_store_from_before_the_check_is_judged_by_what_it_holds(store):
    """A wrong secret is refused there, too, and the right one makes the check."""
    await store.file([direct("a")], NOW_MS)
    execute(store, "DELETE FROM state")
    with pytest.raises(SealBroken, match="former_secrets"):
        await other_than(store, Seal(b"another secret")).open()
    assert execute(store, "SELECT name FROM state") == []
    right = other_than(store, store._seal)
    await right.open()
    await right.close()
    assert execute(store, "SELECT name FROM state") == [("seal",)]


async def test_an_operator_can_give_up_what_was_sealed(store):
    """As the documentation says: the store is opened with a new secret, and what is filed then is delivered."""
    await store.file([direct("old")], NOW_MS)
    execute(store, "UPDATE state SET value = ? WHERE name = 'seal'", b"")
    other = other_than(store, Seal(b"another secret"))
    await other.open()
    await other.file([direct("new")], NOW_MS)
    assert await names(other) == ["new"]
    assert [letter.reason for letter in await other.dead()] == ["sealed"]
    await other.close()


async def test_a_damaged_check_is_made_anew(store):
    """It is not taken for a wrong secret while anything else opens."""
    await store.file([direct("a")], NOW_MS)
    flip(store, "state", "value", 9)
    again = other_than(store, store._seal)
    await again.open()
    await again.close()
    ((check,),) = execute(store, "SELECT value FROM state")
    assert store._seal.is_current(bytes(check))


async def test_who_is_seen_again_is_sealed_under_the_new_secret(store):
    """Even if nothing is new but the time: then the former secret is not needed for this person any more."""
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("a", seen_ms=NOW_MS - 9),))], NOW_MS)
    new = Seal(b"another secret")
    rotated = other_than(store, Seal(b"another secret", b"the secret of the tests"))
    await rotated.open()
    await rotated.file([Filing(envelope(), Apply(), sightings=(sighting("a", seen_ms=NOW_MS),))], NOW_MS)
    await rotated.close()
    ((sealed,),) = execute(store, "SELECT sealed FROM sightings")
    assert new.is_current(bytes(sealed))


async def test_the_reason_has_words():
    """As every reason that an operator meets."""
    assert "former secret" in REASONS[OutcomeKind.DEAD, "sealed"].remedy


@pytest.mark.parametrize("column", ["sealed", "extra"])
async def test_a_device_that_does_not_open_holds_up_no_other(open_store, cohorts, column):
    """The others are added, removed and told about; a device to be added that can't be is counted as refused."""
    store = await open_store()
    changes = [
        MemberChange("shop", "spenders", NOW_MS, True, member)
        for member in (Member((key(f"p{n}"),), (key(f"d{n}"),), "gaid", f"g{n}", extra=b"{}") for n in range(4))
    ]
    await store.file([Filing(envelope(), Apply("cohort"), members=tuple(changes))], NOW_MS)
    flip(store, "devices", column, 200)
    claim = await cohorts.claim("shop", "spenders", "me", NOW_MS, 1000)
    added = []
    after = b""
    while page := await cohorts.changes(claim, Action.ADD, 1, after):
        added += page
        after = page[-1].mark
    assert len(added) == (3 if column == "sealed" else 4)
    await cohorts.settle(claim, Action.ADD, [device.mark for device in added], NOW_MS - DAY_MS)
    extras = await cohorts.extras(claim, 10, b"", NOW_MS)
    assert len(extras) == 3
    await cohorts.settle_extras(claim, extras, NOW_MS)
    (now,) = await cohorts.standings(NOW_MS)
    assert (now.listed, now.refused) == (len(added), 4 - len(added))
    assert await cohorts.audit() == []
