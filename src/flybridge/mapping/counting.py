"""How performance is counted: by which days, in which currency, and to which detail.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct, field

from flybridge.mapping.conditions import Name
from flybridge.records import DAY_MS

QUARTER_MS: Final = 900_000
EPOCH_DAY: Final = datetime(1970, 1, 1).toordinal()


class Counting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """How one app's performance is counted."""

    timezone: Name = "UTC"
    """The zone in which its days begin, by its IANA name (`Europe/Berlin`). Choose the one that the app has in
    AppsFlyer, so that days can be compared."""
    currency: Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z", description="a code of three capital letters")] = "USD"
    """The currency of all sums: the one that the app has in AppsFlyer. AppsFlyer converts to it and to US dollars."""
    rates: dict[str, Annotated[float, Meta(gt=0)]] = field(default_factory=dict)
    """What one unit of another currency is worth in `currency`, for amounts that AppsFlyer has not converted:
    `{ EUR = 1.08 }`. An amount in any other currency is counted as not converted, and not added up."""
    detail: Literal["campaign", "adset", "ad"] = "campaign"
    """The finest level that is counted: `campaign`, `adset`, or `ad`. Each makes more cells a day."""

    @cached_property
    def day(self) -> Callable[[int], int]:
        """A function from a time in milliseconds to the number of its day since 1970."""
        return _calendar(self.timezone)


@lru_cache(64)
def _calendar(zone: str) -> Callable[[int], int]:
    if zone == "UTC":
        return lambda ms: ms // DAY_MS
    local = ZoneInfo(zone)

    # Zones are shifted by whole quarters of an hour.
    @lru_cache(16_384)
    def day(quarter: int) -> int:
        return datetime.fromtimestamp(quarter * (QUARTER_MS // 1000), UTC).astimezone(local).toordinal() - EPOCH_DAY

    return lambda ms: day(ms // QUARTER_MS)
