"""Measures both stores with the same filings in one run: filing, and leasing with settling.

    python bench/stores.py                        # 10,000 events, batches of 500
    python bench/stores.py --events 50000 --filers 1,2,4,8

Two of three events name their user and teach three keys, the third waits under two keys; all are new people's first or
later events, a fifth of the events are a person's first. SQLite runs in one process, because it has one writer. On
PostgreSQL each filer is a process of its own, as a worker is, and the server runs beside them on the same machine, with
`fsync = on`. Time is wall time per event of all filers together; `cpu` is processor time per event, of the filers and,
on Linux, of the server. With few cores more filers show whether they hinder each other, not how far it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter, process_time

from msgspec import Struct

from flybridge.records import (
    DAY_MS,
    HOUR_MS,
    Carried,
    Deliver,
    Dimensions,
    Envelope,
    Filing,
    Hold,
    Media,
    Performance,
    Person,
    Sighting,
    Source,
    content_key,
)
from flybridge.sealing import Seal
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.records import DeliveryState, Lane, Settlement
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.postgres import PostgresServer, postgres

NOW_MS = 1_769_903_999_123
DAY = "2026-01-31"
LANE = Lane("shop", "http_v2")
SEAL = Seal(b"the secret of the benchmark")
BODY = b'{"event_type":"af_purchase","event_properties":{' + b'"af_currency":"EUR",' * 30 + b'"n":1}}'


class Cost(Struct, frozen=True):
    """What one filer needed, in seconds: wall and processor time of filing, the same of leasing with settling."""

    events: int
    file_s: float
    file_cpu_s: float
    sent: int
    send_s: float
    send_cpu_s: float


def filing(filer: int, number: int) -> Filing:
    """Build the n-th filing of a filer."""
    name = f"{filer}-{number}"
    person = f"{filer}-{number // 5}"
    keys = tuple(content_key(kind, person.encode()) for kind in (b"appsflyer", b"idfv", b"customer"))
    item = Deliver("http_v2", content_key(name.encode()).hex(), "af_purchase", BODY)
    sightings: tuple[Sighting, ...] = ()
    decision: Deliver | Hold
    if number % 3:
        decision = Deliver(item.endpoint, item.insert_id, item.event_type, item.body, f"user-{person}", None)
        sightings = tuple(Sighting("shop", key, "idfv", NOW_MS + number, f"user-{person}") for key in keys)
    else:
        waits = tuple(content_key(kind, name.encode()) for kind in (b"hold-a", b"hold-b"))
        decision = Hold(item, waits, ("idfa", "idfv"), NOW_MS, NOW_MS + 72 * HOUR_MS, f"source-{number % 7}")
    dimensions = Dimensions("event", "af_purchase", f"source-{number % 7}", f"c-{number % 40}", "", "", "DE", "ios")
    performance = Performance(dimensions, NOW_MS // DAY_MS, 1_000_000, paid=True)
    return Filing(
        Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"", name),
        decision,
        content_key(b"content", name.encode()),
        NOW_MS + 168 * HOUR_MS,
        sightings,
        performance,
        digest=content_key(b"digest", name.encode()),
        carried=Carried("ios", "4.2", f"source-{number % 7}", "appsflyer_id idfv"),
        persons=(Person(keys, NOW_MS),),
    )


async def work(store: Store, filer: int, events: int, batch: int, together: Callable[[], object]) -> Cost:
    """File, then lease and settle until nothing is due."""
    filings = [filing(filer, number) for number in range(events)]
    await store.file([filing(filer, -1)], NOW_MS)  # connections and names are there before the clock starts
    together()
    began, used = perf_counter(), process_time()
    for at in range(0, events, batch):
        await store.file(filings[at : at + batch], NOW_MS)
    file_s, file_cpu_s = perf_counter() - began, process_time() - used
    together()
    began, used, sent = perf_counter(), process_time(), 0
    while leased := await store.lease(LANE, batch, NOW_MS, 60_000, f"worker-{filer}"):
        done = [Settlement(one.id, DeliveryState.DELIVERED, tries=1) for one in leased]
        await store.settle(done, f"worker-{filer}", NOW_MS)
        sent += len(leased)
    return Cost(events, file_s, file_cpu_s, sent, perf_counter() - began, process_time() - used)


async def on_sqlite(events: int, batch: int) -> Cost:
    """Measure the embedded store."""
    with tempfile.TemporaryDirectory(prefix="flybridge-stores-") as folder:
        store = SqliteStore(Path(folder) / "store.db", SEAL)
        await store.open()
        cost = await work(store, 0, events, batch, lambda: None)
        await checked(store)
        await store.close()
        return cost


async def checked(store: Store) -> None:
    """See that the account adds up: a figure of a store that loses things is worth nothing."""
    if found := await store.audit():
        raise SystemExit(f"The account does not add up: {found[0].what}")


def filer_process(dsn: str, given: tuple[int, int, int], barrier: Barrier, costs: mp.Queue[Cost]) -> None:
    """Be one filer: its number, how many events it files, and in which batches."""

    async def run() -> Cost:
        store = PostgresStore(dsn, SEAL)
        await store.open()
        cost = await work(store, *given, lambda: barrier.wait(300))
        await store.close()
        return cost

    costs.put(asyncio.run(run()))


async def on_postgres(server: PostgresServer, filers: int, events: int, batch: int) -> tuple[list[Cost], float]:
    """Measure so many processes on one new database; also give the server's processor time, in seconds."""
    dsn = await server.create(f"filers_{filers}")
    store = PostgresStore(dsn, SEAL)
    await store.open()
    spawn = mp.get_context("spawn")
    barrier, queue = spawn.Barrier(filers), spawn.Queue()
    before_s = server_cpu_s(server)
    processes = [
        spawn.Process(target=filer_process, args=(dsn, (n, events // filers, batch), barrier, queue))
        for n in range(filers)
    ]
    for process in processes:
        process.start()
    costs = [await asyncio.to_thread(queue.get, True, 600) for _ in processes]
    for process in processes:
        await asyncio.to_thread(process.join)
    used_s = server_cpu_s(server) - before_s
    await checked(store)
    await store.close()
    await server.drop(f"filers_{filers}")
    return costs, used_s


def server_cpu_s(server: PostgresServer) -> float:
    """Add up the processor time of the server's processes, those that have ended too. 0 where there is no /proc."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if path.parent.name == str(server.pid):
            ticks += sum(map(int, fields[11:15]))
        elif fields[1] == str(server.pid):
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def report(name: str, costs: Sequence[Cost], server_s: float, base: tuple[float, float] | None) -> tuple[float, float]:
    """Print one line; give filing and sending in microseconds per event."""
    events, sent = sum(cost.events for cost in costs), sum(cost.sent for cost in costs)
    file_us = max(cost.file_s for cost in costs) / events * 1e6
    send_us = max(cost.send_s for cost in costs) / sent * 1e6
    cpu_us = sum(cost.file_cpu_s for cost in costs) / events * 1e6
    send_cpu_us = sum(cost.send_cpu_s for cost in costs) / sent * 1e6
    ratio = "" if base is None else f"  {base[0] / file_us:4.2f}x, {base[1] / send_us:4.2f}x"
    server = f"  server {server_s / events * 1e6:5.1f} cpu in all" if server_s else ""
    print(
        f"{name:<24} file {file_us:6.1f} us ({cpu_us:5.1f} cpu)  lease+settle {send_us:6.1f} us "
        f"({send_cpu_us:5.1f} cpu){server}{ratio}",
        flush=True,
    )
    return file_us, send_us


async def measure(events: int, batch: int, filers: Sequence[int]) -> None:
    """Measure everything, one after the other."""
    base = report("SQLite", [await on_sqlite(events, batch)], 0.0, None)
    with tempfile.TemporaryDirectory(prefix="flybridge-stores-") as folder:
        async with postgres(Path(folder) / "server") as server:
            for n in filers:
                costs, server_s = await on_postgres(server, n, events, batch)
                report(f"PostgreSQL, {n} filer{'s' if n > 1 else ''}", costs, server_s, base)
    print("us are per event, wall time of all filers together; x is the speed of SQLite taken as 1.")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--filers", default="1,2,4")
    options = parser.parse_args()
    asyncio.run(measure(options.events, options.batch, [int(n) for n in options.filers.split(",")]))


if __name__ == "__main__":
    sys.exit(main())
