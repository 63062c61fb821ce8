"""What only flybridge has: events that were delivered, and that no report of AppsFlyer's has.

They are looked for by day, as the ledger has them, and only of kinds of events of which all reports were read to their
ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.raw_report import Report
from flybridge.history.gap_report import ALONE, UNFINISHED, Surplus
from flybridge.history.progress import Progress
from flybridge.history.source_counts import SourceCounts
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


class Compared(Struct, frozen=True):
    """What of AppsFlyer's side was read, and how far it is final.

    `reports` were read to their ends, of `days` at least, and `kinds` are the reports that a kind of events needs. Days
    from `settled` on, and what was delivered after `fresh_ms`, are not final; what was delivered after `read_ms` may be
    in files that were not read.
    """

    reports: Collection[str]
    kinds: Mapping[Report, frozenset[str]]
    days: range
    settled: int
    fresh_ms: int
    read_ms: int = 2**62

    @property
    def whole(self) -> set[Report]:
        """The kinds of events of which all reports were read."""
        return {report for report, names in self.kinds.items() if names <= set(self.reports)}


async def find_surplus(store: Store, app: str, progress: Progress, compared: Compared) -> tuple[Surplus, ...]:
    """Return what was delivered of these days and whose keys `progress` does not have as those of rows of reports."""
    counts, whole = SourceCounts(), compared.whole
    for day in compared.days:
        for event in await store.sent_events(app, day, day):
            report = WORDS.get(event.kind)
            if report not in whole or report is None or event.event == AD_REVENUE:
                continue
            keys = identities_in(event.insert_id)
            if not keys or event.sent_ms > compared.read_ms or any(map(progress.is_reported, keys)):
                continue
            is_final = day < compared.settled and event.sent_ms <= compared.fresh_ms
            counts.add((report.word, day_of(day * DAY_MS), ALONE if is_final else UNFINISHED), event.media_source)
    return tuple(Surplus(report, day, cause, n, source) for (report, day, cause), source, n in counts.largest())
