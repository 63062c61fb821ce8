"""`--rate` bounds the rows of a second, whatever came before."""

from __future__ import annotations

import asyncio
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from flybridge.appsflyer.raw_report import Report
from flybridge.history.progress import Progress
from flybridge.history.rows import RawRow
from flybridge.history.take import BLOCK, RowTaker
from flybridge.records import Envelope, Source
from flybridge.testing.clocks import ManualClock

FIELDS = {"event_name": "buy", "event_time": "2026-01-09 12:00:00", "appsflyer_id": "1-1"}


@pytest.mark.parametrize("rate", [500.0, 1000.0, 20_000.0])
@pytest.mark.parametrize("stalled_at", [0, 2 * BLOCK + 5, None], ids=["at first", "in the third block", "never"])
async def test_what_was_not_taken_in_time_is_not_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, stalled_at: int | None
):
    """An inbox that took nothing for two minutes is not given the rows of two minutes at once."""
    clock, times = ManualClock(), list[int]()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def accept(_: Envelope) -> None:
        if len(times) == stalled_at:
            clock.advance(120)
        times.append(clock.now_ms())

    rows = [RawRow(n, n, Report.EVENTS, dict(FIELDS)) for n in range(6 * BLOCK)]
    with closing(Progress(tmp_path / "progress.db")) as progress:
        taker = RowTaker("shop", Source.FILE, accept, clock, rate=rate)
        with closing(progress.counting(by_attribution=False)) as equal:
            await taker.take("file", rows, equal)
    assert len(times) == len(rows)
    starts = times[::BLOCK]
    shortest_ms = BLOCK * 1000 / rate
    stalled = set[int]() if stalled_at is None else {stalled_at // BLOCK + 1}
    for number, (one, other) in enumerate(pairwise(starts), 1):
        if number not in stalled:
            assert other - one >= shortest_ms - 1
