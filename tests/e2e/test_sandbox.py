"""The sandbox's Amplitude over real HTTP: every documented answer, dedup, and the 72 hours of an attribution."""

from __future__ import annotations

import gzip
import json
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from flybridge.errors import ConfigError
from flybridge.sandbox.server import Sandbox, running
from flybridge.testing.clocks import ManualClock

HOUR = 3600
IDFA = "AEBE52E7-03EE-455A-B3C4-E57283966239"


class Client:
    """A sender that looks at answers."""

    def __init__(self, session: aiohttp.ClientSession, origin: str, clock: ManualClock) -> None:
        self.session = session
        self.origin = origin
        self.clock = clock

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        more["headers"] = {"content-type": "application/json", **more.get("headers", {})}
        async with self.session.post(self.origin + path, data=data, **more) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text

    async def upload(self, *events: dict[str, Any], path: str = "/2/httpapi", **more: Any) -> tuple[int, Any]:
        return await self.post(path, {"api_key": "key", "events": list(events), **more})

    async def attribute(self, event: dict[str, Any] | str, key: str = "key") -> tuple[int, Any]:
        text = event if isinstance(event, str) else json.dumps(event)
        async with self.session.post(self.origin + "/attribution", data={"api_key": key, "event": text}) as response:
            return response.status, await response.text()

    async def rows(self, page: str = "record", **query: str) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.origin}/sandbox/{page}", params=query) as response:
            assert response.status == 200
            return [json.loads(line) for line in (await response.text()).splitlines()]

    async def counts(self) -> dict[str, Any]:
        async with self.session.get(self.origin + "/sandbox/counts") as response:
            return await response.json()


def event(**fields: Any) -> dict[str, Any]:
    return {
        "event_type": "af_purchase",
        "user_id": "user-1",
        "device_id": "device-1",
        "time": 1_767_225_600_123,
    } | fields


def install(**fields: Any) -> dict[str, Any]:
    return {
        "event_type": "[AppsFlyer] Install",
        "platform": "ios",
        "idfa": IDFA,
        "user_properties": {"[AppsFlyer] media source": "Facebook Ads", "[AppsFlyer] campaign": "spring"},
        "time": 1_767_225_600_000,
    } | fields


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    clock = ManualClock()
    sandbox = Sandbox(clock, **getattr(request, "param", {}))
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        yield Client(session, origin, clock)


async def test_a_good_upload_is_answered_as_documented_and_held(client):
    """An accepted event can be read back with what was sent."""
    body = json.dumps(
        {
            "api_key": "key",
            "events": [
                event(
                    insert_id="i1",
                    revenue=9.99,
                    currency="EUR",
                    user_properties={"[AppsFlyer] media source": "tiktokglobal_int", "appsflyer_id": "1-2"},
                )
            ],
        }
    ).encode()
    status, answer = await client.post("/2/httpapi", body)
    assert status == 200
    assert answer == {
        "code": 200,
        "events_ingested": 1,
        "payload_size_bytes": len(body),
        "server_upload_time": client.clock.now_ms(),
    }
    (row,) = await client.rows()
    assert row == row | {
        "project": "key",
        "insert_id": "i1",
        "event_type": "af_purchase",
        "user_id": "user-1",
        "device_id": "device-1",
        "time_ms": 1_767_225_600_123,
        "times": 1,
        "revenue": 9.99,
        "currency": "EUR",
        "media_source": "tiktokglobal_int",
        "appsflyer_id": "1-2",
        "is_attribution_event": False,
    }


@pytest.mark.parametrize("path", ["/2/httpapi", "/batch"])
@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        (b"", "Missing request body", None),
        (b"{", "Invalid JSON request body", None),
        (b"[]", "Invalid JSON request body", None),
        (b'{"events": []}', "Request missing required field", "api_key"),
        (b'{"api_key": "key"}', "Request missing required field", "events"),
        (b'{"api_key": "key", "events": "none"}', "Invalid event JSON", None),
        (b'{"api_key": "key", "events": [7]}', "Invalid event JSON", None),
        (b'{"api_key": "invalid", "events": []}', "Invalid API key", None),
        (b'{"api_key": 5, "events": []}', "Invalid API key", None),
    ],
)
async def test_a_request_that_is_wrong_as_a_whole_gets_its_documented_error(client, path, body, error, field):
    """Every error of a request as a whole has its sentence, and nothing is held."""
    status, answer = await client.post(path, body)
    assert (status, answer["code"], answer["error"]) == (400, 400, error)
    assert answer.get("missing_field") == field
    assert await client.rows() == []


