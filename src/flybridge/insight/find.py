"""Find what is worth a look in the figures of the last weeks. Pure: `findings` has the kinds and their words.

A share fell if `insight.coverage.fell` says so. A count is judged by how often chance alone would do it: that nothing
comes where so many were to be expected has the probability `exp(-expected)`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Any, Final

from msgspec import Struct, field

from flybridge.insight.causes import AMPLITUDE, APPSFLYER
from flybridge.insight.comparison import ALL_EVENTS, ComparedRow, DayComparison
from flybridge.insight.coverage import Fall, fell
from flybridge.insight.findings import Finding, ordered
from flybridge.insight.performance import WITHOUT_COST
from flybridge.records import MICRO
from flybridge.store.performance import OTHER, date_of, summed
from flybridge.system.counted import percent

DAYS: Final = 28
"""Days that are looked at, up to yesterday."""
SURPRISE: Final = -log(1e-4)
"""How many are to be expected for their absence to be no chance: exp(-9.2) is one in ten thousand."""
SETTLED_DAYS: Final = 4
"""Installs of the last days may still be waiting for their user, and their cost may still be on its way."""
RECENT_DAYS: Final = 3
STEADY_DAYS: Final = 7
WEEK: Final = 7

MOST_UNEXPLAINED: Final = 0.02
FEWEST: Final = 10
FEWEST_INSTALLS: Final = 30
MOST_NOT_CONVERTED: Final = 0.01
WORSE: Final = 0.5

NO_SOURCE: Final = frozenset({"", OTHER})


class SourceDay(Struct):
    """What a source brought on one day. `spend` is in millionths of the app's currency; None: no cost was reported."""

    installs: int = 0
    reached: int = 0
    events: int = 0
    not_converted: int = 0
    spend: int | None = None


class CampaignRetention(Struct, frozen=True):
    """How many installs of a campaign have `horizon` complete days, and how many of them were active on that day."""

    media_source: str
    campaign: str
    horizon: int
    installs: int
    active: int


class FindingEvidence(Struct, frozen=True):
    """What is looked at. `days` are by media source, then by day; `today` is the day that is not over."""

    app: str
    today: int
    currency: str
    days: Mapping[str, Mapping[int, SourceDay]]
    retention: Sequence[CampaignRetention] = ()
    comparisons: Sequence[DayComparison] = ()
    falls: Sequence[Fall] = field(default_factory=list)

    def finding(
        self, kind: str, words: str, figures: dict[str, Any], source: str, *, campaign: str = "", event: str = ""
    ) -> Finding:
        """Return a finding about the app, with whose name its sentence begins."""
        return Finding(kind, self.app, f"{self.app}: {words}", figures, source, campaign, event)


def find(evidence: FindingEvidence) -> list[Finding]:
    """Return what is worth a look, the most urgent first."""
    found = [
        *_of_comparisons(evidence),
        *_silent(evidence),
        *_matched(evidence),
        *_identifiers(evidence),
        *_costs(evidence),
        *_retention(evidence),
        *_currencies(evidence),
    ]
    return ordered(found)


def _sum(days: Mapping[int, SourceDay], first: int, last: int) -> SourceDay:
    """Return the sums of the days from `first` to `last`. The spend is None if no day has one."""
    return summed(SourceDay, (one for day, one in days.items() if first <= day <= last))


def _of_comparisons(evidence: FindingEvidence) -> Iterator[Finding]:
    parts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for day in evidence.comparisons:
        for row in day.rows:
            for part in row.parts:
                parts[part.code, row.key.media_source, _named(row)] += part.n
            if day.is_final:
                yield from _unexplained(evidence, day, row)
    for (code, source, event), n in sorted(parts.items()):
        if code == "second_integration" and n >= FEWEST:
            yield evidence.finding(
                "second_integration",
                f"Amplitude has {n:,} {event} of {_source(source)} that flybridge has not sent.",
                {"n": n},
                source,
                event=event,
            )
        if code == "gap" and n <= -FEWEST:
            yield evidence.finding(
                "missed_messages",
                f"AppsFlyer counts {-n:,} {event} of {_source(source)} that flybridge has never received.",
                {"n": -n},
                source,
                event=event,
            )


