"""Import files of raw data: survey them, then take them, those of conversions first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.raw_report import ORDER, TAKEN, Report, report_named
from flybridge.clock import Clock
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.flow import Flow
from flybridge.history.column_prospects import Prospects
from flybridge.history.files import RawFile
from flybridge.history.locker_folders import unversioned
from flybridge.history.progress import Progress, written
from flybridge.history.raw_rows import RawRows
from flybridge.history.revised import FormerRows
from flybridge.history.row_times import RowTimes
from flybridge.history.rows import BadRow, RawRow, Zone, dated, happened_ms
from flybridge.history.survey import Survey, SurveyedRow, Surveyor
from flybridge.history.take import Accept, RowTaker, Taken, Waits
from flybridge.insight.question import day_asked
from flybridge.records import DAY_MS, Source
from flybridge.store.protocol import Store

PROGRESS: Final = "imports.db"
SHOWN: Final = 500
"""After how many rows it is shown how far a file was read."""
ATTRIBUTION: Final = (
    "The app's route is `attribution`: Amplitude's Attribution API matches an event with what its user does within 72 "
    "hours of reception and sets today's properties, so that it can't take history."
)


Shown = Callable[[RawFile, int, int], None]
"""Shows how far a file was read: up to which byte, and how many of its rows."""


class ImportPlan(Struct, frozen=True):
    """What is imported. `from_ms` and `until_ms` bound the times of the rows; `zone` is that of times without one.

    `former` are files of which `files` have a later version.
    """

    app: str
    app_id: str
    files: Sequence[RawFile]
    zone: str | None = None
    from_ms: int = 0
    until_ms: int = 2**62
    by_attribution: bool = False
    again: bool = False
    rate: float = 0.0
    former: Sequence[RawFile] = ()


def day_span(from_day: str | None, to_day: str | None) -> tuple[int, int]:
    """Return the first millisecond of a day and that after another."""
    start = day_asked("--from", from_day) * DAY_MS if from_day else 0
    end = (day_asked("--to", to_day) + 1) * DAY_MS if to_day else 2**62
    if end <= start:
        raise ConfigError("--to", f"{to_day} is before {from_day}.", "Name the later day last.")
    return start, end


@contextmanager
def opened_import(plan: ImportPlan, data_dir: Path, clock: Clock) -> Iterator[HistoryImport]:
    """Open an import, and close it at the end. Raises `FlybridgeError` if it can't be noted how far files are read."""
    with written(data_dir / PROGRESS), closing(HistoryImport(plan, data_dir, clock)) as importing:
        yield importing


