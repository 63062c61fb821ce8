"""Costs are pulled from reports and Cost ETL files, replaced by corrections, and kept where a pull fails."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice, pairwise
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from typer.testing import CliRunner

from flybridge.appsflyer import aggregate
from flybridge.appsflyer.aggregate import AggregateRow
from flybridge.appsflyer.report import AppsFlyerAccount, ReportRefused
from flybridge.cli.app import app
from flybridge.config.apps import AppInsight
from flybridge.config.settings import loads
from flybridge.errors import ConfigError, FlybridgeError, TransportError
from flybridge.insight.reported_costs import costs_of_aggregates, runs_of_days
from flybridge.operations.cost_files import read_cost_files
from flybridge.operations.cost_schedule import cost_tasks
from flybridge.operations.pull_costs import CostPlan, cost_plans_of, pull, standing
from flybridge.operations.schedule import keep_running
from flybridge.parquet import ParquetWriter
from flybridge.records import DAY_MS, HOUR_MS, MICRO
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.reported import SPENDING, idle_days
from flybridge.sandbox.traffic.traffic import START_MS, TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors.cost_etl import COLUMNS
from flybridge.store.job_runs import MOST, JobRun, note_run, read_runs
from flybridge.store.performance import CostRow, Slice, date_of, day_number
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.inside import Inside

APP = "com.example.shop"
FACTS = [
    message.reported
    for message in generate(3, 2_000, [TrafficApp("shop", "android", APP)], TrafficOptions(span_ms=20 * DAY_MS))
    if message.reported is not None
]
FACTS += idle_days(FACTS)
LAST = day_number(date(2026, 3, 1))
FIRST = LAST - 89
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
appsflyer.push_token = "push-token"
appsflyer.base_url = "{origin}"
amplitude.api_key = "key"
{more}
"""


def plan(origin: str = "aggregate", *, token: str = "token", zone: str = "UTC", **more) -> CostPlan:
    insight = AppInsight(timezone=zone, currency="USD", **more)
    return CostPlan("shop", origin, insight, AppsFlyerAccount(APP, token, "http://sandbox"), 8 * HOUR_MS)


def playing(now_ms: int = START_MS + 60 * DAY_MS) -> tuple[Sandbox, Inside]:
    sandbox = Sandbox(FastClock(start_ms=now_ms))
    sandbox.reports.learn(FACTS)
    return sandbox, Inside(sandbox)


async def spent(store: SqliteStore, *by: str) -> dict[tuple[object, ...], int | None]:
    question = Slice(0, 30_000, 30_000, frozenset({"media_source", *by}))
    return {
        tuple(getattr(row.labels, name) for name in ("media_source", *by)): row.spend
        for row in await store.costs(question)
    }


def true_spend() -> Counter[str]:
    """What each source cost, by what was made."""
    found: Counter[str] = Counter()
    for fact in FACTS:
        if fact.kind in {"install", SPENDING} and fact.cost_usd is not None:
            found[fact.media_source] += round(fact.cost_usd * MICRO)
    return found


def row(source: str, country: str = "", cost: float | None = None, clicks: int | None = None) -> AggregateRow:
    return AggregateRow(date(2026, 1, 1), source, "c", country, None, clicks, cost, 1, 0.0, 0)


def test_what_has_no_country_is_kept_without_one():
    day = day_number(date(2026, 1, 1))
    found = costs_of_aggregates(
        "shop",
        "EUR",
        [row("a", cost=10.0, clicks=50), row("b", cost=3.0), row("Organic"), row("c", cost=1.0, clicks=5)],
        [row("a", "DE", 4.0, 20), row("a", "FR", 2.5, 30), row("c", "DE", 1.004, 7)],
    )
    assert sorted(found, key=lambda one: (one.media_source, one.country)) == [
        CostRow("shop", day, "a", "c", "", "EUR", 3_500_000, None, None),
        CostRow("shop", day, "a", "c", "DE", "EUR", 4_000_000, 20, None),
        CostRow("shop", day, "a", "c", "FR", "EUR", 2_500_000, 30, None),
        CostRow("shop", day, "b", "c", "", "EUR", 3_000_000, None, None),
        CostRow("shop", day, "c", "c", "DE", "EUR", 1_004_000, 7, None),
    ]


