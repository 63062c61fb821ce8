"""Whatever arrives, reading and mapping answer with a value."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.appsflyer.fields import ABSENT, KINDS, MAX_TEXT, NAMES, LongText, Postback, Text
from flybridge.appsflyer.postback import LONG, read
from flybridge.appsflyer.postback_kind import Kind, kind_of
from flybridge.appsflyer.postback_time import EARLIEST_MS, LATEST_MS, time_ms, zoned_ms
from flybridge.records import Dead, Media

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
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


@settings(max_examples=100, deadline=None)
@given(
    message=st.dictionaries(
        st.sampled_from(
            [name for name in NAMES if KINDS[name] == Text and name not in ("event_type", "appsflyer_device_id")]
        ),
        st.text(min_size=1).filter(lambda text: text == text.strip() and text.lower() not in ABSENT),
        min_size=1,
    )
)
def test_the_fast_and_the_tolerant_reader_agree(message: dict[str, str]) -> None:
    """A blank field beside the others changes nothing about them."""
    fast = read(json.dumps(message).encode(), Media.JSON)
    tolerant = read(json.dumps({**message, "wifi": ""}).encode(), Media.JSON)
    assert isinstance(fast, Postback)
    assert isinstance(tolerant, Postback)
    assert {name: getattr(fast, name) for name in NAMES} == {name: getattr(tolerant, name) for name in NAMES}


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