@pytest.mark.parametrize("path", ["/2/httpapi", "/batch"])
@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/json", 200), ("application/json; charset=UTF-8", 200), ("text/plain", 400), ("", 400)],
)
async def test_an_upload_must_say_that_it_is_json(client, path, kind, status):
    """By its content type, which the pages ask for."""
    body = {"api_key": "key", "events": [event()]}
    answer = await client.post(path, body, headers={"content-type": kind})
    assert answer[0] == status
    assert status == 200 or answer[1] == {"code": 400, "error": "Invalid JSON request body"}


async def test_an_unknown_path_is_an_invalid_request_path(client):
    """A wrong address is told from a wrong body."""
    assert await client.post("/3/httpapi", {}) == (400, {"code": 400, "error": "Invalid request path"})


async def test_http_v2_names_the_first_bad_event_per_field_and_batch_names_all(client):
    """The two pages differ in what their index lists hold."""
    events = [
        event(),
        event(time="2026-01-01T00:00:00Z"),
        event(event_type=None),
        event(time=1.5),
        event(device_id="00000000-0000-0000-0000-000000000000"),
    ]
    status, answer = await client.upload(*events)
    assert (status, answer["error"]) == (400, "Invalid field values on some events")
    assert answer["events_with_invalid_fields"] == {"time": [1], "device_id": [4]}
    assert answer["events_with_missing_fields"] == {"event_type": [2]}
    status, answer = await client.upload(*events, path="/batch")
    assert answer["events_with_invalid_fields"] == {"time": [1, 3], "device_id": [4]}
    assert await client.rows() == []
    rejected = await client.rows(kind="rejected")
    assert {row["reason"] for row in rejected} == {"invalid:time", "missing:event_type", "invalid:device_id"}


async def test_ids_that_are_too_short_are_removed_and_an_event_without_any_is_refused(client):
    """Five characters are needed, unless the request says otherwise."""
    assert (await client.upload(event(user_id="ann")))[0] == 200
    (row,) = await client.rows()
    assert (row["user_id"], row["device_id"]) == (None, "device-1")
    status, answer = await client.upload(event(user_id="ann", device_id=None))
    assert status == 400
    assert answer["events_with_missing_fields"] == {"user_id": [0], "device_id": [0]}
    assert (await client.upload(event(user_id="ann", device_id=None), options={"min_id_length": 3}))[0] == 200


@pytest.mark.parametrize("word", ["anonymous", "NULL", "n/a", "", "-1", "lmy47d", "0" * 32, "0" * 16])
async def test_placeholder_ids_are_refused_even_beside_a_good_one(client, word):
    """The words that name nobody make the event invalid."""
    status, answer = await client.upload(event(user_id=word))
    assert (status, answer["events_with_invalid_fields"]) == (400, {"user_id": [0]})


async def test_properties_deeper_than_forty_layers_are_refused(client):
    """Forty layers pass, one more does not."""
    deep: dict[str, Any] = {}
    for _ in range(39):
        deep = {"a": deep}
    assert (await client.upload(event(event_properties=deep)))[0] == 200
    status, answer = await client.upload(event(event_properties={"a": deep}))
    assert (status, answer["events_with_invalid_fields"]) == (400, {"event_properties": [0]})


async def test_too_large_requests_are_413_by_bytes_and_by_events(client):
    """HTTP V2 takes less than 1 MB and fewer than 2,000 events; batch takes 2,000 events."""
    big = event(event_properties={"text": "x" * 1_000_000})
    too_large = (413, {"code": 413, "error": "Payload too large"})
    assert await client.upload(big) == too_large
    assert (await client.upload(big, path="/batch"))[0] == 200
    many = [event(device_id=f"device-{n}", user_id=None) for n in range(2_000)]
    assert await client.upload(*many) == too_large
    assert (await client.upload(*many[1:]))[0] == 200
    assert (await client.upload(*many, path="/batch"))[0] == 200
    assert await client.upload(*many, many[0], path="/batch") == too_large


