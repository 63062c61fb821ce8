"""How work spreads: 1, 2 and 4 workers against the same backlog on real servers, and one embedded worker beside them.

    python bench/cluster.py                         # 5,000 events, under two minutes
    python bench/cluster.py --events 50000 --workers 1,2,4,8

For each number of workers a new cluster is started (three NATS servers, PostgreSQL with `fsync = on`); its workers are
frozen with SIGSTOP while an intake takes in the postbacks of two V2 apps, the same each time, and let go at one moment.
Measured is from then until everything is mapped, filed, delivered and settled. Everything runs on this machine, the
sandbox too: with few cores, more workers show what spreading costs, and not how far it goes. So processor time per
event is printed for each kind of process (from /proc, Linux only): it says how many cores are needed. Every account is
checked; exit code 1 if one does not balance.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from msgspec import Struct

from flybridge.demo.cluster import ClusterEnvironment
from flybridge.demo.environment import APPS, Environment
from flybridge.demo.run import account_and_ledger
from flybridge.demo.sender import Outgoing, Sender
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.testing.processes import Process

TICKS = os.sysconf("SC_CLK_TCK")
LOOK_S = 0.1
ASKED_S = 1.0
"""After so long NATS has forgotten that a worker that was frozen had asked it for work, and gives it none."""


class Run(Struct, frozen=True):
    """What one run needed, in seconds of the clock and of processor time by kind of process."""

    name: str
    events: int
    wall_s: float
    cpu_s: dict[str, float]
    balanced: bool


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes and their children, also those that ended, have used."""
    return sum(_with_children(pid) for pid in pids)


def _with_children(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS + cpu_seconds(children)


async def take_in(environment: Environment, events: int) -> None:
    """Send the traffic; each run gets the same."""
    apps = [TrafficApp(app.name, app.platform, app.appsflyer_app_id) for app in environment.apps]
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    plain = TrafficOptions(held=0.0, duplicates=0.0, malformed=0.0)
    await Sender(*environment.intake_origins).send(
        Outgoing(m.path, m.body, headers) for m in generate(1, events, apps, plain)
    )


async def worked_off(environment: Environment, events: int) -> None:
    """Wait until everything has an outcome and nothing is on its way."""
    while True:
        now = await environment.figures()
        if sum(now.outcomes.values()) >= events and not now.in_flight:
            return
        await asyncio.sleep(LOOK_S)


def kinds(environment: Environment, workers: Sequence[Process]) -> dict[str, list[int]]:
    """Return the processes whose processor time counts, by kind."""
    found = {"worker": [worker.pid for worker in workers]}
    if isinstance(environment, ClusterEnvironment):
        found["NATS"] = [node.process.pid for node in environment.nats.nodes if node.process]
        found["PostgreSQL"] = [environment.postgres.pid or 0]
    return found


class Split(Environment):
    """One embedded directory with an intake, a worker and a console."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.intake, self.worker = self.process("intake", "--only", "intake"), self.process("worker", "--only", "work")
        self.console = self.process("console", "--only", "console")
        self.processes = (self.intake, self.worker, self.console)

    @property
    def intake_origins(self) -> Sequence[str]:
        """Return the intake."""
        return [self.intake.origin]

    @property
    def metrics_origins(self) -> Sequence[str]:
        """Return the console."""
        return [self.console.origin]


async def measure(name: str, environment: Environment, workers: Sequence[Process], events: int) -> Run:
    """Take in while the workers are frozen, let them go, wait, and draw up the account."""
    try:
        await environment.start()
        for worker in workers:
            os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(ASKED_S)
        await take_in(environment, events)
        pids = kinds(environment, workers)
        before, began = {kind: cpu_seconds(found) for kind, found in pids.items()}, perf_counter()
        for worker in workers:
            os.kill(worker.pid, signal.SIGCONT)
        await worked_off(environment, events)
        wall_s = perf_counter() - began
        cpu_s = {kind: cpu_seconds(found) - before[kind] for kind, found in pids.items()}
        await environment.close()
        account, _ = await account_and_ledger(environment)
    finally:
        await environment.stop()
    return Run(name, events, wall_s, cpu_s, account.balanced)


def show(run: Run) -> None:
    """Print one line."""
    costs = "  ".join(f"{kind} {s / run.events * 1e6:4.0f}" for kind, s in run.cpu_s.items())
    state = "" if run.balanced else "   THE ACCOUNT DOES NOT BALANCE"
    print(f"{run.name:18} {run.events / run.wall_s:7,.0f} events/s   us of CPU per event: {costs}{state}", flush=True)


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--workers", default="1,2,4")
    options = parser.parse_args()
    print(f"{options.events:,} events, {os.cpu_count()} cores, everything on this machine")
    runs = []
    for number in (0, *(int(word) for word in options.workers.split(","))):
        with tempfile.TemporaryDirectory(prefix="flybridge-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
            place, apps = Path(directory), APPS[:2]
            if number:
                cluster = ClusterEnvironment(place, apps=apps, workers=number, intakes=1)
                run = await measure(f"cluster, {number} workers", cluster, cluster.workers, options.events)
            else:
                split = Split(place, apps=apps)
                run = await measure("embedded, 1 worker", split, [split.worker], options.events)
        show(run)
        runs.append(run)
    return 0 if all(run.balanced for run in runs) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
