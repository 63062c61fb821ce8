"""What only flybridge has: events that were delivered, and that no report of AppsFlyer's has.

They are looked for by day, as the ledger has them, and only of kinds of events of which all reports were read to their
ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from flybridge.appsflyer.raw_report import Report
from flybridge.history.gap_report import ALONE, UNFINISHED, Surplus
from flybridge.history.progress import Progress
from flybridge.mapping.to_amplitude.content_key import identities_in
from flybridge.records import DAY_MS, PerformanceKind, day_of
from flybridge.store.protocol import Store

FINAL_DAYS: Final = 2
"""After about 48 hours a day's reports change no more."""
WORDS: Final[Mapping[str, Report]] = {
    PerformanceKind.INSTALL: Report.INSTALLS,
    PerformanceKind.REINSTALL: Report.REINSTALLS,
    PerformanceKind.RE_ENGAGEMENT: Report.RETARGETING,
    PerformanceKind.RE_ATTRIBUTION: Report.RETARGETING,
    PerformanceKind.EVENT: Report.EVENTS,
    PerformanceKind.RETARGETED_EVENT: Report.EVENTS,
}
"""The reports that have a kind of event."""
WHOLE: Final[Mapping[Report, frozenset[str]]] = {
    Report.INSTALLS: frozenset({"installs_report", "organic_installs_report"}),
    Report.REINSTALLS: frozenset({"reinstalls", "reinstalls_organic"}),
    Report.RETARGETING: frozenset({"installs-retarget"}),
    Report.EVENTS: frozenset({"in_app_events_report", "organic_in_app_events_report", "in-app-events-retarget"}),
}
"""The reports of the Pull API that together have all events of a kind."""
LOCKER_WHOLE: Final[Mapping[Report, frozenset[str]]] = {
    Report.INSTALLS: frozenset({"installs"}),
    Report.REINSTALLS: frozenset({"reinstalls", "organic_reinstalls"}),
    Report.RETARGETING: frozenset({"conversions_retargeting"}),
    Report.EVENTS: frozenset({"inapps", "inapps_retargeting"}),
}
"""The same of Data Lockers, whose `installs` and `inapps` hold organic rows, too."""
AD_REVENUE: Final = "af_ad_revenue"
"""An event that has reports of its own, a day or two later."""


def complete(needed: Mapping[Report, frozenset[str]], whole: Collection[str]) -> set[Report]:
    """Return the kinds of which all reports are among those that were read to their ends."""
    return {report for report, names in needed.items() if names <= set(whole)}


async def find_surplus(
    store: Store, app: str, progress: Progress, days: Iterable[int], *, settled: int, whole: Collection[Report]
) -> tuple[Surplus, ...]:
    """Return what was delivered of some days and whose keys `progress` does not have as those of rows of reports.

    `whole` are the kinds of which all reports were read; reports of the days from `settled` on are not final.
    """
    counts = Counter[tuple[str, str, str]]()
    for day in days:
        for event in await store.sent_events(app, day, day):
            report = WORDS.get(event.kind)
            if report not in whole or report is None or event.event == AD_REVENUE:
                continue
            keys = identities_in(event.insert_id)
            if keys and not any(map(progress.is_reported, keys)):
                counts[report.word, day_of(day * DAY_MS), ALONE if day < settled else UNFINISHED] += 1
    return tuple(Surplus(*key, n) for key, n in sorted(counts.items()))
