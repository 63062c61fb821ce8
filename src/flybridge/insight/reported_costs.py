"""Costs as AppsFlyer reports them, as rows of the store: aggregate reports, the Master API, Cost ETL files. Pure.

Not every network says in which countries it spends. What the report by source has more than the one by country is kept
without a country, so that sources and campaigns add up to what AppsFlyer says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.aggregate import AggregateRow
from flybridge.appsflyer.cost_file import CostFileRow
from flybridge.appsflyer.master import MasterRow
from flybridge.insight.metrics import MICRO, add
from flybridge.store.performance import CostRow, country_label, day_number, label, source_label

ROUNDING: Final = 10_000
"""Less than this, in millionths, is the rounding of two reports and not a cost without a country."""


class _Figures(Struct):
    """Sums, where None is not known."""

    spend: int | None = None
    clicks: int | None = None
    impressions: int | None = None

    def take(self, spend: float | None, clicks: int | None, impressions: int | None) -> None:
        self.spend = add(self.spend, _micros(spend))
        self.clicks = add(self.clicks, clicks)
        self.impressions = add(self.impressions, impressions)

    @property
    def is_known(self) -> bool:
        return not self.spend is self.clicks is self.impressions is None


Campaign = tuple[int, str, str]
"""Day, media source and campaign, as they are counted."""
Place = tuple[int, str, str, str]
"""The same with the country."""


def costs_of_aggregates(
    app: str, currency: str, by_source: Iterable[AggregateRow], by_country: Iterable[AggregateRow]
) -> list[CostRow]:
    """Return the costs in two reports about the same days. `currency` is that of their amounts."""
    places: defaultdict[Place, _Figures] = defaultdict(_Figures)
    totals: defaultdict[Campaign, _Figures] = defaultdict(_Figures)
    known: defaultdict[Campaign, _Figures] = defaultdict(_Figures)
    for row in by_country:
        campaign = _campaign(row.day, row.media_source, row.campaign)
        places[*campaign, country_label(row.country)].take(row.cost, row.clicks, row.impressions)
        known[campaign].take(row.cost, row.clicks, row.impressions)
    for row in by_source:
        totals[_campaign(row.day, row.media_source, row.campaign)].take(row.cost, row.clicks, row.impressions)
    for campaign, total in totals.items():
        part = known[campaign]
        nowhere = places[*campaign, ""]
        nowhere.spend = add(nowhere.spend, _rest(total.spend, part.spend, ROUNDING))
        nowhere.clicks = add(nowhere.clicks, _rest(total.clicks, part.clicks, 1))
        nowhere.impressions = add(nowhere.impressions, _rest(total.impressions, part.impressions, 1))
    return _rows(app, currency, places)


def costs_of_master(app: str, currency: str, rows: Iterable[MasterRow]) -> list[CostRow]:
    """Return the costs in a report of the Master API."""
    places: defaultdict[Place, _Figures] = defaultdict(_Figures)
    for row in rows:
        place = (*_campaign(row.day, row.media_source, row.campaign), country_label(row.country))
        places[place].take(row.cost, row.clicks, row.impressions)
    return _rows(app, currency, places)


def costs_of_files(app: str, currency: str, rows: Iterable[CostFileRow]) -> list[CostRow]:
    """Return the costs of one app in Cost ETL files. `currency` is that of rows which name none."""
    places: defaultdict[str, defaultdict[Place, _Figures]] = defaultdict(lambda: defaultdict(_Figures))
    for row in rows:
        place = (*_campaign(row.day, row.media_source, row.campaign), country_label(row.country))
        places[row.currency or currency][place].take(row.cost, row.clicks, row.impressions)
    return [row for code, of_code in places.items() for row in _rows(app, code, of_code)]


def runs_of_days(days: Iterable[int]) -> list[tuple[int, int]]:
    """Return days without gaps between them as their first and last."""
    runs: list[tuple[int, int]] = []
    for day in sorted(set(days)):
        if runs and runs[-1][1] == day - 1:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


def _campaign(day: date, source: str, campaign: str) -> Campaign:
    return day_number(day), source_label(source), label(campaign)


def _micros(amount: float | None) -> int | None:
    return None if amount is None else round(amount * MICRO)


def _rest(total: int | None, part: int | None, least: int) -> int | None:
    """Return what is in a total and in no part. A part may be more than it: the reports are not of one moment."""
    if total is None:
        return None
    rest = total - (part or 0)
    return rest if part is None or rest >= least else None


def _rows(app: str, currency: str, places: defaultdict[Place, _Figures]) -> list[CostRow]:
    return [
        CostRow(app, day, source, campaign, country, currency, it.spend, it.clicks, it.impressions)
        for (day, source, campaign, country), it in places.items()
        if it.is_known
    ]
