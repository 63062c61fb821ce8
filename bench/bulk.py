"""How fast raw-data files are read, looked at and taken, against a bare scan that touches every cell; and their memory.

    python bench/bulk.py [rows] [--live events]

Each figure is of a process of its own, in seconds of processor time and of the clock, with the most memory that it had
of its own: the pages of the store's file that are mapped are the system's, which takes them back where it needs them.
The bare scan is that of polars on one thread if it is installed (`pip install polars`), and pyarrow's, into text, if it
is not; with polars both are shown. Memory is measured again with four times the rows. The whole import ends with a
vendor in another process that accepts every request; it is compared with what `bench/end_to_end.py` measures of live
messages in the same run, and has the same conditions: the server's event loop, and a core that the vendor does not use.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import pyarrow as pa
import uvloop
from pyarrow import csv as arrow_csv

from _processor import keep_on
from end_to_end import whole_way
from flybridge.amplitude.upload import History
from flybridge.clock import SystemClock
from flybridge.delivery.context import Context
from flybridge.delivery.transport import HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.flow import AppFlow, Flow, loop
from flybridge.history.column_keys import KeyOwner
from flybridge.history.files import find_files
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import Zone
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.identity import Keyring
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors.raw_data import cells, header, report_of
from flybridge.sealing import Seal
from flybridge.store.records import Filed, Lane
from flybridge.store.sqlite.store import SqliteStore
from flybridge.web.server import COLLECT_EVERY

APP = TrafficApp("shop", "android", "com.example.shop")
KINDS = 2_000
FLOW = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"secret"))
PLAIN = TrafficOptions(held=0.0, duplicates=0.0, malformed=0.0)
MORE = ["custom_data"]
"""The field in which the app passes its Amplitude ids along: without it nearly every row would be held."""


def write(path: Path, rows: int) -> None:
    """Write a file of rows with the 81 default columns and custom data, each an event of its own.

    The persons of some traffic come again and again as others, so that each has as many events as there.
    """
    messages = [json.loads(one.body) for one in generate(7, KINDS, [APP], PLAIN) if one.path.startswith("/v1/push")]
    known = [cells(one, MORE) for one in messages if isinstance(one, dict) and report_of(one) is not None]
    names = header(MORE)
    installation, user = names.index("AppsFlyer ID"), names.index("Customer User ID")
    devices = [names.index(name) for name in ("Advertising ID", "IDFA", "IDFV")]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for number in range(rows):
            turn, place = divmod(number, len(known))
            row = list(known[place])
            row[installation] = f"{1_700_000_000_000 + turn}-{row[installation].partition('-')[2]}"
            row[user] += f"-{turn}" if row[user] else ""
            for device in devices:
                row[device] = f"{turn:08x}{row[device][8:]}" if len(row[device]) > 8 else row[device]
            writer.writerow(row)


def polars_scan(path: Path) -> None:
    """Touch every cell, as text, with polars."""
    import polars as pl  # noqa: PLC0415 - not of the other processes

    lengths = pl.scan_csv(path, infer_schema=False).select(pl.all().str.len_bytes().sum())
    lengths.collect(engine="streaming")


def arrow_scan(path: Path) -> None:
    """Touch every cell, as text, with pyarrow."""
    types = arrow_csv.ConvertOptions(column_types=dict.fromkeys(header(MORE), pa.string()))
    for batch in arrow_csv.open_csv(path, convert_options=types):
        for column in batch.columns:
            column.nbytes  # noqa: B018


def read(path: Path) -> None:
    """Read rows, and recognise their reports."""
    for file in find_files([str(path)]):
        for _ in RawRows(file, Zone("UTC"), None):
            pass


def _import(path: Path, place: str) -> HistoryImport:
    plan = ImportPlan("shop", APP.appsflyer_app_id, find_files([str(path)]), "UTC")
    return HistoryImport(plan, Path(place), SystemClock())


def dry_run(path: Path) -> None:
    """Survey: read, recognise, map, and count equal rows, persons and months."""
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(_import(path, place).survey(FLOW))


def take(path: Path) -> None:
    """Take the rows into the embedded inbox."""

    async def work(place: str) -> None:
        inbox = SqliteInbox(Path(place) / "inbox.db", Seal(b"secret"))
        await inbox.open()
        await _import(path, place).take(inbox.accept)
        await inbox.close()

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(work(place))


def whole(path: Path) -> None:
    """Import: look, take, map, file, send to a vendor in another process, and settle."""
    vendor = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("delivery.py")), "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert vendor.stdin is not None
    assert vendor.stdout is not None
    origin = f"http://127.0.0.1:{int(vendor.stdout.readline())}"
    keep_on(0, os.getpid())
    keep_on(1, vendor.pid)

    async def work(place: Path) -> None:
        clock, seal, transport = SystemClock(), Seal(b"secret"), HttpTransport()
        inbox, store = SqliteInbox(place / "inbox.db", seal), SqliteStore(place / "store.db", seal)
        await inbox.open()
        await store.open()
        importing = _import(path, str(place))
        await importing.survey()
        await importing.take(inbox.accept)
        worker, stop = (
            Worker(Context(store, transport, clock), {Lane("shop", "batch"): History("key", origin)}),
            asyncio.Event(),
        )

        def filed(_: object, outcome: Filed) -> None:
            if outcome.outcomes.get("pending", 0) > len(outcome.leased):  # as the server does
                worker.notify()

        moving = asyncio.gather(
            worker.run(stop),
            loop.run(
                FLOW,
                inbox,
                store,
                clock=clock,
                confirmed=clock,
                stop=stop,
                filed=filed,
                failed=failed,
                worker=worker,
            ),
        )
        while not moving.done() and not await settled(inbox, store):  # noqa: ASYNC110
            await asyncio.sleep(0.25)
        stop.set()
        await moving
        counts = await store.counts()
        delivered = sum(one.n for one in counts if one.outcome == "delivered")
        assert delivered > 0.9 * sum(one.n for one in counts), counts
        await transport.close()
        await store.close()
        await inbox.close()

    with tempfile.TemporaryDirectory() as place:
        uvloop.run(work(Path(place)))
    vendor.stdin.close()
    vendor.wait()


async def settled(inbox: SqliteInbox, store: SqliteStore) -> bool:
    """Whether all that was taken is filed, and nothing is to be sent any more."""
    counts = await store.counts()
    filed = sum(one.n for one in counts)
    return sum((await inbox.received()).values()) == filed and not any(one.outcome == "pending" for one in counts)


def failed(problem: Exception) -> None:
    """Print why a batch was not filed. It is tried again."""
    print(problem, file=sys.stderr, flush=True)


def keys(path: Path) -> None:
    """Read the content keys alone, as a search for gaps does."""
    owner = KeyOwner("shop", APP.appsflyer_app_id, "android")
    for file in find_files([str(path)]):
        for _ in RawRows(file, Zone("UTC"), None).keyed(owner):
            pass


def measured(work: Callable[[Path], None], path: Path) -> tuple[float, float, float]:
    """Return processor seconds, seconds and megabytes of some work in a process of its own."""
    context = get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measure, args=(work, path, queue))
    process.start()
    found: tuple[float, float, float] = queue.get()
    process.join()
    return found


def _measure(work: Callable[[Path], None], path: Path, queue: object) -> None:
    if work is polars_scan:
        os.environ["POLARS_MAX_THREADS"] = "1"
        import polars  # noqa: F401, PLC0415 - its import is no part of a scan
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)  # as the server has it
    peak = Peak()
    peak.start()
    began, cpu = time.perf_counter(), time.process_time()
    work(path)
    queue.put((time.process_time() - cpu, time.perf_counter() - began, peak.mb))  # type: ignore[attr-defined]


class Peak(Thread):
    """Looks, again and again, how much memory this process has of its own, beside what it has mapped of files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0

    def run(self) -> None:
        """Keep the largest figure."""
        while True:
            status = Path("/proc/self/status").read_text()
            self.mb = max(self.mb, int(status.partition("RssAnon:")[2].split()[0]) / 1024)
            time.sleep(0.1)


