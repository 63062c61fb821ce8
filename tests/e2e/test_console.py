"""The console over HTTP: what people see, who may see it, and what is never shown."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from base64 import b64encode
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser

import aiohttp
import msgspec
import pytest
from starting import serving, written

from flybridge.config.settings import load
from flybridge.history.gap_report import GapReport
from flybridge.roles import Role
from flybridge.service.backends import opened_store

PAGES = ("/", "/cohorts", "/account", "/holds", "/dead", "/flow")
KINDS = {"text/html", "text/css", "text/javascript", "image/svg+xml"}
IDFV = "BCCE52E7-03EE-321A-B3D4-E57123966239"
APPSFLYER_ID = "1629191854863-7087037"
HOSTILE = f'<script>alert("x")</script>\u202e&{APPSFLYER_ID} ann@example.com'

SENDER = {"Authorization": "push-token", "Content-Type": "application/json"}
HELD = {
    "event_name": "install",
    "conversion_type": "install",
    "media_source": HOSTILE,
    "appsflyer_id": APPSFLYER_ID,
    "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123",
    "platform": "ios",
    "idfv": IDFV,
}


@asynccontextmanager
async def shown_by(tmp_path, console="", only=None):
    """Run a service; give a session with its origin."""
    async with (
        serving(written(tmp_path, app=console), only) as origin,
        aiohttp.ClientSession(origin) as session,
    ):
        yield session


def basic(password):
    """Return the header that a browser sends."""
    return {"Authorization": "Basic " + b64encode(f"ann:{password}".encode()).decode()}


async def text(session, path, status=200, **options):
    """Return a page."""
    async with session.get(path, **options) as response:
        assert response.status == status
        return await response.text()


async def push(session, body):
    """Send a postback."""
    async with session.post("/v1/push/shop", data=body, headers=SENDER) as response:
        assert response.status == 200


async def shown(session, path, sign):
    """Return a page once it has this sign; it is at most a second behind."""
    for _ in range(200):
        page = await text(session, path)
        if sign in page:
            return page
        await asyncio.sleep(0.05)
    raise AssertionError(f"{sign!r} is not on {path}: {page}")


class Outline(HTMLParser):
    """What a screen reader goes by, and whether every element is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.headings, self.found = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def tags(self, tag):
        """Return the attributes of every element of a kind."""
        return [attrs for name, attrs in self.found if name == tag]


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_works_before_anything_came(tmp_path, path):
    """An empty store is a state like others."""
    async with shown_by(tmp_path) as session:
        page = await text(session, path)
    said = {
        "/": "Nothing was counted in this period",
        "/cohorts": "No installation began in this period",
        "/account": "Nothing has been received yet",
        "/holds": "Nothing waits",
        "/dead": "no dead letters",
        "/flow": "0 messages",
    }
    assert said[path] in page


async def test_the_first_day_is_shown_while_it_lasts(tmp_path):
    """The usual days end yesterday, and whoever has just set flybridge up looks for what has come today."""
    now = datetime.now(UTC)
    today = dict.fromkeys(("event_time", "install_time"), f"{now:%Y-%m-%d %H:%M:%S}.000")
    async with shown_by(tmp_path) as session:
        empty = await text(session, "/")
        await push(session, json.dumps(HELD | today))
        await shown(session, "/holds", "Waiting now: 1")
        sources, cohorts = [await text(session, path) for path in ("/", "/cohorts")]
        asked = [await text(session, f"{path}?period=7d") for path in ("/", "/cohorts")]
    assert "Nothing was counted yet." in empty
    assert '<a href="/setup">' in empty
    day = f"{now:%Y-%m-%d}"
    for page, days in ((sources, 28), (cohorts, 90)):
        assert f"The first figures are of {day}: these are the {days} days up to today, which is not over." in page
        assert f'name="to" value="{day}"' in page
    assert '<p class="value">1<' in sources
    assert '<td class="n">1</td>' in cohorts
    for page in asked:
        assert f"The first after it is {day}." in page


