"""What the sandbox's reports of AppsFlyer refuse: parameters that its pages do not have."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

import pytest

from flybridge.appsflyer import aggregate, master
from flybridge.appsflyer.aggregate import AggregateReport
from flybridge.appsflyer.raw_pull import PulledReport, PullWindow, pull_request
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import HttpRequest
from flybridge.sandbox.vendors.raw_data import RawData
from flybridge.sandbox.vendors.raw_pull import RawPull
from flybridge.sandbox.vendors.reports import Reports
from flybridge.testing.clocks import ManualClock

ACCOUNT = AppsFlyerAccount("com.example.shop", "token", "http://vendor.test")
FIRST, LAST = date(2026, 10, 1), date(2026, 10, 5)
NOON_S = 1_791_201_600  # 2026-10-06 12:00


def status(request: HttpRequest, more: str) -> int:
    """Return the status of a request with these parameters more, which take the place of those before."""
    clock = ManualClock(NOON_S * 1000)
    api = Reports(clock)
    if "raw-data" in request.url:
        api = RawPull(clock, data=RawData(), apps={})
    url = urlsplit(request.url)
    headers = [(b"authorization", b"Bearer token")]
    scope = {"method": "GET", "path": url.path, "query_string": f"{url.query}{more}".encode(), "headers": headers}
    return api.answer(scope, b"").status


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", 200),
        ("&timezone=preferred&currency=USD", 200),
        ("&timezone=UTC", 416),
        ("&currency=EUR", 416),
        ("&format=json", 416),
        ("&kpis=event_counter_af_purchase", 200),
        ("&kpis=activity_event_counter_af+purchase", 416),
        ("&kpis=event_counter_", 416),
        ("&kpis=retention_day_x", 416),
        ("&groupings=media_source", 416),
    ],
)
def test_the_master_api_takes_what_its_page_has(more, expected):
    """Names of events with other signs than letters, digits and underscores are none of its figures."""
    assert status(master.request(ACCOUNT, FIRST, LAST), more) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", 200),
        ("&reattr=true&currency=preferred&category=standard", 200),
        ("&reattr=1", 400),
        ("&currency=USD", 400),
        ("&category=twitter", 400),
        ("&timezone=Europe/Paris", 400),
        ("&from=2026-10-01+00:00", 400),
    ],
)
def test_the_aggregate_api_takes_what_its_page_has(more, expected):
    assert status(aggregate.request(ACCOUNT, AggregateReport.PARTNERS_BY_DATE, FIRST, LAST), more) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [("", 302), ("&currency=USD&category=twitter", 302), ("&currency=EUR", 400), ("&category=organic", 400)],
)
def test_the_raw_data_api_takes_what_its_page_has(more, expected):
    window = PullWindow(NOON_S - 3600, NOON_S)
    assert status(pull_request(ACCOUNT, PulledReport.INSTALLS, window), more) == expected
