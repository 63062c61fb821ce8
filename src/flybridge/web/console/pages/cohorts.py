"""What installations did on the days after: curves by source, a table of cohorts, and when they have paid back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.routing import Route

from flybridge.insight.cohorts import (
    COHORT_METRICS,
    GRAINS,
    CohortMetric,
    Cohorts,
    Curve,
    InstallCohort,
    cohorts_of,
    read_counts,
)
from flybridge.insight.csv_text import csv_text
from flybridge.insight.metrics import MONEY
from flybridge.insight.nearest import instead_of
from flybridge.insight.performance import AppScope
from flybridge.insight.question import chosen_cohort, chosen_scopes
from flybridge.records import PerformanceKind
from flybridge.store.performance import ORGANIC, Slice, date_of
from flybridge.system.counted import percent, plural
from flybridge.web.console import charts
from flybridge.web.console.charts import Figure, Series
from flybridge.web.console.figures import axis, name_of, text_of
from flybridge.web.console.filters import CUSTOM, PERIODS, Filters, filters_of, iso, names_period, short
from flybridge.web.console.latest import latest_of
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.trends import APART
from flybridge.web.console.words import masked_sentence

ENTRY: Final = Entry("cohorts", "/cohorts", "Cohorts", with_period=True)

SHOWN: Final = (0, 1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 45, 60, 90)
"""Days after the install that the table has a column for."""

LENGTHS: Final = (7, 14, 30, 60, 90)
USUAL: Final = 30
NAMED: Final = 5
STEPS: Final = 9
"""Shades of the table."""

MAX_ROWS: Final = 120


class HeatCell(Struct, frozen=True):
    """One value of a cohort: as text, and its shade from 0 to `STEPS`. `state` is `early` if the day is not over."""

    text: str
    shade: int
    state: str = ""


class HeatRow(Struct, frozen=True):
    """One cohort: when its installations began, how many they are, and its values."""

    name: str
    size: int
    cells: Sequence[HeatCell]


def routes(site: Site) -> list[Route]:
    """Return the page and its figures as CSV."""
    return site.figures(ENTRY, shown_cohorts, csv_of)


class CohortQuestion(Struct, frozen=True):
    """The question of the page: one app, a metric, a grain, and how many days after the install are shown."""

    filters: Filters
    app: AppScope
    metric: CohortMetric
    grain: str
    length: int
    instead: str = ""

    def query(self, **changes: object) -> str:
        """Return the query string of this question with some changes."""
        own = {"metric": self.metric.name, "grain": self.grain, "length": self.length, "app": self.app.name}
        if self.filters.period != CUSTOM:
            own["period"] = self.filters.period
        return self.filters.query(**own | changes)


async def asked_for(site: Site, query: Mapping[str, str]) -> CohortQuestion:
    """Return the question of a query string. Without an app it is about the one with the most installs."""
    everyone = site.scopes()
    filters = filters_of({"period": "90d", **query}, everyone)
    scopes, instead = chosen_scopes(everyone, filters.app), ""
    installs = await _installs(site, filters)
    if not names_period(query) and not any(installs[scope.name] for scope in scopes):
        filters, instead = await latest_of(site.store, scopes, filters)
        installs = await _installs(site, filters) if instead else installs
    if len(scopes) > 1:
        scopes = sorted(scopes, key=lambda scope: -installs[scope.name])
    scopes = scopes[:1]
    metric, grain = chosen_cohort(query.get("metric"), query.get("grain") or "week", scopes)
    length = query.get("length", "")
    return CohortQuestion(
        filters, scopes[0], metric, grain, int(length) if length in map(str, LENGTHS) else USUAL, instead
    )


async def _installs(site: Site, filters: Filters) -> Counter[str]:
    """Return how many installs each app has had in the period."""
    found: Counter[str] = Counter()
    for row in await site.store.performance(Slice(filters.first, filters.last, 0, frozenset({"app"}))):
        if row.kind == PerformanceKind.INSTALL:
            found[row.labels.app] += row.n
    return found


async def shown_cohorts(site: Site, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the page."""
    if not site.scopes():
        return {"asked": None}
    it = await asked_for(site, query)
    filters = it.filters
    together, apart = filters.question(), filters.question("media_source")
    counts = await read_counts(site.store, it.app, apart)
    by_source = cohorts_of(counts, apart, it.metric, last=it.length, organic=filters.organic)
    found = cohorts_of(counts, together, it.metric, grain=it.grain, last=it.length, organic=filters.organic)
    paid = cohorts_of(counts, apart, COHORT_METRICS["ltv"], last=it.length, organic=False, costed=True)
    offsets = [day for day in SHOWN if day <= it.length]
    return {
        "asked": it,
        "filters": filters,
        "periods": PERIODS,
        "metrics": {name: metric.title for name, metric in COHORT_METRICS.items()},
        "grains": GRAINS,
        "lengths": LENGTHS,
        "apps": [scope.name for scope in site.scopes()],
        "sources": sorted({one.labels["media_source"] for one in by_source.groups if one.labels["media_source"]}),
        "range": f"{iso(filters.first)} to {iso(filters.last)}",
        "charts": [_curves(by_source, it), *_payback(paid, it)],
        "instead": it.instead,
        "nothing": "" if found.cohorts else masked_sentence(await instead_of(site.store, [it.app], together)),
        "offsets": offsets,
        "rows": _heat(found, offsets, it.app.today)[:MAX_ROWS],
        "left_out": max(0, len(found.cohorts) - MAX_ROWS),
        "total": [
            text_of(by_source.whole.values[day], it.metric.unit) if by_source.whole.values[day] is not None else ""
            for day in offsets
        ],
        "counted": [by_source.whole.counted[day] for day in offsets],
        "installs": sum(one.size for one in found.cohorts),
        "query": it.query(),
    }


