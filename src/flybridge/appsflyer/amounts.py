"""Amounts of money as apps write them: `1,234.56`, `9,99`, `$9.99`, `(9.99)`, `["9.99"]`. Pure.

AppsFlyer asks for `af_revenue` without a currency sign and without a separator of thousands
(https://support.appsflyer.com/hc/en-us/articles/115005544169, read 2026-11-27); what apps send is what their locale
prints. Text is read where it can mean one amount only: `1,234` may be a thousand or a little more than one, so it is
read only of a currency that has no smaller unit, `9.99 EUR` and `£9.99` are none in dollars, and `10K` is none at all.
"""

from __future__ import annotations

import re
from typing import Any, Final
from unicodedata import category

from flybridge.appsflyer.currencies import SIGNED, WITH_MILLS, WITHOUT_CENTS, WITHOUT_CENTS_IN_PRACTICE
from flybridge.identity.bare import only
from flybridge.system.text_encoding import bare_text

MAX_AMOUNT: Final = 1e15
MAX_CHARACTERS: Final = 40
DOUBTFUL: Final = WITHOUT_CENTS | WITHOUT_CENTS_IN_PRACTICE
"""Currencies in which a point behind a digit may group thousands."""
MAX_NAME: Final = 4  # `USD`, `kr`, `Rs.`

# Thousands are grouped by three; between groups stands one and the same sign. All repetitions are bounded.
_SPACES: Final = " \u00a0\u202f\u2009'\u2019"
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:([,.])\d{3})(?:\1\d{3}){0,4}(?:(?!\1)[,.]\d{1,8})?")
_DIGITS: Final = re.compile(f"[0-9](?:[0-9,.{_SPACES}]{{0,38}}[0-9])?")
_INDIAN: Final = re.compile(r"\d{1,2}(?:,\d{2}){1,5},\d{3}(?:\.\d{1,8})?")
_DECIMAL_COMMA: Final = re.compile(r"\d{1,15},\d{1,2}|\d{1,15},\d{4,8}|0,\d{1,8}")
_LIST: Final = re.compile(r'\[\s{0,8}("[^"\[\]]{1,40}"|[0-9.eE+-]{1,40})\s{0,8}\]')
"""A list of one amount, as JSON in text."""
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ONE_GROUP: Final = re.compile(r"[1-9]\d{0,2}[,.]\d{3}")
_WITHOUT_SPACES: Final = str.maketrans("", "", _SPACES)
_PLAIN: Final = str.maketrans(
    {
        "\u2212": "-",
        "\u2010": "-",
        "\u2013": "-",
        "\ufe63": "-",
        "\uff0d": "-",
        "\u066b": ".",
        "\u066c": "'",
        "\uff0c": ",",
        "\uff0e": ".",
    }
    | dict.fromkeys("\u200e\u200f\u061c")
    | {chr(zero + digit): str(digit) for zero in (0x0660, 0x06F0, 0x0966, 0xFF10) for digit in range(10)}
)
"""Minus signs, Arabic and other digits with their separators, and marks of the direction of writing."""
_AROUND: Final = str.maketrans("", "", "()+-")
_NEGATIVE: Final = re.compile(r"([^()]{0,6})\(([^()]{1,40})\)([^()]{0,6})")
"""A negative amount as accountants write it: `(9.99)`, `$(9.99)`."""
MULTIPLIERS: Final = frozenset({"K", "M", "MN", "MM", "MIO", "B", "BN", "T", "TN", "TSD", "CR", "DR", "LAC", "X"})
"""What stands behind an amount and makes another of it, or may."""


