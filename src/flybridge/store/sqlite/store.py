"""The embedded store: one SQLite file, one thread that writes.

Any number of processes may have the file open: every writing verb begins with SQLite's write lock, so each is alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from flybridge.sealing import Seal
from flybridge.store.core.ledger import Book
from flybridge.store.core.tables import Rows
from flybridge.store.core.verbs import Verbs
from flybridge.store.sqlite.connection import WRITER_CACHE_MB, Reader, Writer, connect, prepared
from flybridge.store.sqlite.tables import SqliteRows, SqliteTables

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore(Verbs):
    """A store in one SQLite file. A verb raises `StoreUnavailable` when SQLite refuses (disk full, I/O error)."""

    def __init__(self, path: str | Path, seal: Seal) -> None:
        super().__init__(seal)
        self._path = Path(path)
        self._open = False

    async def open(self) -> None:
        """Open, and apply pending migrations."""
        db = await asyncio.to_thread(prepared, self._path, lambda path: connect(path, WRITER_CACHE_MB))
        self._tables = SqliteTables(db)
        self._book = Book(self._tables)
        self._writer = Writer(db, self._undo)
        self._reader = Reader(self._path)
        self._open = True

    async def close(self) -> None:
        """Finish what runs and close."""
        if not self._open:
            return
        self._open = False
        await self._writer.close()
        await self._reader.close()

    def _undo(self) -> None:
        self._book.undo()
        self._tables.undo()

    async def _write(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        def transaction() -> T:
            result = verb(self._book, *arguments, **named)
            self._book.flush()
            return result

        return await self._writer.run(transaction)

    async def _write_alone(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        return await self._write(verb, *arguments, **named)

    async def _look(self, look: Callable[[Rows], T]) -> T:
        return await self._reader.run(lambda db: look(SqliteRows(db)))
