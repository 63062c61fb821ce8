"""`flybridge import` of raw data: what is shown before, what is taken, and how it goes on after it was broken off."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flybridge import wiring
from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.history.files import find_files
from flybridge.history.progress import Progress
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.history.survey import GONE
from flybridge.history.take import BLOCK
from flybridge.records import Deliver, Envelope, Media, Source, day_of
from flybridge.sandbox.server import Sandbox
from flybridge.service import backends
from flybridge.testing.clocks import ManualClock
from flybridge.testing.inside import Inside

NOW = SystemClock().now_ms()
HEADER = (
    "AppsFlyer ID,Event Name,Event Time,Install Time,Event Value,Event Revenue,Event Revenue Currency,"
    "Custom Data,Media Source\n"
)
NAMES = [name.lower().replace(" ", "_") for name in HEADER.strip().split(",")]


def row(number: int, name: str, time: str, *, revenue: str = "", source: str = "tiktok") -> str:
    """Write a row whose person Amplitude knows."""
    custom = f'"{{""amplitude_device_id"":""device-{number}""}}"'
    currency = "EUR" if revenue else ""
    return f"1-{number},{name},{time},2025-03-01 10:00:00,,{revenue},{currency},{custom},{source}\n"


def forget(config: Path, installation: str) -> None:
    """Forget a person, whose events are from before."""

    async def work() -> None:
        settings = load(config, {})
        body = json.dumps({"appsflyer_id": installation, "event_name": "buy"}).encode()
        (filing,) = wiring.build_flow(settings).filings([Envelope("shop", Source.PUSH, Media.JSON, NOW, body)])
        async with backends.opened_store(settings) as store:
            await store.forget(filing.persons[0].keys, NOW, receipt="request")

    asyncio.run(work())


@pytest.fixture
def config(smallest_config: Path) -> Path:
    """Return a configuration whose app has the route `http_v2`."""
    return smallest_config


def run(config: Path, *words: str, answer: str | None = None):
    """Run a command."""
    return CliRunner().invoke(app, [*words, "--config", str(config)], input=answer)


def processed(config: Path) -> Counter[str]:
    """File what is in the inbox. Returns all outcomes so far."""

    async def work() -> Counter[str]:
        settings = load(config, {})
        flow = wiring.build_flow(settings)
        async with backends.opened(settings) as (inbox, store):
            while leased := await inbox.lease(1000, NOW, 60_000):
                await store.file(flow.filings(leased.envelopes), NOW)
                await inbox.ack(leased)
            counts: Counter[str] = Counter()
            for count in await store.counts():
                counts[count.outcome] += count.n
            assert await store.audit() == []
            assert sum((await inbox.received()).values()) == counts.total()
            return counts

    return asyncio.run(work())


def test_a_dry_run_adds_up_what_would_be_sent(config, tmp_path):
    """The point of a plain number is decimal, of yen as well."""
    sale = row(1, "af_purchase", "2025-03-02 10:00:00", revenue="1.000")
    grouped = row(1, "af_purchase", "2025-03-03 10:00:00", revenue='"1,000"')
    (tmp_path / "yen.csv").write_text((HEADER + sale + grouped).replace(",EUR,", ",JPY,"))
    result = run(config, "import", str(tmp_path / "yen.csv"), "--timezone", "UTC", "--dry-run", "--json")
    assert json.loads(result.stdout)["revenue"] == {"JPY": 1001.0}


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_dry_run_adds_up_only_what_is_sent(config, tmp_path, quote):
    """Not what is filtered, such as the second attribution of a purchase, nor what was imported before."""
    rows = (
        "1-1,buy,2025-03-02 10:00:00,9.50,EUR,false,tiktok",
        "1-1,buy,2025-03-02 10:00:00,9.50,EUR,true,meta",
        "1-2,uninstall,2025-04-02 10:00:00,,,,",
        "1-3,buy,2025-05-02 10:00:00,2,EUR,,dropped",
    )
    names = (
        "AppsFlyer ID,Event Name,Event Time,Event Revenue,Event Revenue Currency,Is Primary Attribution,Media Source\n"
    )
    lines = "".join(line.replace("tiktok", f"{quote}tik\ntok{quote}" if quote else "tiktok") + "\n" for line in rows)
    (tmp_path / "all.csv").write_text(names + lines)
    with config.open("a") as file:
        file.write('[apps.restrictions]\n"dropped" = "drop"\n')
    words = ("import", str(tmp_path / "all.csv"), "--timezone", "UTC")
    survey = json.loads(run(config, *words, "--dry-run", "--json").stdout)
    assert (survey["revenue"], survey["months"]) == ({"EUR": 9.5}, {"2025-03": 1})
    assert run(config, *words, "--yes").exit_code == 0
    processed(config)
    survey = json.loads(run(config, *words, "--dry-run", "--json").stdout)
    assert (survey["revenue"], survey["months"]) == ({}, {})


def test_a_dry_run_takes_nothing_and_says_what_is_there(config, tmp_path):
    """RawRows by report and outcome, first and last time, months, revenue, bad lines."""
    (tmp_path / "january.csv").write_text(
        HEADER
        + row(1, "install", "2025-03-01 10:00:00")
        + row(1, "af_purchase", "2025-03-02 10:00:00", revenue="4.50")
        + row(1, "af_purchase", "2025-04-02 10:00:00", revenue="0.25")
        + row(2, "uninstall", "2025-04-03 10:00:00")
        + "broken\n"
    )
    (tmp_path / "clicks.csv").write_text(HEADER + row(3, "", "2025-03-01 10:00:00"))
    result = run(config, "import", str(tmp_path), "--timezone", "Europe/Berlin", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    survey = json.loads(result.stdout)
    assert survey["outcomes"] == {
        "in-app events": {"sent": 2},
        "installs": {"sent": 1},
        "uninstalls": {"filtered: uninstall": 1},
    }
    assert (survey["rows"], survey["bad"], survey["left_out"]) == (6, 1, {"clicks": 1})
    assert survey["revenue"] == {"EUR": 4.75}
    assert survey["months"] == {"2025-03": 1, "2025-04": 1}
    (span,) = survey["spans"]
    assert (span["zone"], span["first"], span["last"]) == (
        "Europe/Berlin",
        "2025-03-01 09:00:00",
        "2025-04-03 08:00:00",
    )
    assert survey["first_bad"] == [f"{tmp_path / 'january.csv'}, line 6: It has 1 values, and the header has 9."]
    assert not (tmp_path / "data" / "inbox.db").exists() or processed(config).total() == 0


def test_a_dry_run_knows_whose_users_amplitude_has_shown(config, tmp_path):
    """Events that do not name their user are sent, if an export or the stream has."""
    path, exported = tmp_path / "january.csv", tmp_path / "export.csv"
    lines = [row(n, "buy", "2025-03-02 10:00:00").replace(f"device-{n}", "") for n in (1, 2, 2)]
    path.write_text(HEADER + "".join(lines) + row(3, "buy", "2025-03-02 10:00:00"))
    exported.write_text("user_id,appsflyer_id\nada@example.com,1-2\n")
    for outcomes in ({"sent": 1, "held until its user is known": 3}, {"sent": 3, "held until its user is known": 1}):
        result = run(config, "import", str(path), "--timezone", "UTC", "--dry-run", "--json")
        assert json.loads(result.stdout)["outcomes"] == {"in-app events": outcomes}
        assert run(config, "import", "--sightings", str(exported)).exit_code == 0
        before = processed(config)
    assert run(config, "import", str(path), "--timezone", "UTC", "--yes").exit_code == 0
    assert processed(config) - before == {"pending": 3, "held": 1}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_dry_run_knows_who_was_forgotten(config, tmp_path, ending):
    """A row is read whole to say so, also where columns would prove what becomes of it."""
    path, lines = tmp_path / f"january.{ending}", [row(n, "buy", "2025-03-02 10:00:00", revenue="1") for n in (1, 2, 2)]
    if ending == "csv":
        path.write_text(HEADER + "".join(lines) + row(1, "buy", "soon") + row(2, "buy", "soon"))
    else:
        values = zip(*csv.reader([*lines, row(1, "buy", "soon"), row(2, "buy", "soon")]), strict=True)
        pq.write_table(pa.table(dict(zip(HEADER.strip().split(","), values, strict=True))), path)
    for words in ({"sent": 3, "dead: no_event_time": 2}, {"sent": 2, "dead: no_event_time": 2, GONE: 1}):
        result = run(config, "import", str(path), "--timezone", "UTC", "--dry-run", "--json")
        assert json.loads(result.stdout)["outcomes"] == {"in-app events": words}
        assert json.loads(result.stdout)["revenue"] == {"EUR": float(words["sent"])}
        forget(config, "1-1")
    assert run(config, "import", str(path), "--timezone", "UTC", "--yes").exit_code == 0
    assert processed(config) == {"pending": 2, "dead": 2, "forgotten": 1}


def test_it_asks_and_takes_nothing_without_a_yes(config, tmp_path):
    """What is in Amplitude can't be deleted."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, "install", "2025-03-01 10:00:00"))
    result = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "UTC", answer="n\n")
    assert result.exit_code == 1
    assert "Nothing can be deleted in Amplitude" in result.output
    assert processed(config).total() == 0
    result = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "UTC", answer="y\n")
    assert result.exit_code == 0, result.output
    assert processed(config) == {"pending": 1}