async def test_the_account_says_what_was_missing_and_filled(tmp_path):
    """As the last comparison with AppsFlyer's reports has found it."""
    config = load(written(tmp_path), {})
    report = GapReport("shop", 1_764_000_000_000, 1_764_086_400_000, 1_764_090_000_000, 4_200, 4_190, 10, 9)
    async with opened_store(config) as store:
        await store.put_state("gaps-found shop", msgspec.json.encode(report))
    async with shown_by(tmp_path) as session:
        page = await text(session, "/account")
    assert "AppsFlyer has 4,200 rows, of which 10 were missing here and 9 were filled" in page


async def test_pages_say_what_came_waits_and_died_and_name_nobody(tmp_path):
    """Sums, why it waits, what to do about the dead; a hostile media source is text, and no identifier is anywhere.

    What came last is shown though it is old.
    """
    day = (datetime.now(UTC) - timedelta(days=120)).date().isoformat()
    old = {"event_time": f"{day} 11:59:59.123", "install_time": f"{day} 11:59:59.123"}
    async with shown_by(tmp_path) as session:
        await push(session, json.dumps(HELD | old))
        await push(session, b'"a letter of ann"')
        account = await shown(session, "/account", "1 event could not be processed")
        holds = await shown(session, "/holds", "Waiting now: 1")
        dead = await shown(session, "/dead", "not_an_object")
        lanes = await shown(session, "/flow", "0 messages wait to be mapped")
        sources, cohorts, differences = [await text(session, path) for path in ("/", "/cohorts", "/differences")]
        asked = await text(session, "/?period=7d")
        late = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
        fresh = {"event_time": f"{late} 01:00:00.000", "install_time": f"{late} 01:00:00", "appsflyer_id": "1-2"}
        await push(session, json.dumps(HELD | fresh))
        both = await shown(session, "/", "The last day before these with figures")
    assert "Balanced" in account
    assert "No stream from Amplitude has arrived yet for shop" in holds
    assert "&lt;script&gt;alert(" in holds
    assert "2 d 2" in holds
    assert "one message per request" in dead
    for page, days in ((sources, 28), (cohorts, 90), (differences, 7)):
        assert f"Nothing was counted after {day}: these are the {days} days up to then." in page
    assert f'name="to" value="{day}"' in sources
    assert "Nothing was counted in this period" in asked
    assert f"with figures is {day}." in both
    assert f"to {day}</a>" in both
    for page in (account, holds, dead, lanes, sources, cohorts, differences, both):
        assert "<script>" not in page
        assert "\u202e" not in page
        for personal in (IDFV, APPSFLYER_ID, "ann@example.com", "a letter of ann"):
            assert personal not in page
            assert personal.lower() not in page


async def test_pages_can_be_read_by_everybody(tmp_path):
    """Language, title, one first heading, no level left out, captions, scopes, names for pictures, where one is."""
    async with shown_by(tmp_path) as session:
        await push(session, json.dumps(HELD))
        await push(session, b'"a letter of ann"')
        await shown(session, "/account", "1 event could not be processed")
        pages = {path: Outline(await text(session, path)) for path in PAGES}
    for path, page in pages.items():
        assert page.tags("html")[0]["lang"] == "en"
        assert len(page.tags("title")) >= 1
        assert page.headings[0] == 1
        assert page.headings.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
        assert len(page.tags("caption")) == len(page.tags("table"))
        assert all("scope" in head for head in page.tags("th"))
        assert all("aria-label" in picture or picture["aria-hidden"] == "true" for picture in page.tags("svg"))
        assert [link["href"] for link in page.tags("a") if link.get("aria-current") == "page"] == [path]
        assert page.tags("script") == [{"src": "/console.js", "defer": None}]
        assert not any("style" in attrs or any(name.startswith("on") for name in attrs) for _, attrs in page.found)
    assert pages["/account"].tags("svg")


