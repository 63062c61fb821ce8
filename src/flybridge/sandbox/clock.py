"""Clocks of the sandbox: one that runs N times faster, one that stands still until it is moved.

Both keep the promise of `flybridge.clock.Clock`, and both can be moved forward, never back: three days of waiting
are tested in a moment.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol

from flybridge.clock import Clock


class MovableClock(Clock, Protocol):
    """A clock that can be moved forward."""

    def advance(self, seconds: float) -> None:
        """Move forward by that many of this clock's seconds. Raises `ValueError` for a move backwards."""
        ...


class FastClock:
    """Runs `speed` times as fast as the machine's clock, from `start_ms` (default: the present time).

    A move forward does not shorten a `sleep` that has begun.
    """

    def __init__(self, speed: float = 1.0, start_ms: int | None = None) -> None:
        if not speed > 0:
            raise ValueError(f"a clock's speed is more than 0, not {speed}")
        self._speed = speed
        self._start_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        self._began = time.monotonic()

    def now_ms(self) -> int:
        """Return the clock's time in milliseconds."""
        return self._start_ms + int((time.monotonic() - self._began) * 1000 * self._speed)

    async def sleep(self, seconds: float) -> None:
        """Wait that many of this clock's seconds: `seconds / speed` real ones."""
        await asyncio.sleep(seconds / self._speed)

    def advance(self, seconds: float) -> None:
        """Move forward by that many of this clock's seconds."""
        self._start_ms += _forward(seconds)


class ManualClock:
    """Stands still until it is moved. A `sleep` ends when the clock has been moved past its end."""

    def __init__(self, start_ms: int = 1_767_225_600_000) -> None:
        self._now_ms = start_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_ms(self) -> int:
        """Return the clock's time in milliseconds."""
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_ms + round(seconds * 1000), self._count, waking))
        await waking

    def advance(self, seconds: float) -> None:
        """Move forward and wake who has slept long enough. To be called from the event loop that sleeps on it."""
        self._now_ms += _forward(seconds)
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            waking = heapq.heappop(self._sleepers)[2]
            if not waking.done():
                waking.set_result(None)


def _forward(seconds: float) -> int:
    if not seconds >= 0:
        raise ValueError(f"a clock is moved forward, not by {seconds} s")
    return round(seconds * 1000)
