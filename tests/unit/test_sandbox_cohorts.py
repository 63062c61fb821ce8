"""The sandbox's Cohort API counts what the traffic's truth says, and refuses what AppsFlyer refuses."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from flybridge.appsflyer.cohort_report import CohortKpi, read, request
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors.aggregates import PER_USD, ReportedApp
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside

APP = "com.example.shop"
DAY_MS = 86_400_000
OPTIONS = TrafficOptions(span_ms=6 * DAY_MS, restricted=0.2, comes_back=0.5)
FACTS = [
    message.reported
    for message in generate(8, 1_200, [TrafficApp("shop", "android", APP)], OPTIONS)
    if message.reported is not None
]
TODAY = date(2026, 6, 1)
NOW_MS = START_MS + (TODAY - date(2026, 1, 1)).days * DAY_MS + 1000
FIRST, LAST = date(2025, 12, 31), date(2026, 1, 9)
ASKED = {
    "cohort_type": "user_acquisition", "from": f"{FIRST}", "to": f"{LAST}", "groupings": ["date", "pid"],
    "kpis": ["revenue"], "aggregation_type": "cumulative",
}  # fmt: skip


def sandbox() -> Inside:
    made = Sandbox(JumpingClock(NOW_MS))
    made.reports.learn(FACTS)
    made.reports.apps[APP] = ReportedApp("Asia/Tokyo", "JPY")
    return Inside(made)


async def asked(
    inside: Inside, *, token: str = "token", query: str = "", app: str = APP, **changed: Any
) -> HttpResponse:
    body = {name: value for name, value in (ASKED | changed).items() if value is not None}
    url = f"http://sandbox/api/cohorts/v1/data/app/{app}{query}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return await inside.send(HttpRequest("POST", url, headers, msgspec.json.encode(body)))


async def rows(inside: Inside, **changed: Any) -> list[dict[str, str]]:
    answer = await asked(inside, **changed)
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode())))


def day_in(zone: str, ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()


@pytest.mark.parametrize(("preferred", "zone", "rate"), [(False, "UTC", 1.0), (True, "Asia/Tokyo", PER_USD["JPY"])])
async def test_revenue_adds_up_by_day_of_install_and_source(preferred, zone, rate):
    """In dollars and UTC unless the app's own are preferred; counted anew from single facts."""
    users, revenue = defaultdict[tuple[str, str], int](int), defaultdict[tuple[str, str, int], float](float)
    for fact in FACTS:
        of = f"{day_in(zone, fact.install_ms)}", fact.media_source
        users[of] += fact.kind == "install"
        if fact.kind == "in-app" and not fact.retargeting:
            after = (day_in(zone, fact.time_ms) - day_in(zone, fact.install_ms)).days
            for until in range(max(0, after), 31):
                revenue[(*of, until)] += fact.revenue_usd * rate
    found = await rows(sandbox(), preferred_currency=preferred, preferred_timezone=preferred)
    assert {(row["date"], row["pid"]): int(row["users"]) for row in found} == {of: n for of, n in users.items() if n}
    assert sum(users.values()) > 100
    for row in found:
        for until in (0, 1, 7, 30):
            true = revenue[row["date"], row["pid"], until]
            assert float(row[f"revenue_sum_day_{until}"]) == pytest.approx(true, abs=0.001)
    assert sum(float(row["revenue_sum_day_30"]) for row in found) > 100


async def test_sessions_are_those_of_a_day():
    """Whoever was there on the day of the install is all of them; fewer come back."""
    (whole,) = await rows(sandbox(), kpis=["sessions"], aggregation_type="on_day", groupings=["cohort_type"])
    users, first, second = (int(whole[name]) for name in ("users", "sessions_unique_users_day_0",
                                                          "sessions_unique_users_day_1"))  # fmt: skip
    assert users == sum(fact.kind == "install" for fact in FACTS)
    assert users <= first
    assert 0 < second < first
    assert float(whole["sessions_conversion_rate_day_1"]) == pytest.approx(second / users, abs=0.0001)