async def test_answers_carry_what_keeps_a_browser_from_harm(tmp_path):
    """Nothing from elsewhere, no frame, no cache, no guessing of types; pages and stylesheet alike."""
    async with shown_by(tmp_path) as session:
        for path in (*PAGES, "/console.css", "/console.js", "/icon.svg"):
            async with session.get(path) as response:
                assert response.status == 200
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Content-Type"].partition(";")[0] in KINDS


async def test_without_a_password_a_proxy_sees_nothing(tmp_path):
    """Who is passed on is not of this machine, and another name of this machine is none."""
    async with shown_by(tmp_path) as session:
        for headers in ({"X-Forwarded-For": "203.0.113.9"}, {"Host": "bridge.example.com"}):
            answer = json.loads(await text(session, "/holds", 403, headers=headers))
            assert "console.password" in answer["remedy"]
        await text(session, "/v1/nowhere", 404, headers={"X-Forwarded-For": "203.0.113.9"})
        await text(session, "/healthz", headers={"X-Forwarded-For": "203.0.113.9"})


async def test_with_a_password_every_page_needs_it(tmp_path):
    """Basic, with any user name; doors and health go on without."""
    console = '[console]\npassword = "correct horse"'
    async with shown_by(tmp_path, console, Role.CONSOLE) as session:
        for path in ("/console.css", "/console.js", "/icon.svg"):  # the login page needs them
            await text(session, path)
        for path in PAGES:
            async with session.get(path) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic ")
            await text(session, path, 401, headers=basic("wrong horse"))
            await text(session, path, headers=basic("correct horse"))
        await text(session, "/readyz")


async def test_pages_change_nothing(tmp_path):
    """There is no other method than looking."""
    async with shown_by(tmp_path) as session, session.post("/dead") as response:
        assert response.status == 405


@pytest.mark.parametrize("query", ["days=0", "days=-1", "days=x", "days=99999999999999999999", "days=²", "every=1"])
async def test_nonsense_in_the_address_is_the_usual_page(tmp_path, query):
    """Nobody breaks a page by its address."""
    async with shown_by(tmp_path, only=Role.CONSOLE) as session:
        assert "http-equiv" not in await text(session, f"/account?{query}")


async def test_a_page_fetches_itself_again_only_where_asked(tmp_path):
    """Nothing moves under a reader who did not ask for it."""
    async with shown_by(tmp_path, only=Role.CONSOLE) as session:
        assert '<meta http-equiv="refresh" content="10">' in await text(session, "/flow?every=10")


async def test_a_page_that_fetches_itself_again_is_the_same_page(tmp_path):
    """With its period and its filters, while it does and when it is told to stop."""
    asked = "app=shop&from=2026-01-01&to=2026-01-31&search=a%26b"
    async with shown_by(tmp_path) as session:
        page = unescape(await text(session, f"/?{asked}"))
        assert f'href="?{asked}&every=10"' in page
        again = unescape(await text(session, f"/?{asked}&every=10"))
        assert f'<a href="?{asked}">Stop</a>' in again
        assert 'href="?every=60"' in await text(session, "/")


async def test_figures_that_do_not_agree_are_sentences(tmp_path):
    """An outcome vanishes behind flybridge's back: the first page says so with both figures."""
    async with shown_by(tmp_path) as session:
        await push(session, b'"a letter of ann"')
        await shown(session, "/account", "1 event could not be processed")
    with sqlite3.connect(tmp_path / "data" / "store.db") as db:
        db.execute("UPDATE cells SET n = n - 1 WHERE outcome = 'dead'")
    async with shown_by(tmp_path, only=Role.CONSOLE) as session:
        page = await text(session, "/account")
    assert "Envelopes were received that neither wait nor have an outcome. Expected 1, found 0." in page
    assert "Balanced" not in page
