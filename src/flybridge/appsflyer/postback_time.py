"""AppsFlyer's times: UTC `2026-01-31 23:59:59.123`, and twins in the app's time zone with an offset.

https://support.appsflyer.com/hc/en-us/articles/207034356, section "Format of timestamp fields" (read 2026-11-24).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from flybridge.appsflyer.fields import Postback
from flybridge.records import DAY_MS
from flybridge.written_time import moment_of, with_plain_digits, zone_of

# Naive on purpose: AppsFlyer's times have no zone and mean UTC.
EPOCH: Final = datetime(1970, 1, 1)


_read: Final = datetime.fromisoformat
_FRACTION: Final = re.compile(r"([:.])[0-9]{2}\1[0-9]{2}[.,:][0-9]|[0-9]{4}\.[0-9]")

# Before there was an app store, and further than any clock is wrong by accident.
EARLIEST_MS: Final = 1_199_145_600_000
LATEST_MS: Final = 4_102_444_800_000


def time_ms(text: str) -> int | None:
    """Return a time in milliseconds since 1970, UTC; None if the text is no time between 2008 and 2099.

    Reads `yyyy-mm-dd hh:mm:ss` with or without fraction, `T`, `Z` and offset, and what `written_time` reads. A time
    without a zone is UTC.
    """
    try:
        moment = _read(text)
    except ValueError:
        found = moment_of(text)
        return None if found is None else _bounded(_since_epoch(found))
    ms = _since_epoch(moment)
    if EARLIEST_MS <= ms < LATEST_MS and text[4] == "-":
        return ms
    # Python reads `1770112800000` as a date without signs between its parts, of the year 1770.
    found = moment_of(text)
    return _bounded(ms if found is None else _since_epoch(found))


def has_fraction(text: str) -> bool:
    """Whether a time that `time_ms` reads is more exact than a second."""
    text = with_plain_digits(text).strip()
    if text[4:5] == "-" and "." in text[19:]:
        return True
    # Dots may also stand in the date, and commas behind it.
    return _FRACTION.search(text, 6) is not None or (text.isdigit() and len(text) >= 13)


def local_time(text: str) -> datetime | None:
    """Return a time that has no zone; None if it has one, or if `time_ms` reads no time of it."""
    moment = None if time_ms(text) is None else _moment(text)
    return moment if moment is not None and moment.tzinfo is None else None


def later_ms_of(postback: Postback, name: str) -> int | None:
    """Return what else a time that `time_of` reads may mean, in milliseconds; None if it means one moment.

    When clocks are set back, an hour of local time occurs twice. `time_of` returns the earlier moment.
    """
    text = text_of(postback, name)
    # Without a zone a time is UTC, but its twin is in the selected zone.
    zone = postback.selected_timezone if text is not getattr(postback, name) else None
    moment = None if text is None else _zoned(text, zone)
    if moment is None:
        return None
    later = moment.replace(fold=1)
    first, second = moment.utcoffset(), later.utcoffset()
    # Clocks that are set forward make a gap, in which no time lies.
    return _bounded(_since_epoch(later)) if first is not None and second is not None and second < first else None


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
    moment = _zoned(text, zone)
    return None if moment is None else _bounded(_since_epoch(moment))


def _zoned(text: str, zone: str | None) -> datetime | None:
    """Return a time with its own zone, or else with this one; None if it has none and this one is not known."""
    moment = _moment(text)
    if moment is None or moment.tzinfo is not None:
        return moment
    known = zone_of(zone or "")
    return None if known is None else moment.replace(tzinfo=known)


def _moment(text: str) -> datetime | None:
    try:
        read = _read(text.strip())
    except ValueError:
        return moment_of(text)
    return read if text.strip()[4] == "-" else moment_of(text) or read


def _since_epoch(moment: datetime) -> int:
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            return 0
    since = moment - EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def _bounded(ms: int) -> int | None:
    return ms if EARLIEST_MS <= ms < LATEST_MS else None
