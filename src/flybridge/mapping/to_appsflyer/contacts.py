"""Contacts in extra properties: addresses, phone numbers and names of people, by the value and by parts of the key.

Contacts leave flybridge as hashes only, under the parameters that AppsFlyer has for them. An extra property that holds
one is left out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from flybridge.identity.masking import masked

WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")

ADDRESS_WORDS: Final = frozenset({"email", "mail", "emails"})
PHONE_WORDS: Final = frozenset({"phone", "mobile", "msisdn", "tel", "telephone", "cellphone", "whatsapp"})
NAMES: Final = ("firstname", "lastname", "surname", "fullname", "familyname", "givenname", "middlename")
MIN_DIGITS: Final = 6
"""A phone number has more; the `7` of a phone's model is none."""

CONTACT_MARKS: Final = ("[email]", "[phone]")


def is_contact(key: str, value: Any) -> bool:
    """Return whether a property holds a contact."""
    if isinstance(value, bool):
        return False
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    shown = masked(text)
    if shown != text and any(shown.count(mark) > text.count(mark) for mark in CONTACT_MARKS):
        return True
    kind = _kind_of(key)
    if kind == "phone":
        return sum(char.isdigit() for char in text) >= MIN_DIGITS
    return kind != "" and isinstance(value, str)


@lru_cache(maxsize=4096)
def _kind_of(key: str) -> str:
    """Return what a property's name says that it holds: `address`, `phone`, `name`, or nothing of these."""
    words = [word.lower() for word in WORDS.findall(key[:256].replace("e-mail", "email").replace("E-Mail", "email"))]
    if ADDRESS_WORDS.intersection(words):
        return "address"
    if PHONE_WORDS.intersection(words):
        return "phone"
    return "name" if any(name in "".join(words) for name in NAMES) else ""
