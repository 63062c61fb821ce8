"""The sandbox's reports count what the traffic's truth says, and refuse what AppsFlyer refuses."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
import pytest

from flybridge.appsflyer import aggregate, master
from flybridge.appsflyer.aggregate import AggregateReport
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficOptions, generate

APP = "com.example.shop"
PARTNERS, GEO = AggregateReport.PARTNERS_BY_DATE, AggregateReport.GEO_BY_DATE
FIRST, LAST = date(2025, 12, 30), date(2026, 2, 28)
OPTIONS = TrafficOptions(span_ms=10 * 86_400_000, restricted=0.2)
FACTS = [
    message.reported
    for message in generate(5, 3_000, [TrafficApp("shop", "android", APP)], OPTIONS)
    if message.reported is not None
]


class Asking:
    """Sends requests of the client to the sandbox."""

    def __init__(self, session: aiohttp.ClientSession, origin: str, sandbox: Sandbox) -> None:
        self._session = session
        self.origin = origin
        self.sandbox = sandbox

    def account(self, app=APP, token="token") -> AppsFlyerAccount:
        return AppsFlyerAccount(app, token, self.origin)

    async def send(self, made: HttpRequest) -> HttpResponse:
        async with self._session.request(made.method, made.url, headers=made.headers, data=made.body) as response:
            return HttpResponse(response.status, {}, await response.read())

    async def post(self, path: str, body: bytes = b"") -> HttpResponse:
        return await self.send(HttpRequest("POST", f"{self.origin}{path}", {}, body))

    async def aggregate(self, report=PARTNERS, *, app=APP, token="token", first=FIRST, last=LAST, **more):
        made = aggregate.request(self.account(app, token), report, first, last, **more)
        return aggregate.read(await self.send(made), report)


@asynccontextmanager
async def asking(now_ms: int = START_MS + 200 * 86_400_000):
    sandbox = Sandbox(FastClock(start_ms=now_ms))
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        one = Asking(session, origin, sandbox)
        body = msgspec.json.Encoder().encode_lines(FACTS)
        assert (await one.post("/sandbox/reports/facts", body)).status == 200
        yield one


def installs(zone: str = "UTC") -> Counter[tuple[object, ...]]:
    days = ZoneInfo(zone)
    return Counter(
        (datetime.fromtimestamp(fact.install_ms / 1000, UTC).astimezone(days).date(), fact.media_source, fact.country)
        for fact in FACTS
        if fact.kind == "install"
    )


def named(source: str) -> str:
    return "organic" if source == "Organic" else source


async def test_installs_are_counted_by_day_source_and_country_and_are_not_restricted():
    async with asking() as one:
        found = await one.aggregate(GEO)
        counted: Counter[tuple[object, ...]] = Counter()
        for row in found.rows:
            counted[row.day, named(row.media_source), row.country] += row.installs
        assert +counted == installs()
        restricted = sum(fact.raw_source == "restricted" for fact in FACTS if fact.kind == "install")
        still = sum(row.installs for row in found.rows if row.media_source == "restricted")
        assert 0 < still < restricted / 2


async def test_the_report_by_source_is_the_sum_of_its_countries():
    async with asking() as one:
        whole, parts = (await one.aggregate(PARTNERS)).rows, (await one.aggregate(GEO)).rows
        for read in (lambda row: row.installs, lambda row: row.revenue, lambda row: row.cost, lambda row: row.clicks):
            assert sum(read(row) or 0 for row in whole) == pytest.approx(sum(read(row) or 0 for row in parts), abs=0.01)
        assert len({(row.day, row.media_source, row.campaign) for row in whole}) == len(whole)


async def test_revenue_is_booked_on_the_day_of_the_install():
    async with asking() as one:
        found = (await one.aggregate()).rows
        true: Counter[date] = Counter()
        for fact in FACTS:
            if fact.kind == "in-app" and not fact.retargeting:
                true[datetime.fromtimestamp(fact.install_ms / 1000, UTC).date()] += round(fact.revenue_usd * 100)
        booked: Counter[date] = Counter()
        for row in found:
            booked[row.day] += round(row.revenue * 100)
        assert booked == true


async def test_retargeting_is_a_report_of_its_own():
    async with asking() as one:
        found = (await one.aggregate(reattr=True)).rows
        true: Counter[tuple[object, ...]] = Counter(
            (datetime.fromtimestamp(fact.time_ms / 1000, UTC).date(), fact.kind, fact.media_source)
            for fact in FACTS
            if fact.kind in {"re-engagement", "re-attribution"}
        )
        counted: Counter[tuple[object, ...]] = Counter()
        for row in found:
            counted[row.day, row.conversion_type, row.media_source] += row.conversions
        assert +counted == true
        assert {kind for _, kind, _ in true} == {"re-engagement", "re-attribution"}
        assert {(row.cost, row.installs) for row in found} == {(None, None)}
        revenue = sum(fact.revenue_usd for fact in FACTS if fact.kind == "in-app" and fact.retargeting)
        assert sum(row.revenue for row in found) == pytest.approx(revenue, abs=0.01)


async def test_days_are_those_of_the_zone_and_amounts_of_the_currency():
    async with asking() as one:
        with pytest.raises(ReportRefused) as refused:
            await one.aggregate(GEO, timezone="Asia/Tokyo")
        assert not refused.value.quota
        await one.post(f"/sandbox/reports/app?app={APP}&timezone=Asia/Tokyo&currency=JPY")
        found = await one.aggregate(GEO, timezone="Asia/Tokyo")
        assert found.currency == "JPY"
        counted: Counter[tuple[object, ...]] = Counter()
        for row in found.rows:
            counted[row.day, named(row.media_source), row.country] += row.installs
        assert +counted == installs("Asia/Tokyo")
        usd = sum(fact.revenue_usd for fact in FACTS if fact.kind == "in-app" and not fact.retargeting)
        assert sum(row.revenue for row in found.rows) == pytest.approx(usd * 150, abs=1)


async def test_days_before_the_zone_was_chosen_are_in_utc():
    async with asking() as one:
        await one.post(f"/sandbox/reports/app?app={APP}&timezone=Asia/Tokyo&since=2026-01-06")
        days = {row.day: row.installs for row in (await one.aggregate(GEO, timezone="Asia/Tokyo")).rows}
        utc: Counter[date] = Counter()
        for (day, _, _), n in installs().items():
            utc[day] += n
        counted: Counter[date] = Counter()
        for row in (await one.aggregate(GEO, timezone="Asia/Tokyo")).rows:
            counted[row.day] += row.installs
        assert days
        assert all(counted[day] == utc[day] for day in utc if day < date(2026, 1, 6))


async def test_what_is_not_known_yet_is_not_reported_and_costs_are_corrected():
    end_ms = max(fact.learned_ms for fact in FACTS)
    middle_ms = START_MS + 5 * 86_400_000
    async with asking(middle_ms) as one:
        early = sum(row.installs for row in (await one.aggregate()).rows)
        assert early == sum(fact.kind == "install" and fact.learned_ms <= middle_ms for fact in FACTS)
        one.sandbox.clock.advance((end_ms - middle_ms) / 1000)
        costs = []
        for days in (0, 8, 30, 60):
            one.sandbox.clock.advance(days * 86_400)
            costs.append(sum(row.cost or 0 for row in (await one.aggregate()).rows))
        assert len(set(costs)) == 4


async def test_quotas_are_of_a_minute_and_of_a_day():
    async with asking() as one:
        for report in (PARTNERS, GEO):
            await one.aggregate(report, last=FIRST + timedelta(days=1))
            with pytest.raises(ReportRefused) as refused:
                await one.aggregate(report, last=FIRST)
            assert refused.value.quota
        one.sandbox.clock.advance(61)
        await one.aggregate(last=FIRST)
        for number in range(30):
            with nullcontext() if number < 24 else pytest.raises(ReportRefused):
                await one.aggregate(GEO)
        for number in range(100):
            with nullcontext() if number < 96 else pytest.raises(ReportRefused):
                await one.aggregate(app=f"other{number % 10}")
        one.sandbox.clock.advance(86_400)
        await one.aggregate(GEO)


async def test_tokens_apps_and_plans_are_checked():
    async with asking() as one:
        for said, asked in (
            ("token", {"token": "invalid"}),
            ("suspended", {"token": "suspended"}),
            ("no partners_by_date_report", {"app": "unknown"}),
        ):
            with pytest.raises(ReportRefused, match=said):
                await one.aggregate(**asked)
        for said, token, app, last in (
            ("plan", "nomaster", APP, FIRST),
            ("AppsFlyer", "token", APP, FIRST + timedelta(days=31)),
            ("app id", "t", "unknown", FIRST),
        ):
            answer = await one.send(master.request(one.account(app, token), FIRST, last))
            with pytest.raises(ReportRefused, match=said):
                master.read(answer)


async def test_activity_counts_events_on_the_day_on_which_they_happened():
    day = FIRST + timedelta(days=3)
    true: Counter[tuple[str, str]] = Counter(
        (fact.event_name, fact.media_source)
        for fact in FACTS
        if fact.kind == "in-app" and not fact.retargeting
        if datetime.fromtimestamp(fact.time_ms / 1000, UTC).date() == day and master.is_countable(fact.event_name)
    )
    events = sorted({event for event, _ in true})
    assert len(events) > 2
    async with asking() as one:
        found = master.read_activity(await one.send(master.activity_request(one.account(), day, events)), events)
        counted = {(event, named(source)): n for event, by in found.items() for source, n in by.items() if n}
        assert counted == true
        answer = await one.send(master.activity_request(one.account(APP, "nomaster"), day, events))
        with pytest.raises(ReportRefused, match="not part of the AppsFlyer plan"):
            master.read_activity(answer, events)


async def test_the_master_api_agrees_with_the_aggregates_two_days_later():
    async with asking() as one:
        parts = (await one.aggregate(GEO, last=FIRST + timedelta(days=30))).rows
        made = master.request(one.account("all"), FIRST, FIRST + timedelta(days=30))
        found = master.read(await one.send(made))
        left = Counter(
            (row.day, named(row.media_source), row.campaign, row.country, row.clicks, row.cost) for row in parts
        )
        assert left == Counter(
            (row.day, row.media_source, row.campaign, row.country, row.clicks, row.cost) for row in found
        )
        newest = master.read_freshness(await one.send(master.freshness_request(one.account())))
        now = datetime.fromtimestamp(one.sandbox.clock.now_ms() / 1000, UTC).date()
        assert newest == now - timedelta(days=2)


async def test_a_fact_that_comes_again_counts_once():
    async with asking() as one:
        before = sum(row.installs for row in (await one.aggregate()).rows)
        await one.post("/sandbox/reports/facts", msgspec.json.Encoder().encode_lines(FACTS[:50]))
        assert sum(row.installs for row in (await one.aggregate()).rows) == before
        assert (await one.post("/sandbox/reports/facts", b'{"app_id": 3}\n')).status == 400
