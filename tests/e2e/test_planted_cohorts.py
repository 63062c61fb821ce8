"""Cohorts of AppsFlyer's Cohort API against flybridge's: each planted difference is found under its cause."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import date

import pytest
from msgspec import structs
from planting import APP_ID, DAY, DAY_START_MS, NOON_MS, SCOPES, Bench, bought, fact_of, written_time
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.history.uptime import note_downtime
from flybridge.insight.causes import APPSFLYER
from flybridge.insight.cohort_comparison import REPORT, CohortComparison
from flybridge.insight.cohort_differences import asked_cohort_differences, read_cohort_differences
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.vendors.cohort_report import SESSION
from flybridge.store.performance import date_of

LATER_MS = NOON_MS + HOUR_MS


def played(who: dict, day: int) -> dict:
    """Return an in-app event of somebody so many days after the install."""
    return who | {"event_name": "play", "event_time": written_time(LATER_MS + day * DAY_MS), "event_value": "{}"}


async def both(bench: Bench, messages: list[dict], **given) -> None:
    """Let AppsFlyer count messages, and push them."""
    bench.knows(messages, **given)
    await bench.receive(messages, at_ms=bench.clock.now_ms())


async def compared(bench: Bench, day: int = DAY) -> CohortComparison:
    (plan,) = reconcile_plans_of(bench.config)
    (found,) = await CohortComparer(bench.store, bench.download, bench.clock).run(plan, [day])
    return found


def causes(found: CohortComparison, metric: str, after: str) -> dict[tuple[str, str], float]:
    """Return what each cause adds, by media source; what none explains, as `unexplained`."""
    added: Counter[tuple[str, str]] = Counter()
    for row in found.rows:
        if (row.key.kind, row.key.event) == (metric, after):
            for part in row.parts:
                added[part.code, row.key.media_source] += part.n
            added["unexplained", row.key.media_source] += row.unexplained(APPSFLYER) or 0
    return {at: n / 1_000_000 if metric == "revenue" else n for at, n in added.items() if n}


async def test_each_difference_is_given_to_its_cause(bench):
    people = {
        name: bench.people(n, name) for name, n in {"tiktokglobal_int": 6, "unityads_int": 4, "organic": 3}.items()
    }
    withheld = bench.people(3, "restricted", campaign=None)
    for some in people.values():
        await both(bench, some)
        await both(bench, [played(who, day) for who in some for day in (0, 1)])
    await both(bench, withheld, source="Facebook Ads")
    await both(bench, [bought(who, LATER_MS + DAY_MS, 5.0) for who in withheld], source="Facebook Ads")
    # Two opened the app on the third day, and did nothing there.
    opened = [played(who, 3) for who in people["tiktokglobal_int"][:2]]
    bench.sandbox.reports.learn(structs.replace(fact_of(one, None, 0), kind=SESSION) for one in opened)
    # What was paid in another currency has no rate, and what is lost is lost.
    in_euros = bought(people["organic"][0], LATER_MS, 20.0, "EUR", 22.0)
    bench.knows([in_euros])
    await bench.receive([in_euros | {"event_revenue_usd": None}], at_ms=bench.clock.now_ms())
    bench.knows([bought(people["unityads_int"][0], LATER_MS + DAY_MS, 30.0)])
    await bench.store.confirm(DAY_START_MS + 3 * DAY_MS + HOUR_MS)
    await note_downtime(bench.store, DAY_START_MS + 3 * DAY_MS + 20 * HOUR_MS)
    bench.knows([played(who, 3) for who in people["organic"]])

    found = await compared(bench)
    assert list(found.notes) == []
    named = ("restricted", "Facebook Ads"), ("restricted", "restricted")
    moved = {named[0]: -3, named[1]: 3}
    assert causes(found, "installs", "") == moved
    assert causes(found, "active", "0") == moved
    assert causes(found, "active", "1") == moved
    assert causes(found, "active", "3") == {("gap", "organic"): -3, ("gap", "tiktokglobal_int"): -2}
    assert causes(found, "active", "7") == {}, "that day is not over"
    assert causes(found, "revenue", "0") == {("rate", "organic"): -22.0}
    assert causes(found, "revenue", "1") == {
        ("rate", "organic"): -22.0, named[0]: -15.0, named[1]: 15.0, ("unexplained", "unityads_int"): -30.0,
    }  # fmt: skip
    assert {row.key.event for row in found.rows} == {"", "0", "1", "3"}


@pytest.mark.parametrize("new_bench", ["sqlite"], indirect=True)
async def test_what_began_with_a_reinstall_that_never_came_is_no_cohort_of_appsflyers(bench):
    """AppsFlyer has no new user there, and flybridge has the events of one whose conversion it doesn't know."""
    new, again = bench.people(2, "organic"), bench.people(2, "organic", conversion_type="reinstall")
    await both(bench, new)
    await bench.receive([played(again[0], 0), bought(again[1], LATER_MS, 20.0)], at_ms=bench.clock.now_ms())
    found = await compared(bench)
    assert causes(found, "installs", "") == {}
    assert causes(found, "active", "0") == {("conversion_definition", "organic"): 2}
    assert causes(found, "revenue", "1") == {("conversion_definition", "organic"): 20.0}


