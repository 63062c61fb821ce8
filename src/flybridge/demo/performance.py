"""The comparison of performance: every metric that flybridge shows, against what the generator made.

By source, campaign, country and day, and by all of these together, for each app in its own zone and currency. Costs
are pulled from the sandbox first, as `flybridge costs pull` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.appsflyer.report import ReportRefused
from flybridge.config.apps import App, Route
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download
from flybridge.demo.true_performance import Group, MoneyRules, true_metrics
from flybridge.errors import TransportError
from flybridge.insight.metrics import METRICS, MONEY, Figures, values
from flybridge.insight.performance import AppScope, Question, read_performance
from flybridge.operations.pull_costs import CostPlan, cost_plans_of, pull
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.reported import Reported, idle_days
from flybridge.sandbox.traffic.truth import Fate
from flybridge.sandbox.vendors.aggregates import PER_USD
from flybridge.store.performance import date_of, day_number
from flybridge.store.protocol import Store
from flybridge.wiring import scopes_of

GROUPINGS: Final = (
    (), ("media_source",), ("media_source", "campaign"), ("country",), ("date",),
    ("media_source", "campaign", "country", "date"),
)  # fmt: skip
CENT: Final = 0.005
PULLS: Final = 10
"""Tries to pull costs."""
CALLS: Final = 4_000
NOTHING: Final = values(Figures())
"""The metrics of a group in which nothing happened: it has no row."""


class PerformanceVerdict(Struct, frozen=True):
    """How one app's figures compare: how many were compared, and those that are not the true ones."""

    app: str
    compared: int
    differences: Sequence[str]


class PerformanceTruth(Struct, frozen=True):
    """What is known of the traffic: facts by AppsFlyer app id, and installations that were given to a person."""

    facts: Mapping[str, Sequence[Reported]]
    reached: frozenset[str]


def truth_of(messages: Sequence[TrafficMessage]) -> PerformanceTruth:
    """Return what the messages of a traffic say about performance."""
    facts: defaultdict[str, list[Reported]] = defaultdict(list)
    reached = set()
    for message in messages:
        if message.reported is not None:
            facts[message.reported.app_id].append(message.reported)
        if message.truth.v2.fate is Fate.DELIVERED and message.truth.appsflyer_id is not None:
            reached.add(message.truth.appsflyer_id)
    for known in facts.values():
        known.extend(idle_days(known))
    return PerformanceTruth(facts, frozenset(reached))


async def tell_sandbox(sandbox: SandboxClient, config: Config, truth: PerformanceTruth) -> None:
    """Hand the sandbox what AppsFlyer knows of the traffic, and each app's settings there.

    A comparison asks again what fails as it is scripted to, and may: a day's quota is not what is tried.
    """
    await sandbox.post("reports/quota", calls=f"{CALLS}")
    for app in config.apps:
        id_, insight = app.appsflyer_app_id, app.insight
        await sandbox.post("reports/app", app=id_, timezone=insight.timezone, currency=insight.currency)
        await sandbox.post("reports/facts", msgspec.json.Encoder().encode_lines(truth.facts.get(id_, ())))


async def compare_performance(
    config: Config, store: Store, download: Download, truth: PerformanceTruth, now_ms: int
) -> list[PerformanceVerdict]:
    """Pull the costs of the traffic's days, and compare every metric of every app.

    `now_ms` is the sandbox's time. Raises `ReportRefused` if the sandbox gives no report.
    """
    scopes = {scope.name: scope for scope in scopes_of(config, now_ms)}
    plans = {plan.app: plan for plan in cost_plans_of(config, ask_anyway=True)}
    found = []
    for app in config.apps:
        facts = truth.facts.get(app.appsflyer_app_id, ())
        if not facts:
            continue
        days = [day_number(_rules(app).day(ms)) for fact in facts for ms in (fact.install_ms, fact.time_ms)]
        first, last = min(days), max(days)
        await _pull(plans[app.name], store, download, first=first, last=last, now_ms=now_ms)
        found.append(await _compare(app, scopes[app.name], store, truth, first=first, last=last))
    return found


async def _pull(plan: CostPlan, store: Store, download: Download, *, first: int, last: int, now_ms: int) -> None:
    """Pull costs, again where the sandbox fails as it is scripted to."""
    for left in reversed(range(PULLS)):
        try:
            await pull(plan, store, download, first=first, last=last, now_ms=now_ms)
        except (ReportRefused, TransportError):
            if not left:
                raise
        else:
            return


def _rules(app: App) -> MoneyRules:
    return MoneyRules(app.insight.timezone, app.insight.currency, app.insight.rates)


async def _compare(
    app: App, scope: AppScope, store: Store, truth: PerformanceTruth, *, first: int, last: int
) -> PerformanceVerdict:
    facts, rules = truth.facts[app.appsflyer_app_id], _rules(app)
    # On the route attribution Amplitude does not say whom it finds.
    names = [name for name in METRICS if name != "matched_share" or app.route is Route.HTTP_V2]
    compared, wrong = 0, list[str]()
    for by in GROUPINGS:
        answer = await read_performance(store, [scope], Question(first, last, by))
        shown: dict[Group, Mapping[str, Any]] = {}
        for row in answer.rows:
            plain = row.as_dict()
            shown[tuple(plain[name] or "" for name in by)] = plain
        true = true_metrics(
            facts, by, rules=rules, per_usd=PER_USD[rules.currency], today=date_of(scope.today),
            reached=truth.reached,
        )  # fmt: skip
        for group in sorted({*shown, *true}):
            is_one, must_be = shown.get(group, {}), true.get(group, {})
            for name in names:
                compared += 1
                if not _same(name, is_one.get(name), must_be.get(name)):
                    where = ", ".join(group) or "in all"
                    wrong.append(f"{name} of {where} is {is_one.get(name)}, and must be {must_be.get(name)}.")
    return PerformanceVerdict(app.name, compared, wrong)


def _same(name: str, shown: float | None, true: float | None) -> bool:
    if shown is None or true is None:
        return shown is true
    if METRICS[name].unit == MONEY:
        return abs(shown - true) < CENT
    return isclose(shown, true, rel_tol=1e-6, abs_tol=1e-6)
