"""How much disk an event takes: while it waits in the inbox, and in the store once it is delivered.

    python bench/room.py [--events 8000]

Realistic postbacks go the whole way to a sandbox that answers as Amplitude does. Printed are the bytes of the messages,
of the store's tables per event when everything has come to rest, and how many rows each table has per event. What an
event takes in the inbox while it waits is measured by `bench/ingest.py` (bytes_on_disk_per_event).
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
from pathlib import Path

import uvloop

from flybridge.demo.environment import APPS, LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario
from flybridge.sandbox.traffic.traffic import TrafficApp, generate

SMALL: float = 0.05
"""Tables with fewer rows per event than this are not listed."""


async def measure(events: int, directory: Path) -> int:
    """Play, print the room that is taken; give how many events are not where they must be."""
    environment = LocalEnvironment(directory, apps=APPS[:2])
    scenario = Scenario(events)
    await environment.start()
    try:
        outcome = await run_scenario(environment, scenario, lambda *_: None)
    finally:
        await environment.stop()
    apps = [TrafficApp(app.name, app.platform, app.appsflyer_app_id) for app in environment.apps]
    sizes = [len(message.body) for message in generate(scenario.seed, events, apps, scenario.options)]
    print(f"message            {sum(sizes) / len(sizes):10,.0f} bytes on average, {len(sizes):,} messages")
    with sqlite3.connect(directory / "data" / "store.db") as db:
        used = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        tables = dict(db.execute("SELECT name, tbl_name FROM sqlite_master WHERE type IN ('table', 'index')"))
        rooms: dict[str, int] = {}
        for name, size in used.items():
            table = tables.get(name, name)
            rooms[table] = rooms.get(table, 0) + size
        print(f"store              {sum(rooms.values()) / events:10,.0f} bytes per event at rest, with indexes")
        for table, size in sorted(rooms.items(), key=lambda one: -one[1]):
            rows = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            if rows / events >= SMALL:
                print(f"  {table:16} {size / events:10,.1f} bytes   {rows / events:6.2f} rows")
    return outcome.differences


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Disk per event.")
    parser.add_argument("--events", type=int, default=8_000)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flybridge-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
        return 1 if uvloop.run(measure(words.events, Path(directory))) else 0


if __name__ == "__main__":
    sys.exit(main())
