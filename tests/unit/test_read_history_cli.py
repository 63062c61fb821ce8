"""What `flybridge pull` and `flybridge gaps` ask, warn of and refuse before they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.cli.common import configured, with_new_store
from flybridge.clock import SystemClock
from flybridge.errors import ConfigError
from flybridge.operations import schedule
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.reconcile import Reconciler
from flybridge.records import DAY_MS, day_of
from flybridge.store.protocol import Store

QUESTION = "nothing can be deleted in Amplitude"
UNSIGHTED = "Amplitude has shown no user of this app yet"


@pytest.fixture
def without_token(tmp_path: Path, smallest_config: Path) -> Path:
    """Write a configuration with a Data Locker. Its vendor can't be reached."""
    locker = tmp_path / "locker"
    locker.mkdir()
    with smallest_config.open("a") as file:
        file.write(
            f'appsflyer.base_url = "http://127.0.0.1:9"\nhistory.locker = "{locker}"\n'
            'history.reports = ["installs_report"]\n'
        )
    return smallest_config


@pytest.fixture
def config(without_token: Path) -> Path:
    """Write a configuration with a token, too."""
    with without_token.open("a") as file:
        file.write('appsflyer.api_token = "t"\n')
    return without_token


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


@pytest.mark.parametrize(("which", "said"), [("config", ["--locker"]), ("without_token", [])])
def test_reports_of_the_pull_api_are_not_named_where_a_data_locker_is_compared(request, which, said):
    """Without a token it is compared also if `--locker` is not said."""
    config = request.getfixturevalue(which)
    words = ["gaps", "--from", ago(5), "--report", "installs_report", *said]
    result = run(config, *words)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.path == "--report"
    assert "Data Locker" in str(result.exception)
    assert run(config, *(word for word in words if "report" not in word)).exit_code == 0


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("pull shop", ["pull", "--from", ago(1)]),
        ("gaps shop", ["gaps", "--from", ago(1)]),
        ("costs shop aggregate", ["costs", "pull"]),
        ("compare shop", ["reconcile"]),
        ("compare shop", ["reconcile", "--cohorts"]),
    ],
)
def test_what_another_process_asks_a_vendor_for_is_waited_for(config, monkeypatch, job, words):
    """A quota is of all processes, and what the one had left would be overwritten by the other."""

    async def nothing(*_: object, **__: object) -> None:
        """The vendors, who are not there, are not waited for."""

    monkeypatch.setattr(schedule, "LOOK_S", 0.05)
    monkeypatch.setattr(Reconciler, "run", nothing)
    monkeypatch.setattr(CohortComparer, "run", nothing)
    with config.open("a") as file:
        file.write('amplitude.base_url = "http://127.0.0.1:9"\n')
    settings = configured(config)

    async def take_turn(store: Store) -> None:
        now_ms = SystemClock().now_ms()
        assert await store.take_turn(f"{schedule.TURN}{schedule.STATE}{job}", "a worker", now_ms, lease_ms=700)

    with_new_store(settings, take_turn)
    waited = run(config, *words)
    assert "Another process does this for shop at this moment: waiting" in waited.stderr
    assert "Another process" not in run(config, *words).stderr