def _unexplained(evidence: FindingEvidence, day: DayComparison, row: ComparedRow) -> Iterator[Finding]:
    sides = {
        APPSFLYER: ("AppsFlyer", row.appsflyer, "flybridge", row.flybridge),
        AMPLITUDE: ("flybridge", row.flybridge, "Amplitude", row.amplitude),
    }
    # What is counted without its source is lacking elsewhere: a note of the comparison says so.
    together = sum(other.flybridge for other in day.rows if other.key.media_source == OTHER)
    for step, (one, before, other, after) in sides.items():
        left = row.unexplained(step)
        if (
            left is None
            or abs(left) < FEWEST + together
            or abs(left) <= MOST_UNEXPLAINED * max(before or 0, after or 0)
        ):
            continue
        yield Finding(
            "unexplained",
            evidence.app,
            f"{evidence.app}, {date_of(day.day)}: {one} counts {before:,} {_named(row)} of "
            f"{_source(row.key.media_source)}, {other} {after:,}, and nothing explains a difference of {left:+,}.",
            {"n": left, "step": step, "date": date_of(day.day).isoformat(), one.lower(): before, other.lower(): after},
            row.key.media_source,
            event=_named(row),
        )


def _named(row: ComparedRow) -> str:
    if row.key.event == ALL_EVENTS:
        return "in-app events"
    return row.key.event or f"{row.key.kind}s"


def _source(name: str) -> str:
    return name or "no source"


def _silent(evidence: FindingEvidence) -> Iterator[Finding]:
    today = evidence.today
    for source, days in sorted(evidence.days.items()):
        if source in NO_SOURCE:
            continue
        active = sorted(day for day, one in days.items() if one.installs and day < today)
        if len(active) < STEADY_DAYS:
            continue
        silent = today - 1 - active[-1]
        known = active[-1] - max(active[0], today - DAYS) + 1
        before = sum(days[day].installs for day in active)
        others = sum(
            _sum(other, active[-1] + 1, today - 1).installs for name, other in evidence.days.items() if name != source
        )
        # A source that is active on few days is no steady one, and where no source brings anybody, none went silent.
        expected = before / known * silent
        if silent and others and expected >= SURPRISE and len(active) >= known / 2:
            yield evidence.finding(
                "source_silent",
                f"{source} brought {before / known:.1f} installs a day, and none since {date_of(active[-1])}.",
                {"installs_a_day": round(before / known, 2), "days": silent, "expected": round(expected, 1)},
                source,
            )


def _matched(evidence: FindingEvidence) -> Iterator[Finding]:
    last = evidence.today - 1 - SETTLED_DAYS
    for source, days in sorted(evidence.days.items()):
        now = _sum(days, last - RECENT_DAYS + 1, last)
        before = _sum(days, last - DAYS, last - RECENT_DAYS)
        if not now.installs or not before.installs:
            continue
        share, was = now.reached / now.installs, before.reached / before.installs
        if fell(share, now.installs, was, before.installs):
            yield evidence.finding(
                "matched_share_fell",
                f"of the installs of {_source(source)} {percent(share)} reached a person in Amplitude in "
                f"the days to {date_of(last)}, before it was {percent(was)}.",
                {"share": round(share, 4), "before": round(was, 4), "installs": now.installs},
                source,
            )


def _identifiers(evidence: FindingEvidence) -> Iterator[Finding]:
    for one in evidence.falls:
        yield Finding(
            "identifier_lost",
            evidence.app,
            one.sentence,
            {
                "share": round(one.share, 4),
                "before": round(one.before, 4),
                "events": one.events,
                "platform": one.platform,
                "key": one.kind,
                one.by: one.since,
            },
        )