class HistoryImport:
    """One import. `progress` is where it is noted how far the files were read."""

    def __init__(self, plan: ImportPlan, data_dir: Path, clock: Clock) -> None:
        self._plan, self._clock = plan, clock
        self._zone = Zone(plan.zone) if plan.zone else None
        self._progress = Progress(data_dir / PROGRESS)

    def close(self) -> None:
        """Close what was opened."""
        self._progress.close()

    def ordered(self) -> list[tuple[RawFile, Report | None]]:
        """Return the files in the order in which they are read, and the report that the name of each says.

        Organic and retargeting reports come before those whose rows may be copies of theirs.
        """
        named = [(file, report_named(file.name, self._plan.app_id)) for file in self._plan.files]
        return sorted(
            named,
            key=lambda one: (
                ORDER.index(one[1]) if one[1] in TAKEN and one[1] is not None else len(ORDER),
                "retarget" not in one[0].name.lower(),
                one[0].name,
            ),
        )

    async def survey(
        self, flow: Flow | None = None, store: Store | None = None, shown: Shown = lambda *_: None
    ) -> Survey:
        """Read the files without taking them. With a `flow` it says what would become of each row.

        Without one, only what an import has to know beforehand is found out: the span of time, and the last conversion
        of each person.
        """
        surveyor = Surveyor(self._plan.app, self._progress, self._clock.now_ms(), flow, store, app_id=self._plan.app_id)
        rules = flow.rules_of(self._plan.app) if flow is not None else None
        for file, named in self.ordered():
            rows = RawRows(file, self._zone, named)
            try:
                earlier = await self._former_rows(file, named) if flow is not None else None
            except FlybridgeError as problem:
                surveyor.pass_over(problem)
                continue
            with closing(self._progress.counting(by_attribution=self._plan.by_attribution)) as equal:
                read: Iterable[SurveyedRow] = rows
                if rules is not None:
                    read = await surveyor.prospects(rows, rules, equal, whole=earlier is not None)
                elif flow is None and not self._is_bounded:
                    read = rows.timed()
                read = _counted(rows, read, shown)
                if self._is_bounded:
                    read = self._bounded(read)
                await surveyor.read(
                    rows, read, equal, self._zone, is_revised=None if earlier is None else earlier.has_other_amount
                )
        return surveyor.finish([self._zone] if self._zone else [])

    @property
    def _is_bounded(self) -> bool:
        """Whether only some days are wanted."""
        return self._plan.from_ms > 0 or self._plan.until_ms < 2**62

    def _bounded(self, rows: Iterable[SurveyedRow]) -> Iterator[SurveyedRow]:
        for row in rows:
            if isinstance(row, Prospects):
                yield row.only(self._is_within, self._ends)
            elif isinstance(row, RowTimes) or self._ends(row):
                yield row

    def _ends(self, row: RawRow | BadRow) -> bool:
        """Whether something becomes of a row: a dead letter of one without a time, whichever days are wanted."""
        return not isinstance(row, RawRow) or self._wanted(row) or isinstance(dated(row), BadRow)

    def _is_within(self, ms: int) -> bool:
        return self._plan.from_ms <= ms < self._plan.until_ms

    def _wanted(self, row: RawRow) -> bool:
        if not self._is_bounded:
            return True
        ms = happened_ms(row.fields)
        return ms is not None and self._is_within(ms)

    def unread(self) -> list[RawFile]:
        """Return the files that are not imported yet, or are imported again."""
        return [file for file, _ in self.ordered() if not self._is_imported(file)]

    def _is_imported(self, file: RawFile) -> bool:
        return not self._plan.again and self._progress.reached(self._plan.app, *self._noted(file)).done

    def _noted(self, file: RawFile) -> tuple[str, str]:
        """Return the name and the mark under which it is noted how far a file was read."""
        plan = self._plan
        # The days are part of it: other rows of the same file are another import.
        span = "" if not self._is_bounded else f"#{plan.from_ms}-{plan.until_ms}"
        return file.name + span, f"{file.mark} {self._zone.name if self._zone else ''}"

    async def take(self, accept: Accept, shown: Shown = lambda *_: None, waits: Waits = lambda _: None) -> list[Taken]:
        """Take the files. What can't be read to its end is said in `Taken.problem`, and goes on when it is repeated.

        `waits` is called when the inbox begins to take nothing.
        """
        plan = self._plan
        done = []
        for file, named in self.ordered():
            if self._is_imported(file):
                done.append(Taken(file.name, known=True))
                continue
            name, mark = self._noted(file)
            progress = self._progress.begin(plan.app, name, mark, by_attribution=plan.by_attribution, again=plan.again)
            rows = RawRows(file, self._zone, named, progress.start)
            taken = Taken(file.name)

            def told(now: Taken, rows: RawRows = rows) -> None:
                nonlocal taken
                taken = now
                shown(rows.file, rows.position, now.rows)

            try:
                taker = self._taker(accept, waits, await self._former_rows(file, named))
                taken = await taker.take(file.name, rows, progress.equal, told, progress.save)
                progress.finish()
            except FlybridgeError as problem:
                taken.problem = str(problem)
            done.append(taken)
        return done

    async def _former_rows(self, file: RawFile, named: Report | None) -> FormerRows | None:
        """Return the rows of a file's earlier versions that were imported; None if there are none.

        Raises `FlybridgeError` if they can't be read.
        """
        former = self._former(file) if named is Report.AD_REVENUE else []
        if not former:
            return None
        earlier = FormerRows(self._progress, file.key.rpartition("/")[0])
        await earlier.read(former, self._zone)
        return earlier

    def _former(self, file: RawFile) -> list[RawFile]:
        """Return the files of earlier versions of a file's folder that were imported."""
        place = unversioned(file.name.rpartition("/")[0])
        return [
            one
            for one in self._plan.former
            if unversioned(one.name.rpartition("/")[0]) == place
            and self._progress.reached(self._plan.app, *self._noted(one)).end
        ]

    def _taker(self, accept: Accept, waits: Waits, earlier: FormerRows | None) -> RowTaker:
        """Return what takes the rows of a file; `earlier` are those of its earlier versions that were imported."""
        plan = self._plan
        return RowTaker(
            plan.app,
            Source.FILE,
            accept,
            self._clock,
            app_id=plan.app_id,
            is_newest=self._progress.is_newest,
            wanted=self._wanted,
            is_revised=earlier.has_other_amount if earlier is not None else None,
            rate=plan.rate,
            waits=waits,
        )


def _counted(of: RawRows, rows: Iterable[SurveyedRow], shown: Shown) -> Iterator[SurveyedRow]:
    """Yield rows of a file, and show how far it was read."""
    read, due = 0, SHOWN
    for row in rows:
        yield row
        read += row.rows if isinstance(row, RowTimes | Prospects) else 1
        if read >= due:
            due = read + SHOWN
            shown(of.file, of.position, read)


def refused(route: str) -> str:
    """Return why history can't be imported on a route; empty if it can."""
    return ATTRIBUTION if route == "attribution" else ""


def overlap(counts: Sequence[tuple[str, str]], first_day: str, last_day: str, forgotten_day: str) -> str:
    """Return which of these days were received live and are remembered no longer; empty if none was.

    `counts` are (source, day) of what was received; keys of pushed events are remembered after `forgotten_day`.
    """
    pushed = [day for source, day in counts if source == "push"]
    if not pushed or not first_day:
        return ""
    first, last = max(min(pushed), first_day), min(max(pushed), last_day, forgotten_day)
    return f"{first} to {last}" if first <= last else ""
