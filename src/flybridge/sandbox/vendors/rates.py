"""Events per second of each device and user, averaged over 30 seconds, as Amplitude measures them.

A device or user that was named in a 429 is to pause for 30 seconds: until then all its events are refused
(https://amplitude.com/docs/apis/analytics/http-v2, read 2026-11-27).

https://amplitude.com/docs/apis/analytics/batch-event-upload, "EPDS and EPUS" (read 2026-11-24). The average is taken
over fixed windows of 30 seconds, not over a sliding one (*unverified*).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

WINDOW_MS: Final = 30_000


class Rates:
    """Counts events per device or user. `eps` is the threshold in events per second."""

    def __init__(self, eps: int) -> None:
        self.eps = eps
        self._limit = eps * WINDOW_MS // 1000
        self._window = -1
        self._counts: dict[str, int] = {}
        self._paused: dict[str, int] = {}

    def over(self, events: Mapping[str, int], now_ms: int) -> dict[str, int]:
        """Return who would exceed the threshold with these events more, and their events per second."""
        if now_ms // WINDOW_MS != self._window:
            self._window = now_ms // WINDOW_MS
            self._counts.clear()
        counts, limit = self._counts, self._limit
        slow = {
            who: -(-(counts.get(who, 0) + count) * 1000 // WINDOW_MS)
            for who, count in events.items()
            if counts.get(who, 0) + count > limit
        }
        if self._paused:
            self._paused = {who: until_ms for who, until_ms in self._paused.items() if until_ms > now_ms}
            slow |= {who: self.eps + 1 for who in events if who in self._paused and who not in slow}
        return slow

    def pause(self, who: Iterable[str], now_ms: int) -> None:
        """Refuse the events of these devices or users for 30 seconds. A pause that has begun does not get longer."""
        for name in who:
            self._paused.setdefault(name, now_ms + WINDOW_MS)

    def count(self, events: Mapping[str, int]) -> None:
        """Count events that were taken. To be called right after `over`."""
        for who, count in events.items():
            self._counts[who] = self._counts.get(who, 0) + count
