"""Differences and findings over HTTP: from stored reports, behind the console's access rules, as OpenAPI describes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator
from test_performance_api import NOW_MS, TODAY, Web

from flybridge.insight import comparison, findings
from flybridge.insight.causes import CAUSES
from flybridge.insight.cohort_comparison import REPORT, CohortComparison
from flybridge.insight.comparison import ComparedKey, ComparedRow, DayComparison, Part
from flybridge.insight.findings import Finding
from flybridge.sealing import Seal
from flybridge.store.figures import DayReport
from flybridge.store.performance import date_of
from flybridge.store.sqlite.store import SqliteStore
from flybridge.web.app import description
from flybridge.web.console.pages.differences import MAX_ROWS
from flybridge.web.console.waterfall import waterfall

URL = "/api/v1/reconciliation"
YESTERDAY = date_of(TODAY - 1).isoformat()


def row(source: str, counts: tuple[int | None, int, int | None], *parts: Part, kind: str = "install", event: str = ""):
    """Return a row of these counts: AppsFlyer, flybridge, Amplitude."""
    return ComparedRow(ComparedKey(kind, event, source), *counts, list(parts))


def day(ago: int, *rows: ComparedRow, app: str = "shop") -> DayReport:
    """Return the comparison of a day."""
    found = DayComparison(
        app, TODAY - ago, NOW_MS, True, "UTC", "Asia/Tokyo", "aggregate", "segmentation", list(rows), ["a note"]
    )
    return comparison.written(found)


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[SqliteStore]:
    """Return a store with the comparisons of two days."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    await store.put_day_reports(
        [
            day(
                2,
                row("tiktok", (10, 8, 5), Part("gap", -1), Part("held", -2, "idfa"), Part("held", -1, "adid")),
                row("", (None, 1, None)),
                row("tiktok", (None, 50, 50), kind="event", event="install"),
            ),
            day(1, row("tiktok", (20, 20, 18), Part("held", -2, "idfa"))),
            day(1, row("tiktok", (1, 1, 1)), app="other"),
        ]
    )
    yield store
    await store.close()


async def test_rows_are_by_day_and_source(store):
    """With the causes of each difference, and what none of them explains."""
    status, found = await Web(store).get(URL)
    assert status == 200
    assert [(one["date"], one["media_source"]) for one in found["rows"]] == [
        (date_of(TODAY - 2).isoformat(), "tiktok"), (date_of(TODAY - 2).isoformat(), None), (YESTERDAY, "tiktok"),
    ]  # fmt: skip
    assert found["rows"][0] == {
        "date": date_of(TODAY - 2).isoformat(),
        "media_source": "tiktok",
        "appsflyer": 10,
        "flybridge": 8,
        "amplitude": 5,
        "flybridge_with_appsflyer": 8,
        "flybridge_with_amplitude": 8,
        "causes": [
            {"code": "gap", "step": "appsflyer", "n": -1, "more": 0, "less": 1, "details": []},
            {"code": "held", "step": "amplitude", "n": -3, "more": 0, "less": 3,
             "details": [{"detail": "adid", "n": -1}, {"detail": "idfa", "n": -2}]},
        ],
        "unexplained": {"appsflyer": -1, "amplitude": 0},
        "unexplained_parts": {"appsflyer": {"more": 0, "less": 1}, "amplitude": {"more": 0, "less": 0}},
        "left": 1,
    }  # fmt: skip
    assert (found["rows"][1]["amplitude"], found["rows"][1]["unexplained"]["amplitude"]) == (None, None)
    assert [one["code"] for one in found["causes"]] == list(CAUSES)
    assert (found["days"][0]["amplitude_zone"], found["days"][0]["notes"]) == ("Asia/Tokyo", ["a note"])


async def test_sums_add_up_over_days(store):
    """A row that one side did not count is in that side's sums not at all."""
    _, found = await Web(store).get(URL, "by=source")
    assert [(one["media_source"], one["flybridge"]) for one in found["rows"]] == [("tiktok", 28), (None, 1)]
    total = found["total"]
    assert (total["appsflyer"], total["flybridge"], total["amplitude"]) == (30, 29, 23)
    for step, before, after in (
        ("appsflyer", total["appsflyer"], total["flybridge_with_appsflyer"]),
        ("amplitude", total["flybridge_with_amplitude"], total["amplitude"]),
    ):
        explained = sum(one["n"] for one in total["causes"] if one["step"] == step)
        assert before + explained + total["unexplained"][step] == after


