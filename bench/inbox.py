"""How fast envelopes are made durable, and worked off: the embedded inbox against JetStream, in one run.

    python bench/inbox.py [--callers 256] [--envelopes 6000] [--rounds 3]

    sqlite           one file, a flush to the disk for each group
    nats-1           one server, flushing when the operating system likes
    nats-3           three servers, two of them have to have it, flushing when the operating system likes
    nats-3-always    three servers, each flushing every write

Callers wait for their envelope before they send the next one, as connections do. Rounds alternate between the
backends, because other work on the machine would favour one otherwise. All servers of a cluster share this machine, its
processors and its disk: what is printed is the price of copies, not what three machines would do.

Printed are rates, ratios to the embedded inbox, latencies of `accept`, the processor time per envelope of this process
and of the servers, the rate of leasing and acknowledging, and whether all that was accepted came back and was counted.
Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from msgspec import Struct, field

from _processor import cpu_s
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.inbox.nats.link import StreamSettings
from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.testing.nats import NatsCluster
from transform import message, written

SEAL = Seal(b"a secret for benchmarks only")
NOW_MS = 1_764_000_000_000
CLUSTERS = {"nats-1": (1, "2m"), "nats-3": (3, "2m"), "nats-3-always": (3, "always")}
BODIES = [written(message(n, random.Random(n))) for n in range(1024)]
"""Of about 2.4 KB, as AppsFlyer sends them: a group of them is compressed, so they must not be all alike."""


class Backend(Struct):
    """One backend, and what was measured of it."""

    inbox: Inbox
    cluster: NatsCluster | None = None
    accept_s: float = 0.0
    drain_s: float = 0.0
    own_cpu_s: float = 0.0
    servers_cpu_s: float = 0.0
    accepted: int = 0
    drained: int = 0
    latencies: list[float] = field(default_factory=list)

    def servers_cpu(self) -> float:
        """Return the processor time its servers have used, in seconds."""
        pids = [node.process.pid for node in self.cluster.nodes if node.process] if self.cluster else []
        return sum(map(cpu_s, pids))


async def accept(backend: Backend, callers: int, envelopes: int) -> None:
    """Have so many callers send so many envelopes, each one after its last one is durable."""
    left = iter(range(envelopes))

    async def call() -> None:
        for n in left:
            body = BODIES[n % len(BODIES)]
            began = time.perf_counter()
            await backend.inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body))
            backend.latencies.append(time.perf_counter() - began)

    began, own, servers = time.perf_counter(), time.process_time(), backend.servers_cpu()
    await asyncio.gather(*(call() for _ in range(callers)))
    backend.accept_s += time.perf_counter() - began
    backend.own_cpu_s += time.process_time() - own
    backend.servers_cpu_s += backend.servers_cpu() - servers
    backend.accepted += envelopes


async def drain(backend: Backend) -> None:
    """Lease and acknowledge all of it."""
    began = time.perf_counter()
    while leased := await backend.inbox.lease(500, NOW_MS, 60_000):
        backend.drained += len(leased.envelopes)
        await backend.inbox.ack(leased)
        backend.drain_s += time.perf_counter() - began
        began = time.perf_counter()  # so that the last question, which waits for nothing, is not counted


async def measure(options: argparse.Namespace, directory: Path) -> dict[str, Backend]:
    """Run all rounds; give what was measured."""
    async with AsyncExitStack() as stack:
        backends = {"sqlite": Backend(SqliteInbox(directory / "inbox.db", SEAL))}
        for name, (nodes, sync) in CLUSTERS.items():
            cluster = await stack.enter_async_context(NatsCluster(directory / name, nodes, sync=sync))
            backends[name] = Backend(JetStreamInbox(cluster.urls, SEAL, StreamSettings(replicas=nodes)), cluster)
        for backend in backends.values():
            await backend.inbox.open()
            stack.push_async_callback(backend.inbox.close)
            await accept(backend, options.callers, options.callers * 2)  # warm-up
            await drain(backend)
            backend.accept_s = backend.drain_s = backend.own_cpu_s = backend.servers_cpu_s = 0.0
            backend.accepted = backend.drained = 0
            backend.latencies.clear()
        for _ in range(options.rounds):
            for backend in backends.values():
                await accept(backend, options.callers, options.envelopes)
                await drain(backend)
        for name, backend in backends.items():
            received = sum((await backend.inbox.received()).values()) - 2 * options.callers
            if not backend.accepted == backend.drained == received:
                raise SystemExit(f"{name}: {backend.accepted} accepted, {received} received, {backend.drained} given.")
        return backends


def figures(backend: Backend, reference: Backend) -> Mapping[str, float]:
    """Give the figures of one backend, rounded."""
    latencies, rate = sorted(backend.latencies), backend.accepted / backend.accept_s
    return {
        "accepts_per_s": round(rate),
        "ratio": round(rate / (reference.accepted / reference.accept_s), 2),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 1),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
        "own_cpu_us": round(backend.own_cpu_s / backend.accepted * 1e6, 1),
        "servers_cpu_us": round(backend.servers_cpu_s / backend.accepted * 1e6, 1),
        "drained_per_s": round(backend.drained / backend.drain_s),
    }


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description="Durable accepts: embedded against JetStream.")
    parser.add_argument("--callers", type=int, default=256)
    parser.add_argument("--envelopes", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent, help="where the data is put for the run")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".inbox-", dir=options.dir) as directory:
        backends = uvloop.run(measure(options, Path(directory)))
    found = {name: figures(backend, backends["sqlite"]) for name, backend in backends.items()}
    print(f"{'':14}" + "".join(f"{name:>15}" for name in found["sqlite"]))
    for name, values in found.items():
        print(f"{name:14}" + "".join(f"{value:>15,}" for value in values.values()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
