"""Connections to the store's file: one thread that writes, a few that read.

Verbs that are queued while the disk is busy share the next transaction, each in a savepoint of its own: every one is
all or nothing, and all of them pay for one flush.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from flybridge.errors import StoreUnavailable
from flybridge.store.migrate import apply_sqlite, scripts
from flybridge.system.full_disk import room_remedy
from flybridge.system.moved_files import OpenFiles
from flybridge.system.private_files import private_database, private_directory
from flybridge.system.write_ahead_log import use_write_ahead_log

T = TypeVar("T")
Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]

JOBS_PER_TRANSACTION: Final = 32
CACHE_MB: Final = 24
"""More is not faster, and would grow for the first hundred thousand messages."""
PARAMETERS: Final = 16_384  # SQLite's own ceiling is 32,766 in one statement


def connect(path: Path, cache_mb: int = CACHE_MB) -> sqlite3.Connection:
    """Open the file. A commit is on disk when it returns (`synchronous = FULL`).

    `cache_mb` bounds the pages that are kept in the process. They are those of the log, which holds 16 MB between two
    checkpoints, and those of a transaction. The first 2 GB of the file are mapped, which is all that SQLite allows: a
    page of theirs is read without copying it. What lies behind them is in the operating system's cache.
    """
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=512)
    use_write_ahead_log(db)
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA cache_size = {-1024 * cache_mb}")
    db.execute(f"PRAGMA mmap_size = {2**31}")
    db.execute("PRAGMA wal_autocheckpoint = 4000")
    db.execute(f"PRAGMA journal_size_limit = {128 * 2**20}")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def prepared(path: Path, opened: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
    """Open the file with `opened`, creating it if needed, and apply pending migrations."""
    try:
        private_directory(path.parent)
        private_database(path)
        db = opened(path)
        try:
            apply_sqlite(db, scripts("sqlite"))
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"The store {path} can't be opened: {error}.{room_remedy(error)}") from error
    return db


def reads_damaged(db: sqlite3.Connection, error: sqlite3.OperationalError) -> bool:
    """Let a connection read text that is damaged on disk, if the error is that it can't. Return whether it was.

    One such row must not keep all others from being read. It costs a call for each text, so only where it is needed.
    """
    if "Could not decode to UTF-8" not in f"{error}":
        return False
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    return True


def among(db: sqlite3.Connection, sql: str, values: Iterable[object], *first: object) -> list[Any]:
    """Run a SELECT whose text ends a list with `IN (??)`, for any number of values; `first` binds what stands before.

    Lists are filled up with NULL, which equals nothing, to a power of two: few texts, so they stay prepared.
    """
    values, found = list(values), []
    for start in range(0, len(values), PARAMETERS):
        part = values[start : start + PARAMETERS]
        size = 1 << (len(part) - 1).bit_length()
        marks = ",".join("?" * size)
        found += db.execute(sql.replace("??", marks), (*first, *part, *[None] * (size - len(part)))).fetchall()
    return found


class Writer:
    """The thread that owns the writing connection. It calls `undo` after a rollback."""

    def __init__(self, db: sqlite3.Connection, undo: Callable[[], None]) -> None:
        self._db = db
        self._files = OpenFiles(db)
        self._undo = undo
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def run(self, verb: Callable[[], T]) -> asyncio.Future[T]:
        """Run a verb in a transaction. Raises `StoreUnavailable` if SQLite refuses; then nothing was changed."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((verb, future))
        return future

    async def close(self) -> None:
        """Finish what is queued and close the connection."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        while jobs := self._next():
            try:
                answers = self._transaction(jobs)
            except Exception as error:  # no caller may wait for ever, and the next verb may well succeed
                answers = [_failure(error)] * len(jobs)
            self._loop.call_soon_threadsafe(_answer, jobs, answers)
        self._db.close()

    def _next(self) -> list[Job]:
        first = self._queue.get()
        jobs = [] if first is None else [first]
        while 0 < len(jobs) < JOBS_PER_TRANSACTION:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _transaction(self, jobs: Sequence[Job]) -> list[object]:
        self._files.check()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            answers = [self._attempt(verb) for verb, _ in jobs]
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._undo()
            raise
        return answers

    def _attempt(self, verb: Callable[[], object]) -> object:
        self._db.execute("SAVEPOINT verb")
        try:
            try:
                answer = verb()
            except sqlite3.OperationalError as error:
                if not reads_damaged(self._db, error):
                    raise
                self._db.execute("ROLLBACK TO verb")
                self._undo()
                answer = verb()
        except Exception as error:
            if not self._db.in_transaction:  # a full disk may end the whole transaction
                raise
            self._db.execute("ROLLBACK TO verb")
            self._undo()
            answer = _failure(error) if isinstance(error, sqlite3.Error) else error
        self._db.execute("RELEASE verb")
        return answer


def _failure(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"The store did not commit: {error}. Nothing was changed.{room_remedy(error)}")


def _answer(jobs: Sequence[Job], answers: Sequence[object]) -> None:
    for (_, future), answer in zip(jobs, answers, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


class ReaderPool:
    """Threads with a reading connection each, so that a long report does not stop a short one."""

    def __init__(self, path: Path, opened: Callable[[Path], sqlite3.Connection] = connect, threads: int = 2) -> None:
        self._path = path
        self._opened = opened
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(threads, "store-reader")

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in one read transaction: all it reads is of the same moment."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, query)

    async def close(self) -> None:
        """Wait for what runs and close the connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for db in self._all:
            db.close()

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if not hasattr(self._own, "db"):
                self._own.db = self._opened(self._path)
                self._own.db.execute("PRAGMA query_only = ON")
                self._all.append(self._own.db)
            db: sqlite3.Connection = self._own.db
            db.execute("BEGIN")
            try:
                return query(db)
            except sqlite3.OperationalError as error:
                if not reads_damaged(db, error):
                    raise
                return query(db)
            finally:
                db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The store {self._path} can't be read: {error}.") from error
