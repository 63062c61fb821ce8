"""The whole service against somebody else's server: what leaves is well formed, and the commands tell the truth."""

import asyncio
import gzip
import json
import sqlite3
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from starting import answering, serving, until, written
from typer.testing import CliRunner

from flybridge.cli.app import app as cli

INSTALL = {
    "event_name": "install",
    "conversion_type": "install",
    "campaign_type": "ua",
    "media_source": "googleadwords_int",
    "campaign": "winter",
    "appsflyer_id": "1629191854863-7087037",
    "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123",
    "platform": "ios",
    "idfv": "BCCE52E7-03EE-321A-B3D4-E57123966239",
    "custom_data": json.dumps({"amplitude_device_id": "device-of-ann"}),
}


@asynccontextmanager
async def stub(answer):
    """Run a foreign HTTP server that keeps what it is sent and answers as told."""
    kept = []

    async def take(request):
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        kept.append((request.path, dict(request.headers), body))
        return answer(body)

    async with answering(take) as origin:
        yield origin, kept


async def post(origin, message, path="/v1/push/shop", token="push-token"):
    """Send one message as a vendor would."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(origin + path, json=message, headers={"Authorization": token}) as response,
    ):
        return response.status


@pytest.fixture
def configured(tmp_path):
    """Return a function that writes a configuration and gives its path."""

    def write(origin, route="http_v2"):
        return written(tmp_path, origin, route=route)

    return write


async def test_a_foreign_server_gets_a_well_formed_http_v2_upload(configured):
    """Path, key, event, identity and insert_id are where Amplitude wants them."""
    async with stub(lambda _: web.json_response({"code": 200})) as (origin, kept):
        async with serving(configured(origin)) as bridge:
            assert await post(bridge, INSTALL) == 200
            await until(lambda: kept)
        ((path, headers, body),) = kept
    upload = json.loads(body)
    assert path == "/2/httpapi"
    assert headers["Content-Type"] == "application/json"
    assert upload["api_key"] == "the-api-key"
    identify, event = upload["events"]
    assert (identify["event_type"], identify["device_id"]) == ("$identify", "device-of-ann")
    assert event["event_type"] == "[AppsFlyer] Install"
    assert event["device_id"] == "device-of-ann"
    assert event["time"] == 1769860799123
    assert event["idfv"] == INSTALL["idfv"]
    assert len(event["insert_id"]) == 32
    assert INSTALL["idfv"] not in json.dumps([event["user_properties"], event.get("event_properties", {})])


async def test_a_foreign_server_gets_a_well_formed_attribution(configured):
    """The key and the event are form fields, so that neither stands in an access log."""
    async with stub(lambda _: web.Response(text="success")) as (origin, kept):
        async with serving(configured(origin, "attribution")) as bridge:
            assert await post(bridge, INSTALL) == 200
            await until(lambda: kept)
        ((path, headers, body),) = kept
    fields = parse_qs(body.decode())
    event = json.loads(fields["event"][0])
    assert path == "/attribution"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert fields["api_key"] == ["the-api-key"]
    assert (event["event_type"], event["platform"], event["idfv"]) == ("[AppsFlyer] Install", "ios", INSTALL["idfv"])
    assert event["user_properties"]["[AppsFlyer] media source"] == "googleadwords_int"


async def test_a_sighting_from_the_stream_releases_what_waits(configured):
    """The postback names nobody; Amplitude's own event does, by the same vendor id."""
    unknown = {name: value for name, value in INSTALL.items() if name != "custom_data"}
    seen = {"user_id": "ann@example.com", "device_id": INSTALL["idfv"], "platform": "iOS", "event_type": "Login"}
    async with stub(lambda _: web.json_response({"code": 200})) as (origin, kept):
        async with serving(configured(origin)) as bridge:
            assert await post(bridge, unknown) == 200
            assert await post(bridge, seen, "/v1/stream/shop", "stream-token") == 200
            await until(lambda: kept)
        _, event = json.loads(kept[0][2])["events"]
    assert (event["user_id"], event["device_id"]) == ("ann@example.com", INSTALL["idfv"])


def invoke(*arguments):
    """Run a command in a thread of its own, as its loop needs."""
    return asyncio.to_thread(CliRunner().invoke, cli, [*arguments])


async def test_a_rejected_event_is_a_dead_letter_that_can_be_replayed(configured):
    """`dead` says what happened and what helps; `replay` sends it again; the account stays whole."""
    answers = [{"code": 400, "error": "Invalid field values on some events", "events_with_invalid_fields": {"ip": [0]}}]

    def answer(_):
        return web.json_response(answers[0], status=400) if answers else web.json_response({"code": 200})

    async with stub(answer) as (origin, kept):
        path = configured(origin)
        async with serving(path) as bridge:
            assert await post(bridge, INSTALL) == 200
            await until(lambda: kept)
        listed = json.loads((await invoke("dead", "--config", str(path), "--json")).stdout)
        assert [(row["stage"], row["app"]) for row in listed] == [("deliver", "shop")]
        assert "ip" in listed[0]["what_happened"]
        assert listed[0]["what_to_do"]
        answers.clear()
        done = await invoke("replay", str(listed[0]["id"]), "--config", str(path), "--json")
        assert json.loads(done.stdout)["redelivered"] == 1
        async with serving(path):
            await until(lambda: len(kept) == 2)
        account = await invoke("account", "--config", str(path), "--json")
    assert account.exit_code == 0
    assert json.loads(account.stdout)["days"][0]["delivered"] == 1
    assert json.loads(kept[0][2])["events"] == json.loads(kept[1][2])["events"]


async def test_the_account_reports_an_envelope_that_has_gone(configured):
    """A line of the ledger is removed behind flybridge's back: the command says so and exits with 1."""
    async with stub(lambda _: web.json_response({"code": 200})) as (origin, kept):
        path = configured(origin)
        async with serving(path) as bridge:
            assert await post(bridge, INSTALL) == 200
            await until(lambda: kept)
        assert (await invoke("account", "--config", str(path))).exit_code == 0
        with sqlite3.connect(path.parent / "data" / "store.db") as db:
            db.execute("UPDATE cells SET n = n - 1 WHERE outcome = 'delivered'")
        found = await invoke("account", "--config", str(path), "--json")
    assert found.exit_code == 1
    said = json.loads(found.stdout)
    assert said["balanced"] is False
    assert {(d["expected"], d["found"]) for d in said["discrepancies"]} >= {(1, 0)}


async def test_two_services_never_work_on_one_directory(configured):
    """The second is told which directory, and what to do."""
    async with stub(lambda _: web.json_response({"code": 200})) as (origin, _):
        path = configured(origin)
        async with serving(path):
            with pytest.raises(Exception, match=r"works on .* already"):
                async with serving(path):
                    pass
