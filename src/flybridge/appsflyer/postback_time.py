"""AppsFlyer's times: UTC `2026-01-31 23:59:59.123`, and twins in the app's time zone with an offset.

https://support.appsflyer.com/hc/en-us/articles/207034356, section "Format of timestamp fields" (read 2026-11-24).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from flybridge.appsflyer.fields import Postback
from flybridge.records import DAY_MS

# Naive on purpose: AppsFlyer's times have no zone and mean UTC.
EPOCH: Final = datetime(1970, 1, 1)


_read: Final = datetime.fromisoformat

_OFFSET: Final = re.compile(r"(?:UTC|GMT)?(?:([+-])([0-9]{1,2})(?::?([0-9]{2}))?)?", re.IGNORECASE | re.ASCII)

# Before there was an app store, and further than any clock is wrong by accident.
EARLIEST_MS: Final = 1_199_145_600_000
LATEST_MS: Final = 4_102_444_800_000


def time_ms(text: str) -> int | None:
    """Return a time in milliseconds since 1970, UTC; None if the text is no time between 2008 and 2099.

    Reads `yyyy-mm-dd hh:mm:ss` with or without fraction, `T`, `Z` and offset, also with slashes or dots in the date,
    and seconds or milliseconds since 1970. A time without a zone is UTC.
    """
    try:
        moment = _read(text)
    except ValueError:
        return _unusual(text)
    ms = _since_epoch(moment)
    return ms if EARLIEST_MS <= ms < LATEST_MS else None


def has_fraction(text: str) -> bool:
    """Return whether a time that `time_ms` reads is more exact than a second."""
    text = text.strip()
    clock = text[10:]  # dots may also stand in the date
    return "." in clock or "," in clock or (text.isdigit() and len(text) == 13)


def time_of(postback: Postback, name: str) -> int | None:
    """Return a time that a message reports, or its twin in the app's zone; None if it reports neither."""
    text: str | None = getattr(postback, name)
    if text is not None and (ms := time_ms(text)) is not None:
        return ms
    twin: str | None = getattr(postback, f"{name}_selected_timezone")
    return None if twin is None else zoned_ms(twin, postback.selected_timezone)


def text_of(postback: Postback, name: str) -> str | None:
    """Return the text of which `time_of` reads a time; None if there is none."""
    text: str | None = getattr(postback, name)
    twin: str | None = getattr(postback, f"{name}_selected_timezone")
    return text if text is not None and (twin is None or time_ms(text) is not None) else twin


def zoned_ms(text: str, zone: str | None) -> int | None:
    """Return a `*_selected_timezone` time in milliseconds; without an offset it is local time of the selected zone.

    None if the text is no time between 2008 and 2099, or has no offset while the zone is unknown.
    """
    try:
        moment = datetime.fromisoformat(_dashed(text.strip()))
    except ValueError:
        return _unusual(text)
    if moment.tzinfo is None:
        selected = _zone((zone or "").strip())
        if selected is None:
            return None
        moment = moment.replace(tzinfo=selected)
    return _bounded(_since_epoch(moment))


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo | None:
    """Return the zone of a name (`Europe/Berlin`) or an offset (`UTC+2`, `+02:00`); None if there is none.

    Names are read in either case, and with blanks for underscores.
    """
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


def _dashed(text: str) -> str:
    """Return `2026/01/31 ...` and `2026.01.31 ...` with dashes, other text as it is."""
    if text[4:5] in ("/", ".") and text[4:5] == text[7:8]:
        return f"{text[:4]}-{text[5:7]}-{text[8:]}"
    return text


def _since_epoch(moment: datetime) -> int:
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            return 0
    since = moment - EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def _unusual(text: str) -> int | None:
    text = _dashed(text.strip())
    if text.isascii() and text.isdigit() and len(text) in (10, 13):
        return _bounded(int(text) * (1000 if len(text) == 10 else 1))
    if text[10:11] in {" ", "T"} and text[12:13] == ":":  # an hour of one digit, as spreadsheets write it
        text = f"{text[:11]}0{text[11:]}"
    # A plus sign in a query string that was not escaped arrives as a space: "... 14:57:24.898 0000".
    head, _, zone = text.rpartition(" ")
    if len(zone) in (4, 5) and zone.lstrip("+-").isdigit() and ":" in head:
        text = head + (zone if zone[0] in "+-" else f"+{zone}")
    elif text.upper().endswith((" UTC", " GMT")):
        text = text[:-4]
    try:
        return _bounded(_since_epoch(datetime.fromisoformat(text)))
    except ValueError:
        return None


def _bounded(ms: int) -> int | None:
    return ms if EARLIEST_MS <= ms < LATEST_MS else None
