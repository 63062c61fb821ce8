"""Whatever arrives, reading and mapping answer with a value."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.appsflyer.fields import KINDS, MAX_TEXT, NAMES, LongText, Postback, Text
from flybridge.appsflyer.postback import read
from flybridge.appsflyer.postback_kind import Kind, kind_of
from flybridge.appsflyer.postback_time import EARLIEST_MS, LATEST_MS, time_ms, zoned_ms
from flybridge.records import Dead, Media

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LONG = [name for name in NAMES if KINDS[name] == LongText]
MESSAGES = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), JSON, max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    body=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")), media=st.sampled_from(Media)
)
def test_any_bytes_give_a_postback_or_a_dead_letter(body: bytes, media: Media) -> None:
    """No input raises, and what is dead says why and what to do."""
    found = read(body, media)
    assert isinstance(found, Postback | Dead)
    if isinstance(found, Dead):
        assert found.reason
        assert found.detail
        assert found.remedy


@settings(max_examples=150, deadline=None)
@given(message=MESSAGES)
def test_any_json_object_is_read_and_its_promises_are_kept(message: dict[str, Any]) -> None:
    """Text is neither blank nor long, amounts are finite, flags are flags, whatever was sent."""
    found = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(found, Postback)
    assert kind_of(found) in {None, *Kind}
    for name in NAMES:
        value = getattr(found, name)
        if isinstance(value, float):
            assert isfinite(value)
        if KINDS[name] == Text and value is not None:
            assert isinstance(value, str)
            assert 0 < len(value) <= MAX_TEXT
        if KINDS[name] == LongText:
            assert value is None or (isinstance(value, str) and value)
    for name in message:
        found.get(name)


WORDS = st.sampled_from(
    ["", "null", "None", "N/A", "N/A ", " nil", "(NULL)", "undefined", "NaN", "  ", " " * 30, "nUll "]
)
SPACED = st.tuples(st.sampled_from(["", " ", "\t", "    ", "\u00a0"]), st.text(), st.sampled_from(["", " ", "\n"])).map(
    "".join
)
VALUES = (
    WORDS | SPACED | st.sampled_from(["true", "0", "12.5", "install", "in-app-event", "1700000000000-1", '{"a":1}'])
)
TEXT_MESSAGES = st.dictionaries(
    st.sampled_from(NAMES) | st.sampled_from(["currency", "agency", "new"]), VALUES, max_size=10
)
PERTURBED = st.sampled_from([{}, {"wifi": "maybe"}, {"wifi": ""}, {"wifi": "N/A"}, {"wifi": None}, {"wifi": [1]}])


def fields_of(read_message: Postback | Dead) -> dict[str, Any]:
    assert isinstance(read_message, Postback)
    return {name: getattr(read_message, name) for name in NAMES if name != "wifi"}


@settings(max_examples=500, deadline=None)
@given(message=TEXT_MESSAGES, beside=PERTURBED, separators=st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :  ")]))
def test_a_field_is_read_alike_whatever_stands_beside_it(
    message: dict[str, str], beside: dict[str, Any], separators: tuple[str, str]
) -> None:
    """Odd fields beside the others, and another layout of the JSON, change nothing about them."""
    message.pop("wifi", None)
    plain = read(json.dumps(message, separators=(",", ":")).encode(), Media.JSON)
    other = read(json.dumps(message | beside, separators=separators, ensure_ascii=False).encode(), Media.JSON)
    assert fields_of(plain) == fields_of(other)


@settings(max_examples=300, deadline=None)
@given(message=TEXT_MESSAGES.filter(bool))
def test_a_query_string_is_read_like_the_same_fields_in_json(message: dict[str, str]) -> None:
    """GET and POST differ in nothing but their form."""
    message["event_name"] = "login"
    by_get = read(urlencode(message).encode(), Media.QUERY)
    assert fields_of(by_get) == fields_of(read(json.dumps(message).encode(), Media.JSON))


@settings(max_examples=100, deadline=None)
@given(message=st.dictionaries(st.sampled_from(LONG), st.just("") | st.text(min_size=1).map("x".__add__), min_size=1))
def test_blank_addresses_are_absent(message: dict[str, str]) -> None:
    """Referrers, addresses and agents that are blank are absent, and those beside them stay as they are."""
    found = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(found, Postback)
    assert {name: getattr(found, name) for name in LONG} == {name: message.get(name) or None for name in LONG}


@settings(max_examples=150, deadline=None)
@given(
    text=st.text()
    | st.datetimes().map(str)
    | st.from_regex(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[ +-]\d{4}", fullmatch=True)
)
def test_any_text_is_a_plausible_time_or_none(text: str) -> None:
    """A time is between 2008 and 2099, or it is none."""
    for found in (time_ms(text), zoned_ms(text, "UTC")):
        assert found is None or EARLIEST_MS <= found < LATEST_MS
