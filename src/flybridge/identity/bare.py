"""Ids as apps write them: as text or a number, alone in a list, in quotes, or as Swift prints what is not unwrapped."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flybridge.identity import usable
from flybridge.identity.placeholders import BEGINNINGS, is_placeholder, is_shortened
from flybridge.system.text_encoding import OPTIONAL

WRAPPED: Final = frozenset("\"'=O[{") | BEGINNINGS
"""How ids begin that stand in quotes once more, in a list, or in Swift's `Optional(...)`, as the text
of a spreadsheet's formula (`="1"`), and placeholders of ids."""
EXACT: Final = 2**53
"""Up to here each whole number is one of floating point, which programs make of all numbers."""
_QUOTES: Final = frozenset("\"'")


def bare(value: Any) -> str | None:
    """Return an id without what an app may have left around it: a list, quotes, Swift's `Optional(...)`. None if it is
    none, or a placeholder.
    """
    text = text_of(value)
    if text is None or text[0] not in WRAPPED:
        return None if text is None or is_shortened(text) else text
    if is_placeholder(text):
        return None
    if text[0] == "=":
        return bare(text[1:]) if text[1:2] == '"' == text[-1] else text
    if text[0] in "[{":
        try:
            inner = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return text
        return text_of(inner)
    if (printed := OPTIONAL.fullmatch(text)) is not None:
        text = printed[1].strip()
    found = usable(text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES else text)
    return None if found is None or is_placeholder(found) or is_shortened(found) else found


def only(value: Any) -> Any:
    """Return the part of a list of one; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def whole(value: float) -> int | None:
    """Return a number as a whole one; None if it has a fraction, or is so large that several became it."""
    return int(value) if value.is_integer() and abs(value) < EXACT else None


def text_of(value: Any) -> str | None:
    """Return an id, also one that is written as a number or alone in a list; None if it is none, says nothing, or is a
    number that has lost its last digits.
    """
    value = only(value)
    if isinstance(value, float):
        value = whole(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return usable(value) if isinstance(value, str) else None
