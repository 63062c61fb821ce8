"""Measures what matching costs while many events wait: a lookup that finds nothing, a release, and the end of a wait.

    python bench/match.py                          # 10 thousand, 1 million and 10 million holds, one after the other
    python bench/match.py --sizes 10k,1M --body 300

Each hold has two keys and an item of `--body` bytes. The store is filled with SQL directly, because filing ten million
postbacks would take an hour; everything measured goes through `Store.file`, in batches as the flow makes them, every
one its own transaction, flushed to disk. What was just written is in the operating system's cache: that is what "warm"
means here, and 10 million holds need about 10 GB of disk and as much free memory to stay so.

A release changes the item's identity and the line of the ledger, and adds a delivery; the hold's own rows stay until
its window is over, when those of many holds are cleared together. With few holds many of the changed rows share a page,
with many each has its own: that, not the search, is what grows. Holds are chosen at random, which is the worst case.

The wall time is the median of the batches, the processor time the mean of all, the log's checkpoints included.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from flybridge.privacy import Seal
from flybridge.records import Apply, Deliver, Envelope, Filing, Hold, Media, Sighting, Source
from flybridge.store.sealed import seal_item
from flybridge.store.sqlite import SqliteStore
from flybridge.store.sqlite_connection import connect

NOW_MS = 1_769_903_999_123
WINDOW_MS = 72 * 3_600_000
BATCH = 100
WARM, MEASURED = 5, 40
ENDED = 5_000
SEAL = Seal(b"the secret of the benchmark")

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
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


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


async def timed(store: SqliteStore, filings: Sequence[Filing], *, matched: bool) -> tuple[float, float]:
    """File in batches; give the median wall time and the mean processor time of one filing, in microseconds."""
    walls, cpu = [], 0.0
    for at in range(0, len(filings), BATCH):
        part = filings[at : at + BATCH]
        began, used = perf_counter(), process_time()
        filed = await store.file(part, NOW_MS)
        wall = (perf_counter() - began) / len(part) * 1e6
        if filed.matched != (len(part) if matched else 0):
            raise SystemExit(
                f"{filed.matched} of {len(part)} sightings found their hold: the store was filled wrongly."
            )
        if at >= WARM * BATCH:
            walls.append(wall)
            cpu += process_time() - used
    return median(walls), cpu / (len(filings) - WARM * BATCH) * 1e6


async def ended(store: SqliteStore) -> float:
    """Let the windows of some holds end, those of spent ones among them; give what one costs, in microseconds."""
    began, n = perf_counter(), 0
    while n < ENDED:
        n += await store.expire(NOW_MS + WINDOW_MS, min(1000, ENDED - n))
    return (perf_counter() - began) / n * 1e6


async def measure(holds: int, body: int, folder: Path) -> dict[str, float]:
    """Fill a store with so many holds and measure it."""
    path = folder / "store.db"
    store = SqliteStore(path, SEAL)
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
    fill(path, holds, body)
    filled_s = perf_counter() - began
    chance = random.Random(7)
    n = (WARM + MEASURED) * BATCH
    chosen = chance.sample(range(1001, 1001 + holds), n)
    known, unknown = keys_of(path, chosen), [chance.randbytes(16) for _ in range(n)]
    store = SqliteStore(path, SEAL)
    await store.open()
    lookup = await timed(store, sightings(unknown, "u"), matched=False)
    release = await timed(store, sightings(known, "k"), matched=True)
    ending_us = await ended(store)
    began = perf_counter()
    counted = sum(count.n for count in await store.hold_counts())
    counting_ms = (perf_counter() - began) * 1000
    await store.close()
    left = holds + 1 - n - ENDED
    if counted != left:
        raise SystemExit(f"{counted} holds are counted, and there must be {left}.")
    size_mb = path.stat().st_size / 1e6
    print(
        f"{holds:>10,} holds  lookup {lookup[0]:7.1f} us ({lookup[1]:6.1f} cpu)  "
        f"lookup+release {release[0]:7.1f} us ({release[1]:6.1f} cpu)  ending {ending_us:6.1f} us  "
        f"counting them {counting_ms:5.2f} ms  "
        f"[{size_mb:,.0f} MB, filled in {filled_s:.0f} s]",
        flush=True,
    )
    return {"lookup": lookup[0], "release": release[0], "lookup_cpu": lookup[1], "release_cpu": release[1]}


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
    found = []
    for size in map(number, options.sizes.split(",")):
        folder = Path(tempfile.mkdtemp(prefix="flybridge-match-", dir=options.folder))
        try:
            found.append(asyncio.run(measure(size, options.body, folder)))
        finally:
            shutil.rmtree(folder)
    for name in found[0] if len(found) > 1 else ():
        print(f"{name}: the largest costs {found[-1][name] / found[0][name]:.2f} times the smallest")


if __name__ == "__main__":
    sys.exit(main())