def _heat(found: Cohorts, offsets: Sequence[int], today: int) -> list[HeatRow]:
    """Return the table, the newest cohort first. A value is the darker the higher it is."""
    by_spend = found.metric.per == "spend"
    later = [v for one in found.cohorts for day in offsets if (day or found.metric.is_cumulative) and
             (v := one.values[day]) is not None]  # fmt: skip
    most = max(later, default=0)

    def cell(cohort: InstallCohort, day: int) -> HeatCell:
        value = cohort.values[day]
        if value is None:
            is_over = by_spend and cohort.last + day < today
            return HeatCell("n/a", 0) if is_over else HeatCell("", 0, "early")
        shade = min(STEPS, round(value / most * STEPS)) if most > 0 and value > 0 else 0
        return HeatCell(text_of(value, found.metric.unit), shade)

    return [
        HeatRow(_span(cohort, found.grain), cohort.size, [cell(cohort, day) for day in offsets])
        for cohort in reversed(found.cohorts)
    ]


def _span(cohort: InstallCohort, grain: str) -> str:
    if grain == "month":
        return f"{date_of(cohort.first):%B %Y}"
    return iso(cohort.first) if grain == "day" else f"{short(cohort.first)} to {short(cohort.last)}"


def _curves(found: Cohorts, it: CohortQuestion) -> Figure:
    """Return a curve for each of the largest sources, organic and restricted, and one of all."""
    apart = [one for one in found.groups if one.labels["media_source"] in APART]
    named = [one for one in found.groups if one.labels["media_source"] not in APART and one.counted[0]][:NAMED]
    chosen = [(one, f"s{at}") for at, one in enumerate(named)]
    chosen += [(one, APART[one.labels["media_source"]]) for one in apart if one.counted[0]]
    series = [
        Series(f"{name_of('media_source', one.labels['media_source'])} ({one.counted[0]:,})", color, one.values)
        for one, color in chosen
    ]
    series.append(Series(f"All ({plural(found.whole.counted[0], 'install')})", "s-all", found.whole.values))
    metric, said = it.metric, "No day is complete yet."
    if known := [(day, value) for day, value in enumerate(found.whole.values) if value is not None]:
        last, value = known[-1]
        of = plural(found.whole.counted[last], "installation")
        said = f"{text_of(value, metric.unit)} on day {last}, which is over for {of}."
        if not metric.per and found.whole.counted[last] < found.whole.counted[0]:
            said += " Where a day is over for fewer than the day before, a sum falls."
    labels = [f"D{day}" for day in range(it.length + 1)]
    return Figure(
        "curves",
        f"{metric.title} by source, after the install",
        said,
        charts.lines(labels, series, axis(metric.unit)),
        [(one.name, one.color) for one in series],
        ["Day after the install", *(one.name for one in series)],
        [
            [label, *(_text(one.values[day], metric.unit) for one in series)] for day, label in enumerate(labels)
        ],
    )  # fmt: skip


