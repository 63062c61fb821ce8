"""Writes AppsFlyer's aggregate reports as CSV, with the columns that the live service has.

The file begins with a byte order mark; `N/A` is what is not known, `None` no agency and no campaign
(https://support.appsflyer.com/hc/en-us/articles/207034346, read 2026-11-27). Reports about retargeting have
`Conversions` and `Conversion Type` in place of `Impressions`, `CTR` and `Installs`
(https://help.funnel.io/en/articles/3220691, read 2026-11-27; how the types are spelled is *unverified*).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flybridge.sandbox.traffic.sources import ORGANIC
from flybridge.sandbox.vendors.aggregates import Key, ReportCell, ReportedApp, merged
from flybridge.sandbox.vendors.raw_data import as_csv

NOT_AVAILABLE: Final = "N/A"


def aggregate_csv(found: Mapping[Key, ReportCell], app: ReportedApp, *, dated: bool, geo: bool) -> bytes:
    """Write the cells of user acquisition by day if `dated`, by country if `geo`."""
    rows = [("", key, cell) for key, cell in merged(found, dated=dated, geo=geo).items()]
    return _csv(rows, app, dated=dated, geo=geo, figures=["Impressions", "Clicks", "CTR", "Installs"])


def retargeting_csv(
    found: Mapping[str, Mapping[Key, ReportCell]], app: ReportedApp, *, dated: bool, geo: bool
) -> bytes:
    """Write the cells of retargeting by the kind of conversion, and as `aggregate_csv` does."""
    rows = [
        (kind, key, cell)
        for kind, of_kind in found.items()
        for key, cell in merged(of_kind, dated=dated, geo=geo).items()
    ]
    return _csv(rows, app, dated=dated, geo=geo, figures=["Clicks", "Conversions", "Conversion Type"])


def _csv(
    rows: Sequence[tuple[str, Key, ReportCell]], app: ReportedApp, *, dated: bool, geo: bool, figures: list[str]
) -> bytes:
    events = sorted({event for _, _, cell in rows for event in cell.events})
    header = [*(["Date"] if dated else []), *(["Country"] if geo else [])]
    header += ["Agency/PMD (af_prt)", "Media Source (pid)", "Campaign (c)", *figures]
    header += ["Conversion Rate", "Sessions", "Loyal Users", "Loyal Users/Installs", "Total Revenue", "Total Cost"]
    header += ["ROI", "ARPU", "Average eCPI"]
    for event in events:
        header += [f"{event} (Unique users)", f"{event} (Event counter)", f"{event} (Sales in {app.currency})"]
    lines: list[Sequence[object]] = [header]
    for kind, key, cell in rows:
        revenue, cost = cell.revenue_usd * app.per_usd, times(cell.cost_usd, app.per_usd)
        line: list[object] = [*([key.day.isoformat()] if dated else []), *([key.country] if geo else [])]
        line += ["None", "Organic" if key.media_source == ORGANIC else key.media_source, key.campaign or "None"]
        written_figures: Mapping[str, object] = {
            "Impressions": shown(cell.impressions),
            "Clicks": shown(cell.clicks),
            "CTR": ratio(cell.clicks, cell.impressions),
            "Installs": cell.installs,
            "Conversions": cell.installs,
            "Conversion Type": kind,
        }
        line += [written_figures[name] for name in figures]
        line += [ratio(cell.installs, cell.clicks), cell.sessions, cell.loyal_users]
        line += [ratio(cell.loyal_users, cell.installs), round(revenue, 4), shown(cost)]
        line += [ratio(None if cost is None else revenue - cost, cost), ratio(revenue, cell.installs)]
        line += [ratio(cost, cell.installs)]
        for event in events:
            if (done := cell.events.get(event)) is None:
                line += [0, 0, NOT_AVAILABLE]
            else:
                line += [len(done.people), done.count, round(done.sales_usd * app.per_usd, 4)]
        lines.append(line)
    return as_csv(lines)


def shown(value: float | None) -> object:
    """Return a figure as it is written."""
    return NOT_AVAILABLE if value is None else value


def times(value: float | None, rate: float) -> float | None:
    """Return an amount in another currency."""
    return None if value is None else round(value * rate, 4)


def ratio(top: float | None, bottom: float | None) -> object:
    """Return a quotient as it is written."""
    return NOT_AVAILABLE if top is None or not bottom else round(top / bottom, 4)
