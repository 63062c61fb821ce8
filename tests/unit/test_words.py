"""What a vendor said, as it may be stored and shown."""

import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda one: json.dumps(one)[1:-1],
    "address": quote,
    "form": quote_plus,
    "page": html.escape,
    "upper": lambda one: one.upper() if one.isascii() else one,
    "lower": lambda one: one.lower() if one.isascii() else one,
}
FRAMES = ("user {} is blocked", "id={}", "[{}]", "'{}'", "<html><title>no {}.</title>", "a|{}|b", "{}")
ID = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30).map("id 7{}".format)


@pytest.mark.parametrize("form", sorted(FORMS))
@given(one=ID, frame=st.sampled_from(FRAMES), as_json=st.booleans())
@example(one="Ada Lovelace", frame="user {} is blocked", as_json=False)
@example(one="o'brien-77", frame="'{}'", as_json=True)
@example(one="user:12345", frame="id={}", as_json=False)
@example(one="\u202eevil77", frame="{}", as_json=False)
def test_an_id_is_masked_however_the_answer_writes_it(form, one, frame, as_json):
    """With escapes of JSON, of addresses or of pages, in another case, and beside any signs."""
    text = frame.format(FORMS[form](one))
    body = msgspec.json.encode({"error": text}) if as_json else text.encode()
    item = Delivery(7, "a", "e", "insert-77", "t", b"{}", one, None, 0, 0, False, 0)
    words = words_of(HttpRequest("POST", "https://a.example/", {}, b""), HttpResponse(400, {}, body), [item])
    assert one.lower() not in words.lower()
    assert FORMS[form](one) not in words
