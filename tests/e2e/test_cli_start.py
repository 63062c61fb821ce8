"""Commands load what they need when they are called, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from flybridge.cli.app import app, main
from flybridge.errors import ConfigError, InboxUnavailable, NotAvailable, StoreUnavailable

HEAVY = {
    "aiohttp",
    "cryptography",
    "granian",
    "jinja2",
    "nats",
    "prometheus_client",
    "psycopg",
    "starlette",
    "structlog",
}
LISTING = """
import atexit, sys
atexit.register(lambda: print("loaded", *sorted(sys.modules), flush=True))
from flybridge.cli.app import main
main()
"""
CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "shop"
appsflyer_app_id = "id123456789"
platform = "ios"
appsflyer.push_token = "a-token"
amplitude.api_key = "a-key"
"""
GROUP = typer.main.get_command(app)
NAMES = list(GROUP.commands)


def start(*words: str, cwd=None) -> subprocess.Popen[str]:
    """Start a command that lists the modules it has loaded when it ends."""
    return subprocess.Popen([sys.executable, "-c", LISTING, *words], stdout=subprocess.PIPE, text=True, cwd=cwd)


def loaded(output: str) -> set[str]:
    """Return the modules of the last line of a command."""
    return set(output.splitlines()[-1].split()[1:])


def test_help_loads_no_command():
    """The list of commands is a table of its own."""
    output, _ = start("--help").communicate(timeout=60)
    modules = loaded(output)
    assert "flybridge.cli.app" in modules
    assert not modules & (HEAVY | {"flybridge.cli.inspect", "flybridge.cli.audiences", "flybridge.service.backends"})


def test_a_command_of_the_store_loads_no_server_and_no_client(tmp_path):
    """An embedded store needs neither HTTP nor the clients of a cluster."""
    (tmp_path / "flybridge.toml").write_text(CONFIG)
    output, _ = start("migrate", cwd=tmp_path).communicate(timeout=60)
    output, _ = start("dead", cwd=tmp_path).communicate(timeout=60)
    assert "There are no dead letters." in output
    assert not loaded(output) & {"aiohttp", "granian", "jinja2", "nats", "psycopg", "starlette"}


def test_serve_loads_neither_sandbox_nor_demo(tmp_path):
    """What plays the vendors is no part of the product."""
    (tmp_path / "flybridge.toml").write_text(CONFIG)
    process = start("serve", "--port", "0", cwd=tmp_path)
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    modules = loaded(output)
    assert "flybridge.service.process" in modules
    assert [
        name for name in modules if name.startswith(("flybridge.sandbox", "flybridge.demo", "flybridge.testing"))
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_command_is_in_the_list_and_loads(name):
    """The table names what is there, and its sentence is one line of the list."""
    command = GROUP.get_command(None, name)
    assert command.name == name
    assert command.help
    listed = GROUP.commands[name].help
    assert listed.endswith(".")
    assert name in {"init", "serve"} or len(listed) <= 66
    shown = CliRunner().invoke(app, [name, "-h"])
    assert shown.exit_code == 0
    assert "completion" not in shown.output


def test_a_misspelt_command_is_suggested():
    """Also one that is not imported yet."""
    result = CliRunner().invoke(app, ["cohort"])
    assert result.exit_code == 2
    assert "cohorts" in result.output


def test_the_version_is_printed():
    """As the package says."""
    from flybridge import __version__

    assert CliRunner().invoke(app, ["--version"]).stdout == f"flybridge {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("account", "--config", "nowhere.toml"),
        ("account", "--config", "."),
        ("account", "--config", "binary"),
        ("account",),
        ("dead",),
        ("holds",),
        ("replay", "--all"),
        ("doctor", "--config", "nowhere.toml"),
        ("dead", "--app", "nope"),
        ("holds", "--app", "nope"),
        ("cohorts", "--app", "nope"),
        ("cohorts", "history", "nope"),
        ("explain", "nowhere.json"),
        ("explain", "."),
        ("import", "--sightings", "nowhere.csv"),
        ("import", "--sightings", "."),
        ("import", "--stream", "binary"),
        ("init", "--config", "nowhere/x.toml", "--name", "a", "--platform", "ios", "--appsflyer-app-id", "id1"),
        ("migrate", "--to", "nowhere.toml"),
        ("serve", "--level", "loud"),
        ("serve", "--log", "loud"),
        ("serve", "--config", "."),
        ("demo", "--faults", "nope"),
        ("sandbox", "--faults", "nope"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_a_sentence_and_never_a_traceback(tmp_path, monkeypatch, capfd, words):
    """Any wrong path, level, file or name, in a directory where no bridge has run."""
    (tmp_path / "flybridge.toml").write_text(CONFIG)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x1b[31m")
    defaults = ("--route", "http_v2", "--region", "us") if words[0] == "init" else ()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flybridge", *words, *defaults])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr()
    assert ended.value.code in {1, 2}, said.out
    assert "Traceback" not in said.err
    assert said.err.strip()
    assert "\x1b[31m" not in said.err


def test_the_program_says_what_is_wrong_as_its_commands_do(tmp_path):
    """Started as people start it."""
    command = [sys.executable, "-m", "flybridge", "account", "--config", "nowhere.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout
    assert "nowhere.toml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (StoreUnavailable("The disk is full."), 1, "The disk is full. Run the same command again."),
        (InboxUnavailable("No quorum."), 1, "No quorum."),
        (ConfigError("secret", "is empty.", "Write one."), 2, "secret: is empty. Write one."),
        (NotAvailable("server.port", "is taken.", "Stop it."), 1, "server.port: is taken. Stop it."),
    ],
)
def test_a_command_that_failed_says_what_to_do(monkeypatch, capsys, problem, code, said):
    """No process tries again what a command could not do."""

    def fail():
        raise problem

    monkeypatch.setattr("flybridge.cli.app.app", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{said}\n")
