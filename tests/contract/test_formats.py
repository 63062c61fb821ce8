"""What each earlier version stored opens in this one, and an earlier version refuses what a later one stored."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from flybridge.errors import StoreUnavailable
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.inbox.sqlite import VERSION, SqliteInbox
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import HOUR_MS, Apply, Deliver, Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.migrate import apply_postgres, apply_sqlite, missing, scripts
from flybridge.store.postgres.connection import connect
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.records import Lane
from flybridge.store.sqlite.store import SqliteStore

SECRET = b"a secret for the fixtures of formats"
FORMATS = sorted(path for path in (Path(__file__).parent / "formats").iterdir() if path.is_dir())
LANE = Lane("shop", "http_v2")
FLOW = Flow(
    {"shop": AppFlow(Rules(app="shop", platform="android", route="http_v2"))},
    Keyring(SECRET),
)
NEWEST = len(scripts("sqlite"))


def number(path: Path) -> int:
    """Return how many migrations the store of a fixture has."""
    return int(path.name.split("-")[1])


def unpacked(path: Path, to: Path) -> Path:
    """Return a copy of a data directory."""
    for file in path.glob("*.gz"):
        (to / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    return to


def postback(n: int, **more: object) -> bytes:
    """Return the message that the fixtures have of this number."""
    return json.dumps(
        {
            "app_id": "com.example.shop", "appsflyer_id": f"1763985600000-{1000000 + n}", "event_name": "install",
            "conversion_type": "install", "campaign_type": "organic" if n % 2 else "ua",
            "media_source": "organic" if n % 2 else "tiktokglobal_int", "campaign": "spring", "country_code": "DE",
            "platform": "android", "app_version": "1.2", "install_time": "2025-11-24 12:00:00.000",
            "event_time": f"2025-11-24 12:00:{n % 60:02}.000", "advertising_id": f"38400000-8cf0-11bd-b23e-{n:012d}",
            **more,
        }
    ).encode()  # fmt: skip


async def waiting(inbox: SqliteInbox, now_ms: int) -> list[Envelope]:
    """Return what waits in an inbox, and acknowledge it."""
    leased = await inbox.lease(100, now_ms, 1000)
    await inbox.ack(leased)
    return list(leased.envelopes)


async def assert_everything_goes_on(store: Store, envelopes: list[Envelope], dead: int) -> None:
    """Assert that a store holds what was filed, and goes on with it and with what waited in the inbox."""
    now_ms = max(envelope.received_ms for envelope in envelopes) + 1000
    assert await store.audit() == []
    assert Counter({one.outcome: one.n for one in await store.counts() if one.outcome == "held"}) == {"held": 3}
    letters = await store.dead()
    assert sorted(one.reason for one in letters) == ["no_event_name", "not_an_object"][:dead]
    assert all(one.detail and not one.is_sealed for one in letters)
    (first,) = await store.take_dead([one.id for one in letters if one.reason == "no_event_name"])
    assert b"1763985600000-2000000" in (first.envelope.body if first.envelope else first.item.body)

    filings = [FLOW.filing(one) for one in envelopes]
    assert all(isinstance(one.decision, Deliver) for one in filings)
    body = postback(0, custom_data={"amplitude_device_id": "device-0"})
    repeat = FLOW.filing(Envelope("shop", Source.PUSH, Media.JSON, now_ms, body, "repeat"))
    seen = {"event_type": "open", "user_id": "bob", "user_properties": {"appsflyer_id": "1763985600000-1000010"}}
    told = FLOW.filing(Envelope("shop", Source.STREAM, Media.JSON, now_ms, json.dumps(seen).encode(), "told"))
    assert told.decision == Apply("sighting")
    filed = await store.file([*filings, repeat, told], now_ms)
    assert filed.outcomes["duplicate"] == 1
    assert filed.matched == 1

    await store.rescue(now_ms + HOUR_MS)
    later_ms = now_ms + 48 * HOUR_MS
    items = await store.lease(LANE, 100, later_ms, 60_000, "worker")
    devices = Counter(one.device_id or one.user_id for one in items)
    assert devices == {"bob": 1, "device-0": 1, "device-1": 2, "device-2": 1, "device-3": 1} | {
        f"device-{n}": 1 for n in (30, 31, 32)
    }
    assert all(json.loads(line)["event_type"] for one in items for line in one.body.splitlines())
    assert await store.audit() == []


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.name)
async def test_what_an_earlier_version_stored_goes_on_in_this_one(path, tmp_path):
    """What is due, held, dead, remembered and still in the inbox."""
    place = unpacked(path, tmp_path)
    store, inbox = SqliteStore(place / "store.db", Seal(SECRET)), SqliteInbox(place / "inbox.db", Seal(SECRET))
    await store.open()
    await inbox.open()
    envelopes = await waiting(inbox, 1_900_000_000_000)
    assert len(envelopes) == 3
    await assert_everything_goes_on(store, envelopes, dead=1 if number(path) == 1 else 2)
    await inbox.close()
    await store.close()
    with closing(sqlite3.connect(place / "store.db")) as db:
        assert db.execute("SELECT max(number) FROM migrations").fetchone() == (NEWEST,)
    with closing(sqlite3.connect(place / "inbox.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


def moved(db: sqlite3.Connection, server: psycopg.Connection, tables: list[str]) -> None:
    """Copy the rows of a file into a database of the same number of migrations."""
    server.execute("DELETE FROM state" if "state" in tables else "SELECT 1")
    for table in tables:
        columns = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
        marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        for row in db.execute(f"SELECT {', '.join(columns)} FROM {table}"):
            server.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})".encode(), row)
    server.execute(b"SELECT setval('ids', $1::bigint)", db.execute("SELECT next FROM ids").fetchone())
    for table in ("cells", "lanes", "dimensions", "performance_cells"):
        if table in tables:
            text = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} HAVING max(id) > 0"
            server.execute(text.encode())


@pytest.mark.service
@pytest.mark.parametrize("path", [path for path in FORMATS if number(path) > 2], ids=lambda path: path.name)
async def test_a_database_of_an_earlier_version_goes_on_in_this_one(path, tmp_path, new_database):
    """Its tables as that version made them, with the rows that the file of that version has."""
    place = unpacked(path, tmp_path)
    inbox = SqliteInbox(place / "inbox.db", Seal(SECRET))
    await inbox.open()
    envelopes = await waiting(inbox, 1_900_000_000_000)
    await inbox.close()
    async with new_database("template0") as dsn:
        with connect(dsn) as server, closing(sqlite3.connect(place / "store.db")) as db:
            apply_postgres(server, scripts("postgres")[: number(path)])
            tables = [
                name
                for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if name not in ("migrations", "ids") and not name.startswith("sqlite_")
                if db.execute(f"SELECT count(*) FROM {name}").fetchone() != (0,)
            ]
            moved(db, server, tables)
        store = PostgresStore(dsn, Seal(SECRET))
        await store.open()
        await assert_everything_goes_on(store, envelopes, dead=2)
        await store.close()
        with connect(dsn) as server:
            assert server.execute(b"SELECT max(number) FROM migrations").fetchone() == (NEWEST,)


@pytest.mark.parametrize("known", range(1, NEWEST))
def test_an_earlier_version_refuses_what_this_one_stored_and_leaves_it(known, tmp_path):
    """With a sentence that says what to do."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        apply_sqlite(db, scripts("sqlite"))
        before = list(db.iterdump())
        with pytest.raises(StoreUnavailable, match=r"made by another version .* Install the version that made it"):
            apply_sqlite(db, scripts("sqlite")[:known])
        assert list(db.iterdump()) == before
    with pytest.raises(StoreUnavailable, match="Install the version that made it"):
        missing(scripts("postgres")[:known], {one.number: one.name for one in scripts("postgres")})


def test_every_format_but_the_newest_has_a_fixture():
    """A migration or a format of the inbox comes with what the version before it stored."""
    stored = {number(path) for path in FORMATS}
    assert stored | {2} == set(range(1, NEWEST))  # the second and the third migration came together
    assert {int(path.name.split("-")[3]) for path in FORMATS} == set(range(1, VERSION + 1))
