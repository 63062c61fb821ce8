"""Rules for all tests, and the stores that tests run on: SQLite, and PostgreSQL on a server that is started once."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from empty_stores import write_empty_store
from flybridge.errors import FlybridgeError
from flybridge.sealing import Seal
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.postgres import PostgresServer
from spreading import Parts, begin_with_longest

SEAL = Seal(b"the secret of the tests")
TEMPLATE = "ready"

MEMORY = "/dev/shm"
ROOM = 4 << 30
"""Bytes. All processes together take a quarter of that."""

# How long an example takes says more about the machine and who else works on it than about us.
settings.register_profile("flybridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flybridge")

MakeStore = Callable[[], Store]
NewPlace = Callable[[], AbstractAsyncContextManager[MakeStore]]
_numbers = count(1)


def pytest_configure() -> None:
    """Keep what tests write in memory if there is room: they make and remove databases by the thousand."""
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY  # of the processes that tests start, and of this one


def _has_room(directory: str) -> bool:
    """Whether there is a directory of that name with ample room, in which programs may be run."""
    if not os.access(directory, os.W_OK):
        return False
    of_disk = os.statvfs(directory)
    return not of_disk.f_flag & os.ST_NOEXEC and of_disk.f_bavail * of_disk.f_frsize > ROOM


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Turn the skip of a test that needs a server into a failure where CI is set: there it must not pass unseen."""
    report = yield
    if (
        report.skipped
        and os.environ.get("CI")
        and item.get_closest_marker("service")
        and not hasattr(report, "wasxfail")
    ):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs a server and was skipped, which is a failure with CI set. {reason}"
    return report


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a parameter of bytes that are no text by its argument and its place.

    The bytes may differ from process to process, as the time in what gzip writes does; processes that share the tests
    refuse to if their names differ.
    """
    return argname if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()) else None


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo how a test has set up logging: its stream is closed with the test, and services of others go on logging."""
    yield
    structlog.reset_defaults()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest where several processes share the tests."""
    if hasattr(config, "workerinput"):
        begin_with_longest(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Parts:
    """Return what hands the tests out to several processes."""
    config.option.loadscopereorder = False  # it would begin with the parts of most tests, which are the quickest
    return Parts(config, log)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return a server with a database that has all tables, to make others from."""
    with tempfile.TemporaryDirectory(prefix="flybridge-postgres-") as directory:
        try:
            server = PostgresServer(Path(directory) / "server", {"fsync": "off"})  # making databases is what costs
        except FlybridgeError as missing:
            pytest.skip(str(missing))
        asyncio.run(_ready(server))
        yield server
        asyncio.run(server.stop())


async def _ready(server: PostgresServer) -> None:
    await server.start()
    dsn = await server.create(TEMPLATE)
    store = PostgresStore(dsn, SEAL)
    await store.open()
    await store.close()
    with psycopg.connect(dsn) as db:
        db.execute("DELETE FROM state")  # tests have secrets of their own


@pytest.fixture
def new_database(postgres_server: PostgresServer) -> Callable[..., AbstractAsyncContextManager[str]]:
    """Return a function that makes a database, with all tables or from another template, and gives its address."""

    @asynccontextmanager
    async def made(template: str = TEMPLATE) -> AsyncIterator[str]:
        name = f"test_{next(_numbers)}"
        yield await postgres_server.create(name, template)
        await postgres_server.drop(name)

    return made


EMPTY = """DO $$ DECLARE name text; BEGIN
  SET LOCAL session_replication_role = replica; -- without the triggers that keep the audit trail
  FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname <> 'migrations' AND pg_relation_size(oid) > 0 LOOP -- what was never written to is empty
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
  PERFORM setval('ids', 1, false);
END $$"""
_emptied: list[tuple[str, psycopg.Connection]] = []
"""Databases that are free, each with a connection that empties it: a new one has to learn all tables first."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.service)])
def new_place(request: pytest.FixtureRequest) -> NewPlace:
    """Return a function that makes an empty place for a store. In it, stores are made as by several processes."""
    if request.param == "sqlite":
        return _sqlite_place
    server = request.getfixturevalue("postgres_server")
    return lambda: _postgres_place(server)


@asynccontextmanager
async def _sqlite_place() -> AsyncIterator[MakeStore]:
    with tempfile.TemporaryDirectory() as folder:
        path = write_empty_store(Path(folder) / "store.db")
        yield lambda: SqliteStore(path, SEAL, keeps_messages=True)


@asynccontextmanager
async def _postgres_place(server: PostgresServer) -> AsyncIterator[MakeStore]:
    # Emptying one costs a tenth of making one. Who fails leaves his behind.
    dsn, db = _emptied.pop() if _emptied else await _new_place(server)
    yield lambda: PostgresStore(dsn, SEAL, keeps_messages=True)
    db.execute(EMPTY)
    _emptied.append((dsn, db))


async def _new_place(server: PostgresServer) -> tuple[str, psycopg.Connection]:
    dsn = await server.create(f"test_{next(_numbers)}", TEMPLATE)
    return dsn, psycopg.connect(dsn, autocommit=True)
