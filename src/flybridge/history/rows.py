"""A row of raw data, as the message that AppsFlyer would have pushed.

The message is JSON with the fields' own names, so that everything after it, reading, mapping, identity, is what
happens to a pushed one. Only two things are settled here: which zone the times are in, and what a row lacks because its
report says it for all of them. Times become UTC, but for those in the hour that occurs twice when clocks are set back:
they stay local and name their zone, `2026-10-25 02:30:00[Europe/Berlin]`, so that their event is known by both moments.

Data Locker's times are UTC. Those of the Pull API and of the dashboard carry no zone: UTC unless the request named
another, or the app's zone, respectively (https://support.appsflyer.com/hc/en-us/articles/208387843, read 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from flybridge.appsflyer.app_id import is_other_package, is_same_app, plain_app_id
from flybridge.appsflyer.columns import Columns
from flybridge.appsflyer.postback_time import has_fraction, local_time, time_ms
from flybridge.appsflyer.raw_report import (
    BAD_ROW,
    NO_EVENT_TIME,
    Report,
    app_named,
    is_of_skadnetwork,
    is_own_row,
    name_of,
    report_of,
)
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.identity.placeholders import is_shortened
from flybridge.system.text_encoding import line_text
from flybridge.written_time import zone_of as zone_named

TIMES: Final = (
    "event_time",
    "install_time",
    "attributed_touch_time",
    "device_download_time",
    "gp_click_time",
    "gp_install_begin",
    *(f"contributor_{number}_touch_time" for number in (1, 2, 3)),
)
"""The fields whose times have no zone of their own."""
IDENTIFYING: Final = ("event_time", "install_time")
"""The fields that tell which event a row is."""

DATED: Final = frozenset({Report.INSTALLS, Report.REINSTALLS, Report.RETARGETING, Report.EVENTS, Report.AD_REVENUE})
INSTALLED: Final = frozenset({Report.INSTALLS, Report.REINSTALLS})
INSTALLING: Final = frozenset({"install", "reinstall"})
"""Names of events that happen when the app is installed. A row of installs may have none."""
SHOWN: Final = 2000
"""How many characters of a bad row are kept."""

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class RawRow(Struct, frozen=True, gc=False):
    """One row: its report, its message, and the fields that say which event it is.

    `number` is the line where it begins, from 1, and `end` where the next one begins: a byte of the uncompressed file,
    or a row of a Parquet file.
    """

    number: int
    end: int
    report: Report
    fields: dict[str, str]

    @property
    def body(self) -> bytes:
        """The message, as JSON."""
        return _encode(self.fields)


class BadRow(Struct, frozen=True, gc=False):
    """A row that can't be read or used. `text` is how it stands in the file, or what it says as JSON, cut."""

    number: int
    end: int
    problem: str
    text: str
    reason: str = BAD_ROW


