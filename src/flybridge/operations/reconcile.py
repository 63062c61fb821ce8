"""Compare the counts of some days with the vendors', and keep what was found.

AppsFlyer is asked once for all days, Amplitude once for an event and day. An answer of Amplitude about a day that is
final is kept, and asked for again only if flybridge has delivered more of the event since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import structs

from flybridge.appsflyer.report import ReportRefused
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download
from flybridge.insight import comparison
from flybridge.insight.compared_rows import family
from flybridge.insight.comparison import DayComparison
from flybridge.insight.converted_revenue import CohortRevenue
from flybridge.insight.never_came import Counted, unreadable_among
from flybridge.insight.reconcile import DayEvidence, compare
from flybridge.insight.reconcile_revenue import RevenueEvidence, compare_revenue
from flybridge.mapping.restrictions import VIEW_RESTRICTED
from flybridge.operations.amplitude_answers import AmplitudeAnswer, AmplitudeAnswers, most_frequent
from flybridge.operations.count_amplitude import AmplitudeCounter, QueryBudget
from flybridge.operations.count_appsflyer import (
    ORIGIN,
    Activity,
    AppsFlyerAnswer,
    count_activity,
    count_appsflyer,
)
from flybridge.operations.gathered import Gathered, days_of, gather, is_final, span_of
from flybridge.operations.known_gaps import KnownGap, gaps_of, known_gap
from flybridge.operations.read_raw_evidence import RawEvidence, RawReader
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.store.figures import CountedOn
from flybridge.store.performance import OTHER
from flybridge.store.protocol import Store


class Reconciler:
    """Compares the days of apps. `again` asks Amplitude also where an answer is kept."""

    def __init__(self, store: Store, budget: QueryBudget, download: Download, clock: Clock) -> None:
        self._store = store
        self._budget = budget
        self._download = download
        self._clock = clock
        self._answers = AmplitudeAnswers(store, download, clock)

    async def run(self, plan: ReconcilePlan, first: int, last: int, *, again: bool = False) -> list[DayComparison]:
        """Compare these days, keep and return what was found. What a vendor does not answer is noted, and left out."""
        now_ms = self._clock.now_ms()
        evidence = await gather(self._store, plan, first, last)
        told = AppsFlyerAnswer({})
        if plan.account is not None:
            told = await count_appsflyer(plan, self._download, first, last)
        activity: Activity = {}
        by_name = ""
        if plan.chosen.reconcile_by_master and told.days:
            names = {day: most_frequent(plan, evidence.counted[day]) for day in range(first, last + 1)}
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
                amplitude = await self._answers.of_day(plan, counter, evidence, day, notes, again=again)
            one = DayEvidence(
                app=plan.app,
                day=day,
                made_ms=now_ms,
                is_final=is_final(plan, day, now_ms),
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
