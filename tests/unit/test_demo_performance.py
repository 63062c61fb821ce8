"""What the demo compares performance with: true for what was made, and a mistake of any kind is found."""

from __future__ import annotations

from collections import Counter
from datetime import date

import msgspec
import pytest
import pytest_asyncio
from msgspec import structs

from flybridge.config.settings import loads
from flybridge.demo.performance import PerformanceTruth, compare_performance, tell_sandbox, truth_of
from flybridge.insight.performance import Question, read_performance
from flybridge.records import Envelope, Media, Source
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.reported import SPENDING, AdSpend
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficOptions, generate
from flybridge.sealing import Seal
from flybridge.store.performance import day_number
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.inside import Inside
from flybridge.wiring import build_flow, scopes_of

DAY_MS = 86_400_000
NOW_MS = START_MS + 60 * DAY_MS
APP = "id1234567890"
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "id1234567890"
platform = "ios"
appsflyer.push_token = "push-token"
appsflyer.api_token = "token"
appsflyer.base_url = "http://sandbox"
amplitude.api_key = "key"
insight.timezone = "America/New_York"
insight.currency = "EUR"
insight.rates = { GBP = 1.165, JPY = 0.0061 }
"""
OPTIONS = TrafficOptions(span_ms=35 * DAY_MS, comes_back=0.5, restricted=0.15, malformed=0.01, odd=0.01)
MESSAGES = list(generate(10, 2_500, [TrafficApp("shop", "ios", APP)], OPTIONS))
TRUTH = truth_of(MESSAGES)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counted(tmp_path_factory):
    """A store in which the traffic is filed, the sandbox's reports, and the configuration."""
    directory = tmp_path_factory.mktemp("store")
    config = loads(CONFIG, directory, {})
    flow = build_flow(config)
    inside = Inside(Sandbox(FastClock(start_ms=NOW_MS)))
    await tell_sandbox(SandboxClient(inside, "http://sandbox"), config, TRUTH)
    store = SqliteStore(directory / "store.db", Seal(b"x" * 32))
    await store.open()
    for start in range(0, len(MESSAGES), 100):
        filings = [
            flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, message.body, f"r{start}-{number}"))
            for number, message in enumerate(MESSAGES[start : start + 100])
        ]
        await store.file(filings, NOW_MS)
    yield config, store, inside
    await store.close()


async def differences(counted, truth: PerformanceTruth = TRUTH) -> list[str]:
    config, store, download = counted
    (verdict,) = await compare_performance(config, store, download, truth, NOW_MS)
    assert verdict.compared > 5_000
    return list(verdict.differences)


async def test_every_metric_is_the_true_one(counted):
    found = await differences(counted)
    assert found == [], "\n".join(found[:40])


async def test_there_is_something_to_compare(counted):
    """Retention and money of every kind, several weeks, sources of different quality."""
    config, store, _ = counted
    await differences(counted)
    scope = scopes_of(config, NOW_MS)[0]
    days = (day_number(date(2025, 12, 30)), scope.today)
    found = await read_performance(store, [scope], Question(*days, ("media_source",)))
    total = found.totals()
    for name in (
        "installs", "reinstalls", "re_engagements", "re_attributions", "spend", "clicks", "revenue", "not_converted",
        "matched_share", "retention_d1", "retention_d7", "retention_d14", "revenue_d30", "payer_share_d7", "roas_d7",
    ):  # fmt: skip
        assert (total[name] or 0) > 0, name
    retention = {row.labels["media_source"]: row.as_dict()["retention_d7"] for row in found.rows}
    assert retention["Apple Search Ads"] > retention["unityads_int"]
    assert total["revenue_d90"] is None


def changed(index: int, **changes) -> PerformanceTruth:
    facts = list(TRUTH.facts[APP])
    facts[index] = msgspec.structs.replace(facts[index], **changes)
    return PerformanceTruth({APP: facts}, TRUTH.reached)


def index_of(kind: str, **wanted) -> int:
    return next(
        number
        for number, fact in enumerate(TRUTH.facts[APP])
        if fact.kind == kind and not fact.secondary and all(getattr(fact, name) == is_ for name, is_ in wanted.items())
    )


SPENT = next(n for n, fact in enumerate(TRUTH.facts[APP]) if fact.kind == SPENDING)
PAID = next(n for n, fact in enumerate(TRUTH.facts[APP]) if (fact.amount or 0) > 0 and fact.currency == "EUR")


@pytest.mark.parametrize(
    ("truth", "metric"),
    [
        (changed(index_of("install"), readable=False), "installs"),
        (changed(index_of("install", raw_source="Facebook Ads"), raw_campaign="another"), "installs"),
        (changed(index_of("install"), country="XX"), "installs"),
        (changed(index_of("in-app", event_name="screen_opened"), secondary=True), "events"),
        (changed(PAID, amount=TRUTH.facts[APP][PAID].amount + 0.01), "revenue"),
        (changed(PAID, amount=-1.0), "payer_share_d0"),
        (changed(index_of("re-engagement"), kind="re-attribution"), "re_engagements"),
        (changed(index_of("install", raw_source="googleadwords_int"), spent=AdSpend(((0, 99.0),), 9, 99)), "spend"),
        (changed(SPENT, spent=structs.replace(TRUTH.facts[APP][SPENT].spent, clicks=1_000)), "clicks"),
        (PerformanceTruth(TRUTH.facts, frozenset(sorted(TRUTH.reached)[1:])), "matched_share"),
    ],
)
async def test_a_mistake_is_found(counted, truth, metric):
    found = await differences(counted, truth)
    assert metric in Counter(line.split(" of ")[0] for line in found)
