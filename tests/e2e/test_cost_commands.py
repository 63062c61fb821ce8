"""`flybridge costs pull` asks AppsFlyer, and what it has brought is shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.records import DAY_MS
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.traffic.reported import idle_days
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate

APP = "com.example.shop"
SPAN = ("--from", "2025-12-30", "--to", "2026-02-10")
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
appsflyer.base_url = "{origin}"
appsflyer.api_token = "{token}"
amplitude.api_key = "key"
insight.costs = "aggregate"
"""


def playing() -> Sandbox:
    """Return a sandbox that knows of the costs of twenty days."""
    traffic = generate(3, 2_000, [TrafficApp("shop", "android", APP)], TrafficOptions(span_ms=20 * DAY_MS))
    facts = [message.reported for message in traffic if message.reported is not None]
    sandbox = Sandbox(FastClock(start_ms=SystemClock().now_ms()))
    sandbox.reports.learn(facts + idle_days(facts))
    return sandbox


async def flybridge(path: Path, *words: str, code: int = 0) -> str:
    """Run a command in a thread, because the sandbox answers it."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--config", str(path)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.stdout if "--json" in words else result.output


async def test_costs_are_pulled_and_shown(tmp_path: Path) -> None:
    """By source, with the state of the last pull; a token that is refused is named."""
    path = tmp_path / "flybridge.toml"
    async with running(playing()) as origin:
        path.write_text(CONFIG.format(origin=origin, token="t"))
        (one,) = json.loads(await flybridge(path, "costs", "pull", *SPAN, "--json"))
        assert (one["app"], one["origin"], one["from"], one["to"]) == ("shop", "aggregate", *SPAN[1::2])
        shown = json.loads(await flybridge(path, "performance", "--by", "source", *SPAN, "--json"))
        assert {row["media_source"]: row["spend"] for row in shown}["Facebook Ads"] > 10
        (status,) = json.loads(await flybridge(path, "costs", "status", "--json"))
        assert (status["rows"], status["problem"]) == (one["rows"], None)
        assert status["pulled"].removesuffix("+00:00").replace("T", " ") in await flybridge(path, "costs", "status")
        path.write_text(CONFIG.format(origin=origin, token="invalid"))
        assert "check api_token" in await flybridge(path, "costs", "pull", code=1)
