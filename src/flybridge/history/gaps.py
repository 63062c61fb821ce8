"""Gaps: what AppsFlyer has and flybridge does not, and the other way round, by media source, with the likely causes.

AppsFlyer has reports (Pull API) and the files of a Data Locker. A row is missing if its event was never filed: as
pushed, read from a file, or anything else. What the rules would leave out is not missing, nor is what was forgotten.
AppsFlyer does not push a message again, so that each outage leaves a gap; with `fill` exactly the missing rows are
taken.

The other way is by day: of what was delivered to Amplitude, what AppsFlyer's side does not have (see `surplus`).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Final, TypeVar

import msgspec
from msgspec import Struct, field

from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.raw_report import TAKEN, report_named
from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.flow import Flow
from flybridge.history.column_keys import KeyedRow, KeyOwner
from flybridge.history.equal_rows import EqualRows, TrialCount
from flybridge.history.files import RawFile
from flybridge.history.gap_causes import Arrival, arrival_in, arrival_since, cause_of
from flybridge.history.gap_report import FOUND, Gap, GapReport, last_found
from flybridge.history.locker_folders import Locker
from flybridge.history.object_reader import StoreWatch
from flybridge.history.progress import Progress
from flybridge.history.pull import HistoryPull, PullPlan
from flybridge.history.raw_rows import RawRows
from flybridge.history.revised import FormerRows
from flybridge.history.row_numbers import RowNumbers
from flybridge.history.rows import UTC_TIMES, BadRow, RawRow, happened_ms, is_of_app
from flybridge.history.source_counts import SourceCounts
from flybridge.history.surplus import FINAL_DAYS, LOCKER_WHOLE, WHOLE, Compared, absent_hours, find_surplus
from flybridge.history.take import Accept, RowTaker, pages_beside
from flybridge.history.uptime import Uptime
from flybridge.records import DAY_MS, HOUR_MS, Apply, Envelope, Filing, Media, Source, day_of
from flybridge.store.performance import source_label
from flybridge.store.protocol import Store

KIND: Final = "gaps"
WRITTEN_HOURS: Final = 6
"""Within how many hours a Data Locker has what came, see `locker`."""
LATE_DAYS: Final = 2
"""How many days after an event its rows in a Data Locker are looked for."""
RESUMED: Final = (
    "what the search before this one had compared of it when it ended early is not compared again. Search once more to "
    "compare all of it."
)
_UNREAD: Final = Envelope("", Source.PULL, Media.JSON, 0, b"")

Row = TypeVar("Row", bound=KeyedRow | RawRow)


class Found(Struct):
    """What was found so far."""

    rows: int = 0
    known: int = 0
    missing: int = 0
    filled: int = 0
    gaps: SourceCounts = field(default_factory=SourceCounts)
    unreadable: Counter[str] = field(default_factory=Counter)

    def count_unreadable(self, report: str) -> None:
        """Count a row of a report that can't be read."""
        self.unreadable[report] += 1


