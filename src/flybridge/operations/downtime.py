"""Notes in the store of when no process was running, by which a lack of messages can be explained later."""

from __future__ import annotations

from typing import Final

from flybridge.records import DAY_MS
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "down/"
"""Names of the notes: followed by when it began, in milliseconds. The value is when it ended."""

SHORTEST_MS: Final = 120_000
"""A running process notes each minute that it runs, and a restart takes seconds."""

KEPT_DAYS: Final = 400


async def note_downtime(store: Store, now_ms: int) -> int:
    """Note for how long nothing was running, up to now. Returns that, in milliseconds; 0 if it is not worth a note."""
    last_ms = await store.confirmed_ms()
    lasted_ms = now_ms - last_ms
    if not last_ms or lasted_ms < SHORTEST_MS:
        return 0
    await store.put_state(f"{STATE}{last_ms}", str(now_ms).encode())
    ends = readable(await store.states(STATE), int)
    old = [name for name, ended_ms in ends.items() if ended_ms < now_ms - KEPT_DAYS * DAY_MS]
    await store.drop_states(old)
    return lasted_ms


async def downtimes(store: Store) -> list[tuple[int, int]]:
    """Return from when until when nothing was running, as noted."""
    ends = readable(await store.states(STATE), int)
    return [
        (int(begun), ended_ms) for name, ended_ms in ends.items() if (begun := name.removeprefix(STATE)).isdecimal()
    ]
