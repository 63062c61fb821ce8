"""What `flybridge pull` and `flybridge gaps` ask, warn of and refuse before they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.errors import ConfigError
from flybridge.records import DAY_MS, day_of

CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"

[apps.appsflyer]
push_token = "a-token"
{token}
base_url = "http://127.0.0.1:9"

[apps.amplitude]
api_key = "a-key"

[apps.history]
locker = "{locker}"
reports = ["installs_report"]
"""
QUESTION = "nothing can be deleted in Amplitude"
UNSIGHTED = "Amplitude has shown no user of this app yet"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration with a token and a Data Locker. Its vendor can't be reached."""
    return configured(tmp_path)


def configured(place: Path, token: str = 'api_token = "t"') -> Path:
    """Write a configuration."""
    (place / "locker").mkdir()
    path = place / "flybridge.toml"
    path.write_text(CONFIG.format(token=token, locker=place / "locker"))
    return path


def run(config: Path, *words: str, answer: str | None = None):
    """Run a command."""
    return CliRunner().invoke(app, [*words, "--config", str(config)], input=answer)


def ago(days: int) -> str:
    """Return a day."""
    return day_of(SystemClock().now_ms() - days * DAY_MS)


def test_a_pull_of_more_than_the_trailing_days_is_asked_for(config):
    """It is billed as an import is."""
    refused = run(config, "pull", "--from", ago(30), answer="n\n")
    assert refused.exit_code == 1
    assert "31 days of 1 report" in refused.output
    assert QUESTION in refused.output
    assert UNSIGHTED in refused.output
    assert "Pulled into the inbox" not in refused.output


def test_without_a_terminal_a_long_pull_needs_a_yes(config):
    """As an import does, and says so."""
    result = run(config, "pull", "--from", ago(30))
    assert isinstance(result.exception, ConfigError)
    assert "--yes" in str(result.exception)
    assert result.stdout.endswith("]: \n")


@pytest.mark.parametrize(("days", "words"), [(30, ["--yes"]), (1, []), (30, ["--json"])])
def test_a_yes_json_or_a_short_span_is_not_asked_for(config, days, words):
    """Such a pull warns all the same."""
    result = run(config, "pull", "--from", ago(days), *words)
    assert QUESTION not in result.output
    assert UNSIGHTED in result.stderr
    assert "installs_report" in result.stdout


@pytest.mark.parametrize("token", ['api_token = "t"', ""])
def test_reports_of_the_pull_api_are_not_named_where_a_data_locker_is_compared(tmp_path, token):
    """Without a token it is compared also if `--locker` is not said."""
    config = configured(tmp_path, token)
    words = ["gaps", "--from", ago(5), "--report", "installs_report", *(["--locker"] if token else [])]
    result = run(config, *words)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.path == "--report"
    assert "Data Locker" in str(result.exception)
    assert run(config, *(word for word in words if "report" not in word)).exit_code == 0
