"""A minute counts as up if flybridge could store what was pushed in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flybridge.config.settings import load
from flybridge.history.uptime import MINUTE_MS, keep_noting, read_uptime
from flybridge.records import DAY_MS
from flybridge.service.backends import opened_store
from flybridge.testing.clocks import ManualClock

CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "a-token"
amplitude.api_key = "a-key"
"""
START_MS = 20_000 * DAY_MS + 58 * MINUTE_MS


class OnceClock(ManualClock):
    """A clock that ends what reads it after one round."""

    def __init__(self, now_ms: int, stop: asyncio.Event) -> None:
        super().__init__(now_ms)
        self.stop = stop

    def now_ms(self) -> int:
        """Return the time, and stop."""
        self.stop.set()
        return super().now_ms()


@pytest.mark.parametrize("first_s", [0, 5, 19])
@pytest.mark.parametrize("refused_s", [None, 130, 179, 180, 190, 199, 200, 220, 225, 239])
async def test_what_happens_while_the_inbox_refuses_is_of_an_outage(
    tmp_path: Path, first_s: int, refused_s: int | None
):
    """Whenever the refusal comes between two notes, also at the end of an hour; others are up."""
    (tmp_path / "flybridge.toml").write_text(CONFIG)
    async with opened_store(load(tmp_path / "flybridge.toml", {})) as store:
        for second in range(first_s, 600, 20):
            stop = asyncio.Event()
            clock = OnceClock(START_MS + second * 1000, stop)
            last_ms = START_MS + refused_s * 1000 if refused_s is not None and refused_s <= second else 0
            await keep_noting(store, "worker", clock, stop, refused_ms=lambda last_ms=last_ms: last_ms)
        uptime = await read_uptime(store)
    up = [uptime.was_up(START_MS + minute * MINUTE_MS) for minute in range(7)]
    if refused_s is None:
        assert all(up)
    else:
        assert not up[refused_s // 60]
        assert all(up[: refused_s // 60 - 2] + up[refused_s // 60 + 2 :])