def amount_of(value: Any, currency: str | None = None) -> float | None:
    """Return an amount, or None if `value` is none, or can be read in two ways. `currency` is an ISO 4217 code."""
    value = only(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        written = bare_text(value)
        if written[:1] == "[" and (found := _LIST.fullmatch(written)) is not None:  # as in a query string
            written = bare_text(found[1])
        return _read(written, currency)
    return _bounded(value)


def reported_amount(written: str | None, currency: str | None) -> float | None:
    """Return an amount that AppsFlyer reports, as `amount_of` does; but the point of a plain number is decimal."""
    is_plain = written is not None and _NUMBER.fullmatch(written.strip()) is not None
    return amount_of(written, None if is_plain else currency)


def _read(written: str, currency: str | None) -> float | None:
    if len(written) > MAX_CHARACTERS or "_" in written:
        return None
    if currency not in DOUBTFUL or not _ONE_GROUP.fullmatch(written.strip()):
        try:
            return _bounded(written)
        except ValueError:
            pass
    plain = written.translate(_PLAIN)
    is_negative = (accounted := _NEGATIVE.fullmatch(plain)) is not None
    if accounted is not None:
        plain = "".join(accounted.groups())
    bare = _bare(plain, currency)
    if bare is None:
        return None
    sign, digits = bare
    if is_negative:
        if sign:
            return None
        sign = "-"
    is_labelled = len(digits) < len(plain.strip(" +-"))
    digits = digits.translate(_WITHOUT_SPACES) if _is_spaced(digits) else digits
    if _ONE_GROUP.fullmatch(digits):
        if currency not in WITHOUT_CENTS:
            # A point is read as a decimal one, as everywhere in JSON, but not in a text that was written for people:
            # `15.000 €`. A comma stays in doubt.
            is_plain = "." in digits and (not is_labelled or currency in WITH_MILLS)
            is_plain = is_plain and currency not in WITHOUT_CENTS_IN_PRACTICE
            return _bounded(sign + digits) if is_plain else None
        return _bounded(sign + digits.replace(",", "").replace(".", ""))
    if (grouped := _GROUPED.fullmatch(digits)) is not None:
        return _bounded(sign + _plain(digits, grouped.group(1)))
    if _INDIAN.fullmatch(digits):
        return _bounded(sign + digits.replace(",", ""))
    if _DECIMAL_COMMA.fullmatch(digits):
        return _bounded(sign + digits.replace(",", "."))
    return _bounded(sign + digits) if digits.replace(".", "", 1).isdecimal() else None


def _bare(written: str, currency: str | None) -> tuple[str, str] | None:
    """Return the sign and the digits of an amount, without its currency around them; None if anything else is there."""
    found = _DIGITS.search(written)
    if found is None:
        return None
    around = written[: found.start()] + written[found.end() :]
    sign = "-" if "-" in written[: found.start()] else ""
    named = around.replace("-", "", 1) if sign else around.replace("+", "", 1)
    letters = [character for character in named if not character.isspace() and category(character) != "Sc"]
    if "".join(letters).strip(".").upper() in SIGNED:
        pass  # `S/` has a sign that no word has
    elif len(letters) > MAX_NAME or not all(character.isalpha() or character == "." for character in letters):
        return None
    if "".join(letters).strip(".").upper() in MULTIPLIERS:
        return None
    if currency is not None and any(currency not in one for one in _signed(named)):
        return None
    return sign, found.group()


def _signed(around: str) -> list[frozenset[str]]:
    """Return the currencies that each sign and each word beside an amount may be of; nothing of one that is unknown."""
    plain = "".join(around.split()).replace(".", "").upper()
    if (whole := SIGNED.get(plain)) is not None:
        return [whole]
    letters = "".join(character for character in plain if character.isalpha())
    return [SIGNED[one] for one in (letters, *(sign for sign in plain if not sign.isalpha())) if one in SIGNED]


def is_ambiguous(value: Any, currency: str | None) -> bool:
    """Whether a text is an amount that can be read in two ways: `1,234 €`. `currency` is an ISO 4217 code."""
    value = only(value)
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return False
    found = _bare(bare_text(value).translate(_PLAIN).translate(_AROUND), currency)
    return found is not None and _ONE_GROUP.fullmatch(found[1]) is not None


def currency_in(value: Any) -> str | None:
    """Return the code of the currency that a text names beside an amount, `9,99 €`; None for none, and for several."""
    value = only(value)
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return None
    plain = bare_text(value.translate(_PLAIN))
    possible = _signed(_DIGITS.sub("", plain).translate(_AROUND))
    found = frozenset.intersection(*possible) if possible else frozenset[str]()
    code = next(iter(found)) if len(found) == 1 else None
    return code if code is not None and amount_of(value, code) is not None else None


def _is_spaced(digits: str) -> bool:
    """Whether spaces or apostrophes group thousands: `1 234 567,89`."""
    head = re.split(r"[,.]", digits, maxsplit=1)[0]
    first, *groups = re.split(f"[{_SPACES}]", head)
    return bool(groups) and 1 <= len(first) <= 3 and all(len(group) == 3 for group in groups)


def _plain(digits: str, separator: str) -> str:
    """Return grouped digits as a plain number: what follows another sign than the separator is the fraction."""
    other = "." if separator == "," else ","
    return digits.replace(separator, "").replace(other, ".")


def _bounded(value: str | float) -> float | None:
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if -MAX_AMOUNT <= amount <= MAX_AMOUNT else None