def main() -> None:
    """Print one line for each, and the ratio of the whole import to the live pipeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=200_000)
    parser.add_argument("--live", type=int, default=8_000, help="live messages to compare with; 0: none")
    options = parser.parse_args()
    rows = options.rows
    with tempfile.TemporaryDirectory() as place:
        small, large = Path(place) / "small.csv", Path(place) / "large.csv"
        write(small, rows)
        write(large, 4 * rows)
        print(f"{rows:,} rows x {len(header(MORE))} columns, {small.stat().st_size / 1e6:.0f} MB")
        print(f"{'':24}{'CPU s':>8}{'s':>8}{'us a row':>10}{'of scan':>9}{'MB':>7}{'MB at 4x':>10}")
        scans = [polars_scan] * (find_spec("polars") is not None) + [arrow_scan]
        print(f"The scan is {scans[0].__name__}.")
        bare = each = 0.0
        for work in (*scans, keys, read, dry_run, take, whole):
            cpu, seconds, peak = measured(work, small)
            bare = bare or cpu
            _, _, at_four = measured(work, large)
            share = f"{bare / cpu:.2f}"
            each = cpu / rows * 1e6
            print(
                f"{work.__name__:24}{cpu:8.2f}{seconds:8.2f}{each:10.1f}{share:>9}{peak:7.0f}{at_four:10.0f}",
                flush=True,
            )
    if options.live:
        live = asyncio.run(whole_way(options.live, 0, spread=False))
        us = live.cpu_s / live.events * 1e6
        print(f"live                    {us:34.1f} us a message: the whole import does {us / each:.2f} times as many")


if __name__ == "__main__":
    main()