async def test_a_compressed_body_is_read_and_one_that_is_none_is_bad_json(client):
    """Amplitude's SDKs compress; the limit is that of the opened body."""
    body = json.dumps({"api_key": "key", "events": [event()]}).encode()
    headers = {"Content-Encoding": "gzip"}
    assert (await client.post("/2/httpapi", gzip.compress(body), headers=headers))[0] == 200
    assert (await client.post("/2/httpapi", b"no gzip", headers=headers))[0] == 400
    bomb = gzip.compress(b" " * 30_000_000)
    assert (await client.post("/batch", bomb, headers=headers))[0] == 413


async def test_a_device_that_sends_too_fast_is_throttled_for_the_rest_of_its_half_minute(client):
    """The average over 30 seconds counts, the body names who and which, and nothing of the request is held."""
    flood = [event(insert_id=str(n)) for n in range(900)]
    assert (await client.upload(*flood))[0] == 200
    other = event(device_id="device-2", user_id="user-2")
    status, answer = await client.upload(other, event(insert_id="one more"))
    assert status == 429
    assert answer == {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "eps_threshold": 30,
        "throttled_devices": {"device-1": 31},
        "throttled_users": {"user-1": 31},
        "exceeded_daily_quota_users": {},
        "exceeded_daily_quota_devices": {},
        "throttled_events": [1],
    }
    assert (await client.counts())["saved"] == 900
    client.clock.advance(30)
    assert (await client.upload(event(insert_id="one more")))[0] == 200


async def test_a_user_without_a_device_is_throttled_by_name(client):
    """Users are told apart from devices in the body."""
    flood = [event(insert_id=str(n), device_id=None) for n in range(901)]
    status, answer = await client.upload(*flood)
    assert (status, list(answer["throttled_users"]), answer["throttled_devices"]) == (429, ["user-1"], {})


async def test_a_repeat_within_seven_days_is_counted_and_not_held(client):
    """The same insert_id on the same device is one event for seven days, and another afterwards."""
    for _ in range(3):
        assert (await client.upload(event(insert_id="i1"), event(insert_id="i1")))[1]["events_ingested"] == 2
    (row,) = await client.rows()
    assert row["times"] == 6
    client.clock.advance(7 * 24 * HOUR - 1)
    await client.upload(event(insert_id="i1"))
    assert len(await client.rows()) == 1
    client.clock.advance(1)
    await client.upload(event(insert_id="i1"))
    assert [row["times"] for row in await client.rows()] == [7, 1]
    counts = await client.counts()
    assert counts["received"] == counts["saved"] + counts["repeated"] == 8


async def test_an_insert_id_is_deduplicated_per_device_and_per_user_where_there_is_none(client):
    """Another device, or another user without a device, has its own insert_ids; so has another project."""
    for one in (event(), event(device_id="device-2"), event(device_id=None), event(device_id=None, user_id="user-2")):
        await client.upload({**one, "insert_id": "i1"}, {**one, "insert_id": "i1"})
    await client.post("/2/httpapi", {"api_key": "other", "events": [event(insert_id="i1")]})
    assert [row["times"] for row in await client.rows(project="key")] == [2, 2, 2, 2]
    assert [row["times"] for row in await client.rows(project="other")] == [1]


async def test_an_event_without_insert_id_is_never_a_repeat(client):
    """Without insert_id a retry doubles the event, which is why flybridge sends one."""
    await client.upload(event(), event())
    assert len(await client.rows()) == 2


