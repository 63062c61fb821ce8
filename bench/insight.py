"""What figures of performance cost: a query with few and with many events behind it, an installation, an event.

    python bench/insight.py [--events 10000000] [--base 10000] [--sent 20000] [--rounds 3] [--at-most 0.1]

Queries. Realistic messages of five weeks are filed as the service files them (`flow`, then `Store.file`). A copy of the
store is grown to `--events`: each counter times the factor, each installation and each ledger row copied as often under
a key of its own, by SQL. So both stores have the same cells, and one has a thousand times as many events, people and
rows behind them. The same questions are asked of both in turns, and processor time is measured, which others on the
machine change little. Exit code 1 if the grown store takes more than 1.5 times as long, all questions together.

Installations. Bytes of the table per row, with its index, in the grown store.

Events. The whole way of `bench/end_to_end.py`, with as many events as there, with counters and without, in turns and
each on a core of its own: flybridge's processor time per event. Exit code 1 if counters add more than --at-most. In
this traffic a good part of the events is the first of its source, campaign, country, name and day, and makes a cell;
where more comes in, fewer are.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from _processor import cpu_s, keep_on
from end_to_end import CONNECTIONS, PLAIN
from flybridge.config.settings import Config, loads
from flybridge.demo.environment import APPS, LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario
from flybridge.insight.cohorts import COHORT_METRICS, read_cohorts
from flybridge.insight.performance import AppScope, Question, read_performance
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficOptions, generate
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.processes import Process, free_port
from flybridge.wiring import build_flow, scopes_of

WEEKS = TrafficOptions(span_ms=35 * DAY_MS, comes_back=0.4)
NOW_MS = START_MS + 40 * DAY_MS
BATCH = 250
ASKED = 9
MOST_TIMES = 1.5
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
amplitude.api_key = "key"
"""


async def file_traffic(config: Config, path: Path, events: int) -> None:
    """File messages as the service does."""
    flow, store = build_flow(config), SqliteStore(path, Seal(*config.secrets))
    await store.open()
    app = TrafficApp("shop", "android", "com.example.shop")
    batch = []
    for number, message in enumerate(generate(1, events, [app], WEEKS)):
        batch.append(flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, message.body, f"r{number}")))
        if len(batch) >= BATCH:
            await store.file(batch, NOW_MS)
            batch = []
    await store.file(batch, NOW_MS)
    await store.close()


