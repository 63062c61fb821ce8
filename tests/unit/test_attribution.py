"""Amplitude's Attribution API: the request, and what the answers mean."""

from urllib.parse import parse_qs

import pytest

from flybridge.amplitude.attribution import AttributionApi
from flybridge.delivery.exchange import Accepted, Halt, HttpResponse, Reject
from flybridge.records import Delivery

KEY = "0123456789abcdef"
BODY = '{"event_type":"[AppsFlyer] Install","idfa":"A&B=C+D%20","user_properties":{"[AppsFlyer] campaign":"sömmer"}}'
ITEM = Delivery(1, "shop", "attribution", "i", "t", BODY.encode(), "user-1", "device-1", 0, 0, False, 0)
API = AttributionApi(KEY, "http://127.0.0.1:1")


def test_key_and_event_are_form_fields_of_the_body() -> None:
    """Nothing of either is in the URL, where access logs would keep it; the event arrives byte for byte."""
    request = API.request([ITEM])
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/attribution")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode("ascii"), strict_parsing=True) == {"api_key": [KEY], "event": [BODY]}
    assert len(request.body) <= API.size(ITEM)


def test_it_is_not_trusted_to_recognise_a_repeat_and_takes_one_event() -> None:
    """The page documents no deduplication."""
    assert API.deduplicates is False
    assert API.limits.max_items == 1


@pytest.mark.parametrize("body", [b"", b"success", b'{"code":200}'])
def test_200_is_accepted_whatever_its_text(body: bytes) -> None:
    """The page documents none."""
    assert API.verdicts([ITEM], HttpResponse(200, {}, body)) == [Accepted()]


@pytest.mark.parametrize(
    "body",
    [b"\xef\xbb\xbf<html>", b"\x1f\x8b\x08\x00\x93", b"\x1b\x6f\x00\xf8", b'{"error":"blocked"}', b'\r\n{"errors":[]}'],
)
def test_200_of_a_gateway_halts(body: bytes) -> None:
    """It would be taken for Amplitude's, and the event would be gone."""
    (verdict,) = API.verdicts([ITEM], HttpResponse(200, {}, body))
    assert isinstance(verdict, Halt)
    assert verdict.reason == "wrong_address"


@pytest.mark.parametrize("status", [200, 400])
def test_a_web_page_halts(status: int) -> None:
    """A captive portal or proxy answered, not Amplitude."""
    (verdict,) = API.verdicts([ITEM], HttpResponse(status, {}, b" \n<!doctype html>"))
    assert isinstance(verdict, Halt)
    assert verdict.reason == "wrong_address"


@pytest.mark.parametrize("body", [b"", b"missing_event", b"\xff\xff", b'{"error":"Invalid event JSON"}'])
def test_400_is_refused_for_good(body: bytes) -> None:
    """The JSON is not what Amplitude expects, and will not become so."""
    (verdict,) = API.verdicts([ITEM], HttpResponse(400, {}, body))
    assert isinstance(verdict, Reject)
    assert verdict.reason == "invalid_event"


def test_400_about_the_key_halts_and_does_not_repeat_it() -> None:
    """A wrong key is no event's fault."""
    (verdict,) = API.verdicts([ITEM], HttpResponse(400, {}, f"Invalid API key: {KEY}".encode()))
    assert isinstance(verdict, Halt)
    assert KEY not in repr(verdict)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "Halt:unauthorized"),
        (403, "Halt:forbidden"),
        (404, "Halt:wrong_address"),
        (408, "Retry:http_408"),
        (413, "Split:too_large"),
        (418, "Retry:http_418"),
        (429, "Retry:rate_limited"),
        (500, "Retry:server_error_500"),
        (503, "Retry:server_error_503"),
    ],
)
def test_statuses(status: int, expected: str) -> None:
    """The same table as for uploads."""
    (verdict,) = API.verdicts([ITEM], HttpResponse(status, {}, b"whatever"))
    assert not isinstance(verdict, Accepted)
    assert f"{type(verdict).__name__}:{verdict.reason}" == expected
