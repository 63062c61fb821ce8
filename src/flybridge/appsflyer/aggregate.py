"""AppsFlyer's Aggregate Pull API: installs, cost and events by day, media source, campaign and country.

https://dev.appsflyer.com/hc/reference/partners_by_date_report-get-tokenv2 (docs/apis/analytics/
aggregate_pull_api_v2.yaml of AppsFlyer's devhub, read 2026-11-27). Not restricted as raw data is. Figures are LTV:
revenue and events are booked on the day of the install, and grow on old days. Days are UTC's unless `timezone` is
exactly the app's setting; amounts are always in the app's currency, which only the columns of events name.
`N/A` is unknown and not 0; blank or `None` is no agency or no campaign. No column is a key: rows about the same are
added up. A call returns up to 200,000 rows, and what is more is left out without a word.

With `reattr` the days are those of the retargeting conversion
(https://support.appsflyer.com/hc/en-us/articles/360014697157, read 2026-11-27), and the columns `Conversions` and
`Conversion Type` stand in place of `Impressions` and `Installs`
(https://help.funnel.io/en/articles/3220691, read 2026-11-27).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.report import (
    AppsFlyerAccount,
    ReportLine,
    ReportTooLarge,
    SpendRow,
    check_status,
    header_and_lines,
)
from flybridge.delivery.exchange import HttpRequest, HttpResponse

NEEDED: Final = frozenset({"date", "media source (pid)"})
SHORT_DAYS: Final = 2
"""Ranges up to so many days have a quota of calls in a minute, longer ones of calls in a day."""
LONGEST_DAYS: Final = 90
MOST_ROWS: Final = 200_000

COUNTER: Final = " (Event counter)"
_SALES: Final = re.compile(r".+ \(Sales in ([A-Z]{3})\)")


class AggregateReport(StrEnum):
    """A report, by its name in the address."""

    PARTNERS_BY_DATE = "partners_by_date_report"
    GEO_BY_DATE = "geo_by_date_report"


class AggregateRow(SpendRow, frozen=True):
    """One row. `media_source` is `Organic` or `restricted` where AppsFlyer says so, `events` counts in-app events.

    Retargeting reports have `conversions` of a `conversion_type` instead of `installs`.
    """

    installs: int | None
    revenue: float | None
    events: int
    conversions: int | None = None
    conversion_type: str = ""


class Aggregate(Struct, frozen=True):
    """A report. `currency` is that of its amounts; empty if no column names it: the app's own."""

    rows: list[AggregateRow]
    currency: str


def request(
    account: AppsFlyerAccount,
    report: AggregateReport,
    first: date,
    last: date,
    *,
    timezone: str = "",
    reattr: bool = False,
) -> HttpRequest:
    """Build the request. `timezone` is the app's setting, empty for UTC; `reattr` asks for retargeting conversions."""
    given = {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "timezone": "" if timezone == "UTC" else timezone,
        "reattr": "true" if reattr else "",
    }
    return account.report(f"/api/agg-data/export/app/{{app}}/{report.value}/v5", given)


def read(response: HttpResponse, report: AggregateReport) -> Aggregate:
    """Return the report in an answer. Raises `ReportRefused`: a report is read whole or not at all.

    Raises `ReportTooLarge` for one of which AppsFlyer may have left out the rest.
    """
    check_status(response, report.value)
    needed = NEEDED | {"country"} if report is AggregateReport.GEO_BY_DATE else NEEDED
    header, lines = header_and_lines(response, needed)
    counters = [name.lower() for name in header if name.endswith(COUNTER)]
    currencies = [found[1] for name in header if (found := _SALES.fullmatch(name)) is not None]
    rows = [_row(line, counters) for line in lines]
    if len(rows) >= MOST_ROWS:
        raise ReportTooLarge(f"AppsFlyer's {report.value} of these days has {MOST_ROWS:,} rows: some may be left out.")
    return Aggregate(rows, currencies[-1] if currencies else "")


def _row(line: ReportLine, counters: Sequence[str]) -> AggregateRow:
    return AggregateRow(
        line.day("date"),
        line.source("media source (pid)"),
        line.text("campaign (c)"),
        line.text("country"),
        line.whole("impressions"),
        line.whole("clicks"),
        line.figure("total cost"),
        line.whole("installs"),
        line.figure("total revenue"),
        sum(line.whole(name) or 0 for name in counters),
        line.whole("conversions"),
        line.text("conversion type"),
    )
