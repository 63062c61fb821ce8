"""Days that were received live are refused once some of their events are remembered no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from flybridge.config.settings import load
from flybridge.errors import ConfigError
from flybridge.operations.read_history import check_live_days
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Filing, Filter, Media, Source, day_of
from flybridge.service.backends import opened_store

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
MIDNIGHT = 20_000 * DAY_MS


@pytest.mark.parametrize("hour", [0, 1, 11, 22])
async def test_a_day_is_refused_as_soon_as_some_of_it_is_forgotten(tmp_path: Path, hour: int):
    """Its key of an event is kept for 7 days to the millisecond, and not until the end of its day."""
    (tmp_path / "flybridge.toml").write_text(CONFIG)
    config, now_ms = load(tmp_path / "flybridge.toml", {}), MIDNIGHT + hour * HOUR_MS
    refused = []
    async with opened_store(config) as store:
        for days_ago in range(12):
            pushed = Envelope("shop", Source.PUSH, Media.JSON, MIDNIGHT - days_ago * DAY_MS, b"{}", str(days_ago))
            await store.file([Filing(pushed, Filter("not_included"))], pushed.received_ms)
        for days_ago in range(9, 4, -1):
            day = day_of(MIDNIGHT - days_ago * DAY_MS)
            try:
                await check_live_days(config, store, config.apps[0], (day, day), now_ms, remedy="")
            except ConfigError:
                refused.append(days_ago)
    assert refused == [9, 8, 7]
