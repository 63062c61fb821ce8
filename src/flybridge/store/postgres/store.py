"""The store on PostgreSQL: any number of processes work on one database.

The decisions are those of the embedded store. What is added is the order in which transactions wait for each other,
described in docs/adr/0009-postgres-store.md, and doing anew what lost a race.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from flybridge.records import DAY_MS, day_of
from flybridge.sealing import Seal
from flybridge.store.core.ledger import Book
from flybridge.store.core.tables import Rows
from flybridge.store.core.verbs import Verbs
from flybridge.store.postgres.connection import Db, connect, connect_reader, connect_writer, prepare
from flybridge.store.postgres.pool import Pool, repeated, transaction
from flybridge.store.postgres.sql import FOLD
from flybridge.store.postgres.tables import Blocks, Names, PostgresRows, PostgresTables

WRITERS: Final = 4
READERS: Final = 2
FOLD_DAYS: Final = 3

P = ParamSpec("P")
T = TypeVar("T")


class PostgresStore(Verbs):
    """A store in one PostgreSQL database, given by its address.

    A verb raises `StoreUnavailable` when the server does not answer or the connection breaks. Whether it was committed
    may then be unknown: every verb may be repeated. The next verb connects anew. A verb that finds its connection
    broken before it has asked for anything to be kept does so itself.
    """

    def __init__(self, dsn: str, seal: Seal) -> None:
        super().__init__(seal)
        self._dsn = dsn
        self._open = False

    async def open(self) -> None:
        """Connect, and apply pending migrations. Ten processes may do so at once."""
        await asyncio.to_thread(prepare, self._dsn)
        self._names = Names(lambda: connect(self._dsn))
        self._blocks = Blocks(self._names.blocks)
        self._writers = Pool(lambda: connect_writer(self._dsn), WRITERS, "store-writer", self._broken)
        self._readers = Pool(lambda: connect_reader(self._dsn), READERS, "store-reader", self._broken)
        self._open = True

    def _broken(self) -> None:
        self._names.forget()
        self._blocks.forget()

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
        return repeated(lambda: self._attempt(db, verb, alone))

    def _attempt(self, db: Db, verb: Callable[[Book], T], alone: bool) -> T:
        tables = PostgresTables(db, self._names, self._blocks)
        book = Book(tables)
        with transaction(db) as commit, db.pipeline():
            tables.enter(alone=alone)
            result = verb(book)
            book.flush()
            tables.finish()
            commit()
        return result

    async def _look(self, look: Callable[[Rows], T]) -> T:
        def looking(db: Db) -> T:
            with transaction(db):
                return look(PostgresRows(db))

        return await self._readers.run(looking)

    async def _tidy(self, now_ms: int) -> None:
        """Fold together what connections have counted of days that are over."""
        await self._write_alone(_fold, day_of(now_ms - FOLD_DAYS * DAY_MS))


def _fold(book: Book, before_day: str) -> None:
    if isinstance(book.tables, PostgresTables) and book.tables.only("fold"):
        for sql in FOLD:
            book.tables.db.execute(sql.encode(), (before_day,) if "$1" in sql else ())
