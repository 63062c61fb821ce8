"""Objects as programs print them that do not write JSON."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.relaxed_json import MAX_CHARACTERS, relaxed

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u201c\u201d"), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4)


def quoted(text: str) -> str:
    """Return a text in quotes, with JSON's escapes."""
    return json.dumps(text)


def as_swift(value: object) -> str:
    """Print a value as Swift does."""
    if isinstance(value, dict):
        pairs = [f"AnyHashable({quoted(key)}): {as_swift(one)}" for key, one in value.items()]
        return f"[{', '.join(pairs) or ':'}]"
    if isinstance(value, list):
        return f"[{', '.join(map(as_swift, value))}]"
    if isinstance(value, str):
        return f"Optional({quoted(value)})"
    return "nil" if value is None else json.dumps(value)


def as_property_list(value: object) -> str:
    """Print a value as an old-style property list, in which everything is a text."""
    if isinstance(value, dict):
        return "{\n" + "".join(f"    {quoted(key)} = {as_property_list(one)};\n" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"({', '.join(map(as_property_list, value))})"
    return quoted(str(value))


def as_texts(value: object) -> object:
    """Return a value with texts for everything that is no object and no list."""
    if isinstance(value, dict):
        return {key: as_texts(one) for key, one in value.items()}
    return [as_texts(one) for one in value] if isinstance(value, list) else str(value)


@given(OBJECTS)
def test_what_python_prints_is_read_back(value):
    """With texts in either kind of quotes."""
    assert relaxed(repr(value)) == value


@given(OBJECTS)
def test_json_with_a_comma_too_many_is_read(value):
    """Behind the last member."""
    assert relaxed(json.dumps(value)[:-1] + ",}") == value


@given(OBJECTS)
def test_what_swift_prints_is_read_back(value):
    """Without the words around a value that was not unwrapped."""
    assert relaxed(as_swift(value)) == value


@given(OBJECTS)
def test_a_property_list_is_read_back(value):
    """As texts, which is what it says."""
    assert relaxed(as_property_list(value)) == as_texts(value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a'}", "{'a':}", "{'a': 'it's'}", "{a: red}", "{a=1, b=2}", "{a = 1}", "[[1]", "{'a': 1}{'b': 2}",
     "{'a': 010}", "'a'", "1", "{'a': Other('b')}", "{'a': 1 'b': 2}", "[" * 100 + "]" * 100, "{1: 2",
     "{'a': '" + "x" * MAX_CHARACTERS + "'}"],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_not_read(text):
    """Or in none."""
    with pytest.raises(ValueError, match=r".+"):
        relaxed(text)


@given(st.text(max_size=80) | st.text("{}[]()'\":=,; \\aN1", max_size=80))
def test_no_text_raises_anything_else(text):
    """Whatever it is."""
    with contextlib.suppress(ValueError):
        assert isinstance(relaxed(text), dict | list)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,692,206,763}', {"a": 1_692_206_763}),
        ('{"a": -1,234.5, "b": 2}', {"a": -1234.5, "b": 2}),
        ('{"a": 1,234}', {"a": "1,234"}),
        ('{"a": {"b": 16,505,551,212 }}', {"a": {"b": 16_505_551_212}}),
        ('{"a": 1,234.5,678}', None),
        ('{"a": 0,234}', None),
        ('{"a": 1,23}', None),
        ('{"a": 1,2345}', None),
        ('{"a": 1,234: 5}', {"a": 1, "234": 5}),
        ('{"a": [1,234]}', {"a": [1, 234]}),
        ('{"a": , "b": 1}', {"a": None, "b": 1}),
        ('{"a": }', {"a": None}),
        ('{"a": "1,234", }', {"a": "1,234"}),
        ('{ [{"a": 1}, {"a": 2}] }', [{"a": 1}, {"a": 2}]),
        ('{"a": {[1]}}', {"a": [1]}),
        ("{[1], [2]}", None),
        ("{1}", None),
        ("{{}}", None),
        ("{[1]", None),
        ("[{'user_id': 'a', 'amplitude_My Cohort_7k': true},]", [{"user_id": "a", "amplitude_My Cohort_7k": True}]),
    ],
)
def test_what_a_template_writes_is_read(text, value):
    """Numbers with separators, and nothing where a property is absent. One separator may be a decimal one."""
    if value is not None:
        assert relaxed(text, of_template=True) == value
        return
    with pytest.raises(ValueError, match=r".+"):
        relaxed(text, of_template=True)


@given(st.text(max_size=80) | st.text("{}[]()'\":=,; \\aN1", max_size=80))
def test_no_text_of_a_template_raises_anything_else(text):
    """Whatever it is."""
    with contextlib.suppress(ValueError):
        assert isinstance(relaxed(text, of_template=True), dict | list)
