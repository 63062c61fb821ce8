"""Install-day cohorts: what the installations of each day, week or month did on the days after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate, repeat
from operator import add as plus
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct, structs

from flybridge.insight.performance import AppScope, Question, costs_in, named, spend_in
from flybridge.records import MICRO, PerformanceKind
from flybridge.store.performance import CostSums, CurvePoint, Sums, add, date_of, day_number
from flybridge.store.protocol import Store

LAST: Final = 90
AROUND: Final = 31
"""How many days before and after a period are looked at for a spend."""

GRAINS: Final = ("day", "week", "month")


class CohortMetric(Struct, frozen=True):
    """A value of a cohort on each day after the install. `is_cumulative`: what it is computed from adds up by day."""

    name: str
    title: str
    unit: str
    formula: str
    field: str
    is_cumulative: bool
    per: str


COHORT_METRICS: Final[Mapping[str, CohortMetric]] = {
    metric.name: metric
    for metric in (
        CohortMetric(
            "retention", "Retention", "share", "active on that calendar day / installs", "active", is_cumulative=False,
            per="size",
        ),
        CohortMetric(
            "ltv", "LTV", "money", "revenue up to that day / installs", "revenue", is_cumulative=True, per="size"
        ),
        CohortMetric("revenue", "Revenue", "money", "revenue up to that day", "revenue", is_cumulative=True, per=""),
        CohortMetric(
            "roas", "ROAS", "share", "revenue without organic up to that day / spend", "revenue",
            is_cumulative=True, per="spend",
        ),
        CohortMetric(
            "payer_share", "Payers", "share", "installations with a purchase up to that day / installs", "payers",
            is_cumulative=True, per="size",
        ),
        CohortMetric("events", "Events", "count", "in-app events up to that day", "events", is_cumulative=True, per=""),
    )
}  # fmt: skip


class InstallCohort(Struct):
    """The installations of one day, week or month, and group. `values` are by day after the install.

    A day that is not over for the last of its installations has None, and so have all after it.
    """

    labels: Mapping[str, Any]
    first: int
    last: int
    size: int
    spend: int | None
    values: Sequence[float | None]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        labels = {label: value for label, value in named(self.labels).items() if label != "date"}
        return {
            "date": date_of(self.first).isoformat(),
            **labels,
            "installs": self.size,
            "spend": None if self.spend is None else self.spend / MICRO,
            "values": self.values,
        }


class Curve(Struct):
    """The values of some cohorts together, from sums, by day after the install.

    The n-th of `values` is of the cohorts that have n complete days; `counted` is how many installations these are,
    and `cost` the spend for one of them, None if it is not known.
    """

    labels: Mapping[str, Any]
    values: Sequence[float | None]
    counted: Sequence[int]
    cost: Sequence[float | None]


class Cohorts(Struct):
    """All cohorts of a period, the curve of all of them together, and one for each group, the largest first."""

    metric: CohortMetric
    grain: str
    currency: str
    zone: str
    cohorts: Sequence[InstallCohort]
    whole: Curve
    groups: Sequence[Curve]


class _Sums(Struct):
    first: int
    last: int
    by_offset: dict[int, int]
    size: int = 0
    spend: int | None = None

    def is_within(self, days: tuple[int, int] | None) -> bool:
        """Whether all of its days are among those from a first to a last; None is no bound."""
        return days is None or days[0] <= self.first <= self.last <= days[1]

    def tops(self, last: int, *, is_cumulative: bool) -> list[int]:
        """Return what the values of the days up to `last` are computed from."""
        found = list(map(self.by_offset.get, range(last + 1), repeat(0)))
        return list(accumulate(found)) if is_cumulative else found


class CohortCounts(Struct, frozen=True):
    """What cohorts are made of: installs and costs of each day, and what was done so many days after the install.

    `costed` are the first and the last day of which a spend is known, None if there is none. Who reports a spend has
    costs of a span of days, and none of days between on which nothing was spent. What is before and behind was not
    reported (yet), and installs of these days would seem to have cost nothing.
    """

    app: AppScope
    days: Sequence[Sums]
    points: Sequence[CurvePoint]
    costs: Sequence[CostSums]
    costed: tuple[int, int] | None


async def read_cohorts(
    store: Store, app: AppScope, question: Question, metric: CohortMetric, *, grain: str = "day"
) -> Cohorts:
    """Read the counts of one app's period, and return its cohorts; see `cohorts_of`."""
    return cohorts_of(await read_counts(store, app, question), question, metric, grain=grain)


async def read_counts(store: Store, app: AppScope, question: Question) -> CohortCounts:
    """Return what the cohorts of one app's period are made of, by the question's labels, day and media source."""
    asked = question.of_app(app, {*_groups(question), "day", "media_source"})
    costs = await costs_in(store, app, asked)
    # A day without a spend may be the first or the last of the period, and not of what was reported.
    around = structs.replace(asked, first=asked.first - AROUND, last=asked.last + AROUND, by=frozenset({"day"}))
    known = [cost.labels.day for cost in await costs_in(store, app, around) if spend_in(app, cost) is not None]
    costed = (min(known), max(known)) if known else None
    return CohortCounts(app, await store.performance(asked), await store.curves(asked), costs, costed)


