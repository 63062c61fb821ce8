"""Ask AppsFlyer what it counts, by media source: installs and in-app events by day of the install, and conversions of
retargeting by their own day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct, structs

from flybridge.appsflyer import aggregate, master
from flybridge.appsflyer.aggregate import SHORT_DAYS, Aggregate, AggregateReport
from flybridge.appsflyer.report import ReportRefused
from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse
from flybridge.errors import TransportError
from flybridge.insight.reconcile import AppsFlyerCounts
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.operations.whole_report import whole_report
from flybridge.records import MICRO, PerformanceKind
from flybridge.store.performance import date_of, day_number, source_label

T = TypeVar("T")

ORIGIN: Final = "aggregate"
RETARGETING: Final[Mapping[str, str]] = {
    "reengagement": PerformanceKind.RE_ENGAGEMENT,
    "reattribution": PerformanceKind.RE_ATTRIBUTION,
    "reinstall": PerformanceKind.RE_ATTRIBUTION,
}
"""Kinds of conversions by AppsFlyer's `Conversion Type`, whose spelling is not documented: by its letters alone."""
KINDS: Final = tuple(dict.fromkeys(RETARGETING.values()))


class AppsFlyerAnswer(Struct, frozen=True):
    """What AppsFlyer counts on each day of a range, and sentences about what is not known, and why."""

    days: Mapping[int, AppsFlyerCounts]
    problems: tuple[str, ...] = ()


async def count_appsflyer(plan: ReconcilePlan, download: Download, first: int, last: int) -> AppsFlyerAnswer:
    """Return AppsFlyer's counts of these days: two reports, whatever the number of days."""
    try:
        told = await _acquisition(plan, download, first, last)
    except ReportRefused as problem:
        return AppsFlyerAnswer({}, (str(problem),))
    try:
        retargeting = await _retargeting(plan, download, first, last)
    except ReportRefused as problem:
        return AppsFlyerAnswer(told.days, (*told.problems, f"Retargeting was not compared: {problem}"))
    days = {
        day: structs.replace(counts, conversions={kind: retargeting[day, kind] for kind in KINDS})
        for day, counts in told.days.items()
    }
    return AppsFlyerAnswer(days, told.problems)


async def _report(plan: ReconcilePlan, download: Download, first: int, last: int, *, reattr: bool = False) -> Aggregate:
    assert plan.account is not None, "the caller has looked"
    report, days = AggregateReport.PARTNERS_BY_DATE, (date_of(first), date_of(last))
    request = aggregate.request(plan.account, report, *days, timezone=plan.insight.timezone, reattr=reattr)
    return await _told(download, request, partial(aggregate.read, report=report))


async def _told(download: Download, request: HttpRequest, read: Callable[[HttpResponse], T]) -> T:
    """Return what AppsFlyer answers. Raises `ReportRefused`, whose text is a sentence for the report."""
    try:
        return await whole_report(download, request, read)
    except TransportError as problem:
        raise ReportRefused(f"AppsFlyer was not reached: {problem}.") from None


async def _acquisition(plan: ReconcilePlan, download: Download, first: int, last: int) -> AppsFlyerAnswer:
    read = await _report(plan, download, first, last)
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
        events[day][source] += row.events
        revenue[day][source] += round((row.revenue or 0) * MICRO)
    is_same = read.currency in {"", plan.insight.currency}
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
            f"The app's currency in AppsFlyer is {read.currency}, and in flybridge {plan.insight.currency}: its "
            "revenue is not compared. Set apps.insight.currency."
        )
    if untold := set[str]().union(*unknown.values()):
        problems.append(f"AppsFlyer does not say how many installs {', '.join(sorted(untold))} brought.")
    return AppsFlyerAnswer(counts, tuple(problems))


Activity = dict[int, dict[str, dict[str, int]]]
"""How often events happened, by day, name and media source."""


async def count_activity(plan: ReconcilePlan, download: Download, events: Mapping[int, Sequence[str]]) -> Activity:
    """Return how often these events of each day happened. Raises `ReportRefused`.

    Days that the Master API does not have yet are left out.
    """
    assert plan.account is not None, "the caller has looked"
    newest = await _told(download, master.freshness_request(plan.account), master.read_freshness)
    found: Activity = {}
    for day, names in events.items():
        if day > day_number(newest):
            continue
        asked = [name for name in names if master.is_countable(name)]
        found[day] = {}
        for at in range(0, len(asked), master.MOST_EVENTS):
            piece = asked[at : at + master.MOST_EVENTS]
            request = master.activity_request(
                plan.account, date_of(day), piece, own_zone=plan.insight.timezone != "UTC"
            )
            read = await _told(download, request, partial(master.read_activity, events=piece))
            found[day] |= {event: _by_source(counts) for event, counts in read.items() if None not in counts.values()}
    return found


def _by_source(counts: Mapping[str, int | None]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for source, n in counts.items():
        found[source_label(source)] += n or 0
    return dict(found)


Conversions = defaultdict[tuple[int, str], Counter[str]]
"""How many there are, by day and kind, and by media source."""


async def _retargeting(plan: ReconcilePlan, download: Download, first: int, last: int) -> Conversions:
    # A short range would be the second call for this report within a minute, which AppsFlyer refuses.
    read = await _report(plan, download, min(first, last - SHORT_DAYS), last, reattr=True)
    found: Conversions = defaultdict(Counter)
    for row in read.rows:
        kind = RETARGETING.get("".join(filter(str.isalpha, row.conversion_type.lower())))
        if row.conversions is None and row.installs is None:
            continue
        if kind is None:
            known = f"AppsFlyer's report has a conversion type {row.conversion_type[:40]!r}, which is not known."
            raise ReportRefused(known)
        found[day_number(row.day), kind][source_label(row.media_source)] += row.conversions or 0
    return found
