"""Conditions of a stream: how values compare, and what each operator lets pass."""

import pytest

from flybridge.amplitude.streamed import Streamed
from flybridge.mapping.conditions import Condition, number, same

EVENT = Streamed(
    {
        "event_type": "Order",
        "platform": "iOS",
        "paying": "true",
        "event_properties": {
            "plan": "pro", "price": 9.5, "count": "10", "tags": ["new", "vip"], "empty": " ", "none": None,
            "a.b": "dotted", "deep": {"er": 3}, "flag": True,
        },
        "user_properties": {"age": "42", "score": "1_0"},
        "group_properties": {"company": {"size": "large"}},
        "groups": {"team": ["red"]},
    }
)  # fmt: skip


def holds(path: str, **asked) -> bool:
    """Ask one condition of the event."""
    return Condition(path=path, **asked).holds(EVENT.find)


@pytest.mark.parametrize(
    ("path", "asked", "passes"),
    [
        ("event_properties.plan", {"equals": "pro"}, True),
        ("event_properties.plan", {"equals": "Pro"}, False),
        ("event_properties.plan", {"differs": "pro"}, False),
        ("event_properties.gone", {"equals": "pro"}, False),
        ("event_properties.gone", {"differs": "pro"}, True),
        ("event_properties.price", {"equals": "9.50"}, True),
        ("event_properties.count", {"equals": 10}, True),
        ("event_properties.flag", {"equals": "true"}, True),
        ("paying", {"equals": True}, True),
        ("event_properties.plan", {"one_of": ("free", "pro")}, True),
        ("event_properties.plan", {"none_of": ("free", "pro")}, False),
        ("event_properties.gone", {"none_of": ("free",)}, True),
        ("event_properties.plan", {"contains": "ro"}, True),
        ("event_properties.plan", {"contains": "x"}, False),
        ("event_properties.gone", {"contains": "x"}, False),
        ("event_properties.plan", {"not_contains": "ro"}, False),
        ("event_properties.gone", {"not_contains": "ro"}, True),
        ("event_properties.count", {"gt": 9}, True),
        ("event_properties.count", {"gt": "9"}, True),
        ("event_properties.count", {"lt": 10}, False),
        ("event_properties.count", {"le": 10, "ge": 10}, True),
        ("event_properties.plan", {"gt": "a"}, True),
        ("event_properties.gone", {"gt": 0}, False),
        ("event_properties.price", {"gt": 0, "lt": 5}, False),
        ("user_properties.age", {"ge": 18}, True),
        ("event_properties.tags", {"equals": "vip"}, True),
        ("event_properties.tags", {"differs": "vip"}, False),
        ("event_properties.tags", {"contains": "ne"}, True),
        ("event_properties.plan", {"exists": True}, True),
        ("event_properties.empty", {"exists": True}, False),
        ("event_properties.none", {"absent": True}, True),
        ("event_properties.plan", {"absent": True}, False),
        ("event_properties.a.b", {"equals": "dotted"}, True),
        ("event_properties.deep.er", {"equals": 3}, True),
        ("group_properties.company.size", {"equals": "large"}, True),
        ("groups.team", {"equals": "red"}, True),
        ("platform", {"equals": "iOS"}, True),
    ],
)
def test_an_operator_lets_pass_what_it_says(path, asked, passes):
    """On properties of the event, the user and groups, and on fields of the event."""
    assert holds(path, **asked) is passes


def test_all_that_is_asked_must_hold():
    """Two operators of one condition are joined by and."""
    assert holds("event_properties.count", exists=True, gt=5, none_of=("11",))
    assert not holds("event_properties.count", exists=True, gt=5, none_of=("10",))


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "", "x", "१०", "9" * 41, True, None, [1], {}])
def test_what_looks_like_a_number_to_python_alone_is_none(text):
    """An id of 41 digits is text, and so is an underscore between digits."""
    assert number(text) is None


def test_values_are_the_same_as_numbers_or_as_text():
    """`1.0` from a webhook and 1 from a file are one value; `1a` is not."""
    assert same("1.0", 1)
    assert same(True, "true")
    assert not same("1a", 1)
    assert not same("nan", "NaN")
