"""How fast a postback goes the whole way: received, durable, mapped, filed, delivered, settled.

    python bench/end_to_end.py [--events 20000] [--rounds 3]

Three processes: this one sends realistic postbacks as fast as they are acknowledged, flybridge works, the sandbox
answers as Amplitude. Printed are events per second of flybridge's own processor time (all its threads, from
/proc), events per second of the clock, and how much the bare server of the same framework would have spent on
receiving alone, measured in the same run. Every event is checked to have arrived exactly once; exit code 1 if not,
or if the figure is below --at-least.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from pathlib import Path
from statistics import median

import aiohttp
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from msgspec import Struct

from flybridge.demo.run import Plan, play
from flybridge.demo.sender import Outgoing, Sender
from flybridge.demo.stage import APPS, Stage, free_port
from flybridge.sandbox.traffic import App, Options, generate


class Round(Struct):
    """What one round measured. CPU is that of the bridge, in seconds."""

    events: int
    cpu_s: float
    wall_s: float
    differences: int
    p99_ms: float


def cpu_seconds(pid: int) -> float:
    """Give the processor time a process has used, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def whole_way(events: int, seed: int) -> Round:
    """Play traffic of two V2 apps without faults and look at the bridge's processor time."""
    plan = Plan(events, seed, options=Options(held=0.0, duplicates=0.0, malformed=0.0), products=0.0)
    with tempfile.TemporaryDirectory(prefix="flybridge-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        stage = Stage(Path(directory), apps=APPS[:2])
        await stage.start()
        try:
            before, used = cpu_seconds(stage.bridge.pid), 0.0

            def look(*_: object) -> None:
                nonlocal used
                used = cpu_seconds(stage.bridge.pid) - before

            outcome = await play(stage, plan, look)
        finally:
            await stage.stop()
    return Round(events, used, outcome.seconds, outcome.differences, outcome.sent["p99_ms"])


async def bare(events: int) -> float:
    """Give the processor seconds that the bare server spends on receiving as many of the same bodies."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(sys.executable, __file__, "--bare", str(port), stderr=DEVNULL)
    try:
        app = App(APPS[0].name, APPS[0].platform, APPS[0].appsflyer_app_id)
        messages = [Outgoing(m.path, m.body, {}) for m in generate(1, events, [app])]
        async with aiohttp.ClientSession() as session:
            for _ in range(100):
                try:
                    async with session.get(f"http://127.0.0.1:{port}/"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        before = cpu_seconds(server.pid)
        await Sender(f"http://127.0.0.1:{port}").send(messages)
        return cpu_seconds(server.pid) - before
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
    parser.add_argument("--at-least", type=float, default=0.0, help="events per CPU-second")
    options = parser.parse_args()
    rounds, receiving = [], []
    for number in range(options.rounds):
        rounds.append(await whole_way(options.events, number))
        receiving.append(await bare(options.events))
        last = rounds[-1]
        print(
            f"round {number + 1}: {last.events / last.cpu_s:8,.0f} events per CPU-second   "
            f"{last.events / last.wall_s:8,.0f} per second   intake p99 {last.p99_ms} ms   "
            f"differences {last.differences}"
        )
    figure = median(r.events / r.cpu_s for r in rounds)
    share = median(receiving) / median(r.cpu_s for r in rounds)
    print(f"end to end      {figure:8,.0f} events per CPU-second of flybridge, {1e6 / figure:.0f} microseconds each")
    print(f"receiving alone {share:8.2f} of that, on the bare server")
    wrong = sum(r.differences for r in rounds)
    if wrong:
        print(f"{wrong} events are not as they must be.")
    return 1 if wrong or figure < options.at_least else 0


if __name__ == "__main__":
    if "--bare" in sys.argv:
        serve_bare(int(sys.argv[-1]))
    sys.exit(asyncio.run(main()))
