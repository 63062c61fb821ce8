"""Whether Amplitude's own AppsFlyer integration runs beside flybridge, by what the stream has shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from flybridge.records import DAY_MS, day_of
from flybridge.store.figures import Count

REASON: Final = "native_integration"
DAYS: Final = 7


def native_warnings(counts: Iterable[Count], now_ms: int) -> list[str]:
    """Return a sentence for each app in whose stream events of the integration came within the last days."""
    since = day_of(now_ms - (DAYS - 1) * DAY_MS)
    seen: Counter[str] = Counter()
    for count in counts:
        if count.reason == REASON and count.day >= since:
            seen[count.app] += count.n
    return [
        f"{app}: {n:,} AppsFlyer events in Amplitude's stream of the last {DAYS} days were not sent by flybridge. "
        "Amplitude's own AppsFlyer integration is on, and installs are counted twice: switch it off."
        for app, n in sorted(seen.items())
        if n
    ]
