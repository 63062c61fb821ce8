"""What is read of files and object stores leaves the event loop, and with it intake, to go on."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.config.settings import load
from flybridge.delivery.exchange import HttpRequest
from flybridge.history.files import RawFile, local_file
from flybridge.history.gaps import GapFinder
from flybridge.history.locker import LockerFollower
from flybridge.history.locker_folders import Locker, LockerFolder
from flybridge.history.progress import Progress
from flybridge.history.pull import HistoryPull, PullPlan
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, BadRow, RawRow
from flybridge.history.take import RowTaker
from flybridge.history.uptime import Uptime
from flybridge.records import DAY_MS, Source, day_of
from flybridge.service.backends import opened_store
from flybridge.testing.clocks import ManualClock
from flybridge.wiring import build_flow

NOW_MS = 20_000 * DAY_MS
HEADER = b"AppsFlyer ID,Event Time,Event Name,Media Source\n"
PATIENCE_S = 20.0


class SlowLocker(Locker):
    """A Data Locker that is listed only when the event loop has gone on meanwhile."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.goes_on, self.loop = threading.Event(), asyncio.get_running_loop()

    def folders(self, first_day: str) -> list[LockerFolder]:
        """Return the folders, once the event loop has let it go on."""
        self.loop.call_soon_threadsafe(self.goes_on.set)
        assert self.goes_on.wait(PATIENCE_S), "the event loop stands still while a Data Locker is listed"
        return super().folders(first_day)


async def accept(_) -> None:
    """Take an envelope."""


@pytest.mark.parametrize("way", ["followed", "searched"])
async def test_the_event_loop_goes_on_while_a_data_locker_is_listed(tmp_path: Path, smallest_config: Path, way: str):
    """An object store answers a request for each report and day, and a directory may be on a network."""
    mark = tmp_path / f"t=installs/dt={day_of(NOW_MS)}/h=0/_SUCCESS"
    mark.parent.mkdir(parents=True)
    mark.touch()
    config, clock, locker = load(smallest_config, {}), ManualClock(NOW_MS), SlowLocker(str(tmp_path))
    async with opened_store(config) as store:
        if way == "followed":
            follower = LockerFollower(
                PullPlan("shop", AppsFlyerAccount("com.example.shop", "")), locker, store=store, accept=accept,
                data_dir=tmp_path, clock=clock, wait_ms=0, dedup_days=7,
            )  # fmt: skip
            assert (await follower.look()).problems == []
        else:
            progress = Progress(tmp_path / "progress.db")
            finder = GapFinder(
                PullPlan("shop", AppsFlyerAccount("com.example.shop", "")), build_flow(config), store,
                progress=progress, clock=clock, uptime=Uptime([]), day=lambda ms: ms // DAY_MS, platform="android",
            )  # fmt: skip
            assert (await finder.run_locker(locker, NOW_MS - DAY_MS, NOW_MS)).problems == ()
            progress.close()


async def test_the_event_loop_goes_on_while_rows_are_read(tmp_path: Path):
    """The next megabyte of a file is asked of an object store when the rows before it were taken."""
    path, goes_on, loop = tmp_path / "installs.csv", threading.Event(), asyncio.get_running_loop()
    path.write_bytes(HEADER + b"1-1,2024-10-04 00:00:00,install,a\n")

    def rows() -> Iterator[RawRow | BadRow]:
        loop.call_soon_threadsafe(goes_on.set)
        assert goes_on.wait(PATIENCE_S), "the event loop stands still while rows are read"
        yield from RawRows(local_file(path), UTC_TIMES, None)

    progress = Progress(tmp_path / "progress.db")
    with closing(progress.counting(by_attribution=False)) as equal:
        taker = RowTaker("shop", Source.LOCKER, accept, ManualClock(NOW_MS))
        assert (await taker.take(path.name, rows(), equal)).taken == 1
    progress.close()


class SlowFinder(GapFinder):
    """A search for gaps whose rows are read only when the event loop has gone on meanwhile."""

    def _raw(self, file: RawFile, report: str, source: Source) -> RawRows:
        goes_on, loop = threading.Event(), asyncio.get_running_loop()

        class Slow(RawRows):
            def __iter__(self) -> Iterator[RawRow | BadRow]:
                loop.call_soon_threadsafe(goes_on.set)
                assert goes_on.wait(PATIENCE_S), "the event loop stands still while rows are compared"
                return super().__iter__()

        return Slow(file, UTC_TIMES, None)


async def test_the_event_loop_goes_on_while_rows_are_compared(tmp_path: Path, smallest_config: Path):
    """Rows are read twice where some are missing, and may have to be mapped, too."""
    config, clock = load(smallest_config, {}), ManualClock(NOW_MS)
    folder = tmp_path / "locker" / "t=inapps" / f"dt={day_of(NOW_MS - DAY_MS)}" / "h=1"
    folder.mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    time = f"{day_of(NOW_MS - DAY_MS)} 01:00:00"
    (folder / "part-0.csv").write_bytes(HEADER + f"1-1,{time},af_purchase,a\n".encode())
    async with opened_store(config) as store:
        progress = Progress(tmp_path / "progress.db")
        plan = PullPlan("shop", AppsFlyerAccount("com.example.shop", ""), by_attribution=True)
        finder = SlowFinder(
            plan, build_flow(config), store, progress=progress, clock=clock, uptime=Uptime([]),
            day=lambda ms: ms // DAY_MS, platform="android",
        )  # fmt: skip
        locker = Locker(str(tmp_path / "locker"))
        assert (await finder.run_locker(locker, NOW_MS - 2 * DAY_MS, NOW_MS)).missing == 1
        progress.close()


class Answered:
    """A download of one body, that notes at which round of the event loop it ended."""

    def __init__(self, body: bytes, clock: NotingClock) -> None:
        self.status, self.headers, self.body, self.clock = 200, dict[str, str](), body, clock

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, public: bool = False) -> AsyncIterator[Answered]:
        """Answer."""
        yield self

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self.body
        self.clock.reads.clear()
        self.clock.now_ms()


class NotingClock(ManualClock):
    """A clock that notes at which round of the event loop it was read."""

    def __init__(self) -> None:
        super().__init__(NOW_MS)
        self.rounds, self.reads = 0, list[int]()

    def now_ms(self) -> int:
        """Return the time."""
        self.reads.append(self.rounds)
        return super().now_ms()

    async def go_round(self) -> None:
        """Count the rounds of the event loop."""
        while True:
            self.rounds += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("packed", [False, True])
async def test_the_event_loop_goes_on_while_a_report_is_unpacked_and_counted(
    tmp_path: Path, smallest_config: Path, packed: bool
):
    """A report may have a million rows. Its answer is looked at between both steps, for which the clock is read."""
    config, clock, noted = load(smallest_config, {}), NotingClock(), list[int]()

    async def read(*_) -> tuple[int, int]:
        clock.now_ms()
        noted.extend(clock.reads)
        return 0, 0

    going = asyncio.create_task(clock.go_round())
    async with opened_store(config) as store:
        plan = PullPlan("shop", AppsFlyerAccount("com.example.shop", "token"), (PulledReport.INSTALLS,))
        download = Answered(gzip.compress(HEADER) if packed else HEADER, clock)
        (done,) = await HistoryPull(plan, store, download, tmp_path, clock).run(NOW_MS - DAY_MS, NOW_MS, read)
    going.cancel()
    assert done.problem == ""
    ended, unpacked, counted = noted
    assert (unpacked > ended) is packed
    assert counted > unpacked
