"""Ask AppsFlyer's Cohort API what the installs of some days did, compare it with flybridge's cohorts, and keep it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import structs

from flybridge.appsflyer.cohort_report import CohortKpi, CohortSource, read, request
from flybridge.appsflyer.report import MINUTE_S, ReportRefused
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download
from flybridge.errors import TransportError
from flybridge.history.uptime import read_uptime
from flybridge.insight.cohort_comparison import (
    HORIZONS,
    REPORT,
    CohortComparison,
    CohortEvidence,
    CohortSide,
    compare_cohorts,
)
from flybridge.insight.cohorts import LAST
from flybridge.insight.converted_revenue import CohortRevenue
from flybridge.mapping.restrictions import VIEW_RESTRICTED
from flybridge.operations.booked_events import BOOKED
from flybridge.operations.gathered import FINAL_MS, Gathered, days_of, span_of
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.operations.whole_report import whole_report
from flybridge.records import MICRO, PerformanceKind
from flybridge.store.figures import DayReport
from flybridge.store.performance import Slice, date_of, source_label
from flybridge.store.protocol import Store

TRIES: Final = 4
"""Times that a figure is asked for: a quota is one of the minute."""
PAUSE_S: Final = 5.0
CALLS_A_MINUTE: Final = 30
"""Half of the 60 that AppsFlyer allows an account in a minute, so that others of the account are answered, too
(https://support.appsflyer.com/hc/en-us/articles/207034366, read 2026-11-27)."""
SPARE_DAYS: Final = 9
"""A cohort's last day is final two days later, and may be asked for a week after that if nothing ran meanwhile."""


_Sides = Mapping[int, dict[str, CohortSide]]


class CohortComparer:
    """Compares the cohorts of apps, two calls of AppsFlyer's for each day of installs, with pauses between many."""

    def __init__(self, store: Store, download: Download, clock: Clock) -> None:
        self._store, self._download, self._clock = store, download, clock
        self._asked_ms: deque[int] = deque(maxlen=CALLS_A_MINUTE)

    async def due(self, plan: ReconcilePlan, last: int) -> list[int]:
        """Return the days of installs up to `last` of which more is final now than when they were compared.

        Each is due when one of the `HORIZONS` is final for it, until the last of them. Days before the first with
        an install that flybridge has counted are not.
        """
        first, now_ms = last - LAST - SPARE_DAYS, self._clock.now_ms()
        counted = await self._store.performance(Slice(first, last, last + 1, frozenset({"day"}), plan.app))
        first = min((row.labels.day for row in counted if row.kind == PerformanceKind.INSTALL), default=last + 1)
        kept = await self._kept(plan, first, last)

        def settled(day: int, made_ms: int) -> int:
            return sum(day + after <= _final(plan, made_ms) for after in HORIZONS)

        return [
            day
            for day in range(first, last + 1)
            if settled(day, now_ms) > (settled(day, kept[day].made_ms) if day in kept else 0)
        ]

    async def run(self, plan: ReconcilePlan, days: Sequence[int]) -> list[CohortComparison]:
        """Compare the installs of these days, keep and return what was found.

        The first day that AppsFlyer refuses is the last that it is asked for. The refusal is a note, beside what had
        been compared of that day before.
        """
        if not days:
            return []
        first, last = min(days), max(days)
        ours, reinstalls, unseen, converted = await self._counted(plan, first, last)
        gathered = Gathered()
        gathered.counts = [one for one in await self._store.counts() if one.app == plan.app]
        uptime = await read_uptime(self._store)
        found = []
        for day in days:
            now_ms = self._clock.now_ms()
            theirs = await self._asked(plan, day)
            if isinstance(theirs, str):
                # Made never: it is due until AppsFlyer answers.
                nothing = CohortComparison(plan.app, day, 0, plan.insight.currency)
                before = (await self._kept(plan, day, day)).get(day, nothing)
                found.append(structs.replace(before, notes=(theirs,)))
                break
            complete = plan.insight.day(now_ms) - day - 1
            evidence = CohortEvidence(
                theirs,
                ours[day],
                reinstalls[day],
                unseen[day],
                converted[day],
                last=min(complete, LAST),
                final=_final(plan, now_ms) - day,
                withholding=frozenset(VIEW_RESTRICTED),
                down_since=next(
                    (n for n in range(min(complete, LAST) + 1) if uptime.was_stopped(*span_of(plan, day + n))), None
                ),
                unreadable=gathered.unreadable_on(days_of(plan, day), since=True),
            )
            found.append(CohortComparison(plan.app, day, now_ms, plan.insight.currency, compare_cohorts(evidence)))
        await self._store.put_day_reports(
            [DayReport(one.app, REPORT, one.day, one.made_ms, msgspec.json.encode(one)) for one in found]
        )
        return found

    async def _kept(self, plan: ReconcilePlan, first: int, last: int) -> dict[int, CohortComparison]:
        """Return what was compared before, by day."""
        reports = await self._store.day_reports(REPORT, first, last, app=plan.app)
        found = {report.day: report.read(CohortComparison) for report in reports}
        return {day: one for day, one in found.items() if one is not None and one.currency == plan.insight.currency}

    async def _counted(
        self, plan: ReconcilePlan, first: int, last: int
    ) -> tuple[_Sides, _Sides, _Sides, Mapping[int, dict[str, list[CohortRevenue]]]]:
        """Return flybridge's side by day and media source, what of it are reinstalls or never came, and rates."""
        asked = Slice(first, last, last + 1, frozenset({"day", "media_source"}), plan.app)
        ours: defaultdict[int, dict[str, CohortSide]] = defaultdict(dict)
        reinstalls: defaultdict[int, dict[str, CohortSide]] = defaultdict(dict)
        unseen: defaultdict[int, dict[str, CohortSide]] = defaultdict(dict)
        parts = {PerformanceKind.REINSTALL: reinstalls, PerformanceKind.UNSEEN: unseen}
        converted: defaultdict[int, dict[str, list[CohortRevenue]]] = defaultdict(dict)
        for row in await self._store.performance(asked):
            if row.kind == PerformanceKind.INSTALL:
                ours[row.labels.day].setdefault(row.labels.media_source, CohortSide()).installs += row.n
        for point in await self._store.curves(asked):
            if point.kind not in BOOKED:
                continue
            day, source = point.labels.day, point.labels.media_source
            side = ours[day].setdefault(source, CohortSide())
            side.active[point.offset] = side.active.get(point.offset, 0) + point.active
            if point.kind in parts:
                part = parts[point.kind][day].setdefault(source, CohortSide())
                part.active[point.offset] = part.active.get(point.offset, 0) + point.active
                for after in range(point.offset, LAST + 1):
                    part.revenue[after] = part.revenue.get(after, 0) + point.revenue
            money = converted[day].setdefault(source, [CohortRevenue() for _ in range(LAST + 1)])
            for of in money[point.offset :]:
                of.revenue += point.revenue
                of.not_converted += point.not_converted
                of.paid += point.events
                if plan.insight.rates:
                    # Which amounts the rate table has converted only AppsFlyer's raw data would tell.
                    of.rated += point.events
                    of.rated_amount += abs(point.revenue)
            side.revenue = {after: of.revenue for after, of in enumerate(money)}
        return ours, reinstalls, unseen, converted

    async def _asked(self, plan: ReconcilePlan, day: int) -> dict[str, CohortSide] | str:
        """Return AppsFlyer's side by media source, or a sentence about why there is none."""
        found: dict[str, CohortSide] = {}
        for kpi in CohortKpi:
            answer = await self._answer(plan, kpi, day)
            if isinstance(answer, str):
                return answer
            for name, figure in answer.items():
                side = found.setdefault(source_label(name), CohortSide())
                if kpi is CohortKpi.SESSIONS:
                    side.installs += figure.users
                into = side.active if kpi is CohortKpi.SESSIONS else side.revenue
                for after, value in figure.values.items():
                    into[after] = into.get(after, 0) + round(value * (1 if kpi is CohortKpi.SESSIONS else MICRO))
        return found

    async def _answer(self, plan: ReconcilePlan, kpi: CohortKpi, day: int) -> Mapping[str, CohortSource] | str:
        assert plan.account is not None, "the caller has looked"
        made = request(plan.account, kpi, date_of(day), own_zone=plan.insight.timezone != "UTC")
        problem = ""
        for _ in range(TRIES):
            await self._pause()
            try:
                return await whole_report(self._download, made, partial(read, kpi=kpi))
            except TransportError as failed:
                problem = f"AppsFlyer was not reached: {failed}."
                await self._clock.sleep(PAUSE_S)
            except ReportRefused as refused:
                problem = str(refused)
                if refused.again_s is None:
                    break
                await self._clock.sleep(MINUTE_S if refused.quota else PAUSE_S)
        return problem

    async def _pause(self) -> None:
        """Wait until one more call is within the quota, and note it."""
        if len(self._asked_ms) == CALLS_A_MINUTE:
            passed_s = (self._clock.now_ms() - self._asked_ms[0]) / 1000
            if passed_s < MINUTE_S:
                await self._clock.sleep(MINUTE_S - max(0.0, passed_s))
        self._asked_ms.append(self._clock.now_ms())


def _final(plan: ReconcilePlan, now_ms: int) -> int:
    """Return the last day that AppsFlyer counts no more."""
    return plan.insight.day(now_ms - FINAL_MS) - 1