def test_the_zone_is_asked_for(config, tmp_path):
    """Nothing is taken of a file whose times may mean anything."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, "install", "2025-03-01 10:00:00"))
    result = run(config, "import", str(tmp_path / "a.csv"), "--yes")
    assert isinstance(result.exception, FlybridgeError)
    assert "--timezone" in str(result.exception)
    assert not result.output


def test_a_dry_run_without_a_zone_shows_utc_and_that_it_will_be_asked_for(config, tmp_path):
    """As far as a file says nothing: names of the API are UTC."""
    marked, unmarked = tmp_path / "a.csv", tmp_path / "b.csv"
    unmarked.write_text(HEADER + row(1, "install", "2025-03-01 10:00:00"))
    marked.write_text(",".join(NAMES) + "\n" + row(2, "buy", "2025-03-02 10:00:00"))
    result = run(config, "import", str(tmp_path), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "If times are UTC: from 2025-03-01 10:00:00 to 2025-03-02 10:00:00 UTC." in result.stdout
    assert "1 file does not say in which zone its times are" in result.stderr
    assert "--timezone" in result.stderr
    assert "--timezone" not in run(config, "import", str(marked), "--dry-run").stderr
    assert json.loads(run(config, "import", str(tmp_path), "--dry-run", "--json").stdout)["unmarked"] == 1


def test_a_dry_run_compares_several_zones(config, tmp_path):
    """What was pushed is a duplicate in the right one. An import takes one."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, "af_purchase", "2025-07-02 10:00:00", revenue="1"))
    (tmp_path / "b.csv").write_text(HEADER + row(1, "af_purchase", "2025-07-02 08:00:00", revenue="1"))
    assert run(config, "import", str(tmp_path / "b.csv"), "--timezone", "UTC", "--yes").exit_code == 0
    processed(config)
    words = ("import", str(tmp_path / "a.csv"), "--timezone", "UTC", "--timezone", "Europe/Berlin")
    found = json.loads(run(config, *words, "--dry-run", "--json").stdout)
    assert [one["outcomes"]["in-app events"] for one in found] == [{"sent": 1}, {"duplicate": 1}]
    shown = run(config, *words, "--dry-run").stdout
    assert "1 row in 1 file, if times are UTC" in shown
    assert "1 row in 1 file, if times are Europe/Berlin" in shown
    assert run(config, *words, "--yes").exit_code == 2
    assert processed(config) == {"pending": 1}


