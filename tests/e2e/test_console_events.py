"""The Events pages over HTTP: search by id and by filter, one event's story, its content, and the live tail."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from html import unescape

import aiohttp
import pytest
from test_console_access import USERS, field
from test_console_actions import IDFV, INSTALL, operating, push, shown, trail

from flybridge.sandbox.faults import FaultKind, Faults, FaultScript, Window
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.vendors.deletion import number_of
from flybridge.sandbox.vendors.users import User

HELD, DEAD = ('data-of="Outcome">Waits for its user<', 'data-of="Outcome">Failed<')
APPSFLYER_ID = INSTALL["appsflyer_id"]


SEARCHES = [
    ("appsflyer_id", APPSFLYER_ID, True),
    ("appsflyer_id", "1629191854863-1", False),
    ("device_id", IDFV, True),
    ("device_id", IDFV.lower(), True),
    ("customer_user_id", "customer-of-ours", True),
    ("customer_user_id", "somebody-else", False),
    ("amplitude_id", "12345678", False),
    ("insert_id", "nothing", False),
    ("nonsense", APPSFLYER_ID, False),
    ("appsflyer_id", "0", False),
]


async def test_a_person_is_found_by_each_id_which_stands_nowhere(tmp_path):
    """In the body of a POST; neither the answer nor the trail has it."""
    async with operating(tmp_path) as (_, bob):
        await push(bob, INSTALL | {"customer_user_id": "customer-of-ours"})
        csrf = field(await shown(bob, "/events", r'href="/events/\d+"'), "csrf")
        for kind, value, finds in SEARCHES:
            page = await bob.post("/events/find", 200, csrf=csrf, kind=kind, id=value)
            assert bool(re.search(r'href="/events/\d+"', page)) is finds, (kind, value)
            assert f">{value}<" not in page
            assert value == "0" or f'value="{value}"' not in page
            assert value == "0" or value not in await bob.get("/audit")


@pytest.mark.parametrize("known", [True, False])
async def test_an_amplitude_id_finds_the_events_of_its_user(tmp_path, known):
    """Amplitude is asked for the user's ids; where that can't be done the page says so."""
    device = "a-device-of-ann"
    async with running(Sandbox()) as vendor, operating(tmp_path, USERS, vendor, secret_key=known) as (ann, bob):
        await push(ann, INSTALL | {"custom_data": json.dumps({"amplitude_device_id": device})})
        page = await shown(bob, "/events", 'data-of="Outcome">Delivered<')
        story = await bob.get(re.search(r'href="(/events/\d+)"', page)[1])
        assert "<strong>Sent.</strong> Amplitude accepted it at the first attempt." in story
        assert "What to do" not in story
        number = number_of("the-api-key", User(None, {device}, {}))
        csrf = field(page, "csrf")
        page = await bob.post("/events/find", 200, csrf=csrf, kind="amplitude_id", id=str(number))
        assert bool(re.search(r'href="/events/\d+"', page)) is known
        assert ("no app has a secret_key" in page) is not known
        assert str(number) not in page
        page = await bob.post("/events/find", 200, csrf=csrf, kind="amplitude_id", id=str(number + 1))
        assert not re.search(r'href="/events/\d+"', page)
        page = await bob.post("/events/find", 200, csrf=csrf, kind="amplitude_id", id="ann")
        assert "An Amplitude id is a number." in page


async def test_an_insert_id_finds_its_event(tmp_path):
    """As Amplitude shows it."""
    async with operating(tmp_path) as (ann, _):
        await push(ann, INSTALL | {"custom_data": json.dumps({"amplitude_device_id": "a-device-of-ann"})})
        page = await shown(ann, "/events", r"/events/\d+")
        number, csrf = re.search(r'href="/events/(\d+)"', page)[1], field(page, "csrf")
        with sqlite3.connect(tmp_path / "data" / "store.db") as db:
            ((insert_id,),) = db.execute("SELECT insert_id FROM ledger")
        page = await ann.post("/events/find", 200, csrf=csrf, kind="insert_id", id=insert_id)
        assert f'href="/events/{number}"' in page


FILTERS = {
    "outcome=held": True,
    "outcome=dead": False,
    "app=shop&source=push&event=&media_source=tiktok+%26+co": True,
    "media_source=other": False,
    "since=2001-01-01&until=2100-01-01": True,
    "since=2100-01-01": False,
    "until=2001-01-01": False,
    "since=nonsense&before=nonsense&outcome=held": True,
    "before=1": False,
    "app=%3Cscript%3E": False,
}


async def test_filters_stand_in_the_address(tmp_path):
    """What an event is, not whose."""
    async with operating(tmp_path) as (_, bob):
        await push(bob, INSTALL)
        await shown(bob, "/events", HELD)
        for query, finds in FILTERS.items():
            page = await bob.get(f"/events?{query}")
            assert bool(re.search(r'href="/events/\d+"', page)) is finds, query
            own = page.replace('<script src="/events.js" defer></script>', "").replace("<script src", "")
            assert "<script>" not in own


async def test_a_story_tells_every_step_and_masks_ids(tmp_path):
    """Received, counted, held under which kinds; the content is for operators, and that it was seen is written down."""
    async with operating(tmp_path) as (ann, bob):
        await push(ann, INSTALL)
        page = await shown(ann, "/events", HELD)
        number = re.search(r'href="/events/(\d+)"', page)[1]
        told = await bob.get(f"/events/{number}")
        for sentence in (
            "Received.",
            "Counted.",
            "Waits for its user, to be matched by",
            "IDFV",
            "Waits for its user",
            "role <code>operate</code>",
        ):
            assert sentence in told
        for personal in (IDFV, APPSFLYER_ID):
            assert personal not in told
        await bob.post(f"/events/{number}/content", 403, csrf=await bob.csrf("/events"))
        content = await ann.post(f"/events/{number}/content", 200, csrf=field(page, "csrf"))
        assert "[AppsFlyer] install" in content
        assert [row[0::2] for row in await trail(ann)] == [("denied", "refused"), ("see_content", "done")]
        for absent in (999_999_999, 2**63, 10**30):  # the larger ones are numbers that no store can have given
            assert "There is no such event" in await ann.get(f"/events/{absent}", 404)
            await ann.post(f"/events/{absent}/content", 404, csrf=field(page, "csrf"))


async def test_a_story_has_every_attempt_and_the_mapping_of_what_was_delivered(tmp_path):
    """Attempts that failed, then that which was accepted; each field, for operators, while messages are kept."""
    busy = Window(FaultKind.UNAVAILABLE, 503, 0, 2, 60.0)
    sandbox = Sandbox(faults=Faults(FaultScript(windows=(busy,)), 1))
    kept = f"{USERS}\n[retention]\nmessage_hours = 24\n"
    async with running(sandbox) as vendor, operating(tmp_path, kept, vendor) as (ann, bob):
        await push(ann, INSTALL | {"custom_data": json.dumps({"amplitude_device_id": "a-device-of-ann"})})
        page = await shown(ann, "/events", 'data-of="Outcome">Delivered<')
        number = re.search(r'href="/events/(\d+)"', page)[1]
        story = await ann.get(f"/events/{number}")
        await bob.post(f"/events/{number}/content", 403, csrf=await bob.csrf("/events"))
        assert "role <code>operate</code>" in await bob.get(f"/events/{number}")
        content = await ann.post(f"/events/{number}/content", 200, csrf=field(page, "csrf"))
        assert ("see_content", "done") in [row[0::2] for row in await trail(ann)]
    row = r'<th scope="row">(.*?)</th><td data-of="Value">(.*?)</td><td data-of="Sent as">(.*?)</td>'
    mapped = re.findall(row, content)
    assert ("media_source", "tiktok &amp; co", "event_properties.[AppsFlyer] media source") in mapped
    assert 'data-of="Sent value">a-de…<' in content
    assert f'"idfv": "{IDFV}"' in unescape(content)
    for personal in (IDFV, APPSFLYER_ID, "a-device-of-ann"):
        assert personal not in story
    rows = re.findall(r'data-of="Status">(.*?)</td><td data-of="Answer" class="(.*?)">(.*?)</td>', story)
    assert [row[:2] for row in rows] == [("503", "warn"), ("503", "warn"), ("accepted", "good")]
    assert "<strong>Delivered</strong>. </p>" in story
    assert "first attempt" not in story
    assert "What to do" not in story
    assert all(words.startswith("127.0.0.1 answered 503") for _, level, words in rows if level == "warn")


async def test_the_content_of_a_message_is_text(tmp_path):
    """Messages that attack whoever reads them: a dead letter, and one that is kept and mapped field by field."""
    hostile = "<script>alert(1)</script>\x1b[31m\u202e\x9b{{7*7}}"
    mapped = INSTALL | dict.fromkeys(
        ("media_source", "campaign", "event_value", "city", "device_type", "af_sub1"), hostile
    )
    async with operating(tmp_path, f"{USERS}\n[retention]\nmessage_hours = 1\n") as (ann, _):
        await push(ann, json.dumps(hostile).encode(), mapped)
        await shown(ann, "/events", DEAD)
        page = await shown(ann, "/events", HELD)
        numbers = re.findall(r'href="/events/(\d+)"', page)
        assert len(numbers) == 2
        stories = [await ann.get(f"/events/{number}") for number in numbers]
        contents = [await ann.post(f"/events/{number}/content", 200, csrf=field(page, "csrf")) for number in numbers]
    assert any("Failed." in story for story in stories)
    assert any("Field by field" in content for content in contents)
    for content in contents:
        assert "&lt;script&gt;alert(1)" in content
        assert "{{7*7}}" in content
    for shows in (*stories, *contents):
        for sign in ("<script>alert", "\x1b", "\u202e", "\x9b"):
            assert sign not in shows


async def test_the_tail_follows_what_comes(tmp_path):
    """Only what its filters let through, and only what comes after it was opened."""
    async with operating(tmp_path) as (ann, bob):
        await push(ann, INSTALL)
        await shown(ann, "/events", HELD)
        timeout = aiohttp.ClientTimeout(total=20)
        async with bob.session.get("/events/tail?outcome=dead", timeout=timeout) as stream:
            assert stream.content_type == "text/event-stream"
            while await stream.content.readline() != b": ready\n":
                pass
            await push(ann, INSTALL | {"appsflyer_id": "1629191854863-2", "idfv": IDFV[:-1] + "0"}, b'"no object"')
            line = b""
            while not line.startswith(b"data: "):
                line = await asyncio.wait_for(stream.content.readline(), 10)
        row = json.loads(line.removeprefix(b"data: "))
        assert (row["outcome"], row["reason"]) == ("Failed", "not_an_object")
