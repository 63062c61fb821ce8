"""What AppsFlyer knows of an app, and shows in raw-data reports: also what it pushed in vain.

Rows are written from the messages that the Push API would send, with whole seconds, as the reports have them. A message
that is sent twice happened once. What names no event, or no readable time, is in no report.

The list of columns is the sandbox's own, and flybridge's way of reading columns is tested against it: the 81 default
ones in their order, then the additional fields in the order in which the Pull API's specification lists them
(docs/apis/mos/raw_data_pull_api_tokenv2.yaml of AppsFlyer's devhub, read 2026-11-27).

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

_OTHERWISE: Final = {
    "Partner": "af_prt", "Channel": "af_channel", "Keywords": "af_keywords", "Campaign ID": "af_c_id",
    "Adset": "af_adset", "Adset ID": "af_adset_id", "Ad": "af_ad", "Ad ID": "af_ad_id", "Ad Type": "af_ad_type",
    "Site ID": "af_siteid", "Sub Site ID": "af_sub_siteid", "Sub Param 1": "af_sub1", "Sub Param 2": "af_sub2",
    "Sub Param 3": "af_sub3", "Sub Param 4": "af_sub4", "Sub Param 5": "af_sub5", "Cost Model": "af_cost_model",
    "Cost Value": "af_cost_value", "Cost Currency": "af_cost_currency",
    "Contributor 1 Partner": "contributor_1_af_prt", "Contributor 2 Partner": "contributor_2_af_prt",
    "Contributor 3 Partner": "contributor_3_af_prt", "Attribution Lookback": "af_attribution_lookback",
    "Reengagement Window": "af_reengagement_window", "Google Play Click Time": "gp_click_time",
    "Google Play Broadcast Referrer": "gp_broadcast_referrer", "Google Play Install Begin Time": "gp_install_begin",
    "Google Play Referrer": "gp_referrer", "Amazon Fire ID": "amazon_aid",
}  # fmt: skip
"""Columns that push messages do not name by the same words."""


def _pushed(column: str) -> str:
    return _OTHERWISE.get(column) or column.lower().replace(" ", "_")


DEFAULT: Final[tuple[tuple[str, str], ...]] = tuple((column, _pushed(column)) for column in (
    "Attributed Touch Type", "Attributed Touch Time", "Install Time", "Event Time", "Event Name", "Event Value",
    "Event Revenue", "Event Revenue Currency", "Event Revenue USD", "Event Source", "Is Receipt Validated", "Partner",
    "Media Source", "Channel", "Keywords", "Campaign", "Campaign ID", "Adset", "Adset ID", "Ad", "Ad ID", "Ad Type",
    "Site ID", "Sub Site ID", "Sub Param 1", "Sub Param 2", "Sub Param 3", "Sub Param 4", "Sub Param 5", "Cost Model",
    "Cost Value", "Cost Currency", "Contributor 1 Partner", "Contributor 1 Media Source", "Contributor 1 Campaign",
    "Contributor 1 Touch Type", "Contributor 1 Touch Time", "Contributor 2 Partner", "Contributor 2 Media Source",
    "Contributor 2 Campaign", "Contributor 2 Touch Type", "Contributor 2 Touch Time", "Contributor 3 Partner",
    "Contributor 3 Media Source", "Contributor 3 Campaign", "Contributor 3 Touch Type", "Contributor 3 Touch Time",
    "Region", "Country Code", "State", "City", "Postal Code", "DMA", "IP", "WIFI", "Operator", "Carrier", "Language",
    "AppsFlyer ID", "Advertising ID", "IDFA", "Android ID", "Customer User ID", "IMEI", "IDFV", "Platform",
    "Device Type", "OS Version", "App Version", "SDK Version", "App ID", "App Name", "Bundle ID", "Is Retargeting",
    "Retargeting Conversion Type", "Attribution Lookback", "Reengagement Window", "Is Primary Attribution",
    "User Agent", "HTTP Referrer", "Original URL",
))  # fmt: skip
"""Each column, and its name in push messages."""

ADDITIONAL: Final[tuple[tuple[str, str, str], ...]] = tuple(
    (_pushed(column).replace("contributor_", "contributor"), column, _pushed(column)) for column in (
        "Store Reinstall", "Impressions", "Contributor 3 Match Type", "Custom Dimension", "Conversion Type",
        "Google Play Click Time", "Match Type", "Mediation Network", "OAID", "Deeplink URL", "Blocked Reason",
        "Blocked Sub Reason", "Google Play Broadcast Referrer", "Google Play Install Begin Time", "Campaign Type",
        "Custom Data", "Rejected Reason", "Device Download Time", "Keyword Match Type", "Contributor 1 Match Type",
        "Contributor 2 Match Type", "Device Model", "Monetization Network", "Segment", "Is LAT",
        "Google Play Referrer", "Blocked Reason Value", "Store Product Page", "Device Category", "App Type",
        "Rejected Reason Value", "Ad Unit", "Keyword ID", "Placement", "Network Account ID", "Install App Store",
        "Amazon Fire ID", "ATT", "Engagement Type", "Contributor 1 Engagement Type",
        "Contributor 2 Engagement Type", "Contributor 3 Engagement Type", "GDPR Applies", "Ad User Data Enabled",
        "Ad Personalization Enabled", "Total Candidates", "Engagement Destination",
    )
)  # fmt: skip
"""The name by which a field is asked for, its column, and its name in push messages."""


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
