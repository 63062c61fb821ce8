"""What Amplitude has of the events of a day: asked for, kept where it is final, and looked for in its export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct, field, structs

from flybridge.clock import Clock
from flybridge.delivery.exchange import Download
from flybridge.insight.comparison import CONVERSIONS
from flybridge.insight.reconcile import AmplitudeCount
from flybridge.operations.booked_events import COUNTED
from flybridge.operations.count_amplitude import AmplitudeCounter, CountRefused
from flybridge.operations.gathered import Gathered, is_final, span_of
from flybridge.operations.match_export import ExportFailed, ExportMatch, match_export
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.records import OutcomeKind, PerformanceKind
from flybridge.store.figures import UNEXPLAINED_EVENTS, CountedOn, DayReport, OutcomeCount
from flybridge.store.performance import OTHER
from flybridge.store.protocol import Store

ANSWERS: Final = "answers"
"""The kind of day report that keeps what Amplitude has answered."""


class KeptAnswer(Struct):
    """What Amplitude has answered about an event on a day, and how many of it had been delivered by then."""

    at_ms: int
    delivered: int
    counts: dict[str, AmplitudeCount]


class KeptAnswers(Struct):
    """What Amplitude has answered about a day, by event: how many, and their revenue. A change of zone makes it
    worthless.
    """

    zone: str
    events: dict[str, KeptAnswer] = field(default_factory=dict)
    revenue: dict[str, KeptAnswer] = field(default_factory=dict)


class AmplitudeAnswer(Struct):
    """What Amplitude says of a day, by event: how many, and their revenue in millionths."""

    counts: dict[str, Mapping[str, AmplitudeCount]] = field(default_factory=dict)
    revenue: dict[str, Mapping[str, AmplitudeCount]] = field(default_factory=dict)


class AmplitudeAnswers:
    """Asks Amplitude about the days of apps, and keeps what it has answered."""

    def __init__(self, store: Store, download: Download, clock: Clock) -> None:
        self._store = store
        self._download = download
        self._clock = clock

    async def of_day(
        self,
        plan: ReconcilePlan,
        counter: AmplitudeCounter,
        evidence: Gathered,
        day: int,
        notes: list[str],
        *,
        again: bool,
    ) -> AmplitudeAnswer:
        """Ask for the events of a day. What is refused is noted, and after the first refusal no more is asked."""
        kept = await self._kept(plan, day)
        exported = await self._exported(plan, evidence, day, notes) if plan.by_export else None
        found = AmplitudeAnswer()
        delivered, paid = _delivered(plan, evidence.outcomes[day]), _paid(plan, evidence.counted[day])
        try:
            for name in _names(plan, evidence.counted[day]):
                for answers, into, sums in ((kept.events, found.counts, False), (kept.revenue, found.revenue, True)):
                    if sums and name not in paid:
                        continue
                    known = answers.get(name)
                    settled = known is not None and known.delivered == delivered[name] and not again
                    if known is not None and settled and is_final(plan, day, known.at_ms):
                        into[name] = known.counts
                        continue
                    counts = dict(await counter.count(name, day, sums=sums))
                    into[name] = counts
                    answers[name] = KeptAnswer(self._clock.now_ms(), delivered[name], counts)
        except CountRefused as problem:
            notes.append(f"Not all events were counted in Amplitude: {problem}")
        body = msgspec.json.encode(kept)
        await self._store.put_day_reports([DayReport(plan.app, ANSWERS, day, self._clock.now_ms(), body)])
        if exported is not None:
            found.counts = {
                name: {
                    source: structs.replace(one, foreign=exported.foreign[name].get(source, 0))
                    for source, one in counts.items()
                }
                for name, counts in found.counts.items()
            }
        return found

    async def _exported(
        self, plan: ReconcilePlan, evidence: Gathered, day: int, notes: list[str]
    ) -> ExportMatch | None:
        """Look for each event of a day in Amplitude's export, and keep which are not there."""
        now_ms = self._clock.now_ms()
        try:
            found = await match_export(
                plan,
                self._download,
                await self._store.sent_events(plan.app, day, day),
                _names(plan, evidence.counted[day]),
                day=day,
                first_ms=span_of(plan, day)[0],
                now_ms=now_ms,
            )
        except ExportFailed as problem:
            notes.append(f"Events were not looked for by their insert ids: {problem}")
            return None
        body = msgspec.json.encode(found.lost)
        await self._store.put_day_reports([DayReport(plan.app, UNEXPLAINED_EVENTS, day, now_ms, body)])
        return found

    async def _kept(self, plan: ReconcilePlan, day: int) -> KeptAnswers:
        for report in await self._store.day_reports(ANSWERS, day, day, app=plan.app):
            kept = report.read(KeptAnswers)
            if kept is not None and kept.zone == plan.amplitude_zone:
                return kept
        return KeptAnswers(plan.amplitude_zone)


def _names(plan: ReconcilePlan, counted: Sequence[CountedOn]) -> list[str]:
    """Return the names under which Amplitude is asked: conversions that there are, and the most frequent events."""
    kinds = {PerformanceKind.INSTALL, *(one.kind for one in counted)}
    asked = [plan.name_of(kind, "") for kind in CONVERSIONS if kind in kinds]
    asked += [plan.name_of(PerformanceKind.EVENT, event) for event in most_frequent(plan, counted)]
    return list(dict.fromkeys(name for name in asked if name is not None))


def most_frequent(plan: ReconcilePlan, counted: Iterable[CountedOn]) -> list[str]:
    """Return the names of the in-app events that are compared."""
    events: Counter[str] = Counter()
    for one in counted:
        if one.kind in COUNTED and one.event != OTHER:
            events[one.event] += one.n
    return sorted(events, key=lambda event: (-events[event], event))[: plan.chosen.reconcile_events]


def _paid(plan: ReconcilePlan, counted: Iterable[CountedOn]) -> set[str]:
    """Return the names in Amplitude of the events that have revenue on a day."""
    names = {plan.name_of(PerformanceKind.EVENT, one.event) for one in counted
             if one.kind in COUNTED and (one.revenue or one.not_converted)}  # fmt: skip
    return {name for name in names if name is not None}


def _delivered(plan: ReconcilePlan, outcomes: Sequence[OutcomeCount]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in outcomes:
        kind = one.kind if one.kind in CONVERSIONS else PerformanceKind.EVENT
        if one.outcome == OutcomeKind.DELIVERED and (name := plan.name_of(kind, one.event)) is not None:
            found[name] += one.n
    return found
