"""What each media source brings: headline figures, the trend by day, and a table down to campaigns and countries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.routing import Route

from flybridge.insight.csv_text import csv_text
from flybridge.insight.findings import read_findings
from flybridge.insight.metrics import COUNT, METRICS, MONEY, Figures, Metric, values
from flybridge.insight.nearest import instead_of
from flybridge.insight.performance import (
    PerformanceReport,
    PerformanceRow,
    last_day_over,
    merged,
    read_performance,
)
from flybridge.insight.question import chosen_scopes
from flybridge.store.performance import ORGANIC
from flybridge.web.console import charts
from flybridge.web.console.figures import Change, Table, change_of, name_of, text_of
from flybridge.web.console.filters import BOOKINGS, COMPARISONS, PERIODS, VIEWS, Filters, filters_of, iso, names_period
from flybridge.web.console.latest import earlier_of, latest_of
from flybridge.web.console.pages.differences import URGENT
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.trends import by_source, of_money, summed_by_day
from flybridge.web.console.words import masked_sentence, shown, uncut

ENTRY: Final = Entry("sources", "/", "Sources", with_period=True)

MAIN: Final[Mapping[str, str]] = {
    "acquisition": "installs",
    "retargeting": "conversions_retargeting",
    "unified": "conversions",
}
"""The metric that each view counts by."""


class Card(Struct, frozen=True):
    """A headline figure with its change and a small line of its days."""

    metric: Metric
    text: str
    unit: str
    change: Change | None
    was: str
    spark: str


def routes(site: Site) -> list[Route]:
    """Return the page and its figures as CSV."""
    return site.figures(ENTRY, shown_sources, csv_of)


def columns_of(filters: Filters) -> list[Metric]:
    """Return the metrics of the table."""
    main, h = MAIN[filters.view], filters.horizon
    if filters.view == "retargeting":
        names = [main, "re_engagements", "re_attributions", "spend", "events", "revenue", "roas"]
    elif filters.booking == "install":
        names = [main, "spend", "ecpi", f"revenue_d{h}", f"roas_d{h}", f"arpu_d{h}", f"payer_share_d{h}",
                 f"retention_d{h}", "matched_share"]  # fmt: skip
    else:
        names = [main, "spend", "ecpi", "revenue", "roas", "retention_d1", "retention_d7", "matched_share"]
    if filters.view == "unified":
        names.insert(1, "installs")
    return [METRICS[name] for name in names]


def headline_of(filters: Filters) -> list[Metric]:
    """Return the metrics of the cards."""
    h = filters.horizon
    money = ["revenue", "roas"] if filters.booking == "event" else [f"revenue_d{h}", f"roas_d{h}"]
    return [METRICS[name] for name in (MAIN[filters.view], "spend", *money, "ecpi", "matched_share")]


def levels_of(filters: Filters, *, by_app: bool) -> list[str]:
    """Return the labels of the table's rows: the first that is not filtered, and the one below it."""
    levels = [name for name in ("media_source", "campaign", "country") if not getattr(filters, name)]
    if filters.campaign:
        levels = [name for name in levels if name != "media_source"] or ["country"]
    return (["app", *levels] if by_app else levels or ["country"])[:2]


def kept(rows: Sequence[PerformanceRow], filters: Filters) -> list[PerformanceRow]:
    """Return the rows that the page shows."""
    return [row for row in rows if filters.organic or row.labels["media_source"] != ORGANIC]


