"""Options that contradict each other, or name what is not there, are refused or said: none is silently left out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app as cli
from flybridge.clock import SystemClock
from flybridge.errors import ConfigError
from flybridge.records import Dead, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

CONFIG = """
secret = "a secret for tests only"
[[apps]]
name = "shop"
platform = "android"
appsflyer_app_id = "com.example.shop"
[apps.amplitude]
api_key = "0123456789abcdef"
[apps.appsflyer]
push_token = "a-token-of-the-tests"
"""
REFUSED = {
    "account --since yesterday": "--since: 'yesterday' is not a date. Write it as 2026-01-31.",
    "account --since 2026-02-30": "--since: '2026-02-30' is not a date.",
    "gaps --locker --from 31/01/2026": "--from: '31/01/2026' is not a date. Write it as 2026-01-31.",
    "reconcile --stored --day tomorrow": "--day: 'tomorrow' is not a date. Write it as 2026-01-31.",
    "reconcile --stored --day 2026-01-02 --from 2026-01-01": "--day: is one day, and --from and --to are several.",
    "performance --from today": "--from: 'today' is not a date. Write it as 2026-01-31.",
    "performance --by sorce": "--by: there is no group 'sorce'. Name some of app,",
    "performance --cohort --metric spend": "--metric: cohorts have no metric of this name.",
    "reconcile --stored --by day,hour": "--by: there is no group 'hour'.",
    "reconcile --stored --metric money": "--metric: 'money' is not compared. Name one of count, revenue.",
    "reconcile --cohorts --to 31/01/2026": "--to: '31/01/2026' is not a date.",
    "export --from today out": "--from: 'today' is not a date.",
    "performance --json --csv": "--csv: --json prints another form.",
    "performance --grain week": "--grain: is of cohorts.",
    "import --sightings --timezone UTC --rate 5 a.csv": "goes without --timezone and --rate",
    "cohorts amplitude": "apps.amplitude.secret_key: is needed to ask Amplitude for its cohorts.",
    "explain ": "There is no file ''. Name a file",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a bridge that has one dead letter."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    (tmp_path / "data").mkdir()

    async def fill() -> None:
        store = SqliteStore(tmp_path / "data" / "store.db", Seal(b"a secret for tests only"))
        await store.open()
        now_ms = SystemClock().now_ms()
        envelope = Envelope("shop", Source.PUSH, Media.JSON, now_ms, b"{}", "r1")
        await store.file([Filing(envelope, Dead("map", "no_event_name", "It has no name.", "Select it."))], now_ms)
        await store.close()

    asyncio.run(fill())
    return path


def said(config: Path, words: list[str]) -> tuple[int, str]:
    """Return the exit code of a command and what it prints."""
    done = CliRunner().invoke(cli, [*words, "--config", str(config)])
    if isinstance(done.exception, ConfigError):  # as `main` prints it
        return 2, str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("line", REFUSED)
def test_what_can_not_be_meant_is_refused(config, line):
    """With the option as it was written, and what to write instead."""
    code, text = said(config, line.split(" "))
    assert code == 2
    assert REFUSED[line] in text


@pytest.mark.parametrize(
    "line", ["tokens", "tokens revoke 0123456789ab", "holds", "dead", "lanes", "findings", "costs status"]
)
def test_what_only_looks_makes_no_store(tmp_path, line):
    """Of the wrong configuration it would say that there is nothing, and leave files behind."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    code, text = said(path, line.split(" "))
    assert (code, f"there is no store in {tmp_path / 'data'}" in text) == (2, True)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_question_that_no_terminal_can_answer_is_said(tmp_path):
    """As where a script runs `flybridge init` without one of its options."""
    for words in (["init"], ["init", "--name", "shop"]):
        done = CliRunner().invoke(cli, [*words, "--config", str(tmp_path / "new.toml")], input="")
        assert isinstance(done.exception, ConfigError)
        assert str(done.exception).startswith("There is no terminal to ask, and nothing was done.")
        assert "`flybridge init --help`" in str(done.exception)
        assert not (tmp_path / "new.toml").exists()


def test_a_configuration_that_exists_is_refused_before_any_question(tmp_path):
    """Whoever answered five of them would have done so for nothing."""
    path = tmp_path / "flybridge.toml"
    path.write_text("as it is")
    for words in (["init"], ["init", "--name", "shop"]):
        done = CliRunner().invoke(cli, [*words, "--config", str(path)], input="shop\n")
        assert (
            str(done.exception) == f"{path} exists already. Use --force to overwrite it, or --config to write another."
        )
        assert done.output == ""
    for words in (["init", "--force", "--config", str(path)], ["init", "--config", str(path), "--force"]):
        assert CliRunner().invoke(cli, words, input="shop\nandroid\ncom.example.shop\nhttp_v2\nus\n").exit_code == 0
        assert "com.example.shop" in path.read_text()


def test_a_port_that_no_machine_has_is_refused():
    """The system would take the rest of a division by 65,536."""
    for port in ("99999", "-1"):
        done = CliRunner().invoke(cli, ["sandbox", "--port", port])
        assert done.exit_code == 2
        assert "--port" in done.output


def test_a_reason_that_no_dead_letter_has_is_said(config):
    """With those there are: "There are no dead letters" would be taken for all of them."""
    for words in (["dead"], ["replay", "--all"]):
        code, text = said(config, [*words, "--reason", "no_event_nane"])
        assert code == 0
        assert "no dead letter has the reason 'no_event_nane'. There are: no_event_name." in text
    assert "There are no dead letters." not in said(config, ["dead", "--reason", "no_event_nane"])[1]
    assert "no_event_name" in said(config, ["dead", "--reason", "no_event_name"])[1]


def test_ids_that_are_no_dead_letters_are_named(config):
    """Of several ids it would not be known which."""
    code, text = said(config, ["replay", "98", "99"])
    assert code == 1
    assert "(98, 99) are not dead letters, or not any more: see `flybridge dead`." in text
