"""Identifiers are found in bytes however they are written there."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from html import escape
from time import thread_time
from unicodedata import normalize
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.identity import IdKind, Keyring
from flybridge.identity.mentions import MAX_TOKENS, keys_in, mentions

RING = Keyring(b"secret", b"former")
IDS = [
    (IdKind.CUSTOMER_USER_ID, "jos\u00e9@example.com"),
    (IdKind.CUSTOMER_USER_ID, "user|4711/a"),
    (IdKind.CUSTOMER_USER_ID, "cust-270001"),
    (IdKind.AMPLITUDE_DEVICE_ID, "ada-phone"),
    (IdKind.APPSFLYER_ID, "1763985600000-1234567"),
    (IdKind.IDFA, "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
    (IdKind.ADID, "38400000-8cf0-11bd-b23e-10b96e40000d"),
    (IdKind.OAID, "9774d56d682e549c"),
]


def packed(value: object) -> str:
    """Return JSON in base64, as it stands in addresses: without signs at the end."""
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


WAYS = {
    "json": lambda value: json.dumps({"a": value}),
    "json, not escaped": lambda value: json.dumps({"a": value}, ensure_ascii=False),
    "json in json": lambda value: json.dumps({"custom_data": json.dumps({"a": value})}),
    "json in json in json": lambda value: json.dumps({"x": json.dumps({"custom_data": json.dumps({"a": value})})}),
    "a query": lambda value: urlencode({"a": value, "b": 1}),
    "a query with json": lambda value: urlencode({"a": json.dumps({"b": value})}),
    "json with a query": lambda value: json.dumps(
        {"original_url": f"https://x.example/?a={quote(value, safe='')}&b=1"}
    ),
    "json in base64": lambda value: json.dumps({"custom_data": packed({"a": value, "b": "more than is cut"})}),
    "cut base64": lambda value: json.dumps({"custom_data": packed({"a": value, "b": "more than is cut"})})[:-9],
    "cut json": lambda value: json.dumps({"b": 1, "a": value, "c": "xxxx"})[:-5],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "value"), IDS)
def test_an_identifier_is_found_however_it_is_written(way: str, kind: IdKind, value: str) -> None:
    """By its text and by its keys, under every secret."""
    body = WAYS[way](value).encode()
    assert mentions(body, [value])
    assert mentions(body, ["another one", value.upper()])
    assert set(RING.keys("shop", kind, value)) <= set(keys_in(body, "shop", RING))


UNUSUAL = {
    "five times json": lambda value: json.dumps(json.dumps(json.dumps(json.dumps(json.dumps(value))))).encode(),
    "percent thrice": lambda value: quote(quote(quote(value, safe=""), safe=""), safe="").encode(),
    "entities": lambda value: f"<a>{escape(value)}</a>".replace("@", "&#64;").replace("\u00e9", "&eacute;").encode(),
    "utf-16": lambda value: json.dumps({"a": value}, ensure_ascii=False).encode("utf-16"),
    "utf-16 without a mark": lambda value: json.dumps({"a": value}, ensure_ascii=False).encode("utf-16-be"),
    "latin-1": lambda value: json.dumps({"a": value}, ensure_ascii=False).encode("latin-1"),
    "beside broken bytes": lambda value: b"\xff\xfe " + json.dumps({"a": value}, ensure_ascii=False).encode(),
    "accents apart": lambda value: normalize("NFD", value).encode(),
    "wide": lambda value: value.replace("@", "\uff20").encode(),
    "with what is not seen": lambda value: f"{value[:3]}\u200b{value[3:]}".encode(),
}


@pytest.mark.parametrize("way", UNUSUAL)
@pytest.mark.parametrize("value", [value for _, value in IDS])
def test_an_identifier_is_found_in_unusual_bytes(way: str, value: str) -> None:
    """That no reader of messages takes, and that are kept as dead letters."""
    assert mentions(UNUSUAL[way](value), [value])
    assert not mentions(UNUSUAL[way](value), ["another@example.com"])


@pytest.mark.parametrize("value", ["6D92078A-8246-4BA4-AE5B-76104861E7DC", "1763985600000-1234567"])
def test_a_long_identifier_is_found_where_something_is_joined_to_it(value: str) -> None:
    """By a dash or an underscore; a device id also without its own dashes."""
    assert mentions(f"spring_{value}_x".encode(), [value])
    assert mentions(f"x-{value}-y".encode(), [value])
    assert not mentions(f"1{value}".encode(), [value])
    assert mentions(value.replace("-", "").encode(), [value]) == (len(value) == 36)


def test_what_is_only_a_part_of_a_longer_word_is_not_mentioned() -> None:
    """Nor what is too short to tell anything."""
    body = b'{"a": "12345678", "b": "no"}'
    assert not mentions(body, ["1234567"])
    assert not mentions(body, ["no"])
    assert not mentions(body, [])
    assert mentions(body, ["12345678"])


@pytest.mark.parametrize(
    ("body", "is_found"),
    [
        (b'{"customer_user_id": "77", "a', True),
        (b'{"custom_data": "{\\"amplitude_user_id\\":\\"77\\"', True),
        (b"customer_user_id=77&event", True),
        (b'{"user_id":77,', True),
        (b'{"userId": "77"', True),
        (b'{"customer_user_id": "77.5", "a', False),
        (b'{"customer_user_id": "770", "a', False),
        (b'{"price": "77", "a', False),
    ],
)
def test_a_short_user_id_is_found_behind_its_name(body: bytes, is_found: bool) -> None:
    """Numbers of a small company's users are in any text."""
    assert mentions(body, ["77"]) == is_found
    assert set(RING.keys("shop", IdKind.CUSTOMER_USER_ID, "77")).issubset(keys_in(body, "shop", RING)) == is_found