def test_a_dry_run_warns_as_the_import_would(config, tmp_path):
    """Of users that Amplitude has not shown."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, "install", "2025-10-26 02:30:00"))
    result = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "Europe/Berlin", "--dry-run")
    assert "Amplitude has shown no user of this app yet" in result.stderr
    assert "1 time lies in an hour that the clock has twice." in result.stdout


def test_history_is_refused_on_the_route_attribution(config, tmp_path):
    """With the reason."""
    with config.open("a") as file:
        file.write('route = "attribution"\n')
    (tmp_path / "a.csv").write_text(HEADER)
    result = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "UTC", "--yes")
    assert isinstance(result.exception, ConfigError)
    assert "72 hours" in str(result.exception)


@pytest.mark.parametrize("form", ["csv", "api", "parquet"])
def test_rows_of_other_apps_are_left_out_and_counted(config, tmp_path, form):
    """A Data Locker has those of all apps of the account. They are no dead letters, whether they have a time or not."""
    apps = ("com.example.shop", "com.example.other", "", "COM.EXAMPLE.SHOP ", "id123")
    names = [*HEADER.strip().split(","), "App ID"]
    if form == "api":
        names = [name.lower().replace(" ", "_") for name in names]
    lines = [f"{row(n, 'buy', '2025-03-02 10:00:00').strip()},{app}\n" for n, app in enumerate(apps)]
    lines.append(f"{row(9, 'buy', 'soon').strip()},com.example.other\n")
    path = tmp_path / ("all.parquet" if form == "parquet" else "all.csv")
    if form == "parquet":
        pq.write_table(pa.table(dict(zip(names, zip(*csv.reader(lines), strict=True), strict=True))), path)
    else:
        path.write_text(",".join(names) + "\n" + "".join(lines))
    words = ("import", str(path), "--timezone", "UTC", "--json")
    survey = json.loads(run(config, *words, "--dry-run").stdout)
    assert (survey["outcomes"], survey["left_out"]) == ({"in-app events": {"sent": 3}}, {"other apps": 3})
    (done,) = json.loads(run(config, *words).stdout)
    assert (done["taken"], done["left_out"], processed(config)) == (3, {"other apps": 3}, {"pending": 3})
    if form != "parquet":
        explained = json.loads(run(config, "explain", str(path), "--json").stdout)
        assert [one["outcome"] for one in explained].count("left_out") == 3


def test_rows_of_other_packages_are_left_out_and_counted(config, tmp_path):
    """Of Android, where a row does not say its app. A bundle id of iOS says nothing of the app."""
    said = [
        ("android", "com.example.shop", ""),
        ("Android", "com.example.other", ""),
        ("android", "com.example.other", "com.example.shop"),
        ("android", "", ""),
        ("", "com.example.other", ""),
    ]
    lines = [f"{row(n, 'buy', '2025-03-02 10:00:00').strip()},{','.join(words)}\n" for n, words in enumerate(said)]
    path = tmp_path / "all.csv"
    path.write_text(HEADER.strip() + ",Platform,Bundle ID,App ID\n" + "".join(lines))
    words = ("import", str(path), "--timezone", "UTC", "--json")
    survey = json.loads(run(config, *words, "--dry-run").stdout)
    assert (survey["outcomes"], survey["left_out"]) == (
        {"in-app events": {"sent": 3, "dead: other_app": 1}},
        {"other apps": 1},
    )
    (done,) = json.loads(run(config, *words).stdout)
    assert (done["taken"], done["left_out"]) == (4, {"other apps": 1})
    assert processed(config) == {"pending": 3, "dead": 1}


def test_rows_in_the_folder_of_another_app_are_left_out_and_counted(config, tmp_path):
    """Of a Data Locker whose data is segregated by app the path says whose they are, and no column need."""
    for n, of in enumerate(("com.example.shop", "com.example.other", "id123456789")):
        path = tmp_path / f"home/t=inapps/dt=2025-03-02/h=10/app_id={of}/part-00000.csv"
        path.parent.mkdir(parents=True)
        path.write_text(HEADER + row(n, "buy", "2025-03-02 10:00:00") + row(n, "install", "2025-03-01 10:00:00"))
    words = ("import", str(tmp_path / "home"), "--timezone", "UTC", "--json")
    survey = json.loads(run(config, *words, "--dry-run").stdout)
    assert (survey["rows"], survey["left_out"]) == (6, {"other apps": 4})
    assert {report: sum(found.values()) for report, found in survey["outcomes"].items()} == {
        "installs": 1,
        "in-app events": 1,
    }
    done = json.loads(run(config, *words).stdout)
    assert [(one["taken"], one["left_out"]) for one in done] == [
        (0, {"other apps": 2}),
        (2, {}),
        (0, {"other apps": 2}),
    ]


def test_of_versions_that_a_data_locker_has_the_newest_is_imported(config, tmp_path):
    """Ad revenue is written again for the same day, with other amounts. A folder that is only called so is none."""
    for place, persons in (
        ("t=ad_revenue/dt=2025-03-02/version=9", (1,)),
        ("t=ad_revenue/dt=2025-03-02/version=10", (1, 2)),
        ("t=ad_revenue/dt=2025-03-01/version=1", (3,)),
        ("exports/v=1", (4,)),
        ("exports/v=2", (5,)),
    ):
        path = tmp_path / "home" / place / "part-0.csv"
        path.parent.mkdir(parents=True)
        path.write_text(HEADER + "".join(row(n, "af_ad_revenue", "2025-03-02 10:00:00") for n in persons))
    words = ("import", str(tmp_path / "home"), "--timezone", "UTC")
    for more in ("--dry-run", "--yes"):
        assert "1 file is left out: a Data Locker has later versions" in run(config, *words, more).output
    assert processed(config) == {"pending": 5}


def test_a_dry_run_says_what_it_does_not_know(config, tmp_path):
    """Messages that wait in the inbox, and that a file is not read again."""
    (tmp_path / "january.csv").write_text(HEADER + row(1, "buy", "2025-03-02 10:00:00"))
    words = ("import", str(tmp_path / "january.csv"), "--timezone", "UTC")
    new, waits = run(config, *words, "--dry-run"), "1 message waits in the inbox"
    known = "1 file was imported before, and is not read again without --again."
    assert (waits in new.output, known in new.output) == (False, False)
    assert run(config, *words, "--yes").exit_code == 0
    imported = run(config, *words, "--dry-run")
    assert ("sent  " in imported.output, waits in imported.output, known in imported.output) == (True, True, True)
    processed(config)
    filed, again = run(config, *words, "--dry-run"), run(config, *words, "--dry-run", "--again")
    assert ("duplicate" in filed.output, waits in filed.output, known in filed.output) == (True, False, True)
    assert ("duplicate" in again.output, known in again.output) == (True, False)


def test_overlapping_files_and_repeats_change_nothing(config, tmp_path):
    """Equal rows of one file are as many events; the same rows in other files are none."""
    same = row(1, "af_purchase", "2025-03-02 10:00:00", revenue="1")
    others = "".join(row(1, "af_purchase", f"2025-03-02 11:{n:02}:00", revenue="1") for n in range(50))
    (tmp_path / "a.csv").write_text(HEADER + same + same + others)
    (tmp_path / "b.csv").write_text(HEADER + others + same)
    (tmp_path / "c.csv").write_text(HEADER + same + row(1, "install", "2025-03-01 10:00:00") + same)
    assert run(config, "import", str(tmp_path), "--timezone", "UTC", "--yes").exit_code == 0
    assert processed(config) == {"pending": 53, "duplicate": 53}
    again = run(config, "import", str(tmp_path), "--timezone", "UTC", "--yes")
    assert again.output.count("imported before  ") + again.output.count("imported before\n") == 3
    assert "--again reads them again" in again.output
    assert run(config, "import", str(tmp_path), "--timezone", "UTC", "--yes", "--again").exit_code == 0
    assert processed(config) == {"pending": 53, "duplicate": 53 + 106}


def test_of_many_files_those_that_want_attention_are_listed(config, tmp_path, monkeypatch):
    """An hour's folders of a Data Locker are many."""
    monkeypatch.setenv("COLUMNS", "400")  # a line for each, whatever the directory is called
    for number in range(60):
        text = row(1, "af_purchase", f"2025-03-02 10:{number:02}:00")
        (tmp_path / f"part-{number}.csv").write_text(HEADER + text + ("broken\n" if number == 7 else ""))
    result = run(config, "import", str(tmp_path), "--timezone", "UTC", "--yes")
    listed = [line.split() for line in result.output.splitlines() if "imported" in line]
    assert [line[1:5] for line in listed] == [["2", "1", "0", "1"], ["files", "61", "60", "0"]]
    assert listed[0][0].endswith("part-7.csv")
    assert listed[1][0] == "60"