def cohorts_of(
    counts: CohortCounts,
    question: Question,
    metric: CohortMetric,
    *,
    grain: str = "day",
    last: int = LAST,
    organic: bool = True,
    costed: bool = False,
) -> Cohorts:
    """Return the cohorts of one app's period, without `organic` only those that are attributed to a source.

    `counts` may have been read with more labels than the question has. Organic installations have no spend, and are in
    no total of ROAS. Nor are cohorts with a day before the first or after the last of which a spend is known; with
    `costed` they are in no curve of another metric either.
    """
    app, labels = counts.app, _groups(question)
    costed = costed or metric.per == "spend"
    paid_only = metric.per == "spend" or not organic
    found: dict[tuple[int, tuple[Any, ...]], _Sums] = {}

    spans = {day: _span(day, grain, question) for day in range(question.first, question.last + 1)}
    group_of = [attrgetter(label) for label in labels]

    def sums(row: Any) -> _Sums:
        of = row.labels
        first, until = spans[of.day]
        key = (first, tuple([get(of) for get in group_of]))
        one = found.get(key)
        if one is None:
            one = found[key] = _Sums(first, until, {})
        return one

    for row in counts.days:
        if row.kind == PerformanceKind.INSTALL and not (paid_only and row.labels.media_source == "organic"):
            sums(row).size += row.n
    value_of = attrgetter(metric.field)
    for point in counts.points:
        if point.kind == PerformanceKind.INSTALL and not (paid_only and point.labels.media_source == "organic"):
            by_offset = sums(point).by_offset
            by_offset[point.offset] = by_offset.get(point.offset, 0) + value_of(point)
    for cost in counts.costs:
        one = sums(cost)
        one.spend = add(one.spend, spend_in(app, cost))
    known = counts.costed if costed else None
    cohorts = []
    for (_, group), one in sorted(found.items(), key=lambda item: (item[0][0], tuple(map(str, item[0][1])))):
        complete = min(last, app.today - one.last - 1) if one.is_within(known) else -1
        tops = one.tops(complete, is_cumulative=metric.is_cumulative)
        values: list[float | None] = [_ratio(metric, top, one.size, one.spend) for top in tops]
        points = values + [None] * (last - complete if complete >= 0 else last + 1)
        cohorts.append(
            InstallCohort(dict(zip(labels, group, strict=True)), one.first, one.last, one.size, one.spend, points)
        )
    by_group: dict[tuple[Any, ...], list[_Sums]] = {}
    for (_, group), one in found.items():
        by_group.setdefault(group, []).extend([one] if one.is_within(known) else [])
    groups = [
        _curve(metric, dict(zip(labels, group, strict=True)), sums, app.today, last) for group, sums in by_group.items()
    ]
    groups.sort(key=lambda one: (-one.counted[0], tuple(map(str, one.labels.values()))))
    whole = _curve(metric, {}, [one for one in found.values() if one.is_within(known)], app.today, last)
    return Cohorts(metric, grain, app.currency, app.zone, cohorts, whole, groups)


def _curve(metric: CohortMetric, labels: Mapping[str, Any], sums: Sequence[_Sums], today: int, last: int) -> Curve:
    """Return the values of all cohorts together: on each day those of the cohorts for which it is over."""
    tops = [0] * (last + 1)
    ready, sizes, spends = [0] * (last + 1), [0] * (last + 1), list[int | None]([None] * (last + 1))
    for one in sums:
        complete = min(last, today - one.last - 1)
        if complete < 0:
            continue
        tops[: complete + 1] = map(plus, tops, one.tops(complete, is_cumulative=metric.is_cumulative))
        ready[complete] += 1
        sizes[complete] += one.size
        spends[complete] = add(spends[complete], one.spend)
    for offset in reversed(range(last)):  # what is over for a later day is over for this one
        ready[offset] += ready[offset + 1]
        sizes[offset] += sizes[offset + 1]
        spends[offset] = add(spends[offset], spends[offset + 1])
    sizes_and_spends = list(zip(sizes, spends, strict=True))
    values = [_ratio(metric, top, *of) if n else None for top, n, of in zip(tops, ready, sizes_and_spends, strict=True)]
    cost = [spend / MICRO / size if spend is not None and size else None for size, spend in sizes_and_spends]
    return Curve(labels, values, sizes, cost)


def _ratio(metric: CohortMetric, top: int, size: int, spend: int | None) -> float | None:
    if metric.per == "spend":
        return None if not spend else top / spend
    amount = top / MICRO if metric.unit == "money" else float(top)
    if not metric.per:
        return amount if metric.unit == "money" else top
    return amount / size if size else None


def _groups(question: Question) -> tuple[str, ...]:
    return tuple(label for label in question.labels if label not in ("day", "event", "app"))


def _span(day: int, grain: str, question: Question) -> tuple[int, int]:
    """Return the first and last day of the cohort that a day belongs to, within the period."""
    at = date_of(day)
    if grain == "week":
        first = day - at.weekday()
        span = (first, first + 6)
    elif grain == "month":
        following = (at.replace(day=28) + timedelta(days=4)).replace(day=1)
        span = (day_number(at.replace(day=1)), day_number(following) - 1)
    else:
        span = (day, day)
    return max(span[0], question.first), min(span[1], question.last)
