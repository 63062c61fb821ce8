"""What only flybridge has: events that were delivered, and that no report of AppsFlyer's has.

They are looked for by day, as the ledger has them, and only of kinds of events of which all reports were read to their
ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_report import Report
from flybridge.history.gap_report import ALONE, NO_FOLDER, UNFINISHED, Surplus
from flybridge.history.locker_folders import LockerFolder
from flybridge.history.progress import Progress
from flybridge.history.source_counts import SourceCounts
from flybridge.mapping.to_amplitude.content_key import identities_in
from flybridge.records import DAY_MS, HOUR_MS, PerformanceKind, day_of
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
OWN_FOLDERS: Final[Mapping[str, frozenset[str]]] = {
    PerformanceKind.INSTALL: frozenset({"installs"}),
    PerformanceKind.REINSTALL: frozenset({"reinstalls", "organic_reinstalls"}),
    PerformanceKind.RE_ENGAGEMENT: frozenset({"conversions_retargeting"}),
    PerformanceKind.RE_ATTRIBUTION: frozenset({"conversions_retargeting"}),
    PerformanceKind.EVENT: frozenset({"inapps"}),
    PerformanceKind.RETARGETED_EVENT: frozenset({"inapps_retargeting"}),
}
"""The reports of a Data Locker of which one has an event of a kind."""
USUAL_SHARE: Final = 0.9
"""A report that has a folder of so many hours has one of each."""
LOCKER_WHOLE: Final[Mapping[Report, frozenset[str]]] = {
    report: frozenset().union(*(folders for kind, folders in OWN_FOLDERS.items() if WORDS[kind] is report))
    for report in WHOLE
}
"""The same of Data Lockers, whose `installs` and `inapps` hold organic rows, too."""
AD_REVENUE: Final = "af_ad_revenue"
"""An event that has reports of its own, a day or two later."""


class Compared(Struct, frozen=True):
    """What of AppsFlyer's side was read, and how far it is final.

    `reports` were read to their ends, of `days` at least, and `kinds` are the reports that a kind of events needs. Days
    from `settled` on, and what was delivered after `fresh_ms`, are not final; what was delivered after `read_ms` may be
    in files that were not read. `absent` are the hours of which there is nothing to read, by kind of event, in order,
    and `begin` returns when a day begins.
    """

    reports: Collection[str]
    kinds: Mapping[Report, frozenset[str]]
    days: range
    settled: int
    fresh_ms: int
    read_ms: int = 2**62
    absent: Mapping[str, Sequence[int]] = {}
    begin: Callable[[int], int] = lambda day: day * DAY_MS

    def may_be_absent(self, kind: str, day: int, sent_ms: int) -> bool:
        """Whether AppsFlyer may have had an event in an hour of which there is nothing to read.

        That was after its day had begun, and before it was sent.
        """
        hours = self.absent.get(kind, ())
        first = bisect_left(hours, self.begin(day) // HOUR_MS * HOUR_MS)
        return first < len(hours) and hours[first] <= sent_ms

    @property
    def whole(self) -> set[Report]:
        """The kinds of events of which all reports were read."""
        return {report for report, names in self.kinds.items() if names <= set(self.reports)}


def absent_hours(folders: Iterable[LockerFolder], first_ms: int, end_ms: int) -> Mapping[str, Sequence[int]]:
    """Return the hours of a span of which a Data Locker has no finished folder, by kind of event.

    Where no folder has a mark, as in some copies, one that is there counts as finished. That an hour without rows has a
    folder is not documented: of a report that has none of many hours, only those count that no report has.
    """
    folders = list(folders)
    are_marked = any(folder.is_complete for folder in folders)
    written: defaultdict[str, set[int]] = defaultdict(set)
    for folder in folders:
        day_ms = time_ms(folder.day)
        if day_ms is not None and (folder.is_complete or not are_marked):
            # A folder of a whole day has no hour, and `late` is none.
            numbers = [int(folder.hour)] if folder.hour.isdecimal() else range(24) if not folder.hour else ()
            written[folder.report].update(day_ms + number * HOUR_MS for number in numbers)
    span = set(range(first_ms // HOUR_MS * HOUR_MS, end_ms, HOUR_MS))
    known, absent = span & set[int]().union(*written.values()), dict[str, Sequence[int]]()
    for kind, reports in OWN_FOLDERS.items():
        own = span & set[int]().union(*(written[report] for report in reports))
        is_usual = len(own) >= USUAL_SHARE * len(known)
        absent[kind] = sorted(span - own if is_usual else span - known)
    return absent


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
            cause = ALONE
            if day >= compared.settled or event.sent_ms > compared.fresh_ms:
                cause = UNFINISHED
            elif compared.may_be_absent(event.kind, day, event.sent_ms):
                cause = NO_FOLDER
            counts.add((report.word, day_of(day * DAY_MS), cause), event.media_source)
    return tuple(Surplus(report, day, cause, n, source) for (report, day, cause), source, n in counts.largest())
