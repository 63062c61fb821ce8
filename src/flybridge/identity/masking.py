"""Masking: identifiers of people are taken out of any text that becomes a dimension, a label, a listing or a log line.

Macros of advertising networks put advertising ids and addresses into campaigns and media sources, and apps put them
into names of events. What is masked:

- advertising and device ids: UUIDs, with dashes, dots, colons, blanks or nothing between, and other runs of 16 or more
  hexadecimal digits that mix letters and digits (Android ids, OAIDs, hashes of any of them),
- AppsFlyer ids,
- e-mail addresses, also percent-encoded, once or several times,
- phone numbers with a plus sign or two zeros, or written as 415-555-2671.

A plain number is not: most ids of campaigns are one. Every pattern is bounded, so that the time grows with the length.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from unicodedata import category, normalize

from flybridge.system.text_encoding import without_entities

_DASH: Final = r"(?:[-_]|%(?:25){0,3}2[Dd])"
_BETWEEN: Final = rf"(?:{_DASH}|[.: \u2010-\u2015])"
_HEX: Final = "[0-9A-Fa-f]"
_ID: Final = re.compile(
    rf"{_HEX}{{8}}(?:{_BETWEEN}{_HEX}{{4}}){{3}}{_BETWEEN}{_HEX}{{12}}"
    rf"|(?<![0-9A-Za-z])(?=[0-9]{{0,63}}[A-Fa-f])(?=[A-Fa-f]{{0,63}}[0-9]){_HEX}{{16,}}(?![0-9A-Za-z])"
    rf"|(?=[0-9]{{0,31}}[A-Fa-f])(?=[A-Fa-f]{{0,31}}[0-9]){_HEX}{{32,}}"
    rf"|(?<!\d)\d{{13}}(?:{_DASH}|[\u2010-\u2015])\d{{7,19}}(?!\d)"
)
_EMAIL: Final = re.compile(r"[\w.+%'!#$&*/=?^`{|}~-]{1,64}(?:@|%(?:25){0,3}40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_PHONE: Final = re.compile(
    r"(?:\+|%(?:25){0,3}2[Bb]|(?<!\d)00(?=[1-9]))\d(?:[ ()./\u2010-\u2015-]{0,2}\d){8,14}(?!\d)"
    r"|(?<![\d\u2010-\u2015-])(?:\(\d{3}\) ?|\d{3}[ .\u2010-\u2015-])\d{3}[ .\u2010-\u2015-]\d{4}(?![\d\u2010-\u2015-])"
)


def masked(text: str) -> str:
    """Return a text with `[id]`, `[email]` and `[phone]` in place of what identifies a person."""
    if "&" in text:  # as pages write an address: `anna&#64;example.com`
        plain = without_entities(without_entities(text))
        if plain != text and (found := _without_width(plain)) != plain:
            return found
    return _without_width(text)


def _without_width(text: str) -> str:
    if not text.isascii():
        # Wide letters and characters that take no room hide an identifier from patterns and not from people.
        plain = "".join(sign for sign in normalize("NFKC", text) if category(sign) != "Cf")
        if plain != text and (found := _masked(plain)) != plain:
            return found
    return _masked(text)


def _masked(text: str) -> str:
    if "@" in text or "%" in text:
        text = _EMAIL.sub("[email]", text)
    return _PHONE.sub("[phone]", _ID.sub("[id]", text))


@lru_cache(maxsize=8192)
def dimension(text: str) -> str:
    """Return a text as it may be counted by. The same as `masked`, remembered for texts that come again."""
    return masked(text)
