"""Values as AppsFlyer's server-to-server API takes them.

Converters: each makes of a value of an event, never None, a value for the request; None leaves the parameter out.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-24).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any, Final

import msgspec

from flybridge import identity
from flybridge.appsflyer import contacts
from flybridge.appsflyer.amounts import amount_of
from flybridge.appsflyer.currencies import SIGNED, TAKEN
from flybridge.appsflyer.fields import ABSENT
from flybridge.identity import device_identifier
from flybridge.identity.bare import bare, only
from flybridge.mapping.consent import att_of
from flybridge.mapping.table import plain
from flybridge.system.text_encoding import BLANKS
from flybridge.system.yes_or_no import is_not_known, word_of, yes_or_no

MAX_TEXT: Final = 1_000
APP_CLIP: Final = "app_clip"
SMALL: Final = Decimal("0.001")

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# https://www.rfc-editor.org/rfc/rfc1918, and those of the machine itself.
_OWN_NETWORKS: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"))
)
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")


def words(value: Any) -> str | None:
    """Text of anything, trimmed; nothing of a word for nothing."""
    found = plain(value)
    if found is None:
        return None
    found = found.strip() if found.isascii() else found.strip(BLANKS)
    return found[:MAX_TEXT] if found not in ABSENT else None


def states(value: Any) -> bool:
    """Whether a value says anything: it is there, and no word for nothing or for what is not known."""
    if isinstance(value, str):
        return (found := words(value)) is not None and not is_not_known(found)
    return value is not None and value not in ({}, [])


def appsflyer_id(value: Any) -> str | None:
    """13 digits, a dash, 7 to 19 digits; nothing else is an AppsFlyer id."""
    return identity.appsflyer_id(bare(value))


def user(value: Any) -> str | None:
    """An id, without quotes around it: not all zeros, no word for nothing, no placeholder that was not filled in."""
    found = words(only(value))
    return bare(found) if found is not None else None


def device(value: Any) -> str | None:
    """A device's identifier, 128 characters at most, that is neither all zeros nor a macro."""
    found = device_identifier(words(only(value)))
    return found if found is not None and len(found) <= 128 else None


def apple(value: Any) -> str | None:
    """An IDFA or IDFV: a UUID in upper case."""
    found = device(value)
    return found.upper() if found is not None and _UUID.fullmatch(found) else None


def ipv4(value: Any) -> str | None:
    """An IPv4 address, also in IPv6's form of it (`::ffff:192.0.2.1`); the parameter has no room for another. One of a
    private network is left out: AppsFlyer would look up its place, instead of taking that of the install.
    """
    try:
        found = ip_address(words(value) or "")
    except ValueError:
        return None
    known = found if isinstance(found, IPv4Address) else found.ipv4_mapped
    if known is None or known.is_unspecified or any(known in network for network in _OWN_NETWORKS):
        return None
    return str(known)


def version(value: Any) -> str | None:
    """The digits and dots of a version: `iOS 17.5.1` is `17.5.1`."""
    found = _VERSION.search(words(value) or "")
    return found[0] if found else None


def att(value: Any) -> int | None:
    """0 to 3, or ATTrackingManager's word for it, also with its type or AppsFlyer's `af_` in front."""
    return att_of(words(only(value)) or "")


def yes(value: Any) -> bool | None:
    """True or false, also as text."""
    return yes_or_no(words(only(value)))


def answer(value: Any) -> str:
    """Return what a flag says in lower case, without quotes around it, and a number without its fraction."""
    return word_of(words(only(value)) or "")


def no(value: Any) -> bool | None:
    """The opposite of true or false."""
    found = yes(value)
    return None if found is None else not found


def amount(value: Any, currency: str | None = None) -> str | None:
    """A number in plain digits, with a minus in front of a refund: no signs, no thousands, no exponent. Text that can
    mean one amount only is read as in postbacks, `1,234.50` or `$9.99`, and not if it names another currency.
    """
    found = decimal(value, currency)
    return None if found is None else written(found)


def price(value: Any, currency: str | None = None) -> str | list[str] | None:
    """An amount, or a list of those of several products. One that can't be read leaves out the list: each belongs to
    the product in the same place.
    """
    if not isinstance(value, list) or len(value) < 2:
        return amount(value, currency)
    found = [amount(each, currency) for each in value]
    return [each for each in found if each is not None] if None not in found else None


