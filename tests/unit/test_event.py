"""What Amplitude accepts, and how properties and ids are brought to it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from flybridge.amplitude.event import (
    MAX_DEPTH,
    MAX_PROPERTIES,
    MAX_TEXT,
    identifier,
    is_reserved,
    joined,
    with_identity,
    within_limits,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(part) for part in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(part) for part in value), default=0)
    return 0


@pytest.mark.parametrize("refused", ["", "anonymous", "NULL", "0", "-1", "{}", "lmy47d", "abcd", "x" * 2000, None])
def test_ids_that_amplitude_refuses_are_none(refused: str | None) -> None:
    """Amplitude answers 400 to its list of words, and removes what is short."""
    assert identifier(refused) is None


def test_an_all_zero_id_is_none() -> None:
    """Limit ad tracking gives zeros, which name nobody."""
    assert identifier("00000000-0000-0000-0000-000000000000") is None


def test_a_shorter_minimum_lets_short_ids_pass() -> None:
    """The request's own minimum counts."""
    assert identifier("abc", 3) == "abc"
    assert identifier(" customer ") == "customer"


@pytest.mark.parametrize("name", ["$identify", "$groupidentify", "[Amplitude] Revenue"])
def test_names_of_amplitudes_own_are_known(name: str) -> None:
    """An app's event must not pass for an identify."""
    assert is_reserved(name)
    assert not is_reserved(f"[AppsFlyer] {name}")


def test_what_fits_is_not_changed() -> None:
    """Ordinary properties pass as they are, without a note."""
    properties = {"text": "a", "n": 1, "x": 1.5, "yes": True, "none": None, "list": [1, {"a": "b"}]}
    notes: list[str] = []
    assert within_limits(properties, notes) == properties
    assert notes == []


def test_what_does_not_fit_is_cut_and_noted_and_the_input_stays() -> None:
    """Text, depth, and numbers are brought inside the limits in a copy."""
    deep: Any = "bottom"
    for _ in range(200):
        deep = {"down": deep}
    properties = {"text": "x" * 5000, "deep": deep, "big": 10**30, "inf": float("inf"), "list": ["y" * 5000]}
    before = copy.deepcopy(properties)
    notes: list[str] = []
    found = within_limits(properties, notes)
    assert properties == before
    assert len(found["text"]) == len(found["list"][0]) == MAX_TEXT
    assert depth(found) <= MAX_DEPTH
    assert found["big"] == str(10**30)
    assert found["inf"] is None
    assert len(notes) == 5
    json.dumps(found, allow_nan=False)


def test_too_many_properties_keep_the_first_and_say_so() -> None:
    """The event is kept, the excess is noted."""
    notes: list[str] = []
    found = within_limits({f"p{n}": n for n in range(MAX_PROPERTIES + 50)}, notes)
    assert len(found) == MAX_PROPERTIES
    assert len(notes) == 1


@pytest.mark.parametrize("body", [b"{}", b"{ }", b'{"event_type":"x"}'])
@pytest.mark.parametrize("user", [None, "user-1", 'quo"te\\ \n ü 😀'])
@pytest.mark.parametrize("device", [None, "device-1"])
def test_identity_is_spliced_in_as_first_keys(body: bytes, user: str | None, device: str | None) -> None:
    """The result is the object with the ids that are given, escaped as JSON wants it."""
    found = json.loads(with_identity(body, user, device))
    given = {name: value for name, value in (("user_id", user), ("device_id", device)) if value is not None}
    assert found == given | json.loads(body)
    assert list(found)[: len(given)] == list(given)


def test_a_body_without_identity_to_add_is_returned_as_it_is() -> None:
    """Nothing is copied when there is nothing to do."""
    body = b'{"event_type":"x"}'
    assert with_identity(body, None, None) is body


def test_half_an_emoji_in_an_id_does_not_raise() -> None:
    """Text that no encoding can write is replaced."""
    assert json.loads(with_identity(b"{}", "user\ud83d", None))["user_id"].startswith("user")


def test_joined_objects_are_one_object() -> None:
    """Two JSON objects become one, also if either is empty."""
    assert joined(b'{"a":1}', b'{"b":2}') == b'{"a":1,"b":2}'
    assert joined(b"{}", b'{"b":2}') == b'{"b":2}'
    assert joined(b'{"a":1}', b"{}") == b'{"a":1}'
