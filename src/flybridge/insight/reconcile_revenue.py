"""Explain why the revenue of one day differs between AppsFlyer, flybridge and Amplitude. Pure.

Amounts are in millionths: of the app's currency at AppsFlyer and in flybridge, and as plain numbers of all currencies
in Amplitude, which adds them up as they are (https://amplitude.com/docs/data/currency-conversion, read 2026-11-27). The
evidence is AppsFlyer's raw data, event by event: what each was worth, in which currency, and what became of it. Without
it amounts are compared and not split.

Revenue of an event is compared on its own day. All in-app events together are compared with AppsFlyer's aggregate, too,
which books their revenue on the day of the install.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field, structs

from flybridge.insight.causes import AMPLITUDE, APPSFLYER
from flybridge.insight.compared_rows import ComparedRows, add, booked_rows, left, respelled
from flybridge.insight.comparison import ALL_EVENTS, CENT, ComparedKey, ComparedRow, Part
from flybridge.insight.converted_revenue import CohortRevenue, explain_conversion, is_of
from flybridge.insight.reconcile import BY_OTHERS, AmplitudeCount, DayEvidence
from flybridge.records import PerformanceKind
from flybridge.store.performance import ORGANIC, RESTRICTED

DELIVERED: Final = ""
MISSING: Final = "gap"
UNREADABLE: Final = "unreadable"
SECONDARY: Final = "secondary_copies"
SECONDARY_SENT: Final = "secondary_sent"
NOT_COUNTED: Final = frozenset({MISSING, SECONDARY, SECONDARY_SENT})
"""Codes of events that AppsFlyer's raw data has and flybridge does not count: they never came, or are copies."""

EVENT: Final = PerformanceKind.EVENT


class RevenueFact(Struct, frozen=True):
    """What `n` events of one day were worth that AppsFlyer's raw data has, all with the same labels and fate.

    `code` is empty if they were delivered, else the cause for which they were not; `detail` tells it apart.
    `sent_source` is the media source under which they are in Amplitude, `currency` that in which they were paid.
    `reported` is AppsFlyer's amount in the app's currency (None: it does not say it), `counted` flybridge's, `bare`
    that if the message came without the converted amount that raw data has; `sent` is the number that Amplitude gets.
    """

    event: str
    media_source: str
    sent_source: str
    currency: str
    code: str
    detail: str
    n: int
    reported: int | None
    counted: int
    bare: int
    sent: int


class RevenueEvidence(Struct, frozen=True):
    """All that is known about the revenue of one day.

    `facts` is None where AppsFlyer's raw data was not read. `amplitude` has for each event name its sums by media
    source. `booked` is AppsFlyer's revenue of the installs of the day by source, `cohorts` flybridge's.
    """

    facts: Sequence[RevenueFact] | None = None
    amplitude: Mapping[str, Mapping[str, AmplitudeCount]] = field(default_factory=dict)
    booked: Mapping[str, int] | None = None
    cohorts: Mapping[str, CohortRevenue] = field(default_factory=dict)