@pytest.mark.parametrize("how", ["query", "form"])
async def test_the_attribution_arguments_may_be_in_the_url_or_in_the_form(client, how):
    """Both examples of the documentation work."""
    arguments = {"api_key": "key", "event": json.dumps(install())}
    place = {"params": arguments} if how == "query" else {"data": arguments}
    async with client.session.post(client.origin + "/attribution", **place) as response:
        assert (response.status, await response.text()) == (200, "success")
    (row,) = await client.rows(kind="waiting")
    assert (row["media_source"], row["campaign"]) == ("Facebook Ads", "spring")


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[]",
        install(platform="windows"),
        install(idfa=None),
        install(platform="android"),
        install(event_type=""),
        install(time="yesterday"),
    ],
)
async def test_a_malformed_attribution_is_400(client, broken):
    """Missing parts and ids of the wrong platform are refused with the documented sentence."""
    status, text = await client.attribute(broken)
    assert (status, json.loads(text)["error"]) == (400, "The expected JSON is formatted incorrectly.")
    assert (await client.counts())["attributions"] == 0


async def test_attribution_needs_a_key_and_an_event(client):
    """Absent arguments are named."""
    async with client.session.post(client.origin + "/attribution", data={"event": "{}"}) as response:
        assert (response.status, (await response.json())["missing_field"]) == (400, "api_key")
    async with client.session.post(client.origin + "/attribution", data={"api_key": "key"}) as response:
        assert (response.status, (await response.json())["missing_field"]) == (400, "event")
    status, text = await client.attribute(install(), key="invalid")
    assert (status, json.loads(text)["error"]) == (400, "Invalid API key")


@pytest.mark.parametrize("order", ["user first", "attribution first"])
async def test_attribution_finds_its_user_in_both_orders_and_loses_its_ids(client, order):
    """What is held names the user and the hash of the ids, and never the ids."""
    steps = [client.upload(event(idfa=IDFA)), client.attribute(install(idfv="BCCE52E7-03EE-321A-B3D4-E57123966239"))]
    for step in steps if order == "user first" else reversed(steps):
        assert (await step)[0] == 200
    (row,) = await client.rows(kind="attributed")
    assert (row["user_id"], row["device_id"], row["event_type"]) == ("user-1", "device-1", "[AppsFlyer] Install")
    assert all(len(part) == 32 for part in row["attribution_ids"].split(","))
    assert IDFA not in json.dumps(row)
    exported = [row for row in await client.rows("export") if row["is_attribution_event"]]
    assert exported == [exported[0] | {"adid": None, "idfa": None, "event_time": "2026-01-01 00:00:00.000000"}]
    counts = await client.counts()
    assert (counts["attributions"], counts["matched"], counts["waiting"]) == (1, 1, 0)


async def test_attribution_is_matched_with_case(client):
    """An id in another case is another id, and the attribution goes on waiting."""
    await client.attribute(install())
    await client.upload(event(idfa=IDFA.lower()))
    assert (await client.counts())["waiting"] == 1
    await client.upload(event(idfa=IDFA))
    assert (await client.counts())["matched"] == 1


@pytest.mark.parametrize(
    ("platform", "field"), [("ios", "idfv"), ("ios", "idfa"), ("android", "adid"), ("android", "android_app_set_id")]
)
async def test_each_kind_of_id_finds_the_user(client, platform, field):
    """Four ids match, each only with itself."""
    await client.attribute(install(platform=platform, **({"idfa": None} | {field: IDFA})))
    others = {"idfa", "idfv", "adid", "android_app_set_id"} - {field}
    await client.upload(event(**dict.fromkeys(others, IDFA)))
    assert (await client.counts())["waiting"] == 1
    await client.upload(event(**{field: IDFA}))
    assert (await client.counts())["matched"] == 1


async def test_attribution_is_dropped_after_72_hours_from_receipt(client):
    """A user who comes one second too late gets nothing; one who comes in time does."""
    await client.attribute(install(idfa="first-idfa"))
    client.clock.advance(1)
    await client.attribute(install(idfa="second-idfa", time=1))
    client.clock.advance(72 * HOUR - 1)
    await client.upload(event(idfa="first-idfa"), event(idfa="second-idfa", user_id="user-2", device_id="device-2"))
    assert [row["user_id"] for row in await client.rows(kind="attributed")] == ["user-2"]
    assert len(await client.rows(kind="dropped")) == 1
    counts = await client.counts()
    assert (counts["matched"], counts["dropped"], counts["waiting"]) == (1, 1, 0)


