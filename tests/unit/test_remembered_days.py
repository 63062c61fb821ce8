"""Days that were received live are not read again once some of their events are remembered no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from flybridge.config.settings import load
from flybridge.errors import ConfigError
from flybridge.operations.read_history import check_live_days
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Filing, Filter, Media, Source, day_of
from flybridge.service.backends import opened_store

MIDNIGHT = 20_000 * DAY_MS


@pytest.mark.parametrize("hour", [0, 1, 11, 22])
async def test_a_day_is_refused_as_soon_as_some_of_it_is_forgotten(smallest_config: Path, hour: int):
    """Its key of an event is kept for 7 days to the millisecond, and not until the end of its day."""
    config, now_ms = load(smallest_config, {}), MIDNIGHT + hour * HOUR_MS
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


@pytest.mark.parametrize(
    ("every_hours", "trailing_days", "dedup_days", "is_refused"),
    [(6, 8, 7, True), (6, 7, 7, False), (6, 30, 30, False), (6, 3, 1, True), (0, 8, 7, False), (0, 3, 1, False)],
)
def test_no_more_days_are_pulled_by_schedule_than_are_remembered(
    smallest_config: Path, every_hours: float, trailing_days: int, dedup_days: int, is_refused: bool
):
    """The configuration says so with the setting and what to write; a search for gaps takes fewer days by itself."""
    history = f"history.pull_every_hours = {every_hours}\nhistory.trailing_days = {trailing_days}\n"
    with smallest_config.open("a") as file:
        file.write(f"{history}[retention]\ndedup_days = {dedup_days}\n")
    if not is_refused:
        load(smallest_config, {})
        return
    with pytest.raises(ConfigError, match=rf"retention\.dedup_days to {trailing_days}") as refused:
        load(smallest_config, {})
    assert refused.value.path == "apps[0].history.trailing_days"
    assert f"({dedup_days})" in refused.value.problem
