"""`flybridge holds` and `flybridge import`, as people type them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge import wiring
from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.errors import ConfigError
from flybridge.records import Envelope, Media, Source
from flybridge.service import backends

NOW_MS = 1_764_000_000_000
CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "id123456789"
platform = "ios"

[apps.appsflyer]
push_token = "a-token"

[apps.amplitude]
api_key = "a-key"

[apps.hold]
window_hours = 720
"""
IDFV = "9A1B2C3D-0000-4000-8000-00000000000{}"


def postback(number: int) -> Envelope:
    """Build an install that has to wait."""
    body = {
        "event_name": "install",
        "event_time": f"2025-11-24 15:0{number}:00.000",
        "platform": "ios",
        "app_version": "4.2",
        "idfv": IDFV.format(number),
        "media_source": "tiktokglobal_int",
    }
    return Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, json.dumps(body).encode(), f"r{number}")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration whose store holds three installs."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)

    async def fill() -> None:
        settings = load(path, {})
        async with backends.opened_store(settings) as store:
            await store.file(wiring.build_flow(settings).filings([postback(n) for n in range(3)]), NOW_MS)

    asyncio.run(fill())
    return path


def flybridge(*words: str | Path, code: int = 0):
    """Run a command."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def listed(config: Path) -> list[dict]:
    """Return what waits."""
    return json.loads(flybridge("holds", "--config", config, "--json").stdout)


def test_the_listing_says_why(config):
    """Age, source, keys, time left and a sentence; nothing that names a person."""
    rows = listed(config)
    assert len(rows) == 3
    assert rows[0] | {"waits_for_s": 0, "time_left_s": 0} == {
        "id": rows[0]["id"],
        "app": "shop",
        "event": "[AppsFlyer] Install",
        "media_source": "tiktokglobal_int",
        "keys": "idfv",
        "waits_for_s": 0,
        "time_left_s": 0,
        "why": rows[0]["why"],
    }
    assert rows[0]["why"].startswith("No stream from Amplitude has arrived yet for shop")
    assert "9A1B2C3D" not in json.dumps(rows)


def test_summary_and_coverage(config):
    """Counts by cell, and shares with what they are of."""
    (row,) = json.loads(flybridge("holds", "-c", config, "--summary", "--json").stdout)
    assert (row["app"], row["media_source"], row["keys"], row["events"]) == ("shop", "tiktokglobal_int", "idfv", 3)
    found = json.loads(flybridge("holds", "-c", config, "--coverage", "--days", "9999", "--json").stdout)
    (version,) = found["by_app_version"]
    assert (version["app_version"], version["events"], version["any"], version["keys"]) == (
        "4.2",
        3,
        "100%",
        "idfv 100%",
    )
    assert found["falls"] == []
    assert (
        "Events that carry a key, by media source"
        in flybridge("holds", "-c", config, "--coverage", "--days", 9999).stdout
    )


def test_the_coverage_of_few_is_not_said_to_be_none(config):
    """For people; the shares in JSON are what they were."""

    async def fill() -> None:
        settings = load(config, {})
        body = {"event_name": "buy", "event_time": "2025-11-24 15:00:00.000", "platform": "ios", "app_version": "4.2"}
        others = [json.dumps({**body, "event_value": {"n": n}, "appsflyer_id": f"1-{n}"}).encode() for n in range(700)]
        envelopes = [
            Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, other, f"s{n}") for n, other in enumerate(others)
        ]
        async with backends.opened_store(settings) as store:
            await store.file(wiring.build_flow(settings).filings(envelopes), NOW_MS)

    asyncio.run(fill())
    words = ("holds", "-c", config, "--coverage", "--days", 9999)
    (version,) = json.loads(flybridge(*words, "--json").stdout)["by_app_version"]
    assert version["keys"] == "appsflyer_id 100%, idfv 0%"
    assert "appsflyer_id >99%, idfv <1%" in " ".join(flybridge(*words).stdout.split())


def test_release_needs_somebody_and_says_so(config):
    """A sentence per hold that stays, exit code 1; with a user it goes out."""
    first, second, third = (row["id"] for row in listed(config))
    refused = flybridge("holds", "release", first, "-c", config, code=1)
    assert f"Hold {first} can't be delivered: its user is not known." in refused.output
    assert len(listed(config)) == 3
    assert "Released: 2." in flybridge("holds", "release", first, second, "--user-id", "user-1", "-c", config).stdout
    assert [row["id"] for row in listed(config)] == [third]
    gone = flybridge("holds", "release", first, "--user-id", "user-1", "-c", config, code=1)
    assert f"Hold {first} does not wait, or not any more" in gone.output


def test_an_id_that_amplitude_refuses_is_refused_here(config):
    """Before anything is released."""
    assert "Amplitude would refuse" in flybridge("holds", "release", 1, "--user-id", "x", "-c", config, code=2).output
    assert len(listed(config)) == 3


def test_an_id_that_is_long_enough_for_the_app_is_taken(config):
    """As `min_id_length` says, which messages go by."""
    first = listed(config)[0]["id"]
    config.write_text(CONFIG.replace('api_key = "a-key"', 'api_key = "a-key"\nmin_id_length = 3'))
    assert "Amplitude would refuse" in flybridge("holds", "release", 1, "--user-id", "ab", "-c", config, code=2).output
    assert "Released: 1." in flybridge("holds", "release", first, "--user-id", "ada", "-c", config).stdout


def test_expire_ends_what_is_named(config):
    """The configuration may be named before or after the word."""
    first, second, _ = (row["id"] for row in listed(config))
    assert "Expired: 1." in flybridge("holds", "--config", config, "expire", first).stdout
    again = flybridge("holds", "expire", first, second, "--config", config, code=1)
    assert "Expired: 1." in again.output
    assert f"Hold {first} does not wait" in again.output
    assert len(listed(config)) == 1


def test_import_reports_lines(config, tmp_path):
    """What was read, what was bad, and exit code 1 for it; without saying what the files hold nothing is read."""
    people = tmp_path / "people.csv"
    people.write_text("user_id,idfv\nada-lovelace," + IDFV.format(1) + "\nnobody\n")
    result = flybridge("import", "--sightings", people, "-c", config, code=1)
    assert "line 3: It has 1 values, and the header has 2." in result.output
    (row,) = json.loads(flybridge("import", "--sightings", people, "-c", config, "--json", code=1).stdout)
    assert (row["lines"], row["taken"], row["envelopes"]) == (2, 1, 1)
    assert "--sightings" in str(flybridge("import", people, "-c", config, code=1).exception)
    flybridge("import", "--sightings", people, "-c", config, "--app", "other", code=1)


def test_doctor_says_by_which_ways_messages_are_matched(config):
    """By the data of the last days: nothing at first, then the device id of Amplitude's SDK."""
    now_ms = SystemClock().now_ms()

    async def fill(body: dict[str, str], source: Source) -> None:
        settings = load(config, {})
        async with backends.opened_store(settings) as store:
            envelope = Envelope("shop", source, Media.JSON, now_ms, json.dumps(body).encode(), f"new-{source}")
            await store.file(wiring.build_flow(settings).filings([envelope]), now_ms)

    def matching() -> tuple[bool, str]:
        done = CliRunner().invoke(app, ["doctor", "--no-vendors", "--json", "--config", str(config)])
        (check,) = (check for check in json.loads(done.stdout)["checks"] if check["what"] == "matching of shop")
        return check["ok"], check["detail"]

    assert matching() == (True, "No message from AppsFlyer in these days.")
    asyncio.run(fill({"event_name": "install", "platform": "ios", "idfv": IDFV.format(9)}, Source.PUSH))
    ok, detail = matching()
    assert not ok
    assert "Of 1 install, none can be matched" in detail
    assert "Next, pass Amplitude's device id to AppsFlyer" in detail
    asyncio.run(fill({"device_id": IDFV.format(9), "platform": "iOS", "event_type": "open"}, Source.STREAM))
    ok, detail = matching()
    assert ok
    assert "Of 1 install, at most 100% can be matched: by the device id of Amplitude's SDK (100%)" in detail


