"""Read files without taking them: what they hold, and what would become of it.

Times are shown under each assumption of their zone, because a wrong one makes every event another: Amplitude would have
it twice, and nothing can be deleted there. Amplitude bills a person for each month in which events lie
(https://amplitude.com/docs/billing-use/mtu-guide, read 2026-11-27).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import compress, repeat
from math import fsum
from typing import Final

from msgspec import Struct, field

from flybridge.appsflyer.amounts import reported_amount
from flybridge.appsflyer.raw_report import TAKEN, Report
from flybridge.errors import FlybridgeError
from flybridge.flow import Flow
from flybridge.history.column_prospects import Prospects
from flybridge.history.equal_rows import EqualRows, person_of
from flybridge.history.progress import Progress
from flybridge.history.raw_rows import RawRows
from flybridge.history.row_times import RowTimes
from flybridge.history.rows import BadRow, RawRow, Zone, dated, happened_ms, is_of_app, is_path_of_app
from flybridge.history.survey_outcomes import DUPLICATE, SENT, MappedPage
from flybridge.history.survey_page import RowPage, WholeRow, page_of_block, page_of_rows
from flybridge.history.take import OTHER_APPS, REVISED, letter_of
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import DAY_MS, Envelope, Media, OutcomeKind, Source, day_of
from flybridge.store.core.forgetting import BEFORE_REQUEST
from flybridge.store.protocol import Store

PAGE: Final = 2000
"""How many rows are counted together."""
SHOWN: Final = 20
"""How many bad rows are named."""

GONE: Final = f"{OutcomeKind.FORGOTTEN.word}: {BEFORE_REQUEST}"
"""What becomes of a row about a person who is forgotten."""

SurveyedRow = RowTimes | Prospects | RawRow | BadRow


class Span(Struct):
    """The first and the last time of events, under one assumption of the time zone."""

    zone: str
    first: str = ""
    last: str = ""
    ambiguous: int = 0


class Survey(Struct):
    """What files hold. `outcomes` are those of the rows that are taken, by report and outcome; `months` and `revenue`
    are of those that are sent, or held until they can be.

    `unmarked` files do not say in which zone their times are. `problems` are why files can't be read, or not to their
    ends.
    """

    files: int = 0
    unmarked: int = 0
    rows: int = 0
    bad: int = 0
    first_bad: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    months: dict[str, int] = field(default_factory=dict)
    revenue: dict[str, float] = field(default_factory=dict)
    first_day: str = ""
    last_day: str = ""
    problems: list[str] = field(default_factory=list)


class Surveyor:
    """Surveys the files of one app. Without a `flow` only what an import has to know beforehand is found out.

    `store` knows which events were filed before, who is forgotten, and whose users Amplitude has shown. Whom a row is
    about its columns don't prove: where people are forgotten, rows are read and mapped whole, and where users are
    known, those that do not name their own. Where events go from Amplitude to AppsFlyer, so are those that came there
    from a server.
    """

    def __init__(
        self,
        app: str,
        progress: Progress,
        now_ms: int,
        flow: Flow | None = None,
        store: Store | None = None,
        *,
        app_id: str = "",
    ) -> None:
        self._app, self._app_id, self._progress, self._now_ms = app, app_id, progress, now_ms
        self._flow, self._store = flow, store
        self._has_forgotten = self._has_sightings = False
        self._is_revised: Callable[[RawRow], bool] | None = None
        self._shown: dict[bytes, int] = {}  # keys of forgotten people that rows have shown
        self._survey = Survey()
        self._left_out = Counter[str]()
        self._outcomes = Counter[tuple[Report, str]]()
        self._revenue: dict[str, list[float]] = {}
        self._times: dict[str, tuple[int, int]] = {}

    async def prospects(
        self, rows: RawRows, rules: Rules, equal: EqualRows, *, whole: bool = False
    ) -> Iterator[Prospects | RawRow | BadRow]:
        """Return the rows of a file, of which no more is read than it takes to say what would become of them.

        With `whole`, all of each row is read.
        """
        if self._store is not None and not self._survey.files:
            self._has_forgotten = await self._store.has_forgotten()
            self._has_sightings = await self._store.has_sightings()
        if self._has_forgotten or whole:
            return iter(rows)
        has_streams = self._flow is not None and self._flow.has_streams(self._app)
        return rows.prospects(rules, equal.names, reads_held=self._has_sightings, reads_of_servers=has_streams)

    def pass_over(self, problem: FlybridgeError) -> None:
        """Note a file that is not read, and why."""
        self._survey.files += 1
        self._survey.problems.append(str(problem))

    async def read(
        self,
        of: RawRows,
        rows: Iterable[SurveyedRow],
        equal: EqualRows,
        zone: Zone | None = None,
        *,
        is_revised: Callable[[RawRow], bool] | None = None,
    ) -> int:
        """Read these rows of one file. One that can't be read to its end is noted, and one whose zone is `zone`.

        `is_revised` says of a row that is read whole whether it was taken before with another amount. Returns how many
        rows were read.
        """
        page, before = list[WholeRow](), self._survey.rows
        self._is_revised = is_revised
        self._survey.files += 1
        try:
            await self._read(of, rows, page, equal)
        except FlybridgeError as problem:
            self._survey.problems.append(str(problem))
        self._survey.unmarked += zone is not None and of.zone is zone
        await self._count(page_of_rows(page), equal, of.zone.name)
        return self._survey.rows - before

    async def _read(self, of: RawRows, rows: Iterable[SurveyedRow], page: list[WholeRow], equal: EqualRows) -> None:
        """Count rows page by page. Those that were not counted yet are left in `page`."""
        survey, name = self._survey, of.file.name
        is_of_other = bool(self._app_id) and not is_path_of_app(name, self._app_id)
        for row in rows:
            n = row.rows if isinstance(row, RowTimes | Prospects) else 1
            survey.rows += n
            if is_of_other:
                self._left_out[OTHER_APPS] += n
            elif isinstance(row, RowTimes):
                self._widen(of.zone.name, row.first_ms, row.last_ms)
                self._progress.note_conversions(row.conversions)
            elif isinstance(row, Prospects):
                await self._count(page_of_rows(page), equal, of.zone.name)
                page.clear()
                whole = {place: read for place, one in row.read.items() if (read := self._taken(name, one, equal))}
                await self._count(page_of_block(row, whole), equal, of.zone.name)
            elif (read := self._taken(name, row, equal)) is not None:
                page.append(read)
                if len(page) == PAGE:
                    await self._count(page_of_rows(page), equal, of.zone.name)
                    page.clear()

    def _taken(self, name: str, row: RawRow | BadRow, equal: EqualRows) -> WholeRow | None:
        """Return a row that an import takes; None of one that it leaves out, or that is broken."""
        if isinstance(row, BadRow):
            self._survey.bad += 1
            self._show(name, row)
        elif self._app_id and not is_of_app(row.fields, self._app_id):
            self._left_out[OTHER_APPS] += 1
        elif row.report not in TAKEN:
            self._left_out[row.report.word] += 1
        elif self._is_revised is not None and self._is_revised(row):
            self._left_out[REVISED] += 1
        else:
            return self._whole(name, row, equal)
        return None

    def _whole(self, name: str, row: RawRow, equal: EqualRows) -> WholeRow:
        if isinstance(undated := dated(row), BadRow):
            self._show(name, undated)
            return WholeRow(row.report, letter_of(name, undated))
        fields = row.fields
        revenue, currency = fields.get("event_revenue"), fields.get("event_revenue_currency")
        identity, ms, person = equal.identity(fields), happened_ms(fields), person_of(fields)
        return WholeRow(row.report, row, identity, ms, None if person is None else hash(person), revenue, currency)

    def _widen(self, zone: str, first_ms: int, last_ms: int) -> None:
        first, last = self._times.get(zone, (first_ms, last_ms))
        self._times[zone] = min(first, first_ms), max(last, last_ms)

    def _show(self, name: str, row: BadRow) -> None:
        if len(self._survey.first_bad) < SHOWN:
            self._survey.first_bad.append(f"{name}, line {row.number}: {row.problem}")

    async def _count(self, page: RowPage, equal: EqualRows, zone: str) -> None:
        if times := [ms for ms in page.times if ms is not None]:
            self._widen(zone, min(times), max(times))
        self._progress.note_conversions(
            [
                (person, ms)
                for identity, person, ms in zip(page.identities, page.persons, page.times, strict=True)
                if identity is None and person is not None and ms is not None
            ]
        )
        if self._flow is not None:
            self._count_sent(await self._map(self._flow, page, equal))

    def _count_sent(self, page: RowPage) -> None:
        """Count what rows that are sent, or wait to be, add up to."""
        days = {(person, (ms or 0) // DAY_MS) for person, ms in zip(page.persons, page.times, strict=True)}
        self._progress.note_months({(person, _month(day)) for person, day in days if person is not None})
        for revenue, currency in zip(page.revenues, page.currencies, strict=True):
            if revenue:
                self._add((currency or "").upper(), revenue)

    async def _map(self, flow: Flow, page: RowPage, equal: EqualRows) -> RowPage:
        """Count what becomes of rows. Return those that are sent, or wait to be."""
        ordinals = equal.ordinals_of(page.identities)
        envelopes = [
            self._envelope(row.read, ordinal)
            for row, ordinal in zip(page.rows, ordinals, strict=True)
            if isinstance(row, WholeRow)
        ]
        mapped = flow.filings(envelopes) if self._has_forgotten else flow.prospects(envelopes)
        if self._has_forgotten and self._store is not None:  # and all rows are read whole
            gone = await self._store.are_forgotten(mapped, self._shown)
            self._outcomes.update((row.report, GONE) for row in compress(page.rows, gone) if isinstance(row, WholeRow))
            left = [not is_gone for is_gone in gone]
            page, ordinals, mapped = page.only(left), list(compress(ordinals, left)), list(compress(mapped, left))
        rows = MappedPage(page, ordinals, mapped)
        known, matched = await self._known(rows)
        met = self._progress.surveyed.are_met(*rows.marks())
        again = [is_known or is_met for is_known, is_met in zip(known, met, strict=False)]
        outcomes = rows.outcomes()
        for (one, is_again, is_matched), n in Counter(zip(outcomes, again, matched, strict=False)).items():
            self._outcomes[one.report, DUPLICATE if is_again else SENT if is_matched else one.outcome] += n
        return page.only([one.is_sent and not is_again for one, is_again in zip(outcomes, again, strict=True)])

    def _envelope(self, read: RawRow | bytes, ordinal: int) -> Envelope:
        if isinstance(read, RawRow):
            return Envelope(self._app, Source.FILE, Media.JSON, self._now_ms, read.body, ordinal=ordinal)
        return Envelope(self._app, Source.FILE, Media.ROW, self._now_ms, read)

    async def _known(self, rows: MappedPage) -> tuple[Iterable[bool], Iterable[bool]]:
        """Return which were filed before, and of which only the store knows the user."""
        if self._store is None:
            return repeat(False), repeat(False)
        filings = rows.filings()
        known = await self._store.are_known(filings, self._now_ms)
        return known, await self._store.are_matched(filings) if self._has_sightings else repeat(False)

    def _add(self, currency: str, amount: str) -> None:
        if (found := _amount(amount, currency)) is None:
            return
        currency = currency or "(no currency)"
        self._revenue.setdefault(currency, []).append(found)
        sums = self._revenue[currency]
        if len(sums) > PAGE:
            sums[:] = [fsum(sums)]

    def finish(self, zones: Sequence[Zone]) -> Survey:
        """Return what was found."""
        survey = self._survey
        survey.left_out = dict(self._left_out)
        found = {(report.word, outcome): n for (report, outcome), n in self._outcomes.items()}
        for (report, outcome), n in sorted(found.items()):
            survey.outcomes.setdefault(report, {})[outcome] = n
        survey.months = self._progress.months() if self._flow is not None else {}
        survey.revenue = {currency: fsum(sums) for currency, sums in sorted(self._revenue.items())}
        ambiguous = {zone.name: zone.ambiguous for zone in zones}
        survey.spans = [
            Span(zone, _text(first), _text(last), ambiguous.get(zone, 0))
            for zone, (first, last) in sorted(self._times.items())
        ]
        if self._times:
            survey.first_day = day_of(min(first for first, _ in self._times.values()))
            survey.last_day = day_of(max(last for _, last in self._times.values()))
        return survey


_amount: Final = lru_cache(4096)(reported_amount)  # prices repeat


@lru_cache(1024)
def _month(day: int) -> int:
    """Return the month in which a day since 1970 lies, as `Progress.note_months` has it."""
    text = day_of(day * DAY_MS)
    return int(text[:4]) * 12 + int(text[5:7]) - 1


def _text(ms: int) -> str:
    seconds, rest = divmod(ms // 1000, 60)
    return f"{day_of(ms)} {seconds // 60 % 24:02}:{seconds % 60:02}:{rest:02}"
