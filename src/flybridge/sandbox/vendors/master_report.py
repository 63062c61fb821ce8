"""AppsFlyer's Master API: its checks in their order, and its CSV by chosen groups and figures.

https://dev.appsflyer.com/hc/reference/master_api_get (master_api.yaml of AppsFlyer's devhub, read 2026-11-29).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

from flybridge.sandbox.http import SandboxAnswer, moment_of
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.vendors.aggregates import EventCell, Key, ReportCell, ReportedApp, activity_cells, between, cells
from flybridge.sandbox.vendors.raw_data import as_csv
from flybridge.sandbox.vendors.report_csv import ratio, shown, times

MASTER_DAYS: Final = 31
MOST_ROWS: Final = 200_000
GROUPINGS: Final[Mapping[str, tuple[str, Callable[[str, Key], str]]]] = {
    "app_id": ("App ID", lambda app, _: app),
    "install_time": ("Install Time", lambda _, key: key.day.isoformat()),
    "pid": ("Media Source", lambda _, key: key.media_source),
    "c": ("Campaign", lambda _, key: key.campaign or "None"),
    "geo": ("GEO", lambda _, key: key.country),
}
"""Columns by which rows are grouped, and what an app's cell has in them."""
OF_EVENT: Final[Mapping[str, Callable[[EventCell], float]]] = {
    "event_counter_": lambda one: one.count,
    "unique_users_": lambda one: len(one.people),
    "sales_in_usd_": lambda one: one.sales_usd,
}
ACTIVITY: Final = "activity_"
"""Begins the figures of events by their own day: here `activity_event_counter_` and `activity_sales_in_usd_`."""
RETENTION: Final = "retention_day_"
_KPI: Final = re.compile(
    rf"(?:{'|'.join(OF_EVENT)}|{ACTIVITY}(?:event_counter|sales_in_usd)_)\w+|{RETENTION}[0-9]+", re.ASCII
)
"""Figures with the name of an event or a number. The names have letters, digits and underscores only."""
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "currency": ("", "preferred", "USD"), "timezone": ("", "preferred"), "format": ("",),
}  # fmt: skip
"""Parameters that have certain values. The page has JSON as well, and nothing of what becomes of others."""

READ: Final[Mapping[str, Callable[[ReportCell, float], float | None]]] = {
    "installs": lambda cell, _: cell.installs,
    "impressions": lambda cell, _: cell.impressions,
    "clicks": lambda cell, _: cell.clicks,
    "sessions": lambda cell, _: cell.sessions,
    "loyal_users": lambda cell, _: cell.loyal_users,
    "cost": lambda cell, rate: times(cell.cost_usd, rate),
    "revenue": lambda cell, rate: cell.revenue_usd * rate,
}
"""Figures of a cell; `rate` is what a US dollar is worth in the currency asked for."""


Cells = list[tuple[Key, ReportCell, float]]


def day_of_text(text: str) -> date | None:
    """Read a date as both APIs take it."""
    moment = moment_of(text, "%Y-%m-%d")
    return None if moment is None else moment.date()


def master_report(
    facts: Mapping[str, Sequence[Reported]],
    given: Mapping[str, str],
    settings: Mapping[str, ReportedApp],
    newest: date,
    *,
    now_ms: int,
    most_rows: int = MOST_ROWS,
) -> SandboxAnswer:
    """Answer a request about what is known of these apps. `newest` is the last day that is there."""
    first, last = day_of_text(given.get("from", "")), day_of_text(given.get("to", ""))
    groupings = [name for name in given.get("groupings", "").split(",") if name]
    kpis = [name for name in given.get("kpis", "").split(",") if name]
    own_zone = given.get("timezone") == "preferred"
    if first is None or last is None:
        return SandboxAnswer(403, "Unrecognized date format.")
    if first > last:
        return SandboxAnswer(403, "From date can't be after To date.")
    if not kpis:
        return SandboxAnswer(403, "No KPIs provided.")
    if not groupings:
        return SandboxAnswer(416, "No Groupings Selected")
    is_known = all(given.get(name, "") in values for name, values in OPTIONS.items())
    if not is_known or not set(groupings) <= GROUPINGS.keys() or not all(map(_is_kpi, kpis)):
        return SandboxAnswer(416, "Wrong API Fields")
    if (last - first).days >= MASTER_DAYS:
        return SandboxAnswer(
            416,
            "Something went wrong. Please re-try to download in a minute, choose a narrower time range, or contact "
            "AppsFlyer support.",
        )
    if own_zone and any(last < settings[app].since for app in facts):
        return SandboxAnswer(416, "The requested time range is in UTC only (prior to the timezone change)")
    groups: defaultdict[tuple[str, ...], tuple[Cells, Cells]] = defaultdict(lambda: ([], []))
    for app, known in facts.items():
        rate = settings[app].per_usd if given.get("currency") == "preferred" else 1.0
        for kind in sorted({name.startswith(ACTIVITY) for name in kpis}):
            counted = activity_cells if kind else cells
            found = counted(known, settings[app].day(own_zone=own_zone), now_ms=now_ms)
            for key, cell in between(found, first, min(last, newest)).items():
                group = tuple(GROUPINGS[name][1](app, key) for name in groupings)
                groups[group][kind].append((key, cell, rate))
    rows: list[Sequence[object]] = [
        [*(GROUPINGS[name][0] for name in groupings), *(kpi.replace("_", " ").title() for kpi in kpis)]
    ]
    rows += [
        [*group, *(_kpi(name.removeprefix(ACTIVITY), known[name.startswith(ACTIVITY)]) for name in kpis)]
        for group, known in sorted(groups.items())
    ]
    if len(rows) > most_rows + 1:
        return SandboxAnswer(416, "Other reason")
    return SandboxAnswer(200, as_csv(rows))


def _is_kpi(name: str) -> bool:
    return name == "cr" or name in READ or _KPI.fullmatch(name) is not None


def _kpi(name: str, found: Sequence[tuple[Key, ReportCell, float]]) -> object:
    if name.startswith(RETENTION):
        after = int(name.removeprefix(RETENTION))
        return sum(cell.retained(key.day, after) for key, cell, _ in found)
    if name == "cr":
        return ratio(_sum("installs", found), _sum("clicks", found))
    for prefix, figure in OF_EVENT.items():
        if name.startswith(prefix):
            event = name.removeprefix(prefix)
            return round(sum(figure(cell.events[event]) for _, cell, _ in found if event in cell.events), 4)
    return shown(_sum(name, found))


def _sum(name: str, found: Sequence[tuple[Key, ReportCell, float]]) -> float | None:
    known = [value for _, cell, rate in found if (value := READ[name](cell, rate)) is not None]
    return round(sum(known), 4) if known else None
