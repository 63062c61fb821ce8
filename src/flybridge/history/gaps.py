"""Gaps: what AppsFlyer's reports have and flybridge does not, by report and hour, and the likely cause.

A row is missing if its event was never filed: as pushed, read from a file, or anything else. What the rules would leave
out is not missing. AppsFlyer does not push a message again, so that each outage leaves a gap; with `fill` exactly
the missing rows are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import msgspec
from msgspec import Struct, field

from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_pull import PullReport
from flybridge.appsflyer.raw_report import TAKEN, report_named
from flybridge.clock import Clock
from flybridge.flow import Flow
from flybridge.history.files import RawFile, RawRows
from flybridge.history.progress import EqualRows, Progress
from flybridge.history.pull import HistoryPull, Pulled, PullPlan
from flybridge.history.rows import UTC_TIMES, RawRow
from flybridge.history.take import Accept, RowTaker, Unsaved
from flybridge.history.uptime import Uptime
from flybridge.records import HOUR_MS, Envelope, Filing, Media, Source, day_of
from flybridge.store.protocol import Store

KIND: Final = "gaps"
FOUND: Final = "gaps-found "
PAGE: Final = 500
RESTRICTED: Final = "restricted"

OUTAGE: Final = "outage"
BEFORE: Final = "before_start"
SOURCE: Final = "restricted_source"
OTHER: Final = "not_pushed"
CAUSES: Final = {
    OUTAGE: "flybridge did not run, or its store was not to be reached",
    BEFORE: "it happened before flybridge ran for the first time",
    SOURCE: "the source forbids sharing, and reports have it where pushes do not",
    OTHER: "flybridge ran: the event is not selected in the Push API, or comes late from a device that was offline",
}


class Gap(Struct, frozen=True, order=True):
    """Missing events of one report and hour (UTC, of the events) with the same likely cause."""

    report: str
    hour: str
    cause: str
    missing: int


class GapReport(Struct, frozen=True):
    """What a search has found about an app. `known` rows were filed before; `filled` are those taken now."""

    app: str
    from_ms: int
    until_ms: int
    at_ms: int
    rows: int
    known: int
    missing: int
    filled: int
    gaps: tuple[Gap, ...] = ()
    problems: tuple[str, ...] = ()


class Found(Struct):
    """What was found so far."""

    rows: int = 0
    known: int = 0
    missing: int = 0
    filled: int = 0
    gaps: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class GapFinder:
    """Compares an app's reports with what was filed. With an `accept` it takes what is missing."""

    def __init__(
        self,
        plan: PullPlan,
        flow: Flow,
        store: Store,
        *,
        progress: Progress,
        clock: Clock,
        uptime: Uptime,
        accept: Accept | None = None,
    ) -> None:
        self._plan, self._flow, self._store, self._progress = plan, flow, store, progress
        self._clock, self._uptime, self._accept = clock, uptime, accept
        self._found = Found()

    async def run(self, pull: HistoryPull, from_ms: int, until_ms: int) -> GapReport:
        """Search a span of time. What could not be compared is said in `problems`."""
        done = await pull.run(from_ms, until_ms, self._read)
        found = self._found
        report = GapReport(
            self._plan.app,
            from_ms,
            until_ms,
            self._clock.now_ms(),
            found.rows,
            found.known,
            found.missing,
            found.filled,
            tuple(Gap(*key, n) for key, n in sorted(found.gaps.items())),
            tuple(one.problem for one in done if one.problem),
        )
        await self._store.put_state(f"{FOUND}{self._plan.app}", msgspec.json.encode(report))
        return report

    async def _read(self, report: PullReport, file: RawFile) -> tuple[int, int]:
        named = report_named(report.name)
        missing = set[int]()
        rows = 0
        with closing(self._progress.counting(by_attribution=self._plan.by_attribution)) as equal:
            page = list[RawRow]()
            for row in RawRows(file, UTC_TIMES, named):
                rows += 1
                if isinstance(row, RawRow) and row.report in TAKEN:
                    page.append(row)
                if len(page) == PAGE:
                    missing |= await self._missing(report.name, page, equal)
                    page.clear()
            missing |= await self._missing(report.name, page, equal)
        self._found.rows += rows
        if self._accept is None or not missing:
            return rows, 0
        taker = RowTaker(
            self._plan.app, Source.PULL, self._accept, self._clock, wanted=lambda row: row.number in missing
        )
        with closing(self._progress.counting(by_attribution=self._plan.by_attribution)) as equal:
            good = (row for row in RawRows(file, UTC_TIMES, named) if isinstance(row, RawRow))
            taken = await taker.take(file.name, good, Unsaved(equal))
        self._found.filled += taken.taken
        return rows, taken.taken

    async def _missing(self, report: str, rows: Sequence[RawRow], equal: EqualRows) -> set[int]:
        """Return the numbers of the rows that were never filed, and count them."""
        now_ms = self._clock.now_ms()
        envelopes = [
            Envelope(self._plan.app, Source.PULL, Media.JSON, now_ms, row.body, ordinal=equal.ordinal(row.fields))
            for row in rows
        ]
        filings = self._flow.filings(envelopes)
        known = await self._store.are_known(filings, now_ms)
        missing = set[int]()
        for row, filing, is_known in zip(rows, filings, known, strict=True):
            if is_known or not _counts(filing):
                self._found.known += 1
                continue
            missing.add(row.number)
            ms = time_ms(row.fields.get("event_time", "")) or 0
            self._found.gaps[report, _hour(ms), self._cause(row, ms)] += 1
        self._found.missing += len(missing)
        return missing

    def _cause(self, row: RawRow, ms: int) -> str:
        if self._uptime.began_ms and ms < self._uptime.began_ms:
            return BEFORE
        if not self._uptime.was_up(ms):
            return OUTAGE
        return SOURCE if row.fields.get("media_source", "").lower() == RESTRICTED else OTHER


def _counts(filing: Filing) -> bool:
    """Whether a filing has the identity of an event: what is left out unseen has only that of its bytes."""
    return filing.key is not None and filing.key != filing.digest


def _hour(ms: int) -> str:
    return f"{day_of(ms)} {ms // HOUR_MS % 24:02}:00"


async def last_found(store: Store) -> list[GapReport]:
    """Return what was found last, by app."""
    return [msgspec.json.decode(value, type=GapReport) for _, value in await store.states(FOUND)]


def unfinished(done: Sequence[Pulled]) -> bool:
    """Whether something of a pull is left to be done."""
    return any(one.pending or one.problem for one in done)
