"""Time as a dependency: pure functions take `now_ms`, everything else holds a `Clock`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Protocol


class Clock(Protocol):
    """Tells the time and sleeps."""

    def now_ms(self) -> int:
        """Return the time in milliseconds since the Unix epoch, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for this many seconds of this clock."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Return after this many seconds of the machine's clock, or at once when `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
