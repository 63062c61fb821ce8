"""The embedded inbox: one SQLite file, one flush to disk for everybody who waits.

`accept` only appends to a queue. One thread takes all that is queued, packs it into one sealed blob (`inbox.chunk`)
and commits it, so the price of `fsync` is shared by as many callers as arrived during the one before.

A chunk is leased and acknowledged as a whole. Several processes may have the file open; only the one that
accepted an envelope wakes up from `wait` for it, the others find it when their wait times out.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import msgspec

from flybridge.clock import rest
from flybridge.errors import InboxUnavailable, SealBroken
from flybridge.inbox.chunk import UnreadableChunks, numbered, pack, unpack
from flybridge.inbox.fresh import FreshChunks
from flybridge.inbox.high_water import HighWater
from flybridge.inbox.protocol import CLOCK_STEP_MS, Damaged, Depth, Inbox, Leased, Room
from flybridge.records import Envelope, day_of
from flybridge.sealing import Seal
from flybridge.system.full_disk import room_remedy
from flybridge.system.moved_files import FilesMoved, OpenFiles
from flybridge.system.private_files import private_database, private_directory
from flybridge.system.write_ahead_log import use_write_ahead_log

T = TypeVar("T")
Entry = tuple[Envelope, "asyncio.Future[None]"]

VERSION: Final = 2
"""The format of the file. 2: chunks may be compressed, and count their leases."""
CHUNK_ENVELOPES: Final = 1024
CHUNK_BYTES: Final = 4 * 2**20
PAGE_BYTES: Final = 8_192  # bodies are blobs of up to megabytes, but most flushes bring a few tens of kilobytes
SHRINK_BYTES: Final = 16 * 2**20  # free space worth giving back to the file system once nothing waits

# The body has its own table because an UPDATE rewrites the whole row: leasing must not copy megabytes.
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, n INTEGER NOT NULL, tally BLOB NOT NULL,
    oldest_ms INTEGER NOT NULL, leased_until_ms INTEGER NOT NULL DEFAULT 0, lease_ms INTEGER NOT NULL DEFAULT 0,
    leases INTEGER NOT NULL DEFAULT 0, unreadable INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS received (
    app TEXT NOT NULL, day TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (app, day)
) STRICT, WITHOUT ROWID;
"""

UPGRADE: Final = """
ALTER TABLE chunks ADD COLUMN lease_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN leases INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;
"""
"""From format 1."""

COUNT: Final = """
INSERT INTO received (app, day, n) VALUES (?, ?, ?)
ON CONFLICT (app, day) DO UPDATE SET n = n + excluded.n RETURNING app, day, n
"""
LOST: Final = """
INSERT INTO received (app, day, n) VALUES (?, ?, ?)
ON CONFLICT (app, day) DO UPDATE SET n = excluded.n WHERE n < excluded.n
"""
# A chunk is leased if its lease is not over, and did not begin in the future: then the clock was set back since.
DEPTH: Final = """
SELECT coalesce(sum(n), 0),
       coalesce(sum(n) FILTER (
           WHERE leased_until_ms > :now_ms AND leased_until_ms - lease_ms <= :now_ms + :step_ms
       ), 0),
       coalesce(min(oldest_ms), 0),
       coalesce(sum(n) FILTER (WHERE unreadable), 0)
FROM chunks
"""
OLDEST: Final = "SELECT min(oldest_ms) FROM chunks WHERE NOT unreadable"
FREE: Final = """
SELECT id, uid, tally, leases, n FROM chunks
WHERE id > :last_id AND NOT (leased_until_ms > :now_ms AND leased_until_ms - lease_ms <= :now_ms + :step_ms)
ORDER BY id
"""

_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, str, int]]).decode


def _tally(packed: bytes, n: int) -> list[tuple[str, str, int]]:
    """Return how many envelopes of which app and day a chunk holds. Of damaged bytes only `n` is known."""
    try:
        return _decode(packed)
    except msgspec.DecodeError:
        return [("?", "?", n)]


class _Chunk(msgspec.Struct, frozen=True):
    """One row of `chunks`. `leases` are those before this one."""

    id: int
    uid: str
    tally: bytes
    leases: int
    n: int


