"""A bridge between simulated vendors, in which differences are planted: see `test_planted_differences`.

AppsFlyer's and Amplitude's counts are those of the sandbox, asked over HTTP; flybridge's are of a store that has filed
the messages and a worker that has sent them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp

from flybridge.config.settings import Config, loads
from flybridge.delivery.context import Context
from flybridge.delivery.transport import HttpDownload, HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.insight.causes import AMPLITUDE, APPSFLYER
from flybridge.insight.comparison import DayComparison
from flybridge.insight.performance import AppScope
from flybridge.operations.count_amplitude import QueryBudget
from flybridge.operations.reconcile import Reconciler
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Media, Source
from flybridge.sandbox.faults import Faults, FaultScript
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.vendors.validation import UploadedEvent
from flybridge.store.performance import date_of, day_number
from flybridge.store.protocol import Store
from flybridge.testing.clocks import JumpingClock
from flybridge.wiring import build_flow, endpoints_of

DAY_START_MS = 1_772_409_600_000  # 2026-03-02 00:00 UTC
DAY = DAY_START_MS // DAY_MS
NOON_MS = DAY_START_MS + 12 * HOUR_MS
APP_ID = "com.example.shop"
SCOPES = [AppScope("shop", "USD", {}, "android", DAY + 5)]

CONFIG = """
secret = "sixteen characters or more"
data_dir = "data"
[insight]
reconcile_by_export = {by_export}
{more}
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
route = "{route}"
[apps.appsflyer]
push_token = "token"
api_token = "{token}"
base_url = "{origin}"
[apps.amplitude]
api_key = "the-key"
secret_key = "the-secret"
base_url = "{origin}"
{amplitude}
[apps.mapping]
exclude = ["debug_*", "organic-reinstall"]
{mapping}
[apps.restrictions]
pinterest_int = "redact"
roku = "drop"
[apps.insight]
{insight}
"""
DEFAULTS = {"route": "http_v2", "amplitude": "", "insight": "", "mapping": "", "more": "", "by_export": "false",
            "token": "api-token"}  # fmt: skip


class PlantedFaults(Faults):
    """Amplitude silences devices and rejects events by name, and nothing else."""

    def __init__(self) -> None:
        super().__init__(FaultScript())

    @property
    def looks_at_events(self) -> bool:
        return True

    def is_silenced(self, device_id: str | None) -> bool:
        return device_id is not None and device_id.startswith("silenced")

    def invalid_field(self, event: UploadedEvent) -> str | None:
        return "price" if (event.device_id or "").startswith("unliked") and event.event_type[0] != "$" else None


class Bench:
    """A bridge, the vendors, and what happens between them."""

    def __init__(self, text: str, config: Config, sandbox: Sandbox, store: Store, clock: JumpingClock) -> None:
        self.text, self.config, self.sandbox, self.store, self.clock = text, config, sandbox, store, clock
        self.origin = config.apps[0].amplitude.base_url
        self.flow = build_flow(config)
        self.transport, self.download = HttpTransport(), HttpDownload()
        self.number = 0
        self.received = 0

    def people(self, n: int, source: str, *, at_ms: int = NOON_MS, device: str = "device", **fields: Any) -> list[dict]:
        """Return the installs of new people; each passes a device id of its own unless it is empty."""
        found = []
        for _ in range(n):
            self.number += 1
            organic = source == "organic"
            moment = written_time(at_ms + 1001 * self.number)
            custom = {"custom_data": json.dumps({"amplitude_device_id": f"{device}-{self.number}"})} if device else {}
            found.append(
                {"appsflyer_id": f"1-{self.number}", "event_name": "install", "conversion_type": "install",
                 "event_time": moment, "install_time": moment, "media_source": source, "app_id": APP_ID,
                 "campaign_type": "organic" if organic else "ua", "campaign": None if organic else f"{source} one"}
                | custom | fields
            )  # fmt: skip
        return found

    def knows(self, messages: Iterable[dict], *, source: str | None = None, learned_ms: int = 0) -> None:
        """Let AppsFlyer count these messages, for their own source or another."""
        self.sandbox.reports.learn(fact_of(one, source, learned_ms) for one in messages)

    def happened(self, messages: Iterable[dict], *, source: str | None = None) -> None:
        """Let AppsFlyer count these messages, and have them in its raw data."""
        messages = list(messages)
        self.knows(messages, source=source)
        self.sandbox.raw_data.add(APP_ID, [json.dumps(one).encode() for one in messages])

    async def receive(
        self, messages: Iterable[dict | bytes], source: Source = Source.PUSH, *, at_ms: int = NOON_MS + HOUR_MS
    ) -> None:
        """File messages as they come from AppsFlyer, or from Amplitude's stream."""
        envelopes = []
        for one in messages:
            self.received += 1
            body = one if isinstance(one, bytes) else json.dumps(one).encode()
            envelopes.append(Envelope("shop", source, Media.JSON, at_ms, body, f"r{self.received}"))
        await self.store.file(self.flow.filings(envelopes), self.clock.now_ms())

    async def deliver(self) -> None:
        """Send all that is due."""
        policy = self.config.delivery.policy
        context = Context(self.store, self.transport, self.clock, policy=policy, jitter=lambda: 0.0)
        worker = Worker(context, endpoints_of(self.config))
        await worker.drain()

    async def upload(self, messages: Iterable[dict], *, streamed: bool = True, name: str = "") -> None:
        """Let another integration send these installs to Amplitude, which shows them in its stream if there is one.

        With a `name` it is the app that sends them, as an event of that name: without a media source.
        """
        events = [
            {"event_type": name or "[AppsFlyer] Install", "device_id": f"native-{one['appsflyer_id']}",
             "insert_id": f"native {name}{one['appsflyer_id']}", "time": _ms(one["event_time"]),
             "revenue": one.get("event_revenue") if name else None,
             "event_properties": {} if name else {"[AppsFlyer] media source": one["media_source"]}}
            for one in messages
        ]  # fmt: skip
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.origin}/2/httpapi", json={"api_key": "the-key", "events": events}) as answer,
        ):
            assert answer.status == 200
        if streamed:
            await self.receive([one | {"$insert_id": one["insert_id"]} for one in events], Source.STREAM)

    async def reconcile(self, day: int = DAY, days: int = 1) -> list[DayComparison]:
        """Compare."""
        budget = QueryBudget(self.transport, self.clock)
        reconciler = Reconciler(self.store, budget, self.download, self.clock)
        (plan,) = reconcile_plans_of(self.config)
        return await reconciler.run(plan, day - days + 1, day)

    async def close(self) -> None:
        await self.transport.close()
        await self.download.close()
        await self.store.close()


