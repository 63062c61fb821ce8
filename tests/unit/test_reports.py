"""AppsFlyer's reports are read as they come: with a byte order mark, unknown figures, quotas as text, or not at all."""

from __future__ import annotations

import json
from datetime import date
from functools import partial
from pathlib import PurePath
from urllib.parse import parse_qs, urlsplit

import pytest

from flybridge.appsflyer import aggregate, cost_file, master
from flybridge.appsflyer.aggregate import AggregateReport
from flybridge.appsflyer.cost_file import CostFilePlace
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused
from flybridge.delivery.exchange import HttpResponse

PARTNERS, GEO = AggregateReport.PARTNERS_BY_DATE, AggregateReport.GEO_BY_DATE
HEADER = (
    "Date,Agency/PMD (af_prt),Media Source (pid),Campaign (c),Impressions,Clicks,CTR,Installs,Conversion Rate,Sessions,"
    "Loyal Users,Loyal Users/Installs,Total Revenue,Total Cost,ROI,ARPU,Average eCPI"
)
EVENTS = ",af_purchase (Unique users),af_purchase (Event counter),af_purchase (Sales in GBP)"


def answer(body: str | bytes = "", status: int = 200) -> HttpResponse:
    return HttpResponse(status, {}, body.encode() if isinstance(body, str) else body)


def read(text: str, report: AggregateReport = PARTNERS):
    return aggregate.read(answer(text), report)


def test_a_report_is_read_by_the_names_of_its_columns():
    text = f"\ufeff{HEADER}{EVENTS}\n"
    text += '2026-10-01,None,Facebook Ads,"FB, DE",2000,100,0.05,7,0.07,31,3,0.42,12.5,20.25,-0.3,1.7,2.8,2,3,12.5\n'
    text += "2026-10-01,moburst,Organic,None,N/A,N/A,N/A,5,N/A,9,1,0.2,0,N/A,N/A,0,N/A,0,0,N/A\n"
    found = read(text)
    assert found.currency == "GBP"
    paid, organic = found.rows
    assert (paid.day, paid.media_source, paid.campaign) == (date(2026, 10, 1), "Facebook Ads", "FB, DE")
    assert (paid.impressions, paid.clicks, paid.installs) == (2000, 100, 7)
    assert (paid.revenue, paid.cost, paid.events) == (12.5, 20.25, 3)
    assert (organic.campaign, organic.cost, organic.clicks, organic.events) == ("", None, None, 0)


def test_columns_may_be_in_any_order_and_case_and_lack_what_is_not_needed():
    found = read("media source (pid),Installs,date\nunity,3.0,2026-10-02\n")
    assert (found.rows[0].installs, found.rows[0].cost, found.rows[0].events, found.currency) == (3, None, 0, "")


def test_a_report_by_country_has_countries():
    found = read("Date,Country,Media Source (pid)\n2026-10-02,DE,a\n2026-10-02,N/A,b\n", GEO)
    assert [row.country for row in found.rows] == ["DE", ""]
    with pytest.raises(ReportRefused):
        aggregate.read(answer("Date,Media Source (pid)\n"), GEO)


def test_names_may_hold_separators_of_other_systems():
    assert (
        read("Date,Media Source (pid),Campaign (c)\n2026-10-02,a,x\u2028y\x0bz\n").rows[0].campaign == "x\u2028y\x0bz"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>a proxy's page</html>",
        "Date,Media Source (pid),Installs\n2026-10-02,a\n",  # half a line
        "Date,Media Source (pid),Installs\n2026-10-02,a,3,4\n",
        "Date,Media Source (pid),Installs\n2026-10-02,a,many\n",
        "Date,Media Source (pid),Installs\n2026-10-02,a,2.5\n",
        "Date,Media Source (pid),Installs\n2026-10-02,a,1_000\n",
        "Date,Media Source (pid),Installs\n2026-10-02,a,inf\n",
        "Date,Media Source (pid),Installs\nyesterday,a,3\n",
        "Date,Media Source (pid),Installs\n2026-10-02,N/A,3\n",
        b"Date,Media Source (pid)\n2026-10-02,\xff\n",
    ],
)
def test_what_is_no_whole_report_is_not_read_at_all(text):
    with pytest.raises(ReportRefused) as found:
        aggregate.read(answer(text), PARTNERS)
    assert str(found.value).endswith(".")
    assert "a proxy's page" not in str(found.value)


