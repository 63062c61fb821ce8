"""Conditions on a message: how two values compare, and what each operator asks. Pure, and never raises.

Values compare as text, because Amplitude's webhooks send user properties as text; where both are numbers, or text that
is one, they compare as numbers, so that `10` is more than `9` and `1.0` is `1`. A list is taken value by value: a
condition passes if one value passes, a negative one if none is what it excludes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import ge, gt, le, lt
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from flybridge.mapping.table import plain

Value = str | int | float | bool
Name = Annotated[str, Meta(min_length=1)]
ShortName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z",
        description="text of letters, digits, `.`, `_` and `-`, 64 characters at most, the first a letter or a digit",
    ),
]
"""The name of an app or audience, in addresses, commands and metrics."""
Scalar = Annotated[Value, Meta(description="text, a number, true or false")]
Amount = Annotated[str | int | float, Meta(description="a number or text")]

MAX_DIGITS: Final = 40
"""Longer text is an id and no number, whatever its characters."""

COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {"gt": gt, "ge": ge, "lt": lt, "le": le}


class Condition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition on an event; in an audience, on a member of its cohort. All that it asks for must hold. Values are
    compared as text, because Amplitude's webhooks send user properties as text, and as numbers where both are; a list
    passes if one of its values does.
    """

    path: Name = field(name="property")
    """Where the value is found. In an event of Amplitude: `event_properties.plan`, `user_properties.country`,
    `group_properties.`, `groups.` or `data.` and a key, or a field of the event itself (`platform`). In a postback: a
    field of AppsFlyer's (`country_code`), or `event_value.` or `custom_data.` and a key."""
    equals: Scalar | None = field(default=None, name="is")
    """The event passes if the property is this."""
    differs: Scalar | None = field(default=None, name="is_not")
    """The event passes if the property is not this, or absent."""
    one_of: tuple[str, ...] = ()
    """The event passes if the property has one of these values."""
    none_of: tuple[str, ...] = ()
    """The event passes if the property has none of these values; a property that is absent has none."""
    contains: Name | None = None
    """The event passes if this is part of the property's text."""
    not_contains: Name | None = None
    """The event passes if this is no part of the property's text, or the property is absent."""
    gt: Amount | None = None
    """The event passes if the property is greater: as numbers if both are, else in the order of text."""
    ge: Amount | None = None
    """Greater, or the same."""
    lt: Amount | None = None
    """Less."""
    le: Amount | None = None
    """Less, or the same."""
    exists: bool = False
    """With true, the event passes if the property is there and not empty."""
    absent: bool = False
    """With true, the event passes if the property is not there, or empty."""

    def holds(self, find: Callable[[str], Any]) -> bool:
        """Whether a message passes. `find` returns its value at a path, None if there is none."""
        values = _values(find(self.path))
        if (self.exists and not values) or (self.absent and values):
            return False
        if self.equals is not None and not _is_one(values, (self.equals,)):
            return False
        if self.differs is not None and _is_one(values, (self.differs,)):
            return False
        if self.one_of and not _is_one(values, self.one_of):
            return False
        if self.none_of and _is_one(values, self.none_of):
            return False
        return self._text_fits(values) and self._order_fits(values)

    def _text_fits(self, values: Sequence[Any]) -> bool:
        if self.contains is not None and not any(self.contains in _text(value) for value in values):
            return False
        return self.not_contains is None or not any(self.not_contains in _text(value) for value in values)

    def _order_fits(self, values: Sequence[Any]) -> bool:
        asked = [(name, bound) for name in COMPARISONS if (bound := getattr(self, name)) is not None]
        return not asked or any(all(_compares(name, value, bound) for name, bound in asked) for value in values)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, as numbers if both are, else as text."""
    first, second = number(one), number(other)
    if first is not None and second is not None:
        return first == second
    return _text(one) == _text(other)


def number(value: Any) -> float | None:
    """Return a value as a number, None if it is none. A flag is none, and neither is text such as `nan` or `1_000`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (len(value) > MAX_DIGITS or not value.isascii() or "_" in value):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def _values(found: Any) -> Sequence[Any]:
    if found is None:
        return ()
    values = found if isinstance(found, list) else (found,)
    return [value for value in values if value is not None and not (isinstance(value, str) and not value.strip())]


def _is_one(values: Sequence[Any], wanted: Sequence[Value]) -> bool:
    return any(same(value, one) for value in values for one in wanted)


def _compares(name: str, value: Any, bound: Value) -> bool:
    compare = COMPARISONS[name]
    first, second = number(value), number(bound)
    if first is not None and second is not None:
        return compare(first, second)
    return compare(_text(value), _text(bound))


def _text(value: Any) -> str:
    try:
        found = plain(value)
    except ValueError:  # Python refuses to write numbers of more than 4,300 digits
        return ""
    return "" if found is None else found
