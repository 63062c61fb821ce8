"""AppsFlyer's Aggregate Pull API, Master API and Cohort API as they are specified, from the facts of the traffic.

    POST /sandbox/reports/facts                                   what AppsFlyer knows, one `Reported` a line
    POST /sandbox/reports/app?app=&timezone=&currency=&since=     an app's settings in AppsFlyer
    POST /sandbox/reports/quota?calls=                            how many long reports an app may have in a day
    GET  /sandbox/reports/cost_etl/v1/...                         see `cost_etl`

https://dev.appsflyer.com/hc/reference/partners_by_date_report-get-tokenv2 and
https://dev.appsflyer.com/hc/reference/master_api_get (aggregate_pull_api_v2.yaml, master_api.yaml and
master_lastupdate_api.yaml of AppsFlyer's devhub, read 2026-11-27). Aggregates name sources that raw data may not name,
are in the app's currency whatever `currency` says, and count the day of the install. Quotas are those of
https://support.appsflyer.com/hc/en-us/articles/207034366 (read 2026-11-27); when one is used up, the live service
answers 403 with a text, and not 400 as the specification has it: `Limit reached for partners-daily-report` (the names
of the other reports in it are *unverified*).

Not as in the real one: a token is any text; one that begins with `invalid` is unknown, with `suspended` of a suspended
account, with `nomaster` of a plan without Master API. Apps that begin with `unknown` are not the account's. The Master
API answers in CSV only and calculates nothing. That another zone than the app's is refused is not documented
(*unverified*), nor that other values of a parameter are than the page has, nor the texts of these refusals and about
dates.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import field

from flybridge.records import DAY_MS
from flybridge.sandbox.http import SandboxAnswer, Scope, bearer_of, is_zone, no_such_page, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.traffic.sources import ORGANIC
from flybridge.sandbox.vendors.aggregates import PER_USD, ReportedApp, between, cells, retargeting_cells
from flybridge.sandbox.vendors.cohort_report import CALLS_A_MINUTE, COHORTS, cohort_report
from flybridge.sandbox.vendors.cost_etl import cost_file
from flybridge.sandbox.vendors.master_report import MOST_ROWS, day_of_text, master_report
from flybridge.sandbox.vendors.rates import has_room
from flybridge.sandbox.vendors.report_csv import aggregate_csv, retargeting_csv

AGGREGATE: Final = "/api/agg-data/export/app/"
MASTER: Final = "/api/master-agg-data/"
OWN: Final = "/sandbox/reports/"
JSON: Final = {"content-type": "application/json"}

REPORTS: Final[Mapping[str, tuple[str, bool, bool]]] = {
    "partners_by_date_report": ("partners-daily-report", True, False),
    "partners_report": ("partners-report", False, False),
    "geo_by_date_report": ("geo-daily-report", True, True),
    "geo_report": ("geo-report", False, True),
}
"""By its name in the address: its name in the text about the quota, and whether it has dates and countries."""

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "category": ("", "standard", "facebook", "organic"), "attribution_touch_type": ("", "impression"),
    "currency": ("", "preferred"), "reattr": ("", "true"),
}  # fmt: skip
"""Parameters of the Aggregate Pull API that have certain values."""

SHORT_DAYS: Final = 2
MINUTE_MS: Final = 60_000
OF_APP: Final = 24
OF_ACCOUNT: Final = 120
MASTER_LAG_DAYS: Final = 2


class Reports(VendorApi):
    """These APIs for every app. `apps` are settings in AppsFlyer by app id; quotas follow the sandbox's clock.

    A report has `most_rows`: the Master API refuses more, the Aggregate Pull API leaves them out.
    """

    below = (AGGREGATE, MASTER, COHORTS, OWN)
    max_bytes = 512 * 2**20

    apps: defaultdict[str, ReportedApp] = field(default_factory=lambda: defaultdict(ReportedApp))
    facts: defaultdict[str, list[Reported]] = field(default_factory=lambda: defaultdict(list))
    most_rows: int = MOST_ROWS
    _known: set[Reported] = field(default_factory=set)
    _last_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    _of_app: Counter[tuple[int, str]] = field(default_factory=Counter)
    _of_account: Counter[tuple[int, str]] = field(default_factory=Counter)
    _cohorts_ms: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    _quota_of_app: int = OF_APP
    _quota_of_account: int = OF_ACCOUNT

    def learn(self, facts: Iterable[Reported]) -> None:
        """Take facts; those that are known count once."""
        for fact in facts:
            if fact not in self._known:
                self._known.add(fact)
                self.facts[fact.app_id].append(fact)

    def own_page(self, scope: Scope, body: bytes) -> SandboxAnswer:
        """Take facts and settings, or return a file of Cost ETL."""
        given = query_of(scope)
        match scope["method"], scope["path"].removeprefix(OWN):
            case "POST", "facts":
                try:
                    self.learn(msgspec.json.Decoder(Reported).decode_lines(body))
                except msgspec.DecodeError as problem:
                    return SandboxAnswer(
                        400, {"error": f"A line is no fact: {problem}.", "remedy": "Send Reported as JSON."}
                    )
                return SandboxAnswer(200, {"facts": len(self._known)})
            case "POST", "app" if given.get("app"):
                app = self.apps[given["app"]]
                zone, currency = given.get("timezone", app.timezone), given.get("currency", app.currency)
                since = day_of_text(given["since"]) if "since" in given else app.since
                if currency not in PER_USD or since is None or not is_zone(zone):
                    remedy = f"Name an IANA zone, a date, and one of {', '.join(PER_USD)}."
                    return SandboxAnswer(400, {"error": "A setting is unknown.", "remedy": remedy})
                self.apps[given["app"]] = ReportedApp(zone, currency, since)
                return SandboxAnswer(200, {"timezone": zone, "currency": currency})
            case "POST", "quota" if given.get("calls", "").isdecimal():
                self._quota_of_app = self._quota_of_account = int(given["calls"])
                return SandboxAnswer(200, {"calls": self._quota_of_app})
            case "GET", path if (file := cost_file(path, self.facts, self.apps)) is not None:
                return SandboxAnswer(200, file, {"content-type": "application/octet-stream"})
        return no_such_page(f"POST to {OWN}facts or {OWN}app?app=.")

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        token = bearer_of(scope)
        master = scope["path"].startswith(MASTER)
        if scope["path"].startswith(COHORTS):
            return self._cohorts(scope, body or b"", token)
        if not token or token.startswith("invalid"):
            return SandboxAnswer(401, {"message": f"{'The supplied' if master else 'Supplied'} API token is invalid"})
        if token.startswith("suspended"):
            return SandboxAnswer(401, {"message": "Account may be suspended"})
        if scope["method"] != "GET":
            return SandboxAnswer(405, {"message": "Method not allowed"})
        if master:
            return self._master(scope, token)
        return self._aggregate(scope, token)

    def _aggregate(self, scope: Scope, token: str) -> SandboxAnswer:
        parts = [unquote(part) for part in scope["path"].removeprefix(AGGREGATE).split("/")]
        if len(parts) != 3 or parts[1] not in REPORTS or parts[2] != "v5" or parts[0].startswith("unknown"):
            return _not_found()
        app_id, report = parts[0], parts[1]
        name, dated, geo = REPORTS[report]
        given, settings = query_of(scope), self.apps[app_id]
        first, last = day_of_text(given.get("from", "")), day_of_text(given.get("to", ""))
        if first is None or last is None or first > last:
            return SandboxAnswer(400, {"message": "Invalid date range"})
        zone = given.get("timezone", "")
        for parameter, values in (*OPTIONS.items(), ("timezone", ("", "UTC", settings.timezone))):
            if given.get(parameter, "") not in values:
                return SandboxAnswer(400, {"message": f"Invalid {parameter}"})
        if self._is_over_quota(token, app_id, report, (last - first).days + 1):
            return SandboxAnswer(403, f"Limit reached for {name}")
        day, sources = settings.day(own_zone=zone not in {"", "UTC"}), _sources(given)
        facts, now_ms = self.facts.get(app_id, ()), self.clock.now_ms()
        if given.get("reattr") == "true":
            by_kind = retargeting_cells(facts, day, now_ms=now_ms)
            within = {kind: between(found, first, last, sources) for kind, found in by_kind.items()}
            content = retargeting_csv(within, settings, dated=dated, geo=geo)
        else:
            found = between(cells(facts, day, now_ms=now_ms), first, last, sources)
            content = aggregate_csv(found, settings, dated=dated, geo=geo)
        # What is over the limit is left out without a word.
        return SandboxAnswer(200, BOM_UTF8 + b"".join(content.splitlines(keepends=True)[: self.most_rows + 1]))

    def _is_over_quota(self, token: str, app_id: str, report: str, days: int) -> bool:
        now_ms = self.clock.now_ms()
        if days <= SHORT_DAYS:
            last_ms = self._last_ms.get((app_id, report), -MINUTE_MS)
            if now_ms - last_ms < MINUTE_MS:
                return True
            self._last_ms[app_id, report] = now_ms
            return False
        today = now_ms // DAY_MS
        of_app, of_account = self._of_app[today, app_id], self._of_account[today, token]
        if of_app >= self._quota_of_app or of_account >= self._quota_of_account:
            return True
        self._of_app[today, app_id] += 1
        self._of_account[today, token] += 1
        return False

    def _cohorts(self, scope: Scope, body: bytes, token: str) -> SandboxAnswer:
        app_id = unquote(scope["path"].removeprefix(COHORTS))
        if not token or token.startswith(("invalid", "nocohorts")) or app_id.startswith("unknown"):
            return SandboxAnswer(401, b'"Authentication error"', JSON)
        if scope["method"] != "POST":
            return SandboxAnswer(405, {"message": "Method not allowed"})
        now_ms = self.clock.now_ms()
        if not has_room(self._cohorts_ms[token], CALLS_A_MINUTE, MINUTE_MS, now_ms):
            return SandboxAnswer(429, b'"Rate limit exceeded"', JSON)
        return cohort_report(body, query_of(scope), self.facts.get(app_id, ()), self.apps[app_id], now_ms)

    def _master(self, scope: Scope, token: str) -> SandboxAnswer:
        if token.startswith("nomaster"):
            return SandboxAnswer(404, "Not found")
        path = scope["path"].removeprefix(MASTER)
        newest = date(1970, 1, 1) + timedelta(days=self.clock.now_ms() // DAY_MS - MASTER_LAG_DAYS)
        if path == "lastupdate":
            return SandboxAnswer(200, newest.isoformat())
        if not path.startswith("v4/app/"):
            return SandboxAnswer(404, "Not found")
        named = unquote(path.removeprefix("v4/app/"))
        apps = sorted(self.facts) if named == "all" else named.split(",")
        if foreign := [app for app in apps if not app or app.startswith("unknown")]:
            return SandboxAnswer(403, f"Not authorized app-ids: {','.join(foreign)}")
        facts = {app: self.facts.get(app, []) for app in apps}
        now_ms = self.clock.now_ms()
        return master_report(facts, query_of(scope), self.apps, newest, now_ms=now_ms, most_rows=self.most_rows)


def _not_found() -> SandboxAnswer:
    page = "<!DOCTYPE html><html><head><title>404</title></head><body><h1>Oops! Page not found</h1></body></html>"
    return SandboxAnswer(404, page, {"content-type": "text/html; charset=utf-8"})


def _sources(given: Mapping[str, str]) -> tuple[str, ...]:
    if given.get("category") == "organic":
        return (ORGANIC,)
    named = given.get("media_source", "all")
    return () if named == "all" else (named,)
