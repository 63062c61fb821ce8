"""Threads with a connection each that survive a server's restart; transactions, and the repetition of lost races."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import sleep
from typing import Final, TypeVar

import psycopg
from psycopg import errors

from flybridge.errors import StoreUnavailable
from flybridge.store.core.tables import Rows
from flybridge.store.postgres.connection import Db
from flybridge.store.postgres.refusals import reason_of, unavailable
from flybridge.store.postgres.tables import Conflict, PostgresRows

ATTEMPTS: Final = 8

LOST_RACES: Final = (
    Conflict,
    errors.UniqueViolation,
    errors.SerializationFailure,
    errors.DeadlockDetected,
)

T = TypeVar("T")


class Unsent(Exception):
    """The connection broke before the commit was sent: the work may be repeated without a second effect."""


def repeated(attempt: Callable[[], T]) -> T:
    """Repeat an attempt that loses a race, a few times. Raises `StoreUnavailable` if it always does."""
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except LOST_RACES as lost:
            if number == ATTEMPTS - 1:
                raise StoreUnavailable(
                    f"Others were faster {ATTEMPTS} times: {reason_of(lost)}. Nothing was changed; it will be "
                    "tried again."
                ) from lost
            sleep(random.uniform(0, 0.01 * 2**number))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


@contextmanager
def transaction(db: Db) -> Iterator[Callable[[], None]]:
    """Open a transaction and yield what commits it. What was not committed when the block ends is rolled back.

    Raises `Unsent` if the connection breaks before the commit was sent; after that its outcome is unknown.
    """
    committing = False

    def commit() -> None:
        nonlocal committing
        committing = True
        db.commit()

    try:
        yield commit
    except psycopg.OperationalError as error:
        if db.closed and not committing:
            raise Unsent(reason_of(error)) from error
        raise
    finally:
        if not db.closed:
            db.rollback()


class Pool:
    """Threads with a connection each, made when it is needed. One that breaks invalidates all that were made before.

    `connect` makes a connection and raises psycopg's errors. `broken` is called once when connections are given up.
    """

    def __init__(self, connect: Callable[[], Db], n: int, name: str, broken: Callable[[], None]) -> None:
        self._connect = connect
        self._broken = broken
        self._own = threading.local()
        self._all: set[Db] = set()
        self._era = 0
        self._pool = ThreadPoolExecutor(n, name)

    async def run(self, work: Callable[[Db], T]) -> T:
        """Run a function in a thread. Raises `StoreUnavailable` if the server does not answer or refuses."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, work)

    def _run(self, work: Callable[[Db], T]) -> T:
        try:
            try:
                return self._attempt(work)
            except Unsent:
                return self._attempt(work)
        except Unsent as broken:
            raise StoreUnavailable(f"The store did not answer: {broken}.") from broken
        except psycopg.Error as error:
            raise unavailable(error) from error

    def _attempt(self, work: Callable[[Db], T]) -> T:
        db = self._connection()
        era: int = self._own.era
        try:
            return work(db)
        finally:
            if db.closed and era == self._era:
                self._era += 1  # what broke one connection has probably broken all: a server that was restarted
                self._broken()

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


def reading(query: Callable[[Rows], T]) -> Callable[[Db], T]:
    """Return the work of a connection that runs `query` in one read transaction."""

    def work(db: Db) -> T:
        with transaction(db):
            return query(PostgresRows(db))

    return work
