"""The set-up page over HTTP: it ticks itself, hides secrets, checks, and sends a test event through."""

from __future__ import annotations

from test_console_access import field
from test_console_actions import INSTALL, asked_and_done, operating, push, shown, trail


async def test_the_checklist_ticks_itself_as_messages_arrive(tmp_path):
    """Open until the first message of a kind, then done, with when it was heard."""
    async with operating(tmp_path) as (_, bob):
        assert "Open:</strong> AppsFlyer&#39;s messages" in await bob.get("/setup")
        await push(bob, INSTALL)
        page = await shown(bob, "/setup", "Done:</strong> AppsFlyer&#39;s messages")
        assert "ago," in page
        assert "Open:</strong> Amplitude&#39;s event stream" in page
        assert "/v1/push/shop" in page


async def test_tokens_are_shown_to_operators_and_nothing_else_is_ever(tmp_path):
    """On demand, and into the audit trail; the configuration has no secret in it."""
    async with operating(tmp_path) as (ann, bob):
        for browser in (ann, bob):
            page = await browser.get("/setup")
            for secret in ("push-token", "stream-token", "the-api-key", "a secret of sixteen", "the password of"):
                assert secret not in page
        await bob.post("/setup/tokens", 403, csrf=await bob.csrf("/setup"))
        page = await ann.post("/setup/tokens", 200, csrf=await ann.csrf("/setup"))
        assert "push-token" in page
        assert "a secret of sixteen" not in page
        assert ("see_tokens", "", "done") in await trail(ann)


async def test_doctor_says_what_is_not_proven(tmp_path):
    """A line for the account and one for each credential."""
    async with operating(tmp_path) as (ann, bob):
        page = await ann.post("/setup/doctor", 200, csrf=await ann.csrf("/setup"))
        assert "Every event is accounted for." in page
        assert "amplitude.api_key of shop" in page
        await bob.post("/setup/doctor", 403, csrf=await bob.csrf("/setup"))


async def test_a_test_event_goes_all_the_way_and_says_where_it_is(tmp_path):
    """It is asked about, sent, and found by its id."""
    async with operating(tmp_path) as (ann, _):
        page = await ann.get("/setup")
        form = {"csrf": field(page, "csrf"), "app": "shop"}
        done = await asked_and_done(ann, "/setup/test", form, "Send a test event through shop?")
        assert "its outcome is" in done
        assert "flybridge_test" in await shown(ann, "/events", "flybridge_test")
        await ann.post("/setup/test", 404, csrf=form["csrf"], app="nothing")
