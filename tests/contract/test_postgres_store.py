"""What only the PostgreSQL store promises: many processes, a server that goes away, and sentences about its address."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from time import sleep
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from filings import NOW_MS, direct, envelope, key, lease, lines, names, sighting, standing, waiting

from flybridge.errors import StoreUnavailable
from flybridge.records import DAY_MS, Apply, Dead, Deliver, Filing, Hold
from flybridge.sealing import Seal
from flybridge.store.migrate import scripts
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.records import Retention, Settlement
from flybridge.testing.postgres import postgres

pytestmark = pytest.mark.service

SEAL = Seal(b"the secret of the contract suite")
END = Dead("map", "no_event_time", "The postback has no event_time.", "Select event_time.")


@pytest.fixture
async def dsn(new_database):
    """Return a database with all tables."""
    async with new_database() as address:
        yield address


@pytest.fixture
async def store(dsn):
    """Return a store in it."""
    store = PostgresStore(dsn, SEAL)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def own_server():
    """Return a server to kill. Not in pytest's directory: other runs of pytest close that to the user it runs as."""
    with tempfile.TemporaryDirectory(prefix="flybridge-postgres-") as folder:
        async with postgres(Path(folder) / "server") as server:
            yield server


def query(dsn: str, sql: str) -> list[tuple]:
    """Look at the database past the store."""
    with psycopg.connect(dsn, autocommit=True) as db:
        return db.execute(sql).fetchall()