def _costs(evidence: FindingEvidence) -> Iterator[Finding]:
    last = evidence.today - 1 - SETTLED_DAYS
    first = last - WEEK + 1
    paid = {source: days for source, days in evidence.days.items() if source not in WITHOUT_COST}
    for source, days in sorted(paid.items()):
        week, recent = _sum(days, first, last), _sum(days, last - RECENT_DAYS + 1, last)
        if week.spend and not week.installs:
            price = _price(paid, source, last)
            if price is not None and week.spend / price >= FEWEST:
                yield evidence.finding(
                    "cost_without_installs",
                    f"{source} cost {week.spend / MICRO:,.2f} {evidence.currency} in the week to "
                    f"{date_of(last)} and brought nobody; elsewhere that brings {week.spend / price:,.0f} installs.",
                    {"spend": week.spend / MICRO, "installs": 0, "expected": round(week.spend / price, 1)},
                    source,
                )
        with_cost = sum(one.spend is not None for day, one in days.items() if day <= last - RECENT_DAYS)
        if recent.spend is None and recent.installs >= FEWEST_INSTALLS and with_cost >= STEADY_DAYS:
            yield evidence.finding(
                "installs_without_cost",
                f"{source} brought {recent.installs:,} installs in the {RECENT_DAYS} days to "
                f"{date_of(last)}, and no cost was reported for them.",
                {"installs": recent.installs, "days": RECENT_DAYS},
                source,
            )


def _price(paid: Mapping[str, Mapping[int, SourceDay]], source: str, last: int) -> float | None:
    """Return what an install of the other sources cost, in millionths."""
    others = [_sum(days, last - DAYS + 1, last) for name, days in paid.items() if name != source]
    spend, installs = sum(one.spend or 0 for one in others), sum(one.installs for one in others if one.spend)
    return spend / installs if spend and installs else None


def _retention(evidence: FindingEvidence) -> Iterator[Finding]:
    sources: defaultdict[tuple[str, int], list[CampaignRetention]] = defaultdict(list)
    for one in evidence.retention:
        if one.media_source not in WITHOUT_COST and one.campaign not in NO_SOURCE:
            sources[one.media_source, one.horizon].append(one)
    told: set[tuple[str, str]] = set()
    for (source, horizon), campaigns in sorted(sources.items()):
        for one in sorted(campaigns, key=lambda one: one.campaign):
            installs = sum(other.installs for other in campaigns) - one.installs
            if not one.installs or not installs or (source, one.campaign) in told:
                continue
            share, rest = one.active / one.installs, (sum(x.active for x in campaigns) - one.active) / installs
            if share <= WORSE * rest and fell(share, one.installs, rest, installs):
                told.add((source, one.campaign))
                yield evidence.finding(
                    "low_retention",
                    f"of the {one.installs:,} people whom {one.campaign} of {source} brought, "
                    f"{percent(share, digits=1)} came back on day {horizon}; "
                    f"of the source's other campaigns {percent(rest, digits=1)}.",
                    {"share": round(share, 4), "rest": round(rest, 4), "day": horizon, "installs": one.installs},
                    source,
                    campaign=one.campaign,
                )


def _currencies(evidence: FindingEvidence) -> Iterator[Finding]:
    for source, days in sorted(evidence.days.items()):
        week = _sum(days, evidence.today - WEEK, evidence.today - 1)
        if week.not_converted >= FEWEST and week.not_converted >= MOST_NOT_CONVERTED * week.events:
            yield evidence.finding(
                "unknown_currency",
                f"{week.not_converted:,} of {week.events:,} events of {_source(source)} have an amount "
                f"without a rate to {evidence.currency}: it is in no figure of revenue.",
                {"n": week.not_converted, "events": week.events},
                source,
            )
