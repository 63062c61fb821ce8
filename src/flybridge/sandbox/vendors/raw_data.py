"""What AppsFlyer knows of an app, and shows in raw-data reports: also what it pushed in vain.

Rows are written from the messages that the Push API would send, with whole seconds, as the reports have them. A message
that is sent twice happened once. What names no event, or no readable time, is in no report.

https://dev.appsflyer.com/hc/reference/raw_data_pull_api_tokenv2-overview (read 2026-11-27).
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Any, Final

import msgspec

from flybridge.sandbox.vendors.raw_columns import ADDITIONAL, DEFAULT

_RETARGETED: Final = ("installs-retarget", "conversions_retargeting")
_RETARGETED_EVENTS: Final = ("in-app-events-retarget", "inapps_retargeting")
_REPORTS: Final[Mapping[str, tuple[tuple[str, str], tuple[str, str], tuple[str, str]]]] = {
    "install": (("installs_report", "installs"), ("organic_installs_report", "installs"), _RETARGETED),
    "reinstall": (("reinstalls", "reinstalls"), ("reinstalls_organic", "organic_reinstalls"), _RETARGETED),
    "re-engagement": (_RETARGETED, _RETARGETED, _RETARGETED),
    "re-attribution": (_RETARGETED, _RETARGETED, _RETARGETED),
    "": (("in_app_events_report", "inapps"), ("organic_in_app_events_report", "inapps"), _RETARGETED_EVENTS),
    "uninstall": (
        ("uninstall_events_report", "uninstalls"), ("organic_uninstall_events_report", "organic_uninstalls"),
        _RETARGETED_EVENTS,
    ),
    "af_ad_revenue": (
        ("ad_revenue_raw", "attributed_ad_revenue"), ("ad_revenue_organic_raw", "organic_ad_revenue"),
        ("ad-revenue-raw-retarget", "retargeting_ad_revenue"),
    ),
}  # fmt: skip
"""By the name of an event, "" for every other: its report in the Pull API and in the Data Locker, and those of organic
and of retargeted ones."""

LOCKER: Final[Mapping[str, str]] = {pull: locker for reports in _REPORTS.values() for pull, locker in reports}
"""The Data Locker report that has the rows of a Pull API report: two of them hold organic and non-organic together."""

NAMES: Final = frozenset(LOCKER)


class RawData:
    """The rows of every app: by report, in the order of their times."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, bytes]] = set()
        self._rows: defaultdict[tuple[str, str], list[tuple[float, int, bytes]]] = defaultdict(list)

    def add(self, app_id: str, bodies: Iterable[bytes]) -> int:
        """Add what happened, as push messages. Returns how many are new and in a report."""
        n = 0
        for body in bodies:
            if (app_id, body) in self._seen:
                continue
            self._seen.add((app_id, body))
            try:
                message = msgspec.json.decode(body)
            except msgspec.DecodeError:
                continue
            report = report_of(message) if isinstance(message, dict) else None
            moment = None if report is None else _moment(message.get("event_time"))
            if report is not None and moment is not None:
                rows = self._rows[app_id, report]
                row = (moment, len(self._seen), body)
                rows.insert(bisect_left(rows, row[:2]), row) if rows and rows[-1][0] > moment else rows.append(row)
                n += 1
        return n

    def rows(self, app_id: str, report: str, begin_s: float, end_s: float) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a report from a time up to, and not including, another, in seconds since 1970."""
        rows = self._rows[app_id, report]
        first, end = bisect_left(rows, (begin_s,)), bisect_left(rows, (end_s,))
        for _, _, body in islice(rows, first, end):
            yield msgspec.json.decode(body)

    def apps(self) -> list[str]:
        """Return the apps of which something is known."""
        return sorted({app_id for app_id, _ in self._rows})


def report_of(message: Mapping[str, Any]) -> str | None:
    """Return the report that has a message; None if none has."""
    name = message.get("event_name")
    if not name:
        return None
    retargeting = str(message.get("is_retargeting")).lower() == "true"
    organic = str(message.get("campaign_type")).lower() == "organic" or message.get("media_source") in (None, "organic")
    reports = _REPORTS.get(str(name), _REPORTS[""])
    return reports[2 if retargeting else 1 if organic else 0][0]


def _moment(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def header(additional: Sequence[str]) -> list[str]:
    """Return the header of a report with these additional fields."""
    return [column for column, _ in DEFAULT] + [column for field, column, _ in ADDITIONAL if field in additional]


def cells(message: Mapping[str, Any], additional: Sequence[str], zone: tzinfo = UTC) -> list[str]:
    """Return the values of a row, with times in a zone."""
    names = [name for _, name in DEFAULT] + [name for field, _, name in ADDITIONAL if field in additional]
    return [cell(name, message.get(name), zone) for name in names]


def cell(name: str, value: object, zone: tzinfo = UTC) -> str:
    """Return a value as reports write it: nothing for none, times in whole seconds."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return msgspec.json.encode(value).decode()
    text = str(value)
    if not name.endswith("_time") and name != "gp_install_begin":
        return text
    whole = text.partition(".")[0]
    if zone is UTC or (at_s := _moment(whole)) is None:
        return whole
    return f"{datetime.fromtimestamp(at_s, zone):%Y-%m-%d %H:%M:%S}"


def as_csv(rows: Iterable[Sequence[object]], *, quoted: bool = False) -> bytes:
    """Return CSV. `quoted`: every value is, as Data Locker does it."""
    content = io.BytesIO()  # a text of a million rows takes up to four times as much memory
    with io.TextIOWrapper(content, "utf-8", newline="") as text:
        csv.writer(text, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n").writerows(rows)
        text.flush()
        return content.getvalue()
