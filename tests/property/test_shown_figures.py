"""Every figure of performance is the one that a count of single facts finds: by any labels and filters, on any day.

Apps of different zones, currencies and rates, about days on which their clocks change; messages in any order and
several times; blocked, secondary and uninstall messages among them; costs of several origins.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from counted_anew import (
    BEGUN,
    DAY,
    EVENTS,
    HORIZONS,
    ORIGINS,
    App,
    Asked,
    Cost,
    Fact,
    added,
    cohorts_of,
    true_figures,
    true_values,
    with_spend,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from empty_stores import write_empty_store
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.insight import metrics
from flybridge.insight.cohorts import COHORT_METRICS, GRAINS, read_cohorts
from flybridge.insight.costs import COLUMNS, read_costs
from flybridge.insight.performance import AppScope, Question, read_performance
from flybridge.mapping.counting import Counting
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.performance import CostRow, date_of, day_number
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_790_000_000_000
SHOP = App("shop", "Europe/Berlin", "EUR", (("USD", 0.5), ("GBP", 1.25)), "android")
GAME = App("game", "Australia/Lord_Howe", "USD", (("EUR", 2.0),), "ios")
APPS = (SHOP, GAME)
FLOW = Flow(
    {
        app.name: AppFlow(
            Rules(app=app.name, platform=app.platform),
            counting=Counting(timezone=app.zone, currency=app.currency, rates=dict(app.rates)),
        )
        for app in APPS
    },
    Keyring(b"secret"),
)
CLOCKS_CHANGE = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin: a day of 23 hours
    datetime(2025, 10, 26, 1, tzinfo=UTC),  # of 25
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe: of 24 and a half
]
SOURCES = {"organic": [""], "restricted": [""], "Facebook Ads": ["spring", ""], "tiktok_int": ["spring", "summer"]}
KINDS = [*["event"] * 5, "secondary", "blocked", "retargeted", "re-engagement", "re-attribution", "reinstall",
         "uninstall"]  # fmt: skip

apps = st.sampled_from(APPS)
countries = st.sampled_from(["DE", "FR", ""])
changes = st.sampled_from(CLOCKS_CHANGE)
moments = st.builds(
    lambda change, minutes, seconds: change + timedelta(minutes=minutes, seconds=seconds),
    changes,
    st.integers(-180, 180).map(lambda half_hours: 30 * half_hours) | st.integers(-6_000, 6_000),
    st.integers(0, 59),
)
amounts = st.sampled_from(
    [(None, None, None), (5.0, "USD", None), (-5.0, "USD", -5.0), (4.5, "EUR", 9.0), (100.0, "JPY", None),
     (100.0, "JPY", 0.75), (0.0, "JPY", None), (0.01, "GBP", None), (1234.56, "EUR", None)]
)  # fmt: skip


@st.composite
def people(draw: Callable[..., Any], person: int) -> list[Fact]:
    """Draw one person: the install, which may never come, and what followed or came before it."""
    installed, source = draw(moments), draw(st.sampled_from(sorted(SOURCES)))
    campaign = draw(st.sampled_from(SOURCES[source]))
    came = Fact(draw(apps), person, "install", installed, installed, source, campaign, draw(countries))
    found = [came] if draw(st.integers(0, 5)) else []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(KINDS))
        later = timedelta(minutes=draw(st.integers(-60, 3_000) | st.integers(0, 140_000)), seconds=1)
        fact = came._replace(kind=kind, at=installed + later, country=draw(countries))
        if kind in (*EVENTS, "secondary", "blocked"):
            fact = fact._replace(event=draw(st.sampled_from(["af_purchase", "level"])))
        if kind in (*EVENTS, "secondary"):
            fact = Fact(*fact[:9], *draw(amounts))
        if kind in ("retargeted", "re-engagement", "re-attribution"):
            fact = fact._replace(source="criteo_int", campaign="back")
        if kind in ("re-attribution", "reinstall"):
            fact = fact._replace(installed=installed + abs(later))
        found.append(fact)
        if kind == "event" and draw(st.booleans()):
            found.append(fact._replace(kind="secondary", source="criteo_int"))
    return list({(one.kind, one.event, one.at, one.installed): one for one in found}.values())


@st.composite
def happenings(draw: Callable[..., Any]) -> list[Fact]:
    """Draw what some people did."""
    return [fact for person in range(draw(st.integers(1, 6))) for fact in draw(people(person))]


@st.composite
def costs_of(draw: Callable[..., Any]) -> list[Cost]:
    """Draw costs, each place of an origin once."""
    found = {}
    for _ in range(draw(st.integers(0, 8))):
        day = (draw(changes) + draw(st.integers(-4, 4)) * DAY).date()
        source = draw(st.sampled_from(["Facebook Ads", "tiktok_int", "Bing Ads"]))
        place = (draw(apps), draw(st.sampled_from(ORIGINS)), day, source, draw(st.sampled_from(["spring", ""])),
                 draw(countries), draw(st.sampled_from(["USD", "EUR", "SEK"])))  # fmt: skip
        spend, clicks = draw(st.sampled_from([None, 0.0, 10.5, 99.99])), draw(st.sampled_from([None, 0, 7]))
        found[place] = (spend, clicks, draw(st.sampled_from([None, 0, 1000])))
    return [Cost(*place, *figures) for place, figures in found.items()]


@st.composite
def questions(draw: Callable[..., Any], labels: Sequence[str]) -> Asked:
    """Draw a question, by some of these labels."""
    first = draw(changes).date() + draw(st.integers(-6, 2)) * DAY
    last = first + draw(st.sampled_from([0, 1, 3, 8, 30, 400])) * DAY
    by = draw(st.lists(st.sampled_from(labels), max_size=3, unique=True))
    filters = {"media_source": sorted(SOURCES), "campaign": ["spring", "back"], "country": ["DE", "FR"],
               "platform": ["ios", "android"]}  # fmt: skip
    chosen = {name: draw(st.sampled_from(values)) for name, values in filters.items() if not draw(st.integers(0, 3))}
    today = last + draw(st.integers(0, 100)) * DAY
    return Asked(first, last, tuple(by), chosen, {"shop": today, "game": today + draw(st.integers(0, 1)) * DAY})


def message(fact: Fact) -> dict[str, Any]:
    """Write a fact as AppsFlyer posts it."""
    at = fact.installed if fact.kind in BEGUN else fact.at
    is_retargeted = fact.kind in ("re-engagement", "re-attribution", "retargeted")
    conversions = {"re-attribution": "reinstall", "retargeted": "re-engagement", "re-engagement": "re-engagement",
                   "reinstall": "reinstall"}  # fmt: skip
    said = {
        "appsflyer_id": f"{fact.person}-1",
        "event_name": fact.event or fact.kind,
        "conversion_type": conversions.get(fact.kind, "install"),
        "campaign_type": "organic" if fact.source == "organic" else "retargeting" if is_retargeted else "ua",
        "media_source": fact.source,
        "campaign": fact.campaign or None,
        "country_code": fact.country or None,
        "event_time": f"{at:%Y-%m-%d %H:%M:%S}.000",
        "install_time": f"{fact.installed:%Y-%m-%d %H:%M:%S}",
        "event_revenue": fact.amount,
        "event_revenue_currency": fact.currency,
        "event_revenue_usd": fact.usd,
        "is_primary_attribution": False if fact.kind == "secondary" else None,
        "blocked_reason": "bots" if fact.kind == "blocked" else None,
    }
    return {name: value for name, value in said.items() if value is not None}


@asynccontextmanager
async def filed(
    batches: Sequence[Sequence[Fact]], costs: Sequence[Cost], max_cells: int = 20_000
) -> AsyncIterator[SqliteStore]:
    """Return a store that has got facts as messages, and costs as their origins bring them."""
    with tempfile.TemporaryDirectory() as place:
        store = SqliteStore(write_empty_store(Path(place) / "store.db"), Seal(b"secret"), max_cells)
        await store.open()
        for number, batch in enumerate(batches):
            envelopes = [
                Envelope(fact.app.name, Source.PUSH, Media.JSON, NOW_MS, json.dumps(message(fact)).encode(),
                         f"{number}-{at}")
                for at, fact in enumerate(batch)
            ]  # fmt: skip
            await store.file(FLOW.filings(envelopes), NOW_MS)
        for app in APPS:
            for origin in ORIGINS:
                if own := [cost for cost in costs if (cost.app, cost.origin) == (app, origin)]:
                    await _take(store, app, origin, own)
        yield store
        assert await store.audit() == []
        await store.close()


async def _take(store: SqliteStore, app: App, origin: str, costs: Sequence[Cost]) -> None:
    if origin == "csv":
        values = ([cost.day, *cost[3:6], cost.spend, cost.currency, *cost[8:]] for cost in costs)
        lines = [",".join("" if value is None else str(value) for value in line) for line in values]
        read = read_costs([",".join(COLUMNS), *lines], app.name, app.currency)
        assert not read.bad
        await store.replace_costs(app.name, origin, read.rows, days=read.days, every_source=False)
        return
    rows = [
        CostRow(app.name, day_number(cost.day), *cost[3:7], None if cost.spend is None else round(cost.spend * 1e6),
                *cost[8:])
        for cost in costs
    ]  # fmt: skip
    await store.replace_costs(app.name, origin, rows, days=(0, 40_000))


def scope_of(app: App, asked: Asked) -> AppScope:
    """Return what reports have to know of an app."""
    today = day_number(asked.today[app.name])
    return AppScope(app.name, app.currency, dict(app.rates), app.platform, today, app.zone)


def same(shown: Mapping[Any, Any], true: Mapping[Any, Any]) -> bool:
    """Whether values are the same by name, but for how sums are rounded."""
    return all(shown[name] == pytest.approx(value, abs=2e-6) for name, value in true.items())


async def _compare_metrics(
    batches: list[list[Fact]], costs: list[Cost], questions: list[Asked], max_cells: int = 20_000
) -> None:
    async with filed(batches, costs, max_cells) as store:
        for asked in questions:
            one = asked._replace(by=tuple(dict.fromkeys(("app", *asked.by))))
            question = Question(day_number(one.first), day_number(one.last), one.by, **one.filters)
            found = await read_performance(store, [scope_of(app, one) for app in APPS], question)
            true = true_figures(list({fact for batch in batches for fact in batch}), costs, one)
            shown = {}
            for row in found.rows:
                labels = row.labels | ({"day": date_of(row.labels["day"])} if "day" in one.by else {})
                shown[tuple(labels[name] for name in one.by)] = row.as_dict()
            total = true.pop(None, {})
            assert set(shown) == set(true)
            for group, values in true.items():
                assert same(shown[group], values), (one, group)
            plain = {name: value for name, value in total.items() if not metrics.of_money(metrics.METRICS[name])}
            assert same(found.totals(), plain), one


@settings(max_examples=40)
@given(happenings(), costs_of(), st.data())
def test_every_metric_is_the_true_one(happened, costs, data):
    """Those of each group, and of all together what can be added up over currencies."""
    labels = ["app", "day", "media_source", "campaign", "country", "platform", "event"]
    asked = data.draw(st.lists(questions(labels), min_size=1, max_size=6))
    copies = data.draw(st.lists(st.sampled_from(happened), max_size=4)) if happened else []
    order = data.draw(st.permutations(happened + copies))
    cut = data.draw(st.integers(0, len(order)))
    asyncio.run(_compare_metrics([order[:cut], order[cut:]], costs, asked))


@settings(max_examples=30)
@given(happenings(), costs_of(), questions(["app", "day"]), st.integers(1, 6))
def test_every_day_is_the_true_one_beyond_the_limit_of_cells(happened, costs, asked, max_cells):
    """Names are lost, and nothing else."""
    half = len(happened) // 2
    batches = [happened[:half], happened[half:]]
    asyncio.run(_compare_metrics(batches, costs, [asked._replace(filters={})], max_cells))


async def _compare_cohorts(happened: list[Fact], costs: list[Cost], asked: Asked, metric: str, grain: str) -> None:
    app = next(app for app in APPS if app.name == asked.filters["app"])
    filters = {name: value for name, value in asked.filters.items() if name != "app"}
    question = Question(day_number(asked.first), day_number(asked.last), asked.by, **filters)
    async with filed([happened], costs) as store:
        found = await read_cohorts(store, scope_of(app, asked), question, COHORT_METRICS[metric], grain=grain)
    true, today = cohorts_of(happened, costs, asked, metric, grain), asked.today[app.name]
    shown = {(date_of(one.first), tuple(one.labels[name] for name in asked.by)): one.as_dict() for one in found.cohorts}
    assert set(shown) == set(true)
    compared = with_spend(list(true.values()), costs, asked) if metric == "roas" else list(true.values())
    for at, one in true.items():
        spend = added(cost.money for cost in one.costs)
        assert (shown[at]["installs"], shown[at]["spend"]) == (len(one.lives), pytest.approx(spend, abs=2e-6))
        assert equal(shown[at]["values"], [value for value, _ in true_values(metric, [one][: one in compared], today)])
    of_groups = {group: [one for one in compared if one.group == group] for _, group in true}
    for curve, some in [
        (found.whole, compared),
        *((curve, of_groups.pop(tuple(curve.labels[name] for name in asked.by))) for curve in found.groups),
    ]:
        values, counted = zip(*true_values(metric, some, today), strict=True)
        assert (equal(curve.values, values), tuple(curve.counted)) == (True, counted)
    assert of_groups == {}


def equal(shown: Sequence[float | None], true: Sequence[float | None]) -> bool:
    """Whether values are the same, but for how sums are rounded."""
    return list(shown) == [value if value is None else pytest.approx(value, abs=2e-6) for value in true]


@settings(max_examples=40)
@given(happenings(), costs_of(), questions(["media_source", "campaign", "country", "platform"]), st.data())
def test_every_cohort_is_the_true_one(happened, costs, asked, data):
    """By day, week or month, of each metric, and together; none has a value of a day that is not over."""
    asked = asked._replace(filters={**asked.filters, "app": data.draw(apps).name})
    metric, grain = data.draw(st.sampled_from(sorted(COHORT_METRICS))), data.draw(st.sampled_from(GRAINS))
    asyncio.run(_compare_cohorts(happened, costs, asked, metric, grain))


def test_the_oracle_knows_all_horizons():
    """A horizon that it does not know would not be looked at."""
    assert HORIZONS == metrics.HORIZONS
