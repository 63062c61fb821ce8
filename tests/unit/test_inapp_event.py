"""AppsFlyer's server-to-server API: the request, and what the answers mean."""

import json

import pytest

from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.delivery.exchange import Accepted, Halt, HttpResponse, Reject, Retry, Split
from flybridge.records import Delivery

KEY = "s2s-key-of-the-tests"
BODY = '{"eventName":"af_purchase","eventValue":"{\\"af_revenue\\":\\"6\\"}"}'
ITEM = Delivery(
    1, "shop", "inapp_event", "i", "af_purchase", BODY.encode(), None, "1629191854863-7087037", 0, 0, False, 0
)
API = InAppEvent(KEY, "id123456789", "http://127.0.0.1:1/")


def verdict(status: int, body: str = "", **headers: str):
    """Read one answer."""
    (found,) = API.verdicts([ITEM], HttpResponse(status, headers, body.encode()))
    return found


def test_the_event_goes_alone_with_its_id_in_front_and_the_key_in_a_header():
    """The bytes of the event are those that were filed."""
    request = API.request([ITEM])
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/inappevent/id123456789")
    assert request.headers["authentication"] == KEY
    assert json.loads(request.body) == {"appsflyer_id": "1629191854863-7087037", **json.loads(BODY)}
    assert len(request.body) <= API.size(ITEM)
    assert (API.limits.max_items, API.deduplicates) == (1, False)


def test_an_app_id_is_escaped_in_the_address():
    """The page asks for percent-encoding of reserved characters."""
    assert InAppEvent(KEY, "com.example/shop 2").request([ITEM]).url.endswith("/inappevent/com.example%2Fshop%202")


def test_an_event_without_its_id_can_not_be_sent():
    """It is refused here, and not answered 200 there."""
    with pytest.raises(ValueError, match="no AppsFlyer id"):
        API.request([Delivery(1, "shop", "e", "i", "t", b"{}", "ada", None, 0, 0, False, 0)])


@pytest.mark.parametrize("body", ["OK", '"OK"', "", "ok\n"])
def test_200_is_accepted(body):
    """Its text says nothing more."""
    assert verdict(200, body) == Accepted()


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, "Failed to Authenticate", Halt, "invalid_s2s_key"),
        (400, '"appsflyer_id is a mandatory field"', Reject, "invalid_appsflyer_id"),
        (400, "Bad request", Reject, "invalid_event"),
        (400, "Payload is missing or failed to parse", Reject, "invalid_event"),
        (400, "", Reject, "invalid_event"),
        (400, "app_id", Halt, "app_id_mismatch"),
        (401, "Unauthorized", Halt, "unauthorized"),
        (403, "Forbidden", Halt, "forbidden"),
        (404, "", Halt, "unknown_app"),
        (404, "App not found", Halt, "unknown_app"),
        (404, "<html>", Halt, "wrong_address"),
        (302, "", Halt, "wrong_address"),
        (204, "", Halt, "wrong_address"),
        (200, "<html>", Halt, "wrong_address"),
        (200, "\ufeff<html>", Halt, "wrong_address"),
        (200, '{"error_code": 7}', Halt, "wrong_address"),
        (400, " <!doctype html>", Halt, "wrong_address"),
        (408, "", Retry, "http_408"),
        (413, "", Split, "too_large"),
        (422, "", Retry, "http_422"),
        (429, "", Retry, "rate_limited"),
        (500, "Internal Server Error", Retry, "server_error_500"),
        (503, "", Retry, "server_error_503"),
    ],
)
def test_every_answer_has_its_verdict(status, body, kind, reason):
    """What is documented by its text, what is not by its status; nothing is lost for an answer nobody knows."""
    found = verdict(status, body)
    assert isinstance(found, kind)
    assert found.reason == reason


def test_the_key_is_in_no_verdict():
    """A vendor may quote it."""
    assert KEY not in repr(verdict(400, f"Bad request: {KEY}"))
    assert KEY not in repr(verdict(400, f"Failed to Authenticate {KEY}"))


@pytest.mark.parametrize(
    ("said", "wait_s"), [("90", 90.0), ("1", 30.0), ("nan", 30.0), ("soon", 30.0), ("1e9", 86400.0)]
)
def test_retry_after_prolongs_the_wait(said, wait_s):
    """It never shortens it, and never stops a lane for longer than a day."""
    assert verdict(429, "", **{"retry-after": said}).after_s == wait_s


def test_bytes_that_are_no_text_are_read_too():
    """A verdict never raises."""
    (found,) = API.verdicts([ITEM], HttpResponse(400, {}, b"\xff\xfe"))
    assert isinstance(found, Reject)
