"""How fast data is taken in durably, as a ratio to the same HTTP server doing nothing with it.

    python bench/ingest.py [--connections 256] [--seconds 4] [--rounds 3]

Two servers are compared in one run, on one core, by the same load client on another core, in alternating rounds:

    bare      granian, the same ASGI interface: reads the 2.4 KB body and answers 200
    durable   flybridge: token, JSON check, SQLite inbox on a real disk, answers 200 after the flush

Printed are the rates, the ratio durable / bare, the processor time of either server per request (the figure that
other work on the machine disturbs least), latencies, bytes on disk per event, and whether what was answered
200 is exactly what the inbox holds. Exit code 1 if it is not, or if the ratio is below --at-least.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from _processor import cpu_s, keep_on
from flybridge.clock import SystemClock
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.system.embedded_server import BACKLOG
from flybridge.telemetry.metrics import Metrics
from flybridge.web.app import WebApp
from flybridge.web.intake import Intake, IntakeApp
from flybridge.web.server import COLLECT_EVERY, MAX_CONNECTIONS, serve
from transform import message, written

TOKEN = b"bench-token"
SECRET = b"a secret for benchmarks only"


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Read the body as any ASGI application does, and answer."""
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"stored":true}'})


async def run_bare(stop: asyncio.Event) -> None:
    """Serve `bare` with granian as it comes, and with the garbage collector set as flybridge sets it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Server(
        bare,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=MAX_CONNECTIONS,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)
    await asyncio.sleep(0.5)
    print(port, flush=True)
    await stop.wait()
    server.stop()
    await serving


async def run_durable(stop: asyncio.Event, inbox_path: Path) -> None:
    """Serve flybridge's doors with an inbox on disk."""
    inbox = SqliteInbox(inbox_path, Seal(SECRET))
    await inbox.open()
    clock = SystemClock()
    intake = Intake([IntakeApp("shop", push_token=TOKEN)], inbox, clock)
    app = WebApp(intake, inbox, Metrics("bench", intake.counts), clock, version="bench")
    await serve(app, "127.0.0.1", 0, stop, ready=lambda port: print(port, flush=True))
    await inbox.close()