async def test_a_repeated_attribution_is_held_twice(client):
    """The Attribution API does not promise to recognise a repeat, so the sandbox doubles it."""
    await client.upload(event(idfa=IDFA))
    await client.attribute(install(insert_id="same"))
    await client.attribute(install(insert_id="same"))
    assert [row["insert_id"] for row in await client.rows(kind="attributed")] == ["same", "same"]


async def test_all_zero_ids_match_nobody(client):
    """Everybody who limits tracking has the same zeros."""
    zeros = "00000000-0000-0000-0000-000000000000"
    await client.upload(event(idfa=zeros))
    assert (await client.attribute(install(idfa=zeros)))[0] == 200
    assert (await client.counts())["waiting"] == 1


async def test_identify_takes_one_or_many_and_says_missing_event_otherwise(client):
    """Identification is counted; it is no event."""
    for people in ({"user_id": "user-1"}, [{"user_id": "user-1"}, {"device_id": "device-1"}]):
        form = {"api_key": "key", "identification": json.dumps(people)}
        async with client.session.post(client.origin + "/identify", data=form) as response:
            assert response.status == 200
    for broken in ("", "{", "[{}]"):
        form = {"api_key": "key", "identification": broken}
        async with client.session.post(client.origin + "/identify", data=form) as response:
            assert (response.status, await response.text()) == (400, "missing_event")
    counts = await client.counts()
    assert (counts["identified"], counts["saved"]) == (3, 0)


@pytest.mark.parametrize("client", [{"keep_bodies": True, "api_keys": ["key"]}], indirect=True)
async def test_keeping_everything_gives_a_whole_export_and_only_listed_keys_are_projects(client):
    """The export shows properties and places, by the names the Export API uses."""
    sent = event(insert_id="i1", event_properties={"a": [1]}, user_properties={"b": "c"}, city="Köln", ip="1.2.3.4")
    await client.upload(sent)
    (row,) = await client.rows("export")
    assert row == row | {
        "$insert_id": "i1",
        "event_properties": {"a": [1]},
        "user_properties": {"b": "c"},
        "city": "Köln",
        "ip_address": "1.2.3.4",
        "event_time": "2026-01-01 00:00:00.123000",
    }
    status, answer = await client.post("/2/httpapi", {"api_key": "other", "events": []})
    assert (status, answer["error"]) == (400, "Invalid API key")


async def test_the_clock_is_moved_over_http_and_only_forward(client):
    """A staging app can skip three days."""
    await client.attribute(install())
    before = client.clock.now_ms()
    status, answer = await client.post("/sandbox/clock?advance_s=259200")
    assert (status, answer["now_ms"] - before) == (200, 72 * HOUR * 1000)
    assert (await client.counts())["dropped"] == 1
    for broken in ("", "?advance_s=-1", "?advance_s=soon", "?advance_s=nan"):
        assert (await client.post("/sandbox/clock" + broken))[0] == 400


async def test_an_unknown_kind_of_record_is_refused_with_the_kinds_there_are(client):
    """The error says what to ask for instead."""
    async with client.session.get(client.origin + "/sandbox/record?kind=lost") as response:
        assert response.status == 400
        assert "rejected" in (await response.json())["remedy"]


async def test_the_sandbox_runs_on_its_own_and_stops_when_asked():
    """`python -m flybridge.sandbox` says where it listens, answers, and ends with 0."""
    process = await create_subprocess_exec(
        sys.executable, "-m", "flybridge.sandbox", "--port", "0", "--speed", "3600", "--api-key", "key", stdout=PIPE
    )
    try:
        assert process.stdout is not None
        origin = (await process.stdout.readline()).decode().split()[-1]
        async with aiohttp.ClientSession() as session:
            client = Client(session, origin, ManualClock())
            assert (await client.upload(event()))[0] == 200
            assert (await client.counts())["saved"] == 1
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_port_that_is_taken_is_said_to_be(client):
    """Two sandboxes never share a port in silence."""
    port = int(client.origin.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"can't listen on 127.0.0.1:{port}"):
        async with running(Sandbox(), port=port):
            pass
