"""What `flybridge performance` shows, from postbacks to the table."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.cli.performance import change
from flybridge.cli.printing import sparkline
from flybridge.config.settings import load
from flybridge.insight.cohorts import COHORT_METRICS, cohorts_of, read_cohorts, read_counts
from flybridge.insight.csv_text import FORMULA, csv_text
from flybridge.insight.metrics import METRICS, Figures, UpTo, figure
from flybridge.insight.performance import AppScope, Question, merged, read_performance
from flybridge.records import Envelope, Media, Source
from flybridge.service.backends import open_store
from flybridge.store.performance import day_number
from flybridge.testing.clocks import ManualClock
from flybridge.wiring import build_flow

CONFIG = """
secret = "sixteen characters or more"
data_dir = "data"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
[apps.appsflyer]
push_token = "token"
[apps.amplitude]
api_key = "key"
[apps.insight]
rates = { EUR = 2.0 }
"""
TODAY = datetime.now(UTC).date()


def ago(days: int) -> str:
    """Return the date so many days ago."""
    return (TODAY - timedelta(days=days)).isoformat()


def message(who: str, name: str, days: int, *, came: int, source: str, **fields: Any) -> dict[str, Any]:
    """Build a postback of `days` days ago, of somebody who came `came` days ago."""
    kind = {"campaign_type": "organic"} if source == "organic" else {"campaign_type": "ua", "campaign": f"{source} one"}
    return {
        "appsflyer_id": f"1-{who}", "event_name": name, "conversion_type": "install", "media_source": source,
        "event_time": f"{ago(days)} 12:00:00.000", "install_time": f"{ago(came)} 12:00:00", "country_code": "DE",
        **kind, **fields,
    }  # fmt: skip


MESSAGES = [
    message("a", "install", 10, came=10, source="Facebook Ads"),
    message("b", "install", 10, came=10, source="Facebook Ads"),
    message("c", "install", 3, came=3, source="Facebook Ads", country_code="FR"),
    message("d", "install", 10, came=10, source="organic"),
    message("a", "af_purchase", 9, came=10, source="Facebook Ads", event_revenue=10, event_revenue_currency="USD"),
    message("a", "af_purchase", 2, came=10, source="Facebook Ads", event_revenue=5, event_revenue_currency="EUR"),
    message("d", "af_purchase", 8, came=10, source="organic", event_revenue=7, event_revenue_currency="JPY"),
    message("b", "level", 3, came=10, source="Facebook Ads", custom_data='{"amplitude_device_id": "device-of-bea"}'),
]
COSTS = f"""date,media_source,campaign,country,spend,currency,clicks,impressions
{ago(10)},Facebook Ads,Facebook Ads one,DE,4,USD,20,1000
{ago(3)},Facebook Ads,Facebook Ads one,FR,1,EUR,N/A,
{ago(3)},Bing Ads,,,9,USD,3,50
"""


async def filed(path: Path, messages: list[dict[str, Any]]) -> None:
    """File messages of the app."""
    settings = load(path, {})
    store, now_ms = open_store(settings), int(datetime.now(UTC).timestamp() * 1000)
    await store.open()
    envelopes = [
        Envelope("shop", Source.PUSH, Media.JSON, now_ms, json.dumps(one).encode(), f"r{number} of {len(messages)}")
        for number, one in enumerate(messages)
    ]
    await store.file(build_flow(settings).filings(envelopes), now_ms)
    await store.close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration of a bridge that has filed the messages."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG, encoding="utf-8")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("COLUMNS", "80")
    asyncio.run(filed(path, MESSAGES))
    (tmp_path / "costs.csv").write_text(COSTS, encoding="utf-8")
    return path


@pytest.fixture
def priced(config: Path) -> Path:
    """Return the configuration of a bridge that knows the costs, too."""
    run(config, "costs", "import", str(config.parent / "costs.csv"))
    return config


def run(config: Path, *words: str) -> str:
    """Run a command and return what it printed. Its notes are not in it."""
    command, *rest = words
    result = CliRunner().invoke(app, [command, *rest, "--config", str(config)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(config: Path, *words: str) -> list[dict[str, Any]]:
    """Run `performance --json` and return its rows."""
    return json.loads(run(config, "performance", *words, "--json"))


def test_each_source_has_its_figures(config):
    """Costs only where somebody reported them, cohorts only of days that are over."""
    assert "Bing Ads" in run(config, "costs", "import", str(config.parent / "costs.csv"), "--json")
    found = {row["media_source"]: row for row in rows(config, "--by", "source")}
    assert set(found) == {"Facebook Ads", "organic", "Bing Ads"}
    paid = found["Facebook Ads"]
    assert set(paid) == {"media_source", "currency", *METRICS}
    assert (paid["installs"], paid["events"], paid["revenue"], paid["spend"]) == (3, 3, 20.0, 6.0)
    assert (paid["ecpi"], paid["clicks"], paid["impressions"], paid["cvr"]) == (2.0, 20, 1000, 3 / 20)
    assert (paid["revenue_d1"], paid["revenue_d7"], paid["roas_d7"]) == (10.0, 10.0, 2.5)
    assert (paid["retention_d1"], paid["retention_d7"], paid["retention_d90"]) == (1 / 3, 0.5, None)
    assert (paid["matched_share"], paid["payer_share_d7"]) == (1 / 3, 0.5)
    organic = found["organic"]
    assert (organic["installs"], organic["spend"], organic["ecpi"], organic["roas_d7"]) == (1, None, None, None)
    assert (organic["revenue"], organic["not_converted"], organic["payer_share_d7"]) == (0, 1, 1)
    assert (found["Bing Ads"]["installs"], found["Bing Ads"]["spend"], found["Bing Ads"]["ecpi"]) == (0, 9.0, None)


def test_a_total_is_made_of_sums(config):
    """Not of ratios; the same as without groups."""
    run(config, "costs", "import", str(config.parent / "costs.csv"))
    (whole,) = rows(config)
    assert (whole["installs"], whole["spend"], whole["ecpi"], whole["retention_d7"]) == (4, 15.0, 5.0, 1 / 3)
    assert whole["roas_d7"] == 2.5
    by_day = rows(config, "--by", "date")
    assert sum(row["installs"] for row in by_day) == 4
    assert [row["date"] for row in by_day] == sorted(row["date"] for row in by_day)
    by_country = {row["country"]: row for row in rows(config, "--by", "country,platform")}
    assert {name: row["installs"] for name, row in by_country.items()} == {"DE": 3, "FR": 1, None: 0}
    assert {row["platform"] for row in by_country.values()} == {"android"}
    assert by_country["FR"]["spend"] == 2.0


@pytest.mark.parametrize("by", ["source", "country", "app,date"])
def test_sources_that_no_spend_is_known_of_are_named_beside_those_of_which_it_is(config, by):
    """What is divided by the spend has their installs and revenue. Where there is no spend nothing is divided."""
    asyncio.run(filed(config, [message(f"m{n}", "install", 4, came=4, source=f"mail {n}") for n in range(4)]))
    sentence = "no spend is known of mail 0"
    assert sentence not in said(config, "--by", by)
    run(config, "costs", "import", str(config.parent / "costs.csv"))
    assert f"shop: {sentence}, mail 1, mail 2 and 1 more. eCPI" in said(config, "--by", by)
    for words in (("--source", "Facebook Ads"), ("--source", "mail 0"), ("--source", "organic"), ("--from", ago(3))):
        assert sentence not in said(config, "--by", by, *words), words


@pytest.mark.parametrize("by", ["source", "country", "app,date"])
def test_days_with_a_spend_of_which_nothing_was_received_are_named(priced, by):
    """As those before flybridge: costs are pulled for three months."""
    assert "nothing was received" not in said(priced, "--by", by)
    costs = priced.parent / "before.csv"
    costs.write_text(f"date,media_source,spend\n{ago(20)},Facebook Ads,9\n{ago(15)},Facebook Ads,9\n{ago(12)},Meta,0\n")
    run(priced, "costs", "import", str(costs))
    sentence = f"shop: nothing was received of 2 days with a spend, {ago(20)} to {ago(15)}. eCPI"
    assert sentence in said(priced, "--by", by)
    assert f"shop: nothing was received of {ago(15)}, which has a spend." in said(priced, "--from", ago(16))
    for words in (("--from", ago(12)), ("--source", "organic")):
        assert "nothing was received" not in said(priced, "--by", by, *words), words


@pytest.mark.parametrize("by", ["source", "country", "app,date"])
def test_days_that_no_spend_is_known_of_yet_are_named(priced, by):
    """Networks report late, and AppsFlyer's Master API lacks two days."""
    sentence = f"shop: no spend is known of the days after {ago(3)}. eCPI"
    assert sentence in said(priced, "--by", by)
    assert sentence in said(priced, "--by", by, "--to", ago(-3))
    for words in (("--to", ago(3)), ("--from", ago(2)), ("--source", "organic")):
        assert "no spend is known of the days" not in said(priced, "--by", by, *words), words


