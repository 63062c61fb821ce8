"""How fast events leave for AppsFlyer, one per request, when its answers take 5, 50 and 200 ms.

    python bench/stream.py [--events 4000] [--latencies 5,50,200] [--concurrency 1000] [--rate 0]

A store on a real disk is filled with due events of half a kilobyte; then the worker leases, notes its intent, sends,
reads and settles them, against a server in another process that answers each request after the latency. AppsFlyer
recognises no repeat, so every event is begun durably before its first byte.

Printed are events per second of the clock, processor time per event, the most requests that were in flight at once, and
the ratio of the rates to that of the shortest latency: throughput must not fall with latency while connections and rate
limit allow more. With --rate the lane is limited, and the ratio is to that limit. In the same run the bare client sends
as many ready-made requests over as many connections. Exit code 1 if an event did not arrive exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from _delivering import Spent, Vendor, ask, measured, send_bare
from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.clock import SystemClock
from flybridge.delivery.context import Context
from flybridge.delivery.transport import HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.records import Deliver, Delivery, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.records import Lane
from flybridge.store.sqlite.store import SqliteStore

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK"
LANE = Lane("shop", "inapp_event")


class AppsFlyer(Vendor):
    """Answers every POST after the latency, and counts: events, and the most that were in flight at once.

    GET /?latency=MS sets the latency and gives the counts, which begin anew.
    """

    latency_s = 0.005
    events = flying = most = 0

    def told(self, head: bytes) -> bytes:
        """Tell the counts; set the latency."""
        cls = type(self)
        text = b"%d %d" % (cls.events, cls.most)
        cls.events = cls.most = 0
        cls.latency_s = int(head.split(b"latency=")[1].split()[0]) / 1000
        return text

    def posted(self, start: int, end: int) -> None:
        """Count, and answer later."""
        cls = type(self)
        cls.events += 1
        cls.flying += 1
        cls.most = max(cls.most, cls.flying)
        asyncio.get_running_loop().call_later(cls.latency_s, self._answer)

    def _answer(self) -> None:
        type(self).flying -= 1
        self.transport.write(REPLY)


def event(number: int) -> bytes:
    """Return an event of half a kilobyte as the mapping makes them."""
    value = {"af_revenue": "9.99", "af_content_id": f"sku-{number:08d}", "note": "x" * 120}
    return msgspec.json.encode(
        {
            "eventName": "af_purchase",
            "eventTime": "2026-11-24 11:59:59.123",
            "customer_user_id": f"user-{number:08d}",
            "eventCurrency": "EUR",
            "advertising_id": f"38400000-8cf0-11bd-b23e-{number:012d}",
            "os": "14",
            "eventValue": msgspec.json.encode(value).decode(),
        }
    )


def appsflyer_id(number: int) -> str:
    """Return an AppsFlyer id."""
    return f"1629191854863-{number + 1_000_000:019d}"


async def fill(store: SqliteStore, count: int) -> None:
    """Make that many events due."""
    now_ms = SystemClock().now_ms()
    for start in range(0, count, 1000):
        filings = []
        for n in range(start, min(start + 1000, count)):
            deliver = Deliver(LANE.endpoint, f"{n:032x}", "af_purchase", event(n), None, appsflyer_id(n))
            filings.append(Filing(Envelope(LANE.app, Source.STREAM, Media.JSON, now_ms, b"{}", f"r-{n}"), deliver))
        await store.file(filings, now_ms)


class Run(Struct, frozen=True):
    """One measured run: events per second, processor microseconds per event, the most in flight, and all is well."""

    per_s: float
    cpu_us: float
    most: int
    sound: bool


async def bridge(port: int, count: int, latency_ms: int, *, concurrency: int, rate: float) -> Run:
    """Deliver through store and worker."""
    endpoint = InAppEvent("key", "com.example.shop", f"http://127.0.0.1:{port}", concurrency=concurrency)
    endpoint.limits = msgspec.structs.replace(endpoint.limits, requests_per_s=rate)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as directory:
        store = SqliteStore(Path(directory) / "store.db", Seal(b"a secret for benchmarks only"))
        transport = HttpTransport(connections=2_000)
        await store.open()
        await fill(store, count)
        await set_latency(port, latency_ms)
        worker = Worker(Context(store, transport, SystemClock()), {LANE: endpoint})
        with Spent() as spent:
            ended = await worker.drain()
        events, most = await set_latency(port, latency_ms)
        counts = {c.outcome: c.n for c in await store.counts()}
        await transport.close()
        await store.close()
    sound = ended == counts.get("delivered") == events == count
    return Run(count / spent.wall, spent.cpu / count * 1e6, most, sound)


async def bare(port: int, count: int, latency_ms: int, concurrency: int) -> Run:
    """Send the same requests, ready-made, with the transport alone."""
    endpoint = InAppEvent("key", "com.example.shop", f"http://127.0.0.1:{port}")
    items = [Delivery(n, "shop", "e", "i", "t", event(n), None, appsflyer_id(n), 0, 0, False, 0) for n in range(count)]
    queue = deque(endpoint.request([item]) for item in items)
    await set_latency(port, latency_ms)
    spent = await send_bare(HttpTransport(connections=2_000), queue, concurrency)
    events, most = await set_latency(port, latency_ms)
    return Run(count / spent.wall, spent.cpu / count * 1e6, most, events == count)


async def set_latency(port: int, latency_ms: int) -> tuple[int, int]:
    """Set the latency; give how many events came since the last time, and the most in flight."""
    events, most = (await ask(port, f"?latency={latency_ms}")).split()
    return int(events), int(most)


async def run(options: argparse.Namespace, port: int) -> bool:
    """Measure every latency, the bare client and the bridge in turn."""
    latencies = [int(word) for word in options.latencies.split(",")]
    await bridge(port, 500, latencies[0], concurrency=options.concurrency, rate=0.0)  # warm up
    first, sound = 0.0, True
    for latency_ms in latencies:
        client = await bare(port, options.events, latency_ms, options.concurrency)
        print(f"bare client {latency_ms:4} ms  {client.per_s:7.0f} events/s  {client.cpu_us:6.0f} us CPU per event")
        found = await bridge(port, options.events, latency_ms, concurrency=options.concurrency, rate=options.rate)
        first = first or options.rate or found.per_s
        sound &= found.sound and client.sound
        print(
            f"bridge      {latency_ms:4} ms  {found.per_s:7.0f} events/s  {found.cpu_us:6.0f} us CPU per event  "
            f"{found.most:4} in flight  ratio {found.per_s / first:.2f}  of the client {found.per_s / client.per_s:.2f}"
        )
    print(f"{options.events} events each, every one exactly once: {'yes' if sound else 'NO'}")
    return sound


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4_000)
    parser.add_argument("--latencies", default="5,50,200", help="milliseconds, with commas between")
    parser.add_argument("--concurrency", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=0.0, help="the most requests in a second, 0 for no limit")
    return measured(parser, AppsFlyer, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