@pytest.mark.parametrize("by", ["date", "source", "app", "date,source"])
async def test_what_is_too_much_of_one_source_does_not_hide_what_is_missing_of_another(store, by):
    """In no group, of no step, and of causes alike: their sums are 0."""
    rows = [
        row("a", (10, 15, 15), Part("restricted", 3)), row("b", (10, 5, 5), Part("restricted", -3)),
        row("c", (4, 4, 6)), row("d", (4, 4, 2)),
    ]  # fmt: skip
    await store.put_day_reports([day(5, *rows)])
    date = date_of(TODAY - 5).isoformat()
    _, found = await Web(store).get(URL, f"from={date}&to={date}&by={by}")
    total = found["total"]
    assert total["unexplained"] == {"appsflyer": 0, "amplitude": 0}
    assert total["unexplained_parts"] == {step: {"more": 2, "less": 2} for step in ("appsflyer", "amplitude")}
    assert total["left"] == sum(one["left"] for one in found["rows"]) == 8
    (restricted,) = total["causes"]
    assert {name: restricted[name] for name in ("code", "n", "more", "less")} == {
        "code": "restricted", "n": 0, "more": 3, "less": 3,
    }  # fmt: skip
    steps = [(step.kind, step.n, step.details) for step in waterfall(total).steps]
    offset = [("in some rows", -2), ("in others", 2)]
    assert steps == [
        ("base", 28, []), ("less", 0, [("in some rows", -3), ("in others", 3)]), ("unexplained", 0, offset),
        ("base", 28, []), ("unexplained", 0, offset), ("base", 28, []),
    ]  # fmt: skip


async def test_rows_that_a_page_leaves_out_are_named(store):
    """They are in its total, and in its CSV."""
    await store.put_day_reports([day(5, *(row(f"source-{n:03}", (1, 1, 1)) for n in range(MAX_ROWS + 7)))])
    date = date_of(TODAY - 5).isoformat()
    status, _, body = await Web(store).answer("/differences", f"from={date}&to={date}&by=media_source")
    page = body.decode()
    assert (status, page.count(">source-")) == (200, MAX_ROWS)
    assert "7 more rows are in the total and in the CSV." in page


@pytest.mark.parametrize(
    ("zone", "earlier"), [("UTC", 0), ("Asia/Tokyo", 1), ("America/New_York", 0), ("Pacific/Kiritimati", 1)]
)
async def test_causes_lead_to_all_events_of_their_days(store, zone, earlier):
    """Events are found by UTC days: the first of the app's days has begun on the one before, in the east."""
    date = date_of(TODAY - 2)
    _, _, body = await Web(store, zone=zone).answer("/differences", f"from={date}&to={date}")
    (link,) = re.findall(r'href="(/events[^"]*outcome=held)"', body.decode())
    assert f"since={date_of(TODAY - 2 - earlier)}&amp;until={date_of(TODAY - 1)}" in link


async def test_an_in_app_event_may_have_the_name_of_a_conversion(store):
    """`kind` tells them apart."""
    _, found = await Web(store).get(URL, "event=install&kind=event")
    assert (found["kind"], found["event"], found["total"]["flybridge"]) == ("event", "install", 50)
    assert {(one["kind"], one["event"]) for one in found["events"]} == {("install", None), ("event", "install")}


async def test_apps_are_told_apart(store):
    """All of them together, or one."""
    web = Web(store, apps=2)
    _, found = await web.get(URL, "by=app")
    assert [(one["app"], one["flybridge"]) for one in found["rows"]] == [("shop", 29), ("other", 1)]
    _, found = await web.get(URL, "by=app&app=other")
    assert [(one["app"], one["flybridge"]) for one in found["rows"]] == [("other", 1)]


@pytest.mark.parametrize("query", ["by=campaign", "from=2026-13-01", "app=none"])
async def test_a_question_that_can_not_be_answered_says_what_to_write(store, query):
    """Not a failure of the server."""
    status, found = await Web(store).get(URL, query)
    assert (status, set(found)) == (400, {"error", "remedy"})


async def test_revenue_of_several_currencies_is_not_added_up(store):
    """One app has to be named; that of apps of the same currency is added up."""
    paid = {"shop": 2_000_000, "other": 3_000_000}
    for app, n in paid.items():
        found = DayComparison(app, TODAY - 3, NOW_MS, True, "UTC", "UTC", "", "", [], currency="USD")
        found.revenue = [row("tiktok", (None, n, None), kind="event", event="af_purchase")]
        await store.put_day_reports([comparison.written(found)])
    query = "metric=revenue&by=app,source"
    _, found = await Web(store, apps=2).get(URL, query)
    assert (found["total"]["flybridge"], found["currency"]) == (5.0, "USD")
    web = Web(store, apps=2, currencies=("USD", "EUR"))
    status, found = await web.get(URL, query)
    assert (status, found["remedy"]) == (400, "Name one of shop, other.")
    assert (await web.get(URL, f"{query}&app=shop"))[1]["total"]["flybridge"] == 2.0