@pytest.mark.parametrize(("line", "refused"), [("u2,", "u2"), ("ada-lovelace,x1", "x1"), ("ada-lovelace,", None)])
def test_ids_that_amplitude_refuses_are_bad_lines(config, tmp_path, line, refused):
    """An event released for them could not be delivered; a project with shorter ids takes them."""
    people = tmp_path / "people.csv"
    people.write_text(f"user_id,device_id,idfv\n{line},{IDFV.format(1)}\n")
    done = flybridge("import", "--sightings", people, "-c", config, code=1 if refused else 0)
    assert (f"Amplitude refuses the id '{refused}'" in done.output) == bool(refused)
    config.write_text(config.read_text().replace('api_key = "a-key"', 'api_key = "a-key"\nmin_id_length = 1'))
    flybridge("import", "--sightings", people, "-c", config)


def test_the_account_of_a_day_and_an_app(config):
    """As far as it is asked for; a day that is none is used wrongly."""
    days = json.loads(flybridge("account", "-c", config, "--json", code=1).stdout)["days"]
    assert [row["day"] for row in days] == ["2025-11-24"]
    assert "in_flight" in days[0]
    later = json.loads(flybridge("account", "-c", config, "--since", "2025-11-25", "--json").stdout)
    assert (later["days"], later["reasons"]) == ([], {})
    # The command itself ends with exit code 2 for it.
    assert isinstance(flybridge("account", "-c", config, "--since", "yesterday", code=1).exception, ConfigError)
    assert CliRunner().invoke(app, ["account", "-c", str(config), "--app", "nope"]).exit_code == 1
