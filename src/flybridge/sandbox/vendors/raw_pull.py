"""AppsFlyer's raw-data Pull API v5 as its specification describes it, from what happened in the sandbox's apps.

    POST /sandbox/raw/happened?app=                           what AppsFlyer knows, a push message a line
    POST /sandbox/raw/pull?quota=&rows=&lookback=&faults=html,empty
                      calls for each report and day, row limit, days that reports reach back, next answers

The order of a request: token, app, parameters, lookback, quota; then a redirect to a signed address, as the live
service answers, which takes no token beside its signature. Rows over the limit are left out without a word, and so is
today in reports that are updated daily. Errors are JSON as specified, and the quota for in-app events and unknown apps
are text and a page, as the live service answers.
With `timezone=`, the app's (`/sandbox/reports/app`), times are local, of the hour that occurs twice as well.
`faults`: `html` and `empty` are answered with 200, `503` and `429` as they are.

https://dev.appsflyer.com/hc/reference/raw_data_pull_api_tokenv2-overview (raw_data_pull_api_tokenv2.yaml of
AppsFlyer's devhub, read 2026-11-27). The redirect and the texts are those of public reports, not of the page.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from itertools import chain, islice
from typing import Final
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from msgspec import field

from flybridge.sandbox.http import SandboxAnswer, Scope, bearer_of, no_such_page, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.aggregates import ReportedApp
from flybridge.sandbox.vendors.raw_data import ADDITIONAL, NAMES, RawData, as_csv, cells, header

PATH: Final = "/api/raw-data/export/app/"
SIGNED: Final = "/sandbox/raw/file/"
OWN: Final = "/sandbox/raw/"
QUOTA: Final = 24
LOOKBACK_DAYS: Final = 90
LIMITS: Final = {"": 200_000, "200000": 200_000, "1000000": 1_000_000}

IN_APP_QUOTA: Final = (
    "You've reached your maximum number of in-app event reports that can be downloaded today for this app"
)

_CONSENT: Final = {
    "conversion_type", "campaign_type", "custom_dimension", "app_type", "att", "gdpr_applies", "ad_user_data_enabled",
    "ad_personalization_enabled",
}  # fmt: skip
_ENGAGEMENTS: Final = {f"contributor{n}_engagement_type" for n in (1, 2, 3)}
_PAGES: Final = {"store_product_page", "engagement_destination"}
LACKING: Final[Mapping[str, Collection[str]]] = {
    "organic_installs_report": _PAGES,
    "reinstalls_organic": _PAGES,
    "in_app_events_report": _ENGAGEMENTS,
    "in-app-events-retarget": _ENGAGEMENTS,
    "organic_in_app_events_report": _ENGAGEMENTS | _PAGES | {"is_lat"},
    "uninstall_events_report": _CONSENT | _ENGAGEMENTS | {"store_product_page"},
    "organic_uninstall_events_report": _CONSENT | _ENGAGEMENTS | _PAGES,
    "ad_revenue_raw": _CONSENT | _ENGAGEMENTS,
    "ad_revenue_organic_raw": _CONSENT | _ENGAGEMENTS,
    "ad-revenue-raw-retarget": _CONSENT | _ENGAGEMENTS,
}
"""The additional fields that a report does not have."""

DAILY: Final = frozenset(
    {
        "uninstall_events_report", "organic_uninstall_events_report", "ad_revenue_raw", "ad_revenue_organic_raw",
        "ad-revenue-raw-retarget", "reinstalls_organic",
    }
)  # fmt: skip
"""Reports that are updated daily: a day is there when it is over, in UTC (the hour of the update is *unverified*). Of
organic reinstalls one page says so, and another that they are in real time.
"""
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "category": ("", "standard", "facebook", "twitter"), "currency": ("", "preferred", "USD"),
}  # fmt: skip
"""Parameters that have certain values. That others are refused, and in which words, is *unverified*."""

_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?: (\d{2}:\d{2})(:\d{2})?)?")
_FIELDS: Final = frozenset(field for field, _, _ in ADDITIONAL)


class RawPull(VendorApi, kw_only=True):
    """The API for every app. `quota` is calls for each report and day; `rows` bounds a report, 0: as documented."""

    below = (PATH, OWN)
    max_bytes = 512 * 2**20

    data: RawData
    apps: Mapping[str, ReportedApp]
    quota: int = QUOTA
    rows: int = 0
    lookback_days: int = LOOKBACK_DAYS
    calls: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    scripted: deque[str] = field(default_factory=deque)
    _files: dict[str, bytes] = field(default_factory=dict)

    def own_page(self, scope: Scope, body: bytes) -> SandboxAnswer:
        """Take what happened and how to answer, or return the file of a report."""
        if scope["path"].startswith(SIGNED):
            return self._file(scope)
        given = query_of(scope)
        match scope["method"], scope["path"].removeprefix(OWN):
            case "POST", "happened" if given.get("app"):
                return SandboxAnswer(200, {"new": self.data.add(given["app"], body.splitlines())})
            case "POST", "pull":
                self.quota = int(given.get("quota", self.quota))
                self.rows = int(given.get("rows", self.rows))
                self.lookback_days = int(given.get("lookback", self.lookback_days))
                self.scripted.extend(fault for fault in given.get("faults", "").split(",") if fault)
                return SandboxAnswer(200, {"quota": self.quota, "rows": self.rows, "faults": list(self.scripted)})
        return no_such_page(f"POST to {OWN}happened?app= or {OWN}pull.")

    def _file(self, scope: Scope) -> SandboxAnswer:
        if b"authorization" in dict(scope["headers"]):
            text = (
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header"
            )
            return SandboxAnswer(400, f"<Error><Code>InvalidArgument</Code><Message>{text}</Message></Error>")
        found = self._files.pop(scope["path"].removeprefix(SIGNED), None)
        if found is None:
            return SandboxAnswer(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        return SandboxAnswer(200, found)

    def answer(self, scope: Scope, _: bytes | None) -> SandboxAnswer:
        token = bearer_of(scope)
        if not token or token.startswith("invalid"):
            return SandboxAnswer(401, {"message": "Supplied API token is invalid"})
        if token.startswith("suspended"):
            return SandboxAnswer(401, {"message": "Account may be suspended"})
        parts = [unquote(part) for part in scope["path"].removeprefix(PATH).split("/")]
        if len(parts) != 3 or parts[1] not in NAMES or parts[2] != "v5" or parts[0].startswith("unknown"):
            page = "<!DOCTYPE html><html><body><h1>AppsFlyer 404 error message page</h1></body></html>"
            return SandboxAnswer(404, page, {"content-type": "text/html; charset=utf-8"})
        if self.scripted and (fault := self.scripted.popleft()):
            return _fault(fault)
        return self._report(parts[0], parts[1], query_of(scope))

    def _report(self, app_id: str, report: str, given: Mapping[str, str]) -> SandboxAnswer:
        zone = self._zone(app_id, given.get("timezone", ""))
        if zone is None:
            return SandboxAnswer(400, {"message": "Invalid timezone"})
        begin, end = _time(given.get("from", ""), zone), _time(given.get("to", ""), zone, last=True)
        if begin is None or end is None or end <= begin:
            return SandboxAnswer(400, {"message": "Invalid date range"})
        now = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        if begin < now - timedelta(days=self.lookback_days):
            message = f"Raw reports historical lookback is limited to {self.lookback_days} days"
            return SandboxAnswer(400, {"message": message})
        if odd := [name for name, values in OPTIONS.items() if given.get(name, "") not in values]:
            return SandboxAnswer(400, {"message": f"Invalid {odd[0]}"})
        limit = LIMITS.get(given.get("maximum_rows", ""))
        if limit is None:
            return SandboxAnswer(400, {"message": "Invalid limit type"})
        fields = [field for field in given.get("additional_fields", "").split(",") if field]
        if unknown := sorted(set(fields) - _FIELDS.difference(LACKING.get(report, ()))):
            return SandboxAnswer(400, {"message": f"Invalid additional field {unknown[0]}"})
        day = self.clock.now_ms() // 86_400_000
        if self.calls[day, app_id, report] >= self.quota:
            if "in" in report and "app" in report:
                return SandboxAnswer(400, IN_APP_QUOTA)
            return SandboxAnswer(400, {"message": "Your API call limit has been reached for the given report type"})
        self.calls[day, app_id, report] += 1
        until = min(end, now.replace(hour=0, minute=0, second=0, microsecond=0)) if report in DAILY else end
        rows = islice(self.data.rows(app_id, report, begin.timestamp(), until.timestamp()), self.rows or limit)
        content = as_csv(chain([header(fields)], (cells(row, fields, zone) for row in rows)))
        name = sha256(f"{app_id} {report} {given} {len(self._files)} {sum(self.calls.values())}".encode()).hexdigest()
        self._files[name] = b"\xef\xbb\xbf" + content
        return SandboxAnswer(
            302, "", {"location": f"{SIGNED}{name}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={name[:16]}"}
        )

    def _zone(self, app_id: str, name: str) -> tzinfo | None:
        """Return the zone of a report's times; None if it is not the app's. The hour that occurs twice is ambiguous."""
        if name in ("", "UTC"):
            return UTC
        return ZoneInfo(name) if app_id in self.apps and name == self.apps[app_id].timezone else None


def _time(text: str, zone: tzinfo, *, last: bool = False) -> datetime | None:
    """Return a time. `last`: the end of the day, minute or second that it names."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, minute, second = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day} {minute or '00:00'}{second or ':00'}").replace(tzinfo=zone)
    except ValueError:
        return None
    step = timedelta(seconds=1) if second else timedelta(minutes=1) if minute else timedelta(days=1)
    return moment + step if last else moment


def _fault(name: str) -> SandboxAnswer:
    match name:
        case "html":
            page = "<!DOCTYPE html><html><body><h1>We are doing some maintenance</h1></body></html>"
            return SandboxAnswer(200, page, {"content-type": "text/html; charset=utf-8"})
        case "empty":
            return SandboxAnswer(200, b"")
        case _:
            return SandboxAnswer(int(name), f"{name} Service Unavailable")
