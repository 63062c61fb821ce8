"""Read what an app passed to AppsFlyer: custom data and the value of an event, in whatever form it arrives."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from flybridge.appsflyer.fields import ABSENT, Postback
from flybridge.appsflyer.postback import mended
from flybridge.mapping.pairs import MAX_PAIRS, pairs_in
from flybridge.relaxed_json import relaxed
from flybridge.system.text_encoding import BLANKS, JSON_IN_BASE64, OPTIONAL, without_entities

MAX_ENCODED: Final = 4
"""How often JSON may be encoded as text within JSON, itself included."""
ESCAPED: Final = re.compile("%[0-9a-f]{2}", re.IGNORECASE)
"""How text begins that was percent-encoded once more than the query string it came in."""
OPENING: Final = ("{", "[", '"')
CLOSED_BY: Final = {"'": "'", "`": "`", "(": ")", "\u2018": "\u2019", "\u201c": "\u201d", "\u00ab": "\u00bb"}
"""What shells, editors and JavaScript leave around JSON, beside the quotes of JSON itself."""
QUOTE: Final = re.compile(r"&(?:amp;){0,3}(?:quot|#34|#x22);", re.IGNORECASE)
BASE64: Final = re.compile(JSON_IN_BASE64 + "{5,87380}={0,2}")
"""What may be JSON in base64: it is, if it is JSON when decoded."""
ESCAPED_QUOTE: Final = re.compile(r'[\[{](?:[\[{\s]|\\+[nrt]){0,32}\\+"')
"""How JSON begins whose quotes, and line ends, are escaped, though no quotes stand around all of it."""
MAX_BEFORE_QUOTE: Final = 32

EMPTY: Final[Mapping[str, Any]] = {}

_decode: Final = msgspec.json.Decoder().decode


def parsed(value: Any, notes: list[str] | None = None, name: str = "event_value") -> Any:
    r"""Return the value of JSON in text, or the text itself, trimmed, if it is not JSON.

    JSON that was encoded more than once, as JSON (also without quotes around it: `{\"a\":1}`), in a query string
    (`%7B%22`) or for a page (`&quot;`), is decoded as often, and broken text and numbers in it are mended as in the
    message itself. What is mended or looks like JSON and can't be read is noted under the field's `name`.
    """
    if not isinstance(value, str):
        return value
    if value[:1] in ("{", "["):
        try:
            return _decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return _unusual(value.strip(BLANKS), [] if notes is None else notes, name)


def _unusual(text: str, notes: list[str], name: str) -> Any:
    found: Any = text
    for _ in range(MAX_ENCODED):
        if not isinstance(found, str):
            break
        found = _unwrapped(found)
        if found[:1] not in ("{", "[", '"'):
            break
        while QUOTE.search(found, 0, MAX_BEFORE_QUOTE):  # no longer than there is one of its few spellings
            found = without_entities(found)
        if ESCAPED_QUOTE.match(found):
            found = f'"{found}"'
        try:
            found = _decode(found)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            try:
                found = _mended(found)
            except (ValueError, OverflowError, RecursionError):
                if "{" in found[:4] or "[" in found[:4]:
                    notes.append(f"The {name} looks like JSON, but can't be read, and is kept as text.")
                return text
            notes.append(f"The {name} was not clean JSON (broken text or numbers) and was mended before it was read.")
        if isinstance(found, str):
            found = found.strip(BLANKS)
    return None if isinstance(found, str) and found in ABSENT else found


def _unwrapped(text: str) -> str:
    """Return what a text encodes that was percent-encoded, put into base64 or other quotes, or printed by Swift as an
    `Optional`.
    """
    encoded = text
    for _ in range(MAX_ENCODED):
        if ESCAPED.match(encoded) is None:
            break
        encoded = unquote_plus(encoded).strip(BLANKS)
    if encoded[:1] in OPENING or encoded[:1] in CLOSED_BY:
        text = encoded
    if (found := OPTIONAL.fullmatch(text)) is not None:
        text = found[1].strip(BLANKS)
    if text[:1] in CLOSED_BY and text[-1:] == CLOSED_BY[text[0]]:
        inner = text[1:-1].strip(BLANKS)
        text = inner if inner[:1] in OPENING else text
    return _from_base64(text) or text


def _from_base64(text: str) -> str | None:
    """Return the JSON that a text holds in base64, on one line or on several; None if it holds none."""
    if "\n" in text and text[:1] in ("e", "W", "I"):
        text = "".join(text.split())
    if not BASE64.fullmatch(text):
        return None
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        _decode(found)
    except (Base64Error, UnicodeError, msgspec.DecodeError, RecursionError):
        return None
    return found.strip(BLANKS)


def _mended(text: str) -> Any:
    """Return what stands in JSON that is not clean, or in what other programs print for it. Raises `ValueError`."""
    try:
        return _decode(mended(text))
    except (ValueError, OverflowError):
        return relaxed(text)


def custom_data(postback: Postback, notes: list[str] | None = None) -> Mapping[str, Any]:
    """Return custom data by key: a JSON object, JSON in text, or `key=value` pairs."""
    if postback.custom_data is None:
        return EMPTY
    said: list[str] = []
    value = parsed(postback.custom_data, said, "custom_data")
    if isinstance(value, list):
        value = parsed(value[0], said, "custom_data") if len(value) == 1 else _joined(value) or value
    if isinstance(value, str) and (pairs := pairs_in(value) or pairs_in(unquote_plus(value))):
        return pairs
    if notes is not None:
        notes += said
        if value is not None and not isinstance(value, dict):
            notes.append("The custom_data is neither a JSON object nor key=value pairs and was not used.")
    return value if isinstance(value, dict) else EMPTY


def _joined(parts: list[Any]) -> dict[str, Any] | None:
    """Return what several objects say together; None if they are none. Which of two values is meant can't be told."""
    if not all(isinstance(part, dict) for part in parts) or len(parts) > MAX_PAIRS:
        return None
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = value if found.get(name, value) == value else None
    return found


def look_up(values: Mapping[str, Any], key: str) -> Any:
    """Return the value under a key, exactly, in any case of letters, or along the path that its dots make."""
    if (found := _in_any_case(values, key)) is not None:
        return found
    head, dot, rest = key.partition(".")
    while dot:
        inner = parsed(_in_any_case(values, head))
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        if isinstance(inner, dict) and (found := look_up(inner, rest)) is not None:
            return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _in_any_case(values: Mapping[str, Any], key: str) -> Any:
    if (found := values.get(key)) is not None and found != "":
        return found
    folded = key.casefold()
    spelled = [found for name, found in values.items() if name.strip().casefold() == folded and found not in (None, "")]
    # Which of several is meant can't be told.
    return spelled[0] if spelled and all(found == spelled[0] for found in spelled) else None


def find(postback: Postback, event_value: Any, source: str) -> Any:
    """Return the value of a row's source: a field, listed or new, or a key of `custom_data.` or of `event_value.`."""
    place, dot, key = source.partition(".")
    if dot and place == "custom_data":
        return look_up(custom_data(postback), key)
    if dot and place == "event_value":
        return look_up(event_value, key) if isinstance(event_value, dict) else None
    return postback.get(source)
