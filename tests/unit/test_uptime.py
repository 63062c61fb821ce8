"""A time counts as up if flybridge could store what was pushed in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from flybridge.history.uptime import FORMER, MINUTE_MS, keep_noting, note_downtime, read_uptime
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.store.protocol import Store
from flybridge.testing.clocks import ManualClock

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


async def note(
    store: Store,
    now_ms: int,
    *,
    is_steady: Callable[[], bool] = lambda: True,
    refused_ms: Callable[[], int] = lambda: 0,
) -> None:
    """Note once what has to be noted at a time."""
    stop = asyncio.Event()
    await keep_noting(store, OnceClock(now_ms, stop), stop, is_steady=is_steady, refused_ms=refused_ms)


@pytest.mark.parametrize("first_s", [0, 5, 19])
@pytest.mark.parametrize("refused_s", [None, 130, 179, 180, 190, 199, 200, 220, 225, 239])
async def test_what_happens_while_the_inbox_refuses_is_of_an_outage(store, first_s: int, refused_s: int | None):
    """Whenever the refusal comes between two notes; others are up, and flybridge was running all the time."""
    for second in range(first_s, 600, 20):
        last_ms = START_MS + refused_s * 1000 if refused_s is not None and refused_s <= second else 0
        await note(store, START_MS + second * 1000, refused_ms=lambda last_ms=last_ms: last_ms)
    uptime = await read_uptime(store)
    assert not uptime.was_stopped(START_MS, START_MS + HOUR_MS)
    up = [uptime.was_up(START_MS + minute * MINUTE_MS) for minute in range(7)]
    if refused_s is None:
        assert all(up)
    else:
        assert not up[refused_s // 60]
        assert all(up[: refused_s // 60 - 2] + up[refused_s // 60 + 2 :])


async def test_a_time_in_which_the_store_could_not_be_reached_is_an_outage(store):
    """Nothing was stopped then: only a process that takes messages can say that when it begins."""
    await note(store, START_MS)
    await note(store, START_MS + HOUR_MS)
    await note(store, START_MS + HOUR_MS + 20_000)
    uptime = await read_uptime(store)
    assert uptime.began_ms == START_MS
    assert not uptime.was_up(START_MS + HOUR_MS // 2)
    assert uptime.was_up(START_MS + HOUR_MS + MINUTE_MS)
    assert not uptime.was_stopped(START_MS, START_MS + HOUR_MS)


async def test_a_stop_is_noted_by_the_process_that_begins(store):
    """Until a jump of the clock is confirmed nothing else is noted. A time of a clock that is ahead is kept."""
    assert await note_downtime(store, START_MS) == 0
    await note(store, START_MS)
    assert await note_downtime(store, START_MS + 60_000) == 0
    assert await note_downtime(store, START_MS + 2 * HOUR_MS) == 2 * HOUR_MS
    await note(store, START_MS + DAY_MS, is_steady=lambda: False)
    uptime = await read_uptime(store)
    assert uptime.was_stopped(START_MS + HOUR_MS, START_MS + 3 * HOUR_MS)
    assert not uptime.was_stopped(START_MS + 2 * HOUR_MS, START_MS + DAY_MS)
    assert not uptime.was_stopped(START_MS - DAY_MS, START_MS)
    assert uptime.was_up(START_MS + 2 * HOUR_MS)
    await note(store, START_MS - 3 * MINUTE_MS)
    assert await store.confirmed_ms() == START_MS


async def test_when_flybridge_ran_first_is_kept(store):
    """A version that had another record of it may have run before; other notes end after 400 days."""
    await store.put_state(f"{FORMER}{START_MS // HOUR_MS:07} worker", b"\0" * 8)
    await store.put_state(f"{FORMER}{START_MS // HOUR_MS + 5:07} worker", b"\0" * 8)
    for days in (1, 2, 500):
        await note(store, START_MS + days * DAY_MS)
    uptime = await read_uptime(store)
    assert uptime.began_ms == START_MS // HOUR_MS * HOUR_MS
    assert await store.states(FORMER) == []
    assert uptime.was_up(START_MS + 1.5 * DAY_MS)
    assert not uptime.was_up(START_MS + 3 * DAY_MS)
