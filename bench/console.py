"""Measures what a page of the console costs with few and with many events behind it.

    python bench/console.py                          # 10 thousand and 10 million events
    python bench/console.py --sizes 10k,1M --pages /,/cohorts

Both stores have the same ten thousand postbacks of two months, filed as the flow files them: the same sources,
campaigns, countries and days. The rest of the larger one is added to its ledger and its counters by SQL, because filing
ten million postbacks would take an hour. Pages are asked for over HTTP from a process that serves the console only; the
stores take turns, and the figures are the medians of the answers and of the processor time that they take, in
milliseconds, and for both the ratio of the largest store to the smallest. The processor time is that of everything:
service, store and client. On a machine that does other work, too, it is the figure to look at.

10 million events need about 2 GB of disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import aiohttp

from flybridge.config.settings import load
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.roles import Role
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.service.backends import open_store
from flybridge.service.process import Service
from flybridge.wiring import build_flow

FILED = 10_000
DAYS = 56
BATCH = 500
PAGES = "/,/?period=90d,/cohorts,/differences,/flow,/account,/holds"
CONFIG = """
secret = "a secret of sixteen characters"
data_dir = "data"
[server]
port = 0
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
[apps.appsflyer]
push_token = "push-token"
[apps.amplitude]
api_key = "the-api-key"
"""
GROW = (
    """INSERT INTO ledger (id, receipt, cell, insert_id, received_ms, changed_ms, uncertain, digest)
       WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
       SELECT i, printf('b%010d', i), (SELECT min(id) FROM cells), 'e0a1b2c3d4e5f60718293a4b5c6d7e8f', :now, :now, 0,
              randomblob(16) FROM n""",
    "UPDATE cells SET n = n * :times",
    "UPDATE performance SET n = n * :times, revenue = revenue * :times, reached = reached * :times",
    "UPDATE install_cohorts SET active = active * :times, events = events * :times, revenue = revenue * :times",
    "UPDATE hold_counts SET n = n * :times",
    "UPDATE ids SET next = :last + 1",
)


async def fill(folder: Path, events: int) -> Path:
    """Make a data directory with so many events behind it; give its configuration."""
    config = folder / "flybridge.toml"
    config.write_text(CONFIG, encoding="utf-8")
    (folder / "data").mkdir()
    settings = load(config, {})
    flow, now_ms = build_flow(settings), int(time.time() * 1000)
    options = TrafficOptions(start_ms=now_ms - DAYS * DAY_MS, span_ms=DAYS * DAY_MS, away=0.4, away_days=8.0)
    apps = [TrafficApp("shop", "android", "com.example.shop")]
    envelopes = [
        Envelope("shop", Source.PUSH, Media.JSON, now_ms, message.body, f"r{number}")
        for number, message in enumerate(generate(1, min(events, FILED), apps, options))
        if message.path == "/v1/push/shop"
    ]
    store = open_store(settings)
    await store.open()
    for at in range(0, len(envelopes), BATCH):
        await store.file(flow.filings(envelopes[at : at + BATCH]), now_ms)
    await store.close()
    if events > FILED:
        with sqlite3.connect(folder / "data" / "store.db") as db:
            first = db.execute("SELECT next FROM ids").fetchone()[0]
            given = {"first": first, "last": first + events - FILED, "now": now_ms, "times": events // FILED}
            for statement in GROW:
                db.execute(statement, given)
    return config


async def measure(
    configs: dict[int, Path], pages: list[str], times: int
) -> dict[tuple[int, str], list[tuple[float, float]]]:
    """Ask each page of each store in turn; give the times and processor times in milliseconds."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    stop = asyncio.Event()
    origins, serving = {}, []
    for size, config in configs.items():
        port = asyncio.get_running_loop().create_future()
        serving.append(asyncio.create_task(Service(load(config, os.environ), Role.CONSOLE).run(stop, port.set_result)))
        origins[size] = f"http://127.0.0.1:{await port}"
    async with aiohttp.ClientSession() as session:
        for turn in range(times + 1):
            for page in pages:
                for size, origin in origins.items():
                    began, used = perf_counter(), process_time()
                    async with session.get(origin + page) as response:
                        await response.read()
                        assert response.status == 200, (page, response.status)
                    if turn:  # the first compiles the templates
                        taken = ((perf_counter() - began) * 1000, (process_time() - used) * 1000)
                        found.setdefault((size, page), []).append(taken)
    stop.set()
    await asyncio.gather(*serving)
    return found


def sized(text: str) -> int:
    """Read 10k or 10M."""
    return int(text[:-1]) * {"k": 1_000, "M": 1_000_000}[text[-1]] if text[-1] in "kM" else int(text)


async def main() -> None:
    """Fill, measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="10k,10M")
    parser.add_argument("--pages", default=PAGES)
    parser.add_argument("--times", type=int, default=15)
    given = parser.parse_args()
    sizes, pages = [sized(text) for text in given.sizes.split(",")], given.pages.split(",")
    with tempfile.TemporaryDirectory() as directory:
        configs = {}
        for size in sizes:
            folder = Path(directory) / str(size)
            folder.mkdir()
            configs[size] = await fill(folder, size)
            print(f"{size:,} events filed", file=sys.stderr)
        found = await measure(configs, pages, given.times)
    heads = "".join(f"{size:>14,}" for size in sizes) + f"{'ratio':>8}"
    print(f"{'page':<16}{heads}   processor:{heads}")
    for page in pages:
        parts = []
        for which in (0, 1):
            middle = [median(one[which] for one in found[size, page]) for size in sizes]
            parts.append("".join(f"{ms:>11.1f} ms" for ms in middle) + f"{middle[-1] / middle[0]:>8.2f}")
        print(f"{page:<16}{parts[0]}             {parts[1]}")


if __name__ == "__main__":
    asyncio.run(main())
