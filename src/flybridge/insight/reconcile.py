"""Explain why the counts of one day differ: each difference is split by counted evidence, in the order of the causes.

Pure. What was counted is exact: what became of each event is in the ledger. Where evidence is known only in sum (the
sources withheld of a day, events of a second integration), no more of a difference is given to a cause than its
evidence has; the rest stays unexplained.
"""

from __future__ import annotations

import operator
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from flybridge.insight.causes import AMPLITUDE, APPSFLYER
from flybridge.insight.compared_rows import (
    ComparedRows,
    add,
    booked_rows,
    family,
    largest,
    left,
    move_withheld,
    respelled,
)
from flybridge.insight.comparison import ALL_EVENTS, CONVERSIONS, ComparedKey, ComparedRow, DayComparison, rank
from flybridge.insight.never_came import Counted
from flybridge.records import OutcomeKind, PerformanceKind
from flybridge.store.figures import CountedOn, OutcomeCount
from flybridge.store.performance import ORGANIC, RESTRICTED

ATTRIBUTION: Final = "attribution"
SECOND_INTEGRATION: Final = "second_integration"
SENT_BY_APP: Final = "sent_by_app"
BY_OTHERS: Final = frozenset({SECOND_INTEGRATION, SENT_BY_APP})
"""Causes of events in Amplitude that flybridge has not sent."""

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

    def plus(self, other: AmplitudeCount) -> AmplitudeCount:
        """Return both together."""
        foreign = None if self.foreign is None or other.foreign is None else self.foreign + other.foreign
        return AmplitudeCount(self.on_day + other.on_day, self.in_zone + other.in_zone, foreign)


class AppsFlyerCounts(Struct, frozen=True):
    """What AppsFlyer counts on a day, by media source. None: it was not asked, or can't tell.

    `unknown` are sources of whose installs it does not say how many there are. `conversions` are those of retargeting
    by kind. `events` are by name on their own day, `booked_events` all in-app events by the day of the install, and
    `booked_revenue` their revenue in millionths of the app's currency.
    """

    origin: str
    installs: Mapping[str, int] | None = None
    unknown: Collection[str] = ()
    conversions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    events: Mapping[str, Mapping[str, int]] | None = None
    booked_events: Mapping[str, int] | None = None
    booked_revenue: Mapping[str, int] | None = None


