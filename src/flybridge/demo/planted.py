"""How many events of the traffic must be found under each cause of a difference. Pure.

Counted from the generator's truth and from what the sandbox's Amplitude saved and rejected. The store and the ledger of
flybridge are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.sandbox.traffic.planned import MessageKind, TrafficMessage
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.traffic.truth import Fate, Truth, compare
from flybridge.store.performance import day_number

ATTRIBUTION: Final = "attribution"
BOOKED: Final = frozenset({MessageKind.INSTALL.value, MessageKind.REINSTALL.value, MessageKind.IN_APP.value})
"""What begins an installation whose events AppsFlyer books under user acquisition."""
NAMED: Final = frozenset({MessageKind.INSTALL.value, MessageKind.RE_ENGAGEMENT.value, MessageKind.RE_ATTRIBUTION.value})
"""Kinds of conversions that AppsFlyer's reports count."""


class AmplitudeRecord(Struct, frozen=True):
    """What the sandbox's Amplitude holds of an app: what it has taken, and what it has rejected."""

    saved: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]


def planted(plan: ReconcilePlan, messages: Sequence[TrafficMessage], record: AmplitudeRecord) -> dict[str, int]:
    """Return how many events each cause has, for every cause that the traffic of an app can show."""
    facts = [one.reported for one in messages if one.reported is not None]
    conversions = [fact for fact in facts if fact.kind in NAMED]
    in_app = [fact for fact in facts if fact.kind == MessageKind.IN_APP and fact.readable]
    truths = [one.truth for one in messages]
    fates = Counter(truth.expected(plan.route).fate for truth in truths)
    found = compare(truths, record.saved, record.rejected, route=plan.route)
    refused = set(found.rejected)
    reasons = _reasons(truths, refused, record.rejected)
    silenced = sum(reason == "silenced" for reason in reasons.values())
    # Amplitude never says what is wrong with an event that makes it fail.
    poison = sum(reason == "poison" for reason in reasons.values())
    gone = refused | set(found.missing)
    return {
        "restricted": sum(fact.media_source != fact.raw_source for fact in conversions if fact.readable),
        "unreadable": sum(not fact.readable for fact in conversions),
        "booking_day": _booked_elsewhere(plan.insight.day, facts),
        "expired": fates[Fate.HELD],
        "privacy": fates[Fate.REFUSED],
        "filtered": sum(not fact.secondary for fact in in_app) if plan.route == ATTRIBUTION else 0,
        "silenced": silenced,
        "rejected": len(refused) - silenced - poison,
        "dead": poison + (len(found.missing) if plan.route != ATTRIBUTION else 0),
        "amplitude_unmatched": len(found.missing) if plan.route == ATTRIBUTION else 0,
        "day_boundary": _on_another_day(plan, [truth for truth in truths if truth.id not in gone]),
    }  # fmt: skip


def _reasons(truths: Iterable[Truth], refused: set[int], rejected: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Return why Amplitude has rejected messages. A conversion's Identify call may be what was."""
    said = {(row["event_type"], row["time_ms"]): row["reason"] for row in rejected}
    return {
        truth.id: said.get((truth.event_type, truth.time_ms)) or said.get(("$identify", truth.time_ms), "")
        for truth in truths
        if truth.id in refused
    }


def _booked_elsewhere(day_of: Callable[[int], int], facts: Sequence[Reported]) -> int:
    """Return how many in-app events AppsFlyer books on the day of an install on which fewer happened."""
    lives: dict[str, Reported] = {}
    for fact in facts:
        if fact.kind not in {MessageKind.IN_APP, MessageKind.RE_ENGAGEMENT} and fact.readable:
            lives.setdefault(fact.installation, fact)
    for fact in facts:
        # Where no conversion can be read, events tell of which installation they are, unless they are retargeted.
        if fact.kind == MessageKind.IN_APP and fact.readable and not fact.retargeting and not fact.secondary:
            lives.setdefault(fact.installation, fact)
    own, booked = Counter[Hashable](), Counter[Hashable]()
    for fact in facts:
        if fact.kind != MessageKind.IN_APP or fact.secondary or not fact.readable:
            continue
        own[day_of(fact.time_ms), fact.raw_source] += 1
        life = lives.get(fact.installation)
        if life is not None and life.kind in BOOKED:
            booked[day_of(life.install_ms), life.raw_source] += 1
    return sum(max(0, n - own[at]) for at, n in booked.items())


def _on_another_day(plan: ReconcilePlan, truths: Iterable[Truth]) -> int:
    """Return how many events Amplitude has on another day of its own zone, beyond those that it has instead."""
    zone = ZoneInfo(plan.amplitude_zone)
    in_zone, on_day = Counter[Hashable](), Counter[Hashable]()
    for truth in truths:
        if truth.expected(plan.route).fate is not Fate.DELIVERED:
            continue
        theirs = day_number(datetime.fromtimestamp(truth.time_ms / 1000, UTC).astimezone(zone).date())
        in_zone[plan.insight.day(truth.time_ms), truth.event_type, truth.media_source] += 1
        on_day[theirs, truth.event_type, truth.media_source] += 1
    return sum(max(0, n - on_day[at]) for at, n in in_zone.items())