@pytest.mark.parametrize(
    ("status", "body", "quota", "again"),
    [
        (403, "Limit reached for partners-daily-report", True, True),
        (400, "You've reached your maximum number of in-app event reports that can be downloaded today", True, True),
        (403, "Daily calls limit exceeded", True, True),
        (400, {"message": "Your API call limit has been reached for the given report type"}, True, True),
        (429, "", True, True),
        (401, {"message": "Supplied API token is invalid"}, False, False),
        (401, {"message": "Account may be suspended"}, False, False),
        (403, "Forbidden", False, False),
        (404, "<html>Oops</html>", False, False),
        (400, {"message": "Invalid limit type "}, False, False),
        (500, "", False, True),
        (503, "[" * 5000, False, True),
    ],
)
def test_refusals_say_whether_to_wait(status, body, quota, again):
    text = body if isinstance(body, str) else json.dumps(body)
    for read in (partial(aggregate.read, report=PARTNERS), master.read):
        with pytest.raises(ReportRefused) as found:
            read(answer(text, status))
        assert (found.value.quota, found.value.again_s is not None) == (quota, again)


def test_requests_are_those_of_the_specification():
    made = aggregate.request(
        AppsFlyerAccount("id1/2", "t"), GEO, date(2026, 1, 1), date(2026, 1, 2), timezone="Europe/Paris", reattr=True
    )
    parts = urlsplit(made.url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == (
        "https://hq1.appsflyer.com/api/agg-data/export/app/id1%2F2/geo_by_date_report/v5"
    )
    assert parse_qs(parts.query) == {
        "from": ["2026-01-01"],
        "to": ["2026-01-02"],
        "timezone": ["Europe/Paris"],
        "reattr": ["true"],
    }
    assert made.headers["Authorization"] == "Bearer t"
    account = AppsFlyerAccount("a", "t", "http://x/")
    plain = aggregate.request(account, PARTNERS, date(2026, 1, 1), date(2026, 1, 1))
    assert plain.url == "http://x/api/agg-data/export/app/a/partners_by_date_report/v5?from=2026-01-01&to=2026-01-01"
    asked = parse_qs(urlsplit(master.request(account, date(2026, 1, 1), date(2026, 1, 31)).url).query)
    assert asked["groupings"] == ["app_id,install_time,pid,c,geo"]
    assert asked["kpis"] == ["impressions,clicks,installs,cost,revenue"]
    assert asked["currency"] == ["preferred"]
    assert master.freshness_request(account).url == "http://x/api/master-agg-data/lastupdate"


@pytest.mark.parametrize(("own_zone", "zone"), [(True, ["preferred"]), (False, None)])
def test_events_of_a_day_are_asked_for_in_the_zone_in_which_the_others_are(own_zone, zone):
    """The Master API's days are those of UTC unless the app's own zone is asked for."""
    made = master.activity_request(AppsFlyerAccount("a", "t"), date(2026, 1, 1), ["af_purchase"], own_zone=own_zone)
    assert parse_qs(urlsplit(made.url).query).get("timezone") == zone


def test_the_master_report_is_read_under_its_long_names():
    text = "App ID,Install Time,Media Source,Campaign,GEO,Impressions,Clicks,Installs,Cost,Revenue\n"
    text += "id1,2026-01-02,organic,None,DE,N/A,8,4,N/A,1.5\n"
    found = master.read(answer(text))
    assert isinstance(found, list)
    row = found[0]
    assert (row.day, row.media_source, row.campaign) == (date(2026, 1, 2), "organic", "")
    assert (row.country, row.clicks, row.cost) == ("DE", 8, None)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "Not found", "not part of the AppsFlyer plan"),
        (416, "Other reason", "fewer days"),
        (416, "The requested time range is in UTC only (prior to the timezone change)", "UTC only"),
        (416, "Something went wrong. Please re-try to download in a minute", "again later"),
        (416, "Wrong API Fields", "does not take the request"),
        (403, "Not authorized app-ids: x", "check the app id"),
    ],
)
def test_the_master_api_says_what_it_lacks(status, body, said):
    with pytest.raises(ReportRefused, match=said):
        master.read(answer(body, status))


def test_freshness_is_a_date():
    assert master.read_freshness(answer("2026-01-31\n")) == date(2026, 1, 31)
    with pytest.raises(ReportRefused):
        master.read_freshness(answer("<html>"))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("cost_etl/v1/dt=2026-06-22/b=4/geo/part-0.gz.parquet", (date(2026, 6, 22), 4, "geo")),
        ("home/t=cost_etl_summary/dt=2026-06-22/v=3/x.parquet", (date(2026, 6, 22), 3, "summary")),
        ("cost_etl/v1/dt=2026-06-22/b=4/geo/_SUCCESS", None),
        ("dt=2026-06-22/geo/part.parquet", None),
        ("t=cost_etl_all_cost_geo/dt=2026-06-22/v=3/x.parquet", None),
        ("t=installs/dt=2026-06-22/h=3/x.parquet", None),
    ],
)
def test_the_path_of_a_cost_file_says_when_it_was_written(path, found):
    assert cost_file.place(PurePath(path)) == (None if found is None else CostFilePlace(*found))


def cost(source: str, day: int, spent: float, country: str = "") -> cost_file.CostFileRow:
    values = {"app_id": "id1", "date": f"2026-06-{day:02d}", "media_source": source, "geo": country, "cost": spent}
    return cost_file.read_row(values)