def test_gaps_against_a_data_locker_tell_what_waits_and_what_is_missing(config, tmp_path):
    """For days of any age. What was imported is missing until it is filed."""
    folder = tmp_path / "locker" / "t=inapps" / "dt=2025-03-02" / "h=10"
    folder.mkdir(parents=True)
    (folder / "part-0.csv").write_text(HEADER + row(1, "af_purchase", "2025-03-02 10:00:00"))
    config.write_text(f'{config.read_text()}\n[apps.history]\nlocker = "{tmp_path / "locker"}"\n')
    span = ("--from", "2025-03-01", "--to", "2025-03-03", "--locker")
    assert run(config, "import", str(folder), "--timezone", "UTC", "--yes").exit_code == 0
    before = run(config, "gaps", *span)
    assert before.exit_code == 1
    assert "1 message waits in the inbox" in before.output
    assert "With --fill, what is missing is read." in before.output
    assert processed(config) == {"pending": 1}
    after = run(config, "gaps", *span)
    assert after.exit_code == 0, after.output
    assert after.output.splitlines() == [
        "Nothing is missing.",
        "1 row in AppsFlyer, 0 missing here, 0 read now.",
    ]


def test_the_hour_that_a_clock_has_twice_is_the_same_in_local_files_pushes_and_gaps(config, tmp_path):
    """A row of 02:30 in Berlin is the event that was pushed at 00:30 or at 01:30 UTC."""

    async def push(*times: str) -> None:
        async with backends.opened(load(config, {})) as (inbox, _):
            for time in times:
                body = dict(zip(NAMES, row(1, "af_purchase", time, revenue="1").split(","), strict=True))
                body["custom_data"] = json.dumps({"amplitude_device_id": "device-1"})
                await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW, json.dumps(body).encode()))

    folder = tmp_path / "locker" / "t=inapps" / "dt=2025-10-26" / "h=10"
    folder.mkdir(parents=True)
    config.write_text(f'{config.read_text()}\n[apps.history]\nlocker = "{tmp_path / "locker"}"\n')
    local = row(1, "af_purchase", "2025-10-26 02:30:00", revenue="1")
    (tmp_path / "local.csv").write_text(HEADER + local + local)
    (folder / "part-0.csv").write_text(HEADER + row(1, "af_purchase", "2025-10-26 01:30:00", revenue="1"))
    berlin = ("import", str(tmp_path / "local.csv"), "--timezone", "Europe/Berlin")
    asyncio.run(push("2025-10-26 01:30:00.250"))
    assert processed(config) == {"pending": 1}
    survey = json.loads(run(config, *berlin, "--dry-run", "--json").stdout)
    assert survey["outcomes"] == {"in-app events": {"duplicate": 1, "sent": 1}}
    assert survey["spans"][0]["ambiguous"] == 2
    assert run(config, *berlin, "--yes").exit_code == 0
    assert processed(config) == {"pending": 2, "duplicate": 1}
    asyncio.run(push("2025-10-26 00:30:00.100"))
    assert processed(config) == {"pending": 2, "duplicate": 2}
    found = run(config, "gaps", "--from", "2025-10-26", "--to", "2025-10-27", "--locker")
    assert "1 row in AppsFlyer, 0 missing here" in found.output, found.output


