"""Amplitude HTTP V2 and Batch: the request, and every documented answer."""

import gzip
from typing import Any

import msgspec
import pytest
from msgspec import structs

from flybridge.amplitude.upload import ORIGINS, Batch, HttpV2, origin
from flybridge.delivery.exchange import Accepted, Halt, HttpResponse, Reject, Retry, Split, Verdict, retry_after_s
from flybridge.delivery.settings import DeliverySettings
from flybridge.records import Delivery

KEY = "0123456789abcdef"
AT_ONCE = Retry("not_tried", 0.0, counts=False)
THROTTLED = Retry("throttled", 30.0, counts=False)


def item(number: int, user: str | None = None, device: str | None = None, body: bytes = b"{}") -> Delivery:
    """Return a delivery."""
    return Delivery(number, "shop", "http_v2", "i", "t", body, user, device, 0, 0, False, 0)


BATCH = [item(n, f"user-{n}", f"device-{n}") for n in range(8)]


def answer(status: int, body: Any = b"", **headers: str) -> HttpResponse:
    """Return a response; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def verdicts(response: HttpResponse, batch: list[Delivery] = BATCH) -> list[Verdict]:
    """Read an answer to the batch."""
    return HttpV2(KEY).verdicts(batch, response)


def reasons(found: list[Verdict]) -> list[str]:
    """Name every verdict by its reason."""
    return ["accepted" if isinstance(verdict, Accepted) else verdict.reason for verdict in found]


def test_the_request_holds_every_event_with_its_identity() -> None:
    """The ids are spliced in and escaped; the event's own bytes stay as they are."""
    batch = [
        item(1, 'quo"te\\', None, b'{"event_type":"a","time":1}'),
        item(2, None, "dev\u00fc\u2028", b'{"event_type":"b"}'),
        item(3, "user-3", "device-3", b"{}"),
        item(4, None, None, b'{"event_type":"d"}'),
    ]
    request = HttpV2(KEY, "http://127.0.0.1:1/", min_id_length=1).request(batch)
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/2/httpapi")
    assert request.headers["Content-Type"] == "application/json"
    assert msgspec.json.decode(request.body) == {
        "api_key": KEY,
        "options": {"min_id_length": 1},
        "events": [
            {"user_id": 'quo"te\\', "event_type": "a", "time": 1},
            {"device_id": "dev\u00fc\u2028", "event_type": "b"},
            {"user_id": "user-3", "device_id": "device-3"},
            {"event_type": "d"},
        ],
    }


@pytest.mark.parametrize(("age_ms", "is_late"), [(0, False), (3_600_000, False), (3_600_001, True), (10**9, True)])
@pytest.mark.parametrize("endpoint", [HttpV2(KEY), Batch(KEY), HttpV2(KEY, current_ms=0)])
def test_what_is_sent_late_leaves_the_state_of_its_user_alone(endpoint: HttpV2, age_ms: int, is_late: bool) -> None:
    """Version and place are of then; the attribution that its `$identify` event sets is not older for that."""
    body = b'{"event_type":"$identify"}\n{"event_type":"[AppsFlyer] Install","app_version":"1"}'
    late = structs.replace(item(1, "user-1", None, body), age_ms=age_ms)
    identify, event = msgspec.json.decode(endpoint.request([late]).body)["events"]
    assert event.pop("$skip_user_properties_sync", False) is (is_late or (endpoint.current_ms == 0 and age_ms > 0))
    assert event == {"user_id": "user-1", "event_type": "[AppsFlyer] Install", "app_version": "1"}
    assert identify == {"user_id": "user-1", "event_type": "$identify"}


@pytest.mark.parametrize("endpoint", [HttpV2(KEY), Batch(KEY)])
def test_a_full_request_stays_below_the_documented_size(endpoint: HttpV2) -> None:
    """The sum of `size` is an upper bound of the body, and the limit leaves room for the frame."""
    batch = [item(n, "\u00e4\x01" * 9, "d" * 36, b'{"event_type":"' + b"x" * n + b'"}') for n in range(200)]
    frame = len(endpoint.request([]).body)
    assert len(endpoint.request(batch).body) <= sum(endpoint.size(d) for d in batch) + frame
    documented = 20_000_000 if isinstance(endpoint, Batch) else 1_000_000
    assert endpoint.limits.max_bytes + frame < documented
    assert endpoint.limits.max_items <= (1000 if isinstance(endpoint, Batch) else 999)


