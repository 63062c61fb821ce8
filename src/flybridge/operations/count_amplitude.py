"""Ask Amplitude how often events are there: by event and day, within its budget, and on the app's own days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from flybridge.amplitude import dashboard
from flybridge.amplitude.dashboard import (
    BUDGET,
    BUDGET_S,
    COST,
    REVENUE,
    SUMS_COST,
    EventCounts,
    SegmentationRefused,
    hours_of,
    span_of,
)
from flybridge.clock import Clock
from flybridge.delivery.exchange import Transport
from flybridge.errors import TransportError
from flybridge.insight.reconcile import AmplitudeCount
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.store.performance import date_of, source_label

SPARED: Final = 100
"""What of the budget is left to people and other tools."""
USED: Final = BUDGET - SPARED
PATIENCE_S: Final = 3600.0
"""No longer wait than this is made for one count."""


class CountRefused(Exception):
    """Amplitude gives no count. The message is a sentence for the report."""


class QueryBudget:
    """Paces the queries of one project, and waits where Amplitude asks to."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._asked: list[tuple[int, int]] = []

    async def ask(self, plan: ReconcilePlan, event: str, day: date, *, minutes: int, sums: bool = False) -> EventCounts:
        """Return the counts of one event on one day of the project's zone, or sums of its revenue.

        Raises `CountRefused`.
        """
        assert plan.credentials is not None, "the caller has looked"
        request = dashboard.request(
            plan.credentials,
            event,
            day,
            property_name=plan.source_property,
            of_user=plan.of_user,
            platform=plan.platform,
            minutes=minutes,
            sums_of=REVENUE if sums else "",
        )
        buckets = len(hours_of(day, plan.amplitude_zone, minutes)) if minutes else 1
        problem = ""
        for _ in range(3):
            await self._pace(SUMS_COST if sums else COST)
            try:
                answer = dashboard.read(await self._transport.send(request), buckets, sums=sums)
            except TransportError as error:
                answer = SegmentationRefused(f"Amplitude was not reached: {error}.", 30.0)
            if isinstance(answer, EventCounts):
                return answer
            problem = answer.problem
            if answer.again_s is None or answer.again_s > PATIENCE_S:
                break
            await self._clock.sleep(answer.again_s)
        raise CountRefused(problem)

    async def _pace(self, cost: int) -> None:
        span_ms = round(BUDGET_S * 1000)
        while True:
            now_ms = self._clock.now_ms()
            self._asked = [(at, spent) for at, spent in self._asked if now_ms - at < span_ms]
            if sum(spent for _, spent in self._asked) + cost <= USED:
                break
            await self._clock.sleep((self._asked[0][0] + span_ms - now_ms) / 1000)
        self._asked.append((now_ms, cost))


class AmplitudeCounter:
    """Counts events of one app in Amplitude.

    Hours, or shorter steps, are asked for only where the zones differ, and kept for a run.
    """

    def __init__(self, plan: ReconcilePlan, budget: QueryBudget) -> None:
        self._plan = plan
        self._budget = budget
        self._steps: dict[tuple[str, date, int, bool], EventCounts] = {}

    async def count(self, event: str, day: int, *, sums: bool = False) -> Mapping[str, AmplitudeCount]:
        """Return how often an event is there, or the sums of its revenue in millionths, by media source.

        Raises `CountRefused`.
        """
        plan, today = self._plan, date_of(day)
        if plan.insight.timezone == plan.amplitude_zone:
            total = _labelled((await self._budget.ask(plan, event, today, minutes=0, sums=sums)).total())
            return {source: AmplitudeCount(n, n) for source, n in total.items()}
        minutes = 5 if splits_hours(plan, day) else 60
        first, end = span_of(today, plan.insight.timezone)
        on_day = _labelled((await self._of_steps(event, today, minutes, sums=sums)).total())
        in_zone: Counter[str] = Counter()
        for near in (today - timedelta(days=1), today, today + timedelta(days=1)):
            steps = hours_of(near, plan.amplitude_zone, minutes)
            within = [number for number, step in enumerate(steps) if first <= step < end]
            if not within:
                continue
            steps_of_day = await self._of_steps(event, near, minutes, sums=sums)
            in_zone.update(_labelled(steps_of_day.total(within[0], within[-1] + 1)))
        return {source: AmplitudeCount(on_day.get(source, 0), in_zone[source]) for source in {*on_day, *in_zone}}

    async def _of_steps(self, event: str, day: date, minutes: int, *, sums: bool) -> EventCounts:
        at = (event, day, minutes, sums)
        if at not in self._steps:
            self._steps[at] = await self._budget.ask(self._plan, event, day, minutes=minutes, sums=sums)
        return self._steps[at]


def splits_hours(plan: ReconcilePlan, day: int) -> bool:
    """Whether the app's day begins or ends within an hour of the project's zone: hours can't tell it apart."""
    hours = {hour for near in (-1, 0, 1) for hour in hours_of(date_of(day + near), plan.amplitude_zone)}
    return not hours.issuperset(span_of(date_of(day), plan.insight.timezone))


def _labelled(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by the label under which a source is counted."""
    found: Counter[str] = Counter()
    for value, n in counts.items():
        found["" if value == dashboard.NONE else source_label(value)] += n
    return {source: n for source, n in found.items() if n}
