"""The clock of the server that keeps the store, which all processes of a cluster share."""

from __future__ import annotations

from typing import Final

from flybridge.clock import Clock
from flybridge.store.protocol import Store

PRECISE_MS: Final = 1_000
"""An answer that took longer shows the server's time of no certain moment."""
TOLERANCE_MS: Final = 10_000
"""Clocks that are set by the network differ by milliseconds."""


class ServerClock:
    """A clock of this process that follows the server's, by which leases end that processes have from each other.

    `ahead_ms` is by how many milliseconds the server's clock is ahead of this process's, as measured last; negative if
    it is behind, and 0 until it was measured and where the store is on this machine.
    """

    def __init__(self, clock: Clock) -> None:
        self.ahead_ms = 0
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.ahead_ms

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    async def measure(self, store: Store) -> None:
        """Ask the server. Raises `errors.StoreUnavailable`; the last measure stays then."""
        before_ms = self._clock.now_ms()
        there_ms = await store.time_ms()
        after_ms = self._clock.now_ms()
        if there_ms is not None and 0 <= after_ms - before_ms <= PRECISE_MS:
            self.ahead_ms = there_ms - (before_ms + after_ms) // 2


def clock_sentence(ahead_ms: int) -> str:
    """Return what to say of a machine that PostgreSQL's server is ahead of by so much; empty if they agree."""
    if abs(ahead_ms) < TOLERANCE_MS:
        return ""
    seconds = f"{round(abs(ahead_ms) / 1000):,} seconds {'behind' if ahead_ms > 0 else 'ahead of'}"
    return (
        f"This machine's clock is {seconds} that of PostgreSQL's server. Set both by the network (NTP): events are "
        "dated, expire and are counted in days by the clock of the process that has them."
    )
