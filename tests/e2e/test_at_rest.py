"""No identifier of any person is in the clear: not in a file, a write-ahead log, a log line or a metric."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from flybridge.demo.environment import LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario
from flybridge.demo.sender import Outgoing, Sender
from flybridge.operations.clear_ids import search
from flybridge.sandbox.traffic.people import ZEROS
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficMessage, TrafficOptions, generate

FIELDS = {
    "idfa", "idfv", "advertising_id", "android_app_set_id", "app_set_id", "android_id", "oaid", "imei", "amazon_aid",
    "adid", "appsflyer_id", "customer_user_id", "user_id", "device_id", "amplitude_device_id", "amplitude_user_id",
    "ip",
}  # fmt: skip
MIXED = TrafficOptions(malformed=0.03, held=0.2, late_seen=0.2)


def traffic(environment: LocalEnvironment, scenario: Scenario) -> list[TrafficMessage]:
    """Return the messages that a plan sends."""
    apps = [TrafficApp(app.name, app.platform, app.appsflyer_app_id) for app in environment.apps]
    return list(generate(scenario.seed, scenario.events, apps, scenario.options))


def ids_in(value: Any, name: str = "") -> Iterator[str]:
    """Return every identifier in a message, however deep, also in JSON in text."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ids_in(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from ids_in(part, name)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        yield from ids_in(json.loads(value), name)
    elif isinstance(value, str) and name in FIELDS and value != ZEROS:
        yield value


def identifiers(messages: Iterable[TrafficMessage]) -> set[bytes]:
    """Return all identifiers of the people in the traffic, in lower case."""
    return {one.lower().encode() for message in messages for one in ids_in(json.loads(message.body)) if len(one) > 4}


def hits(ids: set[bytes], paths: Iterable[Path]) -> list[tuple[str, bytes]]:
    """Search files for identifiers, in any case."""
    return [(path.name, one) for path in paths for data in [path.read_bytes().lower()] for one in ids if one in data]


def written(environment: LocalEnvironment) -> list[Path]:
    """Return every file that the bridge has written."""
    data = [path for path in (environment.directory / "data").rglob("*") if path.is_file()]
    return [*data, environment.directory / "flybridge.log"]


async def metrics(origin: str) -> bytes:
    """Read the metrics as text, in lower case."""
    async with aiohttp.ClientSession() as session, session.get(f"{origin}/metrics") as response:
        return (await response.read()).lower()


async def output(*words: str) -> bytes:
    """Run a command and give all that it prints, in lower case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flybridge", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    return (await process.communicate())[0].lower()


@pytest.fixture
async def environment(tmp_path):
    """Return a stage whose vendor fails now and then."""
    environment = LocalEnvironment(tmp_path / "stage", faults="flaky", seed=4, message_hours=720)
    yield environment
    await environment.bridge.kill()
    await environment.sandbox.stop()


def test_the_search_finds_what_it_is_for(environment, tmp_path):
    """A file of messages as they come has every identifier, and both searches find them."""
    messages = traffic(environment, Scenario(events=50, seed=4, options=MIXED))
    ids = identifiers(messages)
    assert len(ids) > 30
    (tmp_path / "leak").mkdir()
    (tmp_path / "leak" / "clear.db-wal").write_bytes(b"\0".join(message.body for message in messages))
    assert {one for _, one in hits(ids, (tmp_path / "leak").iterdir())} == ids
    assert {find.what[:7] for find in search(tmp_path / "leak")} == {"a UUID,", "an Apps"}


async def test_nothing_is_in_the_clear_after_a_run(environment):
    """Held, dead, retried and delivered events, and a bridge that was stopped in order."""
    scenario = Scenario(events=500, seed=4, faults="flaky", options=MIXED, hurries=True)
    ids = identifiers(traffic(environment, scenario))
    await environment.start()
    outcome = await run_scenario(environment, scenario, lambda now, sent: None)
    outcomes = {kind for line in outcome.account.lines for kind, n in line.outcomes.items() if n}
    assert {"dead", "delivered", "applied"} <= outcomes
    assert {"held", "expired"} & outcomes
    with sqlite3.connect(environment.directory / "data" / "store.db") as store:
        assert store.execute("SELECT count(*) FROM messages").fetchone()[0] > 100
    store.close()
    assert hits(ids, written(environment)) == []
    assert search(environment.directory / "data", [one.decode() for one in sorted(ids)[:20]]) == []
    for words in (["account"], ["holds", "--limit", "1000"], ["dead", "--limit", "1000"]):
        shown = await output(*words, "--config", str(environment.config_path), "--json")
        assert shown.startswith((b"{", b"["))
        assert [one for one in ids if one in shown] == []


async def test_nothing_is_in_the_clear_after_a_kill(environment):
    """Killed in the middle of work: write-ahead logs and leases are left behind."""
    scenario = Scenario(events=600, seed=9, faults="flaky", options=MIXED, hurries=True)
    messages = traffic(environment, scenario)
    ids = identifiers(messages)
    await environment.start()
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    sending = Sender(environment.bridge.origin).send(Outgoing(one.path, one.body, headers) for one in messages)
    sent = await sending
    for _ in range(1000):
        now = (await environment.figures()).outcomes
        if now["delivered"] and now["held"] and now["dead"]:
            break
        await asyncio.sleep(0.02)
    shown = await metrics(environment.bridge.origin)
    await environment.bridge.kill()
    assert sent.acknowledged == len(messages)
    assert min(now["delivered"], now["held"], now["dead"]) > 0
    logs = [path for path in written(environment) if path.name.endswith("-wal") and path.stat().st_size]
    assert len(logs) == 2
    assert hits(ids, written(environment)) == []
    assert search(environment.directory / "data") == []
    assert [one for one in ids if one in shown] == []
