"""Every action of the console over HTTP: it asks with how many, does it, and writes it to the audit trail."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from contextlib import asynccontextmanager
from html import unescape

import aiohttp
import pytest
from starting import NOWHERE, serving, written
from test_console_access import USERS, Browser, field

IDFV = "BCCE52E7-03EE-321A-B3D4-E57123966239"
SENDER = {"Authorization": "push-token", "Content-Type": "application/json"}
INSTALL = {
    "event_name": "install",
    "conversion_type": "install",
    "media_source": "tiktok & co",
    "appsflyer_id": "1629191854863-7087037",
    "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123",
    "platform": "ios",
    "idfv": IDFV,
}
AUDIENCE = f"""
[[apps.audiences]]
cohort = "c1"
import_key = "an import key"
identifier = "idfv"
cadence = "realtime"
name = "spenders"

{USERS}
"""


@asynccontextmanager
async def operating(tmp_path, console=USERS, amplitude=NOWHERE, *, secret_key=False):
    """Run a service with an operator and somebody who may look, both logged in. `amplitude` is where Amplitude is."""
    path = written(tmp_path, amplitude, app=('secret_key = "a secret key"\n' if secret_key else "") + console)
    path.write_text(path.read_text().replace('push_token = "push-token"', 'push_token = "push-token"\napi_token = "t"'))
    async with serving(path) as origin:
        jars = [aiohttp.ClientSession(origin, cookie_jar=aiohttp.CookieJar(unsafe=True)) for _ in range(2)]
        try:
            ann, bob = (Browser(jar, origin) for jar in jars)
            await ann.log_in("ann", "the password of ann")
            await bob.log_in("bob", "the password of bob")
            yield ann, bob
        finally:
            for jar in jars:
                await jar.close()


async def push(browser, *bodies):
    """Send postbacks."""
    for body in bodies:
        data = body if isinstance(body, bytes) else json.dumps(body)
        async with browser.session.post("/v1/push/shop", data=data, headers=SENDER) as response:
            assert response.status == 200


async def shown(browser, path, sign):
    """Return a page once it has this sign."""
    for _ in range(200):
        page = await browser.get(path)
        if re.search(sign, page):
            return page
        await asyncio.sleep(0.05)
    raise AssertionError(f"{sign!r} is not on {path}: {page}")


async def trail(browser):
    """Return action, detail and outcome of the audit trail's rows, the oldest first."""
    lines = list(csv.reader((await browser.get("/audit.csv")).removeprefix("\ufeff").splitlines()))[1:]
    return [(line[4], line[6], line[7]) for line in reversed(lines) if line[4] not in {"login", "logout"}]


async def asked_and_done(browser, path, form, question, button_page=None):
    """Send a form, see its question, and answer yes."""
    page = await browser.post(path, 200, **form)
    assert question in page, page
    found = re.findall('<input type="hidden" name="([a-z_]+)" value="([^"]*)"', page)
    kept = {name: unescape(value) for name, value in found}
    assert kept["sure"] == "yes"
    return await browser.post(path, 200, **{**form, **kept, **(button_page or {})})


def others(n):
    """Return installs of different people."""
    ids = [(f"1629191854863-{i}", f"BCCE52E7-03EE-321A-B3D4-{i:012d}") for i in range(1, n + 1)]
    return [INSTALL | {"appsflyer_id": appsflyer_id, "idfv": idfv} for appsflyer_id, idfv in ids]


async def test_chosen_holds_are_released_for_a_user(tmp_path):
    """Without a user that is named it can't be done; the trail has both, and no id of the person."""
    async with operating(tmp_path, "min_id_length = 4\n" + USERS) as (ann, _):
        await push(ann, INSTALL)
        page = await shown(ann, "/holds?single=1", 'name="id"')
        form = {"csrf": field(page, "csrf"), "id": field(page, "id")}
        question = "Release 1 waiting event?"
        assert "Not done" in await asked_and_done(ann, "/holds/release", form, question)
        page = await asked_and_done(ann, "/holds/release", form, question, {"user_id": "ann"})
        assert "Amplitude would refuse this user id" in page
        page = await asked_and_done(ann, "/holds/release", form, question, {"user_id": "p-12"})
        assert "Released: 1." in page
        assert "Nothing waits" in await shown(ann, "/holds", "Nothing waits")
        rows = await trail(ann)
        assert [(action, outcome) for action, _, outcome in rows] == [
            *[("release", "begun"), ("release", "failed")] * 2, ("release", "begun"), ("release", "done")
        ]  # fmt: skip
        assert "p-12" not in str(rows)


async def test_all_holds_of_a_source_are_expired_and_only_those(tmp_path):
    """The question says how many; a source is text from outside."""
    async with operating(tmp_path) as (ann, _):
        other = INSTALL | {"media_source": "other", "appsflyer_id": "1629191854863-99", "idfv": IDFV[:-1] + "0"}
        await push(ann, *others(3), other)
        page = await shown(ann, "/holds", "Waiting now: 4")
        group = re.search('name="group" value="([^"]*)"[^\n]*?of shop, tiktok &amp; co', page)[1]
        form = {"csrf": field(page, "csrf"), "group": group}
        assert "3 waiting events of shop, tiktok &amp; co" in await ann.post("/holds/expire", 200, **form)
        assert "Waiting now: 4" in await ann.get("/holds")
        assert "Expired: 3." in await asked_and_done(ann, "/holds/expire", form, "can&#39;t be undone")
        await shown(ann, "/holds", "Waiting now: 1")


