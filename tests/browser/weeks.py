"""A bridge with weeks of traffic behind it: sandbox, service, generator's truth, costs and comparisons."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.insight import comparison, findings
from flybridge.insight.findings import Finding
from flybridge.insight.reconcile import AmplitudeCount, AppsFlyerCounts, DayEvidence, compare
from flybridge.records import DAY_MS
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficMessage, TrafficOptions, generate
from flybridge.service import backends
from flybridge.service.process import Service
from flybridge.store.performance import CostRow
from flybridge.store.protocol import Store

APPS = (
    TrafficApp("shop-android", "android", "com.example.shop"),
    TrafficApp("shop-ios", "ios", "id1234567890"),
)
DAYS = 56
PRICES = {"Facebook Ads": 31, "googleadwords_int": 27, "tiktokglobal_int": 22, "unityads_int": 18, "applovin_int": 24}
"""What an install of a source costs, in dollars."""

HEAD = """
data_dir = "./data"
secret = "a secret of sixteen characters"
[server]
port = 0
"""
APP = """
[[apps]]
name = "{app.name}"
appsflyer_app_id = "{app.appsflyer_app_id}"
platform = "{app.platform}"
[apps.appsflyer]
push_token = "push-token"
[apps.amplitude]
api_key = "key-of-{app.name}"
base_url = "{amplitude}"
webhook_token = "stream-token"
"""


@dataclass
class Weeks:
    """A running bridge. `installs` is the truth by app, day since 1970 and source; `spend` what it cost."""

    origin: str
    messages: Sequence[TrafficMessage]
    config: Path
    today: int
    installs: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    spend: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    revenue: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    def total(self, of: Counter[tuple[str, int, str]], days: int, **chosen: str) -> int:
        """Return a sum of the last so many whole days, of one app or source if it is named."""
        first = self.today - days
        return sum(
            n
            for (app, day, source), n in of.items()
            if first <= day < self.today and chosen.get("app") in (None, app) and chosen.get("source") in (None, source)
        )


@asynccontextmanager
async def weeks(
    folder: Path, events: int, seed: int = 3, changed: Callable[[bytes], bytes] = lambda body: body
) -> AsyncIterator[Weeks]:
    """Send weeks of traffic through a bridge, give it costs and comparisons, and yield it while it runs.

    `changed` changes each body before it is sent.
    """
    today = int(time.time() * 1000) // DAY_MS
    options = TrafficOptions(
        start_ms=(today - DAYS) * DAY_MS, span_ms=(DAYS + 14) * DAY_MS, late_seen=0.2, away=0.4, away_days=8.0,
        malformed=0.0, odd=0.0,
    )  # fmt: skip
    now_ms = int(time.time() * 1000)
    messages = [one for one in generate(seed, events, APPS, options) if one.truth.time_ms < now_ms - 60_000]
    async with running(Sandbox()) as amplitude:
        config = folder / "flybridge.toml"
        config.write_text(HEAD + "".join(APP.format(app=app, amplitude=amplitude) for app in APPS))
        stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(Service(load(config, os.environ)).run(stop, port.set_result))
        done, _ = await asyncio.wait({serving, port}, return_when=asyncio.FIRST_COMPLETED)
        if serving in done:
            serving.result()
        try:
            found = Weeks(f"http://127.0.0.1:{port.result()}", messages, config, today)
            await _send(found.origin, messages, changed)
            _count(found)
            async with backends.opened_store(load(config, os.environ)) as store:
                await _rest(store, len(messages))
                await _spend(store, found)
                await _compare(store, found)
            yield found
        finally:
            stop.set()
            await serving


async def _send(origin: str, messages: Sequence[TrafficMessage], changed: Callable[[bytes], bytes]) -> None:
    turn = asyncio.Semaphore(24)
    async with aiohttp.ClientSession(origin) as session:

        async def send(message: TrafficMessage) -> None:
            token = "stream-token" if "/stream/" in message.path else "push-token"
            headers = {"Authorization": token, "Content-Type": "application/json"}
            async with turn, session.post(message.path, data=changed(message.body), headers=headers) as response:
                assert response.status == 200

        await asyncio.gather(*map(send, messages))


def _count(found: Weeks) -> None:
    """Count what the generator says that AppsFlyer knows, under the source that its messages name."""
    ids = {app.appsflyer_app_id: app.name for app in APPS}
    for fact in (message.reported for message in found.messages):
        if fact is None or fact.secondary:
            continue
        source = fact.raw_source.lower() if fact.raw_source.lower() == "organic" else fact.raw_source
        key = (ids[fact.app_id], fact.time_ms // DAY_MS, source)
        if fact.kind == "install":
            found.installs[key] += 1
        elif fact.kind == "in-app":
            found.revenue[key] += fact.revenue_usd


async def _rest(store: Store, messages: int) -> None:
    """Wait until every message has been filed, and nothing is to be sent."""
    async with asyncio.timeout(120):
        while True:
            filed = sum(count.n for count in await store.counts())
            if filed >= messages and not await store.depths(SystemClock().now_ms()):
                return
            await asyncio.sleep(0.1)


async def _spend(store: Store, found: Weeks) -> None:
    rows: dict[str, list[CostRow]] = {app.name: [] for app in APPS}
    for (app, day, source), n in sorted(found.installs.items()):
        if price := PRICES.get(source):
            found.spend[app, day, source] = n * price
            rows[app].append(CostRow(app, day, source, "", "", "USD", n * price * 1_000_000, n * 30, n * 900))
    for app, own in rows.items():
        await store.replace_costs(app, "csv", own, days=(found.today - 100, found.today))


async def _compare(store: Store, found: Weeks) -> None:
    """Compare the last week: AppsFlyer's side is the truth with two things planted, Amplitude's what was delivered."""
    now_ms = SystemClock().now_ms()
    for app in APPS:
        reports = []
        for day in range(found.today - 7, found.today):
            outcomes = await store.outcomes(app.name, day, day)
            appsflyer = Counter({s: n for (of, at, s), n in found.installs.items() if (of, at) == (app.name, day)})
            if day == found.today - 4:
                appsflyer["googleadwords_int"] += 12
            delivered: Counter[str] = Counter()
            for one in outcomes.outcomes:
                if (one.kind, one.outcome) == ("install", "delivered"):
                    delivered[one.media_source] += one.n
            evidence = DayEvidence(
                app.name, day, now_ms, day < found.today - 3, outcomes.counted, outcomes.outcomes,
                lambda kind, _: "[AppsFlyer] Install" if kind == "install" else None,
                appsflyer=AppsFlyerCounts("aggregate", installs=dict(appsflyer)),
                amplitude={"[AppsFlyer] Install": {s: AmplitudeCount(n, n) for s, n in delivered.items()}},
            )  # fmt: skip
            reports.append(comparison.written(compare(evidence)))
        await store.put_day_reports(reports)


async def plant_findings(found: Weeks) -> None:
    """Write a finding of each app, in place of what the service, which looks once a day, has found by itself."""
    now_ms = SystemClock().now_ms()
    async with backends.opened_store(load(found.config, os.environ)) as store:
        for app in APPS:
            found_today = [
                Finding(
                    "unexplained", app.name,
                    "AppsFlyer counts 12 installs of googleadwords_int more than flybridge; no cause explains them.",
                    {"unexplained": 12}, "googleadwords_int",
                )
            ]  # fmt: skip
            await store.put_day_reports([findings.written(app.name, found.today, now_ms, found_today)])