def test_a_configured_count_never_exceeds_the_documented_one() -> None:
    """Less is kept, more is cut."""
    assert [DeliverySettings(max_items=n).tuned(HttpV2(KEY).limits).max_items for n in (7, 5000)] == [7, 999]
    assert DeliverySettings(max_items=5000).tuned(Batch(KEY).limits).max_items == 1000


def test_batch_has_its_own_address_and_the_same_body() -> None:
    """Only path and limits differ."""
    assert Batch(KEY).request(BATCH).url == "https://api2.amplitude.com/batch"
    assert Batch(KEY).request(BATCH).body == HttpV2(KEY).request(BATCH).body


def test_compression_is_off_unless_asked_for() -> None:
    """The upload pages do not document it."""
    assert not HttpV2(KEY).request(BATCH).gzip
    assert HttpV2(KEY, gzip=True).request(BATCH).gzip
    assert gzip.decompress(gzip.compress(HttpV2(KEY).request(BATCH).body)) == HttpV2(KEY).request(BATCH).body


def test_regions_have_their_hosts_and_an_unknown_one_is_refused() -> None:
    """Falling back to the US would send Europeans' data abroad."""
    assert origin("eu") == ORIGINS["eu"] == "https://api.eu.amplitude.com"
    assert origin("us", "http://127.0.0.1:9/") == "http://127.0.0.1:9"
    with pytest.raises(KeyError):
        origin("mars")


def test_200_is_accepted() -> None:
    """The documented body, as a whole and with fields missing."""
    body = {"code": 200, "events_ingested": 8, "payload_size_bytes": 50, "server_upload_time": 1396381378123}
    assert verdicts(answer(200, body)) == [Accepted()] * 8
    assert verdicts(answer(200, {"code": 200})) == [Accepted()] * 8


def test_200_that_ingested_a_part_is_halved_to_find_the_rest() -> None:
    """None is named, and sending again is safe because of the insert id."""
    assert verdicts(answer(200, {"code": 200, "events_ingested": 7})) == [Split("partly_ingested")] * 8


def test_200_that_ingested_nothing_is_tried_again_and_counts() -> None:
    """It must neither be called delivered nor be repeated for ever."""
    assert verdicts(answer(200, {"code": 200, "events_ingested": 0})) == [Retry("not_ingested")] * 8


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Welcome</html>", b"success", b"[]", b"\xff\xfe", b"{" * 100_000, b"{}", b'{"error":"blocked"}'],
)
def test_200_from_somebody_else_halts(body: bytes) -> None:
    """A captive portal says 200 to everything: believing it would lose the events."""
    assert reasons(verdicts(answer(200, body))) == ["wrong_address"] * 8


@pytest.mark.parametrize(
    "body",
    [
        {"code": 400, "error": "Invalid API key: " + KEY, "missing_field": None},
        {"code": 400, "error": "invalid api KEY"},
        {"code": 400, "error": "Request missing required field", "missing_field": "api_key"},
    ],
)
def test_400_about_the_key_halts_and_tells_what_to_do(body: Any) -> None:
    """No event is at fault."""
    for verdict in verdicts(answer(400, body)):
        assert isinstance(verdict, Halt)
        assert "api_key" in verdict.remedy
        assert KEY not in verdict.remedy


@pytest.mark.parametrize("key", ["events_with_invalid_fields", "events_with_missing_fields"])
def test_400_that_names_events_kills_only_these(key: str) -> None:
    """The field is in the detail; the others go again at once and lose no try."""
    body = {"code": 400, "error": "Invalid field values on some events", key: {"time": [3, 4], "price": [4, 7]}}
    found = verdicts(answer(400, body))
    assert reasons(found) == ["not_tried"] * 3 + ["invalid_fields"] * 2 + ["not_tried"] * 2 + ["invalid_fields"]
    assert found[0] == AT_ONCE
    assert isinstance(found[4], Reject)
    assert "time" in found[4].detail
    assert "price" in found[4].detail
    assert found[4].remedy