@pytest.mark.parametrize("chosen", ["one", "reason", "all"])
async def test_dead_letters_are_replayed(tmp_path, chosen):
    """One, those of a reason, or all: they are processed again, and die again of what they died of."""
    async with operating(tmp_path) as (ann, _):
        await push(ann, b'"no object"', b'"no object either"')
        await shown(ann, "/dead", 'data-of="Events">2<')
        page = await ann.get("/dead?app=shop&reason=not_an_object")
        form = {"csrf": field(page, "csrf")}
        form |= {"one": {"id": field(page, "id")}, "reason": {"app": "shop", "reason": "not_an_object"}, "all": {}}[
            chosen
        ]
        n = 1 if chosen == "one" else 2
        done = await asked_and_done(ann, "/dead/replay", form, f"Replay {n} dead letter")
        assert f"{n} were processed again (dead {n})" in done
        assert [row[0::2] for row in await trail(ann)] == [("replay", "begun"), ("replay", "done")]


async def test_a_lane_is_retried(tmp_path):
    """What waits for another try is due at once."""
    async with operating(tmp_path) as (ann, _):
        direct = INSTALL | {"custom_data": json.dumps({"amplitude_device_id": "a-device-of-ann"})}
        await push(ann, direct)
        page = await shown(ann, "/flow", 'data-of="Tried again later">1<')
        form = {"csrf": field(page, "csrf"), "app": "shop", "endpoint": "http_v2"}
        done = await asked_and_done(ann, "/flow/retry", form, "Waiting there: 1.")
        assert "within a few seconds" in done
        await ann.post("/flow/retry", 404, csrf=form["csrf"], app="shop", endpoint="nowhere")


async def test_an_audience_is_run(tmp_path):
    """Its run is in the history; what the vendor does not answer is said, and not called done."""
    async with operating(tmp_path, AUDIENCE) as (ann, _):
        page = await shown(ann, "/audiences", "spenders")
        form = {"csrf": field(page, "csrf"), "app": "shop", "name": "spenders"}
        done = await asked_and_done(ann, "/audiences/run", form, "Bring spenders in step now?")
        assert "The run ended as done" in done
        assert "in step" in await ann.get("/audiences")
        await ann.post("/audiences/run", 404, csrf=form["csrf"], app="shop", name="nothing")
        assert [row[0::2] for row in await trail(ann)] == [("run_audience", "begun"), ("run_audience", "done")]


ACTIONS = {
    "/holds/release": {"id": "1"},
    "/holds/expire": {"id": "1"},
    "/dead/replay": {},
    "/flow/retry": {"app": "shop", "endpoint": "http_v2"},
    "/flow/fewer": {"app": "shop", "endpoint": "http_v2"},
    "/audiences/run": {"app": "shop", "name": "spenders"},
    "/access/token": {"token": "x"},
    "/access/session": {"session": "x"},
}


async def test_who_may_look_is_shown_no_button_and_can_do_nothing(tmp_path):
    """Not even with the right token of their own forms; everything waits as before."""
    async with operating(tmp_path) as (ann, bob):
        await push(ann, INSTALL, b'"no object"')
        await shown(ann, "/holds", "Waiting now: 1")
        for path in ("/holds", "/dead", "/flow", "/audiences", "/access"):
            page = await bob.get(path)
            assert 'action="/logout"' in page
            assert not re.search('action="(?!/logout|/events)', page), path
        csrf = await bob.csrf("/holds")
        for path, form in ACTIONS.items():
            await bob.post(path, 403, csrf=csrf, sure="yes", **form)
        await shown(ann, "/holds", "Waiting now: 1")


async def test_no_action_is_done_without_the_token_of_its_page(tmp_path):
    """Nor by a page of another site, nor under a name that is not the console's, nor by GET."""
    async with operating(tmp_path) as (ann, _):
        csrf = await ann.csrf("/holds")
        for path, form in ACTIONS.items():
            await ann.post(path, 403, sure="yes", **form)
            await ann.post(path, 403, csrf=csrf, sure="yes", headers={"Origin": "https://evil.example"}, **form)
            evil = {"Host": "evil.example", "Origin": "http://evil.example"}
            await ann.post(path, 403, csrf=csrf, sure="yes", headers=evil, **form)
            await ann.get(f"{path}?sure=yes", 405)
        assert await trail(ann) == []


@pytest.mark.parametrize(
    ("kind", "question"), [("gaps", "Find and fill gaps for shop now?"), ("compare", "Compare counts")]
)
async def test_a_job_is_run_now(tmp_path, kind, question):
    """A worker does it, and it is due again later; who may only look can't, and there is no other job."""
    async with operating(tmp_path) as (ann, bob):
        page = await shown(ann, "/jobs", "Find and fill gaps")
        assert "No stream is configured" in page
        form = {"csrf": field(page, "csrf"), "kind": kind, "app": "shop"}
        assert "A worker begins it" in await asked_and_done(ann, "/jobs/run", form, question)
        if kind == "gaps":  # the other one asks vendors that are not there, for as long as that takes
            row = r'<span class="long">shop</span></th><td data-of="What">Find and fill[^\n]*data-of="Runs next">in '
            await shown(ann, "/jobs", row)
            told = r'data-of="By">schedule</td><td data-of="Outcome">done</td>[^\n]*what happened before'
            run = rf'data-of="What">Find and fill gaps</td><td {told}'
            await shown(ann, "/jobs", run)
        assert [outcome for action, _, outcome in await trail(ann) if action == "run_job"] == ["begun", "done"]
        await ann.post("/jobs/run", 404, csrf=form["csrf"], kind="nothing", app="shop")
        await bob.post("/jobs/run", 403, csrf=await bob.csrf("/jobs"), kind=kind, app="shop")
        assert "Run now" not in await bob.get("/jobs")
