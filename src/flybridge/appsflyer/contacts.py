"""E-mail addresses and phone numbers, normalised and hashed for AppsFlyer.

An e-mail address is hashed in lower case and without white space. A phone number is hashed in two forms: as digits
with country code and without leading zeros, and in E.164, which has a plus sign in front of the same digits. Each
hash is SHA-256 of UTF-8, in hex. Nothing else is hashed: a number of an unknown country, or two numbers in one text,
would match other people or no one.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (`email_hashed`, `phone_number_hashed`,
`phone_number_e164_hashed`), https://dev.appsflyer.com/hc/reference/audience-put-additional-identifier
(`hashed_emails`, `phone_number_sha256`, `phone_number_e164_sha256`), read 2026-11-24.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256
from typing import Final

from msgspec import Struct

_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"[^@<>()\[\],:;\"\\]+@[^@<>()\[\],:;\"\\.]+(?:\.[^@<>()\[\],:;\"\\.]+)+")
_EXTENSION: Final = re.compile(r"(?:extension|ext|x|#)[\s.:=]{0,8}[0-9]{1,7}\s{0,8}", re.IGNORECASE)

# The longest address of RFC 5321 has 254 characters. Longer text is refused before its characters are looked at.
MAX_EMAIL: Final = 512
MAX_PHONE: Final = 128

MIN_DIGITS: Final = 7
MAX_DIGITS: Final = 15
NORTH_AMERICAN_DIGITS: Final = 11

# https://www.itu.int/pub/T-SP-E.164D: the country codes that have one or two digits; all others have three.
_SHORT_CODES: Final = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
# Where a number keeps its 0 behind the country code. Elsewhere that 0 is dialled inside the country only.
_ZERO_STAYS: Final = frozenset({"39", "225", "226", "229", "241", "242", "378"})


class Refused(Struct, frozen=True):
    """A text that is not hashed. `reason` says why and what to write, without repeating the text."""

    reason: str


class PhoneHashes(Struct, frozen=True):
    """The hashes of one phone number."""

    digits: str
    e164: str


NO_ADDRESS: Final = Refused("It is not one e-mail address: write it as name@example.com.")
NO_COUNTRY: Final = Refused(
    "The phone number has no country code: write it with + or 00 and the country code, as +44 20 7031 3000."
)
NO_NUMBER: Final = Refused(
    f"It is not a phone number: with country code one has {MIN_DIGITS} to {MAX_DIGITS} digits (in North America "
    f"{NORTH_AMERICAN_DIGITS}), and they are not all alike."
)
TWO_NUMBERS: Final = Refused("It is more than one phone number: write one, as +44 20 7031 3000.")
KIND_UNKNOWN: Final = Refused(
    "It is a hash already, and whether of the digits or of the E.164 form is not known: write the number itself."
)


def hash_email(text: str) -> str | Refused:
    """Return the hash of an e-mail address; a hash comes back in lower case."""
    text = text.strip()
    if len(text) > MAX_EMAIL:
        return NO_ADDRESS
    if (hashed := already_hashed(text)) is not None:
        return hashed
    # Invisible characters come along when an address is copied from a page.
    address = "".join(char for char in text if not char.isspace() and unicodedata.category(char) != "Cf").lower()
    if not address.isprintable() or not _ADDRESS.fullmatch(address):
        return NO_ADDRESS
    return sha256_hex(address)


def hash_phone(text: str) -> PhoneHashes | Refused:
    """Return the hashes of a phone number that is written with its country code, behind `+` or `00`."""
    text = text.strip()
    if len(text) > MAX_PHONE:
        return NO_NUMBER
    if already_hashed(text) is not None:
        return KIND_UNKNOWN
    number = _digits_of(text)
    if isinstance(number, Refused):
        return number
    return PhoneHashes(sha256_hex(number), sha256_hex("+" + number))


def already_hashed(text: str) -> str | None:
    """Return a SHA-256 in hex in lower case; None if the text is something else."""
    trimmed = text.strip()
    return trimmed.lower() if _HASH.fullmatch(trimmed) else None


def sha256_hex(text: str) -> str:
    """Return SHA-256 of a text, in hex."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _digits_of(text: str) -> str | Refused:
    """Return the digits of a number, country code first."""
    plain = "".join(str(int(char)) if char.isdecimal() else char for char in unicodedata.normalize("NFKC", text))
    before, plus, behind = plain.partition("+")
    number = behind if plus else plain
    if "+" in behind or (plus and any(char.isdecimal() for char in before)):
        return TWO_NUMBERS
    if found := _EXTENSION.search(number):
        if found.end() != len(number):
            return TWO_NUMBERS
        number = number[: found.start()]
    digits = re.sub(r"[^0-9]", "", number)
    if len(digits) < MIN_DIGITS:
        return NO_NUMBER
    if not plus and not digits.startswith("00"):
        return NO_COUNTRY
    digits = digits.removeprefix("00")
    if digits.startswith("0"):
        return NO_COUNTRY
    digits = _without_trunk_zero(digits)
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS or len(set(digits)) == 1:
        return NO_NUMBER
    if digits.startswith("1") and len(digits) != NORTH_AMERICAN_DIGITS:
        return NO_NUMBER
    return digits


def _without_trunk_zero(digits: str) -> str:
    short = _SHORT_CODES.match(digits)
    code = short[0] if short else digits[:3]
    national = digits[len(code) :]
    return digits if code in _ZERO_STAYS else code + national.removeprefix("0")
