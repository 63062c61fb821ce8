"""Moving from the file to the server: everything arrives, goes on where it stood, and nothing half."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest
from filings import (
    DAY,
    LANE,
    LATER_MS,
    NOW_MS,
    TODAY,
    WINDOW_MS,
    direct,
    envelope,
    installed,
    key,
    lease,
    lines,
    sighting,
    waiting,
)
from msgspec import structs

from flybridge.errors import FlybridgeError, StoreUnavailable
from flybridge.records import Apply, Carried, Dead, Filing, Member, MemberChange, Person, Restricted, Source
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Run
from flybridge.store.copy import NOT_COPIED, RESTS, copy_store
from flybridge.store.figures import DayReport
from flybridge.store.performance import CostRow, Slice
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.receipt import VendorStep
from flybridge.store.records import AttemptRecord, Capacity, Settlement
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore
from flybridge.store.trail import Deed

pytestmark = pytest.mark.service

SEAL = Seal(b"the secret of the contract suite")
DEAD = Dead("map", "no_event_time", "detail", "remedy")


@pytest.fixture
async def dsn(new_database):
    """Return an empty database with all tables."""
    async with new_database() as address:
        yield address


@pytest.fixture
async def path(tmp_path):
    """Return a file with something in every table."""
    store = SqliteStore(tmp_path / "store.db", SEAL, keeps_messages=True)
    await store.open()
    carried = Carried("ios", "1", "tik\0tok", "idfa")
    about = Person((key("af"), key("idfa")), NOW_MS)
    gone = structs.replace(direct("gone"), persons=(Person((key("bob"),), NOW_MS),))
    member = Member((key("member"),), (key("phone"),), "gaid", "gaid-of-member")
    joined = (MemberChange("shop", "spenders", NOW_MS, True, member),)
    seen = (sighting("k"), sighting("other"))
    told = Filing(envelope(source=Source.STREAM), Apply(), sightings=seen, members=joined)
    await store.file(
        [
            structs.replace(
                direct("a", key=key("c"), key_until_ms=LATER_MS, performance=installed()), persons=(about,)
            ),
            direct("b"),
            direct("c"),
            waiting("w", "x", "y", carried=carried, restricted=Restricted("redact", "tiktok", DAY)),
            waiting("m", "k"),
            late(waiting("e", "z", performance=installed("late"))),
            Filing(envelope("letter"), DEAD),
            told,
            gone,
        ],
        NOW_MS,
    )
    await store.file([waiting("spent", "s")], NOW_MS)
    await store.file([Filing(envelope(source=Source.STREAM), Apply(), sightings=(sighting("s"),))], NOW_MS)
    first, second = await lease(store, limit=2)
    await store.settle(
        [
            Settlement(first.id, "delivered"),
            Settlement(second.id, "dead", reason="no", attempts=(AttemptRecord(NOW_MS, 400, "no", "words"),)),
        ],
        "worker",
        NOW_MS,
    )
    await store.forget([key("bob")], NOW_MS, receipt="one")
    await store.forget([key("eve")], NOW_MS, receipt="two")
    await store.note("one", [VendorStep("amplitude", "shop", "customer_user_id", "1", "done")])
    await store.replace_costs(
        "shop", "csv", days=(TODAY, TODAY), rows=[CostRow("shop", TODAY, "tiktok", "", "", "USD", 5)]
    )
    await store.put_day_reports([DayReport("shop", "reconciliation", TODAY, NOW_MS, b"{}")])
    await store.record(Deed(actor="ann", action="login", outcome="done"), NOW_MS)
    await lease(store, limit=1, owner="before")
    room = Capacity(LANE, 2, "before", NOW_MS + 60_000)
    await store.file([direct("in"), direct("a bundle")], NOW_MS, [room])
    await store.close()
    cohorts = SqliteCohorts(tmp_path / "store.db", SEAL)
    await cohorts.open()
    claim = await cohorts.claim("shop", "spenders", "me", NOW_MS, 1000)
    await cohorts.finish(claim, Run(began_ms=NOW_MS, ended_ms=NOW_MS), next_ms=NOW_MS, tries=0)
    await cohorts.close()
    return tmp_path / "store.db"


def late(filing: Filing) -> Filing:
    """Return a filing whose window is over."""
    return structs.replace(filing, decision=structs.replace(filing.decision, expires_ms=NOW_MS))


async def everything(store) -> dict[str, object]:
    """Read all that a store shows."""
    return {
        "lines": await lines(store),
        "counts": sorted(map(repr, await store.counts())),
        "holds": [structs.replace(hold, media_source="") for hold in await store.holds()],
        "hold_counts": [structs.replace(count, media_source="") for count in await store.hold_counts()],
        "dead": await store.dead(),
        "attempts": await store.attempts([letter.id for letter in await store.dead()]),
        "restricted": await store.restricted(),
        "performance": sorted(map(repr, await store.performance(Slice(0, 50_000, 50_000)))),
        "curves": sorted(map(repr, await store.curves(Slice(0, 50_000, 50_000)))),
        "costs": await store.costs(Slice(0, 50_000, 50_000)),
        "coverage": [structs.replace(row, media_source="") for row in await store.coverage()],
        "sighted": await store.sighted_kinds(),
        "receipts": await store.receipts(),
        "outcomes": sorted(map(repr, (await store.outcomes("shop", 0, 50_000)).outcomes)),
        "day_reports": await store.day_reports("reconciliation", 0, 50_000),
        "depths": await store.depths(NOW_MS),
        "audit": await store.audit(),
        "trail": (await store.trail(), await store.trail_fault()),
    }


async def test_everything_arrives_and_goes_on(path, dsn):
    """What one shows the other shows; leases, holds, keys, tombstones and ids go on where they stood."""
    copied = await copy_store(path, dsn)
    assert all(copied.values()), copied
    file, server = SqliteStore(path, SEAL), PostgresStore(dsn, SEAL)
    await file.open()
    await server.open()
    assert await everything(file) == await everything(server)
    assert (await server.file([direct("a", key=key("c"), key_until_ms=LATER_MS)], NOW_MS)).outcomes == {"duplicate": 1}
    filed = await server.file(
        [Filing(envelope(), Apply(), sightings=(sighting("x", "eve"),)), waiting("z", "k")], NOW_MS
    )
    assert (filed.matched, filed.outcomes) == (2, {"applied": 1, "pending": 1})
    assert (await server.rescue(NOW_MS, owner="before")).returned == 3
    sent = {delivery.insert_id: delivery.user_id for delivery in await lease(server)}
    assert {name: sent[name] for name in ("id-w", "id-z", "id-m")} == {"id-w": "eve", "id-z": "ada", "id-m": "ada"}
    assert {"id-in", "id-a bundle"} <= sent.keys()
    about_bob = structs.replace(direct("late"), persons=(Person((key("bob"),), NOW_MS),))
    assert (await server.file([about_bob], NOW_MS)).outcomes == {"forgotten": 1}
    newest = max(line for (line,) in sqlite3.connect(path).execute("SELECT id FROM ledger"))
    with psycopg.connect(dsn) as db:
        assert db.execute("SELECT count(*) FROM ledger WHERE id > %s", (newest,)).fetchone() == (4,)
    assert await server.expire(NOW_MS + WINDOW_MS) == 0
    await file.close()
    await server.close()


async def test_a_database_with_rows_is_refused(path, dsn):
    """Two stores are never mixed, and the sentence names the tables."""
    store = PostgresStore(dsn, SEAL)
    await store.open()
    await store.file([direct("there")], NOW_MS)
    await store.close()
    with pytest.raises(FlybridgeError, match=r"has rows in cells, ledger, .*lanes, .*empty one"):
        await copy_store(path, dsn)


async def test_a_file_that_is_not_there_is_named(tmp_path, dsn):
    """And none is made."""
    with pytest.raises(StoreUnavailable, match=r"store\.db"):
        await copy_store(tmp_path / "store.db", dsn)
    assert list(tmp_path.iterdir()) == []


async def test_a_copy_that_fails_leaves_nothing(path, dsn):
    """The database is as empty as before, and the next try finds it so."""

    def stop(table: str, rows: int) -> None:
        if table == "people":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy_store(path, dsn, stop)
    with psycopg.connect(dsn) as db:
        assert not any(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables(path))
    assert (await copy_store(path, dsn))["ledger"] == 13


async def test_a_discrepancy_of_the_file_is_carried_over_not_hidden(path, dsn):
    """The account shows the same on both sides."""
    with sqlite3.connect(path) as db:
        db.execute("UPDATE cells SET n = n + 1 WHERE outcome = 'applied'")
    db.close()
    await copy_store(path, dsn)
    store = PostgresStore(dsn, SEAL)
    await store.open()
    assert [(one.day, one.expected, one.found) for one in await store.audit()] == [(DAY, 3, 2)]
    await store.close()


def tables(path) -> list[str]:
    """Return the tables of a file that are to be copied."""
    with closing(sqlite3.connect(path)) as file:
        found = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [name for (name,) in found if name not in NOT_COPIED]


async def test_every_table_is_copied(path, dsn):
    """But two of the file; and of the database what is added up in `cells`, and the rows that are only locked."""
    assert NOT_COPIED == {"migrations", "ids"}
    copied = await copy_store(path, dsn)
    assert list(copied) == tables(path)
    with psycopg.connect(dsn) as db:
        there = {name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert there - {"migrations", "tallies", "locks"} == set(copied)


async def test_a_table_that_a_migration_adds_is_copied(path, dsn):
    """Nothing names it, and its numbers go on after the file's last."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE added (number INTEGER PRIMARY KEY, what TEXT NOT NULL) STRICT")
        file.execute("INSERT INTO added VALUES (7, 'a'), (9, 'b')")
    with psycopg.connect(dsn) as db:
        db.execute(
            "CREATE TABLE added (number bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, what text NOT NULL)"
        )
    assert (await copy_store(path, dsn))["added"] == 2
    with psycopg.connect(dsn) as db:
        db.execute("INSERT INTO added (what) VALUES ('c')")
        assert db.execute("SELECT * FROM added ORDER BY number").fetchall() == [(7, "a"), (9, "b"), (10, "c")]


async def test_every_column_arrives_as_it_was(path, dsn):
    """The columns of both schemas are read when copying, so that none can be left behind."""
    await copy_store(path, dsn)
    with sqlite3.connect(path) as file, psycopg.connect(dsn) as db:
        for table in tables(path):
            columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
            read = f"SELECT {', '.join(columns)} FROM {table}"
            rows = file.execute(f"{read} {RESTS.get(table, '')}").fetchall()
            expected = [tuple(clean(value) for value in row) for row in rows]
            assert sorted(map(repr, db.execute(read).fetchall())) == sorted(map(repr, expected)), table
    file.close()


def clean(value: object) -> object:
    """Return a value as PostgreSQL can hold it: text without NUL."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