async def shown_sources(site: Site, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the page."""
    everyone = site.scopes()
    filters = filters_of(query, everyone)
    scopes = chosen_scopes(everyone, filters.app)
    by_app = len({scope.currency for scope in scopes}) > 1
    levels = levels_of(filters, by_app=by_app)
    metrics, headline = columns_of(filters), headline_of(filters)
    horizons = sorted({metric.horizon for metric in (*metrics, *headline) if metric.horizon is not None})
    labels = dict.fromkeys(("media_source", *levels))
    found = await read_performance(site.store, scopes, filters.question(*labels), horizons)
    instead = ""
    if not found.rows and not names_period(query):
        filters, instead = await latest_of(site.store, scopes, filters)
        if instead:
            found = await read_performance(site.store, scopes, filters.question(*labels), horizons)
    rows = kept(found.rows, filters)
    table = Table(found, rows, metrics, METRICS[MAIN[filters.view]], query.get("search", ""))
    nodes, left_out = table.nodes(levels)
    of_days = horizons if filters.booking == "install" else ()
    daily = await read_performance(site.store, scopes, filters.question("day", "media_source"), of_days)
    days = kept(daily.rows, filters)
    summed = summed_by_day(days)
    earlier = filters.compared()
    before = elsewhere = was = None
    if earlier is not None:
        was = await read_performance(site.store, scopes, earlier.question("media_source"), horizons)
        before = merged(row.figures for row in kept(was.rows, filters))
        if found.rows and not was.rows and not names_period(query):
            elsewhere = await earlier_of(site.store, scopes, filters)
    findings = (await read_findings(site.store, scopes))["findings"]
    nothing = "" if rows else await instead_of(site.store, scopes, filters.question())
    unit = found.currency or ""
    shown_metrics = {metric.name: metric for metric in (*headline, *metrics)}
    return {
        "filters": filters,
        "periods": PERIODS,
        "comparisons": COMPARISONS,
        "views": VIEWS,
        "bookings": BOOKINGS,
        "apps": [scope.name for scope in everyone],
        "platforms": sorted({scope.platform for scope in everyone}),
        "countries": _countries(rows, filters),
        "chips": _chips(filters),
        "instead": instead,
        "elsewhere": elsewhere,
        "range": f"{iso(filters.first)} to {iso(filters.last)}",
        "zone": found.zone,
        "against": f"{iso(earlier.first)} to {iso(earlier.last)}" if earlier else "",
        "cards": [
            _card(
                metric,
                table.total,
                before if was is not None and found.is_comparable(metric, was) else None,
                summed,
                filters=filters,
                unit=unit,
                is_partial=found.is_partial(metric),
            )
            for metric in headline
        ],
        "charts": [
            by_source(MAIN[filters.view], days, filters),
            *of_money(days, filters, unit, today=last_day_over(scopes) + 1),
        ],
        "levels": levels,
        "metrics": metrics,
        "heads": [metric.title for metric in metrics],
        "nodes": nodes,
        "left_out": left_out,
        "total": table.cells(table.total, with_money=bool(unit)),
        "definitions": list(shown_metrics.values()),
        "currency": unit,
        "notes": [masked_sentence(note) for note in found.notes],
        "partial": any(found.complete[horizon] < filters.days for horizon in horizons),
        "anything": bool(rows),
        "nothing": masked_sentence(nothing),
        "findings": _named_once(findings),
        "urgent": any(one["kind"] in URGENT for one in findings),
        "without_costs": table.total.spend is None,
        "query": filters.query(),
    }  # fmt: skip


def _named_once(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kinds of what is worth a look today, the most urgent first, each with the apps it is about."""
    apps: dict[str, list[str]] = {}
    for one in findings:
        apps.setdefault(one["title"], []).append(shown(one["app"]))
    return [f"{title} ({', '.join(dict.fromkeys(names))})" for title, names in apps.items()]


def _chips(filters: Filters) -> list[tuple[str, str, str]]:
    """Return the filters that are on: what is filtered, by which value, and the question without it."""
    found = []
    for label, title in (("media_source", "Source"), ("campaign", "Campaign"), ("country", "Country")):
        if value := getattr(filters, label):
            without = {label: ""} if label != "media_source" else {"media_source": "", "campaign": ""}
            found.append((title, name_of(label, value), filters.query(**without)))
    return found


def _countries(rows: Sequence[PerformanceRow], filters: Filters) -> list[tuple[str, str]]:
    found = {row.labels["country"] for row in rows if row.labels.get("country")} | {filters.country or ""}
    return sorted(((code, name_of("country", code)) for code in found if code), key=lambda one: one[1])


def _card(
    metric: Metric,
    total: Figures,
    before: Figures | None,
    days: Mapping[int, Figures],
    *,
    filters: Filters,
    unit: str,
    is_partial: bool,
) -> Card:
    value = metric.compute(total) if unit or metric.unit == COUNT or metric.name == "matched_share" else None
    was = metric.compute(before) if before is not None else None
    by_day = {at: metric.compute(figures) for at, figures in days.items()}
    line = charts.spark([by_day.get(day) for day in range(filters.first, filters.last + 1)])
    return Card(
        metric,
        text_of(value, metric.unit, beside=was) + ("*" if is_partial and value is not None else ""),
        unit if metric.unit == MONEY and value is not None else "",
        change_of(metric, value, was),
        text_of(was, metric.unit, beside=value) if was is not None else "",
        line if value is not None else "",
    )


async def csv_of(site: Site, query: Mapping[str, str]) -> tuple[str, str]:
    """Return every metric by source, campaign and country as CSV with plain numbers, and a name for the file.

    Each row says which currency its money is in.
    """
    everyone = site.scopes()
    filters = filters_of(query, everyone)
    labels = ["app", "media_source", "campaign", "country"]
    found: PerformanceReport = await read_performance(
        site.store, chosen_scopes(everyone, filters.app), filters.question(*labels)
    )
    rows: list[list[object]] = [[*labels, "currency", *METRICS]]
    for row in kept(found.rows, filters):
        names = [uncut(name or "") for name in found.plain_labels(row.labels).values()]
        rows.append([*names, *values(row.figures).values()])
    return csv_text(rows), f"sources-{iso(filters.first)}-{iso(filters.last)}.csv"
