"""Trends by day, as charts: what each source brought, and money. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flybridge.insight.metrics import COUNT, METRICS, MONEY, Figures, Metric
from flybridge.insight.performance import PerformanceRow, merged
from flybridge.store.performance import ORGANIC, OTHER, RESTRICTED
from flybridge.system.counted import plural
from flybridge.web.console import charts
from flybridge.web.console.charts import Figure, Series
from flybridge.web.console.figures import axis, name_of, text_of
from flybridge.web.console.filters import Filters, iso, short

NAMED: Final = 5
"""How many sources have a colour of their own in a chart."""

APART: Final[Mapping[str, str]] = {ORGANIC: "s-organic", RESTRICTED: "s-restricted"}
"""Sources that are always shown APART, and their colours."""


def summed_by_day(rows: Sequence[PerformanceRow]) -> dict[int, Figures]:
    """Return the sums of each day."""
    found: dict[int, list[Figures]] = {}
    for row in rows:
        found.setdefault(row.labels["day"], []).append(row.figures)
    return {day: merged(figures) for day, figures in found.items()}


def by_source(main: str, rows: Sequence[PerformanceRow], filters: Filters) -> Figure:
    """Return the columns of each day: the largest sources, organic, restricted, and all others together."""
    metric = METRICS[main]
    sums: dict[str, dict[int, float]] = {}
    for row in rows:
        days = sums.setdefault(row.labels["media_source"], {})
        days[row.labels["day"]] = days.get(row.labels["day"], 0) + (metric.compute(row.figures) or 0)
    sizes = {source: sum(days.values()) for source, days in sums.items()}
    named = sorted((s for s in sizes if s not in APART and s != OTHER and sizes[s]), key=lambda s: (-sizes[s], s))
    groups: list[tuple[str, str, list[str]]] = [
        (name_of("media_source", source), f"s{at}", [source]) for at, source in enumerate(named[:NAMED])
    ]
    rest = [*named[NAMED:], *(s for s in (OTHER,) if sizes.get(s))]
    if rest:
        groups.append((plural(len(rest), "other"), "s-other", rest))
    groups += [(source.capitalize(), color, [source]) for source, color in APART.items() if sizes.get(source)]
    period = range(filters.first, filters.last + 1)
    series = [
        Series(name, color, [sum(sums[source].get(day, 0) for source in of) for day in period])
        for name, color, of in groups
    ]
    totals = [sum(sums[source].get(day, 0) for source in sums) for day in period]
    first = f"{groups[0][0]} brought the most: {sizes[named[0]]:,.0f}." if named and groups[1:] else ""
    return Figure(
        "sources",
        f"{metric.title} by day and source",
        f"{sum(totals):,.0f} in all. {first}",
        charts.columns([short(day) for day in period], series, axis(COUNT)),
        [(one.name, one.color) for one in series],
        ["Day", *(one.name for one in series), "All"],
        [
            [iso(day), *(f"{one.values[at]:,.0f}" for one in series), f"{totals[at]:,.0f}"]
            for at, day in enumerate(period)
        ],
    )


def of_money(rows: Sequence[PerformanceRow], filters: Filters, unit: str, *, today: int) -> list[Figure]:
    """Return spend and revenue by day; nothing if their sums are of several currencies."""
    if not unit:
        return []
    by_install = filters.booking == "install"
    revenue = METRICS[f"revenue_d{filters.horizon}" if by_install else "revenue"]
    by_day = summed_by_day(rows)
    period = range(filters.first, filters.last + 1)

    def value(metric: Metric, day: int) -> float | None:
        found = metric.compute(by_day.get(day, Figures()))
        is_over = not by_install or day + filters.horizon < today
        return 0.0 if found is None and metric is revenue and is_over else found

    series = [Series("Revenue", "s0", [value(revenue, day) for day in period])]
    spend = [value(METRICS["spend"], day) for day in period]
    if any(amount is not None for amount in spend):
        series.append(Series("Spend", "s1", spend))
    totals = [sum(amount or 0 for amount in one.values) for one in series]
    said = " and ".join(f"{one.name.lower()} {total:,.0f}" for one, total in zip(series, totals, strict=True))
    booked = f"by the day of the install, up to day {filters.horizon} after it" if by_install else "by day"
    return [
        Figure(
            "money",
            f"{' and '.join(one.name.lower() for one in reversed(series)).capitalize()} {booked}",
            f"{said.capitalize()} {unit}.",
            charts.lines([short(day) for day in period], series, axis(MONEY)),
            [(one.name, one.color) for one in series],
            ["Day", *(f"{one.name}, {unit}" for one in series)],
            [[iso(day), *(text_of(one.values[at], MONEY) for one in series)] for at, day in enumerate(period)],
        )
    ]
