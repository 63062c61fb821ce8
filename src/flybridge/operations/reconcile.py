"""Compare the counts of some days with the vendors', and keep what was found.

AppsFlyer is asked once for all days, Amplitude once for an event and day. An answer of Amplitude about a day that is
final is kept, and asked for again only if flybridge has delivered more of the event since.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct, field, structs

from flybridge.amplitude import dashboard
from flybridge.appsflyer.report import ReportRefused
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download
from flybridge.flow.filing import POSTBACKS
from flybridge.history.uptime import Uptime, read_uptime
from flybridge.insight import comparison
from flybridge.insight.compared_rows import family
from flybridge.insight.comparison import CONVERSIONS, DayComparison
from flybridge.insight.native import REASON as NATIVE
from flybridge.insight.never_came import Counted, unreadable_among
from flybridge.insight.reasons import NEVER_MAPPED
from flybridge.insight.reconcile import AmplitudeCount, DayEvidence, compare
from flybridge.insight.reconcile_revenue import CohortRevenue, RevenueEvidence, compare_revenue
from flybridge.mapping.restrictions import VIEW_RESTRICTED
from flybridge.operations.booked_events import BOOKED, COUNTED
from flybridge.operations.count_amplitude import AmplitudeCounter, CountRefused, QueryBudget
from flybridge.operations.count_appsflyer import (
    ORIGIN,
    Activity,
    AppsFlyerAnswer,
    count_activity,
    count_appsflyer,
)
from flybridge.operations.known_gaps import KnownGap, gaps_of, known_gap
from flybridge.operations.match_export import ExportFailed, ExportMatch, match_export
from flybridge.operations.read_raw_evidence import RawEvidence, RawReader
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.records import DAY_MS, HOUR_MS, OutcomeKind, PerformanceKind, day_of
from flybridge.store.figures import UNEXPLAINED_EVENTS, Count, CountedOn, DayReport, OutcomeCount, RestrictedCount
from flybridge.store.performance import OTHER, Slice, date_of
from flybridge.store.protocol import Store

FINAL_MS: Final = 48 * HOUR_MS
"""After the end of a day AppsFlyer changes its figures for so long."""

ANSWERS: Final = "answers"
"""The kind of day report that keeps what Amplitude has answered."""


class KeptAnswer(Struct):
    """What Amplitude has answered about an event on a day, and how many of it had been delivered by then."""

    at_ms: int
    delivered: int
    counts: dict[str, AmplitudeCount]


class KeptAnswers(Struct):
    """What Amplitude has answered about a day, by event: how many, and their revenue. A change of zone makes it
    worthless.
    """

    zone: str
    events: dict[str, KeptAnswer] = field(default_factory=dict)
    revenue: dict[str, KeptAnswer] = field(default_factory=dict)


class AmplitudeAnswer(Struct):
    """What Amplitude says of a day, by event: how many, and their revenue in millionths."""

    counts: dict[str, Mapping[str, AmplitudeCount]] = field(default_factory=dict)
    revenue: dict[str, Mapping[str, AmplitudeCount]] = field(default_factory=dict)


class Reconciler:
    """Compares the days of apps. `again` asks Amplitude also where an answer is kept."""

    def __init__(self, store: Store, budget: QueryBudget, download: Download, clock: Clock) -> None:
        self._store = store
        self._budget = budget
        self._download = download
        self._clock = clock

    async def run(self, plan: ReconcilePlan, first: int, last: int, *, again: bool = False) -> list[DayComparison]:
        """Compare these days, keep and return what was found. What a vendor does not answer is noted, and left out."""
        now_ms = self._clock.now_ms()
        evidence = await self._gather(plan, first, last)
        told = AppsFlyerAnswer({})
        if plan.account is not None:
            told = await count_appsflyer(plan, self._download, first, last)
        activity: Activity = {}
        by_name = ""
        if plan.chosen.reconcile_by_master and told.days:
            names = {day: _most_frequent(plan, evidence.counted[day]) for day in range(first, last + 1)}
            try:
                activity = await count_activity(plan, self._download, names)
            except ReportRefused as problem:
                by_name = f"In-app events were not compared by name with AppsFlyer: {problem}"
        raw = await self._raw(plan, evidence, first, last)
        searched, days = await gaps_of(self._store, plan.app), range(first, last + 1)
        gaps = {day: gap for day in days if searched and (gap := known_gap(searched, *span_of(plan, day)))}
        unreadable = self._unreadable_among(plan, evidence, raw, gaps, days)
        counter = AmplitudeCounter(plan, self._budget)
        found = []
        for day in days:
            together = _together(evidence.counted[day])
            notes = [problem for problem in (*told.problems, raw.problem, by_name, together) if problem]
            appsflyer = told.days.get(day)
            if appsflyer is not None and day in activity:
                appsflyer = structs.replace(appsflyer, origin=f"{ORIGIN} and master", events=activity[day])
            gap = gaps.get(day)
            amplitude = AmplitudeAnswer()
            if plan.credentials is not None and plan.source_property:
                amplitude = await self._amplitude(plan, counter, evidence, day, notes, again=again)
            one = DayEvidence(
                app=plan.app,
                day=day,
                made_ms=now_ms,
                is_final=_is_final(plan, day, now_ms),
                counted=evidence.counted[day],
                outcomes=evidence.outcomes[day],
                name_of=plan.name_of,
                route=plan.route,
                zone=plan.insight.timezone,
                amplitude_zone=plan.amplitude_zone,
                appsflyer=appsflyer,
                amplitude=amplitude.counts or None,
                changed=evidence.changed_on(plan, day),
                native=evidence.native_on(plan, day),
                withholding=VIEW_RESTRICTED,
                unreadable=evidence.unreadable_on(days_of(plan, day)),
                # What is known to be a conversion is no in-app event.
                unreadable_since=evidence.unreadable_on(days_of(plan, day), since=True) - _conversions(unreadable, day),
                was_down=evidence.uptime.was_stopped(*span_of(plan, day)),
                missing=raw.missing[day] if _is_told(raw) else None,
                missing_of_kind=gap.missing if gap is not None else None,
                gap_causes=gap.causes if gap is not None else {},
                unreadable_among=unreadable.get(day, {}),
                amplitude_origin="segmentation and export" if plan.by_export else "segmentation",
                cohort_events=evidence.cohorts[day],
                cohort_missing=_of_cohort(raw, day, evidence.cohorts[day]),
                notes=tuple(notes),
            )
            money = RevenueEvidence(
                raw.facts[day] if _is_told(raw) else None,
                amplitude.revenue,
                one.appsflyer.booked_revenue if one.appsflyer is not None else None,
                evidence.cohort_revenue[day],
            )
            compared = compare(one)
            compared.revenue = compare_revenue(one, money, compared.rows)
            compared.currency = plan.insight.currency
            found.append(compared)
        await self._store.put_day_reports([comparison.written(one) for one in found])
        return found

    def _unreadable_among(
        self, plan: ReconcilePlan, evidence: Gathered, raw: RawEvidence, gaps: Mapping[int, KnownGap], days: range
    ) -> Mapping[int, Mapping[Counted, int]]:
        """Return how many of what is known to be missing on each day may be dead letters."""
        missing: dict[int, Counter[Counted]] = {day: Counter() for day in days}
        for day in days:
            if _is_told(raw):
                for key, n in raw.missing[day].items():
                    missing[day][key.kind, key.event] += n
            elif day in gaps:
                missing[day].update({(kind, ""): n for kind, n in gaps[day].missing.items()})
        stopped = [day for day in days if evidence.uptime.was_stopped(*span_of(plan, day))]
        return unreadable_among(missing, evidence.unreadable(), {day: days_of(plan, day) for day in days}, stopped)

    async def _gather(self, plan: ReconcilePlan, first: int, last: int) -> Gathered:
        outcomes = await self._store.outcomes(plan.app, first, last)
        gathered = Gathered()
        for one in outcomes.counted:
            gathered.counted[one.day].append(one)
        for done in outcomes.outcomes:
            gathered.outcomes[done.day].append(done)
        question = Slice(first, last, last + 1, frozenset({"day", "media_source"}), plan.app)
        for point in await self._store.curves(question):
            if point.kind in BOOKED:
                day, source = point.labels.day, point.labels.media_source
                gathered.cohorts[day][source] += point.events
                cohort = gathered.cohort_revenue[day].setdefault(source, CohortRevenue())
                cohort.revenue += point.revenue
                cohort.not_converted += point.not_converted
        gathered.restricted = [one for one in await self._store.restricted() if one.app == plan.app]
        gathered.counts = [one for one in await self._store.counts() if one.app == plan.app]
        gathered.uptime = await read_uptime(self._store)
        return gathered

    async def _raw(self, plan: ReconcilePlan, evidence: Gathered, first: int, last: int) -> RawEvidence:
        """Read AppsFlyer's raw data of these days. What is refused is said, and not taken for nothing."""
        if plan.raw is None:
            return RawEvidence()
        reader = RawReader(
            plan,
            self._store,
            self._clock,
            days=range(first, last + 1),
            counted=[one for day in evidence.counted.values() for one in day],
            outcomes=[done for day in evidence.outcomes.values() for done in day],
        )
        found = await reader.read(self._download, span_of(plan, first)[0])
        for (day, source), booked in found.booked.items():
            evidence.cohorts[day][source] += booked.late
            cohort = evidence.cohort_revenue[day].setdefault(source, CohortRevenue())
            cohort.revenue += booked.late_revenue
            cohort.not_converted += booked.late_not_converted
            cohort.paid, cohort.rated, cohort.rated_amount = booked.paid, booked.rated, booked.rated_amount
            cohort.missing = booked.missing_revenue
        return found

    async def _amplitude(
        self,
        plan: ReconcilePlan,
        counter: AmplitudeCounter,
        evidence: Gathered,
        day: int,
        notes: list[str],
        *,
        again: bool,
    ) -> AmplitudeAnswer:
        """Ask for the events of a day. What is refused is noted, and after the first refusal no more is asked."""
        kept = await self._kept(plan, day)
        exported = await self._exported(plan, evidence, day, notes) if plan.by_export else None
        found = AmplitudeAnswer()
        delivered, paid = _delivered(plan, evidence.outcomes[day]), _paid(plan, evidence.counted[day])
        try:
            for name in _names(plan, evidence.counted[day]):
                for answers, into, sums in ((kept.events, found.counts, False), (kept.revenue, found.revenue, True)):
                    if sums and name not in paid:
                        continue
                    known = answers.get(name)
                    settled = known is not None and known.delivered == delivered[name] and not again
                    if known is not None and settled and _is_final(plan, day, known.at_ms):
                        into[name] = known.counts
                        continue
                    counts = dict(await counter.count(name, day, sums=sums))
                    into[name] = counts
                    answers[name] = KeptAnswer(self._clock.now_ms(), delivered[name], counts)
        except CountRefused as problem:
            notes.append(f"Not all events were counted in Amplitude: {problem}")
        body = msgspec.json.encode(kept)
        await self._store.put_day_reports([DayReport(plan.app, ANSWERS, day, self._clock.now_ms(), body)])
        if exported is not None:
            found.counts = {
                name: {
                    source: structs.replace(one, foreign=exported.foreign[name].get(source, 0))
                    for source, one in counts.items()
                }
                for name, counts in found.counts.items()
            }
        return found

    async def _exported(
        self, plan: ReconcilePlan, evidence: Gathered, day: int, notes: list[str]
    ) -> ExportMatch | None:
        """Look for each event of a day in Amplitude's export, and keep which are not there."""
        now_ms = self._clock.now_ms()
        try:
            found = await match_export(
                plan,
                self._download,
                await self._store.sent_events(plan.app, day, day),
                _names(plan, evidence.counted[day]),
                day=day,
                first_ms=span_of(plan, day)[0],
                now_ms=now_ms,
            )
        except ExportFailed as problem:
            notes.append(f"Events were not looked for by their insert ids: {problem}")
            return None
        body = msgspec.json.encode(found.lost)
        await self._store.put_day_reports([DayReport(plan.app, UNEXPLAINED_EVENTS, day, now_ms, body)])
        return found

    async def _kept(self, plan: ReconcilePlan, day: int) -> KeptAnswers:
        for report in await self._store.day_reports(ANSWERS, day, day, app=plan.app):
            kept = report.read(KeptAnswers)
            if kept is not None and kept.zone == plan.amplitude_zone:
                return kept
        return KeptAnswers(plan.amplitude_zone)


