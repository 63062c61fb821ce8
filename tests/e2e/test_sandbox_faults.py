"""Every scripted fault, as a sender sees it over real HTTP, and what the sandbox holds afterwards."""

from __future__ import annotations

import gzip
import json
from typing import Any

import aiohttp
import pytest

from flybridge.sandbox.faults import FaultKind, Faults, FaultScript, Window
from flybridge.sandbox.server import Sandbox, running
from flybridge.testing.clocks import ManualClock


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"event_type": "login", "device_id": f"device-{number}", "insert_id": f"insert-{number}", "time": 1} | fields


async def upload(
    session: aiohttp.ClientSession, origin: str, events: list[dict[str, Any]]
) -> tuple[int, dict[str, Any]]:
    async with session.post(origin + "/2/httpapi", json={"api_key": "key", "events": events}) as response:
        return response.status, json.loads(await response.read())


def always(act: FaultKind) -> Sandbox:
    return Sandbox(ManualClock(), Faults(FaultScript(requests=((act, 1.0),), slow_s=(0.5, 0.5))))


def held(sandbox: Sandbox) -> int:
    return len(sandbox.amplitude.ledger("key").saved)


@pytest.mark.parametrize(
    ("act", "error", "is_held"),
    [
        (FaultKind.CUT_BEFORE, aiohttp.ServerDisconnectedError, False),
        (FaultKind.CUT_AFTER, aiohttp.ServerDisconnectedError, True),
        (FaultKind.HALF_ANSWER, aiohttp.ClientPayloadError, True),
    ],
)
async def test_a_connection_is_really_cut(act, error, is_held):
    """The sender gets no answer or half of one, whether the events were taken or not."""
    sandbox = always(act)
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        for number in range(5):
            with pytest.raises(error):
                await upload(session, origin, [event(number)])
    assert held(sandbox) == (5 if is_held else 0)


async def test_cutting_one_connection_leaves_the_others_alone():
    """Only the connection of the unlucky request is closed."""
    sandbox = Sandbox(ManualClock(), Faults(FaultScript(windows=(Window(FaultKind.CUT_BEFORE, 0, 1, 1, 100.0),))))
    async with running(sandbox) as origin, aiohttp.ClientSession() as one, aiohttp.ClientSession() as other:
        assert (await upload(one, origin, [event(1)]))[0] == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await upload(other, origin, [event(2)])
        assert (await upload(one, origin, [event(3)]))[0] == 200
    assert held(sandbox) == 2


@pytest.mark.parametrize(
    ("act", "statuses", "is_held"),
    [
        (FaultKind.ERROR_BEFORE, {500, 502, 504}, False),
        (FaultKind.ERROR_AFTER, {500, 502, 504}, True),
        (FaultKind.UNAVAILABLE, {503}, False),
        (FaultKind.FORBIDDEN, {403}, False),
    ],
)
async def test_errors_before_and_after_the_events_are_taken(act, statuses, is_held):
    """A 5xx says nothing about whether the events are there, except 503, which says that they are not."""
    sandbox = always(act)
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        seen = {(await upload(session, origin, [event(number)]))[0] for number in range(20)}
    assert seen == statuses
    assert held(sandbox) == (20 if is_held else 0)


async def test_a_slow_answer_runs_into_the_senders_timeout():
    """The sender gives up, and the events are taken all the same."""
    sandbox = always(FaultKind.SLOW)
    timeout = aiohttp.ClientTimeout(total=0.05)
    async with running(sandbox) as origin, aiohttp.ClientSession() as patient:
        async with aiohttp.ClientSession(timeout=timeout) as hasty:
            with pytest.raises(TimeoutError):
                await upload(hasty, origin, [event()])
        assert (await upload(patient, origin, [event(), event(1)]))[0] == 200
    assert held(sandbox) == 2