def test_400_documented_example_with_a_request_field_and_named_events_goes_by_the_events() -> None:
    """The key was read, or no event could have been judged."""
    body = {
        "code": 400,
        "error": "Request missing required field",
        "missing_field": "api_key",
        "events_with_missing_fields": {"event_type": [3]},
    }
    assert reasons(verdicts(answer(400, body)))[3] == "invalid_fields"


def test_400_silenced_devices_die_throttled_wait_and_the_rest_goes_at_once() -> None:
    """The documented example: indexes 5 and 6 silenced, 3 and 4 throttled."""
    body = {
        "code": 400,
        "eps_threshold": 100,
        "error": "Events silenced for device_id",
        "exceeded_daily_quota_devices": {},
        "silenced_devices": ["silenced_device_id_1", "device-7"],
        "silenced_events": [5, 6],
        "throttled_devices": {"throttled_device_id_1": 0, "throttled_device_id_2": 100},
        "throttled_events": [3, 4],
    }
    found = verdicts(answer(400, body))
    assert reasons(found) == ["not_tried"] * 3 + ["throttled"] * 2 + ["silenced"] * 3
    assert found[3] == THROTTLED


@pytest.mark.parametrize(
    "body",
    [
        {"error": "Invalid JSON request body"},
        {"error": "Missing request body"},
        {"error": "invalid JSON request BODY", "missing_field": None},
        {"error": "Request missing required field", "missing_field": "events"},
    ],
)
@pytest.mark.parametrize("n", [1, 8])
def test_400_about_the_request_kills_nothing(body: Any, n: int) -> None:
    """A proxy that breaks compressed bodies makes each request unreadable: no event is at fault."""
    found = verdicts(answer(400, {"code": 400, **body}), BATCH[:n])
    assert reasons(found) == ["unreadable_request"] * n
    assert all(isinstance(verdict, Halt) and "gzip" in verdict.remedy for verdict in found)


@pytest.mark.parametrize("error", ["Invalid event JSON", "Something new"])
def test_400_that_names_nobody_is_halved_until_the_culprit_is_alone(error: str) -> None:
    """Many are split; one is refused for good."""
    assert verdicts(answer(400, {"code": 400, "error": error})) == [Split("invalid_request")] * 8
    (verdict,) = verdicts(answer(400, {"code": 400, "error": error}), BATCH[:1])
    assert isinstance(verdict, Reject)
    assert error in verdict.detail


def test_400_with_indexes_outside_the_batch_names_nobody() -> None:
    """Were the others sent again at once for that, it would never end."""
    body = {"code": 400, "error": "x", "events_with_invalid_fields": {"time": [99, -1, "3", True, None]}}
    assert verdicts(answer(400, body)) == [Split("invalid_request")] * 8


def test_400_wrong_path_halts() -> None:
    """The address is wrong, not the events."""
    assert reasons(verdicts(answer(400, {"code": 400, "error": "Invalid request path"}))) == ["wrong_address"] * 8


def test_400_never_repeats_the_key() -> None:
    """Vendors like to quote what they were sent."""
    (verdict,) = verdicts(answer(400, {"error": f"bad {KEY}", "missing_field": "time"}), BATCH[:1])
    assert isinstance(verdict, Reject)
    assert KEY not in verdict.detail
    (verdict,) = verdicts(answer(400, {"error": f"bad {KEY}", "missing_field": KEY}), BATCH[:1])
    assert KEY not in str(verdict)


def test_400_from_a_proxy_kills_nothing() -> None:
    """A page that is not Amplitude's says nothing about an event."""
    assert verdicts(answer(400, b"<html>Bad Request</html>")) == [Split("http_400")] * 8
    assert verdicts(answer(400, b"<html>Bad Request</html>"), BATCH[:1]) == [Retry("http_400")]