def test_a_period_is_compared_with_the_one_before(config):
    """A group that is only in one of them is in the answer."""
    found = rows(config, "--by", "media_source", "--from", ago(5), "--to", ago(1), "--compare")
    by_source = {row["media_source"]: row for row in found}
    assert (by_source["Facebook Ads"]["installs"], by_source["Facebook Ads"]["before"]["installs"]) == (1, 2)
    assert (by_source["organic"]["installs"], by_source["organic"]["before"]["installs"]) == (None, 1)


def test_days_are_compared_with_those_of_the_period_before(config):
    """The first with the first and so on, also where one of the two has no figures."""
    words = ["--by", "date,source", "--source", "Facebook Ads", "--from", ago(7), "--to", ago(2), "--compare"]
    found = {row["date"]: row for row in rows(config, *words)}
    assert {day: (row["installs"], row["before"] and row["before"]["installs"]) for day, row in found.items()} == {
        ago(4): (None, 2), ago(3): (1, 0), ago(2): (0, None),
    }  # fmt: skip
    assert set(found[ago(4)]["before"]) == set(METRICS)
    shown = run(config, "performance", *words, "--metric", "events").splitlines()
    assert [line.split()[-2:] for line in shown if line.startswith(ago(3))] == [["(+0", "%)"]]


