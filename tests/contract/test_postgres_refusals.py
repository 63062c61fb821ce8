"""What PostgreSQL refuses is said with what to do, at the start and while a process runs."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import psycopg
import pytest
from filings import NOW_MS, direct, waiting
from psycopg import conninfo

from flybridge.errors import StoreUnavailable
from flybridge.sealing import Seal
from flybridge.store.postgres.connection import connect
from flybridge.store.postgres.refusals import unavailable
from flybridge.store.postgres.store import PostgresStore
from flybridge.testing.postgres import postgres

pytestmark = pytest.mark.service

SEAL = Seal(b"the secret of the contract suite")


@pytest.fixture
async def dsn(new_database):
    """Return a database with all tables."""
    async with new_database() as address:
        yield address


@pytest.fixture
def role(dsn):
    """Return a function that makes a role with these settings, and returns the address with it."""
    made = []

    def make(*settings: str, grants: str = "ALL") -> str:
        name = f"role_{token_hex(4)}"
        made.append(name)
        run(dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'of-the-role'")
        run(dsn, f"GRANT {grants} ON ALL TABLES IN SCHEMA public TO {name}")
        run(dsn, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
        for setting in settings:
            run(dsn, f"ALTER ROLE {name} {setting}")
        return conninfo.make_conninfo(dsn, user=name, password="of-the-role")

    yield make
    for name in made:
        run(dsn, f"DROP OWNED BY {name}")
        run(dsn, f"DROP ROLE {name}")


def run(dsn: str, sql: str) -> None:
    """Change the server past the store."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(sql.encode())


async def refused(dsn: str) -> str:
    """Open in vain. Returns the sentence."""
    with pytest.raises(StoreUnavailable) as found:
        await PostgresStore(dsn, SEAL).open()
    return str(found.value)


async def opened(dsn: str) -> PostgresStore:
    """Return an open store."""
    store = PostgresStore(dsn, SEAL)
    await store.open()
    return store


async def test_a_role_without_connections_left_is_not_a_missing_server(role):
    assert "CONNECTION LIMIT" in await refused(role("CONNECTION LIMIT 0"))


async def test_a_process_that_runs_out_of_connections_says_what_to_raise(role):
    """The start takes fewer of them than a busy process does."""
    store = await opened(role("CONNECTION LIMIT 2"))
    try:
        with pytest.raises(StoreUnavailable, match="CONNECTION LIMIT"):
            await asyncio.gather(*(store.file([direct(f"{n}", receipt=f"{n}")], NOW_MS) for n in range(8)))
    finally:
        await store.close()


async def test_a_role_that_may_only_read_is_not_called_a_standby(role):
    problem = await refused(role("SET default_transaction_read_only = on"))
    assert "default_transaction_read_only" in problem


async def test_a_database_that_was_made_read_only_says_so(dsn):
    """Providers do that when a disk is nearly full. Connections that were made before see it, too."""
    store = await opened(dsn)
    name = urlsplit(dsn).path[1:]
    try:
        run(dsn, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        run(
            dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()",
        )
        with pytest.raises(StoreUnavailable, match="default_transaction_read_only"):
            await store.file([direct("a", receipt="a")], NOW_MS)
    finally:
        await store.close()


async def test_a_role_without_rights_on_the_tables_is_told_which_to_grant(role):
    with pytest.raises(StoreUnavailable, match="GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"):
        await (await opened(role(grants="SELECT"))).file([direct("a", receipt="a"), waiting("w", "k")], NOW_MS)


async def test_a_server_without_tls_is_there(dsn):
    problem = await refused(f"{dsn}?sslmode=require")
    assert "sslmode" in problem
    assert "Is the server there" not in problem


async def test_a_database_that_takes_no_connections_is_there(dsn):
    """It is being restored or upgraded."""
    name = urlsplit(dsn).path[1:]
    other = conninfo.make_conninfo(dsn, dbname="template1")
    run(other, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    try:
        problem = await refused(dsn)
    finally:
        run(other, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    assert "ALLOW_CONNECTIONS" in problem


async def test_tables_that_are_gone_are_named_with_what_makes_them(dsn):
    """As after a backup of an earlier version was restored beneath a process that runs."""
    store = await opened(dsn)
    try:
        run(dsn, "ALTER TABLE ledger RENAME TO former_ledger")
        with pytest.raises(StoreUnavailable, match="flybridge migrate"):
            await store.file([direct("a", receipt="a")], NOW_MS)
    finally:
        await store.close()


@pytest.mark.parametrize(
    "sql", ["SELECT current_setting('flybridge.shard')", "EXECUTE _pg3_0", "SELECT * FROM pg_temp.loaded"]
)
async def test_what_a_pooler_of_transactions_takes_away_is_said_to_be_that(dsn, sql):
    """It gives each transaction another session: settings, prepared statements and temporary tables are gone."""
    with connect(dsn) as db, pytest.raises(psycopg.Error) as found:
        db.execute(sql.encode())
    assert "pool_mode = session" in str(unavailable(found.value))


@pytest.mark.parametrize("setting", ["statement_timeout = 60", "idle_session_timeout = 300"])
async def test_timeouts_of_the_role_are_not_those_of_the_store(role, setting):
    """A statement that counts a large table takes as long as it takes, and a process may have nothing to do."""
    dsn = role(f"SET {setting}")
    store = await opened(dsn)
    try:
        await store.file([direct("a", receipt="a")], NOW_MS)
        await asyncio.sleep(0.5)
        await store.file([direct("b", receipt="b", app="another")], NOW_MS)
        with connect(dsn) as db:
            db.execute("SELECT pg_sleep(0.1)")
    finally:
        await store.close()


async def test_a_commit_is_durable_whatever_the_server_was_set_to():
    """The inbox forgets a message when the store has it."""
    with tempfile.TemporaryDirectory(prefix="flybridge-postgres-") as folder:
        settings = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
        async with postgres(Path(folder) / "server", settings) as server:
            store = await opened(await server.create("bridge"))
            for n in range(20):
                await store.file([direct("a", receipt=f"{n}")], NOW_MS)
            await server.kill()
            await server.start()
            assert sum(count.n for count in await store.counts()) == 20
            await store.close()


@pytest.mark.parametrize("doing", ["sending query failed", "consuming input failed"])
def test_a_connection_that_broke_is_said_to_have_broken(doing):
    """What the client could not do afterwards says nothing to an operator."""
    problem = str(unavailable(psycopg.OperationalError(f"{doing}: cannot exit pipeline mode while busy\n")))
    assert problem == "The store did not answer: the connection broke."
