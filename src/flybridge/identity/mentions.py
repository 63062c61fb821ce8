"""Mentions: the identifiers in bytes that could not be read as a message, and whether bytes mention one.

An identifier may be written in JSON escapes, as JSON within JSON, or percent-encoded. All of these are undone, several
times over, before anything is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_plus

from flybridge.identity import IdKind, Keyring

MAX_TOKENS: Final = 1000
"""So many different words of one message are taken for identifiers; a postback has about 200."""

DEPTH: Final = 4
"""How often escapes are undone: JSON in JSON in JSON is escaped three times."""

MIN_TELLING: Final = 5
"""A shorter identifier is found in any text."""

_ESCAPE: Final = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/]))')
_QUOTED: Final = re.compile(r'"([^"\\]{5,256})"')
_VALUE: Final = re.compile(r"(?<==)[^&=\s\"\\]{5,256}")
_WORD: Final = re.compile(r"[\w.@+-]{5,256}")
_DEVICE: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{16,}")
_APPSFLYER: Final = re.compile(r"\d{13}-\d{7,19}")

ANY: Final = (IdKind.CUSTOMER_USER_ID, IdKind.AMPLITUDE_DEVICE_ID)
OF_DEVICES: Final = (IdKind.IDFA, IdKind.IDFV, IdKind.ADID, IdKind.OAID, IdKind.APP_SET_ID)


def mentions(body: bytes, values: Iterable[str]) -> bool:
    """Return whether bytes hold one of these identifiers, in any case of letters and not within a longer word."""
    words = [re.escape(value.casefold()) for value in values if len(value) >= MIN_TELLING]
    if not words:
        return False
    named = re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])")
    return any(named.search(text.casefold()) for text in _readings(body))


def keys_in(body: bytes, app: str, keyring: Keyring) -> tuple[bytes, ...]:
    """Return the matching keys of everything in these bytes that may be an identifier."""
    words: Mapping[str, None] = {}
    for text in _readings(body):
        values = [unquote_plus(value, errors="replace") for value in _VALUE.findall(text)]
        words = dict.fromkeys([*words, *_QUOTED.findall(text), *values, *_WORD.findall(text)])
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
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    readings = [text]
    for _ in range(DEPTH):
        text = _ESCAPE.sub(_unescaped, text)
        if "%" in text:
            text = unquote_plus(text, errors="replace")
        if text == readings[-1]:
            break
        readings.append(text)
    return readings


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]
