"""Every page, in every state: by the rules of accessibility, by keyboard, on a phone, in the dark, without scripts."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, StorageState, expect
from rules import by_keyboard, without_violation
from typer.testing import CliRunner

from flybridge.cli.app import app as cli
from flybridge.config.settings import load
from flybridge.service import backends
from flybridge.service.process import Service
from flybridge.store.events import EventFilter

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

APP = "a-shop-whose-name-is-as-long-as-the-name-of-an-app-can-be-at-all"
CONFIG = f"""
data_dir = "./data"
secret = "a secret of sixteen characters"
[server]
port = 0
[[console.users]]
name = "ann"
password = "the password of ann"
role = "operate"
[[console.users]]
name = "bob"
password = "the password of bob"
[notify.webhook]
url = "https://hooks.example.com/"
secret = "a secret of the webhook"
[retention]
message_hours = 24
[[apps]]
name = "{APP}"
appsflyer_app_id = "id1234567890"
platform = "ios"
[apps.appsflyer]
push_token = "push-token"
api_token = "api-token"
s2s_key = "s2s-key"
base_url = "http://127.0.0.1:9"
[apps.amplitude]
api_key = "the-api-key"
base_url = "http://127.0.0.1:9"
webhook_token = "stream-token"
[[apps.streams]]
events = ["Purchase"]
[[apps.audiences]]
cohort = "c1"
identifier = "idfv"
cadence = "realtime"
name = "buyers"
"""
LONG = "name" * 20
INSTALL = {
    "event_name": "install", "conversion_type": "install", "media_source": f"tiktok & co {LONG}",
    "campaign": f"one {LONG}",
    "appsflyer_id": "1629191854863-7087037", "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123", "platform": "ios", "idfv": "BCCE52E7-03EE-321A-B3D4-E57123966239",
}  # fmt: skip
BODIES = (
    json.dumps(INSTALL),
    json.dumps(
        INSTALL | {"appsflyer_id": "1629191854863-1", "idfv": "", "custom_data": '{"amplitude_device_id": "a-device"}'}
    ),
    '"no object"',
)


@dataclass
class Console:
    """A console that people log in to. `held` and `dead` are ids of events, `sessions` the cookies of each user."""

    origin: str
    held: int = 0
    dead: int = 0
    sent: int = 0
    sessions: dict[str, StorageState] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """Return a console in which something waits, something has failed, and something is to be sent."""
    folder: Path = tmp_path_factory.mktemp("console")
    path = folder / "flybridge.toml"
    path.write_text(CONFIG)
    config = load(path, os.environ)
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(Service(config).run(stop, port.set_result))
    found = Console(f"http://127.0.0.1:{await port}")
    try:
        async with aiohttp.ClientSession(found.origin) as session:
            for body in BODIES:
                headers = {"Authorization": "push-token", "Content-Type": "application/json"}
                async with session.post(f"/v1/push/{APP}", data=body, headers=headers) as answer:
                    assert answer.status == 200
            async with session.post(f"/v1/push/{APP}", data="{}", headers={"Authorization": "wrong"}) as answer:
                assert answer.status == 401
        async with backends.opened_store(config) as store, asyncio.timeout(30):
            while len(rows := (await store.find_events(EventFilter())).rows) < len(BODIES):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        by_outcome = {row.outcome: row.id for row in rows}
        found.held, found.dead, found.sent = by_outcome["held"], by_outcome["dead"], by_outcome["pending"]
        yield found
    finally:
        stop.set()
        await serving


async def log_in(page: Page, user: str) -> None:
    """Log in as a person does."""
    await page.goto("/login")
    await page.get_by_label("Name").fill(user)
    await page.get_by_label("Password").fill(f"the password of {user}")
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_load_state()


async def session_of(browser: Browser, console: Console, user: str) -> StorageState | None:
    """Return the cookies of a user, who logs in once."""
    if not user:
        return None
    if user not in console.sessions:
        context = await browser.new_context(base_url=console.origin)
        await log_in(await context.new_page(), user)
        console.sessions[user] = await context.storage_state()
        await context.close()
    return console.sessions[user]


async def go(page: Page, console: Console, name: str) -> None:
    """Go to a page."""
    for step in STATES[name][1]:
        if callable(step):
            await step(page)
        else:
            await page.goto(step.format(console=console))


def click(name: str):
    """Return a step that presses the first button of this name."""

    async def step(page: Page) -> None:
        await page.get_by_role("button", name=name).first.click()
        await page.wait_for_load_state()

    return step


async def find(page: Page) -> None:
    """Look an event up by an id."""
    await page.get_by_label("Id", exact=True).fill(INSTALL["appsflyer_id"])
    await click("Find")(page)


async def forge(page: Page) -> None:
    """Send a form that no page of the console has made."""
    async with page.expect_navigation():
        await page.evaluate("""() => {
            const form = Object.assign(document.createElement("form"), {method: "post", action: "/holds/expire"});
            document.body.append(form); form.submit(); }""")


# Pages of figures are tried with weeks of figures, in test_pages.py.
STATES = {
    "login": ("", ["/holds"]),
    "first page": ("bob", ["/"]),
    "events": ("bob", ["/events"]),
    "events found": ("bob", ["/events", find]),
    "no event found": ("bob", ["/events?app=nothing"]),
    "a held event": ("bob", ["/events/{console.held}"]),
    "a failed event": ("ann", ["/events/{console.dead}"]),
    "content of a failed event": ("ann", ["/events/{console.dead}", click("Show the content")]),
    "content of an event": ("ann", ["/events/{console.sent}", click("Show the content")]),
    "flow": ("ann", ["/flow"]),
    "holds": ("ann", ["/holds"]),
    "single holds": ("ann", ["/holds?single=1"]),
    "a question": ("ann", ["/holds", click("Release")]),
    "an answer": ("ann", ["/flow", click("Retry"), click("Retry now")]),
    "dead letters": ("ann", [f"/dead?app={APP}&reason=not_an_object"]),
    "audiences": ("ann", ["/audiences"]),
    "jobs": ("ann", ["/jobs"]),
    "set-up": ("ann", ["/setup"]),
    "set-up with tokens": ("ann", ["/setup", click("Show it with the tokens")]),
    "access": ("ann", ["/access"]),
    "audit": ("ann", ["/audit"]),
    "no such event": ("bob", ["/events/999999999"]),
    "no such page": ("bob", ["/nothing"]),
    "a forged form": ("ann", ["/holds", forge]),
}


@asynccontextmanager
async def visited(browser: Browser, console: Console, name: str, *, script: bool = True) -> AsyncIterator[Page]:
    """Open a page in a state; what its scripts complain about fails the test."""
    context = await browser.new_context(
        base_url=console.origin, viewport={"width": 1440, "height": 900}, java_script_enabled=script,
        storage_state=await session_of(browser, console, STATES[name][0]),
    )  # fmt: skip
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda problem: complaints.append(str(problem)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        await go(page, console, name)
        yield page
        assert complaints == []
    finally:
        await context.close()


@pytest.mark.parametrize("name", STATES)
async def test_every_page_is_for_everybody(browser, console, name):
    """By axe, wide and light, narrow and dark; nothing is wider than the screen; all of it by keyboard."""
    async with visited(browser, console, name) as page:
        if name != "a forged form":
            await by_keyboard(page)
        await without_violation(page)


@pytest.mark.parametrize("name", [name for name in STATES if name not in {"a forged form"}])
async def test_every_page_can_be_read_and_used_without_a_script(browser, console, name):
    """Login, search, questions and answers are plain forms."""
    async with visited(browser, console, name, script=False) as page:
        await expect(page.locator("h1")).to_be_visible()


async def test_the_command_that_the_flow_names_is_one(browser, console):
    """It is pasted when something has stopped."""
    async with visited(browser, console, "flow") as page:
        named = await page.locator(".finding code", has_text="flybridge lanes").inner_text()
    program, *words = named.split()
    assert (program, words[:2]) == ("flybridge", ["lanes", "retry"])
    done = CliRunner().invoke(cli, [*words, "--config", "nowhere.toml"])
    assert "There is no configuration file nowhere.toml." in str(done.exception), done.output
