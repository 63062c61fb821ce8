"""Ask AppsFlyer what it counts: installs and in-app events by day of the install and media source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from flybridge.appsflyer import aggregate
from flybridge.appsflyer.aggregate import Aggregate, AggregateReport
from flybridge.delivery.exchange import Download
from flybridge.errors import TransportError
from flybridge.insight.reconcile import AppsFlyerCounts
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.operations.whole_report import whole_report
from flybridge.store.performance import date_of, day_number, source_label

ORIGIN: Final = "aggregate"
MICRO: Final = 1_000_000


class AppsFlyerAnswer(Struct, frozen=True):
    """What AppsFlyer counts on each day of a range; or a sentence about why it is not known."""

    days: Mapping[int, AppsFlyerCounts]
    problem: str = ""


async def count_appsflyer(plan: ReconcilePlan, download: Download, first: int, last: int) -> AppsFlyerAnswer:
    """Return AppsFlyer's counts of these days: one report, whatever the number of days."""
    request = aggregate.request(
        plan.base_url,
        plan.api_token,
        plan.app_id,
        AggregateReport.PARTNERS_BY_DATE,
        first=date_of(first),
        last=date_of(last),
        timezone=plan.zone,
    )
    try:
        answer = await whole_report(download, request)
    except TransportError as problem:
        return AppsFlyerAnswer({}, f"AppsFlyer was not reached: {problem}.")
    if answer is None:
        return AppsFlyerAnswer({}, "AppsFlyer's report is larger than 256 MB: compare fewer days.")
    read = aggregate.read(answer, AggregateReport.PARTNERS_BY_DATE)
    if not isinstance(read, Aggregate):
        return AppsFlyerAnswer({}, read.sentence)
    installs: defaultdict[int, Counter[str]] = defaultdict(Counter)
    events: defaultdict[int, Counter[str]] = defaultdict(Counter)
    revenue: defaultdict[int, Counter[str]] = defaultdict(Counter)
    unknown: set[str] = set()
    for row in read.rows:
        source = source_label(row.media_source)
        if row.installs is None:
            unknown.add(source)
        installs[day_number(row.day)][source] += row.installs or 0
        events[day_number(row.day)][source] += sum(one.count or 0 for one in row.events.values())
        revenue[day_number(row.day)][source] += round((row.revenue or 0) * MICRO)
    is_same = read.currency in {"", plan.currency}
    counts = {
        day: AppsFlyerCounts(
            ORIGIN, dict(installs[day]), None, dict(events[day]), dict(revenue[day]) if is_same else None
        )
        for day in range(first, last + 1)
    }
    if not is_same:
        sentence = (
            f"The app's currency in AppsFlyer is {read.currency}, and in flybridge {plan.currency}: its revenue is not "
            "compared. Set apps.insight.currency."
        )
        return AppsFlyerAnswer(counts, sentence)
    note = f"AppsFlyer does not say how many installs {', '.join(sorted(unknown))} brought." if unknown else ""
    return AppsFlyerAnswer(counts, note)
