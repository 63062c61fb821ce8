"""AppsFlyer's raw-data Pull API v5: requests for reports, and what their answers mean.

A report has up to 200,000 rows, or 1,000,000 with `maximum_rows`; what is more is left out without a word. A quota
counts calls, not rows, by report, app and UTC day, and depends on the subscription: its number is not known before it
is used up. Reports reach 90 days back. An answer may be a redirect to a signed address, which must not get the token.

https://dev.appsflyer.com/hc/reference/raw_data_pull_api_tokenv2-overview (raw_data_pull_api_tokenv2.yaml of
AppsFlyer's devhub, read 2026-11-27).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.columns import columns_of, is_raw_data
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused, check_status, is_quota, said
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.records import clock_time

PATH: Final = "/api/raw-data/export/app/{{app}}/{report}/v5"
MAX_ROWS: Final = 1_000_000
LOOKBACK_DAYS: Final = 89
"""The documented limit is 90 days. The ninetieth day is refused, or half of it is, by the hour of the request."""
DAY_S: Final = 86_400
EARLY_S: Final = 900.0
"""For so many seconds after 00:00 UTC a quota that is used up is asked for again soon."""

_ALL: Final = (
    "store_reinstall,contributor3_match_type,custom_dimension,conversion_type,gp_click_time,match_type,oaid,"
    "deeplink_url,gp_broadcast_referrer,gp_install_begin,campaign_type,custom_data,device_download_time,"
    "keyword_match_type,contributor1_match_type,contributor2_match_type,device_model,is_lat,gp_referrer,"
    "device_category,keyword_id,network_account_id,install_app_store,amazon_aid,att,gdpr_applies,ad_user_data_enabled,"
    "ad_personalization_enabled,blocked_reason"
)
_ORGANIC_EVENTS: Final = _ALL.replace("is_lat,", "")
_FEW: Final = (
    "gp_click_time,match_type,oaid,gp_install_begin,custom_data,device_download_time,device_model,is_lat,gp_referrer,"
    "device_category,network_account_id,install_app_store,amazon_aid,blocked_reason"
)
_AD_REVENUE: Final = _FEW + ",monetization_network,mediation_network,ad_unit,placement,segment,impressions"


class PulledReport(StrEnum):
    """The raw-data reports: conversions first, retargeting before the reports that may hold copies of its events.

    `longest_days` are the most days of a window, and `additional` the additional fields that a report has. Windows are
    no longer than AppsFlyer's help centre has allowed: 60 days, and 31 days of in-app events
    (https://support.appsflyer.com/hc/en-us/articles/207034366, older versions).
    """

    longest_days: int
    additional: str

    def __new__(cls, name: str, longest_days: int, additional: str) -> PulledReport:
        report = str.__new__(cls, name)
        report._value_, report.longest_days, report.additional = name, longest_days, additional
        return report

    INSTALLS = "installs_report", 60, _ALL
    ORGANIC_INSTALLS = "organic_installs_report", 60, _ALL
    REINSTALLS = "reinstalls", 60, _ALL
    ORGANIC_REINSTALLS = "reinstalls_organic", 60, _ALL
    RETARGETING = "installs-retarget", 60, _ALL
    RETARGETED_EVENTS = "in-app-events-retarget", 31, _ALL
    EVENTS = "in_app_events_report", 31, _ALL
    ORGANIC_EVENTS = "organic_in_app_events_report", 31, _ORGANIC_EVENTS
    UNINSTALLS = "uninstall_events_report", 60, _FEW
    ORGANIC_UNINSTALLS = "organic_uninstall_events_report", 60, _FEW
    AD_REVENUE = "ad_revenue_raw", 31, _AD_REVENUE
    ORGANIC_AD_REVENUE = "ad_revenue_organic_raw", 31, _AD_REVENUE
    RETARGETED_AD_REVENUE = "ad-revenue-raw-retarget", 31, _AD_REVENUE


USUAL: Final = tuple(PulledReport)[:8]
"""What is pulled unless it is said otherwise: installs, conversions and in-app events."""


class PullWindow(Struct, frozen=True, order=True):
    """A span of time of a report, in seconds since 1970: from the first to, and not including, the last."""

    begin_s: int
    end_s: int

    @property
    def text(self) -> str:
        """Its first and last second, in words."""
        return f"{clock_time(self.begin_s * 1000)} to {clock_time(self.end_s * 1000 - 1000)} UTC"

    def halves(self) -> tuple[PullWindow, ...]:
        """Return both halves; nothing for a second, which has none."""
        middle = self.begin_s + (self.end_s - self.begin_s) // 2
        if middle <= self.begin_s:
            return ()
        # Whole days stay whole: their requests are the plainest.
        if self.end_s - self.begin_s > DAY_S:
            middle = max(middle - middle % DAY_S, self.begin_s + DAY_S - self.begin_s % DAY_S)
        return PullWindow(self.begin_s, middle), PullWindow(middle, self.end_s)


def windows(report: PulledReport, begin_s: int, end_s: int) -> list[PullWindow]:
    """Return the widest windows that make up a span."""
    longest = report.longest_days * DAY_S
    return [PullWindow(at, min(at + longest, end_s)) for at in range(begin_s, end_s, longest)]


def pull_request(account: AppsFlyerAccount, report: PulledReport, window: PullWindow) -> HttpRequest:
    """Build the request for a window. Both ends are included by AppsFlyer, to the second."""
    given = {
        "from": clock_time(window.begin_s * 1000),
        "to": clock_time(window.end_s * 1000 - 1000),
        "maximum_rows": str(MAX_ROWS),
        "additional_fields": report.additional,
    }
    return account.report(PATH.format(report=report.value), given)


def check_pulled(response: HttpResponse, report: str, now_s: int) -> None:
    """Raise `ReportRefused` if an answer is no report. A quota that is used up is new after 00:00 UTC.

    Errors come as text, JSON or a web page, also with status 200: an answer without the header of raw data is none.
    """
    if response.status == 200 and _has_header(response.body):
        return
    words = said(response.body).strip().removeprefix("\ufeff")
    if response.status in {200, 400, 403, 429} and is_quota(words):
        # Just after midnight it may be the quota of the day before: clocks differ, and waiting would lose a day.
        since_s = now_s % DAY_S
        again_s = DAY_S - since_s if since_s > EARLY_S else EARLY_S
        raise ReportRefused(f"AppsFlyer's quota of calls for {report} is used up for today.", again_s, quota=True)
    if response.status in {200, 400} and "lookback" in words.lower():
        raise ReportRefused(f"AppsFlyer has {report} of the last 90 days only: ask for later days.")
    if response.status == 400:
        raise ReportRefused(f"AppsFlyer does not take the request for {report}: {words[:200]}")
    if response.status == 200:
        what = "with a web page" if words[:1] == "<" else f"with words and no rows: {words[:200]!r}"
        what = what if words else "with nothing in it"
        raise ReportRefused(f"AppsFlyer answered 200 for {report} {what}. It is asked again later.", 900.0)
    check_status(response, report)


def _has_header(body: bytes) -> bool:
    """Whether an answer begins as raw data does."""
    line = body.decode("utf-8", "replace").lstrip("\ufeff").partition("\n")[0].rstrip("\r")
    return is_raw_data(columns_of([name.strip('"') for name in line.split(",")]))
