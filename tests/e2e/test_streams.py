"""Amplitude's events to AppsFlyer over real HTTP: both directions under faults, a webhook, files, forgetting."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from typing import Any

import aiohttp
import pytest
from starting import command

from flybridge.config.settings import load
from flybridge.demo.environment import DemoApp, LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario
from flybridge.service import backends

SHOP = DemoApp("shop-ios", "ios", "id1234567890", "http_v2")
AF_ID = "1629191854863-7087037"
POSTBACK = {
    "event_name": "install",
    "conversion_type": "install",
    "appsflyer_id": AF_ID,
    "event_time": "2026-01-31 11:00:00.000",
    "customer_user_id": "ada-12345",
}


def order(number: int, **user: str) -> dict[str, Any]:
    """Make an event that the demo's stream chooses."""
    return {
        "$insert_id": f"i-{number}",
        "event_type": "Order Completed",
        "event_time": f"2026-01-31 12:00:{number:02d}.000000",
        "user_id": "ada-12345",
        "device_id": "AEBE52E7-03EE-455A-B3C4-E57283966239",
        "event_properties": {"price": 5, "$revenue": 5},
        "user_properties": user,
    }


@pytest.fixture
async def environment(tmp_path):
    """Return a running stage of one app."""
    environment = LocalEnvironment(tmp_path / "stage", apps=(SHOP,))
    await environment.start()
    yield environment
    await environment.stop()


async def post(environment: LocalEnvironment, path: str, message: Any) -> None:
    """Send one message to the bridge."""
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(environment.bridge.origin + path, data=json.dumps(message), headers=headers) as response,
    ):
        assert response.status == 200


async def rest(environment: LocalEnvironment, messages: int) -> dict[str, int]:
    """Wait until that many messages have come to rest; give where they stand."""
    for _ in range(600):
        now = await environment.figures()
        if now.in_flight == 0 and sum(now.outcomes.values()) >= messages:
            return {outcome: n for outcome, n in now.outcomes.items() if n}
        await asyncio.sleep(0.05)
    pytest.fail(f"the bridge has not come to rest: {now}")


async def taken(environment: LocalEnvironment) -> list[dict[str, Any]]:
    """Return what the sandbox's AppsFlyer has."""
    return await environment.client.rows("appsflyer/record")


async def run(environment: LocalEnvironment, *words: str) -> tuple[int, Any]:
    """Run a command on the stage's configuration; give its exit code and what it printed."""
    ran = await command(environment.config_path, *words, "--json")
    return ran.exit_code, json.loads(ran.stdout)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("faults", ["flaky", "reject"])
async def test_truth_ledger_and_both_vendors_agree_under_faults(tmp_path, faults):
    """Event by event, in both directions; repeats at AppsFlyer are no more than the ledger has in doubt."""
    scenario = Scenario(events=500, seed=11, faults=faults, hurries=True)
    environment = LocalEnvironment(tmp_path, faults=faults, seed=11)
    await environment.start()
    try:
        outcome = await run_scenario(environment, scenario, lambda now, sent: None)
    finally:
        await environment.stop()
    assert [found.what for stream in outcome.streams for found in stream.disagreements] == []
    assert outcome.differences == 0
    assert sum(stream.delivered for stream in outcome.streams) > 50
    assert sum(stream.by_identity for stream in outcome.streams) > 5
    assert sum(stream.unknown for stream in outcome.streams) > 0
    assert all(stream.copies <= stream.uncertain for stream in outcome.streams)


async def test_what_amplitude_ingested_is_streamed_on_and_what_appsflyer_had_is_not(tmp_path):
    """The sandbox's Amplitude is a webhook's sender: an app's event goes on, our own conversion does not come back."""
    environment = LocalEnvironment(tmp_path / "stage", apps=(SHOP,))
    environment.sandbox.follow("--keep", "full")
    await environment.start()
    try:
        hook = {
            "project": SHOP.api_key,
            "url": f"{environment.bridge.origin}/v1/stream/{SHOP.name}",
            "token": environment.token,
        }
        await environment.client.post("stream", **hook)
        async with aiohttp.ClientSession() as session:
            event = order(1, appsflyer_id=AF_ID) | {"insert_id": "i-1", "time": 1_769_860_800_000}
            body = {"api_key": SHOP.api_key, "events": [event]}
            async with session.post(f"{environment.sandbox.origin}/2/httpapi", json=body) as response:
                assert response.status == 200
        await post(environment, f"/v1/push/{SHOP.name}", POSTBACK)
        # The postback is delivered to Amplitude, which streams it as it streams the order.
        assert await rest(environment, 3) == {"delivered": 2, "applied": 1}
    finally:
        await environment.stop()
    async with backends.opened_store(load(environment.config_path, os.environ)) as store:
        reasons = {(c.outcome, c.source, c.reason): c.n for c in await store.counts() if c.n}
        assert await store.audit() == []
    assert reasons[("applied", "stream", "not_chosen")] == 1
    assert ("delivered", "stream", "") in reasons


async def test_events_of_a_file_go_the_same_way_and_once(environment, tmp_path):
    """A file of the Export API, a list at the door and a webhook bring one event; each is sent once."""
    path = tmp_path / "export.json.gz"
    lines = [order(1, appsflyer_id=AF_ID), order(2, appsflyer_id=AF_ID), {"event_type": "Page Viewed"}]
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    code, (done,) = await run(environment, "import", "--stream", str(path))
    assert (code, done["taken"], done["bad"], done["envelopes"]) == (0, 3, [], 3)
    await post(environment, f"/v1/stream/{SHOP.name}", [order(2, appsflyer_id=AF_ID), order(3, appsflyer_id=AF_ID)])
    assert await rest(environment, 5) == {"delivered": 3, "filtered": 1, "duplicate": 1}
    rows = await taken(environment)
    assert sorted(row["event_time"][-6:] for row in rows) == ["01.000", "02.000", "03.000"]
    assert {(row["event_name"], row["revenue"], row["appsflyer_id"]) for row in rows} == {("af_purchase", 5.0, AF_ID)}


async def test_the_id_comes_from_a_postback_until_its_person_is_forgotten(environment):
    """An event without AppsFlyer id is sent under the one that a postback told; after forgetting, nobody knows it."""
    await post(environment, f"/v1/push/{SHOP.name}", POSTBACK)
    await rest(environment, 1)
    await post(environment, f"/v1/stream/{SHOP.name}", order(1))
    assert await rest(environment, 2) == {"delivered": 2}
    assert [row["appsflyer_id"] for row in await taken(environment)] == [AF_ID]
    code, receipt = await run(environment, "forget", "--customer-user-id", "ada-12345", "--no-vendors")
    assert code == 0
    assert receipt["removed"]["sightings"] > 0
    await post(environment, f"/v1/stream/{SHOP.name}", order(2))
    assert await rest(environment, 3) == {"delivered": 2, "forgotten": 1}
    later = order(3) | {"event_time": "2999-01-31 12:00:00"}
    await post(environment, f"/v1/stream/{SHOP.name}", later)
    assert (await rest(environment, 4)).get("held") == 1