async def test_faults_reach_the_attribution_api_too():
    """One event per request has the same weather."""
    sandbox = always(FaultKind.CUT_AFTER)
    form = {"api_key": "key", "event": json.dumps({"event_type": "[A] Install", "platform": "ios", "idfv": "vendor"})}
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(origin + "/attribution", data=form)
    assert len(sandbox.amplitude.ledger("key").waiting()) == 1


async def test_the_sandboxs_own_pages_are_never_faulty():
    """Tests can read the record in the worst weather."""
    async with running(always(FaultKind.CUT_BEFORE)) as origin, aiohttp.ClientSession() as session:
        async with session.get(origin + "/sandbox/counts") as response:
            assert (await response.json())["saved"] == 0
        async with session.get(origin + "/sandbox/record") as response:
            assert await response.text() == ""


async def test_a_throttled_device_is_named_and_paused_for_half_a_minute():
    """429 names devices, users and events, and takes none of the request; new events of the device are refused too."""
    clock = ManualClock()
    sandbox = Sandbox(clock, Faults(FaultScript(throttled_devices=1.0)))
    events = [event(), event(1, device_id=None, user_id="user-1")]
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        status, answer = await upload(session, origin, events)
        assert (status, answer["code"], answer["eps_threshold"]) == (429, 429, 30)
        assert answer["throttled_devices"] == {"device-0": 31}
        assert answer["throttled_users"] == {"user-1": 31}
        assert answer["throttled_events"] == [0, 1]
        clock.advance(20)
        assert (await upload(session, origin, [event(2, device_id="device-0")]))[0] == 429
        assert held(sandbox) == 0
        clock.advance(10)
        assert (await upload(session, origin, events))[0] == 200


async def test_a_scripted_rejection_is_for_ever_and_is_on_the_record():
    """The documented body names field and index; the record names the event and counts the tries."""
    sandbox = Sandbox(ManualClock(), Faults(FaultScript(invalid_events=1.0)))
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        for _ in range(2):
            status, answer = await upload(session, origin, [event(event_properties={"appsflyer_id": "1-2"})])
            assert (status, answer["error"]) == (400, "Invalid field values on some events")
            ((field, indexes),) = answer["events_with_invalid_fields"].items()
            assert indexes == [0]
        async with session.get(origin + "/sandbox/record?kind=rejected") as response:
            row = json.loads(await response.text())
    assert (row["insert_id"], row["times"], row["reason"]) == ("insert-0", 2, f"invalid:{field}")
    assert (row["appsflyer_id"], row["event_type"], row["time_ms"]) == ("1-2", "login", 1)
    assert held(sandbox) == 0


async def test_a_silenced_device_has_its_documented_body_and_is_on_the_record():
    """All of the silenced device's events are named."""
    sandbox = Sandbox(ManualClock(), Faults(FaultScript(silenced_devices=1.0)))
    events = [event(1, user_id="user-1", device_id=None), event(), event(2, device_id="device-0")]
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        status, answer = await upload(session, origin, events)
    assert status == 400
    assert answer == {
        "code": 400,
        "error": "Events silenced for device_id",
        "eps_threshold": 30,
        "exceeded_daily_quota_devices": {},
        "silenced_devices": ["device-0"],
        "silenced_events": [1, 2],
        "throttled_devices": {},
        "throttled_events": [],
    }
    assert set(sandbox.amplitude.ledger("key").rejected) == {"insert-0", "insert-2"}


async def test_an_outage_begins_ends_and_is_followed_by_a_firewall():
    """A window counts requests; what is outside of it is answered as ever."""
    windows = (Window(FaultKind.UNAVAILABLE, 503, 0, 3, 100.0), Window(FaultKind.FORBIDDEN, 403, 5, 2, 100.0))
    sandbox = Sandbox(ManualClock(), Faults(FaultScript(windows=windows)))
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        seen = [(await upload(session, origin, [event(number)]))[0] for number in range(8)]
    assert seen == [503, 503, 503, 200, 200, 403, 403, 200]


