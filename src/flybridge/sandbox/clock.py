"""The sandbox's clock, which runs N times faster than the machine's and can be moved forward, never back."""

from __future__ import annotations

import asyncio
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
        self._start_ms += milliseconds_forward(seconds)


def milliseconds_forward(seconds: float) -> int:
    """Return seconds as whole milliseconds. Raises `ValueError` for a move backwards."""
    if not seconds >= 0:
        raise ValueError(f"a clock is moved forward, not by {seconds} s")
    return round(seconds * 1000)
