"""Notifications of a served bridge: what stops is sent once, also over a restart, and again when it is well."""

from __future__ import annotations

import asyncio
import hmac
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from hashlib import sha256

import aiohttp
import pytest
from aiohttp import web
from starting import INSTALL, answering, serving, until, written
from test_console_access import USERS
from test_console_actions import asked_and_done, operating, shown, trail

from flybridge.notifications import notifier
from flybridge.testing.processes import environment

SECRET = "a secret of the webhook"
SETTINGS = """
[notify]
after_minutes = 0
findings = false
webhook = {{ url = "{url}/hook", secret = "{secret}", private = true }}
{slack}
"""


@asynccontextmanager
async def receiving():
    """Run a receiver that checks each signature and keeps the messages."""
    messages = []

    async def take(request):
        body = await request.read()
        if request.path == "/hook":
            signed = request.headers["X-Flybridge-Timestamp"].encode() + b"." + body
            expected = "sha256=" + hmac.new(SECRET.encode(), signed, sha256).hexdigest()
            assert hmac.compare_digest(expected, request.headers["X-Flybridge-Signature"])
        messages.append(json.loads(body))
        return web.Response(text="ok")

    async with answering(take) as origin:
        yield origin, messages


def settings(origin: str, *, slack: bool = False) -> str:
    """Return the section of the configuration."""
    other = f'slack = {{ url = "{origin}/slack", private = true }}' if slack else ""
    return SETTINGS.format(url=origin, secret=SECRET, slack=other)


async def push(origin: str, body=INSTALL) -> None:
    """Send a postback."""
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": "push-token"}
        async with session.post(f"{origin}/v1/push/shop", json=body, headers=headers) as answer:
            assert answer.status == 200


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Look often, so that nobody waits."""
    monkeypatch.setattr(notifier, "LOOK_S", 0.1)


async def test_a_lane_that_stops_is_sent_once_and_when_it_sends_again(tmp_path):
    """With the vendor's own words; a restart in between says nothing."""
    working = asyncio.Event()

    async def amplitude(_):
        if working.is_set():
            return web.json_response({"code": 200})
        return web.json_response({"code": 400, "error": "Invalid API key: the-api-key"}, status=400)

    async with receiving() as (receiver, messages), answering(amplitude) as vendor:
        path = written(tmp_path, vendor, app=settings(receiver))
        async with serving(path) as origin:
            await push(origin)
            await until(lambda: messages)
            await asyncio.sleep(1)
        (first,) = messages
        (begun,) = first["began"]
        assert (first["type"], begun["kind"], begun["level"]) == ("conditions", "lane", "bad")
        assert "shop, Amplitude, HTTP V2" in begun["sentence"]
        assert "Invalid API key" in begun["sentence"]
        assert "the-api-key" not in json.dumps(first)
        async with serving(path) as origin:
            await asyncio.sleep(2)
            assert len(messages) == 1
            working.set()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "flybridge", "lanes", "--config", str(path), "retry", env=environment(),
                stdout=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert await process.wait() == 0
            await until(lambda: len(messages) > 1)
        last = messages[-1]
        assert [one["key"] for one in last["ended"]] == [begun["key"]]
        assert last["summary"] == "flybridge: all is well again"
        assert last["id"] != first["id"]


async def test_no_identifier_leaves_in_a_message(tmp_path):
    """A vendor's words, names of campaigns and the rest are masked, as on the console."""
    email, idfa = "ann.smith@example.com", "6D92078A-8246-4BA4-AE5B-76104861E7DC"

    async def amplitude(_):
        return web.json_response({"code": 400, "error": f"Invalid API key for {email} and {idfa}"}, status=400)

    async with receiving() as (receiver, messages), answering(amplitude) as vendor:
        async with serving(written(tmp_path, vendor, app=settings(receiver, slack=True))) as origin:
            await push(origin, INSTALL | {"campaign": f"{email} {idfa}"})
            # A look between the answer and the halt tells only of an event that waits: the next one has the words.
            await until(lambda: json.dumps(messages).count("Invalid API key") > 1)
        text = json.dumps(messages)
        assert email not in text
        assert idfa not in text


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "flybridge", *words], capture_output=True, text=True, check=False, env=environment()
    )


async def test_the_command_sends_a_test_and_shows_what_was_sent(tmp_path):
    """Exit code 1 if a channel does not work, and no secret on the screen."""
    async with receiving() as (receiver, messages):
        path = written(tmp_path, app=settings(receiver, slack=True))
        sent = await asyncio.to_thread(run, "notify", "--test", "--config", str(path))
        assert (sent.returncode, sent.stdout) == (0, "webhook: sent.\nslack: sent.\n")
        assert sorted(one.get("type", "slack") for one in messages) == ["slack", "test"]
        async with serving(path):
            pass
        listed = await asyncio.to_thread(run, "notify", "--json", "--config", str(path))
        assert [one["channel"] for one in json.loads(listed.stdout)["channels"]] == ["webhook", "slack"]
    broken = await asyncio.to_thread(run, "notify", "--test", "--config", str(path))
    assert broken.returncode == 1
    assert "webhook: 127.0.0.1" in broken.stdout
    assert SECRET not in broken.stdout + broken.stderr


async def test_nobody_to_tell_is_an_error_with_a_remedy(tmp_path):
    """Not a silent success."""
    found = await asyncio.to_thread(run, "notify", "--test", "--config", str(written(tmp_path)))
    assert found.returncode == 2
    assert "[notify.email]" in found.stderr


async def test_the_set_up_page_sends_a_test_and_says_how_it_stands(tmp_path):
    """Behind a question, into the audit trail, by operators alone."""
    async with receiving() as (receiver, messages), operating(tmp_path, settings(receiver) + USERS) as (ann, bob):
        assert "No message so far." in await ann.get("/setup")
        form = {"csrf": await ann.csrf("/setup")}
        done = await asked_and_done(ann, "/setup/notify", form, "Send a test message by webhook?")
        assert "webhook: sent" in done
        assert [one["type"] for one in messages] == ["test"]
        assert ("test_notification", "webhook: sent.", "done") in await trail(ann)
        await bob.post("/setup/notify", 403, csrf=await bob.csrf("/setup"))


async def test_a_channel_that_fails_turns_banner_doctor_and_metric(tmp_path):
    """Who looks at the console sees that nobody is notified."""

    async def refuse(_):
        return web.Response(status=500)

    async with answering(refuse) as receiver, operating(tmp_path, settings(receiver) + USERS) as (ann, _):
        headers = {"Authorization": "wrong"}
        async with ann.session.post("/v1/push/shop", json=INSTALL, headers=headers) as answer:
            assert answer.status == 401
        page = await shown(ann, "/flow", "notification by webhook did not arrive")
        assert "answered 500" in page
        async with ann.session.get("/metrics") as answer:
            assert 'flybridge_notifications_total{channel="webhook",outcome="failed"} 1.0' in await answer.text()
        found = await asyncio.to_thread(run, "doctor", "--no-vendors", "--config", str(tmp_path / "flybridge.toml"))
        assert "WARN notifications by webhook: The last one did not arrive: 127.0.0.1 answered 500." in found.stdout
