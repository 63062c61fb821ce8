"""Each way in which a bridge can be stuck is said within a minute: by doctor, in the console and in the metrics."""

from __future__ import annotations

import asyncio
import html
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from time import monotonic

import aiohttp
import nats
import pytest
from aiohttp import web
from msgspec import Struct
from nats.js.errors import APIError
from starting import INSTALL, answering, serving, written
from typer.testing import CliRunner

from flybridge.cli.app import app as cli
from flybridge.testing.nats import NatsCluster

MINUTE_S = 60.0
AUDIENCE = """
[[apps.audiences]]
cohort = "7khm89cz"
name = "vips"
import_key = "wrong"
identifier = "cuid"
cadence = "realtime"
"""


class Stuck(Struct, frozen=True):
    """What doctor, the console and the metrics have to say about a state. Each is searched in what they print."""

    doctor: str
    console: str
    metrics: str
    ok: bool = False


async def doctor(path: Path) -> tuple[int, str]:
    """Return the exit code of doctor and what it prints."""
    found = await asyncio.to_thread(
        CliRunner().invoke, cli, ["doctor", "--no-vendors", "--json", "--config", str(path)]
    )
    return found.exit_code, found.stdout


async def post(session: aiohttp.ClientSession, path: str, body: object, token: str) -> int:
    """Send a message as a vendor would."""
    async with session.post(path, json=body, headers={"Authorization": token}) as response:
        return response.status


async def push(session: aiohttp.ClientSession, n: int = 0) -> int:
    """Send a postback of a device of its own."""
    body = INSTALL | {
        "appsflyer_id": f"1629191854863-{7087037 + n}",
        "custom_data": json.dumps({"amplitude_device_id": f"device-{n}"}),
    }
    return await post(session, "/v1/push/shop", body, "push-token")


async def said(path: Path, session: aiohttp.ClientSession, stuck: Stuck, since_s: float) -> None:
    """Wait until all three say it; at most a minute from the beginning."""
    left = {"doctor": stuck.doctor, "console": stuck.console, "metrics": stuck.metrics}
    shown: dict[str, str] = {}
    code = 0
    while left and monotonic() - since_s < MINUTE_S:
        if "doctor" in left:
            code, shown["doctor"] = await doctor(path)
        for place, address in (("console", "/"), ("metrics", "/metrics")):
            if place in left:
                async with session.get(address) as response:
                    shown[place] = html.unescape(await response.text())
        left = {place: text for place, text in left.items() if not re.search(text, shown[place], re.DOTALL)}
        await asyncio.sleep(0.3)
    assert not left, {place: shown[place][-3000:] for place in left}
    assert (code == 0) == stuck.ok


