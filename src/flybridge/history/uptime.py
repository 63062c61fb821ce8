"""When flybridge ran: minutes in which it could reach its store and store messages, to tell outages from other gaps.

An hour and process is one value of sixty bits in the store. In a cluster the processes that work write it: an
outage of intake alone is not in it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.store.protocol import Store

STATE: Final = "up "
NOTE_S: Final = 20.0
MINUTE_MS: Final = 60_000
KEPT_DAYS: Final = 100
AROUND: Final = 2
"""An event counts as of an outage if one of the minutes from its own to so many later was not noted."""


class Uptime:
    """The minutes that were noted. `began_ms` is the first of them, 0 if there is none."""

    def __init__(self, states: Iterable[tuple[str, bytes]]) -> None:
        self._hours: defaultdict[int, int] = defaultdict(int)
        for name, value in states:
            if (hour := _hour(name)) is not None:
                self._hours[hour] |= int.from_bytes(value[:8], "big")
        self.began_ms = 0
        if self._hours:
            hour = min(self._hours)
            bits = self._hours[hour]
            self.began_ms = hour * HOUR_MS + ((bits & -bits).bit_length() - 1) * MINUTE_MS

    def was_up(self, ms: int) -> bool:
        """Return whether flybridge ran when an event happened, and while it was pushed."""
        minute = ms // MINUTE_MS
        return all(self._hours[at // 60] >> at % 60 & 1 for at in range(minute, minute + AROUND + 1))


def _hour(name: str) -> int | None:
    """Return the hour in a name; None if it is damaged."""
    hour = name[len(STATE) :].partition(" ")[0]
    return int(hour) if hour.isdecimal() else None


async def read_uptime(store: Store) -> Uptime:
    """Return the minutes that were noted."""
    return Uptime(await store.states(STATE))


async def keep_noting(
    store: Store, worker: str, clock: Clock, stop: asyncio.Event, *, refused_ms: Callable[[], int] = lambda: 0
) -> None:
    """Note each minute until `stop` is set, but those in which the inbox refused messages.

    `refused_ms` returns when it did so last. Of a refusal between two notes, the minute or the next is not noted.
    """
    hour, bits, pruned_ms = -1, 0, 0
    while not stop.is_set():
        now_ms = clock.now_ms()
        if now_ms // HOUR_MS != hour:
            hour, bits = now_ms // HOUR_MS, 0
            with suppress(FlybridgeError):
                mine = dict(await store.states(f"{STATE}{hour:07} {worker}"))
                bits = int.from_bytes(mine.get(f"{STATE}{hour:07} {worker}", b"")[:8], "big")
        minute = 1 << (now_ms // MINUTE_MS % 60)
        has_refused = 0 <= now_ms - refused_ms() < MINUTE_MS
        bits = bits & ~minute if has_refused else bits | minute
        with suppress(FlybridgeError):
            await store.put_state(f"{STATE}{hour:07} {worker}", bits.to_bytes(8, "big"))
            if now_ms - pruned_ms > DAY_MS:
                oldest = (now_ms - KEPT_DAYS * DAY_MS) // HOUR_MS
                old = [name for name, _ in await store.states(STATE) if (_hour(name) or 0) < oldest]
                if old:
                    await store.drop_states(old)
                pruned_ms = now_ms
        await rest(stop, NOTE_S)
