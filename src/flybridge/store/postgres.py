"""The store on PostgreSQL: any number of processes work on one database.

The decisions are those of the embedded store. What is added is the order in which transactions wait for each other,
described in docs/adr/0009-postgres-store.md, and doing anew what lost a race.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg import errors

from flybridge.errors import StoreUnavailable
from flybridge.privacy import Seal
from flybridge.records import DAY_MS, day_of
from flybridge.store.book import Book
from flybridge.store.migrate import apply_postgres, scripts
from flybridge.store.postgres_connection import (
    Db,
    checked,
    connect,
    connect_reader,
    connect_writer,
    reason_of,
    refusal,
)
from flybridge.store.postgres_sql import FOLD
from flybridge.store.postgres_tables import Blocks, Conflict, Names, PostgresRows, PostgresTables
from flybridge.store.tables import Rows
from flybridge.store.verbs import Verbs

WRITERS: Final = 4
READERS: Final = 2
ATTEMPTS: Final = 8
FOLD_DAYS: Final = 3

LOST_RACES: Final = (
    Conflict,
    errors.UniqueViolation,
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
)

P = ParamSpec("P")
T = TypeVar("T")


class PostgresStore(Verbs):
    """A store in one PostgreSQL database, given by its address.

    A verb raises `StoreUnavailable` when the server does not answer or the connection breaks. Whether it was committed
    may then be unknown: every verb may be repeated. The next verb connects anew.
    """

    def __init__(self, dsn: str, seal: Seal) -> None:
        super().__init__(seal)
        self._dsn = dsn
        self._open = False

    async def open(self) -> None:
        """Connect, and apply pending migrations. Ten processes may do so at once."""
        await asyncio.to_thread(self._prepare)
        self._blocks = Blocks()
        self._names = Names(lambda: connect(self._dsn))
        self._writers = _Threads(lambda: connect_writer(self._dsn), WRITERS, "store-writer")
        self._readers = _Threads(lambda: connect_reader(self._dsn), READERS, "store-reader")
        self._open = True

    def _prepare(self) -> None:
        try:
            with connect(self._dsn) as db:
                checked(db)
                apply_postgres(db, scripts("postgres"))
        except psycopg.Error as error:
            raise refusal(self._dsn, error) from None

    async def close(self) -> None:
        """Finish what runs and close."""
        if not self._open:
            return
        self._open = False
        await self._writers.close()
        await self._readers.close()
        self._names.close()

    async def _write(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        return await self._writers.run(lambda db: self._transaction(db, lambda b: verb(b, *arguments, **named), False))

    async def _write_alone(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        return await self._writers.run(lambda db: self._transaction(db, lambda b: verb(b, *arguments, **named), True))

    def _transaction(self, db: Db, verb: Callable[[Book], T], alone: bool) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt(db, verb, alone)
            except LOST_RACES as lost:
                if attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(
                        f"Others were faster {ATTEMPTS} times: {reason_of(lost)}. Nothing was changed; it will be "
                        "tried again."
                    ) from lost
                sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    def _attempt(self, db: Db, verb: Callable[[Book], T], alone: bool) -> T:
        tables = PostgresTables(db, self._names, self._blocks)
        book = Book(tables)
        try:
            with db.pipeline():
                tables.enter(alone=alone)
                result = verb(book)
                book.flush()
                tables.finish()
                db.commit()
        except BaseException:
            if not db.closed:
                db.rollback()
            raise
        return result

    async def _look(self, look: Callable[[Rows], T]) -> T:
        def transaction(db: Db) -> T:
            try:
                return look(PostgresRows(db))
            finally:
                if not db.closed:
                    db.rollback()

        return await self._readers.run(transaction)

    async def _tidy(self, now_ms: int) -> None:
        """Fold together what connections have counted of days that are over."""
        await self._write_alone(_fold, day_of(now_ms - FOLD_DAYS * DAY_MS))


def _fold(book: Book, before_day: str) -> None:
    if isinstance(book.tables, PostgresTables) and book.tables.only("fold"):
        book.tables.db.execute(FOLD[0].encode())
        book.tables.db.execute(FOLD[1].encode(), (before_day,))


class _Threads:
    """Threads with a connection each. One that breaks takes all that were opened before with it."""

    def __init__(self, connect: Callable[[], Db], n: int, name: str) -> None:
        self._connect = connect
        self._own = threading.local()
        self._all: set[Db] = set()
        self._era = 0
        self._pool = ThreadPoolExecutor(n, name)

    async def run(self, work: Callable[[Db], T]) -> T:
        """Run a function in a thread. Raises `StoreUnavailable` if the server does not answer or refuses."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, work)

    def _run(self, work: Callable[[Db], T]) -> T:
        era = self._era
        try:
            db = self._connection()
            return work(db)
        except psycopg.Error as error:
            broken = isinstance(error, psycopg.OperationalError)
            if broken and era == self._era:
                self._era += 1  # who broke one connection has probably broken all: a server that was restarted
            raise _unavailable(error) from error

    def _connection(self) -> Db:
        db: Db | None = getattr(self._own, "db", None)
        if db is not None and (db.closed or self._own.era != self._era):
            db.close()
            self._all.discard(db)
            db = None
        if db is None:
            self._own.era = self._era
            db = self._own.db = self._connect()
            self._all.add(db)
        return db

    async def close(self) -> None:
        """Wait for what runs and close the connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for db in self._all:
            db.close()


def _unavailable(error: psycopg.Error) -> StoreUnavailable:
    return StoreUnavailable(f"The store did not answer: {reason_of(error)}. It will be tried again.")
