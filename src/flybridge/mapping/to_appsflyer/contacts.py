"""Contacts in extra properties: addresses, phone numbers and names of people, by the value and by parts of the key.

Contacts leave flybridge as hashes only, under the parameters that AppsFlyer has for them. An extra property that holds
one is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from unicodedata import normalize

import msgspec

from flybridge.identity.masking import masked

WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")

# Parts of names in small letters without anything between them, so that `phonenumber` and `Phone-Number` are alike.
ADDRESS_PARTS: Final = ("email", "mailaddress", "mailadresse", "correoelectronico")
PHONE_PARTS: Final = ("phone", "telefon", "msisdn", "whatsapp", "mobileno", "mobilenum", "handynummer", "contactno")
NAME_PARTS: Final = (
    "firstname", "lastname", "surname", "fullname", "familyname", "givenname", "middlename", "username", "customername",
    "contactname", "recipientname", "holdername", "cardholder", "billingname", "shippingname", "buyername", "guestname",
    "passengername", "beneficiaryname", "vorname", "nachname", "prenom", "apellido", "cognome", "sobrenome",
)  # fmt: skip
ADDRESS_WORDS: Final = frozenset({"mail", "emails", "correo", "courriel"})
PHONE_WORDS: Final = frozenset({"mobile", "tel", "cell", "celular", "contact", "handy", "fax", "gsm"})
KEYS: Final = frozenset(
    {
        "email", "e-mail", "email_address", "phone", "phone_number", "first_name", "last_name", "full_name", "name",
        "address", "ip", "ip_address", "password",
    }
)  # fmt: skip
"""Names in small letters that are those of a person's data at the top of an event, whatever stands under them."""
MIN_DIGITS: Final = 6
"""A phone number has more; the `7` of a phone's model is none."""

CONTACT_MARKS: Final = ("[email]", "[phone]")
_GAP: Final = r"[ ./\u2010-\u2015-]"
NATIONAL: Final = re.compile(
    r"\(?0[0-9]{1,5}\)?[ /-][0-9]{4,9}"
    rf"|1{_GAP}?\(?[0-9]{{3}}\)?{_GAP}{{1,2}}[0-9]{{3}}{_GAP}[0-9]{{4}}"
)
"""A phone number without its country, or of North America with its 1."""
GROUPED: Final = re.compile(
    rf"(?!0[1-9]([./-])[01][0-9]\1(?:19|20)[0-9]{{2}})\(?0[1-9][0-9]{{0,3}}\)?{_GAP}{{1,2}}"
    rf"(?:[0-9]{{2,4}}{_GAP}){{1,4}}[0-9]{{2,4}}"
)
"""One whose digits stand in groups: `06 12 34 56 78`. A date is none."""
GROUPED_DIGITS: Final = range(9, 12)
MAX_NATIONAL: Final = 32

MAX_DEPTH: Final = 40


def is_contact(key: str, value: Any) -> bool:
    """Whether a property holds a contact: in its value, in its name, or in one of its own properties."""
    return masked(key) != key or _holds(key, value, MAX_DEPTH)


def _holds(key: str, value: Any, depth: int) -> bool:
    if isinstance(value, bool):
        return False
    if not depth:  # too deep to be looked at
        return True
    if isinstance(value, Mapping):
        return any(
            masked(name) != name or _holds(f"{key} {name}"[-256:], part, depth - 1) for name, part in value.items()
        )
    if isinstance(value, list | tuple):
        return any(_holds(key, part, depth - 1) for part in value)
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:  # JSON in text
        try:
            if _holds(key, msgspec.json.decode(value), depth - 1):
                return True
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            pass
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    shown = masked(text)
    if shown != text and any(shown.count(mark) > text.count(mark) for mark in CONTACT_MARKS):
        return True
    if isinstance(value, str) and _is_national(value.strip()):
        return True
    kind = _kind_of(key[:256])
    if kind == "phone":
        return sum(char.isdigit() for char in text) >= MIN_DIGITS
    return kind != "" and isinstance(value, str)


def _is_national(text: str) -> bool:
    """Whether a text is a phone number without its country, in the digits of whatever script."""
    if len(text) > MAX_NATIONAL:
        return False
    if not text.isascii():
        text = "".join(str(int(char)) if char.isdecimal() else char for char in normalize("NFKC", text)).strip()
    if NATIONAL.fullmatch(text):
        return True
    return GROUPED.fullmatch(text) is not None and sum(map(str.isdecimal, text)) in GROUPED_DIGITS


@lru_cache(maxsize=4096)
def _kind_of(key: str) -> str:
    """Return what a property's name says that it holds: `address`, `phone`, `name`, or nothing of these."""
    words = [word.lower() for word in WORDS.findall(key)]
    glued = "".join(words)
    if not ADDRESS_WORDS.isdisjoint(words) or any(part in glued for part in ADDRESS_PARTS):
        return "address"
    if not PHONE_WORDS.isdisjoint(words) or any(part in glued for part in PHONE_PARTS):
        return "phone"
    return "name" if any(part in glued for part in NAME_PARTS) else ""