@asynccontextmanager
async def vendor(status: int, body: object) -> AsyncIterator[str]:
    """Run a vendor that always answers so."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, text=json.dumps(body), content_type="application/json")

    async with answering(answer) as origin:
        yield origin


ANSWERS = {
    "a wrong key": (400, {"code": 400, "error": "Invalid API key: the-api-key"}, Stuck(
        "sending shop http_v2.*is halted.*invalid_api_key.*amplitude.api_key",
        "shop, Amplitude, HTTP V2: .*invalid_api_key",
        r'flybridge_circuit_open\{app="shop",endpoint="http_v2"\} 1.0',
    )),
    "an outage": (503, {}, Stuck(
        "sending shop http_v2.*is paused.*server_error_503",
        "shop, Amplitude, HTTP V2: .*server_error_503",
        r'flybridge_circuit_open\{app="shop",endpoint="http_v2"\} 1.0',
        ok=True,  # a warning for ten minutes
    )),
    "another server": (404, {}, Stuck(
        "sending shop http_v2.*is halted.*wrong_address.*base_url",
        "shop, Amplitude, HTTP V2: .*wrong_address",
        r'flybridge_circuit_open\{app="shop",endpoint="http_v2"\} 1.0',
    )),
    "a proxy that breaks requests": (400, {"code": 400, "error": "Invalid JSON request body"}, Stuck(
        "sending shop http_v2.*is halted.*unreadable_request.*delivery.gzip",
        "shop, Amplitude, HTTP V2: .*unreadable_request",
        r'flybridge_circuit_open\{app="shop",endpoint="http_v2"\} 1.0',
    )),
    "every event refused": (400, {"code": 400, "error": "Something is wrong"}, Stuck(
        "sending shop http_v2.*is halted.*invalid_event.*Nothing is accepted",
        "shop, Amplitude, HTTP V2: .*invalid_event",
        r'flybridge_circuit_open\{app="shop",endpoint="http_v2"\} 1.0',
    )),
    "a daily quota": (429, {"code": 429, "exceeded_daily_quota_devices": {f"device-{n}": 1 for n in range(9)}}, Stuck(
        "sending shop http_v2.*wait for another try",
        "shop, Amplitude, HTTP V2: .*could not be sent, and waits? for another try",
        r'flybridge_lane_later\{app="shop",endpoint="http_v2"\} [1-9]',
        ok=True,
    )),
}  # fmt: skip


@pytest.mark.parametrize("state", ANSWERS)
async def test_what_a_vendor_answers_is_said(state, tmp_path):
    """With what it answered, and what to do."""
    status, body, stuck = ANSWERS[state]
    async with vendor(status, body) as origin:
        path = written(tmp_path, origin)
        async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
            began_s = monotonic()
            for n in range(9):
                assert await push(session, n) == 200
            await said(path, session, stuck, began_s)


async def test_sealed_items_that_do_not_open_are_said(tmp_path):
    """A bit of one of them was flipped on the disk while the bridge was stopped."""
    async with vendor(503, {}) as origin:
        path = written(tmp_path, origin)
        async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
            assert await push(session) == 200
            while not await _due(session):  # noqa: ASYNC110 - another task makes it so
                await asyncio.sleep(0.05)
        with closing(sqlite3.connect(tmp_path / "data" / "store.db")) as db, db:
            ((sealed,),) = db.execute("SELECT sealed FROM items").fetchall()
            db.execute("UPDATE items SET sealed = ?", (bytes([*sealed[:-1], sealed[-1] ^ 1]),))
        async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
            stuck = Stuck(
                "1 dead letters can't be opened.*former_secrets",
                "1 event could not be processed or delivered",
                r'flybridge_envelopes\{app="shop",outcome="dead",reason="sealed",source="push"\} 1.0',
                ok=True,
            )
            await said(path, session, stuck, monotonic())


async def _due(session: aiohttp.ClientSession) -> bool:
    async with session.get("/metrics") as response:
        return re.search(r"flybridge_lane_(due|later)\{[^}]*\} 1.0", await response.text()) is not None


async def test_messages_of_another_secret_in_the_inbox_are_said(tmp_path):
    """An intake still has the former one."""
    path = written(tmp_path)
    async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
        assert await push(session) == 200
    text = path.read_text()
    path.write_text(text.replace("a secret of sixteen characters", "another secret of sixteen characters"))
    code, shown = await doctor(path)
    assert code == 1
    assert "secret" in shown
    assert "former_secrets" in shown
    with pytest.raises(Exception, match="former_secrets"):
        async with serving(path):
            pass


async def test_an_audience_that_has_stopped_is_said(tmp_path):
    """Its import key is not AppsFlyer's."""
    async with vendor(400, {"message": "import_key is not valid"}) as origin:
        path = written(tmp_path, app=AUDIENCE)
        path.write_text(
            path.read_text().replace(
                'push_token = "push-token"', f'push_token = "push-token"\napi_token = "t"\nbase_url = "{origin}"'
            )
        )
        async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
            began_s = monotonic()
            batch = {"cohort_id": "7khm89cz", "in_cohort": True, "users": [{"user_id": "ada"}], "message_id": "m",
                     "computed_time": "1795168800"}  # fmt: skip
            assert await post(session, "/v1/cohorts/shop", batch, "stream-token") == 200
            # By itself it would run within a minute.
            words = ["cohorts", "run", "vips", "--config", str(path)]
            while (await asyncio.to_thread(CliRunner().invoke, cli, words)).exit_code == 0:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.2)  # the message is still in the inbox
            stuck = Stuck(
                "The audience vips of shop has stopped.*import_key is not valid.*see the import key",
                "The audience vips of shop has stopped.*import_key is not valid",
                r'flybridge_audience_failures\{app="shop",audience="vips"\} [1-9]',
            )
            await said(path, session, stuck, began_s)


async def filled(server: NatsCluster) -> None:
    """Store messages of somebody else until the server takes no more."""
    client = await nats.connect(server.urls[0])
    stream = client.jetstream()
    await stream.add_stream(name="other", subjects=["other"])
    with suppress(APIError):
        while True:
            await stream.publish("other", bytes(100_000))
    await client.close()


@pytest.mark.service
async def test_nats_at_its_own_storage_limit_is_said(tmp_path, new_database):
    """What waits is processed, and yet nothing more can be stored: another stream has used up the room."""
    async with NatsCluster(tmp_path / "nats", 1, max_file_store="1MB") as server, new_database("template1") as dsn:
        path = written(tmp_path)
        with path.open("a") as config:
            config.write(f'\n[cluster]\nnats = ["{server.urls[0]}"]\npostgres = "{dsn}"\nreplicas = 1\n')
        async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
            assert await push(session) == 200
            await filled(server)
            began_s = monotonic()
            assert await push(session, 1) == 503
            stuck = Stuck(
                "the inbox does not store: The stream flybridge is full.*the servers' own limit",
                "the inbox does not store: The stream flybridge is full.*the servers' own limit",
                r'flybridge_unstored\{app="shop",source="push"\} 1.0',
            )
            await said(path, session, stuck, began_s)


async def test_refused_senders_are_said(tmp_path):
    """AppsFlyer has another token."""
    path = written(tmp_path)
    async with serving(path) as bridge, aiohttp.ClientSession(bridge) as session:
        began_s = monotonic()
        for _ in range(5):
            assert await post(session, "/v1/push/shop", INSTALL, "former-token") == 401
        stuck = Stuck(
            "senders.*401", "401", r'flybridge_intake_refused_total\{app="shop",source="push",status="401"\} 5.0'
        )
        await said(path, session, stuck, began_s)
