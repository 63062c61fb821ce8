"""Each documented answer of Amplitude's uploads and AppsFlyer's events: the sandbox gives it, and it is read so.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/batch-event-upload and
https://dev.appsflyer.com/hc/reference/s2s-events-api3-post, read 2026-11-27.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from flybridge.amplitude.upload import Batch, HttpV2
from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.delivery.exchange import Accepted, Halt, HttpRequest, HttpResponse, Reject, Retry, Split, Verdict
from flybridge.records import Delivery
from flybridge.sandbox.faults import FaultKind, Faults, FaultScript
from flybridge.sandbox.vendors.amplitude import AmplitudeServer
from flybridge.sandbox.vendors.appsflyer import AppsFlyerServer
from flybridge.testing.clocks import ManualClock
from flybridge.testing.inside import Inside

ORIGIN = "https://sandbox"
AF_ID = "1629191854863-7087037"
AT_ONCE = Retry("not_tried", 0.0, counts=False)
DAY_QUOTA = 3_000


def item(number: int = 0, *, device: str | None = None, user: str | None = None, **fields: Any) -> Delivery:
    """Return an event; fields that are None are not in it."""
    event = {"event_type": "a", "time": 1_900_000_000_000, "insert_id": f"i-{number}"} | fields
    body = json.dumps({name: value for name, value in event.items() if value is not None}).encode()
    device = f"device-{number}" if device is None and user is None else device
    return Delivery(number, "shop", "http_v2", f"i-{number}", "a", body, user, device, 0, 0, False, 0)


def items(n: int, **given: Any) -> list[Delivery]:
    return [item(number, **given) for number in range(n)]


class Amplitude:
    """One project of the sandbox, whose clock is moved by hand."""

    def __init__(self, *fault: FaultKind, silenced: str = "") -> None:
        self.clock = ManualClock()
        self.faults = Silencing(silenced) if silenced else Faults(FaultScript())
        self.server = AmplitudeServer(self.clock, self.faults, daily_limit=DAY_QUOTA)
        self._inside = Inside(self.server)

    async def upload(
        self,
        batch: Sequence[Delivery],
        *,
        key: str = "the-key",
        api: type[HttpV2] = HttpV2,
        request: dict | None = None,
    ) -> tuple[HttpResponse, list[Verdict]]:
        """Send a batch, changed on its way as `request` says."""
        client = api(key, ORIGIN)
        made = client.request(batch)
        if request is not None:
            made = structs.replace(made, **request)
        answer = await self._inside.send(made)
        return answer, client.verdicts(batch, answer)


class Silencing(Faults):
    """Silences one device."""

    def __init__(self, device: str) -> None:
        super().__init__(FaultScript())
        self._device = device

    @property
    def looks_at_events(self) -> bool:
        return True

    def is_silenced(self, device_id: str | None) -> bool:
        return device_id == self._device


def body_of(answer: HttpResponse) -> dict[str, Any]:
    return json.loads(answer.body)


@pytest.mark.parametrize("api", [HttpV2, Batch])
async def test_200_says_how_much_was_taken(api):
    answer, verdicts = await Amplitude().upload(items(3), api=api)
    assert set(body_of(answer)) == {"code", "events_ingested", "payload_size_bytes", "server_upload_time"}
    assert (answer.status, body_of(answer)["events_ingested"], verdicts) == (200, 3, [Accepted()] * 3)


WITHOUT_KEY = b'{"events":[{"event_type":"a","device_id":"device-1"}]}'


@pytest.mark.parametrize("api", [HttpV2, Batch])
@pytest.mark.parametrize(
    ("given", "error", "kind", "reason"),
    [
        ({"key": "invalid"}, "Invalid API key", Halt, "invalid_api_key"),
        ({"request": {"body": b""}}, "Missing request body", Halt, "unreadable_request"),
        ({"request": {"body": b"{"}}, "Invalid JSON request body", Halt, "unreadable_request"),
        ({"request": {"body": WITHOUT_KEY}}, "Request missing required field", Halt, "missing_api_key"),
        ({"request": {"body": b'{"api_key":"k"}'}}, "Request missing required field", Halt, "unreadable_request"),
        ({"request": {"body": b'{"api_key":"k","events":[1]}'}}, "Invalid event JSON", Split, "invalid_request"),
        ({"request": {"url": f"{ORIGIN}/2/other"}}, "Invalid request path", Halt, "wrong_address"),
    ],
)  # fmt: skip
async def test_400_of_the_whole_request(api, given, error, kind, reason):
    """It is about the lane: nothing dies of it."""
    answer, verdicts = await Amplitude().upload(items(2), api=api, **given)
    assert (answer.status, body_of(answer)["code"], body_of(answer)["error"]) == (400, 400, error)
    assert {(type(one), getattr(one, "reason", None)) for one in verdicts} == {(kind, reason)}


FIELDS = [
    ({"time": "2026-01-31"}, "events_with_invalid_fields", "time"),
    ({"event_type": None}, "events_with_missing_fields", "event_type"),
    ({"device": "00000000-0000-0000-0000-000000000000"}, "events_with_invalid_fields", "device_id"),
    ({"device": "device-9", "user": "anonymous"}, "events_with_invalid_fields", "user_id"),
    ({"device": "tiny"}, "events_with_missing_fields", "device_id"),
    ({"price": "9"}, "events_with_invalid_fields", "price"),
]


@pytest.mark.parametrize("api", [HttpV2, Batch])
@pytest.mark.parametrize(("wrong", "table", "field"), FIELDS)
async def test_400_that_names_events_ends_these(api, wrong, table, field):
    """HTTP V2 names the first of a field, Batch all of them; the others are sent again at once."""
    batch = [item(0), item(1, **wrong), item(2), item(3, **wrong)]
    answer, verdicts = await Amplitude().upload(batch, api=api)
    named = [1] if api is HttpV2 else [1, 3]
    assert (answer.status, body_of(answer)[table][field]) == (400, named)
    for index, verdict in enumerate(verdicts):
        assert verdict == AT_ONCE if index not in named else isinstance(verdict, Reject) and verdict.named
    assert all(field in verdicts[index].detail for index in named)


async def test_400_of_a_silenced_device_ends_its_events_alone():
    answer, verdicts = await Amplitude(silenced="device-1").upload(items(3))
    assert answer.status == 400
    assert body_of(answer) == {
        "code": 400, "error": "Events silenced for device_id", "eps_threshold": 30, "exceeded_daily_quota_devices": {},
        "silenced_devices": ["device-1"], "silenced_events": [1], "throttled_devices": {}, "throttled_events": [],
    }  # fmt: skip
    assert [type(one) for one in verdicts] == [Retry, Reject, Retry]


@pytest.mark.parametrize(
    ("api", "n", "filler", "status"),
    [
        (HttpV2, 1_999, 0, 200),
        (HttpV2, 2_000, 0, 413),
        (HttpV2, 2, 495_000, 200),
        (HttpV2, 2, 500_000, 413),
        (Batch, 2_000, 0, 200),
        (Batch, 2_001, 0, 413),
        (Batch, 20, 990_000, 200),
        (Batch, 20, 1_000_000, 413),
    ],
)
async def test_413_is_sent_in_halves(api, n, filler, status):
    """Under 1 MB and fewer than 2,000 events; of Batch 20 MB and 2,000 events. Requests are kept within both."""
    batch = items(n, event_properties={"x": "x" * filler} if filler else None)
    answer, verdicts = await Amplitude().upload(batch, api=api)
    assert answer.status == status
    assert status == 200 or body_of(answer) == {"code": 413, "error": "Payload too large"}
    assert {type(one) for one in verdicts} == {Accepted if status == 200 else Split}
    limits = api("the-key", ORIGIN).limits
    assert 2 * limits.max_items < 2_000 + (api is Batch)
    assert limits.max_bytes < (20_000_000 if api is Batch else 1_000_000)


WHO = ["device", "user"]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("api", "eps"), [(HttpV2, 30), (Batch, 1_000)])
async def test_429_pauses_the_device_or_the_user_that_is_too_fast(api, eps, who):
    """Averaged over 30 seconds, each for itself; 30 seconds later it is taken."""
    amplitude, sent = Amplitude(), 0
    flood = {"device": {"device": "device-x"}, "user": {"user": "user-x"}}[who]
    while (answer := (await amplitude.upload(items(1_000, **flood), api=api))[0]).status == 200:
        sent += 1_000
    assert sent <= eps * 30 < sent + 1_000
    other = item(1, device="device-y", user="user-y")
    answer, verdicts = await amplitude.upload([item(0, **flood), other], api=api)
    found = body_of(answer)
    assert (answer.status, found["error"]) == (429, "Too many requests for some devices and users")
    assert (found["eps_threshold"], found["throttled_events"]) == (eps, [0])
    assert set(found["throttled_devices"]) == ({"device-x"} if who == "device" else set())
    assert set(found["throttled_users"]) == ({"user-x"} if who == "user" else set())
    assert (found["exceeded_daily_quota_users"], found["exceeded_daily_quota_devices"]) == ({}, {})
    assert verdicts == [Retry("throttled", 30.0, counts=False, pauses=who), AT_ONCE]
    amplitude.clock.advance(30)
    assert (await amplitude.upload([item(0, **flood), other], api=api))[0].status == 200


async def test_429_counts_a_user_on_several_devices():
    """A user's rate is that of all devices."""
    amplitude = Amplitude()
    for number in range(901):
        batch = [item(number, device=f"device-{number}", user="user-x")]
        answer, verdicts = await amplitude.upload(batch)
        if answer.status == 429:
            break
    assert (number, set(body_of(answer)["throttled_users"])) == (900, {"user-x"})
    assert verdicts == [Retry("throttled", 30.0, counts=False, pauses="user")]


