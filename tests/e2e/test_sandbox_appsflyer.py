"""The sandbox's AppsFlyer answers as documented, traps included, and its Amplitude streams with documented retries."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from flybridge.sandbox.faults import FaultKind, Faults, FaultScript
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.vendors.ledger import Saved
from flybridge.sandbox.vendors.streamer import AT_ONCE, RETRIES, SPACING_MS, message
from flybridge.testing.clocks import ManualClock

AF_ID = "1629191854863-7087037"
EVENT = {"appsflyer_id": AF_ID, "eventName": "af_purchase", "eventValue": '{"af_revenue":"6"}'}


async def ask(
    origin: str, body: bytes, app: str = "com.example.shop", key: str | None = "s2s", kind: str = "application/json"
) -> tuple[int, str]:
    headers = {"content-type": kind} | ({"authentication": key} if key is not None else {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{origin}/inappevent/{app}", data=body, headers=headers) as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({}, 200, "OK"),
        ({"eventValue": ""}, 200, "OK"),
        ({"appsflyer_id": None}, 400, "appsflyer_id is a mandatory field"),
        ({"eventName": " "}, 400, "Bad request"),
        ({"eventTime": "2026-01-01T00:00:00Z"}, 400, "Bad request"),
        ({"eventValue": "{"}, 400, "Bad request"),
        ({"eventCurrency": "EUR"}, 200, "OK"),
        ({"eventCurrency": ""}, 200, "OK"),
        ({"eventCurrency": "GEM"}, 400, "Bad request"),
        ({"eventCurrency": "usd"}, 400, "Bad request"),
        ({"eventCurrency": ["EUR"]}, 400, "Bad request"),
        ({"ip": "192.0.2.1"}, 200, "OK"),
        ({"ip": "::1"}, 400, "Bad request"),
        ({"att": 3}, 200, "OK"),
        ({"att": 4}, 400, "Bad request"),
        ({"att": "denied"}, 400, "Bad request"),
        ({"idfa": "0F3C1DE2-5A17-4D8B-9B0A-6E4D2F7C9A11"}, 200, "OK"),
        ({"idfa": "0f3c1de2-5a17-4d8b-9b0a-6e4d2f7c9a11"}, 400, "Bad request"),
        ({"idfv": "{0F3C1DE2-5A17-4D8B-9B0A-6E4D2F7C9A11}"}, 400, "Bad request"),
        ({"ip": "299.1.1.10"}, 200, "OK"),
        ({"ip": "999.1.1.1"}, 400, "Bad request"),
        ({"att": True}, 400, "Bad request"),
        ({"os": 14}, 400, "Bad request"),
        ({"customer_user_id": 5}, 400, "Bad request"),
        ({"fb_login_id": "10293847561029384"}, 200, "OK"),
        ({"fb_login_id": 10293847561029384}, 400, "Bad request"),
        ({"fb_login_id": "me"}, 400, "Bad request"),
        ({"email_hashed": "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"}, 200, "OK"),
        ({"email_hashed": "me@example.com"}, 400, "Bad request"),
        ({"app_set_id": {"scope": 1, "id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}}, 200, "OK"),
        ({"app_set_id": {"scope": 3, "id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}}, 400, "Bad request"),
        ({"app_set_id": {"id": "mine"}}, 400, "Bad request"),
        ({"app_set_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, 400, "Bad request"),
        ({"eventTime": "2026-01-31 23:59:59.123"}, 200, "OK"),
        ({"eventTime": "2026-13-45 00:00:00.000"}, 400, "Bad request"),
        ({"eventTime": 1769903999123}, 400, "Bad request"),
        ({"eventValue": {"af_revenue": 6}}, 500, "Internal Server Error"),
        ({"pad": "x" * 1000}, 400, "Bad request"),
    ],
)
async def test_an_event_is_answered_as_documented(change, status, text):
    """The texts are those of the page."""
    async with running(Sandbox(ManualClock())) as origin:
        assert await ask(origin, json.dumps(EVENT | change).encode()) == (status, text)


async def test_a_server_that_fails_does_not_say_what_the_page_has_for_bad_json():
    """An event that meets two failures of the server is not taken for one that can't be used."""
    script = FaultScript(requests=((FaultKind.ERROR_BEFORE, 1.0),))
    async with running(Sandbox(ManualClock(), appsflyer_faults=Faults(script))) as origin:
        answers = [await ask(origin, json.dumps(EVENT).encode()) for _ in range(20)]
    assert {status for status, _ in answers} == {500, 502, 504}
    assert {text for _, text in answers} == {"The server failed"}


@pytest.mark.parametrize(
    ("body", "key", "status", "text"),
    [
        (b"{", "s2s", 400, "Payload is missing or failed to parse"),
        (b"[{}]", "s2s", 400, "Payload is missing or failed to parse"),
        (b"", "s2s", 400, "Payload is missing or failed to parse"),
        (b"{}", None, 400, "Failed to Authenticate"),
        (b"{}", "invalid-key", 401, "Unauthorized"),
        (b"{}", "zero-package", 403, "Forbidden"),
    ],
)
async def test_keys_and_bodies_are_judged(body, key, status, text):
    """The key first."""
    async with running(Sandbox(ManualClock())) as origin:
        assert await ask(origin, body, key=key) == (status, text)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/json", 200), ("Application/JSON; charset=utf-8", 200), ("text/plain", 400), ("", 400)],
)
async def test_only_json_is_parsed(kind, status):
    """By its content type."""
    async with running(Sandbox(ManualClock())) as origin:
        assert (await ask(origin, json.dumps(EVENT).encode(), kind=kind))[0] == status


