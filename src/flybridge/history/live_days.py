"""What was received live and is recognised no longer: read again, its events would be sent a second time.

The key of a pushed event is kept for `retention.dedup_days`. What is read may wait in the inbox before its key is
looked for: some minutes, or for hours where a Data Locker of many days is read for the first time.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from flybridge.appsflyer.raw_pull import DAY_S, PullWindow
from flybridge.records import DAY_MS, HOUR_MS, Source, day_of
from flybridge.store.protocol import Store


class Forgotten(Struct, frozen=True):
    """What is recognised no longer: what happened before `before_ms`, on one of the `days` or on that before it.

    `days` (UTC) are those on which something was pushed: of the day itself, or late, of the day before.
    """

    days: frozenset[str] = frozenset()
    before_ms: int = 0

    def holds(self, ms: int, processed_day: str = "") -> bool:
        """Whether an event is among it. One that came later was pushed on the day on which AppsFlyer processed it."""
        if ms >= self.before_ms:
            return False
        return self._is_live(ms) or (processed_day in self.days and processed_day <= day_of(self.before_ms))

    def without(self, window: PullWindow) -> list[PullWindow]:
        """Return the parts of a window that may be read."""
        parts, begin_s = list[PullWindow](), window.begin_s
        end_s = min(window.end_s, -(-self.before_ms // 1000))
        for day in range(begin_s // DAY_S, -(-end_s // DAY_S)):
            if self._is_live(day * DAY_MS):
                if day * DAY_S > begin_s:
                    parts.append(PullWindow(begin_s, day * DAY_S))
                begin_s = max(begin_s, min((day + 1) * DAY_S, end_s))
        return [*parts, PullWindow(begin_s, window.end_s)] if begin_s < window.end_s else parts

    def _is_live(self, ms: int) -> bool:
        return day_of(ms) in self.days or day_of(ms + DAY_MS) in self.days


NOTHING: Final = Forgotten()


async def forgotten_live(store: Store, app: str, before_ms: int) -> Forgotten:
    """Return what an app was pushed before a time."""
    days = {one.day for one in await store.counts() if one.app == app and one.source == Source.PUSH.word}
    return Forgotten(frozenset(days), before_ms)


def remembered_ms(dedup_days: int, now_ms: int) -> int:
    """Return since when what was pushed is recognised if it is read now."""
    return now_ms - dedup_days * DAY_MS + HOUR_MS
