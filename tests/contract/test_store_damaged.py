"""A flipped bit in any column that holds bytes: all others are delivered, and all lists are read."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import psycopg
import pytest
from filings import LANE, NOW_MS, acted, direct, envelope, key, names, sighting, waiting
from test_store_copy import SEAL, everything, path  # noqa: F401 - a fixture

from flybridge.delivery.lane_reports import WorkerReport, new_orders, read_reports, reporting, write_report
from flybridge.delivery.shown import lanes_that_show
from flybridge.history.gap_report import last_found
from flybridge.history.pull import standing as pulled
from flybridge.history.uptime import read_uptime
from flybridge.insight.heard import read_heard
from flybridge.insight.standstill import read_refused_starts
from flybridge.notifications.notifier import read_states
from flybridge.operations.pull_costs import standing as costs_standing
from flybridge.records import Apply, Filing
from flybridge.store.copy import copy_store
from flybridge.store.job_runs import read_runs
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock
from flybridge.web.access.sessions import Sessions, Signer

GROUPS = 8


def flipped(value: bytes, at: float) -> bytes:
    """Return bytes with another bit at this place of them, from 0 to 1."""
    place = min(int(len(value) * at), len(value) - 1)
    return bytes([*value[:place], value[place] ^ (1 << place % 8), *value[place + 1 :]])


async def played(store: Store) -> set[str]:
    """Go on with a store: file more, deliver, and read all that it shows. Returns what was delivered."""
    await store.open()
    try:
        await store.rescue(NOW_MS, owner="before")
        await store.expire(NOW_MS + 5)
        again = direct("again", key=key("c"), key_until_ms=NOW_MS + 10_000, key_ms=7)
        filings = [waiting("later", "k"), direct("new"), direct("bought", performance=acted(revenue=1)), again]
        await store.file(filings, NOW_MS + 6)
        await store.file([Filing(envelope(), Apply(), sightings=(sighting("x"),))], NOW_MS + 7)
        sent = set(await names(store, NOW_MS + 8))
        await everything(store)
        await store.take_dead([letter.id for letter in await store.dead()])
        await store.forget([key("nobody")], NOW_MS + 9, receipt="f")
    finally:
        await store.close()
    return sent


async def test_a_flipped_bit_in_a_file(path, tmp_path):  # noqa: F811
    """On SQLite."""
    damaged = tmp_path / "damaged.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE seen SET occurrences = x'920105'")
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [
            (table, column)
            for table in tables
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
            if kind == "BLOB" and db.execute(f"SELECT 1 FROM {table} WHERE length({column}) > 0").fetchone()
        ]
    shutil.copy(path, damaged)
    whole = await played(SqliteStore(damaged, SEAL))
    assert {"w", "m", "c"} <= whole
    assert {("seen", "occurrences"), ("installations", "days"), ("receipts", "steps"), ("devices", "sealed")} <= {
        *columns
    }
    for table, column, at in [(*place, at) for place in columns for at in (0.0, 0.5)]:
        for old in tmp_path.glob("damaged.db*"):
            old.unlink()
        shutil.copy(path, damaged)
        with closing(sqlite3.connect(damaged)) as db, db:
            ((value,),) = db.execute(f"SELECT {column} FROM {table} WHERE length({column}) > 0 LIMIT 1")
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (flipped(value, at), value))
        sent = await played(SqliteStore(damaged, SEAL))
        assert {"new", "bought"} <= sent, (table, column)
        assert len(whole - sent) <= 1, (table, column)


@pytest.mark.service
async def test_a_flipped_bit_on_a_server(path, new_database):  # noqa: F811
    """On PostgreSQL, where a text is always one: only bytes are decoded."""
    async with new_database() as source:
        await copy_store(path, source)
        with psycopg.connect(source) as db:
            db.execute("UPDATE seen SET occurrences = '\\x920105'")
            found = db.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'public' AND data_type = 'bytea'"
            ).fetchall()
            columns = [
                one for one in found if db.execute(f"SELECT 1 FROM {one[0]} WHERE length({one[1]}) > 0").fetchone()
            ]
        template = source.rpartition("/")[2]
        async with new_database(template) as dsn:
            whole = await played(PostgresStore(dsn, SEAL))
        assert {"w", "m", "c"} <= whole
        # Making a database takes its time: several columns are damaged in each, at one place of each.
        for first in range(GROUPS):
            group = [(table, column) for table, column, _ in columns[first::GROUPS]]
            async with new_database(template) as dsn:
                with psycopg.connect(dsn) as db:
                    db.execute("SET session_replication_role = replica")
                    for table, column in group:
                        ((value,),) = db.execute(f"SELECT {column} FROM {table} WHERE length({column}) > 0 LIMIT 1")
                        other = flipped(value, first % 3 / 2)
                        db.execute(f"UPDATE {table} SET {column} = %s WHERE {column} = %s", (other, value))
                sent = await played(PostgresStore(dsn, SEAL))
                assert {"new", "bought"} <= sent, group
                assert len(whole - sent) <= len(group), group


def sessions(store: Store) -> Sessions:
    """Return the sessions of a console."""
    return Sessions(store, ManualClock(NOW_MS), Signer(b"secret"), idle_ms=1000, longest_ms=1000)


DAMAGED = (b"", b"\0", b"\xff\xfe", b"{", b"7x", b'{"at_ms":"x"}', b"[[]]", b"9" * 5000)
READERS = {
    "reports of lanes": ("lanes/of/w", lambda store: read_reports(store, NOW_MS)),
    "workers": ("lanes/of/w", lambda store: reporting(store, NOW_MS)),
    "a report": ("lanes/of/w", lambda store: write_report(store, WorkerReport("other", NOW_MS, ()))),
    "orders": ("lanes/order/w", lambda store: new_orders(store, set())),
    "lanes that show": ("lanes/shown/http_v2/shop", lambda store: lanes_that_show(store, [LANE], NOW_MS)),
    "turns": ("turn/notify", lambda store: store.take_turn("notify", "me", NOW_MS, 1000)),
    "the confirmed time": ("confirmed_ms", lambda store: store.confirmed_ms()),
    "what was heard": ("heard/w", read_heard),
    "refused starts": ("refused_start/all", lambda store: read_refused_starts(store, NOW_MS)),
    "uptime": (f"down/{NOW_MS}", read_uptime),
    "uptime by a damaged name": ("down/049z/", read_uptime),
    "when flybridge ran first": ("down/0/", read_uptime),
    "gaps": ("gaps-found shop", last_found),
    "pulls": ("pull shop installs", lambda store: pulled(store, "shop")),
    "costs": ("costs shop af", costs_standing),
    "runs of jobs": ("runs pull shop", read_runs),
    "channels": ("notify/mail", read_states),
    "sessions": ("console/session/a", lambda store: sessions(store).running()),
    "when a session was seen": ("console/session/a/seen", lambda store: sessions(store).running()),
}  # fmt: skip


@pytest.mark.parametrize("what", READERS)
async def test_a_damaged_value_of_a_process_stops_no_other(store, what):
    """It counts as absent, whatever the bit has made of it."""
    name, read = READERS[what]
    for value in DAMAGED:
        await store.put_state(name, value)
        await read(store)