async def test_who_opened_the_app_and_did_nothing_is_told_apart(bench):
    """AppsFlyer counts launches; nothing was down."""
    people = bench.people(5, "tiktokglobal_int")
    await both(bench, people)
    await both(bench, [played(people[0], 1)])
    bench.sandbox.reports.learn(structs.replace(fact_of(played(who, 1), None, 0), kind=SESSION) for who in people[:4])
    found = await compared(bench)
    assert causes(found, "active", "1") == {("opened_only", "tiktokglobal_int"): -3}
    question = asked_cohort_differences({"from": f"{date_of(DAY)}", "to": f"{date_of(DAY)}"}, SCOPES)
    told = await read_cohort_differences(bench.store, SCOPES, question)
    figures = ("metric", "day", "appsflyer", "flybridge", "unexplained")
    assert [tuple(one[name] for name in figures) for one in told["rows"]] == [
        ("installs", None, 5, 5, 0), ("active", 0, 5, 5, 0), ("active", 1, 4, 1, 0),
    ]  # fmt: skip
    assert told["rows"][2]["causes"] == [{"code": "opened_only", "n": -3}]
    assert [one["code"] for one in told["causes"]] == ["opened_only"]


@pytest.mark.parametrize("new_bench", ["sqlite"], indirect=True)
async def test_a_plan_without_cohorts_says_so(new_bench):
    async with new_bench(token="nocohorts") as bench:
        found = await compared(bench)
        assert ["which is premium" in note for note in found.notes] == [True]
        assert list(found.rows) == []


@pytest.mark.parametrize("new_bench", ["sqlite"], indirect=True)
async def test_the_quota_is_not_used_up(bench):
    """AppsFlyer allows sixty calls in a minute, of which half are made; a day takes two."""
    await both(bench, bench.people(1, "organic"))
    (plan,) = reconcile_plans_of(bench.config)
    found = await CohortComparer(bench.store, bench.download, bench.clock).run(plan, range(DAY - 40, DAY + 1))
    assert [note for one in found for note in one.notes] == []
    assert bench.clock.slept == [60.0, 60.0]


@pytest.mark.parametrize("new_bench", ["sqlite"], indirect=True)
async def test_a_day_is_due_when_more_of_it_is_final(bench):
    """What AppsFlyer refuses is due again, and what it has answered before stays."""
    await both(bench, bench.people(2, "organic"))
    comparer = CohortComparer(bench.store, bench.download, bench.clock)
    (plan,) = reconcile_plans_of(bench.config)
    due = []
    for day in (5, 6, 7, 9, 10, 16, 17, 32, 33, 62, 63, 92, 93, 99):
        bench.clock.advance((DAY + day) * DAY_MS / 1000 - bench.clock.now_ms() / 1000)
        if DAY in await comparer.due(plan, DAY + day - 1):
            due.append(day)
            before = [one.rows for one in await kept(bench)]
            without = structs.replace(plan, account=structs.replace(plan.account, api_token="nocohorts"))
            refused = await comparer.run(without, [DAY, DAY + 1])
            assert [len(one.notes) for one in refused] == [1], "the first refusal is the last question"
            assert [one.rows for one in await kept(bench)] == (before or [[]])
            assert DAY in await comparer.due(plan, DAY + day - 1)
            await comparer.run(plan, [DAY])
            assert DAY not in await comparer.due(plan, DAY + day - 1)
    assert due == [5, 6, 10, 17, 33, 63, 93]
    (last,) = await kept(bench)
    assert {row.key.event: row.appsflyer for row in last.rows} == {"": 2, "0": 2}, "nobody came back"
    assert list(last.notes) == []


async def kept(bench: Bench) -> list[CohortComparison]:
    reports = await bench.store.day_reports(REPORT, 0, 50_000)
    return [one for report in reports if (one := report.read(CohortComparison))]


@pytest.mark.parametrize("new_bench", ["sqlite"], indirect=True)
async def test_the_command_prints_cohorts(bench, tmp_path):
    people = bench.people(3, "tiktokglobal_int")
    await both(bench, people)
    bench.sandbox.reports.learn([structs.replace(fact_of(played(people[0], 1), None, 0), kind=SESSION)])
    path = tmp_path / "flybridge.toml"
    path.write_text(bench.text.replace('"data"', f'"{tmp_path}"'))
    await bench.store.close()

    told = []

    async def run(*words: str) -> str:
        given = ["reconcile", "--cohorts", "--config", str(path), *(words or ["--day", f"{date_of(DAY)}"])]
        done = await asyncio.to_thread(CliRunner().invoke, app, given, env={"COLUMNS": "80"}, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told.append(" ".join(done.stderr.split()))
        return done.stdout

    text = await run()
    assert "compared" not in told[-1]
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in ("tiktokglobal_int", "active D1", "Opened without an event -1", "total"):
        assert word in " ".join(text.split())
    await run("--stored", "--from", f"{date_of(DAY - 9)}", "--to", f"{date_of(DAY)}")
    assert "shop: 1 of 10 days was compared, and the figures are of no others." in told[-1]
    found = json.loads(await run("--json", "--stored", "--by", "date", "--day", f"{date_of(DAY)}"))
    assert {one["date"] for one in found["rows"]} == {f"{date.fromisoformat(found['from'])}"}
    assert found["total"][0] == {
        "metric": "installs", "day": None, "appsflyer": 3, "flybridge": 3, "unexplained": 0, "causes": [],
    }  # fmt: skip
    assert APP_ID not in json.dumps(found)