def _ms(text: str) -> int:
    hours, minutes, seconds = text[11:].split(":")
    day = day_number(date.fromisoformat(text[:10]))
    return day * DAY_MS + int(hours) * HOUR_MS + int(minutes) * 60_000 + round(float(seconds) * 1000)


def fact_of(message: dict, source: str | None, learned_ms: int) -> Reported:
    in_app = message["event_name"] not in ("install", "re-engagement", "re-attribution")
    secondary = message.get("is_primary_attribution") is False
    return Reported(
        APP_ID, "in-app" if in_app else message["event_name"], message["event_name"], _ms(message["event_time"]),
        _ms(message["install_time"]), learned_ms, message["appsflyer_id"], source or message["media_source"],
        message["campaign"], message["media_source"], message["campaign"], "DE", "click",
        message["campaign_type"] == "retargeting", secondary, True, message.get("event_revenue"),
        message.get("event_revenue_currency") or "USD", message.get("event_revenue_usd") or 0.0, None,
    )  # fmt: skip


@asynccontextmanager
async def opened_bench(
    folder: Path, new_store: Callable[[Config], Store], settings: Mapping[str, str]
) -> AsyncIterator[Bench]:
    """Yield a bench with these settings, whose zones are all UTC unless they say otherwise."""
    clock = JumpingClock(DAY_START_MS + int(settings.get("days", 5)) * DAY_MS)
    sandbox = Sandbox(clock, PlantedFaults(), keep_bodies=True)
    async with running(sandbox) as origin:
        text = CONFIG.format(origin=origin, **(DEFAULTS | settings))
        config = loads(text, folder, os.environ)
        store = new_store(config)
        await store.open()
        made = Bench(text, config, sandbox, store, clock)
        try:
            yield made
        finally:
            await made.close()


def written_time(ms: int) -> str:
    """Return a time as AppsFlyer writes it, in UTC."""
    return f"{date_of(ms // DAY_MS)} {ms // HOUR_MS % 24:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def bought(
    who: dict, at_ms: int, amount: float, currency: str = "USD", usd: float | None = None, **fields: Any
) -> dict:
    """Return a purchase of a person; `usd` is what AppsFlyer converts the amount to."""
    usd = amount if usd is None and currency == "USD" else usd
    return who | {
        "event_name": "af_purchase", "event_time": written_time(at_ms), "event_value": "{}", "event_revenue": amount,
        "event_revenue_currency": currency, "event_revenue_usd": usd,
    } | fields  # fmt: skip


def amounts(day: DayComparison, event: str = "af_purchase") -> dict[str, float]:
    """Return what each cause adds to the revenue of an event over all sources, with its detail."""
    found: Counter[str] = Counter()
    for row in day.revenue:
        if row.key.event != event:
            continue
        for part in row.parts:
            found[f"{part.code} {part.detail}".strip()] += part.n
        for step in (APPSFLYER, AMPLITUDE):
            found[f"unexplained {step}"] += abs(row.unexplained(step) or 0)
    return {code: round(n / 1e6, 2) for code, n in found.items() if round(n / 1e6, 2)}


def sums(day: DayComparison, kind: str = "install", event: str = "") -> dict[str, int]:
    """Return what each cause adds over all sources; what is unexplained under its step."""
    found: Counter[str] = Counter()
    for row in day.rows:
        if (row.key.kind, row.key.event) != (kind, event):
            continue
        for part in row.parts:
            found[part.code] += part.n
        for step in (APPSFLYER, AMPLITUDE):
            found[f"unexplained {step}"] += abs(row.unexplained(step) or 0)
    return {code: n for code, n in found.items() if n}


def of_source(day: DayComparison, source: str, kind: str = "install", event: str = "") -> dict[str, int]:
    """Return what each cause adds to one source."""
    (row,) = [one for one in day.rows if one.key == type(one.key)(kind, event, source)]
    return {part.code: part.n for part in row.parts}


async def of_the_attribution_route(bench: Bench, asked: str, refused: str) -> list[dict[str, Any]]:
    """Return six installs of the source `asked`, of which Amplitude finds four, and three `refused` without an id."""
    with_id = [
        one | {"advertising_id": f"00000000-0000-4000-8000-{number:012}"}
        for number, one in enumerate(bench.people(6, asked, device=""))
    ]
    without = bench.people(3, refused, device="")
    bench.knows(with_id + without)
    events = [
        {"event_type": "open", "device_id": f"seen-device-{n}", "adid": one["advertising_id"]}
        for n, one in enumerate(with_id[:4])
    ]
    async with aiohttp.ClientSession() as session:
        upload = {"api_key": "the-key", "events": events}
        async with session.post(f"{bench.origin}/2/httpapi", json=upload) as answer:
            assert answer.status == 200
    return with_id + without