def test_a_sum_without_its_last_days_is_not_compared(config):
    """That of the period before has all of them. What is for each install may be compared."""
    words = ["--from", ago(7), "--to", ago(1), "--compare", "--metric", "revenue_d1,arpu_d1,revenue_d0"]
    assert "0.00* (-)" in (shown := run(config, "performance", *words))
    assert "0.00* (-100 %)" in shown


def test_filters_and_events(config):
    """Events are a group as well."""
    assert rows(config, "--source", "organic")[0]["installs"] == 1
    assert rows(config, "--country", "FR")[0]["installs"] == 1
    found = {row["event"]: row["events"] for row in rows(config, "--by", "event")}
    assert found == {None: 0, "af_purchase": 3, "level": 1}


SPELLED = [
    'Ads, "one"',
    "🎂 cake",
    "x" * 400,
    "ann@example.com",
    "tab\there",
    "right \u202eleft",
    "  spaced  ",
    "Organic",
    "[b]",
]


def test_a_name_is_asked_for_as_it_came(tmp_path, monkeypatch):
    """It is counted masked, shortened and printable; nobody has to know how."""
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG, encoding="utf-8")
    (tmp_path / "data").mkdir()
    sent = [message(f"p{number}", "install", 5, came=5, source=name) for number, name in enumerate(SPELLED)]
    asyncio.run(filed(path, sent))
    for name in SPELLED:
        assert [row["installs"] for row in rows(path, "--source", name)] == [1], name
    assert [row["installs"] for row in rows(path, "--campaign", "ann@example.com one")] == [1]
    assert [row["installs"] for row in rows(path, "--country", " de", "--platform", "Android")] == [len(SPELLED)]


def test_tables_fit_a_terminal_and_say_what_is_not_known(config):
    """80 columns; the total is the last row, and stars are explained."""
    run(config, "costs", "import", str(config.parent / "costs.csv"))
    text = run(config, "performance", "--by", "source", "--metric", "installs,spend,ecpi,retention_d7,retention_d90")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["media", "source", "Installs", "Spend", "eCPI", "Retention", "D7", "Retention", "D90"]
    total = next(line for line in lines if line.startswith("total"))
    assert total.split() == ["total", "4", "15.00", "5.00", "33.3", "%*", "n/a"]
    assert lines[-1].startswith("*")


