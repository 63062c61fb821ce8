"""What the store says of some days of an app, and when these days begin and end."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from flybridge.amplitude import dashboard
from flybridge.flow.filing import POSTBACKS
from flybridge.history.uptime import Uptime, read_uptime
from flybridge.insight.converted_revenue import CohortRevenue
from flybridge.insight.native import REASON as NATIVE
from flybridge.insight.reasons import NEVER_MAPPED
from flybridge.operations.booked_events import BOOKED
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.records import DAY_MS, HOUR_MS, OutcomeKind, day_of
from flybridge.store.figures import Count, CountedOn, OutcomeCount, RestrictedCount
from flybridge.store.performance import Slice, date_of
from flybridge.store.protocol import Store

FINAL_MS: Final = 48 * HOUR_MS
"""After the end of a day AppsFlyer changes its figures for so long."""


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


async def gather(store: Store, plan: ReconcilePlan, first: int, last: int) -> Gathered:
    """Read what is known of these days."""
    outcomes = await store.outcomes(plan.app, first, last)
    gathered = Gathered()
    for one in outcomes.counted:
        gathered.counted[one.day].append(one)
    for done in outcomes.outcomes:
        gathered.outcomes[done.day].append(done)
    question = Slice(first, last, last + 1, frozenset({"day", "media_source"}), plan.app)
    for point in await store.curves(question):
        if point.kind in BOOKED:
            day, source = point.labels.day, point.labels.media_source
            gathered.cohorts[day][source] += point.events
            cohort = gathered.cohort_revenue[day].setdefault(source, CohortRevenue())
            cohort.revenue += point.revenue
            cohort.not_converted += point.not_converted
    gathered.restricted = [one for one in await store.restricted() if one.app == plan.app]
    gathered.counts = [one for one in await store.counts() if one.app == plan.app]
    gathered.uptime = await read_uptime(store)
    return gathered


def span_of(plan: ReconcilePlan, day: int) -> tuple[int, int]:
    """Return when a day of the app begins and ends, in milliseconds."""
    first, end = dashboard.span_of(date_of(day), plan.insight.timezone)
    return round(first.timestamp() * 1000), round(end.timestamp() * 1000)


def is_final(plan: ReconcilePlan, day: int, at_ms: int) -> bool:
    return at_ms >= span_of(plan, day)[1] + FINAL_MS


def days_of(plan: ReconcilePlan, day: int) -> frozenset[str]:
    """Return the dates in UTC on which a day of the app falls."""
    first_ms, end_ms = span_of(plan, day)
    return frozenset(day_of(ms) for ms in range(first_ms, end_ms, DAY_MS)) | {day_of(end_ms - 1)}
