"""Mentions: the identifiers in bytes that could not be read as a message, and whether bytes mention one.

An identifier may be written in JSON escapes, as JSON within JSON, percent-encoded, in HTML's entities, in JSON within
base64, in UTF-16, with letters and accents apart, or without its dashes. All of these are undone, several times over,
before anything is compared.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Final
from unicodedata import category, normalize
from urllib.parse import unquote_plus

from flybridge.identity import IdKind, Keyring
from flybridge.system.text_encoding import JSON_IN_BASE64, without_entities

MAX_TOKENS: Final = 1000
"""So many different words of one message are taken for identifiers; a postback has about 200."""

DEPTH: Final = 6
"""How often escapes are undone: JSON in JSON in JSON is escaped three times."""

MIN_UNIQUE: Final = 16
"""A longer identifier is found also where something is joined to it by a dash or an underscore."""

MIN_TELLING: Final = 5
"""A shorter identifier is found in any text, and looked for behind the name of a user id alone."""

_ESCAPE: Final = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/]))')
_QUOTED: Final = re.compile(r'"([^"\\]{5,256})"')
_VALUE: Final = re.compile(r"(?<==)[^&=\s\"\\]{5,256}")
_WORD: Final = re.compile(r"[\w.@+-]{5,256}")
_DEVICE: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{16,}")
_BASE64: Final = re.compile(JSON_IN_BASE64 + "{13,87380}")
_BEHIND_NAME: Final = r"user_?id\W{1,8}"
_SHORT: Final = re.compile(_BEHIND_NAME + r"([\w.@+-]{1,4})(?![\w.@+-])", re.IGNORECASE)
_APPSFLYER: Final = re.compile(r"\d{13}-\d{7,19}")

ANY: Final = (IdKind.CUSTOMER_USER_ID, IdKind.AMPLITUDE_DEVICE_ID)
OF_DEVICES: Final = (IdKind.IDFA, IdKind.IDFV, IdKind.ADID, IdKind.OAID, IdKind.APP_SET_ID)


def mentions(body: bytes, values: Iterable[str]) -> bool:
    """Whether bytes hold one of these identifiers, in any case of letters and not within a longer word."""
    given = [_plain(value) for value in values]
    known = [value for value in given if len(value) >= MIN_TELLING]
    known += [value.replace("-", "") for value in known if _DEVICE.fullmatch(value)]
    short = "|".join(re.escape(value) for value in given if 0 < len(value) < MIN_TELLING)
    if not known and not short:
        return False
    unique = "|".join(re.escape(value) for value in known if len(value) >= MIN_UNIQUE)
    others = "|".join(re.escape(value) for value in known if len(value) < MIN_UNIQUE)
    parts = [rf"(?<![^\W_])(?:{unique})(?![^\W_])"] if unique else []
    parts += [rf"(?<![\w-])(?:{others})(?![\w-])"] if others else []
    parts += [rf"{_BEHIND_NAME}(?:{short})(?![\w.@+-])"] if short else []
    named = re.compile("|".join(parts))
    return any(named.search(_plain(text)) for text in _readings(body))


def _plain(text: str) -> str:
    """Return a text in small letters, composed, without characters that take no room."""
    text = text.casefold()
    if text.isascii():
        return text
    return "".join(sign for sign in normalize("NFKC", text) if category(sign) != "Cf")


def keys_in(body: bytes, app: str, keyring: Keyring) -> tuple[bytes, ...]:
    """Return the matching keys of everything in these bytes that may be an identifier."""
    words: Mapping[str, None] = {}
    for text in _readings(body):
        values = [unquote_plus(value, errors="replace") for value in _VALUE.findall(text)]
        words = dict.fromkeys([*words, *_SHORT.findall(text), *_QUOTED.findall(text), *values, *_WORD.findall(text)])
        if len(words) > MAX_TOKENS:
            break
    found: dict[bytes, None] = {}
    for word in list(words)[:MAX_TOKENS]:
        kinds: tuple[IdKind, ...] = ANY
        if _DEVICE.fullmatch(word):
            kinds += OF_DEVICES
        elif _APPSFLYER.fullmatch(word):
            kinds += (IdKind.APPSFLYER_ID,)
        found |= dict.fromkeys(key for kind in kinds for key in keyring.keys(app, kind, word))
    return tuple(found)


def _readings(body: bytes) -> list[str]:
    """Return bytes as text, as they are and with escapes undone."""
    readings = [reading for text in _decoded(body) for reading in _undone(text)]
    packed = dict.fromkeys(found for text in readings for found in _BASE64.findall(text))
    return readings + [reading for found in packed for reading in _undone(_from_base64(found))]


def _from_base64(text: str) -> str:
    """Return what JSON in base64 says, as far as it is there."""
    whole = text[: len(text) - len(text) % 4].replace("-", "+").replace("_", "/")
    return b64decode(whole).decode("utf-8", "replace")


def _decoded(body: bytes) -> list[str]:
    try:
        texts = [body.decode()]
    except UnicodeDecodeError:  # a part of it may be UTF-8 all the same
        texts = [body.decode("utf-8", "replace"), body.decode("latin-1")]
    if b"\0" in body:
        texts += [body[start:].decode(f"utf-16-{order}", "replace") for order in ("le", "be") for start in (0, 1)]
    return texts


def _undone(text: str) -> list[str]:
    readings = [text]
    for _ in range(DEPTH):
        text = _ESCAPE.sub(_unescaped, text)
        if "%" in text:
            text = unquote_plus(text, errors="replace")
        if "&" in text:
            text = without_entities(text)
        if text == readings[-1]:
            break
        readings.append(text)
    return readings


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]