def test_days_without_gaps_are_one_run():
    assert runs_of_days([5, 3, 4, 9, 5, 11, 10]) == [(3, 5), (9, 11)]


@pytest.mark.parametrize("origin", ["aggregate", "master"])
async def test_a_pull_brings_what_campaigns_cost(store, origin):
    _, inside = playing()
    done = await pull(plan(origin), store, inside, first=FIRST, last=LAST, now_ms=1)
    found, true = await spent(store), true_spend()
    assert done.rows > 100
    for source, cost in true.items():
        # Networks correct some days by a few per cent.
        assert cost * 0.95 < (found[source,] or 0) < cost * 1.05, source
    assert ("organic",) not in found
    countries = await spent(store, "country")
    assert {key[1] for key in countries if key[0] == "googleadwords_int"} >= {"DE", "US"}
    assert sum(value or 0 for value in countries.values()) == sum(value or 0 for value in found.values())


@pytest.mark.parametrize("days", [89, 90, 91, 92, 130, 181, 271])
async def test_any_number_of_days_is_pulled_again_at_once(store, days):
    """A rest of a day or two would be a second short range within a minute, which AppsFlyer refuses."""
    sandbox, download = playing()
    asked = []
    download.after = lambda request: asked.append(parse_qs(urlsplit(request.url).query))
    for _ in range(2):
        await pull(plan(), store, download, first=LAST - days + 1, last=LAST, now_ms=sandbox.clock.now_ms())
    spans = [tuple(date.fromisoformat(one[name][0]) for name in ("from", "to")) for one in asked]
    pieces = spans[: len(spans) // 4]  # of two pulls, with two reports each
    assert pieces[0][0] == date_of(LAST - days + 1)
    assert pieces[-1][1] == date_of(LAST)
    assert all(after[0] - before[1] == timedelta(days=1) for before, after in pairwise(pieces))
    assert all((last - first).days < 90 for first, last in pieces)


async def test_a_master_report_that_is_too_large_is_pulled_in_halves(store):
    """AppsFlyer refuses more than 200,000 rows. A day of them can't be halved."""
    sandbox, inside = playing()
    await pull(plan("master"), store, inside, first=FIRST, last=LAST, now_ms=1)
    whole = await spent(store, "day", "campaign", "country")
    asked = []
    inside.after = lambda request: asked.append(request.url)
    sandbox.reports.most_rows = 100
    await pull(plan("master"), store, inside, first=FIRST, last=LAST, now_ms=2)
    assert await spent(store, "day", "campaign", "country") == whole
    assert len(asked) > 6
    sandbox.reports.most_rows = 3
    with pytest.raises(ReportRefused, match="fewer days"):
        await pull(plan("master"), store, inside, first=FIRST, last=LAST, now_ms=3)
    assert await spent(store, "day", "campaign", "country") == whole


class Cutting:
    """Has so many rows more in a report that AppsFlyer leaves out the rest, unless it is of few days."""

    def __init__(self, inside: Inside, days: int) -> None:
        self._inside, self._days, self.spans = inside, days, list[int]()

    @asynccontextmanager
    async def open(self, request, **more):
        query = parse_qs(urlsplit(request.url).query)
        first, last = (date.fromisoformat(query[name][0]) for name in ("from", "to"))
        days = (last - first).days + 1
        self.spans.append(days)
        async with self._inside.open(request, **more) as answer:
            body = b"".join([piece async for piece in answer.pieces()])
        if days > self._days:
            header, *lines = body.splitlines(keepends=True)
            body = header + b"".join(islice(cycle(lines), aggregate.MOST_ROWS))

        async def pieces():
            yield body

        yield SimpleNamespace(status=answer.status, headers=answer.headers, pieces=pieces)


async def test_an_aggregate_report_that_may_be_cut_is_pulled_in_halves(store):
    """AppsFlyer returns up to 200,000 rows, and leaves out the rest without a word."""
    _, inside = playing()
    await pull(plan(), store, inside, first=FIRST, last=LAST, now_ms=1)
    whole = await spent(store, "day", "campaign", "country")
    cutting = Cutting(inside, 50)
    await pull(plan(), store, cutting, first=FIRST, last=LAST, now_ms=2)
    assert cutting.spans == [90, 45, 45] * 2
    assert await spent(store, "day", "campaign", "country") == whole


async def test_corrections_replace_what_was_known(store):
    sandbox, inside = playing(START_MS + 5 * DAY_MS)
    days = []
    for wait in (0, 20, 15, 49):
        sandbox.clock.advance(wait * 86_400)
        last = sandbox.clock.now_ms() // DAY_MS
        await pull(plan(), store, inside, first=last - 89, last=last, now_ms=1)
        rows = await store.costs(Slice(FIRST - 50, LAST + 200, 30_000, frozenset({"day", "media_source"})))
        days.append({(one.labels.day, one.labels.media_source): one.spend for one in rows})
    first_day = START_MS // DAY_MS
    of_first_days = [sum(v or 0 for (day, _), v in one.items() if day < first_day + 5) for one in days]
    assert len(set(of_first_days)) == 4, "each correction changes the sum"
    assert of_first_days[0] < of_first_days[1]


@pytest.mark.parametrize(
    ("token", "app_id", "zone"), [("invalid", APP, "UTC"), ("token", "unknown", "UTC"), ("token", APP, "Asia/Tokyo")]
)
async def test_a_refused_report_leaves_what_was_known(store, token, app_id, zone):
    _, inside = playing()
    await pull(plan(), store, inside, first=FIRST, last=LAST, now_ms=1)
    before = await spent(store, "day", "campaign", "country")
    account = AppsFlyerAccount(app_id, token, "http://sandbox")
    refused = msgspec.structs.replace(plan(zone=zone), account=account)
    with pytest.raises(ReportRefused) as problem:
        await pull(refused, store, inside, first=FIRST, last=LAST, now_ms=2)
    assert str(problem.value).endswith(".")
    assert await spent(store, "day", "campaign", "country") == before


async def test_an_empty_report_leaves_what_was_known(store):
    sandbox, inside = playing()
    await pull(plan(), store, inside, first=FIRST, last=LAST, now_ms=1)
    before = await spent(store)
    sandbox.reports.facts.clear()
    with pytest.raises(ReportRefused, match="no rows"):
        await pull(plan(), store, inside, first=FIRST, last=LAST, now_ms=2)
    assert await spent(store) == before


async def test_a_plan_without_master_api_is_told_so(store):
    _, inside = playing()
    with pytest.raises(ReportRefused, match="not part of the AppsFlyer plan"):
        await pull(plan("master", token="nomaster"), store, inside, first=FIRST, last=LAST, now_ms=1)


async def test_days_are_those_of_the_apps_zone(store):
    sandbox, inside = playing()
    sandbox.reports.apps[APP] = msgspec.structs.replace(
        sandbox.reports.apps[APP], timezone="Asia/Tokyo", currency="JPY"
    )
    await pull(plan(zone="Asia/Tokyo"), store, inside, first=FIRST, last=LAST, now_ms=1)
    rows = await store.costs(Slice(0, 30_000, 30_000, frozenset({"day"})))
    assert {one.currency for one in rows} == {"JPY"}
    tokyo = {datetime.fromtimestamp(fact.install_ms / 1000 + 9 * 3600, UTC).date() for fact in FACTS}
    assert min(one.labels.day for one in rows) == day_number(min(tokyo))


def written(tmp_path, sandbox: Sandbox, days: int, *, batch: int = 4, whole: bool = True):
    """Write the sandbox's Cost ETL files of so many days, as they would be in a bucket."""
    now = datetime.fromtimestamp(sandbox.clock.now_ms() / 1000, UTC).date()
    for back in range(days):
        for report in ("geo", "summary"):
            path = f"cost_etl/v1/dt={now - timedelta(days=back)}/b={batch}/{report}/part-00000.gz.parquet"
            page = sandbox.reports.own_page(
                {"method": "GET", "path": f"/sandbox/reports/{path}", "query_string": b""}, b""
            )
            assert page.status == 200
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(page.content)
            if whole:
                (tmp_path / path).parent.joinpath("_SUCCESS").touch()
    return tmp_path


async def test_cost_files_agree_with_the_aggregates(store, tmp_path):
    """Sources without countries are in the summary alone."""
    sandbox, inside = playing()
    folder = written(tmp_path / "bucket", sandbox, 61)
    await pull(plan(), store, inside, first=FIRST, last=LAST, now_ms=1)
    aggregates = await spent(store, "day")
    await pull(plan("etl", cost_files=folder), store, inside, first=FIRST, last=LAST, now_ms=1)
    rows = await store.costs(Slice(0, 30_000, 30_000, frozenset({"day", "media_source"})))
    assert {one.origin for one in rows} == {"etl"}
    found = {(one.labels.media_source, one.labels.day): one.spend for one in rows}
    assert {key: value for key, value in found.items() if value is not None} == {
        key: value for key, value in aggregates.items() if value is not None
    }
    countries = await spent(store, "country")
    assert ("unityads_int", "") in countries
    assert ("unityads_int", "DE") not in countries
    assert ("googleadwords_int", "") not in countries


async def test_cost_files_of_other_apps_are_said(store, tmp_path):
    """By schedule as by hand: nothing would say why an app has no costs."""
    sandbox, inside = playing()
    folder = written(tmp_path, sandbox, 60)
    other = msgspec.structs.replace(plan("etl", cost_files=folder), account=AppsFlyerAccount("id123456789", ""))
    with pytest.raises(ReportRefused, match=f"is about {APP}: compare that with appsflyer_app_id"):
        await pull(other, store, inside, first=FIRST, last=LAST, now_ms=1)
    assert await standing(store) == []


async def test_a_batch_that_is_not_whole_is_left_out(store, tmp_path):
    sandbox, _ = playing(START_MS + 10 * DAY_MS)
    with pytest.raises(ConfigError, match="no whole batch"):
        read_cost_files(written(tmp_path / "bucket", sandbox, 1, whole=False))
    folder = written(tmp_path / "bucket", sandbox, 1, batch=1)
    assert read_cost_files(folder)


def test_a_file_that_is_no_parquet_or_has_a_bad_row_is_named(tmp_path):
    folder = tmp_path / "t=cost_etl_geo" / "dt=2026-01-01" / "v=1"
    folder.mkdir(parents=True)
    (folder / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(FlybridgeError, match="can't be read as Parquet"):
        read_cost_files(tmp_path)
    with ParquetWriter(folder / "x.parquet", COLUMNS) as file:
        file.write([[APP, "never", "a", *[None] * (len(COLUMNS) - 3)]])
    with pytest.raises(FlybridgeError, match=r"date can.t be read"):
        read_cost_files(tmp_path)


class Stops:
    """A schedule's clock, which moves on whenever it is looked at, and stops the schedule in the end."""

    def __init__(self, sandbox: Sandbox, hours: float) -> None:
        self.sandbox = sandbox
        self.end_ms = sandbox.clock.now_ms() + hours * 3_600_000
        self.stop = asyncio.Event()
        self.failed: list[FlybridgeError] = []
        self.pulled: list[int] = []

    def now_ms(self) -> int:
        self.sandbox.clock.advance(300)
        if self.sandbox.clock.now_ms() > self.end_ms:
            self.stop.set()
        return self.sandbox.clock.now_ms()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # nothing here takes so long that its lease is renewed

    async def run(self, plans, store, download, monkeypatch) -> None:
        monkeypatch.setattr("flybridge.operations.schedule.LOOK_S", 0.001)
        tasks = cost_tasks(plans, store, download, self, lambda app, origin, rows: self.pulled.append(rows))
        await keep_running(tasks, store, clock=self, stop=self.stop, failed=self.failed.append)


async def test_a_schedule_pulls_every_so_often_and_stays_within_the_quota(store, monkeypatch):
    sandbox, inside = playing()
    watched = Stops(sandbox, 49)
    await watched.run([plan()], store, inside, monkeypatch)
    assert len(watched.pulled) == 7
    assert watched.failed == []
    (one,) = await standing(store)
    assert (one.app, one.origin, one.problem) == ("shop", "aggregate", "")
    assert one.pulled_ms > 0
    runs = (await read_runs(store))["costs shop"]
    assert [run.problem for run in runs] == [""] * 7
    assert runs[0].began_ms > runs[-1].began_ms
    assert f"{watched.pulled[-1]:,} rows of costs" in runs[0].did


async def test_a_schedule_tells_of_a_refusal_and_goes_on_with_the_others(store, monkeypatch):
    sandbox, inside = playing()
    watched = Stops(sandbox, 9)
    other = msgspec.structs.replace(plan("master", token="nomaster"), app="other")
    await watched.run([other, plan()], store, inside, monkeypatch)
    assert len(watched.pulled) == 2
    assert len(watched.failed) == 2
    standings = {one.app: one for one in await standing(store)}
    assert "not part of the AppsFlyer plan" in standings["other"].problem
    assert standings["shop"].problem == ""
    assert "not part of the AppsFlyer plan" in (await read_runs(store))["costs other"][0].problem


async def test_only_the_last_runs_of_a_job_are_kept(store):
    for n in range(50):
        await note_run(store, "costs shop", JobRun(n, n + 1))
    await note_run(store, "costs shop-2", JobRun(7, 8))
    found = await read_runs(store, "costs shop")
    assert [run.began_ms for run in found["costs shop"]] == list(range(49, 49 - MOST, -1))
    assert len(found["costs shop-2"]) == 1


async def test_a_schedule_tries_again_after_an_outage(store, monkeypatch):
    sandbox, inside = playing()
    left = [3]

    def away(_) -> None:
        if left[0]:
            left[0] -= 1
            raise TransportError("sandbox: away", maybe_applied=False)

    inside.before = away
    watched = Stops(sandbox, 5)
    await watched.run([plan()], store, inside, monkeypatch)
    assert len(watched.failed) == 3
    assert len(watched.pulled) == 1


def configured(more: str, origin: str = "http://127.0.0.1:1") -> str:
    return CONFIG.format(origin=origin, more=more)


def test_a_configuration_says_where_costs_come_from(tmp_path):
    with pytest.raises(ConfigError, match="api_token"):
        loads(configured('insight.costs = "aggregate"'), tmp_path, {})
    text = configured('appsflyer.api_token = "t"\ninsight.costs = "master"\ninsight.cost_files = "bucket"')
    plans = cost_plans_of(loads(text, tmp_path, {}))
    assert (plans[0].origin, plans[0].account.api_token) == ("master", "t")
    assert (plans[1].origin, plans[1].insight.cost_files) == ("etl", tmp_path / "bucket")
    bare = loads(configured('appsflyer.api_token = "t"'), tmp_path, {})
    assert cost_plans_of(bare) == []
    assert [one.origin for one in cost_plans_of(bare, ask_anyway=True)] == ["aggregate"]


async def test_the_command_imports_cost_files(tmp_path):
    path = tmp_path / "flybridge.toml"
    path.write_text(configured(""))
    folder = written(tmp_path / "bucket", Sandbox(FastClock(start_ms=START_MS)), 1)
    with_facts, _ = playing()
    written(folder, with_facts, 30)
    command = ["costs", "import", "-c", str(path), str(folder), "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert result.exit_code == 0, result.output
    taken = json.loads(result.output)
    assert [one["app"] for one in taken] == ["shop"]
    assert taken[0]["rows"] > 50


async def test_a_defect_that_a_report_meets_ends_neither_the_schedule_nor_what_else_it_pulls(store, monkeypatch):
    """The console shows what happened, and nothing of what was read."""
    sandbox, inside = playing()
    watched = Stops(sandbox, 10)
    other = msgspec.structs.replace(plan("master"), app="other")

    async def broken(*_) -> None:
        raise KeyError("user@example.com")

    monkeypatch.setattr("flybridge.operations.pull_costs._from_master", broken)
    await watched.run([other, plan()], store, inside, monkeypatch)
    assert len(watched.pulled) == 2
    runs = (await read_runs(store))["costs other"]
    assert all(
        run.problem.startswith("costs other failed: a KeyError in flybridge.operations.pull_costs") for run in runs
    )
    assert "example" not in str(watched.failed) + str(runs)
