"""In whatever order, and however often, the same messages come: the performance counters are what they say."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from empty_stores import write_empty_store
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.counting import Counting
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.performance import LABELS, Slice, date_of
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_780_000_000_000
FLOW = Flow(
    {
        "shop": AppFlow(
            Rules(app="shop", platform="android", exclude=("left_out",)), counting=Counting(rates={"EUR": 1.25})
        )
    },
    Keyring(b"secret"),
)
EVERYTHING = Slice(0, 40_000, 40_000, frozenset({*LABELS, "event"}))
SOURCES = {"organic": None, "restricted": None, "Facebook Ads": "spring", "tiktok_int": "summer"}
KNOWN = {"custom_data": json.dumps({"amplitude_device_id": "device-of-ann"})}

people = st.integers(1, 3)
days = st.integers(0, 95)
sources = st.sampled_from(sorted(SOURCES))
money = st.sampled_from([(None, None), (5, "USD"), (-5, "USD"), (4, "EUR"), (100, "JPY")])
events = st.tuples(people, days, st.sampled_from(["af_purchase", "level", "left_out"]), money)


def attribution(source: str) -> dict[str, Any]:
    """Build the fields of a source as AppsFlyer reports them."""
    kind = {"campaign_type": "organic"} if source == "organic" else {"campaign_type": "ua"}
    return {"media_source": source, "campaign": SOURCES[source], **kind}


def install(person: int, source: str) -> dict[str, Any]:
    """Build an install. Each person's is at a day and time of their own."""
    time = f"2026-0{person}-10 22:44:0{person}"
    return {
        "appsflyer_id": f"1-{person}", "event_name": "install", "conversion_type": "install", "event_time": time,
        "install_time": time, "country_code": "DE", **attribution(source),
    }  # fmt: skip


def acted(source: str, number: int, event: tuple[Any, ...]) -> dict[str, Any]:
    """Build an in-app event; no two are the same."""
    person, day, name, (amount, currency) = event
    return {
        "appsflyer_id": f"1-{person}", "event_name": name, "conversion_type": "install",
        "event_time": f"{date_of(day_of_install(person) + day)} 23:00:{number:02}.500",
        "install_time": f"2026-0{person}-10 22:44:0{person}", "country_code": "FR", **attribution(source),
        "event_revenue": amount, "event_revenue_currency": currency,
    }  # fmt: skip


def day_of_install(person: int) -> int:
    """Return the day on which a person installed."""
    return {1: 20_463, 2: 20_494, 3: 20_522}[person]


async def _counted(batches: list[list[dict[str, Any]]]) -> tuple[Counter[Any], Counter[Any]]:
    """File messages in these batches. Returns the sums by day, and those by day after the install."""
    with tempfile.TemporaryDirectory() as place:
        store = SqliteStore(write_empty_store(Path(place) / "store.db"), Seal(b"secret"))
        await store.open()
        number = 0
        for batch in batches:
            filings = []
            for message in batch:
                number += 1
                body = json.dumps(message).encode()
                filings.append(FLOW.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body, f"r{number}")))
            await store.file(filings, NOW_MS)
        sums, curves = Counter[Any](), Counter[Any]()
        for row in await store.performance(EVERYTHING):
            at = (row.labels.day, row.labels.media_source, row.labels.country, row.kind, row.event)
            for name in ("n", "revenue", "not_converted"):
                sums[(*at, name)] += getattr(row, name)
        for point in await store.curves(EVERYTHING):
            at = (point.labels.day, point.labels.media_source, point.labels.country, point.kind, point.offset)
            for name in ("active", "payers", "events", "revenue", "not_converted"):
                curves[(*at, name)] += getattr(point, name)
        assert await store.audit() == []
        await store.close()
    return Counter({at: n for at, n in sums.items() if n}), Counter({at: n for at, n in curves.items() if n})


def _true(came: dict[int, str], happened: list[tuple[Any, ...]]) -> tuple[Counter[Any], Counter[Any]]:
    """Say what the counters must be, in the simplest way."""
    sums, curves = Counter[Any](), Counter[Any]()
    active: set[tuple[int, int]] = set()
    paid: dict[int, int] = {}
    for person, source in came.items():
        sums[day_of_install(person), source, "DE", "install", "", "n"] += 1
        active.add((person, 0))
    for person, day, name, (amount, currency) in happened:
        micros = {"USD": 1_000_000, "EUR": 1_250_000}.get(currency, 0) * (amount or 0)
        at = (day_of_install(person) + day, came[person], "FR", "event", name)
        sums[(*at, "n")] += 1
        sums[(*at, "revenue")] += micros
        sums[(*at, "not_converted")] += currency == "JPY"
        if day > 90:
            continue
        active.add((person, day))
        cohort = (day_of_install(person), came[person], "DE", "install", day)
        curves[(*cohort, "events")] += 1
        curves[(*cohort, "revenue")] += micros
        curves[(*cohort, "not_converted")] += currency == "JPY"
        if (amount or 0) > 0:
            paid[person] = min(day, paid.get(person, 99))
    for person, day in active:
        curves[day_of_install(person), came[person], "DE", "install", day, "active"] += 1
    for person, day in paid.items():
        curves[day_of_install(person), came[person], "DE", "install", day, "payers"] += 1
    return Counter({at: n for at, n in sums.items() if n}), Counter({at: n for at, n in curves.items() if n})


@settings(max_examples=60, deadline=None)
@given(st.lists(events, max_size=8), st.tuples(sources, sources, sources), st.data())
def test_any_order_and_any_number_of_copies_count_the_same(happened, came, data):
    """Also events before their install, events that are filtered, and events of people whom nobody knows."""
    truth = {person: came[person - 1] for person in (1, 2, 3)}
    messages = [install(person, source) for person, source in truth.items()]
    messages += [acted(truth[event[0]], number, event) for number, event in enumerate(happened)]
    messages = [message | (KNOWN if data.draw(st.booleans()) else {}) for message in messages]
    copies = data.draw(st.lists(st.sampled_from(messages), max_size=6))
    order = data.draw(st.permutations(messages + copies))
    cut = data.draw(st.integers(0, len(order)))
    assert asyncio.run(_counted([order[:cut], order[cut:]])) == _true(truth, happened)


@settings(max_examples=40, deadline=None)
@given(st.lists(events, max_size=6), st.lists(sources, min_size=2, max_size=3, unique=True), st.data())
def test_a_corrected_attribution_moves_the_sums_whatever_comes_first(happened, claims, data):
    """Several messages about one install name different sources: one counts, the same in any order."""
    happened = [(1, *event[1:]) for event in happened]
    messages = [install(1, source) for source in claims]
    messages += [acted(claims[0], number, event) for number, event in enumerate(happened)]
    first = asyncio.run(_counted([messages]))
    order = data.draw(st.permutations(messages + data.draw(st.lists(st.sampled_from(messages), max_size=4))))
    cut = data.draw(st.integers(0, len(order)))
    assert asyncio.run(_counted([order[:cut], order[cut:]])) == first
    installs = [at for at in first[0] if at[3] == "install"]
    assert [at[1] for at in installs] == [max(claims, key=_named)]


def _named(source: str) -> tuple[int, str]:
    return ({"organic": 0, "restricted": 1}.get(source, 2), source)
