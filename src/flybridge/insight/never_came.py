"""Which of the messages that never came are those that could not be read. Pure.

A dead letter that was never mapped says neither what it is about nor on which day that happened. It is one message all
the same: whatever is compared, it explains one that is missing, and no second one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from flybridge.insight.comparison import CONVERSIONS

Counted = tuple[str, str]
"""A kind and event: what a message is counted as."""


def unreadable_among(
    missing: Mapping[int, Mapping[Counted, int]],
    received: Mapping[str, int],
    dates: Mapping[int, Collection[str]],
    stopped: Collection[int],
) -> dict[int, dict[Counted, int]]:
    """Return how many of the messages that are `missing` on each day may have come, and could not be read.

    `received` counts dead letters by their UTC date, and `dates` are those on which a day falls. A message is taken for
    one of the day on which it came, or else of the last day before it: but not of one of those that have `stopped`, on
    which no process was running for a time, so that what is missing there never came. Conversions are first.
    """
    unread, open_ = Counter(received), {day: Counter(counts) for day, counts in missing.items()}
    found: dict[int, dict[Counted, int]] = {}

    def take(day: int, on: Collection[str]) -> None:
        for date in on:
            for counted in sorted(open_[day], key=lambda one: (one[0] not in CONVERSIONS, one)):
                if n := min(unread[date], open_[day][counted]):
                    unread[date] -= n
                    open_[day][counted] -= n
                    of_day = found.setdefault(day, {})
                    of_day[counted] = of_day.get(counted, 0) + n

    for day in sorted(missing):
        take(day, sorted(dates[day]))
    for day in sorted(missing, reverse=True):
        if day not in stopped:
            take(day, sorted(date for date in received if date > max(dates[day])))
    return found