@pytest.mark.parametrize("who", WHO)
async def test_429_of_the_daily_quota_waits_by_the_hour(who):
    """It counts from when somebody was too fast, over 24 hours that move by the hour."""
    amplitude, flood = Amplitude(), {"device": {"device": "device-x"}, "user": {"user": "user-x"}}[who]
    assert (await amplitude.upload(items(901, **flood)))[0].status == 429
    for _ in range(DAY_QUOTA // 900 + 2):
        amplitude.clock.advance(31)
        answer, verdicts = await amplitude.upload(items(900, **flood))
        if answer.status == 429:
            break
    name = f"exceeded_daily_quota_{who}s"
    assert (answer.status, list(body_of(answer)[name])) == (429, [f"{who}-x"])
    assert body_of(answer)[name][f"{who}-x"] >= DAY_QUOTA
    assert verdicts == [Retry("daily_quota", 3_600.0, counts=False, pauses=who)] * 900
    amplitude.clock.advance(22 * 3_600)
    assert (await amplitude.upload([item(0, **flood)]))[0].status == 429
    amplitude.clock.advance(2 * 3_600)
    assert (await amplitude.upload([item(0, **flood)]))[0].status == 200


class AppsFlyer:
    """The sandbox's endpoint of server-to-server events."""

    def __init__(self) -> None:
        self.server = AppsFlyerServer(ManualClock(), Faults(FaultScript()))
        self._inside = Inside(self.server)

    async def send(self, body: bytes, key: str, appsflyer_id: str = AF_ID) -> tuple[HttpResponse, Verdict]:
        client = InAppEvent(key, "com.example.shop", ORIGIN)
        one = Delivery(1, "shop", "inapp_event", "i", "a", body, None, appsflyer_id, 0, 0, False, 0)
        request: HttpRequest = client.request([one])
        answer = await self._inside.send(request)
        return answer, client.verdicts([one], answer)[0]


NAMELESS = b'{"appsflyer_id":"","eventName":"a","eventValue":""}'
GOOD = b'{"eventName":"a","eventValue":""}'


@pytest.mark.parametrize(
    ("key", "body", "answered", "kind", "reason"),
    [
        ("key", GOOD, (200, "OK"), Accepted, None),
        ("", GOOD, (400, "Failed to Authenticate"), Halt, "invalid_s2s_key"),
        ("other's", GOOD, (400, "app_id doesn't match the authentication token"), Halt, "app_id_mismatch"),
        ("key", b'{"eventName":"","eventValue":""}', (400, "Bad request"), Reject, "invalid_event"),
        ("key", b'{"eventName":"a"', (400, "Payload is missing or failed to parse"), Reject, "invalid_event"),
        ("key", NAMELESS, (400, "appsflyer_id is a mandatory field"), Reject, "invalid_appsflyer_id"),
        ("invalid", GOOD, (401, "Unauthorized"), Halt, "unauthorized"),
        ("zero", GOOD, (403, "Forbidden"), Halt, "forbidden"),
        ("key", b'{"eventName":"a","eventValue":{}}', (500, "Internal Server Error"), Retry, "server_error_500"),
    ],
)
async def test_each_text_of_appsflyer(key, body, answered, kind, reason):
    """A wrong key keeps everything; a wrong event ends, that of a 500 after a second try."""
    answer, verdict = await AppsFlyer().send(body, key)
    assert (answer.status, answer.body.decode().strip('"')) == answered
    assert (type(verdict), getattr(verdict, "reason", None)) == (kind, reason)
    assert not isinstance(verdict, Retry) or verdict.most_tries == 2


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("sharing_filter", ["all", ["x_int"]], ["x_int", [], [""], {"partners": "all"}, True]),
        ("aie", [True, False], ["true", 1]),
        ("app_type", ["", "app_clip"], ["clip"]),
        ("custom_data", ['{"a":1}'], [{"a": 1}]),
        (
            "consent_data",
            [
                {"tcf": {"gdpr_applies": -1, "tcstring": "x", "policy_version": 4}},
                {"manual": {"gdpr_applies": True, "ad_user_data_enabled": False}},
            ],
            [
                {},
                {"tcf": {"gdpr_applies": True}},
                {"tcf": {"gdpr_applies": 2}},
                {"tcf": {"policy_version": "4"}},
                {"manual": {"gdpr_applies": "true"}},
                {"manual": {}, "tcf": {}},
                {"gdpr_applies": True},
                "granted",
            ],
        ),
    ],
)
async def test_what_the_schema_has_no_room_for_is_refused(name, taken, refused):
    """As for an unknown currency."""
    for status, said in [*((200, one) for one in taken), *((400, one) for one in refused)]:
        body = json.dumps({"eventName": "a", "eventValue": "", name: said}).encode()
        answer, _ = await AppsFlyer().send(body, "key")
        assert (answer.status, said) == (status, said)