async def test_reports_of_the_sandbox_in_local_time_repeat_what_was_pushed(config, tmp_path):
    """Of the night in which clocks are set back as well; in a zone that is not the app's there is no report."""
    sandbox = Sandbox(ManualClock(1_792_972_800_000))  # 2026-10-26
    inside = Inside(sandbox)
    app_id, minutes = "com.example.shop", range(0, 240, 15)
    moments = [datetime(2026, 10, 24, 23, tzinfo=UTC) + timedelta(minutes=minute) for minute in minutes]
    messages = [
        {
            "appsflyer_id": f"1-{number % 2}",
            "event_name": "af_purchase",
            "event_time": f"{moment:%Y-%m-%d %H:%M:%S}.{number:03}",
            "install_time": "2026-10-25 01:15:00.500",
            "media_source": "tiktok",
            "custom_data": json.dumps({"amplitude_device_id": "device-1"}),
        }
        for number, moment in enumerate(moments)
    ]

    async def answer(method: str, path: str, body: bytes = b"") -> HttpResponse:
        return await inside.send(HttpRequest(method, f"http://sandbox{path}", {"Authorization": "Bearer t"}, body))

    await answer("POST", f"/sandbox/reports/app?app={app_id}&timezone=Europe/Berlin")
    await answer("POST", f"/sandbox/raw/happened?app={app_id}", b"\n".join(map(msgspec.json.encode, messages)))
    report = f"/api/raw-data/export/app/{app_id}/in_app_events_report/v5?from=2026-10-25&to=2026-10-25"
    more = "&additional_fields=custom_data"
    assert (await answer("GET", f"{report}&timezone=Asia/Tokyo")).status == 400
    redirect = await answer("GET", f"{report}&timezone=Europe/Berlin{more}")
    location = urlsplit(redirect.headers["location"])
    page = sandbox.raw_pull.own_page({"method": "GET", "path": location.path, "query_string": b"", "headers": []}, b"")
    (tmp_path / "local.csv").write_bytes(page.content)
    assert page.content.count(b"2026-10-25 02:30:00") == 2

    async with backends.opened(load(config, {})) as (inbox, _):
        for message in messages:
            body = msgspec.json.encode(message)
            await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW, body))

    def imported() -> Counter[str]:
        processed(config)
        words = ("import", str(tmp_path / "local.csv"), "--timezone", "Europe/Berlin", "--yes")
        assert run(config, *words).exit_code == 0
        return processed(config)

    counts = await asyncio.to_thread(imported)
    assert counts["pending"] == len(messages)
    assert counts["duplicate"] == page.content.count(b"af_purchase") > 12


