"""Ask AppsFlyer what it counts, by media source: installs and in-app events by day of the install, and conversions of
retargeting by their own day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, structs

from flybridge.appsflyer import aggregate
from flybridge.appsflyer.aggregate import SHORT_DAYS, Aggregate, AggregateReport
from flybridge.delivery.exchange import Download
from flybridge.errors import TransportError
from flybridge.insight.reconcile import AppsFlyerCounts
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.operations.whole_report import whole_report
from flybridge.records import PerformanceKind
from flybridge.store.performance import date_of, day_number, source_label

ORIGIN: Final = "aggregate"
MICRO: Final = 1_000_000
RETARGETING: Final[Mapping[str, str]] = {
    "reengagement": PerformanceKind.RE_ENGAGEMENT,
    "reattribution": PerformanceKind.RE_ATTRIBUTION,
}
"""Kinds of conversions by AppsFlyer's `Conversion Type`, whose spelling is not documented: by its letters alone."""


class AppsFlyerAnswer(Struct, frozen=True):
    """What AppsFlyer counts on each day of a range, and sentences about what is not known, and why."""

    days: Mapping[int, AppsFlyerCounts]
    problems: tuple[str, ...] = ()


async def count_appsflyer(plan: ReconcilePlan, download: Download, first: int, last: int) -> AppsFlyerAnswer:
    """Return AppsFlyer's counts of these days: two reports, whatever the number of days."""
    told = await _acquisition(plan, download, first, last)
    if not told.days:
        return told
    retargeting = await _retargeting(plan, download, first, last)
    if isinstance(retargeting, str):
        return AppsFlyerAnswer(told.days, (*told.problems, f"Retargeting was not compared: {retargeting}"))
    days = {
        day: structs.replace(counts, conversions={kind: retargeting[day, kind] for kind in RETARGETING.values()})
        for day, counts in told.days.items()
    }
    return AppsFlyerAnswer(days, told.problems)


async def _report(
    plan: ReconcilePlan, download: Download, first: int, last: int, *, reattr: bool = False
) -> Aggregate | str:
    """Return a report, or a sentence about why there is none."""
    request = aggregate.request(
        plan.base_url,
        plan.api_token,
        plan.app_id,
        AggregateReport.PARTNERS_BY_DATE,
        first=date_of(first),
        last=date_of(last),
        timezone=plan.zone,
        reattr=reattr,
    )
    try:
        answer = await whole_report(download, request)
    except TransportError as problem:
        return f"AppsFlyer was not reached: {problem}."
    if answer is None:
        return "AppsFlyer's report is larger than 256 MB: compare fewer days."
    read = aggregate.read(answer, AggregateReport.PARTNERS_BY_DATE)
    return read if isinstance(read, Aggregate) else read.sentence


async def _acquisition(plan: ReconcilePlan, download: Download, first: int, last: int) -> AppsFlyerAnswer:
    read = await _report(plan, download, first, last)
    if isinstance(read, str):
        return AppsFlyerAnswer({}, (read,))
    installs: defaultdict[int, Counter[str]] = defaultdict(Counter)
    events: defaultdict[int, Counter[str]] = defaultdict(Counter)
    revenue: defaultdict[int, Counter[str]] = defaultdict(Counter)
    unknown: defaultdict[int, set[str]] = defaultdict(set)
    for row in read.rows:
        source, day = source_label(row.media_source), day_number(row.day)
        if row.installs is None:
            unknown[day].add(source)
        else:
            installs[day][source] += row.installs
        events[day][source] += sum(one.count or 0 for one in row.events.values())
        revenue[day][source] += round((row.revenue or 0) * MICRO)
    is_same = read.currency in {"", plan.currency}
    counts = {
        day: AppsFlyerCounts(
            ORIGIN,
            dict(installs[day]),
            frozenset(unknown[day]),
            booked_events=dict(events[day]),
            booked_revenue=dict(revenue[day]) if is_same else None,
        )
        for day in range(first, last + 1)
    }
    problems = []
    if not is_same:
        problems.append(
            f"The app's currency in AppsFlyer is {read.currency}, and in flybridge {plan.currency}: its revenue is not "
            "compared. Set apps.insight.currency."
        )
    if untold := set[str]().union(*unknown.values()):
        problems.append(f"AppsFlyer does not say how many installs {', '.join(sorted(untold))} brought.")
    return AppsFlyerAnswer(counts, tuple(problems))


Conversions = defaultdict[tuple[int, str], Counter[str]]
"""How many there are, by day and kind, and by media source."""


async def _retargeting(plan: ReconcilePlan, download: Download, first: int, last: int) -> Conversions | str:
    """Return the conversions, or a sentence about why they are not known."""
    # A short range would be the second call for this report within a minute, which AppsFlyer refuses.
    read = await _report(plan, download, min(first, last - SHORT_DAYS), last, reattr=True)
    if isinstance(read, str):
        return read
    found: Conversions = defaultdict(Counter)
    for row in read.rows:
        kind = RETARGETING.get("".join(filter(str.isalpha, row.conversion_type.lower())))
        if row.conversions is None and row.installs is None:
            continue
        if kind is None:
            return f"AppsFlyer's report has a conversion type {row.conversion_type[:40]!r}, which is not known."
        found[day_number(row.day), kind][source_label(row.media_source)] += row.conversions or 0
    return found
