"""`flybridge performance`: what each media source brings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from msgspec import structs

from flybridge.cli.common import AppName, AsJson, ConfigPath, configured, of_options, with_store
from flybridge.cli.install_cohorts import show_cohorts
from flybridge.cli.printing import blocks, complain, label, name_shown, print_json, print_rows, say, sparkline, width
from flybridge.clock import SystemClock
from flybridge.errors import ConfigError
from flybridge.insight.cohorts import GRAINS
from flybridge.insight.csv_text import csv_text
from flybridge.insight.metrics import DEFAULT, HORIZONS, METRICS, Metric, figure, values
from flybridge.insight.nearest import days_up_to, instead_of, last_day_before, latest
from flybridge.insight.performance import (
    BY,
    AppScope,
    PerformanceReport,
    PerformanceRow,
    Question,
    named,
    read_performance,
)
from flybridge.insight.question import asked, chosen_cohort, chosen_scopes
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.wiring import scopes_of

TREND = 14


def performance(
    config: ConfigPath = None,
    by: Annotated[
        str, typer.Option("--by", help=f"Groups, separated by commas: {', '.join(dict.fromkeys(BY.values()))}.")
    ] = "",
    first: Annotated[
        str | None, typer.Option("--from", help="The first day, as 2026-01-31; by default 28 days are shown.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day; by default yesterday.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the period of the same length before.")
    ] = False,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="The metrics to show, separated by commas.")
    ] = None,
    cohort: Annotated[
        bool, typer.Option("--cohort", help="Show a row for each cohort, by day after the install.")
    ] = False,
    grain: Annotated[
        str | None, typer.Option("--grain", help=f"Of cohorts: {', '.join(GRAINS)}; by default {GRAINS[0]}.")
    ] = None,
    only_app: AppName = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this media source.")] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="Only this campaign.")] = None,
    country: Annotated[str | None, typer.Option("--country", help="Only this country.")] = None,
    platform: Annotated[str | None, typer.Option("--platform", help="Only this platform.")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with plain numbers.")] = False,
) -> None:
    """Show what each media source, campaign or country brings: installs, cost, revenue, retention."""
    settings = configured(config, only_app)
    if as_json and as_csv:
        raise ConfigError("--csv", "--json prints another form.", "Leave out one of the two.")
    if grain and not cohort:
        raise ConfigError(
            "--grain", "is of cohorts.", "Add --cohort, or leave it out; --by date has a row for each day."
        )
    scopes = chosen_scopes(scopes_of(settings, SystemClock().now_ms()), only_app)
    given = {"by": by, "from": first, "to": last, "source": source}
    with of_options():
        question = asked(given | {"campaign": campaign, "country": country, "platform": platform}, scopes)
    # Programs get the usual days, also if there are no figures.
    is_chosen = not (first or last or as_json or as_csv)
    if cohort:
        if compare:
            raise ConfigError("--compare", "cohorts are not compared with another period.", "Leave out one of the two.")
        with of_options():
            chosen = chosen_cohort(metric[0] if metric else None, grain, scopes)
        show_cohorts(settings, scopes, question, chosen, is_chosen=is_chosen, as_json=as_json, as_csv=as_csv)
        return
    names = chosen_metrics(metric)
    trends = not (as_json or as_csv or "date" in by or "day" in by) and sys.stdout.isatty()

    async def work(store: Store) -> tuple[PerformanceReport, PerformanceReport | None, PerformanceReport | None]:
        found = await read_performance(store, scopes, question)
        if is_chosen and not found.rows:
            shown, sentence = await latest(store, scopes, question)
            found = await read_performance(store, scopes, shown)
            found.notes = [sentence, *found.notes] if sentence else found.notes
        elif is_chosen:
            found.notes = [*found.notes, *await _earlier(store, scopes, question)]
        if not found.rows:
            found.notes = [await instead_of(store, scopes, question)]
        before = await read_performance(store, scopes, found.question.before()) if compare else None
        daily = None
        if trends:
            daily = await read_performance(
                store, scopes, structs.replace(found.question, by=(*found.question.by, "day"))
            )
        return found, before, daily

    found, before, daily = with_store(settings, work)
    if as_json:
        print_json(_compared(found, before))
    elif as_csv:
        _print_csv(_compared(found, None), found.question.labels)
    else:
        _print_table(found, before, daily, names)
    for note in found.notes:
        complain(note)


async def _earlier(store: Store, scopes: Sequence[AppScope], question: Question) -> list[str]:
    """Return a sentence about figures from long before a period, between which and it there are none."""
    last = await last_day_before(store, scopes, question)
    if last is None or last >= question.before().first:
        return []
    shown = await days_up_to(store, scopes, question, last)
    return [f"The last day before these with figures is {date_of(last)}: try --to {date_of(shown.last)}."]


def chosen_metrics(metric: Sequence[str] | None) -> tuple[str, ...]:
    """Return the metrics to show. Raises `ConfigError` for what is none."""
    names = tuple(name.strip() for given in metric or () for name in given.split(",") if name.strip())
    for name in names:
        if name not in METRICS:
            raise ConfigError("--metric", f"there is no metric {name[:40]!r}.", f"Name some of {metric_names()}.")
    return names or DEFAULT


def metric_names() -> str:
    """Return the names of all metrics; those of many horizons once, with the horizons there are."""
    plain = [metric.name for metric in METRICS.values() if metric.horizon is None]
    by_horizon = dict.fromkeys(
        metric.name.removesuffix(str(metric.horizon)) + "N" for metric in METRICS.values() if metric.horizon is not None
    )
    return f"{', '.join([*plain, *by_horizon])}, where N is one of {', '.join(map(str, HORIZONS))}"


def _compared(found: PerformanceReport, before: PerformanceReport | None) -> list[dict[str, Any]]:
    """Return the rows as plain values, each with the values of the period before if there is one."""
    rows = found.plain_rows()
    if before is None:
        return rows
    earlier = _by_group(before, found.question)
    for row, known in zip(rows, found.rows, strict=True):
        was = earlier.pop(tuple(known.labels.values()), None)
        row["before"] = None if was is None else values(was.figures)
    for group, was in earlier.items():
        labels = dict(zip(was.labels, group, strict=True))
        rows.append({**found.plain_labels(labels), **dict.fromkeys(METRICS), "before": values(was.figures)})
    return rows


def _by_group(before: PerformanceReport, question: Question) -> dict[tuple[Any, ...], PerformanceRow]:
    """Return rows by the labels of those that they are compared with: the first day with the first, and so on."""
    later = question.first - before.question.first
    return {
        tuple(value + later if name == "day" else value for name, value in row.labels.items()): row
        for row in before.rows
    }


def _print_csv(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    heads = [*("date" if name == "day" else name for name in labels), "currency"]
    named_rows = ([row[name] for name in (*heads, *METRICS)] for row in rows)
    sys.stdout.write(csv_text([[*heads, *METRICS], *named_rows], "\n"))


def _print_table(
    found: PerformanceReport, before: PerformanceReport | None, daily: PerformanceReport | None, names: Sequence[str]
) -> None:
    question = found.question
    zone = f", {found.zone}" if found.zone else ""
    title = f"{date_of(question.first)} to {date_of(question.last)}{zone}, {found.currency or 'several currencies'}"
    metrics = [METRICS[name] for name in names]
    trend = _trends(daily) if daily is not None else {}
    was = (
        {group: values(row.figures) for group, row in _by_group(before, question).items()} if before is not None else {}
    )
    rows = []
    for row in found.rows:
        plain = row.as_dict()
        labels = {label(name): name_shown(value) for name, value in named(row.labels).items()}
        group = tuple(row.labels.values())
        cells = _cells(plain, metrics, found, was.get(group, {}), before)
        rows.append(labels | cells | ({"by day": trend.get(group, "")} if trend else {}))
    if question.labels and len(found.rows) > 1:
        total = dict.fromkeys((label(name) for name in named(dict.fromkeys(question.labels, 0))), "")
        total[next(iter(total))] = "total"
        totals_before = before.totals() if before is not None else {}
        rows.append(total | _cells(found.totals(), metrics, found, totals_before, before))
    right = [metric.title for metric in metrics]
    for number, columns in enumerate(blocks(rows, len(question.labels), width())):
        block = [{name: row.get(name, "") for name in columns} for row in rows]
        print_rows("" if number else title, block, "Nothing was counted in this period.", right=right)
    if rows and any("*" in str(value) for row in rows for value in row.values()):
        say("* Some days of the period are not over for this metric, and left out.")


def _cells(
    plain: Mapping[str, Any],
    metrics: Sequence[Metric],
    found: PerformanceReport,
    was: Mapping[str, Any],
    before: PerformanceReport | None,
) -> dict[str, str]:
    cells = {}
    for metric in metrics:
        value = plain[metric.name]
        text = figure(value, metric.unit)
        if value is not None and found.is_partial(metric):
            text += "*"
        if before is not None:
            text += f" {change(value, was.get(metric.name))}" if found.is_comparable(metric, before) else " (-)"
        cells[metric.title] = text
    return cells


def change(value: float | None, was: float | None) -> str:
    """Return how a value has changed, in per cent of what it was."""
    if value is None or not was:
        return "(new)" if value else "(-)"
    return f"({(value - was) / abs(was) * 100:+.0f} %)"


def _trends(daily: PerformanceReport) -> dict[tuple[Any, ...], str]:
    """Return a line of bars for each group: its installs by day."""
    days = daily.question.days
    found: dict[tuple[Any, ...], list[int]] = {}
    for row in daily.rows:
        *group, day = row.labels.values()
        bars = found.setdefault(tuple(group), [0] * min(TREND, days))
        bars[(day - daily.question.first) * len(bars) // days] += row.figures.installs
    return {group: sparkline(bars) for group, bars in found.items()}