def test_what_does_not_fit_beside_stands_in_a_table_below(config):
    """Each table has the labels of its rows, and together they have every figure once."""
    run(config, "costs", "import", str(config.parent / "costs.csv"))
    lines = run(config, "performance", "--by", "source").splitlines()
    assert max(map(len, lines)) <= 80
    heads = [line for line in lines if line.startswith("media source")]
    assert len(heads) == 2
    shown = "  ".join(heads)
    for title in ("Installs", "Conversions", "Spend", "eCPI", "Revenue", "ROAS D7", "Retention D7", "Matched"):
        assert shown.count(title) == 1
    assert sum(line.startswith("total") for line in lines) == 2
    assert not any(line.startswith(" ") for line in lines)


def test_csv_has_plain_numbers_and_nothing_for_what_is_not_known(config):
    """A spreadsheet reads it."""
    found = list(csv.DictReader(io.StringIO(run(config, "performance", "--by", "source,campaign", "--csv"))))
    assert [row["media_source"] for row in found] == ["Facebook Ads", "organic"]
    assert (found[0]["campaign"], found[1]["campaign"], found[1]["spend"]) == ("Facebook Ads one", "", "")
    assert (float(found[0]["revenue"]), found[0]["currency"]) == (20.0, "USD")


@pytest.mark.parametrize("sign", FORMULA)
def test_no_text_of_csv_is_a_formula(config, sign):
    """Names of sources and campaigns are anybody's, and the file is opened in a spreadsheet."""
    name = f"{sign}SUM(A1)"
    asyncio.run(filed(config, [message("x", "install", 2, came=2, source=name, campaign=name)]))
    for words in (("--by", "source,campaign"), ("--cohort",)):
        found = run(config, "performance", *words, "--csv")
        assert found.startswith("media_source,campaign,") if "--by" in words else found.startswith("date,installs,")
        assert not any(cell.startswith(FORMULA) for row in csv.reader(io.StringIO(found)) for cell in row)
    assert csv_text([[name, -1, None]], "\n").lstrip('"').startswith("'" + sign)


def test_cohorts_leave_out_what_is_not_over(config):
    """Each day of install is a row, by day after it; weeks add up from days."""
    found = json.loads(run(config, "performance", "--cohort", "--json"))
    by_day = {row["date"]: row for row in found}
    assert (by_day[ago(10)]["installs"], by_day[ago(10)]["values"][:3]) == (3, [1.0, 1 / 3, 1 / 3])
    assert by_day[ago(3)]["values"][3:5] == [None, None]
    assert by_day[ago(10)]["values"][9:11] == [0.0, None]
    text = run(config, "performance", "--cohort", "--metric", "ltv", "--by", "source")
    assert text.splitlines()[0].startswith("LTV by day of install: revenue up to that day / installs")
    assert "5.00" in text


async def test_cohorts_of_weeks_and_costs(priced):
    """A total is of the cohorts that have so many days, from sums; ROAS leaves out who is organic."""
    today = day_number(TODAY)
    scope = AppScope("shop", "USD", {"EUR": 2.0}, "android", today)
    store = open_store(load(priced, {}))
    await store.open()
    question = Question(today - 28, today - 1)
    months = await read_cohorts(store, scope, question, COHORT_METRICS["revenue"], grain="month")
    assert sum(cohort.size for cohort in months.cohorts) == 4
    roas = await read_cohorts(store, scope, question, COHORT_METRICS["roas"])
    assert (roas.whole.values[7], roas.whole.counted[7]) == (2.5, 2)
    assert roas.whole.values[0] == 0.0
    await store.close()


