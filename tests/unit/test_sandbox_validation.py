"""What the sandbox says of an upload, by table and by property: it never raises, and never takes what it should not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.sandbox.vendors.validation import (
    BATCH,
    HTTP_V2,
    Attribution,
    ErrorAnswer,
    Upload,
    read_attribution,
    read_upload,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["event_type", "user_id", "device_id", "time", "revenue", "user_properties", "insert_id", "other"]
EVENTS = st.dictionaries(st.sampled_from(NAMES), JSON | st.just("device-1"), max_size=8)


def read(request: Any) -> Upload | ErrorAnswer:
    return read_upload(json.dumps(request).encode(), BATCH, lambda key: key == "key")


@given(events=st.lists(EVENTS, max_size=4), options=st.none() | JSON)
def test_every_upload_is_either_taken_whole_or_refused_with_a_documented_body(events, options):
    """What is taken has a type and somebody it belongs to; what is refused names its events truly."""
    found = read({"api_key": "key", "events": events, "options": options})
    if isinstance(found, ErrorAnswer):
        assert (found.status, found.content["code"]) == (400, 400)
        assert all(0 <= index < len(events) for index in found.bad)
        named = {
            index
            for table in ("events_with_invalid_fields", "events_with_missing_fields")
            for indexes in found.content.get(table, {}).values()
            for index in indexes
        }
        assert named == set(found.bad)
    else:
        assert len(found.events) == len(events)
        assert all(event.event_type and (event.user_id or event.device_id) for event in found.events)


@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_an_answer(body):
    """Nothing that is sent makes the sandbox fail."""
    assert isinstance(read_upload(body, HTTP_V2, bool), ErrorAnswer)


@given(text=st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_as_attribution_gets_an_answer(text):
    """The same for the other door."""
    assert isinstance(read_attribution(text), ErrorAnswer | Attribution)


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"revenue": 9.99, "currency": "EUR", "productId": "p", "revenueType": "Purchase"}, []),
        ({"price": 9.99, "quantity": 1, "productId": "p"}, []),
        ({"revenue": 9.99, "currency": "eur"}, ["currency"]),
        ({"revenue": 9.99, "currency": "Euro"}, ["currency"]),
        ({"productId": "p", "revenueType": "Purchase"}, ["productId", "revenueType"]),
        ({"price": 9.99, "revenueType": "Purchase"}, ["revenueType"]),
    ],
)
def test_what_the_page_asks_of_fields_of_revenue_is_asked(fields, refused):
    """A currency is three capitals; what was bought and how needs an amount, or a price and a quantity."""
    found = read({"api_key": "key", "events": [{"event_type": "e", "device_id": "device-1", **fields}]})
    named = found.content["events_with_invalid_fields"] if isinstance(found, ErrorAnswer) else {}
    assert sorted(named) == refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", "1767225600000"),
        ("time", 1.5),
        ("revenue", "9.99"),
        ("user_id", 12345),
        ("event_properties", []),
        ("session_id", True),
        ("adid", 1),
        ("quantity", 1.5),
        ("plan", "a"),
    ],
)
def test_a_value_of_the_wrong_type_is_invalid_and_not_missing_too(field, value):
    """The body names exactly what is wrong."""
    found = read({"api_key": "key", "events": [{"event_type": "a", "device_id": "device-1"} | {field: value}]})
    assert isinstance(found, ErrorAnswer)
    assert found.content["events_with_invalid_fields"] == {field: [0]}
    assert found.content["events_with_missing_fields"] == {}


def test_null_is_the_same_as_absent_and_unknown_fields_are_ignored():
    """A tolerant reader, as Amplitude is."""
    found = read({"api_key": "key", "events": [{"event_type": "a", "device_id": "device-1", "time": None, "new": 1}]})
    assert isinstance(found, Upload)
    assert found.events[0].time is None
