"""Each command opens what it needs and nothing else: a server that it does not need may be away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from typer.testing import CliRunner

from flybridge import wiring
from flybridge.cli.app import app
from flybridge.config.settings import load
from flybridge.records import Envelope, Media, Source
from flybridge.service import backends
from flybridge.testing.processes import free_port

NOW_MS = 1_764_000_000_000
APP = """
secret = "0123456789abcdef0123456789abcdef"
data_dir = "./data"

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
INSTALL = {"event_name": "install", "event_time": "2025-11-24 15:00:00.000", "platform": "ios", "idfv": "9A1B2C3D-1"}

STORE_ONLY = [
    ("dead",),
    ("replay", "--all"),
    ("holds",),
    ("holds", "--summary"),
    ("holds", "--coverage", "--days", "9999"),
    ("holds", "release", "{held}", "--user-id", "user-1"),
    ("holds", "expire", "{held}"),
    ("forget", "--customer-user-id", "user-1", "--no-vendors"),
    ("cohorts", "history"),
]
"""The commands that read and change the store alone."""

INBOX_ONLY = [("import", "--sightings", "{people}")]
BOTH = [("account",), ("doctor", "--no-vendors"), ("migrate",)]


def envelope(body: bytes, receipt: str) -> Envelope:
    """Build a message as AppsFlyer sends it."""
    return Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body, receipt)


async def flybridge(*words: str) -> tuple[int, str]:
    """Run a command. Return its exit code, and what it printed or ended with."""
    result = await asyncio.to_thread(CliRunner().invoke, app, words)
    return result.exit_code, f"{result.output}{result.exception or ''}"


@pytest.fixture(params=["embedded", pytest.param("cluster", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a context manager of a configuration whose store holds a held install and a dead letter.

    With `away`, its inbox or its store can't be opened: a directory lies where the file should be, or no server
    listens at the address.
    """

    def write(nats: str = "", postgres: str = "") -> Path:
        path = tmp_path / "flybridge.toml"
        shared = f'[cluster]\nnats = ["{nats}"]\npostgres = "{postgres}"\nstream = "{stream}"\nreplicas = 1\n'
        path.write_text(APP + (shared if nats else ""))
        return path

    stream = f"test-{token_hex(4)}"

    @asynccontextmanager
    async def embedded(away: str) -> AsyncIterator[Path]:
        path = write()
        await _fill(path)
        if away:
            file = tmp_path / "data" / f"{away}.db"
            for part in file.parent.glob(f"{file.name}*"):
                part.unlink()
            file.mkdir()
        yield path

    @asynccontextmanager
    async def cluster(away: str) -> AsyncIterator[Path]:
        nats, nobody = request.getfixturevalue("nats").urls[0], free_port()
        async with request.getfixturevalue("new_database")() as dsn:
            await _fill(write(nats, dsn))
            yield write(
                f"nats://127.0.0.1:{nobody}" if away == "inbox" else nats,
                f"postgresql://nobody@127.0.0.1:{nobody}/none" if away == "store" else dsn,
            )

    if request.param == "cluster":
        request.getfixturevalue("nats")
        request.getfixturevalue("new_database")
        return cluster
    return embedded


async def _fill(path: Path) -> None:
    settings = load(path, {})
    messages = [envelope(json.dumps(INSTALL).encode(), "held"), envelope(b"no JSON", "dead")]
    async with backends.opened_store(settings) as store:
        await store.file(wiring.build_flow(settings).filings(messages), NOW_MS)


async def _held(path: Path) -> str:
    async with backends.opened_store(load(path, {})) as store:
        (hold,) = await store.holds()
        return str(hold.id)


@pytest.mark.parametrize("words", STORE_ONLY, ids=" ".join)
async def test_a_command_of_the_store_works_while_the_inbox_is_away(place, words):
    """What is dead or waits can be looked at and ended when the inbox's servers answer nothing."""
    async with place("inbox") as path:
        held = await _held(path)
        code, told = await flybridge(*(word.format(held=held) for word in words), "--config", str(path))
        assert code == 0, told


@pytest.mark.parametrize("words", INBOX_ONLY, ids=" ".join)
async def test_a_command_of_the_inbox_works_while_the_store_is_away(place, tmp_path, words):
    """Files are taken in, and are there for who works them off when the store is back."""
    people = tmp_path / "people.csv"
    people.write_text("user_id,idfv\nada-lovelace,9A1B2C3D-0000-4000-8000-000000000001\n")
    async with place("store") as path:
        code, told = await flybridge(*(word.format(people=people) for word in words), "--config", str(path))
        assert code == 0, told
        async with backends.opened_inbox(load(path, {})) as inbox:
            assert sum((await inbox.waiting()).values()) == 1


@pytest.mark.parametrize("away", ["inbox", "store"])
@pytest.mark.parametrize("words", BOTH, ids=" ".join)
async def test_a_command_of_both_says_which_is_away(place, words, away):
    """An account of one side alone would prove nothing: the command fails and says what did not answer."""
    async with place(away) as path:
        code, told = await flybridge(*words, "--config", str(path))
        assert code == 1
        assert f"The {away}" in " ".join(told.split()) or ("NATS" if away == "inbox" else "PostgreSQL") in told, told
