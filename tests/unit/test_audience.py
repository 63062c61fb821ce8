"""What every answer of AppsFlyer's audience APIs means, and what is sent to them."""

from __future__ import annotations

import json

import pytest

from flybridge.appsflyer import additional
from flybridge.appsflyer.audience import ImportTarget, limit_of, request, verdict
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import Accepted, Halt, HttpResponse, Reject, Retry, Split

AUDIENCE = ImportTarget(AppsFlyerAccount("com.example.shop", "api-token"), "android", "import-key")
OK = b'{"message": "The request was successful"}'


def answer(status: int, message: object = None, **headers: str) -> HttpResponse:
    """Build an answer."""
    body = message if isinstance(message, bytes) else json.dumps({"message": message}).encode()
    return HttpResponse(status, headers, body)


def kind(found) -> tuple[str, str]:
    """Return a verdict's kind and reason."""
    return type(found).__name__, getattr(found, "reason", "")


PLATFORM = (
    "Invalid audience platform, this audience is already configured for Android/iOS. To use a different platform, "
    "please create a new audience in the UI"
)

TABLE = [
    (answer(200, OK), 5, ("Accepted", "")),
    (answer(202, OK), 5, ("Accepted", "")),
    (answer(200, b"<html>"), 5, ("Halt", "wrong_address")),
    (answer(400, PLATFORM), 5, ("Halt", "wrong_platform")),
    (answer(400, json.dumps({"messege": PLATFORM}).encode()), 5, ("Halt", "wrong_platform")),
    (answer(400, "3 or more of your rows do not contain an app id. You must attach one."), 5, ("Halt", "no_app_id")),
    (answer(400, "2 or more of your rows does not contain a valid unique identifier"), 5, ("Split", "invalid_devices")),
    (answer(400, "1 or more of your rows does not contain a valid unique identifier"), 1, ("Reject", "invalid_device")),
    (answer(400, "We couldn't understand one or more of your device IDs"), 5, ("Split", "invalid_devices")),
    (answer(400, "We couldn't understand one or more of your device IDs"), 1, ("Reject", "invalid_device")),
    (
        answer(400, "1 or more of devices to remove contain more than one identifier per device"),
        2,
        ("Split", "invalid_devices"),
    ),
    (
        answer(400, "Cannot process more than 3 devices per request (5 devices counted in this request)"),
        5,
        ("Split", "too_many_devices"),
    ),
    (answer(400, "Cannot process more than 0 devices per request"), 1, ("Halt", "too_many_devices")),
    (answer(400, "Device list cannot be empty"), 5, ("Halt", "refused")),
    (answer(400, b"no json"), 5, ("Halt", "refused")),
    (answer(401, "Unauthorized"), 5, ("Halt", "unauthorized")),
    (answer(403, "Forbidden"), 5, ("Halt", "forbidden")),
    (answer(404, b""), 5, ("Halt", "wrong_address")),
    (answer(302, b""), 5, ("Halt", "refused")),
    (answer(408, b""), 5, ("Retry", "http_408")),
    (answer(413, b""), 5, ("Split", "too_large")),
    (answer(413, b""), 1, ("Halt", "too_large")),
    (answer(429, "Too many requests"), 5, ("Retry", "rate_limited")),
    (answer(500, b""), 5, ("Retry", "server_error_500")),
    (answer(503, b""), 5, ("Retry", "server_error_503")),
    (answer(418, b""), 5, ("Halt", "refused")),
]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_the_wait_is_the_one_that_the_answer_asks_for(status):
    """Of every status after which the same is sent again."""
    assert verdict(HttpResponse(status, {"retry-after": "7"}, b""), 5).after_s == 7.0


@pytest.mark.parametrize(("response", "devices", "expected"), TABLE)
def test_each_answer_of_the_import_api_has_its_verdict(response, devices, expected):
    """The documented ones as documented; an unknown one stops the audience instead of its devices."""
    assert kind(verdict(response, devices)) == expected


def test_a_refused_token_says_which_tokens_were_revoked():
    """Whoever reads 403 needs to know about March 2026."""
    for status in (401, 403):
        found = verdict(answer(status, "Forbidden"), 1)
        assert isinstance(found, Halt)
        assert "2026-03-10" in found.remedy


def test_throttling_costs_no_try_and_waits_as_long_as_it_is_told():
    """A wait that is no number is none."""
    assert verdict(answer(429, "Too many requests", **{"retry-after": "7"}), 1) == Retry("rate_limited", 7.0, False)
    assert verdict(answer(429, "Too many requests", **{"retry-after": "soon"}), 1) == Retry("rate_limited", None, False)


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("Cannot process more than 5000 devices per request (9000 devices counted in this request)", 5000),
        ("cannot process more than 10,000 devices per request", 10_000),
        ("Cannot process more than Y devices per request", 0),
        ("Device list cannot be empty", 0),
    ],
)
def test_the_limit_is_learnt_from_the_text(message, limit):
    """Nothing else states it."""
    assert limit_of(answer(400, message)) == limit
    assert limit_of(answer(200, message)) == 0


def test_a_request_names_one_identifier_per_device():
    """Removal is refused for several."""
    made = request(AUDIENCE, "remove", [("gaid", "a"), ("cuid", "b")])
    assert made.url == "https://hq1.appsflyer.com/api/audiences-import-api/v2/remove"
    assert made.headers["Authorization"] == "Bearer api-token"
    assert json.loads(made.body) == {
        "import_key": "import-key",
        "platform": "android",
        "devices": [{"app_id": "com.example.shop", "gaid": "a"}, {"app_id": "com.example.shop", "cuid": "b"}],
    }


@pytest.mark.parametrize(
    ("response", "rows", "expected"),
    [
        (answer(202, "Accepted for processing"), 9, Accepted()),
        (answer(202, b"<html>"), 9, Halt),
        (answer(400, json.dumps({"error": "Request data has too many invalid 'data' elements"}).encode()), 9, Split),
        (answer(400, json.dumps({"error": "Request data has too many invalid 'data' elements"}).encode()), 1, Reject),
        (answer(400, json.dumps({"error": "Request 'data' should not exceeds the size of 4000"}).encode()), 9, Split),
        (answer(400, json.dumps({"error": "Request body must have a valid key_type"}).encode()), 9, Halt),
        (answer(404, json.dumps({"error": "Page not found"}).encode()), 9, Halt),
        (answer(429, "Too many requests"), 9, Retry),
        (answer(500, b""), 9, Retry),
        (answer(413, b""), 9, Split),
    ],
)
def test_each_answer_of_the_additional_identifiers_api_has_its_verdict(response, rows, expected):
    """As documented; what is not, by its status."""
    found = additional.verdict(response, rows)
    assert found == expected or type(found) is expected


def test_hashes_are_told_and_taken_back():
    """Taking back names kinds, never hashes."""
    extra = additional.extra_of("name@domain.com", "+442070313000")
    made = additional.request(AppsFlyerAccount("id1", "t"), "cuid", [("ada", extra)])
    assert (made.method, made.url) == (
        "PUT",
        "https://hq1.appsflyer.com/api/audience-bulk-api/v1/additional-identifiers/app/id1",
    )
    body = json.loads(made.body)
    assert (body["key_type"], body["action"]) == ("customer_user_id", "add")
    assert sorted(body["data"][0]["identifiers"]) == sorted(additional.KINDS)
    body = json.loads(additional.request(AppsFlyerAccount("id1", "t"), "cuid", [("ada", b"")], remove=True).body)
    assert body["data"] == [{"key_value": "ada", "identifiers": list(additional.KINDS)}]