def test_429_pauses_only_who_is_named() -> None:
    """The documented example by index, by device and by user."""
    body = {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "eps_threshold": 30,
        "throttled_devices": {"device-0": 31},
        "throttled_users": {"user-1": 32},
        "throttled_events": [3, 4, 7],
    }
    found = verdicts(answer(429, body))
    assert [n for n, reason in enumerate(reasons(found)) if reason == "throttled"] == [0, 1, 3, 4, 7]
    assert [verdict.pauses for verdict in found] == ["device", "user", "", "", "", "", "", ""]
    assert [n for n, verdict in enumerate(found) if verdict == AT_ONCE] == [2, 5, 6]


def test_429_daily_quota_waits_an_hour() -> None:
    """The quota is a rolling day that moves by the hour."""
    body = {
        "code": 429,
        "exceeded_daily_quota_users": {"user-2": 500_200},
        "exceeded_daily_quota_devices": {"device-5": 500_900},
        "throttled_events": [2, 5, 6],
    }
    found = verdicts(answer(429, body))
    assert found[2] == Retry("daily_quota", 3600.0, counts=False, pauses="user")
    assert found[5] == Retry("daily_quota", 3600.0, counts=False, pauses="device")
    assert found[6] == THROTTLED
    assert found[0] == AT_ONCE


@pytest.mark.parametrize("body", [{"code": 429}, {"throttled_events": [88]}, b"<html>", b""])
def test_429_that_names_nobody_slows_everybody_down(body: Any) -> None:
    """A counted failure, so that the lane's circuit opens if it goes on."""
    assert verdicts(answer(429, body)) == [Retry("rate_limited", 30.0)] * 8


def test_429_retry_after_prolongs() -> None:
    """The vendor's own wait is kept, in either form."""
    assert verdicts(answer(429, b"", retry_after="90"))[0] == Retry("rate_limited", 90.0)
    assert verdicts(answer(429, {"throttled_events": [0]}, retry_after="90"))[0] == Retry("throttled", 90.0, False)


@pytest.mark.parametrize(
    ("status", "many", "alone"),
    [
        (401, "halt:unauthorized", "halt:unauthorized"),
        (403, "split:forbidden", "halt:forbidden"),
        (404, "halt:wrong_address", "halt:wrong_address"),
        (405, "halt:wrong_address", "halt:wrong_address"),
        (407, "halt:wrong_address", "halt:wrong_address"),
        (408, "retry:http_408", "retry:http_408"),
        (409, "split:http_409", "retry:http_409"),
        (413, "split:too_large", "split:too_large"),
        (422, "split:http_422", "retry:http_422"),
        (500, "retry:server_error_500", "retry:server_error_500"),
        (502, "retry:server_error_502", "retry:server_error_502"),
        (503, "retry:server_error_503", "retry:server_error_503"),
        (504, "retry:server_error_504", "retry:server_error_504"),
        (599, "retry:server_error_599", "retry:server_error_599"),
        (204, "halt:wrong_address", "halt:wrong_address"),
        (302, "halt:wrong_address", "halt:wrong_address"),
    ],
)
def test_every_other_status_has_one_meaning(status: int, many: str, alone: str) -> None:
    """Whatever the body says."""
    for body in (b"", b"<html>", {"code": status, "error": "Forbidden"}):
        for batch, expected in ((BATCH, many), (BATCH[:1], alone)):
            for verdict in verdicts(answer(status, body), batch):
                assert not isinstance(verdict, Accepted)
                assert f"{type(verdict).__name__.lower()}:{verdict.reason}" == expected


@pytest.mark.parametrize(
    ("text", "date", "expected"),
    [
        ("120", "", 120.0),
        ("1.5", "", 1.5),
        ("-3", "", 0.0),
        ("nan", "", None),
        ("inf", "", None),
        ("1e9", "", 86_400.0),
        ("soon", "", None),
        ("Tue, 24 Nov 2026 10:01:00 GMT", "Tue, 24 Nov 2026 10:00:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 10:01:00 GMT", "", None),
        ("Tue, 24 Nov 2026 10:01:00", "Tue, 24 Nov 2026 10:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(text: str, date: str, expected: float | None) -> None:
    """A date is measured against the answer's own clock, and nonsense is no wait."""
    assert retry_after_s(answer(503, b"", retry_after=text, date=date)) == expected
