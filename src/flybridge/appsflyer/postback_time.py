"""AppsFlyer's times: UTC `2026-01-31 23:59:59.123`, and twins in the app's time zone with an offset.

https://support.appsflyer.com/hc/en-us/articles/207034356, section "Format of timestamp fields" (read 2026-11-24).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

# Naive on purpose: AppsFlyer's times have no zone and mean UTC.
EPOCH: Final = datetime(1970, 1, 1)
MILLISECOND: Final = timedelta(milliseconds=1)

_read: Final = datetime.fromisoformat

# Before there was an app store, and further than any clock is wrong by accident.
EARLIEST_MS: Final = 1_199_145_600_000
LATEST_MS: Final = 4_102_444_800_000


def time_ms(text: str) -> int | None:
    """Return a time in milliseconds since 1970, UTC; None if the text is no time between 2008 and 2099.

    Reads `yyyy-mm-dd hh:mm:ss` with or without fraction, `T`, `Z` and offset, and seconds or milliseconds since
    1970. A time without a zone is UTC.
    """
    try:
        moment = _read(text)
    except ValueError:
        return _unusual(text)
    ms = _since_epoch(moment) if moment.tzinfo is not None else (moment - EPOCH) // MILLISECOND
    return ms if EARLIEST_MS <= ms < LATEST_MS else None


def has_fraction(text: str) -> bool:
    """Return whether a time that `time_ms` reads is more exact than a second."""
    return "." in text or "," in text or (text.strip().isdigit() and len(text.strip()) == 13)


def zoned_ms(text: str, zone: str | None) -> int | None:
    """Read a `*_selected_timezone` time. Without an offset it means a moment only if the zone is UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return _unusual(text)
    if moment.tzinfo is None and (zone or "").upper() not in {"UTC", "GMT"}:
        return None
    return _bounded(_since_epoch(moment))


def _since_epoch(moment: datetime) -> int:
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            return 0
    return (moment - EPOCH) // MILLISECOND


def _unusual(text: str) -> int | None:
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) in (10, 13):
        return _bounded(int(text) * (1000 if len(text) == 10 else 1))
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