async def test_cohorts_whose_spend_is_not_known_are_in_no_roas_and_no_cost(priced):
    """Spend is reported for a span of days: installs before and behind it did not cost nothing."""
    late = [message(f"late {n}", "install", 1, came=1, source="Facebook Ads") for n in range(2)]
    await filed(priced, [message("early", "install", 12, came=12, source="Facebook Ads"), *late])
    today = day_number(TODAY)
    scope = AppScope("shop", "USD", {"EUR": 2.0}, "android", today)
    store = open_store(load(priced, {}))
    await store.open()
    question = Question(today - 28, today - 1, ("media_source",))
    counts = await read_counts(store, scope, question)
    await store.close()
    roas = cohorts_of(counts, question, COHORT_METRICS["roas"])
    assert (roas.whole.values[7], roas.whole.counted[7]) == (2.5, 2)
    assert [one.values[0] for one in roas.cohorts if one.last == today - 1] == [None]
    by_month = cohorts_of(counts, question, COHORT_METRICS["roas"], grain="month")
    assert {value for one in by_month.cohorts for value in one.values} == {None}
    paid = cohorts_of(counts, question, COHORT_METRICS["ltv"], organic=False, costed=True)
    (facebook,) = [one for one in paid.groups if one.labels["media_source"] == "Facebook Ads"]
    assert (facebook.counted[0], facebook.cost[0], facebook.values[1]) == (3, 2.0, 10 / 3)
    ltv = cohorts_of(counts, question, COHORT_METRICS["ltv"], organic=False)
    assert next(one for one in ltv.groups if one.labels == facebook.labels).counted[0] == 6


def test_a_platform_that_the_app_does_not_have_costs_nothing(priced):
    """Costs name no platform: they are those of the app's own, by source and in cohorts."""
    for words in (["--by", "platform"], ["--cohort", "--metric", "roas", "--by", "platform"]):
        assert rows(priced, *words, "--platform", "ios") == []
        found = rows(priced, *words)
        assert rows(priced, *words, "--platform", "android") == found
        assert {row["platform"] for row in found} == {"android"}


async def test_apps_with_different_currencies_are_not_added_up(config):
    """Each app has a row of its own, and the total no money."""
    today = day_number(TODAY)
    scopes = [AppScope("shop", "USD", {}, "android", today), AppScope("other", "EUR", {}, "ios", today)]
    store = open_store(load(config, {}))
    await store.open()
    found = await read_performance(store, scopes, Question(today - 28, today - 1))
    assert [row.labels for row in found.rows] == [{"app": "shop"}]
    assert (found.totals()["installs"], found.totals()["revenue"], found.currency) == (4, None, "")
    await store.close()


@pytest.mark.parametrize(
    "words",
    [
        ["--by", "sources"],
        ["--from", "yesterday"],
        ["--from", "2026-02-01", "--to", "2026-01-01"],
        ["--metric", "cpi"],
        ["--cohort", "--metric", "installs"],
        ["--cohort", "--grain", "year"],
        ["--cohort", "--compare"],
        ["--app", "none"],
    ],
)
def test_what_can_not_be_answered_is_said(config, words):
    """With exit code 2 and what to write instead."""
    result = CliRunner().invoke(app, ["performance", *words, "--config", str(config)])
    assert type(result.exception).__name__ == "ConfigError"


def said(config: Path, *words: str) -> str:
    """Run `performance` and return what it said beside the table."""
    result = CliRunner().invoke(app, ["performance", *words, "--config", str(config)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stderr


def test_amounts_that_are_in_no_revenue_are_told(config):
    """A revenue that lacks them looks like one that is low."""
    sentence = "shop: 1 event has an amount in a currency without a rate, which is in no revenue"
    assert sentence in said(config)
    assert sentence in said(config, "--source", "organic")
    assert sentence not in said(config, "--source", "Facebook Ads")
    more = message("d", "af_purchase", 7, came=10, source="organic", event_revenue=7, event_revenue_currency="JPY")
    asyncio.run(filed(config, [more]))
    assert "shop: 2 events have an amount" in said(config)


def test_a_metric_that_is_none_is_answered_with_those_there_are(config):
    """By name, and those of many horizons once."""
    result = CliRunner().invoke(app, ["performance", "--metric", "cpi", "--config", str(config)])
    told = str(result.exception)
    for name in METRICS:
        head, _, horizon = name.rpartition("_d")
        assert (f"{head}_dN" if horizon.isdigit() else name) in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--from", ago(400), "--to", ago(300)), f"The first after it is {ago(10)}."),
        (("--from", ago(1)), f"The last day before it with figures is {ago(2)}."),
        (("--from", ago(7), "--to", ago(4)), f"with figures is {ago(8)} and the first after it is {ago(3)}."),
        (("--source", "Bing Ads"), "the media source 'Bing Ads'. There are Facebook Ads, organic."),
        (("--country", "AT", "--source", "organic"), "the country 'AT'. There are DE, FR."),
        (("--cohort", "--from", ago(2)), f"The last day before it with figures is {ago(3)}."),
    ],
)  # fmt: skip
def test_an_answer_without_figures_says_what_to_ask_for(config, words, sentence):
    """The nearest days with figures, or the names there are."""
    assert sentence in said(config, *words)


