"""Pull the costs of an app: from AppsFlyer's Aggregate Pull API or Master API, and from Cost ETL files.

Costs are corrected up to 88 days later, so that a pull asks for 90 days each time and replaces what was known of them.
A report that is refused, or has no rows, leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from flybridge.appsflyer import aggregate, master
from flybridge.appsflyer.aggregate import AggregateReport
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused, ReportTooLarge
from flybridge.config.apps import AppInsight
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse
from flybridge.insight.reported_costs import costs_of_aggregates, costs_of_files, costs_of_master, runs_of_days
from flybridge.operations.cost_files import read_cost_files
from flybridge.operations.whole_report import whole_report
from flybridge.records import HOUR_MS
from flybridge.store.performance import CostRow, date_of, day_number
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable
from flybridge.wiring import appsflyer_account_of

T = TypeVar("T")

CORRECTED_DAYS: Final = 90
NAMED: Final = 20
"""How many apps are named at most of which files are."""
STATE: Final = "costs "


class CostPlan(Struct, frozen=True):
    """Where an app's costs come from: `origin` is `aggregate`, `master` or `etl`.

    `insight` has the zone and the currency that the app has in AppsFlyer.
    """

    app: str
    origin: str
    insight: AppInsight
    account: AppsFlyerAccount
    every_ms: int


def cost_plans_of(config: Config, *, ask_anyway: bool = False) -> list[CostPlan]:
    """Return where the costs of each app come from by the configuration.

    With `ask_anyway` an app without any such setting is asked about by the Aggregate Pull API, if it has an API token.
    """
    plans, every_ms = [], round(config.insight.costs_every_hours * HOUR_MS)
    for app in config.apps:
        chosen, account = app.insight, appsflyer_account_of(app)
        origin = chosen.costs
        if origin == "nowhere" and ask_anyway and account is not None and chosen.cost_files is None:
            origin = "aggregate"
        if origin != "nowhere" and account is not None:
            plans.append(CostPlan(app.name, origin, chosen, account, every_ms))
        if chosen.cost_files is not None:
            of_app = account or AppsFlyerAccount(app.appsflyer_app_id, "")
            plans.append(CostPlan(app.name, "etl", chosen, of_app, every_ms))
    return plans


class CostPull(Struct, frozen=True):
    """How an app's costs stand: what was pulled last, and why it was not since, if it was not."""

    app: str
    origin: str
    pulled_ms: int = 0
    rows: int = 0
    first: int = 0
    last: int = 0
    problem: str = ""


async def pull(plan: CostPlan, store: Store, download: Download, *, first: int, last: int, now_ms: int) -> CostPull:
    """Pull the costs of these days and keep them. Raises `ReportRefused`, and `TransportError` without an answer."""
    if plan.origin == "etl":
        assert plan.insight.cost_files is not None, "the plan has seen to it"
        found = await asyncio.to_thread(read_cost_files, plan.insight.cost_files)
        rows = costs_of_files(plan.app, plan.account.app_id, plan.insight.currency, found)
        if found and not rows:
            named = ", ".join(sorted({row.app_id for row in found})[:NAMED])
            raise ReportRefused(f"{plan.insight.cost_files} is about {named}: compare that with appsflyer_app_id.")
        await replace_by_files(store, plan.app, rows)
        days = [row.day for row in rows] or [last]
        first, last = min(days), max(days)
    elif plan.origin == "master":
        rows, first, last = await _from_master(plan, download, first, last)
        await store.replace_costs(plan.app, "master", rows, days=(first, last))
    else:
        rows = await _from_aggregates(plan, download, first, last)
        await store.replace_costs(plan.app, "aggregate", rows, days=(first, last))
    done = CostPull(plan.app, plan.origin, now_ms, len(rows), first, last)
    await note(store, done)
    return done


async def replace_by_files(store: Store, app: str, rows: Sequence[CostRow]) -> None:
    """Replace what Cost ETL files have said about these days."""
    for first, last in runs_of_days(row.day for row in rows):
        within = [row for row in rows if first <= row.day <= last]
        await store.replace_costs(app, "etl", within, days=(first, last))


async def note(store: Store, pulled: CostPull) -> None:
    """Keep how an app's costs stand."""
    await store.put_state(f"{STATE}{pulled.app} {pulled.origin}", msgspec.json.encode(pulled))


async def standing(store: Store) -> list[CostPull]:
    """Return how the costs of all apps stand."""
    return list(readable(await store.states(STATE), msgspec.json.Decoder(CostPull).decode).values())


async def _from_aggregates(plan: CostPlan, download: Download, first: int, last: int) -> list[CostRow]:
    found: dict[AggregateReport, list[aggregate.AggregateRow]] = {}
    currency = ""
    for report in (AggregateReport.PARTNERS_BY_DATE, AggregateReport.GEO_BY_DATE):
        request = partial(aggregate.request, plan.account, report, timezone=plan.insight.timezone)
        spans = _pieces(first, last, aggregate.LONGEST_DAYS)
        read = await _reports(download, request, partial(aggregate.read, report=report), spans)
        found[report] = [row for one in read for row in one.rows]
        currency = next((one.currency for one in reversed(read) if one.currency), currency)
    by_source, by_country = found.values()
    if not by_source:
        raise _empty(plan)
    return costs_of_aggregates(plan.app, currency or plan.insight.currency, by_source, by_country)


async def _from_master(plan: CostPlan, download: Download, first: int, last: int) -> tuple[list[CostRow], int, int]:
    fresh = master.freshness_request(plan.account)
    last = min(last, day_number(await whole_report(download, fresh, master.read_freshness)))
    request = partial(master.request, plan.account, own_zone=plan.insight.timezone != "UTC")
    read = await _reports(download, request, master.read, _pieces(first, last, master.LONGEST_DAYS))
    rows = [row for one in read for row in one]
    if not rows:
        raise _empty(plan)
    return costs_of_master(plan.app, plan.insight.currency, rows), first, last


async def _reports(
    download: Download,
    request: Callable[[date, date], HttpRequest],
    read: Callable[[HttpResponse], T],
    spans: Sequence[tuple[date, date]],
) -> list[T]:
    """Return what is read of the reports of these spans of days. One that is too large is asked for in halves."""
    pending, found = list(spans), list[T]()
    while pending:
        (since, until), *pending = pending
        try:
            found.append(await whole_report(download, request(since, until), read))
        except ReportTooLarge:
            if since == until:
                raise
            half = (until - since).days // 2
            pending = [(since, since + timedelta(days=half)), (since + timedelta(days=half + 1), until), *pending]
    return found


def _empty(plan: CostPlan) -> ReportRefused:
    return ReportRefused(
        f"AppsFlyer's report about {plan.account.app_id} has no rows: what was known of its costs stays."
    )


def _pieces(first: int, last: int, longest: int) -> Sequence[tuple[date, date]]:
    """Return ranges of about the same length: a rest of a day or two would have AppsFlyer's quota of short ranges."""
    days = last - first + 1
    count = -(-days // longest)
    starts = [first + days * number // count for number in range(count + 1)]
    return [(date_of(since), date_of(until - 1)) for since, until in pairwise(starts)]