class DayEvidence(Struct, frozen=True):
    """All that is known about one day of an app.

    `amplitude` has for each event name its counts by media source. `name_of` returns the name of a kind and event in
    Amplitude, None if it is never sent. `changed` counts events whose source a policy changed: by source, then policy.
    `native` counts conversions that the stream has shown of another integration, `unreadable` dead letters of the day
    that were never mapped, `unreadable_since` those from this day on. `withholding` are the sources, in lower case,
    that are known to forbid naming them. `was_down`: at some time of the day no process was running. `missing` counts
    what is in AppsFlyer's raw data and never came; None where it was not read. `missing_of_kind` counts the conversions
    that a search for gaps has found missing, and `gap_causes` say why. How many of what is missing may have come
    unreadable is in `unreadable_among`. `cohort_events` are the in-app events of the installations of this day, by
    source, to date, and `cohort_missing` those that raw data has of them and that never came; None where it was not
    read.
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
    missing: Mapping[ComparedKey, int] | None = None
    missing_of_kind: Mapping[str, int] | None = None
    gap_causes: Mapping[str, str] = field(default_factory=dict)
    unreadable_among: Mapping[Counted, int] = field(default_factory=dict)
    cohort_events: Mapping[str, int] = field(default_factory=dict)
    cohort_missing: Mapping[str, int] | None = None
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
        rows.rows.sorted(),
        list(evidence.notes),
    )


class _Rows:
    """The rows of a day, filled step by step."""

    def __init__(self, evidence: DayEvidence) -> None:
        self._evidence = evidence
        self.rows = ComparedRows()
        self._delivered: Counter[ComparedKey] = Counter()
        self._retargeted: Counter[ComparedKey] = Counter()
        self._secondary: Counter[ComparedKey] = Counter()
        self._deleted: set[ComparedKey] = set()

    def count(self) -> None:
        """Count flybridge's own side: what was counted, and what became of it."""
        for one in self._evidence.counted:
            kind = family(one.kind)
            if kind is None:
                continue
            row = self.rows.row(kind, one.event, one.media_source)
            row.flybridge += one.n
            add(row, "corrected", one.entered - one.n)
            if one.kind == PerformanceKind.RETARGETED_EVENT:
                self._retargeted[row.key] += one.n
            if one.deleted:
                self._deleted.add(row.key)
        for done in self._evidence.outcomes:
            is_copy = done.kind == PerformanceKind.SECONDARY
            kind = PerformanceKind.EVENT if is_copy else family(done.kind)
            if kind is None:
                continue
            row = self.rows.row(kind, done.event, done.media_source)
            if is_copy:
                self._secondary[row.key] += done.n
            if done.outcome == OutcomeKind.DELIVERED:
                self._delivered[row.key] += done.n
                add(row, "secondary_sent", done.n if is_copy else 0)
            elif not is_copy:
                code = CODES.get((done.outcome, done.reason)) or OUTCOMES[done.outcome]
                add(row, code, -done.n, done.key_kinds or done.reason)

    # --- from AppsFlyer

    def step_from_appsflyer(self, told: AppsFlyerCounts) -> None:
        # What is one of the messages that are known to be missing is none of the others.
        unreadable = [max(0, self._evidence.unreadable - sum(self._evidence.unreadable_among.values()))]
        if told.installs is not None:
            self._compared(PerformanceKind.INSTALL, "", told.installs, unreadable, told.unknown)
        for kind, counts in told.conversions.items():
            self._compared(kind, "", counts, unreadable)
        for event, counts in (told.events or {}).items():
            self._compared(PerformanceKind.EVENT, event, counts, unreadable)
        if told.booked_events is not None:
            # What cannot be read is known by its reception, and is booked on the day of an earlier install.
            _, booked = booked_rows(self.rows, told.booked_events, self._evidence.cohort_events)
            self._compared(PerformanceKind.EVENT, ALL_EVENTS, booked, [self._evidence.unreadable_since])

    def _compared(
        self,
        kind: str,
        event: str,
        counts: Mapping[str, int],
        unreadable: list[int],
        unknown: Collection[str] = (),
    ) -> None:
        counts = respelled(counts, self.rows.of(kind, event), operator.add)
        for source in counts:
            self.rows.row(kind, event, source)
        not_told = {source.lower() for source in unknown}
        rows = {source: row for source, row in self.rows.of(kind, event).items() if source.lower() not in not_told}
        for source, row in rows.items():
            row.appsflyer = counts.get(source, 0)
            add(row, "conversion_definition", self._retargeted[row.key])
            add(row, "secondary_copies", -self._secondary[row.key])
        move_withheld(rows, self._evidence.withholding)
        missing, by_source = self._missing(kind, event)
        if missing is not None:
            if event != ALL_EVENTS:
                unreadable = [min(missing, self._evidence.unreadable_among.get((kind, event), 0))]
            missing = max(0, missing - unreadable[0])
        else:
            missing = sys.maxsize if self._evidence.was_down else 0
        lacking = {source: min(-left(row, APPSFLYER), by_source.get(source, 0)) for source, row in rows.items()}
        by_size = largest(rows.values(), lambda row: -left(row, APPSFLYER))
        # What raw data names is of its source. Of the rest, as of what is withheld, the source is a guess.
        for row in by_size:
            missing = self._never_came(row, lacking[row.key.media_source], unreadable, missing)
        for row in by_size:
            missing = self._never_came(row, -left(row, APPSFLYER), unreadable, missing)
        if not self._evidence.is_final:
            for row in rows.values():
                add(row, "not_final", left(row, APPSFLYER))

    def _never_came(self, row: ComparedRow, lacking: int, unreadable: list[int], missing: int) -> int:
        """Add why messages that a row is `lacking` were not counted. Returns how many are still `missing`."""
        unread = max(0, min(lacking, unreadable[0]))
        never_came = max(0, min(lacking - unread, missing))
        add(row, "unreadable", -unread)
        add(row, "gap", -never_came, self._evidence.gap_causes.get(row.key.kind, ""))
        unreadable[0] -= unread
        return missing - never_came

    def _missing(self, kind: str, event: str) -> tuple[int | None, Mapping[str, int]]:
        """Return how many messages have not come, None if that is not counted, and of which sources they are known."""
        evidence = self._evidence
        if event == ALL_EVENTS:
            of_cohort = evidence.cohort_missing
            return (None, {}) if of_cohort is None else (sum(of_cohort.values()), of_cohort)
        if evidence.missing is not None:
            of_source = {
                key.media_source: n for key, n in evidence.missing.items() if (key.kind, key.event) == (kind, event)
            }
            return sum(of_source.values()), of_source
        if evidence.missing_of_kind is not None and kind in CONVERSIONS:
            return evidence.missing_of_kind.get(kind, 0), {}
        return None, {}

    # --- to Amplitude

    def step_to_amplitude(self, told: Mapping[str, Mapping[str, AmplitudeCount]]) -> None:
        changed = {source: Counter(by_policy) for source, by_policy in self._evidence.changed.items()}
        native = [self._evidence.native]
        named: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        kinds = {(key.kind, key.event) for key in self.rows.by_key if key.event != ALL_EVENTS}
        for kind, event in sorted(kinds, key=lambda one: (rank(one[0]), one)):
            name = self._evidence.name_of(kind, event)
            if name is None:
                for row in self.rows.of(kind, event).values():
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
        counts = respelled(counts, self.rows.of(kind, event), AmplitudeCount.plus)
        for source in counts:
            self.rows.row(kind, event, source)
        for other in others:
            for source, row in self.rows.of(*other).items():
                add(self.rows.row(kind, event, source), "same_name", self._delivered[row.key])
        rows = {source: row for source, row in self.rows.of(kind, event).items() if row.key not in self._deleted}
        for source, row in rows.items():
            found = counts.get(source, AmplitudeCount(0, 0))
            row.amplitude = found.on_day
            add(row, "day_boundary", found.on_day - found.in_zone)
        self._changed(kind, event, rows, changed)
        # What has lost its source on its way, as by a rule of Amplitude's, is lacking elsewhere.
        lacking = sum(max(0, -left(row, AMPLITUDE)) for source, row in rows.items() if source)
        for source, row in sorted(rows.items()):
            more, foreign = left(row, AMPLITUDE), counts.get(source, AmplitudeCount(0, 0)).foreign
            # All that flybridge sends has a media source, if its message had one.
            is_of_app = kind == PerformanceKind.EVENT and not source
            if foreign is not None:
                add(row, SENT_BY_APP if is_of_app else SECOND_INTEGRATION, min(max(more, 0), foreign))
            elif is_of_app:
                add(row, SENT_BY_APP, max(0, more - lacking))
            elif more > 0 and kind != PerformanceKind.EVENT and (taken := min(more, native[0])):
                add(row, SECOND_INTEGRATION, taken)
                native[0] -= taken
            elif more < 0 and self._evidence.route == ATTRIBUTION:
                add(row, "amplitude_unmatched", more)

    def _changed(
        self, kind: str, event: str, rows: dict[str, ComparedRow], changed: Mapping[str, Counter[str]]
    ) -> None:
        """Move what a policy sends under another source from the one to the other."""
        for source, policies in sorted(changed.items()):
            for policy, target in (("redact", RESTRICTED), ("organic", ORGANIC)):
                row = rows.get(source)
                if row is None or source == target:
                    continue
                taken = min(-left(row, AMPLITUDE), policies[policy])
                if taken <= 0:
                    continue
                policies[policy] -= taken
                add(row, "restricted_by_policy", -taken, policy)
                if target not in rows:
                    rows[target] = self.rows.row(kind, event, target)
                    rows[target].amplitude = 0
                add(rows[target], "restricted_by_policy", taken, policy)