class SqliteInbox(Inbox):
    """An inbox in one SQLite file.

    `max_waiting` and `max_waiting_bytes` bound what waits in memory for the next flush, not what waits on disk.
    All methods are called from the event loop that called `open`.
    """

    def __init__(
        self, path: str | Path, seal: Seal, *, max_waiting: int = 20_000, max_waiting_bytes: int = 128 * 2**20
    ) -> None:
        self._path = Path(path)
        self._seal = seal
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting = 0
        self._waiting_bytes = 0
        self._open = False
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._arrived = asyncio.Event()
        self._unreadable = UnreadableChunks()
        self._mark = HighWater(self._path.with_suffix(".mark"))
        # Threads of one process take turns here; SQLite's own way of waiting for a lock is to sleep and look again.
        self._turn = threading.Lock()

    async def open(self) -> None:
        """Open or create the log. What a crash left behind was either committed or never answered for."""
        self._loop = asyncio.get_running_loop()
        self._side = ThreadPoolExecutor(1, "inbox-side")
        self._fresh = FreshChunks()
        try:
            self._writer = await self._loop.run_in_executor(self._side, self._prepare)
            self._reader = await self._loop.run_in_executor(self._side, self._connect, "NORMAL")
        except (sqlite3.Error, OSError) as error:
            self._side.shutdown()
            raise InboxUnavailable(f"The inbox {self._path} can't be opened: {error}.") from error
        self._thread = threading.Thread(target=self._write_forever, name="inbox-writer", daemon=True)
        self._thread.start()
        self._open = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._queue.put(None)
        await self._loop.run_in_executor(self._side, self._thread.join)
        await asyncio.sleep(0)  # lets the last flush answer those who wait for it
        await self._loop.run_in_executor(self._side, self._reader.close)
        self._side.shutdown()

    def accept(self, envelope: Envelope) -> asyncio.Future[None]:
        """Queue one envelope for the next flush. The future fails with `InboxUnavailable` if it can't be stored."""
        future: asyncio.Future[None] = self._loop.create_future()
        if not self._open:
            future.set_exception(InboxUnavailable("The inbox is closed: the server is stopping. Try again later."))
        elif self._waiting >= self._max_waiting or self._waiting_bytes >= self._max_waiting_bytes:
            future.set_exception(
                InboxUnavailable(f"{self._waiting} envelopes wait for the disk already. Try again later.", 1)
            )
        else:
            self._waiting += 1
            self._waiting_bytes += len(envelope.body)
            self._queue.put((envelope, future))
        return future

    async def lease(self, limit: int, now_ms: int, lease_ms: int) -> Leased | None:
        return await self._aside(self._lease, limit, now_ms, lease_ms)

    async def ack(self, leased: Leased) -> None:
        """Forget the chunks. Losing this to a power cut is harmless: the store knows the receipts."""
        await self._aside(self._ack, leased.token)

    async def reclaim(self) -> None:
        await self._aside(self._reclaim)

    async def wait(self, timeout_s: float) -> None:
        """Return when this process accepted something since the last wait, or after the timeout."""
        await rest(self._arrived, timeout_s)
        self._arrived.clear()

    async def damaged(self) -> Sequence[Damaged]:
        return await self._aside(self._damaged)

    async def drop(self, damaged: Damaged) -> None:
        await self._aside(self._ack, (damaged.token,))

    async def depth(self, now_ms: int) -> Depth:
        values = {"now_ms": now_ms, "step_ms": CLOCK_STEP_MS}
        return Depth(*(await self._aside(self._select, DEPTH, values))[0])

    async def oldest_ms(self) -> int | None:
        ((oldest_ms,),) = await self._aside(self._select, OLDEST)
        return None if oldest_ms is None else int(oldest_ms)

    async def room(self) -> Room:
        """Measure the file and the disk. There is no bound but the disk."""
        return await self._aside(self._room)

    async def received(self) -> Mapping[tuple[str, str], int]:
        rows = await self._aside(self._select, "SELECT app, day, n FROM received")
        return {(app, day): n for app, day, n in rows}

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        counter: Counter[tuple[str, str]] = Counter()
        for tally, size in await self._aside(self._select, "SELECT tally, n FROM chunks"):
            for app, day, n in _tally(tally, size):
                counter[app, day] += n
        return counter

    # --- the writing thread

    def _write_forever(self) -> None:
        files = OpenFiles(self._writer)
        while group := self._next_group():
            failure = None
            try:
                files.check()
                self._commit([envelope for envelope, _ in group])
            except FilesMoved as error:
                failure = InboxUnavailable(f"The inbox can't be written: {error}.")
            except Exception as error:  # whatever it is, those who wait must be told and the next group tried
                failure = InboxUnavailable(f"The inbox {self._path} can't be written: {error}. Free space on its disk.")
            self._loop.call_soon_threadsafe(self._answer, group, failure)
        self._writer.close()
        self._mark.close()

    def _next_group(self) -> list[Entry]:
        first = self._queue.get()
        if first is None:
            return []
        group, size = [first], len(first[0].body)
        while len(group) < CHUNK_ENVELOPES and size < CHUNK_BYTES:
            try:
                entry = self._queue.get_nowait()
            except Empty:
                break
            if entry is None:
                self._queue.put(None)
                break
            group.append(entry)
            size += len(entry[0].body)
        return group

    def _commit(self, envelopes: list[Envelope]) -> None:
        tally = Counter((envelope.app, day_of(envelope.received_ms)) for envelope in envelopes)
        counts = [(app, day, n) for (app, day), n in tally.items()]
        body, uid = pack(self._seal, envelopes), secrets.token_hex(8)
        oldest_ms = min(envelope.received_ms for envelope in envelopes)
        chunk = (uid, len(envelopes), msgspec.msgpack.encode(counts), oldest_ms)
        self._fresh.keep(uid, envelopes)  # before it can be leased
        try:
            with self._transaction(self._writer) as db:
                row = db.execute("INSERT INTO chunks (uid, n, tally, oldest_ms) VALUES (?, ?, ?, ?)", chunk)
                db.execute("INSERT INTO bodies (id, body) VALUES (?, ?)", (row.lastrowid, body))
                received = [db.execute(COUNT, count).fetchone() for count in counts]
        except BaseException:
            self._fresh.take(uid)
            raise
        with suppress(OSError):  # what was committed is durable, with or without the mark
            self._mark.raise_to(received)

    def _answer(self, group: list[Entry], failure: InboxUnavailable | None) -> None:
        self._waiting -= len(group)
        for envelope, future in group:
            self._waiting_bytes -= len(envelope.body)
            if future.done():  # its caller went away
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)
        self._arrived.set()

    # --- the side thread: leases, acknowledgements, figures

    async def _aside(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await self._loop.run_in_executor(self._side, work, *arguments)
        except sqlite3.Error as error:
            # Reading needs room, too: leases are written.
            raise InboxUnavailable(f"The inbox {self._path} can't be read: {error}.{room_remedy(error)}") from error

    def _select(self, sql: str, values: Mapping[str, object] | tuple[()] = ()) -> list[Any]:
        return self._reader.execute(sql, values).fetchall()

    def _room(self) -> Room:
        used = sum(path.stat().st_size for path in self._path.parent.glob(f"{self._path.name}*"))
        return Room(used, 0, used + shutil.disk_usage(self._path.parent).free)

    def _lease(self, limit: int, now_ms: int, lease_ms: int) -> Leased | None:
        self._unreadable.report()
        uids: list[str] = []
        envelopes: list[Envelope] = []
        unreadable: list[tuple[int]] = []
        last_id = leases = 0
        while not uids and (chunks := self._claim(last_id, limit, now_ms, lease_ms)):
            last_id = chunks[-1].id
            for chunk in chunks:
                try:
                    if (found := self._envelopes(chunk)) is not None:
                        envelopes += found
                        uids.append(chunk.uid)
                        leases = max(leases, chunk.leases)
                except SealBroken as problem:
                    self._unreadable.add(_tally(chunk.tally, chunk.n), problem)
                    unreadable.append((chunk.id,))
        if unreadable:
            with self._transaction(self._reader) as db:
                db.executemany("UPDATE chunks SET unreadable = 1 WHERE id = ?", unreadable)
        if not uids:
            self._unreadable.report()
        return Leased(tuple(uids), envelopes, leases) if uids else None

    def _claim(self, last_id: int, limit: int, now_ms: int, lease_ms: int) -> list[_Chunk]:
        """Lease chunks after `last_id`, readable or not, until they hold at least `limit` envelopes."""
        chunks: list[_Chunk] = []
        with self._transaction(self._reader) as db:
            n = 0
            rows = db.execute(FREE, {"last_id": last_id, "now_ms": now_ms, "step_ms": CLOCK_STEP_MS})
            for row in rows:
                chunks.append(chunk := _Chunk(*row))
                n += chunk.n
                if n >= limit:
                    break
            rows.close()
            db.executemany(
                "UPDATE chunks SET leased_until_ms = ?, lease_ms = ?, leases = leases + 1 WHERE id = ?",
                [(now_ms + lease_ms, lease_ms, chunk.id) for chunk in chunks],
            )
        return chunks

    def _envelopes(self, chunk: _Chunk) -> list[Envelope] | None:
        """Return what a chunk holds, from memory if it is there still; None if it was acknowledged meanwhile."""
        if (fresh := self._fresh.take(chunk.uid)) is not None:
            return numbered(chunk.uid, fresh)
        body = self._body(chunk.id)
        return None if body is None else unpack(self._seal, chunk.uid, body)

    def _body(self, chunk_id: int) -> bytes | None:
        """Read one body: None if the chunk was acknowledged meanwhile. Raises `SealBroken` if its pages are damaged."""
        sql = "SELECT body FROM chunks LEFT JOIN bodies USING (id) WHERE id = ?"
        try:
            row = self._reader.execute(sql, (chunk_id,)).fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:  # an extended code keeps its class in a byte
                raise
            raise SealBroken(f"The inbox {self._path} is damaged ({error}): restore it from a copy.") from error
        if row is not None and row[0] is None:
            raise SealBroken(f"The inbox {self._path} is damaged (a body is missing): restore it from a copy.")
        return None if row is None else row[0]

    def _damaged(self) -> list[Damaged]:
        found = []
        for chunk_id, uid, tally, n in self._select("SELECT id, uid, tally, n FROM chunks ORDER BY id"):
            try:
                if (body := self._body(chunk_id)) is not None:
                    unpack(self._seal, uid, body)
            except SealBroken:
                found.append(Damaged(uid, _tally(tally, n), uid))
        return found

    def _reclaim(self) -> None:
        with self._transaction(self._reader) as db:
            db.execute("UPDATE chunks SET leased_until_ms = 0 WHERE leased_until_ms > 0")

    def _ack(self, uids: Sequence[str]) -> None:
        rows = [(uid,) for uid in uids]
        with self._transaction(self._reader) as db:
            db.executemany("DELETE FROM bodies WHERE id = (SELECT id FROM chunks WHERE uid = ?)", rows)
            db.executemany("DELETE FROM chunks WHERE uid = ?", rows)
            emptied = db.execute("SELECT NOT EXISTS (SELECT 1 FROM chunks)").fetchone()[0]
        if emptied and self._reader.execute("PRAGMA freelist_count").fetchone()[0] * PAGE_BYTES > SHRINK_BYTES:
            with self._turn:
                # `execute` would stop after the first page.
                self._reader.executescript(f"PRAGMA incremental_vacuum({4 * SHRINK_BYTES // PAGE_BYTES})")

    # --- connections

    @contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """Open a write transaction, after waiting for the process's other thread."""
        with self._turn:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def _prepare(self) -> sqlite3.Connection:
        private_directory(self._path.parent)
        private_database(self._path)
        db = self._connect("FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            db.close()
            raise InboxUnavailable(
                f"The inbox {self._path} was written by a newer flybridge (format {version}, this is {VERSION}). "
                "Install that version again."
            )
        db.execute("BEGIN IMMEDIATE")
        # Read again within the transaction: another process may have upgraded the file meanwhile.
        upgrade = UPGRADE if db.execute("PRAGMA user_version").fetchone()[0] == 1 else ""
        for statement in f"{SCHEMA} {upgrade} PRAGMA user_version = {VERSION}; COMMIT".split(";"):
            db.execute(statement)  # `executescript` would commit first
        self._mark.close()
        marked = self._mark.open()
        with self._transaction(db):
            db.executemany(LOST, [(app, day, n) for (app, day), n in marked.items()])
        return db

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        use_write_ahead_log(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute(f"PRAGMA wal_autocheckpoint = {16 * 2**20 // PAGE_BYTES}")
        db.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")
        return db