def test_without_dates_the_last_days_with_figures_are_shown(config, monkeypatch):
    """As on the console's first page. Programs get the usual days."""
    assert "after" not in said(config)
    later = ManualClock(int((datetime.now(UTC) + timedelta(days=50)).timestamp() * 1000))
    monkeypatch.setattr("flybridge.cli.performance.SystemClock", lambda: later)
    for words in ((), ("--cohort",), ("--by", "campaign", "--compare"), ("--source", "Facebook Ads")):
        assert f"Nothing was counted after {ago(2)}: these are the 28 days up to then." in said(config, *words), words
    assert f"{ago(29)} to {ago(2)}" in run(config, "performance")
    for words in (("--json",), ("--csv",), ("--to", ago(-40)), ("--cohort", "--json")):
        assert f"The last day before it with figures is {ago(2)}." in said(config, *words), words


def test_without_dates_a_first_day_that_is_not_over_is_shown(config):
    """It is all there is. Programs get the usual days, and are told of it."""
    asyncio.run(filed(config, [message("z", "install", 0, came=0, source="New Ads")]))
    new = ("--source", "New Ads")
    for words in (new, ("--cohort", *new)):
        sentence = f"The first figures are of {ago(0)}: these are the 28 days up to today, which is not over."
        assert sentence in said(config, *words)
    assert f"{ago(27)} to {ago(0)}" in run(config, "performance", *new)
    assert f"The first after it is {ago(0)}." in said(config, "--json", *new)


def test_figures_from_long_before_the_usual_days_are_named(config):
    """A day of history beside those of last week."""
    first = message("z", "install", 200, came=200, source="Facebook Ads")
    asyncio.run(filed(config, [first]))
    assert "The last day before these" not in said(config, "--from", ago(20))
    assert f"The last day before these with figures is {ago(200)}: try --to {ago(200)}." in said(config)


def test_days_in_which_nobody_came_are_passed_over(config):
    """People who came once do things for weeks; what is looked for is the time when they came."""
    came = message("z", "install", 300, came=300, source="Old Ads")
    played = message("z", "level", 200, came=300, source="Old Ads")
    asyncio.run(filed(config, [came, played]))
    told = said(config, "--source", "Old Ads")
    assert f"after {ago(200)}: these are the 28 days up to {ago(300)}, the last with an install." in told
    assert f"with figures is {ago(200)}: try --to {ago(300)}." in said(config)
    assert f"{ago(327)} to {ago(300)}" in run(config, "performance", "--source", "Old Ads")


def test_an_app_that_has_counted_nothing_says_so(config):
    """And from where figures come."""
    config.write_text(CONFIG.replace('"shop"', '"empty"'), encoding="utf-8")
    assert said(config).startswith("Nothing was counted yet.")


def test_a_comparison_without_rows_says_what_else_there_is(config):
    """Nobody was asked; then what was counted on the day is named."""
    assert "Without --stored the vendors are asked." in run(config, "reconcile", "--day", ago(9), "--stored")
    told = run(config, "reconcile", "--day", ago(9), "--event", "af_purchas")
    assert "There is af_purchase." in told
    assert "af_purchase" in run(config, "reconcile", "--day", ago(9), "--event", "af_purchase", "--stored")