class Zone:
    """The time zone of a file's times. Raises `ConfigError` for a name that is none."""

    def __init__(self, name: str) -> None:
        self.ambiguous = 0
        zone = UTC if name.strip().upper() == "Z" else zone_named(name)
        if zone is None:
            example = "Write a name such as Europe/Berlin, an offset such as UTC+2, or UTC."
            raise ConfigError("--timezone", f"there is no time zone {name!r}.", example)
        self.name = zone.key if isinstance(zone, ZoneInfo) else name.strip()
        # A zone of rules has no offset without a time.
        self._zone = None if zone.utcoffset(None) == timedelta() else zone
        self._utc = lru_cache(4096)(self._offset)

    @property
    def is_utc(self) -> bool:
        """Whether it is UTC, so that no time is converted."""
        return self._zone is None

    def convert(self, fields: dict[str, str]) -> None:
        """Make the times of a row UTC, in place. A time with a zone of its own stays as it is."""
        if self._zone is None:
            return
        for name in TIMES:
            if (written := fields.get(name)) is not None and (local := local_time(written)) is not None:
                offset, twice = self._utc(local.replace(second=0, microsecond=0))
                self.ambiguous += twice
                fraction = f".{local.microsecond:06}".rstrip("0") if has_fraction(written) else ""
                fraction = ".0" if fraction == "." else fraction
                if twice and name in IDENTIFYING:
                    fields[name] = f"{local:%Y-%m-%d %H:%M:%S}{fraction}[{self.name}]"
                else:
                    fields[name] = f"{local - offset:%Y-%m-%d %H:%M:%S}{fraction}"

    def _offset(self, local: datetime) -> tuple[timedelta, bool]:
        """Return the offset of a local time, and whether that time is there twice because clocks are set back."""
        first, second = (local.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
        offset = first or timedelta()
        # Clocks that are set forward make a gap, in which no time lies.
        return offset, second is not None and second < offset


UTC_TIMES: Final = Zone("UTC")


def zone_of(columns: Columns, zone: Zone | None, name: str) -> Zone:
    """Return the zone of a file's times. Raises `FlybridgeError` if nothing says which one it is."""
    if not columns.has_display_names:
        return UTC_TIMES
    if zone is None:
        raise FlybridgeError(
            f"{name} does not say in which time zone its times are. Name it with --timezone: UTC for files of the Pull "
            "API, the app's own zone for files downloaded from the dashboard."
        )
    return zone


def row_of(number: int, end: int, fields: dict[str, str], named: Report | None, zone: Zone) -> RawRow:
    """Return a row from its filled fields, which are changed."""
    if "customer_user_id" in fields:
        fields["customer_user_id"] = user_of(fields["customer_user_id"])
    report = report_of(fields, named)
    if report is Report.AD_REVENUE and "event_name" not in fields:
        fields["event_name"] = "af_ad_revenue"
    zone.convert(fields)
    return RawRow(number, end, report, fields)


def user_of(written: str) -> str:
    """Return a user's id without the `.0` that programs write behind whole numbers if some of a column are missing."""
    return written[:-2] if written[-2:] == ".0" and written[:-2].isdecimal() and not is_shortened(written) else written


def is_of_app(fields: Mapping[str, str], app_id: str) -> bool:
    """Whether a row is of this app: a Data Locker holds the rows of all of an account's."""
    if said := fields.get("app_id"):
        return _may_be_of_app(said, app_id)
    bundle_id = fields.get("bundle_id")
    return not bundle_id or fields.get("platform", "").lower() != "android" or not is_other_package(bundle_id, app_id)


def is_path_of_app(path: str, app_id: str) -> bool:
    """Whether the rows of a file may be of this app: not if it lies in the folder of another one."""
    return _may_be_of_app(app_named(path), app_id)


@lru_cache(1024)
def _may_be_of_app(said: str, app_id: str) -> bool:
    return not plain_app_id(said) or is_same_app(said, app_id)


def happened_ms(fields: Mapping[str, str]) -> int | None:
    """Return when a row happened, as far as it says so: an install also by its install time.

    A postback of SKAdNetwork happened when it came, whose time has another name.
    """
    ms = time_ms(fields.get("event_time", ""))
    if ms is None and "timestamp" in fields and is_of_skadnetwork(fields):
        return time_ms(fields["timestamp"])
    if ms is None and (name_of(fields) or "install") in INSTALLING and not is_own_row(fields):
        return time_ms(fields.get("install_time", ""))
    return ms


def dated(row: RawRow) -> RawRow | BadRow:
    """Return a row as it is, or as a bad one if it has to say when it happened and the mapping would find no time.

    History can't be dated to the day on which it is read.
    """
    fields = row.fields
    written = fields.get("event_time")
    if (written is not None and time_ms(written) is not None) or row.report not in DATED:
        return row
    # Only an install happens at the install time.
    is_installed = row.report in INSTALLED and time_ms(fields.get("install_time", "")) is not None
    if is_installed or "event_time_selected_timezone" in fields:
        return row
    problem = "It has no event_time." if written is None else f"Its event_time {written[:50]!r} can't be read."
    problem = f"{problem} Write it as 2026-01-31 23:59:59."
    return BadRow(row.number, row.end, problem, row.body.decode()[:SHOWN], NO_EVENT_TIME)


def as_text(value: object) -> str:
    """Return a cell of a typed file as CSV writes it; empty for none. A time with a zone is UTC and says so."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            moment = value.astimezone(UTC) if value.tzinfo else value
            return moment.isoformat(" ", "milliseconds" if moment.microsecond else "seconds")
        case float():
            return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case bytes():
            return line_text(value)
        case Decimal():
            # As many digits as the column has: an id with a point and zeros would be another person's.
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case dict() | list():
            return _encode(_filled(value)).decode()
        case _:
            return str(value)


def _filled(value: object) -> object:
    """Return a value without the fields that are null: all rows of a typed file have those of every other."""
    if isinstance(value, dict):
        return {name: _filled(one) for name, one in value.items() if one is not None}
    return [_filled(one) for one in value] if isinstance(value, list) else value
