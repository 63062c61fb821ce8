"""Which report a row of raw data is of.

A file may hold several reports. What a row says of itself therefore comes first, the name of its file or of its Data
Locker folder (`t=inapps`) second: copies of events that went to partners, and clicks, look like other rows.

https://dev.appsflyer.com/hc/reference/raw_data_pull_api_tokenv2-overview and
https://support.appsflyer.com/hc/en-us/articles/360000877538 (Data Locker, read 2026-11-27).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback import read
from flybridge.appsflyer.postback_kind import LATER, NAMES, is_own_event
from flybridge.records import Dead, Media, Word
from flybridge.system.text_encoding import BLANKS, EDGES


class Report(Word):
    """The kinds of raw-data report, organic and not."""

    INSTALLS = "installs"
    REINSTALLS = "reinstalls"
    RETARGETING = "retargeting"
    EVENTS = "in-app events"
    AD_REVENUE = "ad revenue"
    UNINSTALLS = "uninstalls"
    SKADNETWORK = "SKAdNetwork"
    FRAUD = "Protect360"
    POSTBACKS = "postbacks"
    CLICKS = "clicks"
    IMPRESSIONS = "impressions"
    SESSIONS = "sessions"
    WEB = "web"
    AGGREGATES = "aggregates"


BAD_ROW: Final = "bad_row"
NO_EVENT_TIME: Final = "no_event_time"
"""Reasons of dead letters."""

TAKEN: Final = frozenset(
    {
        Report.INSTALLS,
        Report.REINSTALLS,
        Report.RETARGETING,
        Report.EVENTS,
        Report.AD_REVENUE,
        Report.UNINSTALLS,
        Report.SKADNETWORK,
    }
)
"""Reports whose rows are messages. The mapping's options say what becomes of uninstalls and SKAdNetwork."""

ORDER: Final = tuple(Report)
"""The order in which reports are read: who was installed first, what they did second."""

_NAMED: Final = tuple(
    (re.compile(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])"), report)
    for pattern, report in (
        (r"blocked_\w+|detection|fraud_post_\w+|post_attribution_\w+|protect360\w*", Report.FRAUD),
        (r"(?:\w+_)?postbacks(?:_copy)?", Report.POSTBACKS),
        (r"skad(?:network)?_\w+", Report.SKADNETWORK),
        (r"clicks(?:_retargeting)?(?:_report)?", Report.CLICKS),
        (r"impressions(?:_retargeting)?(?:_report)?", Report.IMPRESSIONS),
        (r"sessions|retargeting_sessions", Report.SESSIONS),
        (r"web_events|web_touch_points|web_to_app", Report.WEB),
        (r"cohort_\w+|ssot_\w+|partners_report|daily_report|geo_report", Report.AGGREGATES),
        (r"(?:organic_)?uninstalls|(?:organic_)?uninstall_events_report", Report.UNINSTALLS),
        (r"\w*ad_revenue\w*", Report.AD_REVENUE),
        (r"(?:organic_)?reinstalls(?:_organic)?", Report.REINSTALLS),
        (r"\w*in_?apps?(?:_events?)?\w*", Report.EVENTS),
        (r"conversions_retargeting|retargeting_conversions|installs_retarget\w*|retargeting", Report.RETARGETING),
        (r"(?:non_)?(?:organic_)?installs(?:_report)?", Report.INSTALLS),
    )
)
_FOLDER: Final = re.compile(r"(?:^|/)t=([^/]+)(?:/|$)")
_OF_DAY: Final = re.compile(r"(?:^|/)(?:dt|h)=[^/]+")
_APP_FOLDER: Final = re.compile(r"(?:^|/)app_id=([^/]+)/", re.IGNORECASE)
_APP: Final = re.compile(r"(?:id)?\d{6,}|[\w-]+\.[\w.-]+")
_EVENTS: Final = {
    "install": Report.INSTALLS,
    "reinstall": Report.REINSTALLS,
    "re-engagement": Report.RETARGETING,
    "re-attribution": Report.RETARGETING,
    "uninstall": Report.UNINSTALLS,
    "af_uninstall": Report.UNINSTALLS,
    "af_ad_revenue": Report.AD_REVENUE,
}
FRAUD: Final = ("detection_date", "fraud_reason", "fraud_reasons", "blocked_reason")
"""Fields that only rows of Protect360 have."""
CONVERSIONS: Final = frozenset({"install", "reinstall", "re-engagement", "re-attribution"})
"""Names of events that are conversions, unless an app's own events are called so."""
DECIDING: Final = ("event_time", "install_time", "event_value", "event_revenue", "conversion_type")
"""Fields by which `may_be_own` knows what no event of the app is."""
_COPIES: Final = frozenset({"postback_url", "postback_retry", "postback_method", "postback_http_response_code"})