@pytest.fixture
def far_apart(config):
    """Return a configuration of two apps, one of them two days ahead of the other for most of the time."""
    east = CONFIG[CONFIG.index("[[apps]]") :].replace("shop", "east").replace("rates =", "timezone = 'Etc/GMT-14' #")
    text = CONFIG.replace("rates =", "timezone = 'Etc/GMT+12' #") + east
    account = 'push_token = "token"\napi_token = "api"\nbase_url = "http://127.0.0.1:9"'
    config.write_text(text.replace('push_token = "token"', account), encoding="utf-8")
    return config


@pytest.mark.parametrize("days", [-1, -400])
@pytest.mark.parametrize("kind", [(), ("--cohorts",)])
def test_a_day_that_is_not_over_is_not_compared(far_apart, kind, days):
    """No vendor is asked about it, and the last day that is over is named."""
    words = ["reconcile", "--config", str(far_apart), "--day", ago(days), *kind]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.exception) == (0, None), result.output
    for name in ("shop", "east"):
        assert f"{name}: a day that is not over is not compared. The last that is over is 2" in result.stderr


def test_the_day_that_is_compared_unless_named_is_over_in_every_app(far_apart):
    """The day in the west."""
    west = (datetime.now(UTC) - timedelta(hours=12)).date() - timedelta(days=1)
    found = json.loads(run(far_apart, "reconcile", "--stored", "--json"))
    assert (found["from"], found["to"]) == (f"{west}", f"{west}")


def test_many_days_of_a_cohort_stand_in_tables_below_each_other(config, monkeypatch):
    """No cell stands alone below its row."""
    monkeypatch.setenv("COLUMNS", "50")
    _, *lines = run(config, "performance", "--cohort", "--from", ago(14), "--to", ago(2)).splitlines()
    heads = [line for line in lines if line.startswith("date")]
    assert len(heads) == 2
    assert "D0" in heads[0]
    assert "D7" in heads[1]
    assert all(len(line) <= 50 and not line.startswith("    ") for line in lines)


def test_costs_that_can_not_be_read_change_nothing(config):
    """A line is named, and the exit code is 1."""
    (config.parent / "bad.csv").write_text(COSTS + "x,y,z,DE,1,USD,1,1\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["costs", "import", str(config.parent / "bad.csv"), "--config", str(config)])
    assert result.exit_code == 1
    assert "line 5" in result.stderr
    assert rows(config)[0]["spend"] is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_costs_are_read_as_spreadsheets_save_them(config, encoding, ends):
    """In the encodings in which other files are read, and with any ends of lines."""
    text = "date,media_source,campaign,spend\n2025-12-03,Bing Ads,Zürich,1\n"
    (config.parent / "sheet.csv").write_bytes(text.replace("\n", ends).encode(encoding))
    run(config, "costs", "import", str(config.parent / "sheet.csv"))
    found = rows(config, "--by", "campaign", "--from", "2025-12-01", "--to", "2025-12-31")
    assert ("Zürich", 1.0) in [(row["campaign"], row["spend"]) for row in found]


def test_figures_as_people_read_them():
    """Thousands are grouped, shares are per cent, and what is not known is n/a."""
    assert [figure(*pair) for pair in ((1234, "count"), (0.1234, "share"), (1234.5, "money"), (None, "money"))] == [
        "1,234",
        "12.3 %",
        "1,234.50",
        "n/a",
    ]
    assert [change(11, 10), change(9, 10), change(1, None), change(None, 3)] == ["(+10 %)", "(-10 %)", "(new)", "(-)"]
    assert sparkline([0, 7, 14]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"


def test_a_sum_of_groups_has_every_figure():
    """A figure that is left out of the sum would be 0 in every total."""

    def filled() -> Figures:
        up_to = UpTo(**dict.fromkeys(UpTo.__struct_fields__, 1))
        return Figures(**dict.fromkeys(Figures.__struct_fields__, 1) | {"up_to": {7: up_to}})

    found = merged([filled(), filled(), Figures()])
    assert {name: getattr(found, name) for name in Figures.__struct_fields__ if name != "up_to"} == dict.fromkeys(
        (name for name in Figures.__struct_fields__ if name != "up_to"), 2
    )
    assert {getattr(found.at(7), name) for name in UpTo.__struct_fields__} == {2}
