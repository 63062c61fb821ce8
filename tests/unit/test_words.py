"""What a vendor said, as it may be stored and shown."""

import msgspec
import pytest

from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.words import MAX_CHARS, words_of
from flybridge.records import Delivery

KEY = "a1b2c3d4e5"
GAID = "cdda802e-fb9c-47ad-9866-0794d394c912"


def said(body: bytes | object, *, status: int = 400, headers: dict[str, str] | None = None, sent: bytes = b"") -> str:
    """Return the words of an answer."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    request = HttpRequest("POST", "https://user:pw@api2.amplitude.com/2/httpapi?k=v", headers or {}, sent)
    item = Delivery(
        7, "a", "e", "insert-77", "t", b'{"x":"adam42","y":"android"}', "ada.user", "device-7", 0, 0, False, 0
    )
    return words_of(request, HttpResponse(status, {}, raw), [item])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"code": 400, "error": "Invalid API key"}, ": Invalid API key"),
        (
            {"error": "Request missing required field", "missing_field": "events"},
            ": Request missing required field, events",
        ),
        ({"messege": "Invalid audience platform"}, ": Invalid audience platform"),
        ("App not found", ": App not found"),
        (b"Failed to Authenticate", ": Failed to Authenticate"),
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", ": 502 Bad Gateway"),
        (b"<b>Access</b>   <i>denied</i>", ": Access denied"),
        (b"\xff\x00\x1b[31mred", ": \ufffd [31mred"),
        ({"silenced_devices": ["device-1", "device-2"]}, ""),
        (["x"], ""),
        (b"", ""),
    ],
)
def test_the_text_is_short_and_in_one_line(body, expected):
    """From JSON only fields that hold a message, from a page its title or its text."""
    assert said(body) == f"api2.amplitude.com answered 400{expected}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"no user {GAID} here", "no user [id] here"),
        ("mail ada@example.com", "mail [email]"),
        ("User ada.user is unknown.", "User [id] is unknown."),
        ("bad device-7, insert-77", "bad [id], [id]"),
        ("field x: adam42 is wrong", "field x: [id] is wrong"),
        ("platform android is wrong", "platform android is wrong"),
        (f"key {KEY}?", "key ***?"),
        ("Bearer tok-1234 revoked", "Bearer *** revoked"),
    ],
)
def test_no_identifier_and_no_key_is_repeated(text, shown):
    """Vendors quote what they were sent."""
    sent = b'{"api_key":"' + KEY.encode() + b'","events":[]}'
    headers = {"Content-Type": "application/json", "Authorization": "tok-1234"}
    assert said({"error": text}, headers=headers, sent=sent) == f"api2.amplitude.com answered 400: {shown}"
    assert KEY not in said({"error": text}, sent=b"api_key=" + KEY.encode() + b"&event=")


def test_a_long_text_is_cut():
    """Whatever a page holds, one line of a list has room for it."""
    assert len(said(b"x " * 100_000)) <= MAX_CHARS + 40
