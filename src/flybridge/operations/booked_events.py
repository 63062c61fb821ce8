"""On which day, and for which source, AppsFlyer books the events of its raw data: those of their installation. Pure.

An event after a re-engagement or re-attribution names another source and another install time than the conversion with
which its installation began. That conversion is in raw data, too, if it is of the days that are compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from msgspec import Struct

from flybridge.insight.cohorts import LAST
from flybridge.records import Performance, PerformanceKind

BOOKED: Final = (PerformanceKind.INSTALL, PerformanceKind.REINSTALL, PerformanceKind.UNSEEN)
"""Kinds of cohorts whose events AppsFlyer books under user acquisition."""

COUNTED: Final = (PerformanceKind.EVENT, PerformanceKind.RETARGETED_EVENT)


class BookedSums(Struct):
    """What raw data tells of the events of a cohort. Amounts are in millionths of the app's currency.

    Of all `events`, `paid` have revenue, of which `rated` were converted by the rate table, into `rated_amount`. `late`
    ones happened after the last day that flybridge's cohorts count; some could not be converted. `missing` ones are not
    known to have come, and were worth `missing_revenue`.
    """

    paid: int = 0
    rated: int = 0
    rated_amount: int = 0
    late: int = 0
    late_revenue: int = 0
    late_not_converted: int = 0
    missing: int = 0
    missing_revenue: int = 0
    events: int = 0


class _Began(Struct, frozen=True, order=True):
    """With what an installation began: the earliest conversion counts."""

    install_s: int
    kind: str
    day: int
    media_source: str


class _ToBook(Struct, frozen=True):
    """An event whose installation is looked up when all conversions are known."""

    key: bytes
    reported: _Began | None
    day: int
    revenue: int
    not_converted: bool
    is_rated: bool
    is_missing: bool


class BookedEvents:
    """Collects what of some days' cohorts raw data has, in any order of its rows."""

    def __init__(self, days: range) -> None:
        self._days = days
        self._began: dict[bytes, _Began] = {}
        self._seen: Counter[tuple[bytes, _Began | None]] = Counter()
        self._paid: Counter[tuple[bytes, _Began | None]] = Counter()
        self._events: list[_ToBook] = []

    def add(self, found: Performance, *, is_rated: bool, is_missing: bool = False) -> None:
        """Take what a row is counted as.

        `is_rated`: its revenue was converted by the rate table. `is_missing`: no message of it is known.
        """
        if not found.keys:
            return
        key, kind, began = found.keys[0], found.dimensions.kind, _began(found)
        if found.begins and began is not None:
            self._began[key] = min(began, self._began.get(key, began))
        elif kind in COUNTED:
            self._seen[key, began] += 1
            if found.revenue:
                self._paid[key, began] += 1
            if is_rated or is_missing or found.day - self._days[0] > LAST:
                money = (found.revenue, found.not_converted)
                self._events.append(_ToBook(key, began, found.day, *money, is_rated, is_missing))

    def sums(self) -> dict[tuple[int, str], BookedSums]:
        """Return what was found by the day and the source of the install."""
        sums: defaultdict[tuple[int, str], BookedSums] = defaultdict(BookedSums)
        for (key, reported), n in self._seen.items():
            if (began := self._booked(key, reported)) is not None:
                of = sums[began.day, began.media_source]
                of.events += n
                of.paid += self._paid[key, reported]
        for event in self._events:
            began = self._booked(event.key, event.reported)
            if began is None:
                continue
            of = sums[began.day, began.media_source]
            if event.is_rated:
                of.rated += 1
                of.rated_amount += abs(event.revenue)
            if event.day - began.day > LAST:
                of.late += 1
                of.late_revenue += event.revenue
                of.late_not_converted += event.not_converted
            elif event.is_missing:
                of.missing += 1
                of.missing_revenue += event.revenue
        return dict(sums)

    def _booked(self, key: bytes, reported: _Began | None) -> _Began | None:
        """Return where an event is booked; None if not under user acquisition, or not on these days."""
        began = self._began.get(key, reported)
        return began if began is not None and began.kind in BOOKED and began.day in self._days else None


def _began(found: Performance) -> _Began | None:
    origin = found.origin
    if origin is None or not found.install_s:
        return None
    return _Began(found.install_s, origin.kind, found.install_day, origin.media_source)