class Gathered:
    """What the store says of some days of an app."""

    def __init__(self) -> None:
        self.counted: defaultdict[int, list[CountedOn]] = defaultdict(list)
        self.outcomes: defaultdict[int, list[OutcomeCount]] = defaultdict(list)
        self.cohorts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.cohort_revenue: defaultdict[int, dict[str, CohortRevenue]] = defaultdict(dict)
        self.restricted: list[RestrictedCount] = []
        self.counts: list[Count] = []
        self.uptime = Uptime([])

    def changed_on(self, plan: ReconcilePlan, day: int) -> dict[str, dict[str, int]]:
        days, found = days_of(plan, day), defaultdict[str, Counter[str]](Counter)
        for one in self.restricted:
            if one.day in days:
                found[one.media_source][one.policy] += one.events
        return {source: dict(policies) for source, policies in found.items()}

    def native_on(self, plan: ReconcilePlan, day: int) -> int:
        days = days_of(plan, day)
        return sum(one.n for one in self.counts if one.day in days and one.reason == NATIVE)

    def unreadable(self) -> Counter[str]:
        """Return how many dead letters there are, by the date of their reception, that were never mapped."""
        found: Counter[str] = Counter()
        for one in self.counts:
            if one.source in POSTBACKS and one.outcome == OutcomeKind.DEAD and one.reason in NEVER_MAPPED:
                found[one.day] += one.n
        return found

    def unreadable_on(self, days: frozenset[str], *, since: bool = False) -> int:
        found = self.unreadable().items()
        return sum(n for day, n in found if (day >= min(days) if since else day in days))