def test_what_was_written_last_about_a_day_counts_and_countries_where_a_source_gives_them():
    def at(day: int, batch: int, report: str) -> CostFilePlace:
        return CostFilePlace(date(2026, 6, day), batch, report)

    found = cost_file.newest(
        [
            (at(20, 4, "summary"), [cost("a", 20, 1.0), cost("b", 20, 2.0), cost("gone", 20, 3.0)]),
            (at(20, 4, "geo"), [cost("a", 20, 1.0, "DE")]),
            (at(21, 1, "summary"), [cost("a", 20, 1.5), cost("b", 20, 2.5), cost("b", 21, 9.0)]),
            (at(21, 1, "geo"), [cost("a", 20, 0.5, "DE"), cost("a", 20, 1.0, "FR")]),
            (at(20, 5, "summary"), [cost("a", 19, 7.0)]),
        ]
    )
    assert sorted((row.media_source, row.day.day, row.country, row.cost) for row in found) == [
        ("a", 19, "", 7.0),
        ("a", 20, "DE", 0.5),
        ("a", 20, "FR", 1.0),
        ("b", 20, "", 2.5),
        ("b", 21, "", 9.0),
    ]


@pytest.mark.parametrize(
    ("geo", "summary", "found"),
    [
        # The versions of a report are counted for it alone: a source without countries is in the summary only.
        ((20, 3), (20, 2), [("a", "DE", 1.0), ("b", "", 2.0)]),
        ((20, 2), (20, 3), [("a", "DE", 1.0), ("b", "", 2.0)]),
        ((21, 1), (20, 4), [("a", "DE", 1.0), ("b", "", 2.0)]),
        ((20, 4), (21, 1), [("a", "", 1.5), ("b", "", 2.0)]),
        # One that is not written any more is not what was written last.
        ((20, 4), (22, 1), [("a", "", 1.5), ("b", "", 2.0)]),
        ((22, 1), (20, 4), [("a", "DE", 1.0)]),
    ],
)
def test_each_report_has_versions_of_its_own(geo, summary, found):
    places = [CostFilePlace(date(2026, 6, day), n, name) for name, (day, n) in (("geo", geo), ("summary", summary))]
    files = zip(places, ([cost("a", 20, 1.0, "DE")], [cost("a", 20, 1.5), cost("b", 20, 2.0)]), strict=True)
    rows = cost_file.newest(files)
    assert sorted((row.media_source, row.country, row.cost) for row in rows) == found


@pytest.mark.parametrize("change", [{"media_source": None}, {"date": "soon"}, {"cost": "much"}, {"cost": -1}])
def test_a_row_of_a_cost_file_that_can_not_be_read_is_named(change):
    values = {"app_id": "id1", "date": date(2026, 6, 1), "media_source": "a", "cost": 1}
    with pytest.raises(ValueError, match="A row"):
        cost_file.read_row(values | change)


def test_figures_of_the_network_stand_in_where_appsflyer_counted_none():
    row = cost_file.read_row({"date": "2026-06-01", "media_source": "a", "reported_clicks": "12", "impressions": 3})
    assert (row.clicks, row.impressions, row.cost) == (12, 3, None)


COUNTED_EVENTS = ["af_purchase", "level_2"]


@pytest.mark.parametrize(
    "header",
    [
        "Media Source,Activity Event Counter Af Purchase,Activity Event Counter Level 2",
        "activity_event_counter_level_2,Media Source,activity_event_counter_af_purchase",
        "Media Source,Purchases,Levels",
    ],
)
def test_activity_is_found_by_letters_or_in_the_order_of_asking(header):
    """How its columns are named is not documented."""
    order = [name for name in header.split(",") if name != "Media Source"]
    values = {"Media Source": "organic"} | dict(zip(order, ["7", "9"], strict=True))
    line = ",".join(values[name] for name in header.split(","))
    found = master.read_activity(answer(f"{header}\n{line}\n"), COUNTED_EVENTS)
    swapped = "level" in order[0]
    assert found == {"af_purchase": {"organic": 9 if swapped else 7}, "level_2": {"organic": 7 if swapped else 9}}


@pytest.mark.parametrize("text", ["Media Source,Purchases\norganic,1\n", "Source,A,B\n", "<html>", ""])
def test_activity_without_a_column_for_each_event_is_none(text):
    with pytest.raises(ReportRefused):
        master.read_activity(answer(text), COUNTED_EVENTS)


def test_an_event_that_appsflyer_can_not_count_is_not_known():
    found = master.read_activity(answer("Media Source,A,B\norganic,N/A,3\n"), COUNTED_EVENTS)
    assert found == {"af_purchase": {"organic": None}, "level_2": {"organic": 3}}


def test_only_names_of_letters_and_digits_can_be_asked_for():
    """The specification says so; others would fail the whole call."""
    assert [name for name in ("af_purchase", "my event", "käufe", "a-b", "") if master.is_countable(name)] == [
        "af_purchase"
    ]
