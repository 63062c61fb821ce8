"""A person asks to be forgotten while the bridge runs: gone here, asked for at the vendors, and gone for good."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter

import aiohttp
import pytest
from starting import command

from flybridge.config.settings import load
from flybridge.demo.environment import DemoApp, LocalEnvironment
from flybridge.demo.sender import Outgoing, Sender
from flybridge.sandbox.traffic.postbacks import TrafficApp
from flybridge.sandbox.traffic.traffic import TrafficOptions, generate
from flybridge.service import backends

SHOP = DemoApp("shop-android", "android", "com.example.shop", "http_v2")


@pytest.fixture
async def environment(tmp_path):
    """Return a running stage of one app that may ask the vendors to delete."""

    class WithKeys(LocalEnvironment):
        def config(self, amplitude: str) -> str:
            text = super().config(amplitude)
            return text.replace("[apps.amplitude]", '[apps.amplitude]\nsecret_key = "secret"')

    environment = WithKeys(tmp_path / "stage", apps=(SHOP,))
    await environment.start()
    yield environment
    await environment.stop()


async def send(environment: LocalEnvironment, messages) -> None:
    """Send messages and wait until the bridge has come to rest."""
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    before = sum((await environment.figures()).outcomes.values())
    await Sender(environment.bridge.origin).send(Outgoing(one.path, one.body, headers) for one in messages)
    for _ in range(500):
        now = await environment.figures()
        if now.in_flight == 0 and sum(now.outcomes.values()) >= before + len(messages):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the bridge has not come to rest")


async def run(environment: LocalEnvironment, *words: str) -> tuple[int, dict]:
    """Run a command on the stage's configuration; give its exit code and what it printed."""
    ran = await command(environment.config_path, *words, "--json")
    return ran.exit_code, json.loads(ran.stdout)


async def ledger(environment: LocalEnvironment) -> Counter[str]:
    """Count the ledger by outcome and reason."""
    async with backends.opened_store(load(environment.config_path, os.environ)) as store:
        return Counter([f"{line.outcome} {line.reason}".strip() async for line in store.ledger()])


async def test_a_person_is_forgotten_and_stays_forgotten(environment):
    """Everything of one AppsFlyer id goes; the receipt is settled; the same messages again end as forgotten."""
    app = TrafficApp(SHOP.name, SHOP.platform, SHOP.appsflyer_app_id)
    messages = list(generate(11, 120, [app], TrafficOptions(duplicates=0.0, malformed=0.0, odd=0.0, held=0.3)))
    of = Counter(message.truth.appsflyer_id for message in messages)
    waits = {m.truth.appsflyer_id for m in messages if m.truth.v2.fate == "held"}
    who = max(waits, key=lambda one: of[one])
    theirs = [message for message in messages if message.truth.appsflyer_id == who]
    await send(environment, messages)
    before = await ledger(environment)
    assert before["held"] >= len(theirs) > 1

    code, receipt = await run(environment, "forget", "--appsflyer-id", who)
    assert (code, receipt["settled"], receipt["removed"]["held"]) == (1, False, len(theirs))
    assert who not in str(receipt)
    assert {(s["vendor"], s["state"]) for s in receipt["vendors"]} == {("amplitude", "failed"), ("appsflyer", "done")}

    await send(environment, theirs)
    after = await ledger(environment)
    assert after["forgotten"] == after["forgotten before_request"] == len(theirs)
    assert after["held"] == before["held"] - len(theirs)
    code, account = await run(environment, "account")
    assert (code, account["balanced"]) == (0, True)
    code, health = await run(environment, "doctor", "--privacy", "--id", who)
    assert (code, health["ok"], health["finds"]) == (0, True, [])


async def test_the_doctor_fails_where_an_id_lies_about(environment):
    """Somebody put an export into the data directory."""
    (environment.directory / "data" / "export.csv").write_text("idfa\n3F2504E0-4F89-41D3-9A0C-0305E82C3301\n")
    code, health = await run(environment, "doctor", "--privacy")
    assert (code, health["ok"]) == (1, False)
    assert [(find["file"], find["where"]) for find in health["finds"]] == [("export.csv", "byte 5")]


async def test_a_user_id_is_asked_for_at_both_vendors(environment):
    """By user id Amplitude can delete, too; nothing of the person need be here."""
    code, receipt = await run(
        environment, "forget", "--customer-user-id", "ada@example.com", "--requester", "dpo@example.com"
    )
    assert (code, receipt["settled"]) == (0, True)
    assert [(s["vendor"], s["kind"], s["status"]) for s in receipt["vendors"]] == [
        ("amplitude", "customer_user_id", 200),
        ("appsflyer", "customer_user_id", 201),
    ]
    # The app streams to AppsFlyer, so that the user has a key in that direction as well.
    assert receipt["removed"]["tombstones"] == 2


async def test_a_device_is_deleted_by_its_amplitude_id(environment):
    """The sandbox's search finds the user of a device that has sent an event."""
    event = {"user_id": "ada-lovelace", "device_id": "device-0001", "event_type": "Open", "time": 1}
    async with aiohttp.ClientSession() as session:
        url = f"{environment.sandbox.origin}/2/httpapi"
        async with session.post(url, json={"api_key": SHOP.api_key, "events": [event]}) as response:
            assert response.status == 200
    code, receipt = await run(environment, "forget", "--device-id", "device-0001", "--customer-user-id", "ada-lovelace")
    found = {(s["vendor"], s["kind"], s["state"]) for s in receipt["vendors"]}
    assert (code, found) == (
        0,
        {
            ("amplitude", "customer_user_id", "done"),
            ("amplitude", "amplitude_device_id", "done"),
            ("appsflyer", "customer_user_id", "done"),
        },
    )
    (detail,) = [s["detail"] for s in receipt["vendors"] if s["kind"] == "amplitude_device_id"]
    assert "deletes the user" in detail