def _is_told(raw: RawEvidence) -> bool:
    """Whether raw data was read. An app of which AppsFlyer's reports are empty is one that it does not report."""
    return raw.rows > 0 and not raw.problem


def _of_cohort(raw: RawEvidence, day: int, counted: Mapping[str, int]) -> Mapping[str, int] | None:
    """Return by source how many in-app events of the installs of a day never came; None if raw data was not read."""
    if not _is_told(raw):
        return None
    booked = {source: sums for (of, source), sums in raw.booked.items() if of == day}
    return {source: min(sums.missing, max(0, sums.events - counted.get(source, 0))) for source, sums in booked.items()}


def _together(counted: Sequence[CountedOn]) -> str:
    """Return a sentence about what is counted without its source, as a day has too many combinations; else nothing."""
    n = sum(one.n for one in counted if one.media_source == OTHER and family(one.kind) is not None)
    if not n:
        return ""
    return (
        f"flybridge counts {n:,} conversions and in-app events of the day as {OTHER}, and their sources lack them. "
        "Make insight.max_cells larger for the days to come."
    )


def _conversions(unreadable: Mapping[int, Mapping[Counted, int]], first: int) -> int:
    """Return how many of the dead letters that are among what is missing are conversions, from a day on."""
    return sum(n for day, of in unreadable.items() if day >= first for (_, event), n in of.items() if not event)


