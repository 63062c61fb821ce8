"""Events per second of each device and user, averaged over 30 seconds, and per day, as Amplitude measures them.

A device or user that was named in a 429 is to pause for 30 seconds: until then all its events are refused
(https://amplitude.com/docs/apis/analytics/http-v2, read 2026-11-27).

https://amplitude.com/docs/apis/analytics/batch-event-upload, "EPDS and EPUS" (read 2026-11-24). The average is taken
over fixed windows of 30 seconds, not over a sliding one (*unverified*). A device or user that was throttled once may
send 500,000 events in 24 hours, which move by the hour; from then on it is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

WINDOW_MS: Final = 30_000
HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
DAILY_LIMIT: Final = 500_000


class Rates:
    """Counts events per device or user. `eps` is the threshold in events per second."""

    def __init__(self, eps: int, daily_limit: int = DAILY_LIMIT) -> None:
        self.eps = eps
        self._daily_limit = daily_limit
        self._by_hour: dict[str, dict[int, int]] = {}
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
            self._by_hour.setdefault(name, {})

    def spent(self, events: Mapping[str, int], now_ms: int) -> dict[str, int]:
        """Return who has used up the quota of a day, and the events of the last 24 hours."""
        first = now_ms // HOUR_MS - DAY_HOURS + 1
        found = {}
        for who in events.keys() & self._by_hour.keys():
            hours = self._by_hour[who] = {hour: n for hour, n in self._by_hour[who].items() if hour >= first}
            if sum(hours.values()) >= self._daily_limit:
                found[who] = sum(hours.values())
        return found

    def count(self, events: Mapping[str, int], now_ms: int) -> None:
        """Count events that were taken. To be called right after `over`."""
        for who, count in events.items():
            self._counts[who] = self._counts.get(who, 0) + count
            if who in self._by_hour:
                hour = now_ms // HOUR_MS
                self._by_hour[who][hour] = self._by_hour[who].get(hour, 0) + count


def has_room(before: deque[int], most: int, span_ms: int, now_ms: int) -> bool:
    """Whether another request may come, which is then counted: at most so many in a span of time."""
    while before and now_ms - before[0] >= span_ms:
        before.popleft()
    if len(before) >= most:
        return False
    before.append(now_ms)
    return True
