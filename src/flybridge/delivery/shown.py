"""Lanes whose vendor shows afterwards what has arrived, as Amplitude does in the stream of its events.

An item of such a lane that may have arrived waits half an hour before it is sent again: if the vendor shows it in this
time it is not. Which lanes these are is learnt from what is shown, and written where every worker can read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flybridge.records import DAY_MS, Delivery
from flybridge.store.protocol import Store
from flybridge.store.records import Lane
from flybridge.store.state_values import readable

# Amplitude aims at 60 seconds for 95 of 100 events. What it sends while flybridge is down, as after the crash that made
# the doubt, it tries up to ten times in four hours:
# https://amplitude.com/docs/data/destination-event-streaming-overview (read 2026-11-27)
WAIT_MS: Final = 1_800_000
SHOWN: Final = "lanes/shown/"
KNOWN_MS: Final = DAY_MS  # for how long a lane is known as one that shows what has arrived
REMEMBERED: Final = 10_000


async def note_shown(store: Store, lane: Lane, now_ms: int) -> None:
    """Write that the vendor has shown an item of the lane."""
    await store.put_state(f"{SHOWN}{lane.endpoint}/{lane.app}", str(now_ms).encode())


async def lanes_that_show(store: Store, lanes: Iterable[Lane], now_ms: int) -> set[Lane]:
    """Return those of the lanes of which the vendor has shown an item lately."""
    found = readable(await store.states(SHOWN), int)
    times_ms = {lane: found.get(f"{SHOWN}{lane.endpoint}/{lane.app}") for lane in lanes}
    return {lane for lane, at_ms in times_ms.items() if at_ms is not None and abs(now_ms - at_ms) < KNOWN_MS}


class Doubts:
    """Which items in doubt have waited to be shown. An item waits once after each time that it may have arrived."""

    def __init__(self) -> None:
        self._waited: dict[int, int] = {}

    def waits(self, item: Delivery) -> bool:
        """Whether the item is to wait now; if so it is noted, and is sent when it comes next."""
        if self._waited.pop(item.id, 0) >= item.uncertain:
            return False
        while len(self._waited) >= REMEMBERED:
            del self._waited[next(iter(self._waited))]
        self._waited[item.id] = item.uncertain
        return True
