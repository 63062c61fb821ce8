"""Whether nothing is new the second time: the same events pushed, then imported as overlapping files, then pulled.

    python bench/overlap.py [--rows 100000]

A sandbox in this process answers as AppsFlyer's Pull API. The events are accepted as pushed, with milliseconds, and
filed; then three files whose rows overlap by half are imported; then all reports are pulled; at last gaps are looked
for. After each step the account is checked against the ledger. Exit code 1 if an import, a pull or a search found
anything new, or if something is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
from collections import Counter
from itertools import chain
from pathlib import Path
from time import perf_counter, process_time

from flybridge.appsflyer.postback_time import time_ms
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.history.files import find_files
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.operations.read_history import HistoryReader
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Media, Source
from flybridge.sandbox.server import Sandbox, serve_sandbox
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors.raw_data import as_csv, cells, header, report_of
from flybridge.service.backends import open_download, opened
from flybridge.wiring import build_flow

APP = "com.example.shop"
MORE = ["custom_data", "conversion_type", "campaign_type"]
BLOCK = 500
CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"

[apps.appsflyer]
push_token = "a-token"
api_token = "token"
base_url = "{origin}"

[apps.amplitude]
api_key = "a-key"
base_url = "{origin}"
"""


def happened(rows: int) -> list[bytes]:
    """Return push messages of the last weeks, none twice."""
    options = TrafficOptions(
        start_ms=SystemClock().now_ms() - 40 * DAY_MS,
        span_ms=30 * DAY_MS,
        malformed=0.0,
        odd=0.0,
        duplicates=0.0,
        late=0.0,
    )
    limit = (SystemClock().now_ms() - 3 * DAY_MS) // 1000
    found = dict[bytes, None]()
    for one in generate(11, rows + rows // 3, [TrafficApp("shop", "android", APP)], options):
        if one.path.startswith("/v1/push") and _second(one.body) < limit:
            found[one.body] = None
            if len(found) == rows:
                break
    return list(found)


def _second(body: bytes) -> float:
    return (time_ms(json.loads(body).get("event_time", "")) or sys.maxsize) / 1000


def write(place: Path, bodies: list[bytes]) -> list[str]:
    """Write three files. Each has a half of all rows, and two of them each row of the middle."""
    rows = [body for body in bodies if report_of(json.loads(body)) is not None]
    paths = []
    for number in range(3):
        start = number * len(rows) // 4
        part = rows[start : start + len(rows) // 2 + 1]
        path = place / f"part-{number}.csv"
        path.write_bytes(as_csv(chain([header(MORE)], (cells(json.loads(row), MORE) for row in part))))
        paths.append(str(path))
    return paths


async def file_all(reader: HistoryReader) -> Counter[str]:
    """File what is in the inbox, and check the account. Returns how many messages there are by outcome."""
    now_ms = SystemClock().now_ms()
    while leased := await reader.inbox.lease(BLOCK, now_ms, HOUR_MS):
        await reader.store.file(reader.flow.filings(leased.envelopes), now_ms)
        await reader.inbox.ack(leased)
    counts: Counter[str] = Counter()
    for count in await reader.store.counts():
        counts[count.outcome] += count.n
    assert await reader.store.audit() == []
    assert sum((await reader.inbox.received()).values()) == counts.total()
    return counts


async def compare(rows: int, place: Path, origin: str, sandbox: Sandbox) -> bool:
    """Push, import, pull and compare. Returns whether nothing was new."""
    config_path = place / "flybridge.toml"
    config_path.write_text(CONFIG.format(origin=origin))
    config, clock, download = load(config_path, {}), SystemClock(), open_download()
    bodies = happened(rows)
    sandbox.raw_data.add(APP, bodies)
    sandbox.raw_pull.quota = 1000
    good = True
    async with opened(config) as (inbox, store):
        reader = HistoryReader(config, inbox, store, download, build_flow(config), clock)
        before = 0

        async def step(name: str, began: tuple[float, float], n: int, *, new: bool) -> None:
            nonlocal before, good
            counts = await file_all(reader)
            events = counts.total() - counts["duplicate"]
            seconds, cpu = perf_counter() - began[0], process_time() - began[1]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{name:10} {n:10,} rows {events - before:10,} new events {seconds:8.1f} s {cpu:8.1f} CPU s "
                f"{peak:6.0f} MB",
                flush=True,
            )
            good = good and (new or events == before)
            before = events

        began = perf_counter(), process_time()
        for start in range(0, len(bodies), BLOCK):
            now_ms = clock.now_ms()
            page = [Envelope("shop", Source.PUSH, Media.JSON, now_ms, body) for body in bodies[start : start + BLOCK]]
            await asyncio.gather(*map(inbox.accept, page))
        await step("pushed", began, len(bodies), new=True)
        began = perf_counter(), process_time()
        importing = HistoryImport(
            ImportPlan("shop", APP, find_files(write(place, bodies)), "UTC"), config.data_dir, clock
        )
        done = await importing.take(inbox.accept)
        importing.close()
        await step("imported", began, sum(one.rows for one in done), new=False)
        now_ms = clock.now_ms()
        began = perf_counter(), process_time()
        pulled = await reader.pull(config.apps[0], now_ms - 50 * DAY_MS, now_ms)
        assert [one.problem for one in pulled if one.problem] == []
        await step("pulled", began, sum(one.rows for one in pulled), new=False)
        began = perf_counter(), process_time()
        found = await reader.gaps(config.apps[0], now_ms - 50 * DAY_MS, now_ms, fill=False)
        await step("compared", began, found.rows, new=False)
        print(f"gaps       {found.missing:10,} missing")
        good = good and not found.missing
    await download.close()
    return good


async def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    sandbox, stop, port = Sandbox(), asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_sandbox(sandbox, "127.0.0.1", 0, stop, ready=port.set_result))
    with tempfile.TemporaryDirectory() as place:
        good = await compare(options.rows, Path(place), f"http://127.0.0.1:{await port}", sandbox)
    stop.set()
    await task
    if not good:
        print("Something was new, or is missing.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
