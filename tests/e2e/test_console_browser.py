"""The console in a real browser: login, roles, an action with its question, forged pages, and the live tail.

The browser is the distribution's Chromium (Debian, Ubuntu: `apt-get install chromium`), or the one that
FLYBRIDGE_CHROMIUM names. Without one these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect
from starting import serving, written
from test_console_access import USERS
from test_console_actions import INSTALL, push

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = os.environ.get("FLYBRIDGE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]
PASSWORDS = {"ann": "the password of ann", "bob": "the password of bob"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium():
    """Return a running browser."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        await running.close()


@asynccontextmanager
async def console(chromium, tmp_path, **options):
    """Run a service, and a browser that has not been there before. Errors of pages are failures."""
    async with serving(written(tmp_path, app=USERS)) as origin:
        context = await chromium.new_context(base_url=origin, **options)
        page = await context.new_page()
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        try:
            yield page, origin
        finally:
            await context.close()
        assert wrong == []


async def log_in(page, user, path="/holds"):
    """Log in on the page that was asked for."""
    await page.goto(path)
    await page.get_by_label("Name").fill(user)
    await page.get_by_label("Password").fill(PASSWORDS[user])
    await page.get_by_role("button", name="Log in").click()


class Sender:
    """Sends postbacks."""

    def __init__(self, page):
        self.session = self
        self.page = page

    @asynccontextmanager
    async def post(self, path, data, headers):
        """Send one."""
        yield await self.page.request.post(path, data=data, headers=headers)


@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 390, "height": 800}}, {"java_script_enabled": False}])
async def test_an_operator_logs_in_and_releases_what_waits(chromium, tmp_path, options):
    """By its buttons alone, on a desk, on a phone, and without scripts; the trail has it."""
    async with console(chromium, tmp_path, **options) as (page, _):
        await push(Sender(page), INSTALL)
        await page.goto("/holds")
        await page.get_by_label("Name").fill("ann")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("does not fit")
        await log_in(page, "ann", "/holds?single=1")
        await page.get_by_role("checkbox").first.check()
        await page.get_by_role("button", name="Release those that are chosen").click()
        await expect(page.get_by_text("Release 1 waiting event?")).to_be_visible()
        await page.get_by_label("Amplitude user id").fill("person-12345")
        await page.get_by_role("button", name="Release", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("Released: 1.")
        await page.goto("/audit")
        await expect(page.get_by_role("row").nth(1)).to_contain_text("release")
        await page.get_by_role("button", name="Log out").click()
        await page.goto("/holds")
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_who_may_look_has_no_buttons(chromium, tmp_path):
    """But may look events up, and log out."""
    async with console(chromium, tmp_path) as (page, _):
        await push(Sender(page), INSTALL)
        await log_in(page, "bob", "/events")
        await page.get_by_label("Kind").select_option("appsflyer_id")
        await page.get_by_label("Id", exact=True).fill(INSTALL["appsflyer_id"])
        await page.get_by_role("button", name="Find").click()
        await expect(page.get_by_role("heading", name="Found by AppsFlyer id")).to_be_visible()
        assert INSTALL["appsflyer_id"] not in page.url
        assert INSTALL["appsflyer_id"] not in await page.content()
        for path in ("/holds", "/dead", "/audiences", "/access"):
            await page.goto(path)
            assert [await one.inner_text() for one in await page.get_by_role("button").all()] == ["Log out"]


async def test_a_page_of_another_site_can_do_nothing(chromium, tmp_path):
    """Its form arrives without the session's cookie, with its own origin, and without a token."""
    async with console(chromium, tmp_path) as (page, origin):
        await push(Sender(page), INSTALL)
        await log_in(page, "ann")
        evil = await page.context.new_page()
        fields = '<input name="id" value="1"><input name="sure" value="yes"><button>go</button>'
        await evil.set_content(f'<form method="post" action="{origin}/holds/expire">{fields}</form>')
        await evil.get_by_role("button").click()
        await expect(evil.get_by_role("heading")).to_contain_text("Log in")
        await page.goto("/holds")
        await expect(page.get_by_text("Waiting now: 1")).to_be_visible()


async def test_events_are_followed_live(chromium, tmp_path):
    """What comes while somebody looks appears without loading the page again."""
    async with console(chromium, tmp_path) as (page, _):
        await log_in(page, "bob", "/events")
        async with page.expect_response(lambda response: "/events/tail" in response.url):
            await page.get_by_role("button", name="Follow live").click()
        await page.wait_for_timeout(1500)
        await push(Sender(page), INSTALL)
        await expect(page.locator("#events tbody tr").first).to_contain_text("tiktok & co", timeout=15_000)
        await page.get_by_role("button", name="Stop following").click()