async def test_only_complete_days_are_there_unless_partial_ones_are_asked_for():
    """The last day for all is today minus the last day of installs."""
    inside = sandbox()
    days = dict.fromkeys(("from", "to"), f"{date(2026, 5, 30)}") | {"from": f"{date(2026, 5, 20)}"}
    header = (await asked(inside, **days)).body.decode().splitlines()[0].split(",")
    assert header[:5] == ["date", "pid", "users", "cost", "ecpi"]
    assert [name for name in header if name.startswith("revenue_sum")] == ["revenue_sum_day_0", "revenue_sum_day_1"]
    header = (await asked(inside, **days, partial_data=True)).body.decode().splitlines()[0].split(",")
    assert [name for name in header if name.startswith("revenue_sum")][-1] == "revenue_sum_day_11"
    header = (await asked(inside, filters={"period": [0, 7, 30]})).body.decode().splitlines()[0].split(",")
    assert [name for name in header if name.startswith("revenue_sum")] == [f"revenue_sum_day_{n}" for n in (0, 7, 30)]


async def test_filters_sizes_and_kpis():
    inside = sandbox()
    every = await rows(inside, groupings=["pid"])
    named = sorted(every, key=lambda row: -int(row["users"]))[0]
    assert await rows(inside, groupings=["pid"], filters={"pid": [named["pid"]]}) == [named]
    least = int(named["users"])
    assert {row["pid"] for row in await rows(inside, groupings=["pid"], min_cohort_size=least)} == {
        row["pid"] for row in every if int(row["users"]) >= least
    }
    (event,) = await rows(inside, groupings=["cohort_type"], kpis=["af_purchase"])
    purchases = [
        one for one in FACTS
        if one.event_name == "af_purchase" and not one.retargeting and day_in("UTC", one.install_ms) <= LAST
    ]  # fmt: skip
    assert int(event["af_purchase_count_day_142"]) == len(purchases)
    assert int(event["af_purchase_unique_users_day_142"]) == len({one.installation for one in purchases})
    (roas,) = await rows(inside, groupings=["cohort_type"], kpis=["roas"])
    assert float(roas["roas_rate_day_30"]) > 0
    (each,) = await rows(inside, groupings=["cohort_type"], per_user=True)
    (whole,) = await rows(inside, groupings=["cohort_type"])
    assert float(each["revenue_sum_day_7"]) == pytest.approx(
        float(whole["revenue_sum_day_7"]) / int(whole["users"]), abs=0.001
    )


async def test_unified_cohorts_count_each_event_once():
    """Where it is primary: not the copy for the source of the install, too."""
    inside, counts = sandbox(), {}
    for kind in ("user_acquisition", "retargeting", "unified"):
        found = await rows(inside, cohort_type=kind, groupings=["pid"], kpis=["screen_opened"])
        counts[kind] = sum(int(row["screen_opened_count_day_100"]) for row in found)
    copies = sum(one.event_name == "screen_opened" and one.secondary for one in FACTS)
    assert copies > 0
    assert counts["unified"] == counts["user_acquisition"] + counts["retargeting"] - copies


