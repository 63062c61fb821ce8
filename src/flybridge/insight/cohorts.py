"""Install-day cohorts: what the installations of each day, week or month did on the days after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any, Final

from msgspec import Struct

from flybridge.insight.metrics import MICRO, add
from flybridge.insight.performance import AppScope, Question, named, spend_in
from flybridge.records import PerformanceKind
from flybridge.store.performance import Slice, date_of, day_number
from flybridge.store.protocol import Store

LAST: Final = 90

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
            "retention", "Retention", "share", "active on that day / installs", "active", is_cumulative=False,
            per="size",
        ),
        CohortMetric(
            "ltv", "LTV", "money", "revenue up to that day / installs", "revenue", is_cumulative=True, per="size"
        ),
        CohortMetric("revenue", "Revenue", "money", "revenue up to that day", "revenue", is_cumulative=True, per=""),
        CohortMetric(
            "roas", "ROAS", "share", "revenue up to that day / spend", "revenue", is_cumulative=True, per="spend"
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

    @property
    def total(self) -> Sequence[float | None]:
        """The value of all cohorts together, by day after the install."""
        return self.whole.values

    @property
    def counted(self) -> Sequence[int]:
        """How many installations the values of `total` are of."""
        return self.whole.counted


class _Sums(Struct):
    first: int
    last: int
    size: int = 0
    spend: int | None = None
    by_offset: dict[int, int] | None = None
    added_up: list[int] | None = None

    def up_to(self, offset: int, *, is_cumulative: bool) -> int:
        found = self.by_offset or {}
        if not is_cumulative:
            return found.get(offset, 0)
        if self.added_up is None:
            self.added_up = list(accumulate(found.get(at, 0) for at in range(LAST + 1)))
        return self.added_up[offset]


async def read_cohorts(
    store: Store,
    app: AppScope,
    question: Question,
    metric: CohortMetric,
    *,
    grain: str = "day",
    last: int = LAST,
    organic: bool = True,
) -> Cohorts:
    """Return the cohorts of one app's period, without `organic` only those that are attributed to a source.

    Organic installations have no spend, and are in no total of ROAS.
    """
    labels = tuple(label for label in question.labels if label not in ("day", "event", "app"))
    asked = Slice(
        question.first, question.last, app.today, frozenset({*labels, "day", "media_source"}), app.name,
        question.media_source, question.campaign, question.country, question.platform,
    )  # fmt: skip
    paid_only = metric.per == "spend" or not organic
    found: dict[tuple[int, tuple[Any, ...]], _Sums] = {}

    def sums(row: Any) -> _Sums:
        first, until = _span(row.labels.day, grain, question)
        group = tuple(getattr(row.labels, label) for label in labels)
        return found.setdefault((first, group), _Sums(first, until, by_offset={}))

    for row in await store.performance(asked):
        if row.kind == PerformanceKind.INSTALL and not (paid_only and row.labels.media_source == "organic"):
            sums(row).size += row.n
    for point in await store.curves(asked):
        if point.kind == PerformanceKind.INSTALL and not (paid_only and point.labels.media_source == "organic"):
            by_offset = sums(point).by_offset
            assert by_offset is not None
            by_offset[point.offset] = by_offset.get(point.offset, 0) + getattr(point, metric.field)
    for cost in await store.costs(asked):
        one = sums(cost)
        one.spend = add(one.spend, spend_in(app, cost))
    cohorts = []
    for (_, group), one in sorted(found.items(), key=lambda item: (item[0][0], tuple(map(str, item[0][1])))):
        complete = min(last, app.today - one.last - 1)
        points = [_value(metric, one, offset) if offset <= complete else None for offset in range(last + 1)]
        cohorts.append(
            InstallCohort(dict(zip(labels, group, strict=True)), one.first, one.last, one.size, one.spend, points)
        )
    by_group: dict[tuple[Any, ...], list[_Sums]] = {}
    for (_, group), one in found.items():
        by_group.setdefault(group, []).append(one)
    groups = [
        _curve(metric, dict(zip(labels, group, strict=True)), sums, app.today, last) for group, sums in by_group.items()
    ]
    groups.sort(key=lambda one: (-one.counted[0], tuple(map(str, one.labels.values()))))
    whole = _curve(metric, {}, list(found.values()), app.today, last)
    return Cohorts(metric, grain, app.currency, app.zone, cohorts, whole, groups)


def _curve(metric: CohortMetric, labels: Mapping[str, Any], sums: Sequence[_Sums], today: int, last: int) -> Curve:
    values, counted, cost = list[float | None](), list[int](), list[float | None]()
    for offset in range(last + 1):
        ready = [one for one in sums if one.last + offset < today]
        whole = _Sums(0, 0, sum(one.size for one in ready), by_offset={})
        for one in ready:
            whole.spend = add(whole.spend, one.spend)
        top = sum(one.up_to(offset, is_cumulative=metric.is_cumulative) for one in ready)
        values.append(_ratio(metric, top, whole) if ready else None)
        counted.append(whole.size)
        cost.append(whole.spend / MICRO / whole.size if whole.spend is not None and whole.size else None)
    return Curve(labels, values, counted, cost)


def _value(metric: CohortMetric, sums: _Sums, offset: int) -> float | None:
    return _ratio(metric, sums.up_to(offset, is_cumulative=metric.is_cumulative), sums)


def _ratio(metric: CohortMetric, top: int, sums: _Sums) -> float | None:
    if metric.per == "spend":
        return None if not sums.spend else top / sums.spend
    amount = top / MICRO if metric.unit == "money" else float(top)
    if not metric.per:
        return amount if metric.unit == "money" else top
    return amount / sums.size if sums.size else None


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
