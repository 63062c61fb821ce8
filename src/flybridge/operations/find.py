"""Gather what the store says of the last weeks of an app, find what is worth a look, and keep it."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from flybridge.insight import findings
from flybridge.insight.comparison import REPORT, read
from flybridge.insight.coverage import read_falls
from flybridge.insight.find import DAYS, CampaignRetention, FindingEvidence, SourceDay, find
from flybridge.insight.findings import Finding
from flybridge.insight.performance import IN_NO_FIGURE, AppScope, spend_in
from flybridge.records import PerformanceKind
from flybridge.store.performance import WHOLE, Slice, add
from flybridge.store.protocol import Store

HORIZONS: Final = (1, 7)
COMPARED_DAYS: Final = 7


async def find_and_keep(store: Store, scope: AppScope, now_ms: int) -> list[Finding]:
    """Find what is worth a look in an app, and keep it as today's findings."""
    found = find(await evidence_of(store, scope, now_ms))
    await store.put_day_reports([findings.written(scope.name, scope.today, now_ms, found)])
    return found


async def evidence_of(store: Store, scope: AppScope, now_ms: int) -> FindingEvidence:
    """Return what findings rest on. It reads counters and stored comparisons; no vendor is asked."""
    first, last = scope.today - DAYS, scope.today - 1
    by_day = Slice(first, last, scope.today, frozenset({"day", "media_source"}), scope.name)
    days: defaultdict[str, defaultdict[int, SourceDay]] = defaultdict(lambda: defaultdict(SourceDay))
    for row in await store.performance(by_day):
        one = days[row.labels.media_source][row.labels.day]
        if row.kind == PerformanceKind.INSTALL:
            one.installs += row.n
            one.reached += row.reached
        elif row.kind in (PerformanceKind.EVENT, PerformanceKind.RETARGETED_EVENT):
            one.events += row.n
        if row.kind not in IN_NO_FIGURE:
            one.not_converted += row.not_converted
    for cost in await store.costs(by_day, (WHOLE,)):
        one = days[cost.labels.media_source][cost.labels.day]
        one.spend = add(one.spend, spend_in(scope, cost))
    reports = await store.day_reports(REPORT, scope.today - COMPARED_DAYS, last, app=scope.name)
    return FindingEvidence(
        scope.name,
        scope.today,
        scope.currency,
        days,
        await _retention(store, scope),
        [found for report in reports if (found := read(report)) is not None],
        await read_falls(store, now_ms, scope.name),
    )


async def _retention(store: Store, scope: AppScope) -> list[CampaignRetention]:
    by_campaign = Slice(
        scope.today - DAYS, scope.today - 1, scope.today, frozenset({"media_source", "campaign"}), scope.name
    )
    active = {
        (sums.labels.media_source, sums.labels.campaign, sums.horizon): sums.active
        for sums in await store.cohort_sums(by_campaign, HORIZONS)
        if sums.kind == PerformanceKind.INSTALL
    }
    return [
        CampaignRetention(
            size.labels.media_source,
            size.labels.campaign,
            size.horizon,
            size.n,
            active.get((size.labels.media_source, size.labels.campaign, size.horizon), 0),
        )
        for size in await store.cohort_sizes(by_campaign, HORIZONS)
        if size.kind == PerformanceKind.INSTALL
    ]
