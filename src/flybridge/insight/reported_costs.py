"""Costs as AppsFlyer reports them, as rows of the store: aggregate reports, the Master API, Cost ETL files. Pure.

Not every network says in which countries it spends. What the report by source has more than the one by country is kept
without a country, so that sources and campaigns add up to what AppsFlyer says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from flybridge.appsflyer.aggregate import AggregateRow
from flybridge.appsflyer.app_id import is_same_app
from flybridge.appsflyer.cost_file import CostFileRow
from flybridge.appsflyer.report import SpendRow
from flybridge.records import MICRO
from flybridge.store.performance import CostRow, by_place, country_label, day_number, label, source_label

ROUNDING: Final = 10_000
"""Less than this, in millionths, is the rounding of two reports and not a cost without a country."""

NOTHING: Final = CostRow("", 0, "", "", "", "")
"""No figure of a place."""


def costs_of_aggregates(
    app: str, currency: str, by_source: Iterable[AggregateRow], by_country: Iterable[AggregateRow]
) -> list[CostRow]:
    """Return the costs in two reports about the same days. `currency` is that of their amounts."""
    places = by_place(_row(app, currency, row, row.country) for row in by_country)
    known = by_place(structs.replace(row, country="") for row in places.values())
    for place, total in by_place(_row(app, currency, row, "") for row in by_source).items():
        part = known.get(place, NOTHING)
        rest = structs.replace(
            total,
            spend=_rest(total.spend, part.spend, ROUNDING),
            clicks=_rest(total.clicks, part.clicks, 1),
            impressions=_rest(total.impressions, part.impressions, 1),
        )
        places[place] = rest.plus(places.get(place, NOTHING))
    return _known(places.values())


def costs_of_master(app: str, currency: str, rows: Iterable[SpendRow]) -> list[CostRow]:
    """Return the costs in a report of the Master API."""
    return _known(by_place(_row(app, currency, row, row.country) for row in rows).values())


def costs_of_files(app: str, app_id: str, currency: str, rows: Iterable[CostFileRow]) -> list[CostRow]:
    """Return the costs of one app in Cost ETL files. `currency` is that of rows which name none."""
    own = (row for row in rows if is_same_app(row.app_id, app_id))
    return _known(by_place(_row(app, row.currency or currency, row, row.country) for row in own).values())


def runs_of_days(days: Iterable[int]) -> list[tuple[int, int]]:
    """Return days without gaps between them as their first and last."""
    runs: list[tuple[int, int]] = []
    for day in sorted(set(days)):
        if runs and runs[-1][1] == day - 1:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


def _row(app: str, currency: str, row: SpendRow, country: str) -> CostRow:
    names = (source_label(row.media_source), label(row.campaign), country_label(country))
    spend = None if row.cost is None else round(row.cost * MICRO)
    return CostRow(app, day_number(row.day), *names, currency, spend, row.clicks, row.impressions)


def _rest(total: int | None, part: int | None, least: int) -> int | None:
    """Return what is in a total and in no part. A part may be more than it: the reports are not of one moment."""
    if total is None:
        return None
    rest = total - (part or 0)
    return rest if part is None or rest >= least else None


def _known(rows: Iterable[CostRow]) -> list[CostRow]:
    """Return the rows that have any figure."""
    return [row for row in rows if row.is_known]