async def test_a_sender_that_obeys_the_documentation_gets_every_event_in_once_under_all_faults():
    """With insert_ids and patience, everything is held once or is on the record as rejected."""
    clock = ManualClock()
    sandbox = Sandbox(clock, Faults.named("all", seed=3))
    events = {f"insert-{number}": event(number, device_id=f"device-{number % 150}") for number in range(600)}
    left, rejected = dict(events), set()
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        while left:
            batch = list(left.values())[:7]
            try:
                status, answer = await upload(session, origin, batch)
            except aiohttp.ClientError:
                continue
            if status == 400:
                named = {i for indexes in answer.get("events_with_invalid_fields", {}).values() for i in indexes}
                bad = {batch[index]["insert_id"] for index in named | set(answer.get("silenced_events", ()))}
                assert bad
            elif status == 200:
                bad = {one["insert_id"] for one in batch}
            else:
                if status == 429:
                    clock.advance(30)
                continue
            rejected |= bad if status == 400 else set()
            left = {key: one for key, one in left.items() if key not in bad}
    ledger = sandbox.amplitude.ledger("key")
    assert sorted(one.insert_id for one in ledger.saved) == sorted(events.keys() - rejected)
    assert ledger.rejected.keys() == rejected
    assert rejected
    assert ledger.tally.repeated > 0


async def test_poison_fails_the_whole_request_and_only_by_the_same_events():
    """The same event spoils every request it is in; without it the others are taken. It is noted as rejected."""
    faults = Faults(FaultScript(poison_events=0.2))
    bad = [n for n in range(40) if faults.poison(f"insert-{n}") is not None]
    assert 0 < len(bad) < 30
    sandbox = Sandbox(ManualClock(), faults)
    good = [event(n) for n in range(40) if n not in bad]
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        for n in bad:
            try:
                status, _ = await upload(session, origin, [*good, event(n)])
            except aiohttp.ServerDisconnectedError:
                status = 500
            assert status == 500
        assert held(sandbox) == 0
        assert (await upload(session, origin, good))[0] == 200
    assert held(sandbox) == len(good)
    assert len(sandbox.amplitude.ledger("key").rejected) == len(bad)


async def test_a_gateway_cuts_what_is_too_large_for_it():
    """Smaller uploads pass."""
    sandbox = Sandbox(ManualClock(), Faults(FaultScript(cut_above_bytes=2_000)))
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await upload(session, origin, [event(n) for n in range(60)])
        assert (await upload(session, origin, [event(n) for n in range(5)]))[0] == 200


async def test_a_gateway_answers_with_pages():
    """No JSON, whatever the status."""
    sandbox = always(FaultKind.PAGE)
    seen = set()
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        for n in range(30):
            async with session.post(origin + "/2/httpapi", json={"api_key": "key", "events": [event(n)]}) as response:
                assert (await response.read()).startswith(b"<html>")
                assert response.content_type == "text/html"
                seen.add(response.status)
    assert seen <= {502, 503, 504, 400}
    assert len(seen) > 1
    assert held(sandbox) == 0


async def test_a_proxy_breaks_compressed_bodies_only_and_not_for_ever():
    """What arrives is answered as Amplitude answers a body that is no JSON."""
    sandbox = Sandbox(ManualClock(), Faults(FaultScript(garbled=Window(FaultKind.GARBLED, 400, 0, 2, 100.0))))
    body = json.dumps({"api_key": "key", "events": [event(1)]}).encode()
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    statuses = []
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        assert (await upload(session, origin, [event(2)]))[0] == 200
        for _ in range(3):
            async with session.post(origin + "/2/httpapi", data=gzip.compress(body), headers=packed) as response:
                statuses.append((response.status, json.loads(await response.read()).get("error")))
    assert statuses == [(400, "Invalid JSON request body")] * 2 + [(200, None)]