async def test_an_app_has_so_many_requests_a_minute():
    """More are refused until the minute is over; other apps are not concerned."""
    clock = ManualClock()
    sandbox = Sandbox(clock)
    sandbox.appsflyer.per_minute = 2
    body = json.dumps(EVENT).encode()
    async with running(sandbox) as origin:
        assert [(await ask(origin, body))[0] for _ in range(3)] == [200, 200, 429]
        assert (await ask(origin, body, app="com.example.other"))[0] == 200
        clock.advance(60)
        assert (await ask(origin, body))[0] == 200


async def test_what_is_answered_200_may_be_recorded_nowhere_and_repeats_are_there_twice():
    """The traps: an iOS app id without `id`, a malformed AppsFlyer id."""
    sandbox = Sandbox(ManualClock())
    async with running(sandbox) as origin:
        for app in ("id123456789", "123456789"):
            assert (await ask(origin, json.dumps(EVENT).encode(), app))[0] == 200
        await ask(origin, json.dumps(EVENT | {"appsflyer_id": "x"}).encode())
        await ask(origin, json.dumps(EVENT).encode(), "id123456789")
    assert [(event.app, event.recorded) for event in sandbox.appsflyer.taken] == [
        ("id123456789", True),
        ("123456789", False),
        ("com.example.shop", False),
        ("id123456789", True),
    ]
    assert sandbox.appsflyer.counts()["recorded"] == 2


async def test_scripted_rejections_are_the_same_event_for_ever():
    """So that a retry changes nothing, and a comparison knows them."""
    sandbox = Sandbox(ManualClock(), appsflyer_faults=Faults.named("reject", 3))
    bodies = [json.dumps(EVENT | {"eventName": f"e{n}"}).encode() for n in range(300)]
    async with running(sandbox) as origin:
        first = [await ask(origin, body) for body in bodies]
        second = [await ask(origin, body) for body in bodies]
    assert first == second
    assert 0 < len(sandbox.appsflyer.rejected) == sum(status == 400 for status, _ in first) < 20


def saved(number: int, **fields) -> Saved:
    """Make an event that the sandbox's Amplitude has saved."""
    return Saved(f"i{number}", "Order", "ada-1", "ada-phone", 1_767_225_600_000, 1_767_225_600_000, **fields)


def test_the_default_payload_is_an_exported_event_with_user_properties_as_text():
    """Numbers of the event stay numbers."""
    body = {"event_properties": {"n": 1}, "user_properties": {"age": 42, "vip": True, "name": "Ada"}}
    row = json.loads(message(saved(1, body=json.dumps(body).encode()), "key"))
    assert row["user_properties"] == {"age": "42", "vip": "true", "name": "Ada"}
    assert (row["event_properties"], row["event_time"]) == ({"n": 1}, "2026-01-01 00:00:00.000000")


class Hook:
    """A webhook that answers from a list, then 200."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        """Note a call."""
        self.calls.append((await request.json())["$insert_id"])
        assert request.headers["User-Agent"] == "Amplitude/Webhook/1.0"
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.mark.parametrize(
    ("answers", "calls", "advance"), [([500, 503], 3, 0), ([400], 2, SPACING_MS // 1000 + 1), ([500] * 3, 4, 2000)]
)
async def test_a_call_is_tried_again_at_once_and_over_hours(answers, calls, advance):
    """5xx three times at once, anything else after a while of the sandbox's clock."""
    clock, hook = ManualClock(), Hook(*answers)
    app = web.Application()
    app.router.add_post("/hook", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    sandbox = Sandbox(clock)
    sandbox.streamer.follow("key", f"http://127.0.0.1:{port}/hook", "token")
    sandbox.amplitude.ledger("key").saved.append(saved(1))
    for _ in range(300):
        if len(hook.calls) == min(len(answers), AT_ONCE) and sandbox.streamer.counts()["key"]["waiting"] == 1:
            clock.advance(advance)
        if sandbox.streamer.counts()["key"]["sent"]:
            break
        await asyncio.sleep(0.02)
    await sandbox.streamer.stop()
    await runner.cleanup()
    assert len(hook.calls) == calls
    assert sandbox.streamer.counts()["key"] == {"sent": 1, "tries": calls, "given_up": 0, "waiting": 0}


async def test_after_nine_retries_an_event_is_given_up():
    """As Amplitude does; what was lost is counted."""
    clock = ManualClock()
    sandbox = Sandbox(clock)
    sandbox.streamer.follow("key", "http://127.0.0.1:9/hook")
    sandbox.amplitude.ledger("key").saved.append(saved(1))
    for _ in range(1000):
        counts = sandbox.streamer.counts()["key"]
        if counts["given_up"]:
            break
        if counts["waiting"]:
            clock.advance(SPACING_MS / 1000 + 1)
        await asyncio.sleep(0.005)
    await sandbox.streamer.stop()
    assert (counts["given_up"], counts["tries"]) == (1, RETRIES + 1)


async def test_a_stream_without_an_address_is_refused_with_a_remedy():
    """The page says how to ask."""
    async with (
        running(Sandbox(ManualClock())) as origin,
        aiohttp.ClientSession() as session,
        session.post(f"{origin}/sandbox/stream?project=key") as response,
    ):
        assert response.status == 400
        assert "url=" in (await response.json())["remedy"]
