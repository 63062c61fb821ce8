"""Read `key=value` pairs, as apps and the programs around them print them.

    a=1&b=2, a=1; b=2, a=1 | b=2, a=1 b=2, {a=1, b=2} (Java), Data(a=1, b=2) (Kotlin), https://example.com/?a=1&b=2

What is not wholly understood is no value: a part of the text beside an id would make another id of it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from flybridge.system.text_encoding import BLANKS

MAX_PAIRS: Final = 1000

_FRAME: Final = re.compile(r"[\w.$]{0,64}\s?([{(\[<])(.*)[})\]>]", re.DOTALL)
_CLOSING: Final = {"{": "}", "(": ")", "[": "]", "<": ">"}
_ADDRESS: Final = re.compile(r"[A-Za-z][\w+.-]{0,30}://[^?\s]{0,2000}\?([^#\s]*)(?:#.*)?")
_BETWEEN: Final = re.compile(r"(?:[ \t]{0,8}[;,|\r\n]{1,4}\s{0,8}|[ \t]{1,8})(?=[\"']?[\w.$-]{1,64}[\"']?[ \t]{0,8}=)")
_OF_A_FORM: Final = re.compile(r"[\w.~*+%&=-]*", re.ASCII)
_UNESCAPED: Final = re.compile(r"=[^&=]*=")
_AROUND: Final = BLANKS + "?&;,|"
_AROUND_NAMES: Final = BLANKS + "\"'"


def pairs_in(text: str) -> dict[str, str]:
    """Return `key=value` pairs; empty if there are none, or too many."""
    if text.count("=") > MAX_PAIRS:
        return {}
    text = text.strip(_AROUND)
    if (address := _ADDRESS.fullmatch(text)) is not None:
        text = address[1]
    elif (framed := _FRAME.fullmatch(text)) is not None and text[-1] == _CLOSING[framed[1]]:
        text = framed[2].strip(_AROUND)
    if "+" in text and (_OF_A_FORM.fullmatch(text) is None or _UNESCAPED.search(text)):
        text = text.replace("+", "%2B")  # a form would have escaped more: it is no blank
    pairs = parse_qsl(_BETWEEN.sub("&", text))
    return {name.strip(_AROUND_NAMES): value.strip() for name, value in pairs if _is_whole(value)}


def _is_whole(value: str) -> bool:
    if value[:1] in (">", "="):
        return False
    return all(value.count(opening) == value.count(closing) for opening, closing in _CLOSING.items())
