"""Whether nothing is new the second time: the same events pushed, then imported as overlapping files, then pulled.

    python bench/overlap.py [--rows 100000]

A sandbox in a process of its own answers as AppsFlyer's Pull API. The events are accepted as pushed, with milliseconds,
and filed; then three files whose rows overlap by half are imported; then all reports are pulled; at last gaps are
looked for. After each step the account is checked against the ledger. The figures are those of this process, with the
files that the first step writes. Exit code 1 if an import, a pull or a search found anything new, or if something is
missing.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from itertools import islice
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

import aiohttp

from bulk import Peak
from flybridge.appsflyer.postback_time import time_ms
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.flow import loop
from flybridge.history.files import find_files
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.history.take import keep
from flybridge.operations.read_history import HistoryReader
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.sandbox.server import Sandbox, serve_sandbox
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors.raw_data import cells, header, report_of
from flybridge.service.backends import opened, opened_download
from flybridge.wiring import build_flow

APP = "com.example.shop"
MORE = ["custom_data", "conversion_type", "campaign_type"]
BLOCK = 500
FILES = 3
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


def happened(rows: int) -> Iterator[bytes]:
    """Yield push messages of the last weeks, none twice."""
    options = TrafficOptions(
        start_ms=SystemClock().now_ms() - 40 * DAY_MS,
        span_ms=30 * DAY_MS,
        malformed=0.0,
        odd=0.0,
        duplicates=0.0,
        late=0.0,
    )
    limit = (SystemClock().now_ms() - 3 * DAY_MS) // 1000
    seen = set[bytes]()
    for one in generate(11, rows + rows // 3, [TrafficApp("shop", "android", APP)], options):
        mark = blake2b(one.body, digest_size=16).digest()
        if one.path.startswith("/v1/push") and mark not in seen and _second(one.body) < limit:
            seen.add(mark)
            yield one.body
            if len(seen) == rows:
                return


def _second(body: bytes) -> float:
    return (time_ms(json.loads(body).get("event_time", "")) or sys.maxsize) / 1000


class Files:
    """Three files. Each has a half of all rows, and two of them each row of the middle."""

    def __init__(self, place: Path, rows: int, stack: ExitStack) -> None:
        self.paths = [place / f"part-{number}.csv" for number in range(FILES)]
        self._starts = [number * rows // 4 for number in range(FILES)]
        self._half, self._number = rows // 2 + 1, 0
        files = [stack.enter_context(path.open("w", newline="")) for path in self.paths]
        self._writers = [csv.writer(file, lineterminator="\n") for file in files]
        for writer in self._writers:
            writer.writerow(header(MORE))

    def add(self, body: bytes) -> None:
        """Write the row of a message, if it has one."""
        message = json.loads(body)
        if report_of(message) is None:
            return
        row = cells(message, MORE)
        for start, writer in zip(self._starts, self._writers, strict=True):
            if start <= self._number < start + self._half:
                writer.writerow(row)
        self._number += 1


def serve(port: Connection) -> None:
    """Serve a sandbox, and tell its port."""
    asyncio.run(serve_sandbox(Sandbox(), "127.0.0.1", 0, asyncio.Event(), ready=port.send))


class Steps:
    """Waits until all is filed, checks the account, and prints a line for each step."""

    def __init__(self, reader: HistoryReader) -> None:
        self._reader, self._before, self.is_good = reader, 0, True
        self._peak = Peak()
        self._peak.start()
        self._begin()

    def _begin(self) -> None:
        self._began = perf_counter(), process_time()
        self._peak.mb = 0.0

    async def end(self, name: str, rows: int, *, new: bool = False) -> None:
        """End a step that has brought in so many rows. Unless `new`, none may be an event that was not there."""
        counts: Counter[str] = Counter()
        while sum((await self._reader.inbox.received()).values()) > counts.total():
            await asyncio.sleep(0.5)
            counts = Counter()
            for count in await self._reader.store.counts():
                counts[count.outcome] += count.n
        events = counts.total() - counts["duplicate"]
        seconds, cpu = perf_counter() - self._began[0], process_time() - self._began[1]
        print(
            f"{name:10} {rows:10,} rows {events - self._before:10,} new events {seconds:8.1f} s {cpu:8.1f} CPU s "
            f"{self._peak.mb:6.0f} MB",
            flush=True,
        )
        assert await self._reader.store.audit() == []
        self.is_good = self.is_good and (new or events == self._before)
        self._before = events
        self._begin()


def failed(problem: Exception) -> None:
    """Print why a batch was not filed. It is tried again."""
    print(problem, file=sys.stderr, flush=True)


async def compare(rows: int, place: Path, origin: str) -> bool:
    """Push, import, pull and compare. Returns whether nothing was new."""
    config_path = place / "flybridge.toml"
    config_path.write_text(CONFIG.format(origin=origin))
    config, clock, stop = load(config_path, {}), SystemClock(), asyncio.Event()
    async with opened(config) as (inbox, store), opened_download() as download:
        reader = HistoryReader(config, inbox, store, download, build_flow(config), clock)
        filing = asyncio.create_task(
            loop.run(
                reader.flow, inbox, store, clock=clock, confirmed=clock, stop=stop, filed=lambda *_: None, failed=failed
            )
        )
        steps = Steps(reader)
        paths = await push(rows, place, origin, reader)
        await steps.end("pushed", rows, new=True)
        importing = HistoryImport(ImportPlan("shop", APP, find_files(paths), "UTC"), config.data_dir, clock)
        await importing.survey()
        done = await importing.take(inbox.accept)
        importing.close()
        assert [one.problem for one in done if one.problem] == []
        await steps.end("imported", sum(one.rows for one in done))
        now_ms = clock.now_ms()
        pulled = await reader.pull(config.apps[0], now_ms - 50 * DAY_MS, now_ms)
        assert [one.problem for one in pulled if one.problem] == []
        await steps.end("pulled", sum(one.rows for one in pulled))
        found = await reader.gaps(config.apps[0], now_ms - 50 * DAY_MS, now_ms, fill=False)
        assert not found.problems, found.problems
        await steps.end("compared", found.rows)
        print(f"gaps       {found.missing:10,} missing")
        stop.set()
        await filing
    return steps.is_good and not found.missing


async def push(rows: int, place: Path, origin: str, reader: HistoryReader) -> list[str]:
    """Push events, and tell the sandbox of them. Returns the files that were written of them."""
    with ExitStack() as stack:
        files, bodies = Files(place, rows, stack), happened(rows)
        async with aiohttp.ClientSession(origin) as session:
            async with session.post("/sandbox/raw/pull?quota=1000") as answer:
                assert answer.status == 200
            while page := list(islice(bodies, BLOCK)):
                now_ms = reader.clock.now_ms()
                accepted = [Envelope("shop", Source.PUSH, Media.JSON, now_ms, body) for body in page]
                await keep(reader.inbox.accept, accepted)
                for body in page:
                    files.add(body)
                async with session.post(f"/sandbox/raw/happened?app={APP}", data=b"\n".join(page)) as answer:
                    assert answer.status == 200
        return [str(path) for path in files.paths]


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    here, there = Pipe()
    sandbox = get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    sandbox.start()
    with tempfile.TemporaryDirectory() as place:
        good = asyncio.run(compare(options.rows, Path(place), f"http://127.0.0.1:{here.recv()}"))
    sandbox.terminate()
    if not good:
        print("Something was new, or is missing.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
