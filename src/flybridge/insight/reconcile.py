"""Explain why the counts of one day differ: each difference is split by counted evidence, in the order of the causes.

Pure. What was counted is exact: what became of each event is in the ledger. Where evidence is known only in sum (the
sources withheld of a day, events of a second integration), no more of a difference is given to a cause than its
evidence has; the rest stays unexplained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from flybridge.insight.causes import AMPLITUDE, APPSFLYER
from flybridge.insight.comparison import ALL_EVENTS, CONVERSIONS, ComparedKey, ComparedRow, DayComparison, Part
from flybridge.records import OutcomeKind, PerformanceKind
from flybridge.store.figures import CountedOn, OutcomeCount

ORGANIC: Final = "organic"
RESTRICTED: Final = "restricted"
WITHHELD: Final = (RESTRICTED, ORGANIC)
"""What AppsFlyer names instead of a source that may not be named."""

ATTRIBUTION: Final = "attribution"

_K: Final = OutcomeKind
CODES: Final[Mapping[tuple[str, str], str]] = {
    (_K.REFUSED, "no_identity"): "no_identity",
    (_K.REFUSED, "no_usable_id"): "privacy",
    (_K.REFUSED, "restricted_source"): "restricted_by_policy",
    (_K.FILTERED, "blocked_as_fraud"): "fraud",
    (_K.DEAD, "silenced"): "silenced",
    (_K.DEAD, "invalid_event"): "rejected",
    (_K.DEAD, "invalid_fields"): "rejected",
    (_K.DEAD, "refused_alone"): "rejected",
    (_K.DEAD, "too_large"): "rejected",
}
"""The cause of an outcome and reason. Others are by outcome alone."""

OUTCOMES: Final[Mapping[str, str]] = {
    _K.HELD: "held",
    _K.EXPIRED: "expired",
    _K.FILTERED: "filtered",
    _K.REFUSED: "refused",
    _K.DEAD: "dead",
    _K.PENDING: "in_flight",
    _K.FORGOTTEN: "forgotten",
    _K.DUPLICATE: "duplicate",
    _K.APPLIED: "filtered",
}


class AmplitudeCount(Struct, frozen=True):
    """How often an event is in Amplitude: on the day of the project's zone, and on that of the app's.

    `foreign` are those of the latter that flybridge has not sent, where each event was looked at; else None.
    """

    on_day: int
    in_zone: int
    foreign: int | None = None


class AppsFlyerCounts(Struct, frozen=True):
    """What AppsFlyer counts on a day, by media source. None: it was not asked, or can't tell.

    `events` are by name on their own day, `booked_events` all in-app events by the day of the install.
    """

    origin: str
    installs: Mapping[str, int] | None = None
    events: Mapping[str, Mapping[str, int]] | None = None
    booked_events: Mapping[str, int] | None = None


class DayEvidence(Struct, frozen=True):
    """All that is known about one day of an app.

    `amplitude` has for each event name its counts by media source. `name_of` returns the name of a kind and event in
    Amplitude, None if it is never sent. `changed` counts events whose source a policy changed: by source, then policy.
    `native` counts events of another integration that the stream has shown, `unreadable` dead letters of the day that
    were never mapped, `unreadable_since` those from this day on. `withholding` are the sources, in lower case, that are
    known to forbid naming them. `was_down`: at some time of the day no process was running. `cohort_events` are the
    in-app events of the installations of this day, by source, to date.
    """

    app: str
    day: int
    made_ms: int
    is_final: bool
    counted: Sequence[CountedOn]
    outcomes: Sequence[OutcomeCount]
    name_of: Callable[[str, str], str | None]
    route: str = "http_v2"
    zone: str = "UTC"
    amplitude_zone: str = "UTC"
    appsflyer: AppsFlyerCounts | None = None
    amplitude: Mapping[str, Mapping[str, AmplitudeCount]] | None = None
    amplitude_origin: str = "segmentation"
    changed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    native: int = 0
    unreadable: int = 0
    unreadable_since: int = 0
    withholding: Collection[str] = ()
    was_down: bool = False
    cohort_events: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def compare(evidence: DayEvidence) -> DayComparison:
    """Compare the three counts of a day and split the differences."""
    rows = _Rows(evidence)
    rows.count()
    if evidence.appsflyer is not None:
        rows.step_from_appsflyer(evidence.appsflyer)
    if evidence.amplitude is not None:
        rows.step_to_amplitude(evidence.amplitude)
    return DayComparison(
        evidence.app,
        evidence.day,
        evidence.made_ms,
        evidence.is_final,
        evidence.zone,
        evidence.amplitude_zone,
        evidence.appsflyer.origin if evidence.appsflyer is not None else "",
        evidence.amplitude_origin if evidence.amplitude is not None else "",
        rows.sorted(),
        list(evidence.notes),
    )


class _Rows:
    """The rows of a day, filled step by step."""

    def __init__(self, evidence: DayEvidence) -> None:
        self._evidence = evidence
        self._rows: dict[ComparedKey, ComparedRow] = {}
        self._delivered: Counter[ComparedKey] = Counter()
        self._retargeted: Counter[ComparedKey] = Counter()
        self._secondary: Counter[ComparedKey] = Counter()
        self._deleted: set[ComparedKey] = set()

    def sorted(self) -> list[ComparedRow]:
        order = {kind: number for number, kind in enumerate(CONVERSIONS)}
        found = [row for row in self._rows.values() if row.flybridge or row.appsflyer or row.amplitude or row.parts]
        return sorted(found, key=lambda row: (order.get(row.key.kind, len(order)), row.key))

    def _row(self, kind: str, event: str, source: str) -> ComparedRow:
        key = ComparedKey(kind, event, source)
        if key not in self._rows:
            self._rows[key] = ComparedRow(key, None, 0, None)
        return self._rows[key]

    def _of(self, kind: str, event: str) -> dict[str, ComparedRow]:
        return {key.media_source: row for key, row in self._rows.items() if (key.kind, key.event) == (kind, event)}

    def count(self) -> None:
        """Count flybridge's own side: what was counted, and what became of it."""
        for one in self._evidence.counted:
            kind = _family(one.kind)
            if kind is None:
                continue
            row = self._row(kind, one.event, one.media_source)
            row.flybridge += one.n
            _add(row, "corrected", one.entered - one.n)
            if one.kind == PerformanceKind.RETARGETED_EVENT:
                self._retargeted[row.key] += one.n
            if one.deleted:
                self._deleted.add(row.key)
        for done in self._evidence.outcomes:
            is_copy = done.kind == PerformanceKind.SECONDARY
            kind = PerformanceKind.EVENT if is_copy else _family(done.kind)
            if kind is None:
                continue
            row = self._row(kind, done.event, done.media_source)
            if is_copy:
                self._secondary[row.key] += done.n
            if done.outcome == OutcomeKind.DELIVERED:
                self._delivered[row.key] += done.n
                _add(row, "secondary_sent", done.n if is_copy else 0)
            elif not is_copy:
                code = CODES.get((done.outcome, done.reason)) or OUTCOMES[done.outcome]
                _add(row, code, -done.n, done.key_kinds or done.reason)

    # --- from AppsFlyer

    def step_from_appsflyer(self, told: AppsFlyerCounts) -> None:
        unreadable = [self._evidence.unreadable]
        if told.installs is not None:
            self._compared(PerformanceKind.INSTALL, "", told.installs, unreadable)
        for event, counts in (told.events or {}).items():
            self._compared(PerformanceKind.EVENT, event, counts, unreadable)
        if told.booked_events is not None:
            # What cannot be read is known by its reception, and is booked on the day of an earlier install.
            self._booked(told.booked_events, [self._evidence.unreadable_since])

    def _booked(self, counts: Mapping[str, int], unreadable: list[int]) -> None:
        """Compare all in-app events together, which AppsFlyer books on the day of the install."""
        own: Counter[str] = Counter()
        for key, row in self._rows.items():
            if key.kind == PerformanceKind.EVENT:
                own[key.media_source] += row.flybridge
        cohorts = self._evidence.cohort_events
        for source in {*own, *cohorts, *counts}:
            row = self._row(PerformanceKind.EVENT, ALL_EVENTS, source)
            row.flybridge = own[source]
            _add(row, "booking_day", own[source] - cohorts.get(source, 0))
        self._compared(PerformanceKind.EVENT, ALL_EVENTS, counts, unreadable)

    def _compared(self, kind: str, event: str, counts: Mapping[str, int], unreadable: list[int]) -> None:
        for source in counts:
            self._row(kind, event, source)
        rows = self._of(kind, event)
        for source, row in rows.items():
            row.appsflyer = counts.get(source, 0)
            _add(row, "conversion_definition", self._retargeted[row.key])
            _add(row, "secondary_copies", -self._secondary[row.key])
        self._withheld(rows)
        for row in _largest(rows.values(), lambda row: -_left(row, APPSFLYER)):
            taken = min(-_left(row, APPSFLYER), unreadable[0])
            if taken > 0:
                _add(row, "unreadable", -taken)
                unreadable[0] -= taken
            if self._evidence.was_down and _left(row, APPSFLYER) < 0:
                _add(row, "gap", _left(row, APPSFLYER))
        if not self._evidence.is_final:
            for row in rows.values():
                _add(row, "not_final", _left(row, APPSFLYER))

    def _withheld(self, rows: Mapping[str, ComparedRow]) -> None:
        """Add what came as restricted or organic beyond AppsFlyer's count to the named sources that lack it.

        Those that are known to withhold come first. The sum is certain, and how it is shared among several is not.
        """
        gains = {name: max(0, _left(rows[name], APPSFLYER)) for name in WITHHELD if name in rows}
        lacking = [row for name, row in rows.items() if name not in WITHHELD and _left(row, APPSFLYER) < 0]
        moved = min(sum(gains.values()), -sum(_left(row, APPSFLYER) for row in lacking))
        left = moved
        known = self._evidence.withholding
        by_size = _largest(lacking, lambda row: -_left(row, APPSFLYER))
        for row in sorted(by_size, key=lambda row: row.key.media_source.lower() not in known):
            taken = min(left, -_left(row, APPSFLYER))
            _add(row, "restricted", -taken)
            left -= taken
        for name, gain in gains.items():
            taken = min(moved, gain)
            _add(rows[name], "restricted", taken)
            moved -= taken

    # --- to Amplitude

    def step_to_amplitude(self, told: Mapping[str, Mapping[str, AmplitudeCount]]) -> None:
        changed = {source: Counter(by_policy) for source, by_policy in self._evidence.changed.items()}
        native = [self._evidence.native]
        named: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        kinds = {(key.kind, key.event) for key in self._rows if key.event != ALL_EVENTS}
        order = {kind: number for number, kind in enumerate(CONVERSIONS)}
        for kind, event in sorted(kinds, key=lambda one: (order.get(one[0], len(order)), one)):
            name = self._evidence.name_of(kind, event)
            if name is None:
                for row in self._of(kind, event).values():
                    row.amplitude = 0
            elif name in told:
                named[name].append((kind, event))
        conversions = {self._evidence.name_of(kind, ""): kind for kind in reversed(CONVERSIONS)}
        for name in told:
            # Amplitude may have what flybridge has received nothing of.
            alone = (conversions[name], "") if name in conversions else (PerformanceKind.EVENT, name)
            self._named(named[name] or [alone], told[name], changed, native)

    def _named(
        self,
        group: Sequence[tuple[str, str]],
        counts: Mapping[str, AmplitudeCount],
        changed: Mapping[str, Counter[str]],
        native: list[int],
    ) -> None:
        """Compare what Amplitude has under one name with the kinds that are sent under it: the first, if several."""
        (kind, event), *others = group
        for source in counts:
            self._row(kind, event, source)
        for other in others:
            for source, row in self._of(*other).items():
                _add(self._row(kind, event, source), "same_name", self._delivered[row.key])
        rows = {source: row for source, row in self._of(kind, event).items() if row.key not in self._deleted}
        for source, row in rows.items():
            found = counts.get(source, AmplitudeCount(0, 0))
            row.amplitude = found.on_day
            _add(row, "day_boundary", found.on_day - found.in_zone)
        self._changed(kind, event, rows, changed)
        for source, row in sorted(rows.items()):
            left, foreign = _left(row, AMPLITUDE), counts.get(source, AmplitudeCount(0, 0)).foreign
            if foreign is not None:
                _add(row, "second_integration", min(max(left, 0), foreign))
            elif left > 0 and (taken := min(left, native[0])):
                _add(row, "second_integration", taken)
                native[0] -= taken
            elif left < 0 and self._evidence.route == ATTRIBUTION:
                _add(row, "amplitude_unmatched", left)

    def _changed(
        self, kind: str, event: str, rows: dict[str, ComparedRow], changed: Mapping[str, Counter[str]]
    ) -> None:
        """Move what a policy sends under another source from the one to the other."""
        for source, policies in sorted(changed.items()):
            for policy, target in (("redact", RESTRICTED), ("organic", ORGANIC)):
                row = rows.get(source)
                if row is None or source == target:
                    continue
                taken = min(-_left(row, AMPLITUDE), policies[policy])
                if taken <= 0:
                    continue
                policies[policy] -= taken
                _add(row, "restricted_by_policy", -taken, policy)
                if target not in rows:
                    rows[target] = self._row(kind, event, target)
                    rows[target].amplitude = 0
                _add(rows[target], "restricted_by_policy", taken, policy)


def _family(kind: str) -> str | None:
    """Return the kind under which a row is compared; None if it is not."""
    if kind == PerformanceKind.RETARGETED_EVENT:
        return PerformanceKind.EVENT
    return kind if kind in CONVERSIONS or kind == PerformanceKind.EVENT else None


def _left(row: ComparedRow, step: str) -> int:
    """Return what is not explained yet; 0 where one side is not known."""
    return row.unexplained(step) or 0


def _largest(rows: Iterable[ComparedRow], of: Callable[[ComparedRow], int]) -> list[ComparedRow]:
    return sorted(rows, key=lambda row: (-of(row), row.key))


def _add(row: ComparedRow, code: str, n: int, detail: str = "") -> None:
    """Add a part to a row, or to the part with the same code and detail."""
    if not n:
        return
    for at, part in enumerate(row.parts):
        if (part.code, part.detail) == (code, detail):
            row.parts[at] = Part(code, part.n + n, detail)
            return
    row.parts.append(Part(code, n, detail))
