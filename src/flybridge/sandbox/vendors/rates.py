"""Events per second of each device and user, averaged over 30 seconds, as Amplitude measures them.

https://amplitude.com/docs/apis/analytics/batch-event-upload, "EPDS and EPUS" (read 2026-11-24). The average is taken
over fixed windows of 30 seconds, not over a sliding one (*unverified*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WINDOW_MS: Final = 30_000


class Rates:
    """Counts events per device or user. `eps` is the threshold in events per second."""

    def __init__(self, eps: int) -> None:
        self.eps = eps
        self._limit = eps * WINDOW_MS // 1000
        self._window = -1
        self._counts: dict[str, int] = {}

    def over(self, events: Mapping[str, int], now_ms: int) -> dict[str, int]:
        """Return who would exceed the threshold with these events more, and their events per second."""
        if now_ms // WINDOW_MS != self._window:
            self._window = now_ms // WINDOW_MS
            self._counts.clear()
        counts, limit = self._counts, self._limit
        return {
            who: -(-(counts.get(who, 0) + count) * 1000 // WINDOW_MS)
            for who, count in events.items()
            if counts.get(who, 0) + count > limit
        }

    def count(self, events: Mapping[str, int]) -> None:
        """Count events that were taken. To be called right after `over`."""
        for who, count in events.items():
            self._counts[who] = self._counts.get(who, 0) + count