async def test_json_has_the_query_and_the_results():
    answer = await asked(sandbox(), query="?format=json", groupings=["pid"])
    found = msgspec.json.decode(answer.body)
    assert found["query"]["kpis"] == ["revenue"]
    assert found["results"][0].keys() >= {"pid", "users", "cost", "ecpi", "revenue_sum_day_0"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"granularity": "days"}, "Invalid value: days for key: granularity. Expected one of: day"),
        ({"cohort_type": "event"}, "for key: cohort_type. Expected one of: user_acquisition, retargeting, unified"),
        ({"aggregation_type": None}, "Missing required key: aggregation_type"),
        ({"groupings": ["media_source"]}, "Invalid value: media_source for key: groupings"),
        ({"groupings": []}, "groupings"),
        ({"groupings": "pid"}, "groupings"),
        ({"kpis": ["cost", "revenue"]}, "kpis"),
        ({"from": "2024-01-01"}, "Invalid date range"),
        ({"to": "2025-12-30"}, "Invalid date range"),
        ({"partial_data": True, "aggregation_type": "on_day"}, "Partial data is only allowed"),
        ({"preferred_timezone": "UTC"}, "preferred_timezone"),
        ({"filters": {"pid": "organic"}}, "filters"),
        ({"filters": {"period": [181]}}, "period"),
        ({"filters": {"media_source": ["organic"]}}, "Invalid filter: media_source"),
        ({"filters": {"attributed_touch_type": ["tap"]}}, "Invalid filter: attributed_touch_type"),
        ({"min_cohort_size": 0}, "Invalid value: 0 for key: min_cohort_size"),
        ({"min_cohort_size": "1"}, "min_cohort_size"),
        ({"minimum_cohort_size": 1}, "Invalid key: minimum_cohort_size"),
        ({"from": "2026-01-01T00:00:00Z"}, "Invalid date range"),
    ],
)
async def test_a_question_that_is_none_is_refused(changed, said):
    answer = await asked(sandbox(), **changed)
    told = msgspec.json.decode(answer.body)
    assert (answer.status, told["expose"]) == (422, False)
    assert said in told["error"]


@pytest.mark.parametrize("given", [{"token": "invalid"}, {"token": "nocohorts"}, {"app": "unknown"}])
async def test_who_may_not_ask_is_told_so(given):
    answer = await asked(sandbox(), **given)
    assert (answer.status, answer.body) == (401, b'"Authentication error"')


async def test_sixty_calls_a_minute_are_answered():
    inside = sandbox()
    other = "com.example.other"  # nothing is known of it, so that answers are quick
    assert {(await asked(inside, app=other)).status for _ in range(60)} == {200}
    assert (await asked(inside)).status == 429
    assert (await asked(inside, token="of another account")).status == 200


async def test_the_client_reads_what_is_answered():
    """By media source: how many installs, and the figure by day."""
    inside, day = sandbox(), date(2026, 1, 3)
    for kpi in CohortKpi:
        made = request(AppsFlyerAccount(APP, "token", "http://sandbox"), kpi, day, own_zone=True)
        found = read(await inside.send(made), kpi)
        true = {fact.media_source for fact in FACTS
                if fact.kind == "install" and day_in("Asia/Tokyo", fact.install_ms) == day}  # fmt: skip
        assert set(found) == true
        assert all(max(one.values) == (TODAY - day).days - 1 for one in found.values())


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'"Authentication error"', "check api_token"),
        (422, b'{"error": "?", "expose": false}', "check appsflyer_app_id"),
        (429, b'"Rate limit exceeded"', "quota"),
        (500, b"", "asked again later"),
        (200, b"<html>", "not a report with the column"),
        (200, b"pid,users,revenue_count_day_0\norganic,3,1\n", "no column of revenue by day"),
        (200, b"pid,users,revenue_sum_day_0\n,3,1\n", "names no media source"),
        (200, b"pid,users,revenue_sum_day_0\norganic,3,many\n", "no number"),
    ],
)
def test_an_answer_without_cohorts_says_why(status, body, said):
    with pytest.raises(ReportRefused, match=said):
        read(HttpResponse(status, {}, body), CohortKpi.REVENUE)


def test_days_that_are_not_known_are_left_out():
    body = b"pid,users,cost,revenue_sum_day_0,revenue_sum_day_1\nTikTok,3,N/A,1.5,N/A\n"
    (one,) = read(HttpResponse(200, {}, body), CohortKpi.REVENUE).items()
    assert (one[0], one[1].users, dict(one[1].values)) == ("TikTok", 3, {0: 1.5})
