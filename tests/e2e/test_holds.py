"""Holds from the door to Amplitude: waiting for the stream, or for the end of the window, on a clock that is moved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from starting import serving, until, written

from flybridge.config.settings import load
from flybridge.errors import FlybridgeError
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.server import Sandbox, running
from flybridge.service.backends import opened_store
from flybridge.testing.clocks import RemoteClock, following

HOLD = """
[apps.hold]
window_hours = 72
{hold}

[apps.mapping]
use_customer_user_id = false
"""
IDFV = "BCCE52E7-03EE-321A-B3D4-E57123966239"
INSTALL = {
    "event_name": "install",
    "conversion_type": "install",
    "campaign_type": "ua",
    "media_source": "googleadwords_int",
    "event_time": "2026-01-31 11:59:59.123",
    "platform": "ios",
    "idfv": IDFV,
    "customer_user_id": "customer-77",
}
SEEN = {"user_id": "ada-lovelace", "device_id": "a-device", "idfv": IDFV.lower(), "event_type": "open"}


@asynccontextmanager
async def bridge(folder: Path, sandbox: str, clock: FastClock, route: str, hold: str) -> AsyncIterator[str]:
    """Run a whole flybridge in this process; give its origin."""
    path = written(folder, sandbox, route=route, app=HOLD.format(hold=hold))
    async with serving(path, clock=clock) as origin:
        yield origin


async def post(origin: str, path: str, token: str, body: dict) -> None:
    """Post a message, which must be taken."""
    headers = {"Authorization": token, "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(origin + path, data=json.dumps(body), headers=headers) as response,
    ):
        assert response.status == 200


async def outcomes(folder: Path) -> dict[tuple[str, str], int]:
    """Read the counters, beside the running service."""
    async with opened_store(load(folder / "flybridge.toml", {})) as store:
        return {(count.outcome, count.reason): count.n for count in await store.counts() if count.source == "push"}


async def stands(folder: Path, *place: str) -> None:
    """Wait until the one install stands there."""
    for _ in range(400):
        if (now := await outcomes(folder)) == {place: 1}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"It does not stand at {place}, but at {now}.")


async def test_an_item_of_the_attribution_api_waits_for_the_stream(tmp_path):
    """With `when-seen` Amplitude hears of an install only after it has shown the person."""
    sandbox = Sandbox(FastClock())
    async with (
        running(sandbox) as amplitude,
        bridge(tmp_path, amplitude, sandbox.clock, "attribution", 'v1 = "when-seen"') as origin,
    ):
        await post(origin, "/v1/push/shop", "push-token", INSTALL)
        await stands(tmp_path, "held", "")
        assert sandbox.amplitude.projects == {}
        await post(origin, "/v1/stream/shop", "stream-token", SEEN)
        await until(lambda: "the-api-key" in sandbox.amplitude.projects)
        ledger = sandbox.amplitude.projects["the-api-key"]
        await until(lambda: len(ledger.waiting()) == 1)
        assert ledger.waiting()[0].event.event_type == "[AppsFlyer] Install"
    assert await outcomes(tmp_path) == {("delivered", "matched"): 1}


@pytest.mark.parametrize(
    ("hold", "end"),
    [
        ('at_expiry = "drop"', ("expired", "")),
        ('at_expiry = "send-as-customer-user-id"', ("delivered", "as_customer_user_id")),
    ],
)
async def test_the_window_ends_as_the_configuration_says(hold, end, tmp_path):
    """Three days pass in a moment, for Amplitude and for flybridge."""
    sandbox = Sandbox(FastClock())
    async with running(sandbox) as amplitude, bridge(tmp_path, amplitude, sandbox.clock, "http_v2", hold) as origin:
        await post(origin, "/v1/push/shop", "push-token", INSTALL)
        await stands(tmp_path, "held", "")
        sandbox.clock.advance(73 * 3600)
        await stands(tmp_path, *end)
    saved = [event.user_id for ledger in sandbox.amplitude.projects.values() for event in ledger.saved]
    assert saved == (["customer-77"] if "send" in hold else [])


async def test_a_clock_follows_the_sandbox(tmp_path):
    """Forward, and never back; without a sandbox it says so."""
    sandbox = Sandbox(FastClock())
    async with running(sandbox) as amplitude, following(amplitude, refresh_s=0.01) as clock:
        before = clock.now_ms()
        sandbox.clock.advance(3600)
        await until(lambda: clock.now_ms() >= before + 3_600_000)
        assert abs(clock.now_ms() - sandbox.clock.now_ms()) < 60_000
    with pytest.raises(FlybridgeError, match="does not tell the time"):
        async with following("http://127.0.0.1:9"):
            pass
    alone = RemoteClock()
    now_ms = alone.now_ms()
    alone.adjust(now_ms - 10_000_000)
    assert alone.now_ms() == now_ms
