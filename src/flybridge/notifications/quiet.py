"""Hours in which no notification is sent."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct


class QuietHours(Struct, frozen=True):
    """Hours of every day by the clocks of a time zone, over midnight if the end is earlier than the beginning."""

    begin: time
    end: time
    zone: str = "UTC"

    def contain(self, now_ms: int) -> bool:
        """Whether a moment lies in them. The end itself does not."""
        local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(self.zone)).time()
        if self.begin <= self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end


NONE: Final = QuietHours(time(), time())
"""No quiet hours."""
