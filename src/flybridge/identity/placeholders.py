"""Placeholders that were not filled in, where an id of a user should stand: they are the same for many people.

They come from templates of tag managers, networks and servers (`{{user_id}}`, `${userId}`, `%%USER%%`, `[[uid]]`), and
from JavaScript, which writes an object as `[object Object]`. Spreadsheets make the same of many ids, too.
"""

from __future__ import annotations

import re
from typing import Final

BEGINNINGS: Final = frozenset("{$#@%_[<")
_PLACEHOLDER: Final = re.compile(
    r"""\{\{[^{}]{1,60}\}\} | \[\[[^\[\]]{1,60}\]\] | [$\#@]\{[^{}]{1,60}\}
      # Digits and dashes would rather be those of an id that stands in brackets.
      | \{[A-Za-z_. ]{1,60}\} | <[A-Za-z_. ]{1,60}> | \[[A-Z]{1,30}(?:_[A-Z]{1,30}){0,5}\]
      | %{1,2}[A-Za-z_. ]{1,60}%{1,2} | __[A-Za-z_]{1,60}__ | \[object\ [A-Za-z]{1,30}\]""",
    re.VERBOSE,
)


_SHORTENED: Final = re.compile(r"[1-9](?:[.,]([0-9]{1,15}))?E(\+?)([0-9]{1,3})|[0-9]{16,}(\.0)", re.IGNORECASE)


def is_shortened(text: str) -> bool:
    """Whether a text is what a spreadsheet or a database has made of a long number: `1.23457E+12` is that of many.

    So is `12345678901234568.0`, as floating point has no more digits. With all of its digits, `1.23456789E8`, a number
    is that of one, as Java writes it.
    """
    found = _SHORTENED.fullmatch(text) if text[:1].isdecimal() else None
    if found is None or found[2] or found[4]:
        return found is not None
    return found[1] is not None and len(found[1]) < int(found[3])  # `7e123` may be an id


def is_placeholder(text: str) -> bool:
    """Whether a text is a placeholder and nothing else."""
    return text[:1] in BEGINNINGS and _PLACEHOLDER.fullmatch(text) is not None
