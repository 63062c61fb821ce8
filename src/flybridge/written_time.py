"""Times as spreadsheets and programs write them, where AppsFlyer's own form was not kept.

    2026-11-20 02:07:00 PM, 20.11.2026 14:07, Nov 20, 2026, 2:07 PM, 20-Nov-2026 14:07:00, Fri Nov 20 14:07:00 UTC 2026,
    2026-11-20T15:07:00+01:00[Europe/Berlin], 20261120140700, 1795183620.123, /Date(1795183620123)/,
    2026-11-20 15:07:00 +0100 CET, 20.11.2026 14.07.00

Digits may be those of any script, and dashes and colons of any width.

Only what means one moment is read: `31/12/2026` and `12/31/2026` are the same day, `12/11/2026` may be two. `PDT` is
one offset, while `CST` is another in China than in America.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from typing import Final
from unicodedata import category, normalize
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

MAX_CHARACTERS: Final = 80
AROUND: Final = " \t\r\n\v\f\u00a0\u200b\u200e\u200f\ufeff\"'"
"""What stands around a time that was encoded once more, or copied from a page."""
SIGNS: Final = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-") | {"\u066b": "."})
"""Dashes that editors write, and the Arabic decimal point."""
FACTORS: Final = {10: 1000, 13: 1}
"""What makes milliseconds of a number with so many digits. Those of one with 16 or 19 are the first 13."""

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FULL_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

_NUMBER: Final = re.compile(r"([0-9]{10}|[0-9]{13}|[0-9]{16}|[0-9]{19})(\.[0-9]{0,9})?|1\.[0-9]{1,12}E(?:9|12)")
_OF_DOT_NET: Final = re.compile(r"\\?/Date\(([0-9]{10,13})(?:[+-][0-9]{4})?\)\\?/")
_COMPACT: Final = re.compile(r"(20[0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})")

_CLOCK: Final = (
    r"(?P<hour>[0-9]{1,2})(?P<colon>[:.])(?P<minute>[0-9]{2})"
    r"(?:(?P=colon)(?P<second>[0-9]{2})(?:[.,:](?P<part>[0-9]{1,9}))?)?"
    r"(?:\s?(?P<half>[ap])\.?m\.?(?![A-Z]))?"
)
_ZONE: Final = (
    # Go's programs print the zone's name behind its offset, and what their own clock shows behind that.
    r"(?:\s?(?P<offset>(?:(?:UTC|GMT)\s?)?[+-][0-9]{1,2}(?::?[0-9]{2})?|\s[0-9]{4}|Z)"
    r"(?:\s(?:[A-Z]{2,5}|[+-][0-9]{2,4})(?:\sm=[+-][0-9.]{1,24})?)?"
    r"|\s?\(?(?P<zone>[A-Z][A-Z_]{1,30}(?:/[A-Z_]{2,30}){0,2})\)?)?"
)
_BEHIND: Final = r"(?:\s?\((?P<named>[^()]{1,40})\)|\s?\[(?P<place>[^][]{1,40})\])?"
_LATER: Final = rf"(?:(?:,?\s{{1,3}}|T|_|\sAT\s){_CLOCK}{_ZONE})?{_BEHIND}"
_WEEKDAY: Final = r"(?:(?:MON|TUE|WED|THU|FRI|SAT|SUN)[A-Z]{0,6}[.,]?\s)?"
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"(?P<year>[0-9]{{4}})(?P<sign>[-/.])(?P<month>[0-9]{{1,2}})(?P=sign)(?P<day>[0-9]{{1,2}}){_LATER}",
        rf"(?P<one>[0-9]{{1,2}})(?P<sign>[-/.])(?P<two>[0-9]{{1,2}})(?P=sign)(?P<year>[0-9]{{4}}){_LATER}",
        rf"{_WEEKDAY}(?P<day>[0-9]{{1,2}})[\s-](?P<name>[A-Z]{{3,9}})\.?,?[\s-](?P<year>[0-9]{{4}}){_LATER}",
        rf"{_WEEKDAY}(?P<name>[A-Z]{{3,9}})\.?\s(?P<day>[0-9]{{1,2}})(?:ST|ND|RD|TH)?,?\s(?P<year>[0-9]{{4}}){_LATER}",
        rf"{_WEEKDAY}(?P<name>[A-Z]{{3,9}})\s{{1,2}}(?P<day>[0-9]{{1,2}})\s{_CLOCK}{_ZONE}\s(?P<year>[0-9]{{4}})",
    )
)
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?(?:\s?([+-])([0-9]{1,2})(?::?([0-9]{2}))?)?", re.IGNORECASE | re.ASCII)

ABBREVIATIONS: Final = {
    "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "SGT": 8, "HKT": 8,
    "AWST": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "EST": -5, "EDT": -4, "MST": -7,
    "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10,
}  # fmt: skip
"""Hours of what programs print for a zone. As the name of a zone some of these, `CET`, mean its summer time as well."""


def moment_of(text: str) -> datetime | None:
    """Return the moment that a text names, without a zone if the text has none; None if it names none or several."""
    if len(text) > MAX_CHARACTERS:
        return None
    text = with_plain_digits(text).strip(AROUND)
    if (printed := _OF_DOT_NET.fullmatch(text)) is not None:
        return _since_1970(printed[1])
    if _NUMBER.fullmatch(text.upper()):
        return _since_1970(text)
    try:
        if (compact := _COMPACT.fullmatch(text)) is not None:
            return datetime(*map(int, compact.groups()))  # type: ignore[arg-type]
        for form in _FORMS:
            if (found := form.fullmatch(text)) is not None:
                return _built(found.groupdict())
    except (ValueError, OverflowError):
        pass
    return None


def with_plain_digits(text: str) -> str:
    """Return a text whose digits, dashes and blanks, of whatever script and width, are those of ASCII."""
    if text.isascii():
        return text
    return "".join(
        str(int(sign)) if sign.isdecimal() else sign for sign in normalize("NFKC", text) if category(sign) != "Cf"
    ).translate(SIGNS)


def _since_1970(text: str) -> datetime:
    digits = text.partition(".")[0]
    if len(digits) > len("1770112800000"):  # more digits than a float holds
        ms: float = int(digits[:13])
    else:
        ms = float(text) * FACTORS.get(len(digits), 1000 if text[-1] == "9" else 1)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=round(ms))


def _built(parts: dict[str, str | None]) -> datetime | None:
    day = _day(parts)
    hour = _hour(parts)
    if day is None or hour is None:
        return None
    second, part = int(parts.get("second") or 0), (parts.get("part") or "").ljust(6, "0")[:6]
    moment = datetime(*day, hour, int(parts.get("minute") or 0), second, int(part))
    zone = _zone_of(parts)
    return moment if zone is None else moment.replace(tzinfo=zone)


def _day(parts: dict[str, str | None]) -> tuple[int, int, int] | None:
    """Return year, month and day; None if the text may mean two days. Raises `ValueError` for an unknown month."""
    year = int(parts["year"] or 0)
    if (name := parts.get("name")) is not None:
        names = MONTHS if len(name) == len("jan") else FULL_MONTHS
        return year, names.index(name.lower()) + 1, int(parts["day"] or 0)
    if parts.get("month") is not None:
        return year, int(parts["month"] or 0), int(parts["day"] or 0)
    one, two = int(parts["one"] or 0), int(parts["two"] or 0)
    if one > len(MONTHS) or one == two:
        return year, two, one
    return (year, one, two) if two > len(MONTHS) else None


def _hour(parts: dict[str, str | None]) -> int | None:
    hour, half = int(parts.get("hour") or 0), parts.get("half")
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        return None
    return hour % 12 + (12 if half in "pP" else 0)


def _zone_of(parts: dict[str, str | None]) -> tzinfo | None:
    """Return the zone of a time; None if it names none. Raises `ValueError` for an unknown one."""
    if (offset := parts.get("offset")) is not None:
        # A plus sign in a query string that was not escaped arrives as a blank: "... 14:57:24.898 0000".
        offset = offset.upper().replace(" ", "" if "+" in offset or "-" in offset else "+")
    printed = parts.get("zone") or parts.get("named")
    if offset is None and printed is not None and (hours := ABBREVIATIONS.get(printed.upper())) is not None:
        return timezone(timedelta(hours=hours))
    name = offset or parts.get("zone") or parts.get("place") or parts.get("named")
    if name is None:
        return None
    zone = UTC if name.upper() == "Z" else zone_of(name)
    if zone is None:
        raise ValueError("the zone is not known")
    return zone


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo | None:
    """Return the zone of a name (`Europe/Berlin`) or an offset (`UTC+2`, `(GMT+01:00) Berlin`); None if there is none.

    Names are read in either case, and with blanks for underscores.
    """
    name = name.strip()
    if name[:1] == "(":
        name = name[1:].partition(")")[0].strip()
    if not name:
        return None
    if found := _OFFSET.fullmatch(name):
        sign, hours, minutes = found.groups()
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        return timezone(-offset if sign == "-" else offset) if offset < timedelta(days=1) else None
    try:
        return ZoneInfo(_zones().get(name.casefold().replace(" ", "_"), name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@cache
def _zones() -> dict[str, str]:
    """Return the names of all zones by themselves in lower case."""
    return {name.casefold(): name for name in available_timezones()}
