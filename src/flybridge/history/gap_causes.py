"""Why an event is missing: what flybridge was doing when it happened, and when AppsFlyer had it.

The SDK keeps events of a device that is offline, and sends them later. A Data Locker shows that: an hour's folder holds
what AppsFlyer processed in it, and `h=late` what it calls late itself. A row of the Pull API does not: its event time
is the device's, and its other times are of the ad, the download and the install. But a row that the search before did
not meet in the same report, AppsFlyer did not have then.

https://support.appsflyer.com/hc/en-us/articles/360000877538 (Data Locker) and https://dev.appsflyer.com/hc/docs/
in-app-events-sdk (offline events), read 2026-11-28.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.raw_report import Report, report_named
from flybridge.history.gap_report import BEFORE, LATE, OTHER, OUTAGE, SOURCE, GapReport
from flybridge.history.locker_folders import LockerFolder
from flybridge.history.uptime import Uptime
from flybridge.records import HOUR_MS
from flybridge.store.performance import RESTRICTED

LATE_HOURS: Final = 6
"""An event is late if AppsFlyer had it so much later. Hourly files were once written with a lag of six hours."""
PROMPT: Final = frozenset({Report.INSTALLS, Report.REINSTALLS, Report.RETARGETING, Report.EVENTS})
"""Reports that have rows as they come. Others are made a day or two later."""


class Arrival(Struct, frozen=True):
    """When AppsFlyer had the rows of a file that happened between `begin_ms` and `end_ms`.

    Not before `after_ms`, and before `until_ms`; either is 0 if that is not known. `is_late`: AppsFlyer calls them so.
    """

    after_ms: int = 0
    until_ms: int = 0
    begin_ms: int = 0
    end_ms: int = 2**62
    is_late: bool = False

    def is_after(self, ms: int) -> bool:
        """Whether AppsFlyer had a row of this time for certain only hours later."""
        return self.begin_ms <= ms < self.end_ms and self.after_ms - ms >= LATE_HOURS * HOUR_MS


UNKNOWN: Final = Arrival()


def arrival_in(folder: LockerFolder) -> Arrival:
    """Return when AppsFlyer had the rows of a folder of a Data Locker."""
    if report_named(f"t={folder.report}/") not in PROMPT:
        return UNKNOWN
    if folder.hour == "late":
        return Arrival(is_late=True)
    day_ms = time_ms(folder.day)
    if day_ms is None or not folder.hour.isdecimal():
        return UNKNOWN
    hour_ms = day_ms + int(folder.hour) * HOUR_MS
    return Arrival(hour_ms, hour_ms + HOUR_MS)


def arrival_since(before: GapReport | None, report: str) -> Arrival:
    """Return when AppsFlyer had what a report of the Pull API has and the search before has not met.

    That search must have compared all of the report, and taken all that was missing.
    """
    if before is None or before.missing != before.filled or report not in before.reports:
        return UNKNOWN
    if report_named(report) not in PROMPT or not set(before.reports) <= set(PulledReport):
        return UNKNOWN
    # It was read after the span had ended.
    return Arrival(before.until_ms, 0, before.from_ms, before.until_ms)


def cause_of(media_source: str, ms: int, arrival: Arrival, uptime: Uptime, now_ms: int) -> str:
    """Return the likely cause of a missing event that happened at a time."""
    if ms < (uptime.began_ms or now_ms):
        return BEFORE
    is_after = arrival.is_after(ms)
    if is_after and arrival.until_ms:
        had_outage = not uptime.was_up(arrival.after_ms, arrival.until_ms)
    else:
        had_outage = not is_after and not uptime.was_up(ms)
    if had_outage:
        return OUTAGE
    if media_source.lower() == RESTRICTED:
        return SOURCE
    return LATE if is_after or arrival.is_late else OTHER
