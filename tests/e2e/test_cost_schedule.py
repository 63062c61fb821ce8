"""`flybridge serve` pulls costs by schedule, says why it could not, and does it again later."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import msgspec
import pytest
from starting import command

from flybridge.demo.environment import DemoApp, LocalEnvironment
from flybridge.records import DAY_MS
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate

SHOP = DemoApp("shop-android", "android", "com.example.shop", "http_v2")


class WithCosts(LocalEnvironment):
    """A stage whose costs are pulled."""

    def config(self, amplitude: str) -> str:
        return super().config(amplitude).replace("[apps.insight]", '[apps.insight]\ncosts = "aggregate"')


async def status(environment: LocalEnvironment) -> dict:
    """Return how the costs stand; empty if nothing has been tried."""
    ran = await command(environment.config_path, "costs", "status", "--json")
    found = json.loads(ran.stdout)
    return found[0] if found else {}


async def until(environment: LocalEnvironment, holds) -> dict:
    for _ in range(300):
        found = await status(environment)
        if found and holds(found):
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(found)


@pytest.mark.timeout(200)
async def test_costs_are_pulled_by_schedule(tmp_path):
    environment = WithCosts(tmp_path / "stage", apps=(SHOP,))
    app = TrafficApp(SHOP.name, SHOP.platform, SHOP.appsflyer_app_id)
    start_ms = int(time.time() * 1000) - 30 * DAY_MS
    facts = [
        message.reported
        for message in generate(4, 600, [app], TrafficOptions(start_ms=start_ms, span_ms=20 * DAY_MS))
        if message.reported is not None
    ]
    await environment.start()
    origin = environment.sandbox.origin
    try:
        # AppsFlyer has no rows yet: nothing is replaced by nothing.
        refused = await until(environment, lambda found: found["problem"])
        assert "no rows" in refused["problem"]
        assert refused["pulled"] is None
        async with aiohttp.ClientSession() as session:
            body = msgspec.json.Encoder().encode_lines(facts)
            async with session.post(f"{origin}/sandbox/reports/facts", data=body) as answer:
                assert answer.status == 200
            async with session.post(f"{origin}/sandbox/clock", params={"advance_s": str(9 * 3600)}) as answer:
                assert answer.status == 200
        pulled = await until(environment, lambda found: found["pulled"])
        assert pulled["problem"] is None
        assert pulled["rows"] > 50
    finally:
        await environment.stop()
