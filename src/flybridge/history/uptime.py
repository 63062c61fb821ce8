"""When flybridge did not run, or could not store what was pushed: explains later why messages are missing.

Each such time is one value in the store: its name has when it began, the value when it ended, in milliseconds. In a
cluster the processes that work write it: an outage of intake alone is not in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "down/"
"""Names: followed by when it began, and by a slash where processes may have run but stored nothing."""

FIRST: Final = f"{STATE}0/"
"""The time before flybridge ran first."""

FORMER: Final = "up "
"""Names that earlier versions wrote for each hour in which a process ran: followed by the hour and the process."""

NOTE_S: Final = 20.0
MINUTE_MS: Final = 60_000
KEPT_DAYS: Final = 400

SHORTEST_MS: Final = 120_000
"""A restart takes seconds."""

AROUND: Final = 2
"""An event counts as of an outage if one is in its minute or so many later."""


class Uptime:
    """The times that were noted. `began_ms` is when flybridge ran first, 0 if that was not noted."""

    def __init__(self, states: Iterable[tuple[str, bytes]]) -> None:
        ends = readable(states, int)
        self.began_ms = ends.get(FIRST, 0)
        self._down = [
            (int(begun), ended_ms, begun == name.removeprefix(STATE))
            for name, ended_ms in ends.items()
            if (begun := name.removeprefix(STATE).removesuffix("/")).isdecimal()
        ]

    def was_up(self, ms: int, until_ms: int | None = None) -> bool:
        """Whether flybridge stored messages when an event happened or came, and while it was pushed.

        That was at a time, or between it and `until_ms`.
        """
        first_ms, last_ms = (at // MINUTE_MS * MINUTE_MS for at in (ms, ms if until_ms is None else until_ms))
        return not self._between(first_ms, last_ms + (AROUND + 1) * MINUTE_MS)

    def was_stopped(self, first_ms: int, end_ms: int) -> bool:
        """Whether no process was running at some time between two."""
        return any(self._between(first_ms, end_ms))

    def _between(self, first_ms: int, end_ms: int) -> list[bool]:
        return [stopped for begun, ended, stopped in self._down if begun < end_ms and ended > first_ms]


async def read_uptime(store: Store) -> Uptime:
    """Return the times that were noted."""
    return Uptime(await store.states(STATE))


async def note_downtime(store: Store, now_ms: int) -> int:
    """Note for how long nothing was running, up to now. Returns that, in milliseconds; 0 if it is not worth a note."""
    last_ms = await store.confirmed_ms()
    lasted_ms = now_ms - last_ms
    if not last_ms or lasted_ms < SHORTEST_MS:
        return 0
    await _note(store, f"{STATE}{last_ms}", now_ms)
    return lasted_ms


async def keep_noting(
    store: Store,
    clock: Clock,
    stop: asyncio.Event,
    *,
    is_steady: Callable[[], bool] = lambda: True,
    refused_ms: Callable[[], int] = lambda: 0,
    failed: Callable[[FlybridgeError, int], None] = lambda _, __: None,
) -> None:
    """Confirm the time until `stop` is set; note when no process could do that, and when the inbox refused messages.

    `is_steady` says whether the clock's time is right, `refused_ms` returns when the inbox refused messages last.
    `failed` is called with what the store did not take, and when.
    """
    while not stop.is_set():
        now_ms = clock.now_ms()
        if is_steady():
            try:
                await _note_first(store, now_ms)
                last_ms = await store.confirmed_ms()
                if last_ms and now_ms - last_ms >= MINUTE_MS:
                    await _note(store, f"{STATE}{last_ms}/", now_ms)
                # If the store can't be reached for so long either, that is noted later as such a time.
                if 0 <= now_ms - (refused := refused_ms()) < MINUTE_MS:
                    await _note(store, f"{STATE}{refused // MINUTE_MS * MINUTE_MS}/", now_ms)
                if not 0 < last_ms - now_ms < HOUR_MS:  # the clock of another process may be ahead
                    await store.confirm(now_ms)
            except FlybridgeError as problem:
                failed(problem, now_ms)
        await rest(stop, NOTE_S)


async def _note_first(store: Store, now_ms: int) -> None:
    if await store.states(FIRST):
        return
    former = [name for name, _ in await store.states(FORMER)]
    hours = (name.removeprefix(FORMER).partition(" ")[0] for name in former)
    began = (int(hour) * HOUR_MS for hour in hours if hour.isdecimal())
    await _note(store, FIRST, min(began, default=now_ms // MINUTE_MS * MINUTE_MS))
    await store.drop_states(former)


async def _note(store: Store, name: str, until_ms: int) -> None:
    await store.put_state(name, str(until_ms).encode())
    ends = readable(await store.states(STATE), int)
    old = [name for name, ended_ms in ends.items() if ended_ms < until_ms - KEPT_DAYS * DAY_MS and name != FIRST]
    await store.drop_states(old)