def report_named(name: str, app_id: str = "") -> Report | None:
    """Return the report that a path or address names; None if it names none. `app_id` in it says nothing."""
    folder = _FOLDER.search(name)
    word = folder[1] if folder else name.rpartition("/")[2].replace(app_id or "\0", "")
    word = re.sub(r"[\s.-]+", "_", word.lower())
    # Parts of a file name that are joined by one sign look like one word: the rarer names are looked for first.
    for pattern, report in _NAMED:
        if pattern.search(word) or pattern.search(re.sub(r"_(?=\d)|(?<=\d)_", " ", word)):
            return report
    return None


def app_named(path: str) -> str:
    """Return the app whose folder in a Data Locker a file lies in; empty if its path names none.

    Where data is segregated by app, a folder below that of the hour is called `app_id=<app>`, or by the app alone, and
    rows need not say it again.
    """
    if (named := _APP_FOLDER.search(path)) is not None:
        return named[1]
    days = list(_OF_DAY.finditer(path)) if _FOLDER.search(path) is not None else []
    if not days:
        return ""
    folders = [one.removeprefix("app=") for one in path[days[-1].end() :].split("/")[:-1]]
    return next((one for one in folders if _APP.fullmatch(one) is not None), "")


def is_of_copies(columns: Iterable[str]) -> bool:
    """Whether a header is of a report of postbacks: copies of events, as partners got them."""
    return not _COPIES.isdisjoint(columns)


def report_of(row: Mapping[str, str], named: Report | None) -> Report:
    """Return the report of one row. `named` is what the name of its file or its header says."""
    for name in FRAUD:
        if name in row:
            return Report.FRAUD
    if named is not None and named not in TAKEN:
        return named
    event = name_of(row)
    if not event:
        if "monetization_network" in row:
            return Report.AD_REVENUE
        if "conversion_type" not in row and "install_time" not in row and "event_time" not in row:
            return Report.SKADNETWORK if is_of_skadnetwork(row) else named or Report.CLICKS
        return named or Report.INSTALLS
    # Its rows have a time of another name, so that those of all other reports need not be searched.
    if named is Report.SKADNETWORK or ("event_time" not in row and is_of_skadnetwork(row)):
        return Report.SKADNETWORK
    found = _EVENTS.get(event, Report.EVENTS)
    if found is Report.EVENTS or (event in NAMES and is_own_row(row)):
        return Report.AD_REVENUE if "monetization_network" in row else Report.EVENTS
    return found


def name_of(row: Mapping[str, str]) -> str:
    """Return the name of a row's event as its message has it, without blanks around it; empty if there is none."""
    name = row.get("event_name", "")
    return name.strip(EDGES if name.isascii() else BLANKS)  # the fewer there are to look for, the faster


def is_conversion(row: Mapping[str, str]) -> bool:
    """Whether a row is a conversion by its name, and no event of the app that is called so."""
    return name_of(row) in CONVERSIONS and not is_own_row(row)


def may_be_own(name: str, deciding: Iterable[str | None]) -> bool:
    """Whether a row with a name of AppsFlyer's may be an event of the app, by its values of `DECIDING`.

    If so, the whole row says whether it is.
    """
    time, installed, value, revenue, act = deciding
    if value is not None or revenue is not None:
        return True
    if name in LATER:
        return act is not None and "install" in act.lower() and "reinstall" not in act.lower()
    return name == "install" and installed is not None and installed != time


def is_own_row(row: Mapping[str, str]) -> bool:
    """Whether a row with a name of AppsFlyer's is an event of the app, as its message would be."""
    of = row.get
    name = name_of(row)
    if not may_be_own(name, map(of, DECIDING)):
        return False
    found = read(msgspec.json.encode(row), Media.JSON)
    return isinstance(found, Postback) and is_own_event(found)


def is_of_skadnetwork(row: Mapping[str, str]) -> bool:
    """Whether a row has a field of SKAdNetwork."""
    return any(name.startswith("skad_") for name in row)


def row_body(file: str, number: int, problem: str, text: str, reason: str = BAD_ROW) -> bytes:
    """Return what is kept of a row that can't be read or used: `bad_row` makes a dead letter of it."""
    said = {"file": file, "line": number, "problem": problem, "text": text}
    return msgspec.json.encode(said if reason == BAD_ROW else {**said, "reason": reason})


def bad_row(body: bytes) -> Dead:
    """Return the dead letter of a row that can't be read."""
    try:
        said = msgspec.json.decode(body, type=dict[str, str | int])
        where = f"{said['file']}, line {said['line']}: {said['problem']}"
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, KeyError):
        where = "What was kept of the row can't be read either."
        said = {}
    return Dead(
        "decode",
        str(said.get("reason", BAD_ROW)),
        where,
        "Correct the line in the file and import it again: its other rows are known by then, and change nothing.",
    )