def content_of(folder: Path) -> bytes:
    """Read all files under a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def changed(dsn: str, **parts: str) -> str:
    """Return the address with other parts."""
    url = urlsplit(dsn)
    user, password = parts.get("user", url.username), parts.get("password", url.password)
    place = f"{user}:{password}@{parts.get('host', url.hostname)}:{parts.get('port', url.port)}"
    return urlunsplit(url._replace(netloc=place, path=f"/{parts.get('name', url.path[1:])}"))


async def refused(dsn: str) -> str:
    """Open in vain, give the sentence. It never holds the password."""
    with pytest.raises(StoreUnavailable) as found:
        await PostgresStore(dsn, SEAL).open()
    assert str(urlsplit(dsn).password) not in str(found.value)
    return str(found.value)


async def test_ten_processes_may_start_at_once(new_database):
    """One makes the tables, the others wait for it and find them."""
    async with new_database("template1") as dsn:
        stores = [PostgresStore(dsn, SEAL) for _ in range(10)]
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.file([direct(str(n))], NOW_MS) for n, store in enumerate(stores)))
        assert await standing(stores[0]) == {"pending": 10}
        names = [name for (name,) in query(dsn, "SELECT name FROM migrations ORDER BY number")]
        assert names == [script.name for script in scripts("postgres")]
        for store in stores:
            await store.close()


async def test_migrations_have_the_names_of_the_embedded_stores(dsn):
    """The n-th change of one is the n-th change of the other."""
    from flybridge.store.migrate import scripts

    assert [(one.number, one.name) for one in scripts("postgres")] == [
        (one.number, one.name) for one in scripts("sqlite")
    ]


async def test_no_identifier_is_readable_in_the_servers_files(store, postgres_server):
    """Bodies, users, devices and details are sealed in tables and in the log of the database."""
    secrets = {name: f"secret-{name}-90512277" for name in ("body", "user", "device", "detail", "raw")}
    item = Deliver("http_v2", "id", "event-in-the-clear", secrets["body"].encode(), secrets["user"], secrets["device"])
    await store.file(
        [
            Filing(envelope(), item),
            Filing(envelope(), Hold(item, (key("k"),), ("idfa",), 0, NOW_MS + 99)),
            Filing(envelope(), Apply(), sightings=(sighting("seen", secrets["user"], secrets["device"]),)),
            Filing(envelope(body=secrets["raw"].encode()), Dead("map", "r", secrets["detail"], "remedy")),
        ],
        NOW_MS,
    )
    leased = await lease(store)
    await store.settle([Settlement(leased[0].id, "dead", detail=secrets["detail"])], "worker", NOW_MS)
    with psycopg.connect(store._place, autocommit=True) as db:
        db.execute("CHECKPOINT")
    (folder,) = query(store._place, "SHOW data_directory")[0]
    content = content_of(Path(folder))
    assert b"event-in-the-clear" in content  # the reading is right: event types are not sealed
    assert [name for name, secret in secrets.items() if secret.encode() in content] == []


async def test_what_is_delivered_or_expired_leaves_no_body(store, dsn):
    """Erasing is deleting: not even the sealed bytes remain as a row, and no lock is left behind."""
    await store.file([direct("a"), waiting("w", "k", expires_ms=NOW_MS + 1)], NOW_MS)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    await store.expire(NOW_MS + 1)
    for table in ("items", "deliveries", "holds", "hold_keys", "locks"):
        assert query(dsn, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_cost_does_not_grow_with_what_is_stored(dsn):
    """No verb of the road walks through a table: everything is found by index, on empty tables and full ones."""
    store = PostgresStore(dsn, SEAL)
    await store.open()
    before = dict(query(dsn, "SELECT relname, seq_scan FROM pg_stat_user_tables"))
    await store.file([direct("a", key=key("a")), direct("b"), waiting("w", "k"), waiting("x", "y")], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k"),)), Filing(envelope(), END)], NOW_MS)
    first, second, third = await lease(store)
    await store.begin([first.id], "worker")
    await store.settle([Settlement(first.id, "delivered"), Settlement(second.id, "dead")], "worker", NOW_MS)
    await store.settle([Settlement(third.id, "due", due_ms=NOW_MS)], "worker", NOW_MS)
    await lease(store)
    await store.rescue(NOW_MS + 60_000)
    await store.expire(NOW_MS * 2)
    await store.redeliver([line for (line,) in query(dsn, "SELECT id FROM dead")], NOW_MS)
    await store.close()  # a connection tells what it has done when it ends
    large = ("ledger", "deliveries", "holds", "hold_keys", "items", "seen", "sightings", "people", "tallies", "locks")
    after = dict(query(dsn, "SELECT relname, seq_scan FROM pg_stat_user_tables"))
    assert {name: after[name] - before[name] for name in large if after[name] != before[name]} == {}
    assert query(dsn, "SELECT idx_scan > 5 FROM pg_stat_user_tables WHERE relname = 'ledger'") == [(True,)]


async def test_who_counts_waits_for_nobody_who_counts(store, dsn):
    """Another process holds its counters of the same day for as long as it likes."""
    await store.file([direct("a"), waiting("w", "k")], NOW_MS)
    other = PostgresStore(dsn, SEAL)
    await other.open()
    with psycopg.connect(dsn) as busy:
        for table in ("tallies", "performance", "restricted_counts", "hold_counts", "coverage", "sighted"):
            busy.execute(f"SELECT * FROM {table} FOR UPDATE")
        seen = Filing(envelope(), Apply(), sightings=(sighting("l"),))
        await other.file([direct("b"), waiting("x", "l"), seen], NOW_MS)
    await other.close()
    assert await standing(store) == {"pending": 3, "held": 1, "applied": 1}


def wait_until_somebody_waits(dsn: str) -> None:
    """Return when a transaction waits for another."""
    while query(dsn, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
        sleep(0.01)


async def test_who_waits_for_a_person_keeps_nobody_else_waiting(store, dsn):
    """Somebody files about a key for a long time: who needs it waits, and others of the same process do not."""
    with psycopg.connect(dsn) as busy:
        busy.execute("INSERT INTO locks (key) VALUES (%s)", (key("k"),))
        blocked = asyncio.create_task(store.file([waiting("w", "k")], NOW_MS))
        await asyncio.to_thread(wait_until_somebody_waits, dsn)
        await store.file([direct(str(n)) for n in range(2500)], NOW_MS)
        assert not blocked.done()
        busy.rollback()
    assert (await blocked).outcomes == {"held": 1}
    assert await standing(store) == {"pending": 2500, "held": 1}


async def test_prune_folds_the_counters_of_days_that_are_over(store, dsn):
    """The figures stay, the rows go."""
    await store.file([direct("a"), waiting("w", "k"), waiting("x", "y")], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k"),))], NOW_MS)
    before, held = await store.counts(), await store.hold_counts()
    await store.prune(NOW_MS + 5 * DAY_MS, Retention(ledger_days=90, dead_days=90))
    assert query(dsn, "SELECT count(*) FROM tallies") == [(0,)]
    assert (await store.counts(), await store.hold_counts()) == (before, held)
    assert await store.audit() == []


async def test_a_restarted_server_is_met_by_the_next_verb(own_server):
    """While it is away every verb says so; when it is back nobody has to do anything."""
    store = PostgresStore(await own_server.create("bridge"), SEAL)
    await store.open()
    await store.file([direct("a", receipt="a")], NOW_MS)
    await own_server.kill()
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await store.file([direct("b", receipt="b")], NOW_MS)
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await store.counts()
    await own_server.start()
    filed = await store.file([direct("b", receipt="b"), direct("a", receipt="a")], NOW_MS)
    assert filed.repeated == 1
    assert await names(store) == ["a", "b"]
    assert await store.audit() == []
    await store.close()


async def test_a_server_killed_in_the_middle_leaves_batches_whole(own_server):
    """Whatever was answered is there, what was not is there whole or not at all, and filing it again does no harm."""
    store = PostgresStore(await own_server.create("bridge"), SEAL)
    await store.open()
    answered: set[int] = set()
    enough = asyncio.Event()

    async def feed(first: int) -> None:
        for turn in range(first, first + 400, 4):
            await store.file([direct(f"{turn}-{n}", receipt=f"{turn}-{n}") for n in range(40)], NOW_MS)
            answered.add(turn)
            if len(answered) == 12:
                enough.set()

    feeders = [asyncio.create_task(feed(first)) for first in range(4)]
    await enough.wait()
    await own_server.kill()
    failed = await asyncio.gather(*feeders, return_exceptions=True)
    assert all(isinstance(problem, StoreUnavailable) for problem in failed)
    await own_server.start()
    per_turn: dict[int, int] = {}
    for line in await lines(store):
        turn = int(line.receipt.split("-")[0])
        per_turn[turn] = per_turn.get(turn, 0) + 1
    assert answered <= per_turn.keys()
    assert set(per_turn.values()) == {40}
    for turn in sorted(answered | per_turn.keys() | {400}):
        await store.file([direct(f"{turn}-{n}", receipt=f"{turn}-{n}") for n in range(40)], NOW_MS)
    assert await standing(store) == {"pending": 40 * len(per_turn.keys() | {400})}
    assert await store.audit() == []
    await store.close()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"password": "wrong-password"}, "the password is wrong"),
        ({"name": "nowhere"}, "CREATE DATABASE"),
        ({"port": "1"}, "No server answers there"),
        ({"host": "no-such-host.invalid"}, "no host of that name"),
    ],
)
async def test_an_address_that_does_not_work_is_answered_with_what_to_do(dsn, parts, words):
    """Server away, password wrong, database missing: a sentence each, without the password."""
    assert words in await refused(changed(dsn, **parts))


async def test_an_unknown_user_is_not_told_apart_from_a_wrong_password(dsn):
    """The server does not say which, and neither do we."""
    assert "user or the password is wrong" in await refused(changed(dsn, user="nobody-known"))


async def test_an_address_that_is_none_is_not_repeated(dsn):
    """It may have the password anywhere."""
    assert await refused("postgresql://bridge:hunter2@db:not-a-port/x") != ""
    with pytest.raises(StoreUnavailable) as found:
        await PostgresStore("hunter2 is my password", SEAL).open()
    assert "hunter2" not in str(found.value)


async def test_a_user_without_rights_is_told_which(new_database):
    """He needs to make tables the first time."""
    async with new_database("template1") as dsn:
        with psycopg.connect(dsn, autocommit=True) as db:
            db.execute("DROP ROLE IF EXISTS guest")
            db.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-password'")
        assert "GRANT" in await refused(changed(dsn, user="guest", password="guest-password"))


async def test_a_user_who_owns_nothing_may_work_once_the_tables_are_there(dsn):
    """Making tables may be somebody else's business; then these rights are enough."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DROP ROLE IF EXISTS hand")
        db.execute("CREATE ROLE hand LOGIN PASSWORD 'hand'")
        db.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO hand")
        db.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO hand")
    store = PostgresStore(changed(dsn, user="hand", password="hand"), SEAL)
    await store.open()
    await store.file([direct("a"), waiting("w", "k")], NOW_MS)
    assert await names(store) == ["a"]
    await store.prune(NOW_MS, Retention(ledger_days=1, dead_days=1))
    await store.close()
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("DROP OWNED BY hand")
