"""Measures what matching costs while many events wait: a lookup that finds nothing, a release, and the end of a wait.

    python bench/match.py                          # 10 thousand, 1 million and 10 million holds
    python bench/match.py --sizes 10k,1M --body 300

Each hold has two keys and an item of `--body` bytes. The store is filled with SQL directly, because filing ten million
postbacks would take an hour; everything measured goes through `Store.file` and `Store.expire`, in batches as the flow
makes them, every one its own transaction, flushed to disk. The stores take turns, a batch each, so that whatever else
the machine does meets all of them.

The store is measured as a bridge that has run for hours has it: its file is in the operating system's cache, and the
writer's own cache is full. So 10 million holds need about 10 GB of disk, and as much free memory.

A release changes the line of the ledger and adds a delivery; the hold's own rows stay until its window is over, when
those of many holds are cleared together. With few holds many of the changed rows share a page, with many each has its
own: that, not the search, is what grows. Holds are chosen at random, which is the worst case: people who are seen are
mostly people of today.

At the end of a window half of the holds have found their person: those are cleared away, the others expire. The figure
is per hold of either kind, the oldest of the store, as it is in life. Their lines and items are neighbours, their keys
are not.

The wall time is the median of the batches, the processor time the mean of all, the log's checkpoints included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from flybridge.records import Apply, Deliver, Envelope, Filing, Hold, Media, Sighting, Source
from flybridge.sealing import Seal
from flybridge.store.core.sealed import seal_item
from flybridge.store.sqlite.connection import connect
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_769_903_999_123
WINDOW_MS = 72 * 3_600_000
BATCH = 100
WARM, MEASURED = 5, 40
N = (WARM + MEASURED) * BATCH
ENDED = 4_000
SEAL = Seal(b"the secret of the benchmark")
MEASURES = ("lookup", "release", "ending")
OLDEST = """SELECT oldest.id FROM (SELECT id FROM holds ORDER BY expires_ms, id LIMIT ?) AS oldest
            JOIN ledger USING (id) JOIN cells ON cells.id = cell WHERE outcome = 'held'"""

FILL = (
    "DROP INDEX holds_expiry",
    """INSERT INTO items (id, sealed) WITH RECURSIVE n(i) AS (SELECT 1001 UNION ALL SELECT i + 1 FROM n WHERE i < :last)
       SELECT i, :sealed FROM n""",
    """INSERT INTO ledger (id, receipt, cell, insert_id, received_ms, changed_ms, uncertain, digest)
       SELECT id, printf('b%010d', id), :cell, 'e0a1b2c3d4e5f60718293a4b5c6d7e8f', :now, :now, 0, randomblob(16)
       FROM items WHERE id > 1000""",
    """INSERT INTO holds (id, lane, event_type, media_source, key_kinds, keys, received_ms, event_ms, expires_ms)
       SELECT id, :lane, '[AppsFlyer] Install', 'googleadwords_int', 'idfv appsflyer_id',
              pack(randomblob(16), randomblob(16)), :now, :now, :now + :window FROM items WHERE id > 1000""",
    """INSERT INTO hold_keys (key, hold)
       SELECT k, id FROM (SELECT substr(keys, 4, 16) AS k, id FROM holds WHERE id > 1000
                          UNION ALL SELECT substr(keys, 22, 16), id FROM holds WHERE id > 1000) ORDER BY k""",
    "CREATE INDEX holds_expiry ON holds (expires_ms)",
    "UPDATE cells SET n = n + :last - 1000 WHERE id = :cell",
    "UPDATE hold_counts SET n = n + :last - 1000",
    "UPDATE ids SET next = :last + 1",
)


def envelope(receipt: str, source: Source) -> Envelope:
    """Build an envelope."""
    return Envelope("shop", source, Media.JSON, NOW_MS, b"{}", receipt)


def fill(path: Path, holds: int, body: int) -> None:
    """Add so many holds to a store that has one, whose lane, cell and counter they share."""
    db = connect(path)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA temp_store = FILE")
    db.execute("PRAGMA cache_size = -1000000")
    db.create_function("pack", 2, lambda one, two: b"\x92\xc4\x10" + one + b"\xc4\x10" + two)
    (lane,), (cell,) = db.execute("SELECT lane FROM holds").fetchone(), db.execute("SELECT cell FROM ledger").fetchone()
    item = Deliver("http_v2", "e0a1b2c3d4e5f60718293a4b5c6d7e8f", "[AppsFlyer] Install", b"{" + b" " * body + b"}")
    given = {"last": 1000 + holds, "sealed": seal_item(SEAL, item), "cell": cell, "lane": lane, "now": NOW_MS}
    given["window"] = WINDOW_MS
    db.execute("BEGIN")
    for sql in FILL:
        db.execute(sql, {name: value for name, value in given.items() if f":{name}" in sql})
    db.execute("COMMIT")
    db.close()
    with path.open("rb") as file:
        os.fsync(file.fileno())


def keys_of(path: Path, chosen: Sequence[int]) -> list[bytes]:
    """Read one key of each of these holds."""
    db = sqlite3.connect(path)
    found = [db.execute("SELECT substr(keys, 4, 16) FROM holds WHERE id = ?", (i,)).fetchone()[0] for i in chosen]
    db.close()
    return found


def sightings(keys: Sequence[bytes], name: str) -> list[Filing]:
    """Build filings that show one person each."""
    return [
        Filing(
            envelope(f"{name}{n}", Source.STREAM),
            Apply(),
            sightings=(Sighting("shop", key, "idfv", NOW_MS, f"{name}-user-{n}", f"{name}-device-{n}"),),
        )
        for n, key in enumerate(keys)
    ]


class Spending:
    """The time that one measure takes, batch by batch."""

    def __init__(self) -> None:
        self._walls: list[float] = []
        self._cpu_s = 0.0
        self._n = 0

    async def of(self, work: Awaitable[int], *, counts: bool = True) -> int:
        """Do a batch; gives how many it was of."""
        began, used = perf_counter(), process_time()
        n = await work
        if counts:
            self._walls.append((perf_counter() - began) / n * 1e6)
            self._cpu_s += process_time() - used
            self._n += n
        return n

    @property
    def wall_us(self) -> float:
        """Return what one costs, as the median of the batches."""
        return median(self._walls)

    @property
    def cpu_us(self) -> float:
        """Return the processor time of one, as the mean of all."""
        return self._cpu_s / self._n * 1e6


class Bed:
    """A store with so many holds, and what has been measured of it."""

    def __init__(self, holds: int, body: int, folder: Path) -> None:
        self.holds = holds
        self._body = body
        self._path = folder / f"{holds}.db"
        self.spent = {name: Spending() for name in MEASURES}
        self._left = holds + 1  # of those that wait

    async def open(self) -> None:
        """Fill the store, and open it."""
        store = SqliteStore(self._path, SEAL)
        await store.open()
        first = Hold(
            Deliver("http_v2", "first", "[AppsFlyer] Install", b"{}"),
            (b"1" * 16, b"2" * 16),
            ("idfv", "appsflyer_id"),
            NOW_MS,
            NOW_MS + WINDOW_MS,
            "googleadwords_int",
        )
        await store.file([Filing(envelope("first", Source.PUSH), first)], NOW_MS)
        await store.close()
        began = perf_counter()
        fill(self._path, self.holds, self._body)
        size_mb = self._path.stat().st_size / 1e6
        print(f"{self.holds:>10,} holds: {size_mb:,.0f} MB, filled in {perf_counter() - began:.0f} s", flush=True)
        chosen = random.Random(7).sample(range(1001, 1001 + self.holds), N)
        self._keys = keys_of(self._path, chosen)
        self._store = SqliteStore(self._path, SEAL)
        await self._store.open()

    async def warm(self) -> None:
        """Bring the store to where it is after hours: its file in the system's cache, the writer's own cache full."""
        with self._path.open("rb") as file:
            while file.read(1 << 20):
                pass
        db = self._store._tables.db
        await self._store._writer.run(lambda: db.execute("SELECT sum(length(sealed)) FROM items").fetchall())

    async def look_up(self, at: int) -> None:
        """Show people nobody waits for."""
        shown = sightings([random.randbytes(16) for _ in range(BATCH)], f"u{at}-")
        await self._file("lookup", shown, at, matched=0)

    async def release(self, at: int) -> None:
        """Show people somebody waits for."""
        await self._file("release", sightings(self._keys[at : at + BATCH], f"k{at}-"), at, matched=BATCH)

    async def _file(self, name: str, shown: Sequence[Filing], at: int, *, matched: int) -> None:
        async def filed() -> int:
            found = (await self._store.file(shown, NOW_MS)).matched
            if found != matched:
                raise SystemExit(f"{found} of {matched} sightings found their hold: the store was filled wrongly.")
            return len(shown)

        await self.spent[name].of(filed(), counts=at >= WARM * BATCH)
        self._left -= matched

    async def find_half(self) -> None:
        """Let half of the oldest holds have found their person."""
        db = sqlite3.connect(self._path)
        waiting = [i for (i,) in db.execute(OLDEST, (ENDED,))]
        db.close()
        found = random.Random(8).sample(waiting, len(waiting) - ENDED // 2)
        for at in range(0, len(found), BATCH):
            shown = sightings(keys_of(self._path, found[at : at + BATCH]), f"e{at}-")
            await self._store.file(shown, NOW_MS)
        self._left -= len(found)

    async def end(self) -> None:
        """Let the windows of some of the oldest holds end; the spent ones among them are cleared away."""

        async def ended() -> int:
            return 2 * await self._store.expire(NOW_MS + WINDOW_MS, BATCH // 2)

        self._left -= await self.spent["ending"].of(ended()) // 2

    async def close(self) -> None:
        """Count what is left, and close."""
        began = perf_counter()
        counted = sum(count.n for count in await self._store.hold_counts())
        counting_ms = (perf_counter() - began) * 1000
        await self._store.close()
        if counted != self._left:
            raise SystemExit(f"{counted} holds are counted, and there must be {self._left}.")
        figures = "  ".join(
            f"{name} {spent.wall_us:6.1f} us ({spent.cpu_us:6.1f} cpu)" for name, spent in self.spent.items()
        )
        print(f"{self.holds:>10,} holds  {figures}  counting them {counting_ms:5.2f} ms", flush=True)


async def measure(sizes: Sequence[int], body: int, folder: Path) -> None:
    """Fill a store of every size, measure them in turns, and compare the last with the first."""
    beds = [Bed(size, body, folder) for size in sizes]
    for bed in beds:
        await bed.open()
    for bed in beds:
        await bed.warm()
    for at in range(0, N, BATCH):
        for bed in beds:
            await bed.look_up(at)
    for at in range(0, N, BATCH):
        for bed in beds:
            await bed.release(at)
    for bed in beds:
        await bed.find_half()
    for _ in range(0, ENDED, BATCH):
        for bed in beds:
            await bed.end()
    for bed in beds:
        await bed.close()
    if len(beds) > 1:
        for name in MEASURES:
            small, large = beds[0].spent[name], beds[-1].spent[name]
            print(
                f"{name}: the largest costs {large.wall_us / small.wall_us:.2f} times the smallest, "
                f"{large.cpu_us / small.cpu_us:.2f} times its processor time"
            )


def number(text: str) -> int:
    """Read `10k` or `1M`."""
    factor = {"k": 1000, "M": 1_000_000}.get(text[-1], 1)
    return int(text.rstrip("kM")) * factor


def main() -> None:
    """Measure every size, and compare the last with the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="10k,1M,10M")
    parser.add_argument("--body", type=int, default=300, help="bytes of an item")
    parser.add_argument("--folder", type=Path, help="where to make the stores (default: the system's temporary one)")
    options = parser.parse_args()
    sizes = [number(size) for size in options.sizes.split(",")]
    if min(sizes) < N + ENDED:
        parser.error(f"--sizes: so many are released and ended that each has to be {N + ENDED:,} at least")
    folder = Path(tempfile.mkdtemp(prefix="flybridge-match-", dir=options.folder))
    try:
        asyncio.run(measure(sizes, options.body, folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
