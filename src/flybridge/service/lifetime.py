"""The lifetime of a process: server and jobs start together and end in order. Names no backend."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from flybridge.clock import Clock, rest
from flybridge.config.settings import Server
from flybridge.delivery.worker import Worker
from flybridge.errors import FlybridgeError
from flybridge.inbox.protocol import Inbox
from flybridge.insight.coverage import read_falls
from flybridge.service.confirmed_clock import ConfirmedClock
from flybridge.store.protocol import Store
from flybridge.store.records import Retention
from flybridge.store.server_clock import ServerClock
from flybridge.telemetry.door_counts import Received, log_received
from flybridge.telemetry.reporter import Reporter
from flybridge.web.app import WebApp
from flybridge.web.server import serve

HOUSEKEEPING_S: Final = 1.0
COMPARE_S: Final = 2.0
STORING_MS: Final = 10_000
"""What was received so long ago is in the inbox: an intake waits for no longer than that."""
PRUNE_MS: Final = 3_600_000
COVERAGE_MS: Final = 600_000

Job = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Runs until the event is set, then finishes its work in hand and returns."""


async def run(
    web: WebApp,
    server: Server,
    jobs: Mapping[str, Job],
    received: Received,
    *,
    clock: Clock,
    stop: asyncio.Event,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve and work until `stop` is set, then end in this order:

    1. `/readyz` answers 503 for `server.drain_s` while messages are still accepted, so that a load balancer stops
       sending here.
    2. Intake answers 503, requests in flight are finished, the server ends.
    3. The jobs finish their work in hand and return their leases.

    `ready` is called with the port once requests are answered. A task that ends early ends the others, and its
    exception is raised here.
    """
    halt, server_stop = asyncio.Event(), asyncio.Event()
    logging = asyncio.create_task(log_received(received, clock))
    serving = asyncio.create_task(serve(web, server.host, server.port, server_stop, ready=ready), name="server")
    working = [asyncio.create_task(job(halt), name=name) for name, job in jobs.items()]
    try:
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, serving, *working}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set() and server.drain_s:
            web.leave()
            await asyncio.wait({serving, *working}, timeout=server.drain_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        web.drain()
        server_stop.set()
        await asyncio.wait({serving})
        halt.set()
        logging.cancel()
        await asyncio.gather(logging, *working, return_exceptions=True)
    for task in (serving, *working):
        task.result()


async def housekeeping(
    store: Store,
    inbox: Inbox,
    worker: Worker,
    report: Reporter,
    *,
    kept: Retention,
    clock: ConfirmedClock,
    halt: asyncio.Event,
) -> None:
    """Expire holds each second, prune each hour, and compare coverage each ten minutes.

    A hold whose window is over waits until what was received before that is filed: it may be a sighting. Any number of
    processes may do this on one store: each verb is a transaction that finds nothing left to do after another's.
    """
    pruned_ms = looked_ms = 0
    while not halt.is_set():
        now_ms = clock.now_ms()
        report.on_clock(clock.jump_s)
        try:
            if expired := await store.expire(now_ms, heard_ms=await _heard_ms(inbox, now_ms)):
                report.expired(expired)
                worker.notify()  # some may have to be sent as their customer user
                continue
            if now_ms - looked_ms >= COVERAGE_MS:
                report.fell(await read_falls(store, now_ms))
                looked_ms = now_ms
            if now_ms - pruned_ms >= PRUNE_MS:
                await store.prune(now_ms, kept)
                pruned_ms = now_ms
        except FlybridgeError as problem:
            report.failed(problem)
        await rest(halt, HOUSEKEEPING_S)


async def _heard_ms(inbox: Inbox, now_ms: int) -> int:
    """Return up to when all that was received is filed; 0 if that can't be known now."""
    try:
        oldest_ms = await inbox.oldest_ms()
    except FlybridgeError:  # reported by the flow
        return 0
    return min(now_ms, oldest_ms if oldest_ms is not None else now_ms) - STORING_MS


async def compare_clocks(server: ServerClock, store: Store, report: Reporter, halt: asyncio.Event) -> None:
    """Measure every few seconds by how much the machine's clock differs from that of the store's server."""
    while not halt.is_set():
        with suppress(FlybridgeError):  # a store that is away is reported by what needs it
            await server.measure(store)
        report.on_server_clock(server.ahead_ms)
        await rest(halt, COMPARE_S)


WANTED: Final = 65_536


def allow_more() -> int:
    """Raise the limit of open files as far as allowed. Returns the limit, 0 where there is none.

    Most systems start a process with 1,024, fewer than the connections of busy senders and a slow vendor together.
    """
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if most > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            return soft
        return most
    return soft
