"""AppsFlyer's Cohort API: what the installs of a day did on the days after, by media source. Premium.

https://dev.appsflyer.com/hc/reference/post_app-id (docs/apis/analytics/cohort_api.yaml of AppsFlyer's devhub, read
2026-11-27). A call has one figure, and 60 calls a minute are allowed for an account
(https://support.appsflyer.com/hc/en-us/articles/207034366, read 2026-11-27). Days that are not complete for all
installs of the call are left out. The columns of an answer are not documented (*unverified*): they are found by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused, check_status, header_and_lines
from flybridge.delivery.exchange import HttpRequest, HttpResponse

PATH: Final = "/api/cohorts/v1/data/app/{app}?format=csv"


class CohortKpi(StrEnum):
    """A figure of a cohort."""

    SESSIONS = "sessions"
    """How many people opened the app on a day."""
    REVENUE = "revenue"
    """The revenue up to a day, in the app's currency."""


_MEASURES: Final = {CohortKpi.SESSIONS: "unique_users", CohortKpi.REVENUE: "sum"}
_AGGREGATION: Final = {CohortKpi.SESSIONS: "on_day", CohortKpi.REVENUE: "cumulative"}


class CohortSource(Struct, frozen=True):
    """The installs of one media source, and the figure by day after the install, from 0."""

    users: int
    values: Mapping[int, float]


def request(account: AppsFlyerAccount, kpi: CohortKpi, day: date, *, own_zone: bool = False) -> HttpRequest:
    """Build the request for a figure of the installs of a day. `own_zone`: the day is of the app's zone, not of UTC."""
    body = {
        "cohort_type": "user_acquisition",
        "from": day.isoformat(),
        "to": day.isoformat(),
        "groupings": ["pid"],
        "kpis": [kpi.value],
        "aggregation_type": _AGGREGATION[kpi],
        "preferred_currency": True,
        "preferred_timezone": own_zone,
    }
    return account.call("POST", PATH, body, "text/csv")


def read(response: HttpResponse, kpi: CohortKpi) -> Mapping[str, CohortSource]:
    """Return what an answer says by media source. Raises `ReportRefused`."""
    if response.status == 401:
        raise ReportRefused(
            "AppsFlyer does not accept the token for its Cohort API, which is premium: check api_token, and have the "
            "API enabled for the account."
        )
    if response.status == 422:
        raise ReportRefused("AppsFlyer does not take the request for the Cohort API (422): check appsflyer_app_id.")
    check_status(response, "the Cohort API")
    column = re.compile(rf"{kpi.value}_{_MEASURES[kpi]}_day_(\d+)")
    header, lines = header_and_lines(response, frozenset({"pid", "users"}))
    days = {int(of[1]): name for name in map(str.lower, header) if (of := column.fullmatch(name))}
    if not days and any("_day_" in name for name in header):
        raise ReportRefused(f"What AppsFlyer answered has no column of {kpi.value} by day.")
    found: dict[str, CohortSource] = {}
    for line in lines:
        values = {after: line.figure(name) for after, name in days.items()}
        known = {after: value for after, value in values.items() if value is not None}
        found[line.source("pid")] = CohortSource(line.whole("users") or 0, known)
    return found
