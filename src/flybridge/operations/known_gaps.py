"""What `flybridge gaps` has found missing, as evidence for differences where raw data is not read for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.raw_report import Report, report_named
from flybridge.history.gap_report import SOURCE, GapReport, last_found
from flybridge.records import HOUR_MS, PerformanceKind
from flybridge.store.protocol import Store

KINDS: Final[Mapping[Report, tuple[str, ...]]] = {
    Report.INSTALLS: (PerformanceKind.INSTALL,),
    Report.REINSTALLS: (PerformanceKind.REINSTALL,),
    Report.RETARGETING: (PerformanceKind.RE_ENGAGEMENT, PerformanceKind.RE_ATTRIBUTION),
}
"""What a report has. One that has two kinds does not say how many of each are missing: at most all are of either."""


class KnownGap(Struct, frozen=True):
    """How many conversions of each kind are missing on a day, and why, by the search's own causes."""

    missing: Mapping[str, int]
    causes: Mapping[str, str]


async def gaps_of(store: Store, app: str) -> GapReport | None:
    """Return the last search for an app, if it was whole and nothing of it has been filled."""
    found = await last_found(store, app)
    return next((one for one in found if not (one.problems or one.notes or one.filled)), None)


def known_gap(report: GapReport, begin_ms: int, end_ms: int) -> KnownGap | None:
    """Return what is missing of a day; None if the search was not about all of it."""
    if report.from_ms > begin_ms or report.until_ms < end_ms:
        return None
    missing: Counter[str] = Counter()
    causes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for gap in report.gaps:
        of_report = report_named(gap.report)
        hour_ms = round(datetime.strptime(gap.hour, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp() * 1000)
        # A day of a zone with half hours ends within an hour.
        if of_report is None or gap.cause == SOURCE or not begin_ms - HOUR_MS < hour_ms < end_ms:
            continue
        for kind in KINDS.get(of_report, ()):
            missing[kind] += gap.missing
            causes[kind][gap.cause] += gap.missing
    return KnownGap(missing, {kind: found.most_common(1)[0][0] for kind, found in causes.items()})
