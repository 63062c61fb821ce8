"""Pull raw-data reports: the widest windows first, halved where a report is full, and on where the last run ended.

A report comes as a file into the data directory and is read like any other; it is deleted when its rows are in the
inbox. What is still to be pulled of a run stands in the store: after a quota is used up, or a kill, the next run of the
same span goes on there.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import msgspec
from msgspec import Struct, field

from flybridge.appsflyer.raw_pull import (
    DAY_S,
    LOOKBACK_DAYS,
    MAX_ROWS,
    PulledReport,
    PullWindow,
    check_pulled,
    pull_request,
    windows,
)
from flybridge.appsflyer.raw_report import report_named
from flybridge.appsflyer.report import MINUTE_S, AppsFlyerAccount, ReportRefused
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse
from flybridge.errors import FlybridgeError
from flybridge.history.files import RawFile, local_file
from flybridge.history.live_days import NOTHING, Forgotten
from flybridge.history.progress import Progress
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES
from flybridge.history.take import Accept, RowTaker, Taken
from flybridge.history.unpacked import GZIP, unpacked
from flybridge.records import DAY_MS, Source
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable
from flybridge.system.counted import plural
from flybridge.system.private_files import private_directory, private_file

PULL: Final = "pull"
QUOTA: Final = "quota"
"""Notes of quotas that are used up. They are of an app, a report and a UTC day, whatever is pulled for."""
FOLDER: Final = "pulled"
REDIRECTS: Final = 3
HEAD_BYTES: Final = 4096
LEAST_ROOM: Final = 16 * 2**20
"""Bytes. A report of a million rows has some hundred times as many."""
AGAIN_S: Final = 3600.0
LEFT_S: Final = 6 * 3600


def free_bytes(place: Path) -> int:
    """Return how many bytes may be written to a place."""
    return shutil.disk_usage(place).free


class PullPlan(Struct, frozen=True):
    """What is pulled, of which account. `rate` is the most rows in a second, 0 for no limit."""

    app: str
    account: AppsFlyerAccount
    reports: tuple[PulledReport, ...] = ()
    by_attribution: bool = False
    rate: float = 0.0


class Pulled(Struct, frozen=True):
    """How the pull of one report stands.

    `wanted` is the span of the last run, `pending` what is left of it. `problem` says why it is not done, and
    `again_ms` when it may be asked again.
    """

    app: str
    report: str
    wanted: PullWindow
    pending: tuple[PullWindow, ...] = ()
    rows: int = 0
    taken: int = 0
    calls: int = 0
    problem: str = ""
    again_ms: int = 0
    at_ms: int = 0


Read = Callable[[PulledReport, RawFile], Awaitable[tuple[int, int]]]
"""Reads one whole report. Returns how many rows it has, and how many were taken."""
Shown = Callable[[Pulled], None]
"""Shows how far the pull of a report is."""


class HistoryPull(Struct, frozen=True):
    """Pulls the reports of one app, without what is `forgotten`.

    Pulls of another `kind` go on apart. Of one without a kind nothing is kept but that a quota is used up: it begins
    anew each time. `room` returns for how many bytes a directory has room. `resumed` are the reports of which the last
    run went on with what the run before it had left.
    """

    plan: PullPlan
    store: Store
    download: Download
    data_dir: Path
    clock: Clock
    kind: str = PULL
    full: int = MAX_ROWS
    lookback_days: int = LOOKBACK_DAYS
    forgotten: Forgotten = NOTHING
    room: Callable[[Path], int] = free_bytes
    resumed: set[str] = field(default_factory=set)

    async def run(self, begin_ms: int, end_ms: int, read: Read, shown: Shown = lambda _: None) -> list[Pulled]:
        """Pull a span of all reports. One that is refused does not stop the others."""
        now_ms = self.clock.now_ms()
        first_s = (now_ms - self.lookback_days * DAY_MS) // 1000
        begin_s = max(begin_ms // 1000, first_s)
        span = PullWindow(begin_s, max(min(end_ms, now_ms) // 1000, begin_s))
        kept = await standing(self.store, self.plan.app, self.kind) if self.kind else ()
        before = {one.report: one for one in kept}
        self._clear()
        self.resumed.clear()
        return [
            await self._report(report, span, before.get(report), read, shown, first_s=first_s)
            for report in self.plan.reports
        ]

    async def _report(
        self,
        report: PulledReport,
        span: PullWindow,
        before: Pulled | None,
        read: Read,
        shown: Shown,
        *,
        first_s: int,
    ) -> Pulled:
        state = Pulled(self.plan.app, report.value, span, tuple(windows(report, span.begin_s, span.end_s)))
        if before is not None and before.pending and _covers(before.wanted, span):
            # What the last run has left, and what has happened since.
            self.resumed.add(report.value)
            added = windows(report, before.wanted.end_s, span.end_s)
            state = msgspec.structs.replace(state, pending=(*before.pending, *added))
            if before.again_ms > self.clock.now_ms():
                return msgspec.structs.replace(state, problem=before.problem, again_ms=before.again_ms)
        if (used_up := await self._used_up(report)) is not None:
            return msgspec.structs.replace(state, problem=used_up.problem, again_ms=used_up.again_ms)
        pending, problem = self._left(report.value, state.pending, first_s)
        if pending != state.pending:
            state = msgspec.structs.replace(state, pending=pending, problem=problem)
            await self._note(state)
        while state.pending:
            window, rest = state.pending[0], state.pending[1:]
            try:
                rows, taken = await self._window(report, window, read)
            except FlybridgeError as problem:
                again_s = problem.again_s if isinstance(problem, ReportRefused) else None
                now_ms = self.clock.now_ms()
                again_ms = now_ms + round(again_s * 1000) if again_s else 0
                if again_s and again_s > MINUTE_S and isinstance(problem, ReportRefused) and problem.quota:
                    used_up = Pulled(state.app, report.value, span, problem=str(problem), again_ms=again_ms)
                    await note(self.store, used_up, now_ms, QUOTA)
                state = msgspec.structs.replace(state, problem=f"{problem} {state.problem}".rstrip(), again_ms=again_ms)
                await self._note(state)
                return state
            if rows < 0:
                halves = window.halves()
                if not halves:
                    sentence = f"A second of {report.value} has {self.full:,} rows or more: some are out of reach."
                    state = msgspec.structs.replace(state, problem=sentence)
                rest, rows = (*halves, *rest), 0
            state = msgspec.structs.replace(
                state, pending=rest, rows=state.rows + rows, taken=state.taken + taken, calls=state.calls + 1
            )
            await self._note(state)
            shown(state)
        return state

    async def _note(self, state: Pulled) -> None:
        if self.kind:
            await note(self.store, state, self.clock.now_ms(), self.kind)

    async def _used_up(self, report: PulledReport) -> Pulled | None:
        """Return how the quota of a report was used up, if it is: by a pull of any kind and span."""
        now_ms = self.clock.now_ms()
        noted = await standing(self.store, self.plan.app, QUOTA)
        return next((one for one in noted if one.report == report.value and one.again_ms > now_ms), None)

    def _left(self, report: str, pending: Sequence[PullWindow], first_s: int) -> tuple[tuple[PullWindow, ...], str]:
        """Return what may be pulled of some windows, and why the rest may not."""
        reached = [PullWindow(max(one.begin_s, first_s), one.end_s) for one in pending if one.end_s > first_s]
        left = [part for window in reached for part in self.forgotten.without(window)]
        problems = []
        if lost_s := _seconds(pending) - _seconds(reached):
            problems.append(f"{_days_of(report, lost_s)} out of reach: reports go back {LOOKBACK_DAYS} days.")
        if left_s := _seconds(reached) - _seconds(left):
            why = "what was received live then is remembered no longer, and would be sent a second time."
            problems.append(f"{_days_of(report, left_s)} left out: {why}")
        return tuple(left), " ".join(problems)

    async def _window(self, report: PulledReport, window: PullWindow, read: Read) -> tuple[int, int]:
        """Pull one window. Returns -1 rows for one that is full: the rest of it was left out."""
        folder = self.data_dir / FOLDER
        private_directory(folder)
        self._check_room(report, folder)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = Path(place) / f"{report.value}.csv"
            try:
                private_file(path)
                await self._save(pull_request(self.plan.account, report, window), report, path)
            except OSError as problem:
                # Each try costs a call of the quota: not soon again.
                sentence = f"{report.value} does not fit into {folder}: {problem.strerror}. Free space on its disk."
                raise ReportRefused(sentence, AGAIN_S) from problem
            file = local_file(path)
            file = msgspec.structs.replace(file, name=f"{report.value} of {window.text}")
            if await asyncio.to_thread(count_rows, file, self.full) >= self.full:
                return -1, 0
            return await read(report, file)

    def _check_room(self, report: PulledReport, folder: Path) -> None:
        """Raise `ReportRefused` where a report would hardly fit: to ask for it costs a call of the quota."""
        if (room := self.room(folder)) < LEAST_ROOM:
            free = f"its disk has {room / 1e6:,.1f} MB left. Free space."
            raise ReportRefused(
                f"{report.value} is not asked for, as it has to fit into {folder}, and {free}", MINUTE_S
            )

    def _clear(self) -> None:
        """Delete what a process that was killed has left behind. Files have the machine's time."""
        for place in (self.data_dir / FOLDER).glob("*"):
            with suppress(OSError):
                if place.stat().st_mtime < time.time() - LEFT_S:
                    shutil.rmtree(place, ignore_errors=True)

    async def _save(self, request: HttpRequest, report: PulledReport, path: Path) -> None:
        """Save an answer, after its redirects. The token goes to AppsFlyer's API alone."""
        for _ in range(REDIRECTS):
            async with self.download.open(request, public=not self.plan.account.origin) as answer:
                if answer.status in {301, 302, 303, 307, 308} and (location := answer.headers.get("location")):
                    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
                    request = HttpRequest("GET", urljoin(request.url, location), headers, b"")
                    continue
                head, size = b"", 0
                with path.open("wb") as file:
                    async for piece in answer.pieces():
                        file.write(piece)
                        size += len(piece)
                        head = head if len(head) >= HEAD_BYTES else head + piece[:HEAD_BYTES]
                if head.startswith(GZIP):
                    head = await asyncio.to_thread(_unpack, path, report)
                response = HttpResponse(answer.status, answer.headers, head[:HEAD_BYTES])
                check_pulled(response, report.value, self.clock.now_ms() // 1000)
                length = answer.headers.get("content-length", "")
                if length.isdecimal() and int(length) != size:
                    raise ReportRefused(f"The answer for {report.value} broke off: it is asked again.", 60.0)
                return
        raise ReportRefused(f"AppsFlyer redirects {report.value} without end: check base_url.")


def _unpack(path: Path, report: PulledReport) -> bytes:
    """Unpack an answer that is compressed though none was asked for. Returns its beginning.

    The object store behind a signed address has files as they were put there.
    """
    with tempfile.TemporaryFile(dir=path.parent) as packed:
        with path.open("rb") as file:
            shutil.copyfileobj(file, packed)
        packed.seek(0)
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(unpacked(packed, report.value), file)
        except (EOFError, zlib.error):
            raise ReportRefused(f"The answer for {report.value} broke off: it is asked again.", 60.0) from None
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def count_rows(file: RawFile, most: int) -> int:
    """Return how many rows a report has, up to `most`. A line break within a value counts as one more."""
    n = -1
    with Path(file.key).open("rb") as lines:
        for _ in lines:
            n += 1
            if n >= most:
                break
    return n


def taking(plan: PullPlan, accept: Accept, progress: Progress, clock: Clock) -> Read:
    """Return how the rows of a report get into the inbox."""
    taker = RowTaker(plan.app, Source.PULL, accept, clock, rate=plan.rate)

    async def read(report: PulledReport, file: RawFile) -> tuple[int, int]:
        with closing(progress.counting(by_attribution=plan.by_attribution)) as equal:
            rows = RawRows(file, UTC_TIMES, report_named(report.value))
            done: Taken = await taker.take(file.name, rows, equal)
        return done.rows, done.taken + done.bad

    return read


def _seconds(windows: Iterable[PullWindow]) -> int:
    return sum(window.end_s - window.begin_s for window in windows)


def _days_of(report: str, seconds: int) -> str:
    """Return some time of a report in words, as days rounded up."""
    n = -(-seconds // DAY_S)
    return plural(n, f"day of {report} is", f"days of {report} are")


def _covers(outer: PullWindow, inner: PullWindow) -> bool:
    """Whether a run goes on with what another one has left: it begins at the same moment, or within it."""
    return outer.begin_s <= inner.begin_s <= outer.end_s <= inner.end_s


async def note(store: Store, state: Pulled, now_ms: int, kind: str = PULL) -> None:
    """Keep how the pull of a report stands."""
    state = msgspec.structs.replace(state, at_ms=now_ms)
    await store.put_state(f"{kind} {state.app} {state.report}", msgspec.json.encode(state))


async def standing(store: Store, app: str, kind: str = PULL) -> Sequence[Pulled]:
    """Return how the reports of an app stand."""
    return list(readable(await store.states(f"{kind} {app} "), msgspec.json.Decoder(Pulled).decode).values())
