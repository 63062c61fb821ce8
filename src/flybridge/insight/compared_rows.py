"""How rows of a comparison are filled: parts of differences, and what is not explained yet."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeVar

from flybridge.insight.causes import APPSFLYER
from flybridge.insight.comparison import ALL_EVENTS, CONVERSIONS, ComparedKey, ComparedRow, Part, rank
from flybridge.records import PerformanceKind
from flybridge.store.performance import ORGANIC, RESTRICTED

WITHHELD: Final = (RESTRICTED, ORGANIC)
"""What AppsFlyer names instead of a source that may not be named."""


N = TypeVar("N")


class ComparedRows:
    """The rows of a day by what they count."""

    def __init__(self) -> None:
        self.by_key: dict[ComparedKey, ComparedRow] = {}

    def row(self, kind: str, event: str, source: str) -> ComparedRow:
        """Return a row, made if it is new."""
        key = ComparedKey(kind, event, source)
        if key not in self.by_key:
            self.by_key[key] = ComparedRow(key, None, 0, None)
        return self.by_key[key]

    def of(self, kind: str, event: str) -> dict[str, ComparedRow]:
        """Return the rows of a kind and event, by media source."""
        return {key.media_source: row for key, row in self.by_key.items() if (key.kind, key.event) == (kind, event)}

    def sorted(self) -> list[ComparedRow]:
        """Return the rows that say something: conversions first, then events by name."""
        found = [row for row in self.by_key.values() if row.flybridge or row.appsflyer or row.amplitude or row.parts]
        return sorted(found, key=lambda row: (rank(row.key.kind), row.key))


def family(kind: str) -> str | None:
    """Return the kind under which a row is compared; None if it is not."""
    if kind == PerformanceKind.RETARGETED_EVENT:
        return PerformanceKind.EVENT
    return kind if kind in CONVERSIONS or kind == PerformanceKind.EVENT else None


def respelled(counts: Mapping[str, N], known: Iterable[str], add_up: Callable[[N, N], N]) -> dict[str, N]:
    """Return counts of media sources under the names that flybridge has: vendors write the same in other case."""
    names = {name.lower(): name for name in sorted(known)}
    found: dict[str, N] = {}
    same = set(known)
    for source, n in counts.items():
        name = source if source in same else names.get(source.lower(), source)
        found[name] = add_up(found[name], n) if name in found else n
    return found


def booked_rows(
    rows: ComparedRows, booked: Mapping[str, int], cohorts: Mapping[str, int]
) -> tuple[dict[str, ComparedRow], dict[str, int]]:
    """Return the rows of all in-app events together, and AppsFlyer's figures of them as flybridge spells sources.

    AppsFlyer books them on the day of the install, as flybridge's `cohorts` are: that is told from what is by its own
    day.
    """
    own: Counter[str] = Counter()
    for key, row in rows.by_key.items():
        if key.kind == PerformanceKind.EVENT:
            own[key.media_source] += row.flybridge
    booked = respelled(booked, {*own, *cohorts}, operator.add)
    for source in {*own, *cohorts, *booked}:
        row = rows.row(PerformanceKind.EVENT, ALL_EVENTS, source)
        row.flybridge, row.appsflyer = own[source], booked.get(source, 0)
        add(row, "booking_day", own[source] - cohorts.get(source, 0))
    return rows.of(PerformanceKind.EVENT, ALL_EVENTS), booked


def left(row: ComparedRow, step: str) -> int:
    """Return what is not explained yet; 0 where one side is not known."""
    return row.unexplained(step) or 0


def largest(rows: Iterable[ComparedRow], of: Callable[[ComparedRow], int]) -> list[ComparedRow]:
    """Return rows in the order of a figure, the largest first."""
    return sorted(rows, key=lambda row: (-of(row), row.key))


def add(row: ComparedRow, code: str, n: int, detail: str = "", events: int = 0) -> None:
    """Add a part to a row, or to the part with the same code and detail."""
    if not n:
        return
    for at, part in enumerate(row.parts):
        if (part.code, part.detail) == (code, detail):
            row.parts[at] = Part(code, part.n + n, detail, part.events + events)
            return
    row.parts.append(Part(code, n, detail, events))


def move_withheld(rows: Mapping[str, ComparedRow], known: Collection[str], least: int = 1, sign: int = 1) -> None:
    """Add what came as restricted or organic beyond AppsFlyer's count to the named sources that lack it.

    Those that are `known` to withhold come first. The sum is certain, and how it is shared among several is not. What
    is less than `least` is not looked at. Of amounts a `sign` of -1 looks at what was refunded.
    """
    gains = {name: gain for name in WITHHELD if name in rows and (gain := sign * left(rows[name], APPSFLYER)) >= least}
    lacks = {
        name: lack for name, row in rows.items()
        if name not in WITHHELD and sign * (row.appsflyer or 0) > 0 and (lack := -sign * left(row, APPSFLYER)) >= least
    }  # fmt: skip
    moved = min(sum(gains.values()), sum(lacks.values()))
    remaining = moved
    by_size = largest([rows[name] for name in lacks], lambda row: lacks[row.key.media_source])
    for row in sorted(by_size, key=lambda row: row.key.media_source.lower() not in known):
        taken = min(remaining, lacks[row.key.media_source])
        add(row, "restricted", -sign * taken)
        remaining -= taken
    for name, gain in gains.items():
        taken = min(moved, gain)
        add(rows[name], "restricted", sign * taken)
        moved -= taken