def compare_revenue(evidence: DayEvidence, money: RevenueEvidence, counts: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Compare the revenue of a day. `counts` are the rows of its events, as they were compared."""
    rows = _RevenueRows(evidence, money)
    rows.count()
    rows.step_from_appsflyer()
    foreign = {
        (row.key.event, row.key.media_source): part for row in counts for part in row.parts if part.code in BY_OTHERS
    }
    rows.step_to_amplitude(foreign)
    rows.book(counts)
    return rows.rows.sorted()


class _RevenueRows:
    """The rows of a day, filled step by step."""

    def __init__(self, evidence: DayEvidence, money: RevenueEvidence) -> None:
        self.rows = ComparedRows()
        self._evidence = evidence
        self._money = money
        self._facts: list[RevenueFact] = []
        self._deleted: set[ComparedKey] = set()
        self._not_reported: set[ComparedKey] = set()

    def _row(self, event: str, source: str) -> ComparedRow:
        return self.rows.row(EVENT, event, source)

    def count(self) -> None:
        """Count flybridge's own side."""
        for one in self._evidence.counted:
            if one.kind not in {EVENT, PerformanceKind.RETARGETED_EVENT} or not (one.revenue or one.not_converted):
                continue
            row = self._row(one.event, one.media_source)
            row.flybridge += one.revenue
            if one.deleted:
                self._deleted.add(row.key)
        self._facts = self._as_counted(self._money.facts or ())

    def _as_counted(self, facts: Sequence[RevenueFact]) -> list[RevenueFact]:
        """Return facts with the amounts that were counted: where those of bare messages add up, they were bare."""
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for fact in facts:
            if fact.code not in NOT_COUNTED:
                both = sums[fact.event, fact.media_source]
                both[0] += fact.counted
                both[1] += fact.bare
        bare = {
            at for at, (counted, without) in sums.items()
            if abs(without - (figure := self._row(*at).flybridge)) < CENT <= abs(counted - figure)
        }  # fmt: skip
        return [
            structs.replace(fact, counted=fact.bare) if (fact.event, fact.media_source) in bare else fact
            for fact in facts
        ]

    def step_from_appsflyer(self) -> None:
        """Compare with AppsFlyer's raw data, event by event."""
        if self._money.facts is None:
            return
        facts = self._facts
        reported: defaultdict[ComparedKey, int | None] = defaultdict(int)
        for fact in facts:
            row = self._row(fact.event, fact.media_source)
            so_far = reported[row.key]
            reported[row.key] = None if so_far is None or fact.reported is None else so_far + fact.reported
        for key, row in self.rows.by_key.items():
            if key not in self._deleted:
                row.appsflyer = reported[key]
            if row.appsflyer is None:
                self._not_reported.add(key)
        unreadable = dict(self._evidence.unreadable_among)
        for fact in facts:
            row = self._row(fact.event, fact.media_source)
            if fact.reported is None or row.appsflyer is None:
                continue
            if fact.code == MISSING:
                counted = (EVENT, fact.event)
                is_unread = fact.n <= unreadable.get(counted, 0)
                unreadable[counted] = unreadable.get(counted, 0) - (fact.n if is_unread else 0)
                add(row, UNREADABLE if is_unread else MISSING, -fact.reported, fact.detail, fact.n)
            elif fact.code in NOT_COUNTED:
                add(row, SECONDARY, -fact.reported, fact.detail, fact.n)
            else:
                add(row, "rate", fact.counted - fact.reported, fact.currency, fact.n)

    def step_to_amplitude(self, foreign: Mapping[tuple[str, str], Part]) -> None:
        """Compare with what Amplitude adds up. `foreign` are events and sources that others send, too."""
        named: defaultdict[str, list[str]] = defaultdict(list)
        for event in sorted({key.event for key in self.rows.by_key}):
            name = self._evidence.name_of(EVENT, event)
            if name is None:
                for row in self.rows.of(EVENT, event).values():
                    row.amplitude = 0
                self._sent([event])
            elif name in self._money.amplitude:
                named[name].append(event)
        for name, answered in self._money.amplitude.items():
            events = named[name] or [name]
            sums = respelled(answered, self.rows.of(EVENT, events[0]), AmplitudeCount.plus)
            for source in sums:
                self._row(events[0], source)
            self._sent(events)
            for row in self.rows.of(EVENT, events[0]).values():
                # What is only in Amplitude is not in AppsFlyer's raw data.
                if row.appsflyer is None and self._money.facts is not None and row.key not in self._not_reported:
                    row.appsflyer = 0
            for source, row in self.rows.of(EVENT, events[0]).items():
                if row.key in self._deleted:
                    continue
                found = sums.get(source, AmplitudeCount(0, 0))
                row.amplitude = found.on_day
                add(row, "day_boundary", found.on_day - found.in_zone)
                sent = foreign.get((events[0], source))
                # More refunds make it less.
                if sent is not None and is_of(left(row, AMPLITUDE), found.in_zone):
                    add(row, sent.code, left(row, AMPLITUDE), "", sent.n)

    def _sent(self, events: Sequence[str]) -> None:
        """Add what became of events with one name in Amplitude, where all are compared with the first of them."""
        for fact in self._facts:
            if fact.event in events and fact.code == SECONDARY_SENT:
                add(self._row(events[0], fact.sent_source), fact.code, fact.sent, "", fact.n)
            elif fact.event in events and fact.code not in NOT_COUNTED:
                self._one_sent(fact, events[0])

    def _one_sent(self, fact: RevenueFact, compared: str) -> None:
        row = self._row(fact.event, fact.media_source)
        if fact.code != DELIVERED:
            add(row, fact.code, -fact.counted, fact.detail, fact.n)
            return
        if fact.event != compared:
            add(self._row(compared, fact.sent_source), "same_name", fact.sent, fact.event, fact.n)
            return
        if fact.sent_source != fact.media_source:
            policy = {RESTRICTED: "redact", ORGANIC: "organic"}.get(fact.sent_source, "")
            add(row, "restricted_by_policy", -fact.counted, policy, fact.n)
            row = self._row(compared, fact.sent_source)
            add(row, "restricted_by_policy", fact.counted, policy, fact.n)
        add(row, "currency", fact.sent - fact.counted, fact.currency, fact.n)

    def book(self, counts: Sequence[ComparedRow]) -> None:
        """Compare all in-app events together, whose revenue AppsFlyer books on the day of the install.

        What of their number was not counted explains what revenue lacks: by the cause of most of them.
        """
        booked = self._money.booked
        if booked is None:
            return
        evidence, cohorts = self._evidence, self._money.cohorts
        lost = {
            row.key.media_source: min(parts, key=lambda part: part.n)
            for row in counts if row.key.event == ALL_EVENTS
            if (parts := [part for part in row.parts if part.code in {UNREADABLE, MISSING}])
        }  # fmt: skip
        rows, _ = booked_rows(self.rows, booked, {source: one.revenue for source, one in cohorts.items()})
        explain_conversion(rows, lambda source: cohorts.get(source, CohortRevenue()), evidence.withholding)
        for row in rows.values():
            source, lacking = row.key.media_source, -left(row, APPSFLYER)
            part, missing = lost.get(source), cohorts.get(source, CohortRevenue()).missing
            # Of payments and refunds together the sum may be of either sign, and is then what raw data has of them.
            is_missing = abs(lacking) >= CENT > abs(lacking - missing)
            if part is not None and (is_missing or is_of(lacking, row.appsflyer or 0)):
                add(row, part.code, -lacking, part.detail, -part.n)
            if not evidence.is_final and abs(left(row, APPSFLYER)) >= CENT:
                add(row, "not_final", left(row, APPSFLYER))