class GapFinder:
    """Compares AppsFlyer's side with what was filed. With an `accept` it takes what is missing.

    `day` returns the day of a time in the app's zone, as performance counts it; `platform` is what the app runs on.
    `shown` takes how many rows were compared so far.
    """

    def __init__(
        self,
        plan: PullPlan,
        flow: Flow,
        store: Store,
        *,
        progress: Progress,
        clock: Clock,
        uptime: Uptime,
        day: Callable[[int], int],
        platform: str,
        accept: Accept | None = None,
        shown: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._shown = shown
        self._plan, self._flow, self._store, self._progress = plan, flow, store, progress
        self._clock, self._uptime, self._accept, self._day = clock, uptime, accept, day
        self._owner = KeyOwner(plan.app, plan.account.app_id, platform)
        self._found = Found()
        self._earlier: FormerRows | None = None

    async def run(self, pull: HistoryPull, from_ms: int, until_ms: int) -> GapReport:
        """Compare a span of time with the Pull API. What could not be compared is said in `problems`."""
        before = next(iter(await last_found(self._store, self._plan.app)), None)

        async def read(report: PulledReport, file: RawFile) -> tuple[int, int]:
            arrival = arrival_since(before, report.value)
            return await self._compare(report.value, Source.PULL, [file], (0, 2**62), arrival)

        begun_ms = self._clock.now_ms()
        done = await pull.run(from_ms, until_ms, read)
        problems = [one.problem for one in done if one.problem]
        resumed = [one.report for one in done if one.report in pull.resumed and not one.problem]
        notes = [f"{report}: {RESUMED}" for report in resumed]
        whole = {one.report for one in done if not one.problem} - pull.resumed - set(self._found.unreadable)
        compared = Compared(whole, WHOLE, self._days(from_ms, until_ms), self._day(begun_ms) - FINAL_DAYS, begun_ms)
        return await self._end(from_ms, until_ms, problems, compared, notes)

    async def run_locker(self, locker: Locker, from_ms: int, until_ms: int) -> GapReport:
        """Compare a span of time with the files of a Data Locker."""
        problems, broken, met, watch = list[str](), set[str](), set[str](), StoreWatch(self._clock)
        begun_ms, read_ms = self._clock.now_ms(), _day_after(until_ms + LATE_DAYS * DAY_MS)
        first_day, last_day, app_id = day_of(from_ms), day_of(read_ms - DAY_MS), self._plan.account.app_id
        folders = await locker.listed(day_of(from_ms - DAY_MS))
        # What is older than the bucket keeps is gone, and of the first day that is left some may be.
        oldest_day = min((folder.day for folder in folders), default=first_day)
        kept_ms = from_ms if oldest_day < first_day else _day_after(time_ms(oldest_day) or 0)
        for folder in folders:
            if not first_day <= folder.day <= last_day or not folder.may_be_of(app_id):
                continue
            met.add(folder.report)
            files = sorted(folder.files, key=lambda file: file.key)
            watch.begin()
            self._earlier = FormerRows(self._progress, folder.place)
            try:
                await self._earlier.read(folder.former)
                await self._compare(folder.report, Source.LOCKER, files, (from_ms, until_ms), arrival_in(folder))
            except FlybridgeError as problem:
                problems.append(str(problem))
                broken.add(folder.report)
                if watch.is_over(problem):
                    broken.update(one.report for one in folders)
                    break
            else:
                watch.is_over(None)
        whole = met - broken - set(self._found.unreadable)
        compared = Compared(
            whole,
            LOCKER_WHOLE,
            self._days(kept_ms, until_ms),
            self._day(begun_ms) - FINAL_DAYS,
            begun_ms - WRITTEN_HOURS * HOUR_MS,
            read_ms,
            absent_hours(
                (folder for folder in folders if folder.may_be_of(app_id)), from_ms - DAY_MS, min(read_ms, begun_ms)
            ),
            self._begin,
        )
        return await self._end(from_ms, until_ms, problems, compared)

    def _begin(self, day: int) -> int:
        """Return when a day begins."""
        hours = range(day * DAY_MS - DAY_MS, day * DAY_MS + DAY_MS, HOUR_MS // 4)
        return hours[bisect_left(hours, day, key=self._day)]

    def _days(self, from_ms: int, until_ms: int) -> range:
        """Return the days that lie wholly within a span."""
        return range(self._day(from_ms - 1) + 1, self._day(until_ms))

    async def _end(
        self,
        from_ms: int,
        until_ms: int,
        problems: Sequence[str],
        compared: Compared,
        notes: Sequence[str] = (),
    ) -> GapReport:
        found = self._found
        bad = [
            f"{report}: {n:,} rows can't be read, and are not compared."
            if n > 1
            else f"{report}: 1 row can't be read, and is not compared."
            for report, n in sorted(found.unreadable.items())
        ]
        report = GapReport(
            self._plan.app,
            from_ms,
            until_ms,
            self._clock.now_ms(),
            found.rows,
            found.known,
            found.missing,
            found.filled,
            tuple(Gap(report, hour, cause, n, source) for (report, hour, cause), source, n in found.gaps.largest()),
            tuple(dict.fromkeys(problems)),
            await find_surplus(self._store, self._plan.app, self._progress, compared),
            (*notes, *bad),
            tuple(sorted(compared.reports)),
        )
        await self._store.put_state(f"{FOUND}{self._plan.app}", msgspec.json.encode(report))
        return report

    async def _compare(
        self, report: str, source: Source, files: Sequence[RawFile], span: tuple[int, int], arrival: Arrival
    ) -> tuple[int, int]:
        """Compare files whose equal rows are counted together. Returns how many rows there are, and were taken.

        Raises what is wrong with a file after all others were compared.
        """
        missing, doubtful = dict[str, RowNumbers](), dict[str, RowNumbers]()
        rows, whole, problems = 0, list[RawFile](), list[FlybridgeError]()
        with closing(self._counting()) as equal:
            for file in files:
                found, read = RowNumbers(), 0
                try:
                    keyed = self._keyed(self._raw(file, report, source))
                    rows_of_file = self._rows(source, keyed, span, partial(self._found.count_unreadable, report))
                    async for page in pages_beside(rows_of_file):
                        read += len(page)
                        self._shown(self._found.rows + rows + read)
                        found.update(await self._unknown(page, source, equal))
                except FlybridgeError as problem:
                    problems.append(problem)
                    continue
                rows, doubtful[file.name] = rows + read, found
                whole.append(file)
        # Few rows are, and only these are mapped.
        with closing(self._counting()) as equal:
            for file in whole if any(doubtful.values()) else ():
                wanted, lost = doubtful[file.name], missing.setdefault(file.name, RowNumbers())
                async for raw in pages_beside(self._rows(source, self._raw(file, report, source), span)):
                    counted = zip(raw, equal.ordinals([row.fields for row in raw]), strict=True)
                    doubted = [one for one in counted if one[0].number in wanted]
                    lost.update(await self._missing(report, source, doubted, arrival))
        self._found.known += rows - sum(map(len, missing.values()))
        self._found.rows += rows
        taken = await self._fill(report, source, whole, span, missing) if any(missing.values()) else 0
        if problems:
            raise problems[0]
        return rows, taken

    async def _fill(
        self,
        report: str,
        source: Source,
        files: Sequence[RawFile],
        span: tuple[int, int],
        missing: Mapping[str, RowNumbers],
    ) -> int:
        """Take the missing rows of files, if that is wanted. Returns how many there were."""
        taken = 0
        if self._accept is None:
            return taken
        with closing(self._counting()) as equal:
            for file in files:
                wanted = missing.get(file.name, RowNumbers())
                rows_of_file = self._rows(source, self._raw(file, report, source), span)
                taker = RowTaker(
                    self._plan.app,
                    source,
                    self._accept,
                    self._clock,
                    wanted=lambda row, wanted=wanted: row.number in wanted,  # type: ignore[misc]
                )
                done = await taker.take(file.name, rows_of_file, equal)
                taken += done.taken
        self._found.filled += taken
        return taken

    def _counting(self) -> TrialCount:
        return self._progress.counting(by_attribution=self._plan.by_attribution)

    def _raw(self, file: RawFile, report: str, source: Source) -> RawRows:
        return RawRows(file, UTC_TIMES, report_named(f"t={report}/" if source is Source.LOCKER else report))

    def _keyed(self, rows: RawRows) -> Iterable[KeyedRow | RawRow | BadRow]:
        # With two attributions of an event keys are others, which columns do not prove.
        return rows if self._plan.by_attribution else rows.keyed(self._owner)

    def _rows(
        self,
        source: Source,
        rows: Iterable[Row | BadRow],
        span: tuple[int, int],
        unreadable: Callable[[], None] = lambda: None,
    ) -> Iterator[Row]:
        """Yield the rows that are messages, of a Data Locker those of the app and span."""
        for row in rows:
            if isinstance(row, BadRow):
                unreadable()
                continue
            if row.report not in TAKEN:
                continue
            if source is Source.LOCKER:
                # A key is proved only of a row of the app.
                ms = row.ms if isinstance(row, KeyedRow) else happened_ms(row.fields)
                if ms is None or not span[0] <= ms < span[1]:
                    continue
                if isinstance(row, RawRow) and not is_of_app(row.fields, self._plan.account.app_id):
                    continue
            yield row

    async def _unknown(self, page: Sequence[KeyedRow | RawRow], source: Source, equal: EqualRows) -> set[int]:
        """Return the numbers of the rows whose events are not known, or may not be."""
        now_ms = self._clock.now_ms()
        identities = [equal.identity(row.fields) if isinstance(row, RawRow) else row.identity for row in page]
        counted = list(zip(page, equal.ordinals_of(identities), strict=True))
        envelopes = [self._envelope(row, source, n, now_ms) for row, n in counted if isinstance(row, RawRow)]
        mapped = iter(await asyncio.to_thread(self._flow.filings, envelopes))
        filings = [
            next(mapped)
            if isinstance(row, RawRow)
            else Filing(_UNREAD, Apply(), row.key, ordinal=0 if row.is_conversion else ordinal)
            for row, ordinal in counted
        ]
        self._progress.note_reported(filing.key for filing in filings if filing.key is not None)
        known = await self._store.are_known(filings, now_ms)
        return {row.number for row, is_known in zip(page, known, strict=True) if not is_known}

    def _envelope(self, row: RawRow, source: Source, ordinal: int, now_ms: int) -> Envelope:
        return Envelope(self._plan.app, source, Media.JSON, now_ms, row.body, ordinal=ordinal)

    async def _missing(
        self, report: str, source: Source, rows: Sequence[tuple[RawRow, int]], arrival: Arrival
    ) -> set[int]:
        """Return the numbers of the rows that were never filed, and count them."""
        now_ms = self._clock.now_ms()
        envelopes = [self._envelope(row, source, ordinal, now_ms) for row, ordinal in rows]
        filings = await asyncio.to_thread(self._flow.filings, envelopes)
        self._progress.note_reported(filing.key for filing in filings if filing.key is not None)
        known = await self._store.are_known(filings, now_ms)
        forgotten = await self._store.are_forgotten(filings)
        missing = set[int]()
        for (row, _), filing, is_known, is_forgotten in zip(rows, filings, known, forgotten, strict=True):
            if is_known or is_forgotten or not _counts(filing):
                continue
            if self._earlier is not None and self._earlier.has_other_amount(row):
                continue  # it would be sent a second time
            missing.add(row.number)
            ms = happened_ms(row.fields) or 0
            cause = cause_of(row.fields.get("media_source", ""), ms, arrival, self._uptime, now_ms)
            self._found.gaps.add((report, _hour(ms), cause), _source(row, filing))
        self._found.missing += len(missing)
        return missing


def _counts(filing: Filing) -> bool:
    """Whether a filing has the identity of an event: what is left out unseen has only that of its bytes."""
    return filing.key is not None and filing.key != filing.digest


def _source(row: RawRow, filing: Filing) -> str:
    """Return the media source of a row as performance counts it; of what is not counted as the row has it."""
    if filing.performance is not None:
        return filing.performance.dimensions.media_source
    return source_label(row.fields.get("media_source", ""))


def _day_after(ms: int) -> int:
    """Return the beginning of the next UTC day."""
    return ms - ms % DAY_MS + DAY_MS


def _hour(ms: int) -> str:
    return f"{day_of(ms)} {ms // HOUR_MS % 24:02}:00"
