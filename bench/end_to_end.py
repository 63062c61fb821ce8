"""How fast a postback goes the whole way: received, durable, mapped, filed, delivered, settled.

    python bench/end_to_end.py [--events 20000] [--rounds 3]

Three processes: this one sends realistic postbacks over as many connections as `bench/ingest.py`, as fast as they are
acknowledged; flybridge works; the sandbox answers as Amplitude. As there, flybridge has one core and the two others
have the next: threads that take turns with Python's lock work a fifth slower when each turn is on another core, which
`--spread` shows.

Printed are events per second of flybridge's own processor time (all its threads, from /proc), events per second of the
clock, and how much the bare server of the same framework would have spent on receiving alone, measured in the same
run. How fast a core is changes from minute to minute on a shared machine, so each figure is also given in plain JSON
copies of such messages, measured right after it. Every event is checked to have arrived exactly once; exit code 1 if
not, or if the figure is below --at-least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from pathlib import Path
from statistics import median
from time import process_time

import aiohttp
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from msgspec import Struct

from _processor import cpu_s, keep_on
from flybridge.demo.environment import APPS, LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario
from flybridge.demo.sender import Outgoing, Sender
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.testing.processes import free_port

CONNECTIONS = 256
LOOK_S = 1.0  # every look makes flybridge draw up all its figures; Prometheus looks every 15 seconds or so
PLAIN = TrafficOptions(held=0.0, duplicates=0.0, malformed=0.0)


class Round(Struct):
    """What one round measured. CPU is that of the bridge, in seconds."""

    events: int
    cpu_s: float
    wall_s: float
    differences: int
    p99_ms: float


async def whole_way(events: int, seed: int, *, spread: bool) -> Round:
    """Play traffic of two V2 apps without faults and look at the bridge's processor time."""
    scenario = Scenario(
        events, seed, options=PLAIN, products=0.0, connections=CONNECTIONS, expires=False, poll_s=LOOK_S
    )
    with tempfile.TemporaryDirectory(prefix="flybridge-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        environment = LocalEnvironment(Path(directory), apps=APPS[:2], own_clock=True)
        await environment.start()
        if not spread:
            keep_on(0, environment.bridge.pid)
            keep_on(1, environment.sandbox.pid)
            keep_on(1, os.getpid())
        try:
            before, used = cpu_s(environment.bridge.pid), 0.0

            def show(*_: object) -> None:
                nonlocal used
                used = cpu_s(environment.bridge.pid) - before

            outcome = await run_scenario(environment, scenario, show)
        finally:
            await environment.stop()
    return Round(events, used, outcome.seconds, outcome.differences, outcome.sent["p99_ms"])


def plain_copy_s(events: int) -> float:
    """Return the processor seconds of the least that plain Python must do with as many of the same bodies.

    They are read, their fields copied, and written again with the standard library, on this process' core.
    """
    app = TrafficApp(APPS[0].name, APPS[0].platform, APPS[0].appsflyer_app_id)
    bodies = [m.body for m in generate(1, min(events, 2_000), [app], PLAIN)]
    rounds = []
    for _ in range(3):
        before = process_time()
        for body in bodies:
            json.dumps({name: value for name, value in json.loads(body).items() if value is not None})
        rounds.append(process_time() - before)
    return min(rounds) / len(bodies) * events


async def bare(events: int, *, spread: bool) -> float:
    """Return the processor seconds that the bare server spends on receiving as many of the same bodies."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(sys.executable, __file__, "--bare", str(port), stderr=DEVNULL)
    try:
        app = TrafficApp(APPS[0].name, APPS[0].platform, APPS[0].appsflyer_app_id)
        messages = [Outgoing(m.path, m.body, {}) for m in generate(1, events, [app])]
        async with aiohttp.ClientSession() as session:
            for _ in range(100):
                try:
                    async with session.get(f"http://127.0.0.1:{port}/"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        if not spread:
            keep_on(0, server.pid)
        before = cpu_s(server.pid)
        await Sender(f"http://127.0.0.1:{port}", connections=CONNECTIONS).send(messages)
        return cpu_s(server.pid) - before
    finally:
        server.kill()
        await server.wait()


def serve_bare(port: int) -> None:
    """Be the bare server until killed."""
    server = Server(_answer, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, websockets=False)
    uvloop.run(server.serve())


async def _answer(scope: object, receive: object, send: object) -> None:
    while (await receive()).get("more_body"):  # type: ignore[operator]
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spread", action="store_true", help="let every process use all cores")
    parser.add_argument("--at-least", type=float, default=0.0, help="events per CPU-second")
    options = parser.parse_args()
    rounds, receiving, copying = [], [], []
    for number in range(options.rounds):
        rounds.append(await whole_way(options.events, number, spread=options.spread))
        receiving.append(await bare(options.events, spread=options.spread))
        copying.append(plain_copy_s(options.events))
        last = rounds[-1]
        print(
            f"round {number + 1}: {last.events / last.cpu_s:8,.0f} events per CPU-second   "
            f"{last.events / last.wall_s:8,.0f} per second   intake p99 {last.p99_ms} ms   "
            f"plain json copies {last.cpu_s / copying[-1]:.1f}   differences {last.differences}"
        )
    figure = median(r.events / r.cpu_s for r in rounds)
    share = median(receiving) / median(r.cpu_s for r in rounds)
    print(f"end to end      {figure:8,.0f} events per CPU-second of flybridge, {1e6 / figure:.0f} microseconds each")
    copies = median(r.cpu_s / copy_s for r, copy_s in zip(rounds, copying, strict=True))
    print(f"receiving alone {share:8.2f} of that, on the bare server")
    print(f"plain json      {copies:8.1f} copies of the message cost as much as the whole way")
    wrong = sum(r.differences for r in rounds)
    if wrong:
        print(f"{wrong} events are not as they must be.")
    return 1 if wrong or figure < options.at_least else 0


if __name__ == "__main__":
    if "--bare" in sys.argv:
        serve_bare(int(sys.argv[-1]))
    sys.exit(asyncio.run(main()))
