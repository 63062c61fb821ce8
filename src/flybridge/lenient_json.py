"""JSON as senders write it: read strictly, and mended where that fails.

Halves of surrogate pairs (text cut inside an emoji), a byte order mark, NaN, numbers that no float or 64-bit integer
holds, line ends inside of text (a FreeMarker template escapes nothing), and bytes of Windows-1252 occur in real
messages. Replacing them keeps the rest of the message, where msgspec rightly refuses all of it. What a template of
Amplitude's makes of numbers, of absent values and of texts in single quotes is read by `relaxed_json`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from math import isfinite
from typing import Any, Final

import msgspec

from flybridge.relaxed_json import relaxed
from flybridge.system.text_encoding import with_other_bytes

_OTHER_BYTES: Final = re.compile("[\udc80-\udcff]")
_HALVES: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def decode(body: bytes) -> Any:
    """Return the value of a JSON text, mended if need be. Raises `msgspec.DecodeError` if it is no JSON even so."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        for mend in (mended, _of_template):
            with suppress(ValueError, OverflowError, msgspec.DecodeError):
                return msgspec.json.decode(mend(text_of(body)))
        raise msgspec.DecodeError(str(problem)) from None


def json_type(value: Any) -> str:
    """Return what kind of value of JSON it is, in plain words with their article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a flag"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
    return "an object"


def text_of(body: bytes) -> str:
    """Return the text of a JSON body for `mended`. Bytes that are no UTF-8 are kept as halves of surrogate pairs."""
    return body.decode("utf-8-sig", "surrogateescape")


def mended(text: str) -> bytes:
    """Return JSON with broken text and numbers replaced. Raises `ValueError` if it is no JSON even so.

    In each text by itself, bytes that are no UTF-8 are read as Windows-1252.
    """
    loaded = json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_finite, parse_int=_small)
    if _OTHER_BYTES.search(text):
        loaded = _read_bytes(loaded)
    return json.dumps(loaded, ensure_ascii=False).encode("utf-8", "replace")


def printed(text: str, *, of_template: bool = False) -> bytes:
    """Return as JSON what another program, or a template, has printed. Raises `ValueError` if it can't be read."""
    return json.dumps(_read_bytes(relaxed(text, of_template=of_template)), ensure_ascii=False).encode(
        "utf-8", "replace"
    )


def _of_template(text: str) -> bytes:
    return printed(text, of_template=True)


def _read_bytes(value: Any) -> Any:
    match value:
        case str():
            # A half of a pair that stands in the JSON as an escape is no byte.
            return with_other_bytes(_HALVES.sub("?", value))
        case list():
            return [_read_bytes(one) for one in value]
        case dict():
            return {_read_bytes(name): _read_bytes(one) for name, one in value.items()}
    return value


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None


def _small(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 else digits