def span_of(plan: ReconcilePlan, day: int) -> tuple[int, int]:
    """Return when a day of the app begins and ends, in milliseconds."""
    first, end = dashboard.span_of(date_of(day), plan.insight.timezone)
    return round(first.timestamp() * 1000), round(end.timestamp() * 1000)


def _is_final(plan: ReconcilePlan, day: int, at_ms: int) -> bool:
    return at_ms >= span_of(plan, day)[1] + FINAL_MS


def days_of(plan: ReconcilePlan, day: int) -> frozenset[str]:
    """Return the dates in UTC on which a day of the app falls."""
    first_ms, end_ms = span_of(plan, day)
    return frozenset(day_of(ms) for ms in range(first_ms, end_ms, DAY_MS)) | {day_of(end_ms - 1)}


def _names(plan: ReconcilePlan, counted: Sequence[CountedOn]) -> list[str]:
    """Return the names under which Amplitude is asked: conversions that there are, and the most frequent events."""
    kinds = {PerformanceKind.INSTALL, *(one.kind for one in counted)}
    asked = [plan.name_of(kind, "") for kind in CONVERSIONS if kind in kinds]
    asked += [plan.name_of(PerformanceKind.EVENT, event) for event in _most_frequent(plan, counted)]
    return list(dict.fromkeys(name for name in asked if name is not None))


def _most_frequent(plan: ReconcilePlan, counted: Iterable[CountedOn]) -> list[str]:
    """Return the names of the in-app events that are compared."""
    events: Counter[str] = Counter()
    for one in counted:
        if one.kind in COUNTED and one.event != OTHER:
            events[one.event] += one.n
    return sorted(events, key=lambda event: (-events[event], event))[: plan.chosen.reconcile_events]


def _paid(plan: ReconcilePlan, counted: Iterable[CountedOn]) -> set[str]:
    """Return the names in Amplitude of the events that have revenue on a day."""
    names = {plan.name_of(PerformanceKind.EVENT, one.event) for one in counted
             if one.kind in COUNTED and (one.revenue or one.not_converted)}  # fmt: skip
    return {name for name in names if name is not None}


def _delivered(plan: ReconcilePlan, outcomes: Sequence[OutcomeCount]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in outcomes:
        kind = one.kind if one.kind in CONVERSIONS else PerformanceKind.EVENT
        if one.outcome == OutcomeKind.DELIVERED and (name := plan.name_of(kind, one.event)) is not None:
            found[name] += one.n
    return found
