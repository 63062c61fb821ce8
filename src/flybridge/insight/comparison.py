"""One day of an app as AppsFlyer, flybridge and Amplitude count it, and how the counts differ. Pure.

For every row it holds, where both sides are known:

    appsflyer + parts of the step `appsflyer` + unexplained = flybridge
    flybridge + parts of the step `amplitude` + unexplained = amplitude
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

from flybridge.insight.causes import AMPLITUDE, APPSFLYER, CAUSES, STEPS, UNEXPLAINED
from flybridge.records import MICRO, PerformanceKind
from flybridge.store.figures import DayReport

REPORT: Final = "reconciliation"
"""The kind of day report that holds a comparison."""

ALL_EVENTS: Final = "(all in-app events)"
"""Stands for all in-app events together, where AppsFlyer tells them by the day of the install only."""

CONVERSIONS: Final = (
    PerformanceKind.INSTALL,
    PerformanceKind.REINSTALL,
    PerformanceKind.RE_ENGAGEMENT,
    PerformanceKind.RE_ATTRIBUTION,
)

CENT: Final = MICRO // 100
"""AppsFlyer's aggregate rounds the amount of each of its rows: what is less than a cent is no difference."""


def rank(kind: str) -> int:
    """Return the place of a kind in the order of reports: conversions, then in-app events."""
    return CONVERSIONS.index(kind) if kind in CONVERSIONS else len(CONVERSIONS)


class ComparedKey(Struct, frozen=True, order=True):
    """What a row counts: a kind of conversion, or the in-app event of a name, of one media source."""

    kind: str
    event: str
    media_source: str


class Part(Struct, frozen=True):
    """A counted part of a difference: what the cause adds to the count of the step before. `detail` tells it apart.

    Of revenue `n` is an amount, and `events` how many events have made it.
    """

    code: str
    n: int
    detail: str = ""
    events: int = 0


class ComparedRow(Struct):
    """Three counts of the same, and what makes the difference. None: that side was not asked, or did not answer."""

    key: ComparedKey
    appsflyer: int | None
    flybridge: int
    amplitude: int | None
    parts: list[Part] = field(default_factory=list)

    def unexplained(self, step: str) -> int | None:
        """Return what no cause of a step explains; None where one side is not known."""
        before, after = {
            APPSFLYER: (self.appsflyer, self.flybridge),
            AMPLITUDE: (self.flybridge, self.amplitude),
        }[step]
        if before is None or after is None:
            return None
        return after - before - sum(part.n for part in self.parts if CAUSES[part.code].step == step)


class DayComparison(Struct):
    """All rows of one day. `is_final`: AppsFlyer changes its figures of the day no more.

    `appsflyer` and `amplitude` say what was asked there (`aggregate`, `segmentation`, ...), empty if nothing was.
    `revenue` has rows as `rows`, in millionths of `currency` instead of numbers of events.
    """

    app: str
    day: int
    made_ms: int
    is_final: bool
    zone: str
    amplitude_zone: str
    appsflyer: str
    amplitude: str
    rows: list[ComparedRow]
    notes: list[str] = field(default_factory=list)
    revenue: list[ComparedRow] = field(default_factory=list)
    currency: str = ""


def written(found: DayComparison) -> DayReport:
    """Return a comparison as it is stored."""
    return DayReport(found.app, REPORT, found.day, found.made_ms, msgspec.json.encode(found))


def read(report: DayReport) -> DayComparison | None:
    """Return a stored comparison; None if this version can't read it."""
    found = report.read(DayComparison)
    if found is None:
        return None
    return found if all(part.code in CAUSES for row in (*found.rows, *found.revenue) for part in row.parts) else None


def events_by_cause(days: Sequence[DayComparison]) -> dict[str, int]:
    """Return by how many events counts differ, for every cause and for what none explains.

    A cause that takes as many from one source as it adds to another counts once. What is not final is left out of what
    is unexplained, and all in-app events together, whose events are among the others.
    """
    taken, added = dict.fromkeys([*CAUSES, UNEXPLAINED], 0), dict.fromkeys(CAUSES, 0)
    for day in days:
        for row in day.rows:
            if row.key.event == ALL_EVENTS:
                continue
            for part in row.parts:
                (added if part.n > 0 else taken)[part.code] += abs(part.n)
            if day.is_final:
                taken[UNEXPLAINED] += sum(abs(row.unexplained(step) or 0) for step in STEPS)
    return {cause: max(n, added.get(cause, 0)) for cause, n in taken.items()}


class ComparedGroup(Struct):
    """Sums of several rows, of one or more days.

    `with_appsflyer` and `with_amplitude` are flybridge's count in those rows where the other side is known: the
    differences are counted there. `more` and `less` have, by cause and by step of what no cause explains, what is added
    and taken away: one row's part does not hide that of another. Parts below `least` are no difference there.
    """

    appsflyer: int | None = None
    flybridge: int = 0
    amplitude: int | None = None
    with_appsflyer: int = 0
    with_amplitude: int = 0
    parts: dict[tuple[str, str], int] = field(default_factory=dict)
    events: dict[tuple[str, str], int] = field(default_factory=dict)
    unexplained: dict[str, int | None] = field(default_factory=lambda: {APPSFLYER: None, AMPLITUDE: None})
    more: dict[str, int] = field(default_factory=dict)
    less: dict[str, int] = field(default_factory=dict)
    least: int = 1

    def add(self, row: ComparedRow) -> None:
        """Add a row."""
        self.flybridge += row.flybridge
        if row.appsflyer is not None:
            self.appsflyer = (self.appsflyer or 0) + row.appsflyer
            self.with_appsflyer += row.flybridge
        if row.amplitude is not None:
            self.amplitude = (self.amplitude or 0) + row.amplitude
            self.with_amplitude += row.flybridge
        for step in self.unexplained:
            left = row.unexplained(step)
            if left is None:
                continue
            self.unexplained[step] = (self.unexplained[step] or 0) + left
            self._note(step, left)
            for part in row.parts:
                if CAUSES[part.code].step == step:
                    at = (part.code, part.detail)
                    self.parts[at] = self.parts.get(at, 0) + part.n
                    self.events[at] = self.events.get(at, 0) + part.events
                    self._note(part.code, part.n)

    def _note(self, of: str, n: int) -> None:
        if abs(n) >= self.least:
            into = self.more if n > 0 else self.less
            into[of] = into.get(of, 0) + abs(n)

    @property
    def left(self) -> int | None:
        """What no cause explains, whether too much or too little; None if no row has two sides to compare."""
        if all(n is None for n in self.unexplained.values()):
            return None
        return sum(side.get(step, 0) for side in (self.more, self.less) for step in self.unexplained)

    def by_cause(self) -> Mapping[str, Mapping[str, int]]:
        """Return the parts by code and detail, in the order of the causes: all that change the count of some row."""
        found: dict[str, dict[str, int]] = {}
        for code in CAUSES:
            details = {detail: n for (of, detail), n in sorted(self.parts.items()) if of == code and n}
            if details or self.more.get(code) or self.less.get(code):
                found[code] = details
        return found
