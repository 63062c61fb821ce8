"""AppsFlyer's Master API: chosen figures by chosen groups for all apps of an account in one call. Premium.

https://dev.appsflyer.com/hc/reference/master_api_get (docs/apis/analytics/master_api.yaml and
master_lastupdate_api.yaml of AppsFlyer's devhub, read 2026-11-27). A call spans 31 days at most and 200,000 rows. A
plan without it is answered 404 with `Not found`; a figure that the plan lacks fails the whole call. Groups and figures
are asked for by short names (`pid`) and come back under long ones (`Media Source`). Days are those of the install.

Figures whose name begins with `activity_` are those of the Activity dashboard: events count on the day on which they
happened (https://support.appsflyer.com/hc/en-us/articles/213223166, read 2026-11-27). How their columns are named in an
answer is not documented (*unverified*): they are found by their letters, or in the order in which they were asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from flybridge.appsflyer.report import (
    MINUTE_S,
    AppsFlyerAccount,
    ReportLine,
    ReportRefused,
    ReportTooLarge,
    SpendRow,
    check_status,
    header_and_lines,
)
from flybridge.delivery.exchange import HttpRequest, HttpResponse

PATH: Final = "/api/master-agg-data/v4/app/{app}"
LONGEST_DAYS: Final = 31
GROUPINGS: Final = ("app_id", "install_time", "pid", "c", "geo")
KPIS: Final = ("impressions", "clicks", "installs", "cost", "revenue")
NEEDED: Final = frozenset({"install time", "media source"})
ACTIVITY: Final = "activity_event_counter_"
MOST_EVENTS: Final = 50
"""Events in one call, so that its address stays short."""

_COUNTABLE: Final = re.compile(r"\w+", re.ASCII)


def request(account: AppsFlyerAccount, first: date, last: date, *, own_zone: bool = False) -> HttpRequest:
    """Build the request. `own_zone` asks for days in the app's zone instead of UTC. Amounts are in its currency."""
    given = {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "groupings": ",".join(GROUPINGS),
        "kpis": ",".join(KPIS),
        "currency": "preferred",
        "timezone": "preferred" if own_zone else "",
    }
    return account.report(PATH, given)


def is_countable(event: str) -> bool:
    """Whether the Master API can be asked for an event of this name."""
    return _COUNTABLE.fullmatch(event) is not None


def activity_request(
    account: AppsFlyerAccount, day: date, events: Sequence[str], *, own_zone: bool = False
) -> HttpRequest:
    """Build the request for how often these events happened on a day, by media source: at most `MOST_EVENTS`."""
    given = {
        "from": day.isoformat(),
        "to": day.isoformat(),
        "groupings": "pid",
        "kpis": ",".join(f"{ACTIVITY}{event}" for event in events),
        "timezone": "preferred" if own_zone else "",
    }
    return account.report(PATH, given)


def read_activity(response: HttpResponse, events: Sequence[str]) -> Mapping[str, Mapping[str, int | None]]:
    """Return how often each event happened by media source. None: AppsFlyer can't tell. Raises `ReportRefused`."""
    _check(response)
    header, lines = header_and_lines(response, frozenset({"media source"}))
    columns = _activity_columns(header, events)
    found: dict[str, dict[str, int | None]] = {event: {} for event in events}
    for line in lines:
        source = line.source("media source")
        for event in events:
            found[event][source] = line.whole(columns[event])
    return found


def _activity_columns(header: Sequence[str], events: Sequence[str]) -> Mapping[str, str]:
    """Return the column of each event, in lower case as `ReportLine` has it."""
    by_letters = {_letters(name): name.lower() for name in header}
    named = {event: by_letters.get(_letters(f"{ACTIVITY}{event}")) for event in events}
    others = [name.lower() for name in header if name.lower() != "media source"]
    if None in named.values() and len(others) == len(events):
        return dict(zip(events, others, strict=True))
    for event, name in named.items():
        if name is None:
            raise ReportRefused(f"What AppsFlyer answered has no column for the event {event[:80]!r}.")
    return {event: name for event, name in named.items() if name is not None}


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def freshness_request(account: AppsFlyerAccount) -> HttpRequest:
    """Build the request for the last day that the Master API has."""
    return account.report("/api/master-agg-data/lastupdate", {})


def read(response: HttpResponse) -> list[SpendRow]:
    """Return the rows in an answer. Raises `ReportRefused`."""
    _check(response)
    _, lines = header_and_lines(response, NEEDED)
    return [_row(line) for line in lines]


def read_freshness(response: HttpResponse) -> date:
    """Return the last day that the Master API has. Raises `ReportRefused`."""
    _check(response)
    try:
        return date.fromisoformat(response.body[:40].decode("utf-8-sig", "replace").strip().strip('"'))
    except ValueError:
        raise ReportRefused("What AppsFlyer answered is not a date: check base_url.") from None


def _check(response: HttpResponse) -> None:
    if response.status == 404:
        raise ReportRefused("The Master API is not part of the AppsFlyer plan, or base_url is wrong.")
    if response.status == 416:
        if b"other reason" in response.body.lower():
            raise ReportTooLarge("The report has more than 200,000 rows: ask for fewer days.")
        if b"UTC only" in response.body:
            raise ReportRefused("The app's zone was changed after these days, which AppsFlyer has in UTC only.")
        if b"re-try" in response.body:
            raise ReportRefused("AppsFlyer could not make the report: it is asked again later.", 5 * MINUTE_S)
    check_status(response, "the Master API")


def _row(line: ReportLine) -> SpendRow:
    return SpendRow(
        line.day("install time"),
        line.source("media source"),
        line.text("campaign"),
        line.text("geo", "country"),
        line.whole("impressions"),
        line.whole("clicks"),
        line.figure("cost"),
    )