def test_a_bad_row_is_a_dead_letter_with_its_place(config, tmp_path):
    """It can be found, and the others are imported."""
    (tmp_path / "a.csv").write_text(HEADER + "broken\n" + row(1, "install", "2025-03-01 10:00:00"))
    result = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "UTC", "--yes")
    assert result.exit_code == 1
    assert "1 row becomes a dead letter: flybridge dead shows" in result.output
    assert processed(config) == {"pending": 1, "dead": 1}
    listed = run(config, "dead", "--json")
    (letter,) = json.loads(listed.stdout)
    assert letter["reason"] == "bad_row"
    assert f"{tmp_path / 'a.csv'}, line 2: It has 1 values" in letter["what_happened"]


@pytest.mark.parametrize("time", ["", "11/12/2025 10:00", "soon", "0", "2025-13-01 10:00:00"])
@pytest.mark.parametrize("event", ["af_purchase", "re-engagement"])
def test_a_row_without_a_time_is_not_dated_to_today(config, tmp_path, event, time):
    """Nothing can be deleted in Amplitude. It is a dead letter, and comes in when the file is mended."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, event, time) + row(1, "install", "2025-03-01 10:00:00"))
    words = ("import", str(tmp_path / "a.csv"), "--timezone", "UTC", "--yes")
    dry = run(config, *words, "--dry-run", "--json")
    assert "dead: no_event_time" in dry.output, dry.output
    assert run(config, *words).exit_code == 0
    assert processed(config) == {"pending": 1, "dead": 1}
    (letter,) = json.loads(run(config, "dead", "--json").stdout)
    assert letter["reason"] == "no_event_time"
    assert f"{tmp_path / 'a.csv'}, line 2: It" in " ".join(map(str, letter.values()))
    (tmp_path / "a.csv").write_text(HEADER + row(1, event, "2025-03-02 10:00:00"))
    run(config, *words)
    assert processed(config) == {"pending": 2, "dead": 1}


@pytest.mark.parametrize("days", [(), ("--from", "2025-03-01", "--to", "2025-03-31")])
def test_a_row_without_a_time_is_shown_and_widens_no_span(config, tmp_path, days):
    """An event may be months younger than its install. It is a dead letter, whichever days are wanted."""
    lines = [row(1, "buy", "2025-03-02 10:00:00"), row(2, "buy", ""), row(3, "install", "")]
    installed = ("2024-01-01 00:00:00", "2024-01-01 00:00:00", "2025-03-03 00:00:00")
    moved = [line.replace("2025-03-01 10:00:00", time) for line, time in zip(lines, installed, strict=True)]
    (tmp_path / "a.csv").write_text(HEADER + "".join(moved))
    said = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "UTC", "--dry-run", "--json", *days)
    found = json.loads(said.stdout)
    assert [(one["first"], one["last"]) for one in found["spans"]] == [("2025-03-02 10:00:00", "2025-03-03 00:00:00")]
    assert found["outcomes"]["in-app events"]["dead: no_event_time"] == 1
    assert found["rows"] == 3


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_times_of_files_with_api_names_are_shown_as_utc(config, tmp_path, ending):
    """Whichever zone is named for the others."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, "buy", "2025-03-02 10:00:00"))
    if ending == "csv":
        (tmp_path / "b.csv").write_text(",".join(NAMES) + "\n" + row(2, "buy", "2025-03-02 10:00:00"))
    else:
        times = ["2025-03-02 10:00:00"]
        pq.write_table(
            pa.table({"appsflyer_id": ["1-2"], "event_name": ["buy"], "event_time": times}), tmp_path / "b.parquet"
        )
    words = ("import", str(tmp_path), "--timezone", "Europe/Berlin", "--dry-run", "--json")
    spans = {one["zone"]: one["first"] for one in json.loads(run(config, *words).stdout)["spans"]}
    assert spans == {"Europe/Berlin": "2025-03-02 09:00:00", "UTC": "2025-03-02 10:00:00"}


