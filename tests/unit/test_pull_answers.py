"""What AppsFlyer answers instead of a report: as text, JSON or a web page, and with any status."""

from __future__ import annotations

import gzip
import json
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from flybridge.appsflyer.raw_pull import DAY_S, PulledReport, PullWindow, check_pulled, pull_request
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused
from flybridge.delivery.exchange import HttpResponse
from flybridge.history.pull import HistoryPull, PullPlan
from flybridge.records import clock_time
from flybridge.sandbox.vendors.raw_data import RawData, as_csv, header
from flybridge.sandbox.vendors.raw_pull import LACKING, RawPull
from flybridge.testing.clocks import ManualClock

NOON_S = 20_000 * DAY_S + DAY_S // 2
LIMIT = "Your API call limit has been reached for the given report type"
MOST = (
    "You've reached your maximum number of in-app event reports that can be downloaded today for this app. "
    "Contact your CSM, or try again tomorrow."
)


def refused(status: int, body: str, now_s: int = NOON_S):
    """Return why an answer is no report; None if it may be one."""
    try:
        check_pulled(HttpResponse(status, {}, body.encode()), "installs_report", now_s)
    except ReportRefused as refusal:
        return refusal
    return None


@pytest.mark.parametrize("status", [200, 400, 403, 429])
@pytest.mark.parametrize("words", [LIMIT, MOST, "Limit reached for installs-report", "Daily calls limit exceeded"])
@pytest.mark.parametrize("form", [str, lambda text: json.dumps({"error": text}), lambda text: f"<p>{text}</p>"])
def test_a_quota_that_is_used_up_is_known_in_every_form(status, words, form):
    """It is new after 00:00 UTC."""
    found = refused(status, form(words))
    assert found.quota
    assert found.again_s == DAY_S // 2


@pytest.mark.parametrize(("since_s", "again_s"), [(0, 900), (30, 900), (900, 900), (901, DAY_S - 901), (-10, 10)])
def test_a_quota_that_is_used_up_just_after_midnight_may_be_that_of_the_day_before(since_s, again_s):
    """By AppsFlyer's clock, or because it is renewed a little later."""
    found = refused(400, LIMIT, 20_000 * DAY_S + since_s)
    assert (found.quota, found.again_s) == (True, again_s)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("", "nothing in it"),
        (" \r\n", "nothing in it"),
        ("<!DOCTYPE html><html>Sign in</html>", "web page"),
        ("\ufeff<html>", "web page"),
        ('{"status":"error","message":"Try again, later"}', "'Try again, later'"),
        ("Internal error, please retry", "'Internal error, please retry'"),
        ("null", "'null'"),
        ("[]", "'[]'"),
        ("a,b,c\n1,2,3\n", "'a,b,c"),
    ],
)
def test_what_is_no_report_is_asked_for_again_later_also_with_status_200(body, word):
    """And its words are shown."""
    found = refused(200, body)
    assert word in str(found)
    assert "again later" in str(found)
    assert found.again_s == 900.0
    assert not found.quota


@pytest.mark.parametrize("more", [(), ("custom_data", "blocked_reason")])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_report_is_one_with_its_header_alone_and_whatever_its_rows_say(more, mark, quoted):
    """A campaign may be called as an error is."""
    names = header(list(more))
    assert refused(200, mark + as_csv([names], quoted=quoted).decode()) is None
    assert refused(200, mark + as_csv([names, [LIMIT] * len(names)], quoted=quoted).decode()) is None


@pytest.mark.parametrize(("status", "again"), [(401, None), (404, None), (500, 900.0), (503, 900.0)])
def test_other_answers_are_what_they_are_for_every_report(status, again):
    """A wrong token is not asked with again; a fault of AppsFlyer is."""
    assert refused(status, "no").again_s == again


