"""How fast due deliveries leave: store, worker and HTTP client together, as a ratio to the bare client.

    python bench/delivery.py [--v2 60000] [--v1 6000] [--rounds 3]

A store on a real disk is filled with deliveries of 1.5 KB; then the worker leases, packs, sends, reads and settles
them, against a server in another process that answers as Amplitude does. In the same run the bare client (aiohttp,
the same transport settings) sends ready-made requests of the same sizes: no store, no packing, no verdicts.

Printed are delivered events per second of the worker's processor time (the figure that other work on the machine
disturbs least) and per second of the clock, and the ratio to the bare client. Exit code 1 if not every event
was delivered exactly once, or if a figure is below --at-least.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from _delivering import Spent, Vendor, ask, measured, send_bare
from flybridge.amplitude.attribution import AttributionApi
from flybridge.amplitude.upload import HttpV2
from flybridge.clock import SystemClock
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Endpoint
from flybridge.delivery.transport import HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.records import Deliver, Delivery, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.records import Lane
from flybridge.store.sqlite.store import SqliteStore

ANSWER = b'{"code":200}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
KEY = "key-of-the-bench"


class Amplitude(Vendor):
    """Answers every POST with 200 and counts its events by their mark."""

    events = 0

    def told(self, head: bytes) -> bytes:
        """Tell how many there were."""
        return b"%d" % self.events

    def posted(self, start: int, end: int) -> None:
        """Count, and answer."""
        type(self).events += self.buffer.count(b"bench_mark", start, end)
        self.transport.write(REPLY)


def event(number: int) -> bytes:
    """Return an event of 1.5 KB as the mapping makes them."""
    properties = {f"[AppsFlyer] property {n}": f"value {n} of event {number:08d} " + "x" * 16 for n in range(20)}
    return msgspec.json.encode(
        {
            "event_type": "[AppsFlyer] Install",
            "insert_id": f"{number:032x}",
            "time": 1_700_000_000_000 + number,
            "platform": "ios",
            "idfa": f"AEBE52E7-03EE-455A-B3C4-{number:012d}",
            "user_properties": properties,
            "bench_mark": 1,
        }
    )


async def fill(store: SqliteStore, lane: Lane, count: int) -> None:
    """Make that many deliveries due."""
    now_ms = SystemClock().now_ms()
    for start in range(0, count, 1000):
        filings = []
        for n in range(start, min(start + 1000, count)):
            body = event(n)
            user, device = f"user-{n}", f"8b5e6f8e-0000-4000-8000-{n:012d}"
            deliver = Deliver(lane.endpoint, f"{n:032x}", "[AppsFlyer] Install", body, user, device)
            envelope = Envelope(lane.app, Source.PUSH, Media.JSON, now_ms, b"{}", f"{lane.endpoint}-{n}")
            filings.append(Filing(envelope, deliver))
        await store.file(filings, now_ms)


async def bridge(endpoint: Endpoint, count: int, port: int) -> tuple[float, float, bool]:
    """Deliver through store and worker; gives events per CPU second, per second, and whether each went once."""
    lane = Lane("shop", endpoint.name)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as directory:
        store, transport = (
            SqliteStore(Path(directory) / "store.db", Seal(b"a secret for benchmarks only")),
            HttpTransport(),
        )
        await store.open()
        await fill(store, lane, count)
        before = int(await ask(port))
        worker = Worker(Context(store, transport, SystemClock()), {lane: endpoint})
        with Spent() as spent:
            ended = await worker.drain()
        counts = {c.outcome: c.n for c in await store.counts()}
        sound = ended == counts.get("delivered") == int(await ask(port)) - before == count
        await transport.close()
        await store.close()
    return count / spent.cpu, count / spent.wall, sound


async def bare(endpoint: Endpoint, count: int) -> tuple[float, float]:
    """Send the same requests, ready-made, with the transport alone; gives events per CPU second and per second."""
    size = max(1, min(endpoint.limits.max_items, endpoint.limits.max_bytes // 1_700))
    items = [
        Delivery(n, "shop", "e", "i", "t", event(n), f"user-{n}", f"device-{n:024d}", 0, 0, False, 0)
        for n in range(count)
    ]
    queue = deque(endpoint.request(items[start : start + size]) for start in range(0, count, size))
    spent = await send_bare(HttpTransport(), queue, endpoint.limits.concurrency)
    return count / spent.cpu, count / spent.wall


async def compare(endpoint: Endpoint, count: int, rounds: int, port: int) -> tuple[float, bool]:
    """Alternate the two and print the medians; gives the bridge's events per CPU second, and whether all is sound."""
    ours: list[tuple[float, float, bool]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(rounds):
        theirs.append(await bare(endpoint, count))
        ours.append(await bridge(endpoint, count, port))
    sound = all(run[2] for run in ours)
    cpu, wall = median(run[0] for run in ours), median(run[1] for run in ours)
    cpu_bare, wall_bare = median(run[0] for run in theirs), median(run[1] for run in theirs)
    print(
        f"{endpoint.name:12} {count} events, {rounds} rounds, each delivered exactly once: {'yes' if sound else 'NO'}"
    )
    print(f"  bridge       {cpu:8.0f} events per CPU second   {wall:8.0f} per second")
    print(f"  bare client  {cpu_bare:8.0f} events per CPU second   {wall_bare:8.0f} per second")
    print(f"  ratio        {cpu / cpu_bare:8.2f}                          {wall / wall_bare:8.2f}")
    return cpu, sound


async def run(options: argparse.Namespace, port: int) -> bool:
    """Run both routes."""
    origin = f"http://127.0.0.1:{port}"
    v2, sound2 = await compare(HttpV2(KEY, origin), options.v2, options.rounds, port)
    _, sound1 = await compare(AttributionApi(KEY, origin), options.v1, options.rounds, port)
    return sound2 and sound1 and v2 >= options.at_least


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--v2", type=int, default=60_000, help="events through HTTP V2, many per request")
    parser.add_argument("--v1", type=int, default=6_000, help="events through the Attribution API, one per request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-least", type=float, default=0.0, help="HTTP V2 events per CPU second to be reached")
    return measured(parser, Amplitude, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
