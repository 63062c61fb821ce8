"""JSON as senders write it: read strictly, and mended where that fails.

Halves of surrogate pairs (text cut inside an emoji), a byte order mark, NaN, numbers that no float or 64-bit integer
holds, and line ends inside of text (a FreeMarker template escapes nothing) occur in real messages. Replacing them keeps
the rest of the message, where msgspec rightly refuses all of it.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import msgspec


def decode(body: bytes) -> Any:
    """Return the value of a JSON text, mended if need be. Raises `msgspec.DecodeError` if it is no JSON even so."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        try:
            return msgspec.json.decode(mended(body.decode("utf-8-sig", "replace")))
        except (ValueError, OverflowError, msgspec.DecodeError):
            raise msgspec.DecodeError(str(problem)) from None


def mended(text: str) -> bytes:
    """Return JSON with broken text and numbers replaced. Raises `ValueError` if it is no JSON even so."""
    loaded = json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_finite, parse_int=_small)
    return json.dumps(loaded, ensure_ascii=False).encode("utf-8", "replace")


def is_readable(body: bytes) -> bool:
    """Return whether a text is JSON when it is mended."""
    try:
        json.loads(body.decode("utf-8-sig"), strict=False, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return False
    return True


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None


def _small(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 else digits