def test_a_dry_run_counts_what_is_in_several_files_once(config, tmp_path):
    """As the import does. Equal rows of one file happened as often as they are there."""
    sale = row(1, "af_purchase", "2025-03-01 10:00:00", revenue="2")
    later = row(1, "af_purchase", "2025-03-02 10:00:00", revenue="3")
    (tmp_path / "a.csv").write_text(HEADER + sale * 2 + row(2, "install", "2025-03-01 10:00:00"))
    (tmp_path / "b.csv").write_text(HEADER + sale * 3 + later + row(2, "install", "2025-03-01 10:00:00"))
    words = ("import", str(tmp_path), "--timezone", "UTC")
    survey = json.loads(run(config, *words, "--dry-run", "--json").stdout)
    sent = {
        report: counts.get("sent", 0) + counts.get("held until its user is known", 0)
        for report, counts in survey["outcomes"].items()
    }
    assert sent == {"in-app events": 4, "installs": 1}
    assert survey["revenue"] == {"EUR": 9.0}
    run(config, *words, "--yes")
    counts = processed(config)
    assert counts["duplicate"] == 3
    assert sum(counts.values()) - counts["duplicate"] == 5


def test_a_file_that_cant_be_read_is_named_and_costs_no_other(config, tmp_path):
    """All of them are named at once; the rest is imported."""
    (tmp_path / "a.csv").write_text(HEADER + row(1, "install", "2025-03-01 10:00:00"))
    (tmp_path / "b.csv").write_text("hello,world\n")
    (tmp_path / "c.csv.gz").write_bytes(
        gzip.compress((HEADER + row(2, "install", "2025-03-01 10:00:00")).encode())[:-9]
    )
    (tmp_path / "d.zip").write_bytes(b"PK\x03\x04 and what a broken download has left")
    words = ("import", str(tmp_path), "--timezone", "UTC")
    dry = run(config, *words, "--dry-run")
    assert dry.exit_code == 1
    for said in ("b.csv has no header", "c.csv.gz can't be read", "d.zip can't be read as an archive", "in 4 files"):
        assert said in " ".join(dry.output.split()), dry.output
    assert run(config, *words, "--yes").exit_code == 1
    assert processed(config)["pending"] >= 1


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_the_whole_rows_of_a_broken_download_are_taken_also_if_it_is_the_only_file(config, tmp_path, words):
    """The look beforehand reads only times, and has to find the same rows."""
    lines = [row(n, "install", f"2025-03-0{n} 10:00:00") for n in range(1, 6)]
    packed = gzip.compress((HEADER + "".join(lines)).encode(), 0)
    (tmp_path / "a.csv.gz").write_bytes(packed[:-30])
    done = run(config, "import", str(tmp_path / "a.csv.gz"), "--timezone", "UTC", "--yes", *words)
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "a.csv.gz can't be read: its compressed data breaks off" in said
    if words:
        assert "from 2025-03-01 10:00:00 to 2025-03-04 10:00:00 UTC" in said
    else:
        assert processed(config).total() == 4


def test_only_the_days_that_are_named_are_taken(config, tmp_path):
    """`--from` and `--to` are UTC days of the events."""
    days = "".join(row(1, "af_purchase", f"2025-03-0{day} 10:00:00", revenue="1") for day in range(1, 10))
    (tmp_path / "a.csv").write_text(HEADER + days)
    words = (
        "import",
        str(tmp_path / "a.csv"),
        "--timezone",
        "UTC",
        "--yes",
        "--from",
        "2025-03-03",
        "--to",
        "2025-03-05",
    )
    assert run(config, *words).exit_code == 0
    assert processed(config) == {"pending": 3}