def test_bytes_in_another_encoding_are_searched() -> None:
    """They are no message, and may name a person all the same."""
    assert mentions("jos\u00e9@example.com".encode("latin-1"), ["jos\u00e9@example.com"])


def test_a_message_has_so_many_keys_at_most() -> None:
    """However long it is, and in a time that grows with its length."""
    body = b" ".join(b"word%d" % n for n in range(100_000))
    assert len(keys_in(body, "shop", Keyring(b"secret"))) <= 3 * MAX_TOKENS


@pytest.mark.parametrize("piece", ['"', "\\", "\\u0022", "a", "%22", "a-", '\\"', "%25", "{"])
def test_the_time_grows_with_the_length(piece: str) -> None:
    """No text from outside makes it quadratic."""

    def seconds(n: int) -> float:
        text = (piece * n)[:n].encode()
        started = thread_time()
        mentions(text, ["ada@example.com"])
        keys_in(text, "shop", RING)
        return thread_time() - started

    seconds(1000)
    short, long = min(seconds(10_000) for _ in range(3)), min(seconds(100_000) for _ in range(3))
    assert long < 40 * short + 0.05


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(body: bytes) -> None:
    """Whatever arrives, it is searched."""
    assert not mentions(body, ["ada@example.com"]) or b"@" in body or b"%" in body or b"u00" in body
    keys_in(body, "shop", RING)


@pytest.mark.parametrize(
    "entity", ["&#" + "9" * 5_000 + ";", "&#" + "0" * 5_000 + "64;", "&#x" + "f" * 5_000, "&#12345678901234567890"]
)
def test_an_entity_that_is_no_character_hides_nobody(entity):
    """Python refuses to read a number of more than 4,300 digits, and nobody could be forgotten."""
    body = f"x {entity} &quot;ada&#64;example.com&quot; {entity}".encode()
    assert mentions(body, ["ada@example.com"])
    assert not mentions(body, ["bob@example.com"])
    assert keys_in(body, "shop", Keyring(b"a secret of sixteen bytes"))