def decimal(value: Any, currency: str | None = None) -> Decimal | None:
    """An amount of a currency to reckon with."""
    value = only(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value.strip() if isinstance(value, str) else str(value)
    read = amount_of(text if isinstance(value, str) else value, currency)
    if read is None:
        return None
    try:
        found = Decimal(text)
    except (InvalidOperation, ValueError):
        return Decimal(str(read))
    # As it is written, if it is no point of thousands that it has: a float would round it.
    return found if float(found) == read else Decimal(str(read))


def written(value: Decimal) -> str:
    """Write an amount in plain digits, without zeros at the end: six places at most, and twelve if it is less than a
    thousandth, as the revenue of one shown ad.
    """
    text = f"{value:.{12 if abs(value) < SMALL else 6}f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def currency(value: Any) -> str | None:
    """A code of ISO 4217 that AppsFlyer takes, in upper case, or that of a sign which one currency has: `€`."""
    found = (bare(value) or "").upper()
    code = next(iter(signed)) if len(signed := SIGNED.get(found, ())) == 1 else None
    return code if code in TAKEN else None


def content(value: Any) -> Any:
    """Text, a number, a flag, or a list of them."""
    if isinstance(value, list):
        found = [part for part in (content(each) for each in value if not isinstance(each, list)) if part is not None]
        return found or None
    if isinstance(value, bool | int | float):
        return value if writable(value) else None
    return words(value)


def anything(value: Any) -> Any:
    """Whatever it is, if JSON can carry it."""
    if isinstance(value, str):
        return value[:MAX_TEXT] or None
    return value if writable(value) else None


def digits(value: Any) -> str | None:
    """A number of digits only, as text."""
    found = user(value)
    return found if found is not None and found.isascii() and found.isdecimal() else None


def app_clip(value: Any) -> str | None:
    """The only value that AppsFlyer has for the kind of an app, `app_clip`."""
    return APP_CLIP if (words(only(value)) or "").lower() == APP_CLIP else None


def json_text(value: Any) -> str | None:
    """JSON in text: text as it is, anything else written as JSON."""
    if isinstance(value, str):
        return value.strip()[:MAX_TEXT] or None
    return msgspec.json.encode(value).decode() if writable(value) else None


def app_set(value: Any) -> dict[str, Any] | None:
    """The App Set id, a UUID, as an object: `id`, and `scope` 1 (this app) or 2 (this developer) where it is said."""
    given = value if isinstance(value, Mapping) else {"id": value}
    found = device(given.get("id"))
    if found is None or not _UUID.fullmatch(found):
        return None
    scope = {"1": 1, "2": 2, "app": 1, "developer": 2}.get((words(given.get("scope")) or "").lower())
    return {"id": found} if scope is None else {"scope": scope, "id": found}


def email(value: Any) -> str | None:
    """SHA-256 of an e-mail address, in lower case and without white space; a hash stays as it is."""
    return _hashed(contacts.hash_email, value)


def phone(value: Any) -> str | None:
    """SHA-256 of the digits of a phone number with `+` or `00` and its country code; a hash stays as it is."""
    return _hashed(_phone_digits, value)


def phone_e164(value: Any) -> str | None:
    """SHA-256 of such a phone number in E.164, `+` and digits; a hash stays as it is."""
    return _hashed(_phone_e164, value)


def name(value: Any) -> str | None:
    """SHA-256 of a name in lower case; a hash stays as it is."""
    found = words(value)
    return None if found is None else contacts.already_hashed(found) or contacts.sha256_hex(found.lower())


def refusal(convert: Callable[[Any], Any], value: Any) -> str:
    """Return why an address or a number is not hashed by its converter; empty for no text and other converters."""
    hashing, text = _CONTACTS.get(convert), plain(value)
    if hashing is None or text is None or not text.strip():
        return ""
    found = hashing(text)
    return found.reason if isinstance(found, contacts.Refused) else ""


def _hashed(hashing: Callable[[str], str | contacts.Refused], value: Any) -> str | None:
    found = hashing(words(value) or "")
    return None if isinstance(found, contacts.Refused) else found


def _phone(text: str, form: str) -> str | contacts.Refused:
    hashes = contacts.hash_phone(text)
    return contacts.already_hashed(text) or (hashes if isinstance(hashes, contacts.Refused) else getattr(hashes, form))


_phone_digits: Final = partial(_phone, form="digits")
_phone_e164: Final = partial(_phone, form="e164")
_CONTACTS: Final[Mapping[Callable[[Any], Any], Callable[[str], str | contacts.Refused]]] = {
    email: contacts.hash_email,
    phone: _phone_digits,
    phone_e164: _phone_e164,
}


def writable(value: Any) -> bool:
    """Whether JSON can carry a value."""
    try:
        msgspec.json.encode(value)
    except (msgspec.MsgspecError, OverflowError, RecursionError, UnicodeError, TypeError, ValueError):
        return False
    return True