class Answers:
    """Answers a download with a status and a body."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {"content-length": str(len(body)), "content-encoding": "gzip"}

    @asynccontextmanager
    async def open(self, request, *, public=False):
        """Answer any request."""
        yield self

    async def pieces(self):
        """Yield the body in two pieces."""
        yield self.body[:7]
        yield self.body[7:]


PULLED = as_csv([header([]), ["x"] * len(header([]))])


@pytest.mark.parametrize(
    ("answer", "rows", "word"),
    [
        ((200, PULLED), 1, ""),
        ((200, gzip.compress(PULLED)), 1, ""),
        ((200, gzip.compress(PULLED[:300]) + gzip.compress(PULLED[300:])), 1, ""),
        ((200, gzip.compress(PULLED)[:-9]), 0, "broke off"),
        ((200, gzip.compress(b"<html>")), 0, "web page"),
        ((403, gzip.compress(LIMIT.encode())), 0, "quota"),
        ((401, gzip.compress(b"no")), 0, "token"),
    ],
)
async def test_an_answer_that_is_compressed_all_the_same_is_read(store, tmp_path, answer, rows, word):
    """The store behind a signed address has files as they were put there, whatever is asked for."""
    read = list[bytes]()

    async def kept(_, file):
        with file.opened() as stored:
            read.append(stored.read())
        return 1, 1

    plan = PullPlan(
        "shop", AppsFlyerAccount("com.example.shop", "token", "http://vendor.test"), (PulledReport.INSTALLS,)
    )
    puller = HistoryPull(plan, store, Answers(*answer), tmp_path, ManualClock(NOON_S * 1000))
    (done,) = await puller.run((NOON_S - 60) * 1000, NOON_S * 1000, kept)
    assert (done.rows, read, word in done.problem) == (rows, [PULLED] * rows, True)


@pytest.mark.parametrize("report", list(PulledReport))
def test_the_sandbox_takes_the_fields_of_a_report_and_of_no_other(report):
    """As its specification lists them: one too many would fail each call."""
    account = AppsFlyerAccount("com.example.shop", "token", "http://vendor.test")
    asked = urlsplit(pull_request(account, report, PullWindow(NOON_S - 60, NOON_S)).url)
    api = RawPull(clock=ManualClock(NOON_S * 1000), data=RawData(), apps={})

    def status(more: str) -> int:
        query = f"{asked.query}{more}".encode()
        headers = [(b"authorization", b"Bearer token")]
        return api.answer({"method": "GET", "path": asked.path, "query_string": query, "headers": headers}, b"").status

    assert status("") == 302
    lacking = LACKING.get(report.value, ())
    assert [status(f",{field}") for field in (*lacking, "installs")] == [400] * (len(lacking) + 1)


@pytest.mark.parametrize(
    ("event", "report", "today"),
    [
        ("install", PulledReport.INSTALLS, True),
        ("purchase", PulledReport.EVENTS, True),
        ("uninstall", PulledReport.UNINSTALLS, False),
        ("af_ad_revenue", PulledReport.AD_REVENUE, False),
        ("reinstall", PulledReport.REINSTALLS, True),
        ("reinstall", PulledReport.ORGANIC_REINSTALLS, False),
    ],
)
def test_the_sandbox_has_today_only_in_reports_that_are_not_updated_daily(event, report, today):
    """What is left out of a report today is in that of tomorrow, and nothing says so."""
    clock, data = ManualClock(NOON_S * 1000), RawData()
    at = clock_time((NOON_S - 60) * 1000)
    source = "organic" if report is PulledReport.ORGANIC_REINSTALLS else "x_int"
    message = {"event_name": event, "event_time": at, "install_time": at, "media_source": source}
    assert data.add("com.example.shop", [json.dumps(message).encode()]) == 1
    api = RawPull(clock=clock, data=data, apps={})
    account = AppsFlyerAccount("com.example.shop", "token", "http://vendor.test")

    def rows() -> int:
        asked = urlsplit(pull_request(account, report, PullWindow(NOON_S - 3600, NOON_S)).url)
        headers = [(b"authorization", b"Bearer token")]
        scope = {"method": "GET", "path": asked.path, "query_string": asked.query.encode(), "headers": headers}
        signed = urlsplit(api.answer(scope, b"").headers["location"]).path
        file = api.own_page({"method": "GET", "path": signed, "query_string": b"", "headers": []}, b"").content
        return len(file.splitlines()) - 1

    assert rows() == today
    clock.advance(24 * 3600)
    assert rows() == 1