def test_days_that_were_received_live_and_are_forgotten_are_refused(config, tmp_path):
    """Their events would be sent a second time."""
    begun, long_ago = NOW - 60 * 86_400_000, day_of(NOW - 30 * 86_400_000)

    async def receive() -> None:
        settings = load(config, {})
        async with backends.opened(settings) as (inbox, _):
            body = json.dumps({"event_name": "a", "appsflyer_id": "1-1"}).encode()
            for at in (begun, NOW):
                await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, at, body))

    asyncio.run(receive())
    processed(config)
    (tmp_path / "a.csv").write_text(HEADER + row(1, "af_purchase", f"{long_ago} 10:00:00", revenue="1"))
    result = run(config, "import", str(tmp_path / "a.csv"), "--timezone", "UTC", "--yes")
    assert result.exit_code != 0
    assert "a second time" in str(result.exception)


class Killed(Exception):
    """In place of SIGKILL."""


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
async def test_it_goes_on_after_it_was_killed(tmp_path, ending):
    """However often, and wherever in a block: each row has its ordinal, and nothing is lost or new."""
    path = tmp_path / f"a{ending}"
    names = ["appsflyer_id", "event_name", "event_time", "event_value"]
    values = [(f"1-{n % 7}", "buy", "2025-03-02 10:00:00", "x\ny" if n % 3 else "") for n in range(3 * BLOCK + 77)]
    if ending == ".csv":
        lines = [f'{a},{b},{c},"{d}"\n' for a, b, c, d in values]
        path.write_text(",".join(names) + "\n" + "".join(lines))
    else:
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*values, strict=True)), strict=True))), path)
    expected: Counter[bytes] = Counter()
    wanted = set()
    for value in values:
        fields = {name: text for name, text in zip(names, value, strict=True) if text}
        expected[json.dumps(fields).encode()] += 1
        wanted.add((tuple(fields.items()), expected[json.dumps(fields).encode()]))
    taken: list[Envelope] = []
    left = [BLOCK + 10, BLOCK + 3, 1, 10**9]

    async def accept(envelope: Envelope) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        taken.append(envelope)

    plan = ImportPlan("shop", "com.example.shop", find_files([str(path)]))
    while len(left) > 0:
        importing = HistoryImport(plan, tmp_path / "data", SystemClock())
        try:
            await importing.take(accept)
            break
        except Killed:
            left.pop(0)
        finally:
            importing.close()
    assert {(tuple(json.loads(one.body).items()), one.ordinal) for one in taken} == wanted
    # What had been accepted and not noted comes again, and no more than a block each time.
    assert len(values) <= len(taken) <= len(values) + 3 * BLOCK


async def test_history_leaves_the_present_of_a_user_alone(tmp_path, config):
    """Old events carry only their own properties; attribution is set once, by the newest conversion."""
    path = tmp_path / "a.csv"
    path.write_text(
        HEADER
        + row(1, "install", "2025-03-01 10:00:00", source="first")
        + row(1, "re-engagement", "2025-03-05 10:00:00", source="second")
        + row(1, "af_purchase", "2025-03-06 10:00:00", revenue="1", source="second")
    )
    settings = load(config, {})
    taken: list[Envelope] = []

    async def accept(envelope: Envelope) -> None:
        taken.append(envelope)

    plan = ImportPlan("shop", "com.example.shop", find_files([str(path)]), "UTC")
    importing = HistoryImport(plan, tmp_path / "data", SystemClock())
    await importing.survey()
    await importing.take(accept)
    importing.close()
    items = [filing.decision for filing in wiring.build_flow(settings).filings(taken)]
    assert all(isinstance(item, Deliver) and item.endpoint == "batch" for item in items)
    install, engagement, purchase = [[json.loads(line) for line in item.body.splitlines()] for item in items]
    assert all(event[-1]["$skip_user_properties_sync"] for event in (install, engagement, purchase))
    assert list(install[0]["user_properties"]) == ["$setOnce"]
    assert install[0]["user_properties"]["$setOnce"]["[AppsFlyer] initial media source"] == "first"
    assert "[AppsFlyer] media source" not in install[0]["user_properties"]["$setOnce"]
    assert engagement[0]["user_properties"] == {"$setOnce": engagement[0]["user_properties"]["$setOnce"]}
    assert engagement[0]["user_properties"]["$setOnce"]["[AppsFlyer] media source"] == "second"
    assert len(purchase) == 1


def test_the_file_of_checkpoints_is_private(tmp_path):
    """It names files, and hashes of whose rows they hold."""
    progress = Progress(tmp_path / "data" / "imports.db")
    progress.close()
    assert (tmp_path / "data" / "imports.db").stat().st_mode & 0o077 == 0


def test_the_rate_of_sending_bounds_history_and_the_rate_of_an_import_names_it(config):
    """`--rate` bounds what goes into the inbox."""
    config.write_text(f"{config.read_text()}\n[delivery]\nitems_per_s = 700\n")
    limits = {
        lane.endpoint: endpoint.limits.items_per_s for lane, endpoint in wiring.endpoints_of(load(config, {})).items()
    }
    assert (limits["batch"], limits["http_v2"]) == (700, 700)
    text = " ".join(CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "go into the inbox" in text
    assert "delivery.items_per_s" in text