async def run_server(kind: str, inbox_path: Path) -> None:
    """Serve until SIGTERM; print the port when ready."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await (run_bare(stop) if kind == "bare" else run_durable(stop, inbox_path))


class Client(asyncio.Protocol):
    """One keep-alive connection that sends the next request when the last one is answered."""

    def __init__(self, request: bytes, load: Load) -> None:
        self.request = request
        self.load = load

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.go()

    def go(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not (data.startswith(b"HTTP/1.1 200") and data.endswith(b'{"stored":true}')):
            self.load.failed(data)
            self.transport.close()
            return
        now = time.perf_counter()
        self.load.latencies.append(now - self.sent)
        if now < self.load.until:
            self.go()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.left -= 1
        if not self.load.left and not self.load.done.done():
            self.load.done.set_result(None)


class Load:
    """One round against one server."""

    def __init__(self, connections: int, seconds: float) -> None:
        self.left = connections
        self.done = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.until = time.perf_counter() + seconds

    def failed(self, data: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(SystemExit(f"The server answered {data[:300]!r}"))


def request(n: int) -> bytes:
    """Build the bytes of one whole request."""
    body = written(message(n, random.Random(n)))
    head = (
        b"POST /v1/push/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: AppsFlyer\r\nAccept: */*\r\n"
        b"Authorization: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return head % (TOKEN, len(body)) + body


async def one_round(port: int, connections: int, seconds: float) -> tuple[float, list[float]]:
    """Load a server; give the rate per second and all latencies in seconds."""
    loop = asyncio.get_running_loop()
    load = Load(connections, seconds)
    started = time.perf_counter()
    for n in range(connections):
        await loop.create_connection(lambda n=n: Client(request(n), load), "127.0.0.1", port)
    await load.done
    return len(load.latencies) / (time.perf_counter() - started), load.latencies


@contextmanager
def server(kind: str, inbox: Path, core: int) -> Iterator[tuple[int, int]]:
    """Run a server in its own process on its own core; give its port and process id."""
    command = [sys.executable, __file__, "--serve", kind, "--inbox", str(inbox), "--core", str(core)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def held(path: Path) -> int:
    """Count what the inbox holds, as a process that comes after a crash would."""
    inbox = SqliteInbox(path, Seal(SECRET))
    await inbox.open()
    try:
        waiting, received = (await inbox.depth(0)).waiting, sum((await inbox.received()).values())
    finally:
        await inbox.close()
    if waiting != received:
        raise SystemExit(f"The inbox counts {received} received but holds {waiting}.")
    return received


def percentile(values: list[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    return sorted(values)[int(len(values) * share)] * 1000


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description="Durable ingest as a ratio to a bare HTTP server.")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-least", type=float, default=0.0)
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent, help="where the inbox is put for the run")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--serve", choices=["bare", "durable"], help=argparse.SUPPRESS)
    parser.add_argument("--inbox", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_on(options.core, os.getpid())
    if options.serve:
        uvloop.run(run_server(options.serve, options.inbox))
        return 0
    with tempfile.TemporaryDirectory(prefix=".ingest-", dir=options.dir) as directory:
        return compare(options, Path(directory) / "inbox.db")


def compare(options: argparse.Namespace, path: Path) -> int:
    """Alternate rounds against both servers, then check the inbox."""
    rates: dict[str, list[float]] = {"bare": [], "durable": []}
    latencies: dict[str, list[float]] = {"bare": [], "durable": []}
    keep_on(1, os.getpid())
    cpu = {"bare": 0.0, "durable": 0.0}
    with server("bare", path, 0) as bare_server, server("durable", path, 0) as durable_server:
        servers = {"bare": bare_server, "durable": durable_server}
        answered = len(uvloop.run(one_round(durable_server[0], options.connections, 0.5))[1])  # warm-up, counted
        uvloop.run(one_round(bare_server[0], options.connections, 0.5))
        for n in range(options.rounds):
            for kind, (port, pid) in servers.items():
                before = cpu_s(pid)
                rate, taken = uvloop.run(one_round(port, options.connections, options.seconds))
                cpu[kind] += cpu_s(pid) - before
                rates[kind].append(rate)
                latencies[kind] += taken
                print(f"round {n + 1} {kind:8} {rate:8.0f} requests/s", flush=True)
    answered += len(latencies["durable"])
    on_disk = sum(file.stat().st_size for file in path.parent.iterdir())
    durable = uvloop.run(held(path))
    figures = {
        "connections": options.connections,
        "bare_per_s": round(sum(rates["bare"]) / options.rounds),
        "durable_per_s": round(sum(rates["durable"]) / options.rounds),
        "ratio": round(sum(rates["durable"]) / sum(rates["bare"]), 3),
        "bare_cpu_us": round(cpu["bare"] / len(latencies["bare"]) * 1e6, 1),
        "durable_cpu_us": round(cpu["durable"] / len(latencies["durable"]) * 1e6, 1),
        "bare_p50_ms": round(percentile(latencies["bare"], 0.5), 2),
        "bare_p99_ms": round(percentile(latencies["bare"], 0.99), 2),
        "durable_p50_ms": round(percentile(latencies["durable"], 0.5), 2),
        "durable_p99_ms": round(percentile(latencies["durable"], 0.99), 2),
        "bytes_on_disk_per_event": round(on_disk / durable),
        "answered_200": answered,
        "durable": durable,
    }
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if durable != answered:
        print(f"FAILED: {answered} were answered 200, {durable} are durable.")
        return 1
    if figures["ratio"] < options.at_least:
        print(f"FAILED: the ratio is below {options.at_least}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