async def test_the_last_findings_are_shown_the_most_urgent_first(store):
    """Not those of a job that has not run for long."""
    old = Finding("unexplained", "shop", "An old one.", {})
    first = Finding("low_retention", "shop", "A campaign keeps few.", {"share": 0.1}, "tiktok", "spring")
    second = Finding("unexplained", "shop", "Some are missing.", {"n": 12}, "tiktok")
    await store.put_day_reports([findings.written("shop", TODAY - 9, NOW_MS, [old])])
    status, found = await Web(store).get(f"{URL}/findings")
    assert (status, found["findings"], found["apps"][0]["date"]) == (200, [], None)
    await store.put_day_reports([findings.written("shop", TODAY, NOW_MS, [first, second])])
    _, found = await Web(store).get(f"{URL}/findings")
    assert [one["kind"] for one in found["findings"]] == ["unexplained", "low_retention"]
    assert found["findings"][1]["campaign"] == "spring"
    assert found["apps"] == [{"app": "shop", "date": date_of(TODAY).isoformat(), "made_at": "2026-05-28T20:26:40Z"}]


async def test_cohorts_are_by_source_or_day(store):
    """As they were compared last; revenue in the app's currency."""
    rows = [
        ComparedRow(ComparedKey("installs", "", "tiktok"), 10, 10, None),
        ComparedRow(ComparedKey("active", "7", "tiktok"), 6, 4, None, [Part("opened_only", -2)]),
        ComparedRow(ComparedKey("revenue", "7", "tiktok"), 25_500_000, 25_000_000, None, [Part("rate", -250_000)]),
    ]
    found = [
        CohortComparison(name, TODAY - ago, NOW_MS, "EUR", rows if name == "shop" else (), notes)
        for name, ago, notes in (("shop", 9, ()), ("shop", 10, ("a note",)), ("other", 9, ()))
    ]
    await store.put_day_reports(
        [DayReport(one.app, REPORT, one.day, one.made_ms, msgspec.json.encode(one)) for one in found]
    )
    _, told = await Web(store).get(f"{URL}/cohorts")
    assert (told["by"], told["currency"], told["rows"][0]["media_source"]) == (["media_source"], "EUR", "tiktok")
    assert told["total"] == [
        {"metric": "installs", "day": None, "appsflyer": 20, "flybridge": 20, "unexplained": 0, "causes": []},
        {"metric": "active", "day": 7, "appsflyer": 12, "flybridge": 8, "unexplained": 0,
         "causes": [{"code": "opened_only", "n": -4}]},
        {"metric": "revenue", "day": 7, "appsflyer": 51.0, "flybridge": 50.0, "unexplained": 0.5,
         "causes": [{"code": "rate", "n": -0.5}]},
    ]  # fmt: skip
    assert [(one["date"], one["notes"]) for one in told["days"]] == [
        (f"{date_of(TODAY - 10)}", ["a note"]), (f"{date_of(TODAY - 9)}", []),
    ]  # fmt: skip
    _, one_day = await Web(store).get(f"{URL}/cohorts", f"by=date,app&from={date_of(TODAY - 9)}")
    assert {(one["app"], one["date"]) for one in one_day["rows"]} == {("shop", f"{date_of(TODAY - 9)}")}
    assert (await Web(store).get(f"{URL}/cohorts", "by=campaign"))[0] == 400
    whole = description("1.0")
    schema = {"$ref": "#/components/schemas/CohortDifferences", "components": whole["components"]}
    Draft202012Validator(schema).validate(told)


@pytest.mark.parametrize("path", [URL, f"{URL}/findings", f"{URL}/cohorts"])
async def test_it_is_shown_to_whom_the_console_is_shown(store, path):
    """With its password, and without it to nobody."""
    web = Web(store, b"the password")
    assert (await web.get(path))[0] == 401
    assert (await web.get(path, auth="anybody:the password"))[0] == 200


@pytest.mark.parametrize(("path", "schema"), [(URL, "Reconciliation"), (f"{URL}/findings", "Findings")])
async def test_the_answers_are_as_described(store, path, schema):
    """By the schemas of /openapi.json."""
    told = Finding("unexplained", "shop", "Some are missing.", {"n": 12}, "tiktok")
    await store.put_day_reports([findings.written("shop", TODAY, NOW_MS, [told])])
    _, found = await Web(store).get(path)
    whole = description("1.0")
    Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": whole["components"]}).validate(found)