def grow(path: Path, factor: int) -> None:
    """Put so many times the events behind the same cells."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -262144")
        for table, names in (
            ("performance", ("n", "revenue", "not_converted", "reached", "entered")),
            ("install_cohorts", ("active", "payers", "events", "revenue", "not_converted")),
        ):
            db.execute(f"UPDATE {table} SET {', '.join(f'{name} = {name} * {factor}' for name in names)}")
        copies = (
            f"(WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {factor - 1}) SELECT i FROM c)"
        )
        ((columns),) = [[row[1] for row in db.execute("PRAGMA table_info(ledger)")]]
        fresh = {"id": "NULL", "receipt": "receipt || '-' || i"}
        # In the order of their keys, so that no page of an index is written twice.
        db.execute(
            f"INSERT INTO installations SELECT randomblob(32), cell, day, install_s, touch_s, paid_day, reached, days "
            f"FROM installations, {copies} ORDER BY 1"
        )
        db.execute(
            f"INSERT INTO ledger SELECT {', '.join(fresh.get(one, one) for one in columns)} "
            f"FROM (SELECT * FROM ledger ORDER BY receipt) CROSS JOIN {copies}"
        )
        db.commit()
        db.execute("PRAGMA journal_mode = WAL")


async def ask(config: Config, paths: Sequence[Path]) -> list[dict[str, float]]:
    """Return how many milliseconds of processor time each question takes in each store, the least of some.

    What else runs on the machine only ever adds to it.
    """
    stores = [SqliteStore(path, Seal(*config.secrets)) for path in paths]
    times: list[dict[str, list[float]]] = [{name: [] for name in QUESTIONS} for _ in paths]
    for store in stores:
        await store.open()
    scope = scopes_of(config, NOW_MS)[0]
    try:
        for _ in range(ASKED):
            for name, question in QUESTIONS.items():
                for number, store in enumerate(stores):
                    before = process_time()
                    await question(store, scope)
                    times[number][name].append((process_time() - before) * 1000)
    finally:
        for store in stores:
            await store.close()
    return [{name: min(of_name) for name, of_name in of_store.items()} for of_store in times]


def _performance(*by: str, days: int = 28) -> Callable[[SqliteStore, AppScope], Awaitable[Any]]:
    return lambda store, scope: read_performance(store, [scope], Question(scope.today - days, scope.today - 1, by))


QUESTIONS: dict[str, Callable[[SqliteStore, AppScope], Awaitable[Any]]] = {
    "28 days in all": _performance(),
    "28 days by source": _performance("source"),
    "28 days by source and campaign": _performance("source", "campaign"),
    "28 days by country and date": _performance("country", "date"),
    "7 days by source": _performance("source", days=7),
    "retention by cohort": lambda store, scope: read_cohorts(
        store, scope, Question(scope.today - 28, scope.today - 1), COHORT_METRICS["retention"], grain="day"
    ),
}


def bytes_per_installation(path: Path) -> float:
    """Return the size of the table of installations per row."""
    with sqlite3.connect(path) as db:
        size = db.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'installations'").fetchone()[0]
        return size / db.execute("SELECT count(*) FROM installations").fetchone()[0]


async def queries(events: int, base: int, directory: Path) -> bool:
    """Measure queries and installations, print, and return whether the queries are as fast as before."""
    config, path = loads(CONFIG, directory, {}), directory / "store.db"
    await file_traffic(config, path, base)
    small = directory / "small.db"
    shutil.copyfile(path, small)
    grow(path, events // base)
    few, many = await ask(config, [small, path])
    with sqlite3.connect(path) as db:
        cells = db.execute("SELECT count(*) FROM performance_cells").fetchone()[0]
        rows = db.execute("SELECT count(*) FROM ledger").fetchone()[0]
    print(f"{cells:,} cells; {base:,} and {rows:,} events behind them")
    for name, ms in few.items():
        print(f"{name:34} {ms:8.1f} ms  {many[name]:8.1f} ms   {many[name] / ms:5.2f} times")
    times = sum(many.values()) / sum(few.values())
    print(f"{'all together':34} {sum(few.values()):8.1f} ms  {sum(many.values()):8.1f} ms   {times:5.2f} times")
    print(f"an installation takes {bytes_per_installation(path):,.0f} bytes")
    return times <= MOST_TIMES


class WithoutCounters(LocalEnvironment):
    """One process that counts nothing about performance."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        words = ("_without_counters", "serve", "--config", str(self.config_path), "--port", str(free_port()))
        self.bridge = Process("flybridge", words, directory / "flybridge.log")
        self.processes = (self.bridge,)


async def cpu_per_event_us(kind: type[LocalEnvironment], events: int, seed: int) -> float:
    """Return flybridge's processor time per event on the whole way, in microseconds."""
    scenario = Scenario(events, seed, options=PLAIN, products=0.0, connections=CONNECTIONS, expires=False, poll_s=1.0)
    with tempfile.TemporaryDirectory(prefix="flybridge-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        environment = kind(Path(directory), apps=APPS[:2], own_clock=True)
        await environment.start()
        keep_on(0, environment.bridge.pid)
        keep_on(1, environment.sandbox.pid)
        keep_on(1, os.getpid())
        before, used = cpu_s(environment.bridge.pid), 0.0

        def show(*_: object) -> None:
            nonlocal used
            used = cpu_s(environment.bridge.pid) - before

        try:
            await run_scenario(environment, scenario, show)
        finally:
            await environment.stop()
    return used / events * 1e6


async def end_to_end(events: int, rounds: int, at_most: float) -> bool:
    """Measure what counters add to an event, print, and return whether it is little."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    shares = []
    for number in range(rounds):
        without = await cpu_per_event_us(WithoutCounters, events, number)
        counting = await cpu_per_event_us(LocalEnvironment, events, number)
        shares.append(counting / without - 1)
        print(f"round {number + 1}: {without:6.0f} us an event, {counting:6.0f} us with counters, {shares[-1]:+.1%}")
    share = median(shares)
    print(f"counters add {share:.1%} to an event")
    return share <= at_most


async def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--base", type=int, default=10_000)
    parser.add_argument("--sent", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-end-to-end", action="store_true", help="only queries and installations")
    parser.add_argument("--at-most", type=float, default=1.0, help="what counters may add to an event")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flybridge-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        fast = await queries(options.events, options.base, Path(directory))
    cheap = options.no_end_to_end or await end_to_end(options.sent, options.rounds, options.at_most)
    return 0 if fast and cheap else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