def _payback(found: Cohorts, it: CohortQuestion) -> list[Figure]:
    """Return revenue and cost for one installation of a paid source; nothing if no cost is known."""
    costed = [one for one in found.groups if one.cost[0] is not None and one.labels["media_source"] != ORGANIC]
    if not costed:
        return []
    labels = [f"D{day}" for day in range(it.length + 1)]
    # Of a source whose installs with a known cost are all too new for a day, revenue does not count on it either.
    of_costed = [
        [None if cost is None else value for value, cost in zip(one.values, one.cost, strict=True)] for one in costed
    ]
    revenue = _weighted(costed, of_costed)
    cost = _weighted(costed, [one.cost for one in costed])
    series = [Series("Revenue for one install", "s0", revenue), Series("Cost of one install", "s1", cost)]
    paid = next(
        (day for day, (r, c) in enumerate(zip(revenue, cost, strict=True)) if None not in (r, c) and r >= c),  # type: ignore[operator]
        None,
    )
    known = [day for day, value in enumerate(revenue) if value is not None]
    if paid is not None:
        said = f"Paid back on day {paid}: by then an install has brought what it cost."
    elif known:
        share = (revenue[known[-1]] or 0) / (cost[known[-1]] or 1)
        back = f"{percent(share, ' ')} of the cost has come back" if share >= 0 else "refunds are more than the revenue"
        said = f"Not paid back by day {known[-1]}: {back}."
    else:
        said = "No day is complete yet."
    sources = plural(len(costed), "source")
    return [
        Figure(
            "payback",
            "Revenue and cost of one install",
            f"{said} Of {sources} with a known cost, in {found.currency}.",
            charts.lines(labels, series, axis(MONEY), dashed=("s1",)),
            [(one.name, one.color) for one in series],
            ["Day after the install", *(f"{one.name}, {found.currency}" for one in series)],
            [
                [label, *(_text(one.values[day], MONEY) for one in series)] for day, label in enumerate(labels)
            ],
        )
    ]  # fmt: skip


def _weighted(curves: Sequence[Curve], values: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Return the values for one installation of all curves together, from sums."""
    found: list[float | None] = []
    for day in range(len(curves[0].values)):
        known = [(own[day], one.counted[day]) for own, one in zip(values, curves, strict=True)]
        sums = [(value * n, n) for value, n in known if value is not None and n]
        found.append(sum(top for top, _ in sums) / sum(n for _, n in sums) if sums else None)
    return found


def _text(value: float | None, unit: str) -> str:
    return "-" if value is None else text_of(value, unit)


async def csv_of(site: Site, query: Mapping[str, str]) -> tuple[str, str]:
    """Return the cohorts as CSV with plain numbers, and a name for the file."""
    it = await asked_for(site, query)
    question, organic = it.filters.question(), it.filters.organic
    counts = await read_counts(site.store, it.app, question)
    found = cohorts_of(counts, question, it.metric, grain=it.grain, last=it.length, organic=organic)
    days = [f"d{day}" for day in range(it.length + 1)]
    rows: list[list[object]] = [["app", "currency", "from", "to", "installs", "spend", *days]]
    for one in found.cohorts:
        plain = one.as_dict()
        span = (iso(one.first), iso(one.last))
        rows.append([it.app.name, found.currency, *span, plain["installs"], plain["spend"], *one.values])
    return csv_text(rows), f"cohorts-{it.app.name}-{it.metric.name}-{iso(it.filters.first)}-{iso(it.filters.last)}.csv"
