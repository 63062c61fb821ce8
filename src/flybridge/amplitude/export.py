"""Amplitude's Export API: the events that were uploaded in some hours, each with its insert_id. Pure but for the file.

https://amplitude.com/docs/apis/analytics/export (read 2026-11-27). Hours are those of the upload, in UTC, and are there
two hours after they are over. The answer is a zip of gzipped files with one event a line; 404 where there is nothing,
400 where it is more than 4 GB: then a shorter time is asked for. 365 days at most.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from flybridge.amplitude.cohort import Credentials
from flybridge.amplitude.stream import time_ms
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.lenient_json import decode
from flybridge.records import HOUR_MS

PATH: Final = "/api/2/export"
DELAY_MS: Final = 2 * HOUR_MS
"""How long after its end an hour is there."""


class ExportRefused(Struct, frozen=True):
    """Why there is no export. `is_empty`: there is nothing in these hours; `is_large`: ask for fewer of them."""

    problem: str
    is_empty: bool = False
    is_large: bool = False


class ExportedEvent(Struct, gc=False):
    """One event of an export, as far as it is compared."""

    event_type: Any = ""
    insert_id: Any = field(default=None, name="$insert_id")
    event_time: Any = ""
    event_properties: Any = None
    user_properties: Any = None
    platform: Any = None

    @property
    def time_ms(self) -> int | None:
        """When it happened; None if that can't be read."""
        return time_ms(self.event_time)

    def value(self, name: str, *, of_user: bool) -> str | None:
        """Return a property of the event or its user as text; None if it has none."""
        properties = self.user_properties if of_user else self.event_properties
        found = properties.get(name) if isinstance(properties, dict) else None
        return found if isinstance(found, str) else None


_LINE: Final = msgspec.json.Decoder(ExportedEvent)


def request(credentials: Credentials, first_ms: int, last_ms: int) -> HttpRequest:
    """Build the request for the hours from that of `first_ms` to that of `last_ms`, both included."""
    return credentials.get(f"{PATH}?{urlencode({'start': _hour(first_ms), 'end': _hour(last_ms)})}")


def _hour(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms // HOUR_MS * 3600, UTC):%Y%m%dT%H}"


def refusal(response: HttpResponse) -> ExportRefused | None:
    """Return why an answer is no export; None if it is one."""
    match response.status:
        case 200:
            return None
        case 404:
            return ExportRefused("There is no data in these hours.", is_empty=True)
        case 400 if b"too large" in response.body:
            return ExportRefused("The export is larger than 4 GB.", is_large=True)
        case 504:
            return ExportRefused("The export took Amplitude too long.", is_large=True)
        case 401 | 403:
            return ExportRefused(
                f"Amplitude answers {response.status}: amplitude.api_key, secret_key and region are not of one project."
            )
        case status if status >= 500 or status in {408, 425, 429}:
            return ExportRefused(f"Amplitude answers {status}.")
        case status:
            return ExportRefused(f"Amplitude refuses the export ({status}).")


def _event(line: bytes) -> ExportedEvent:
    try:
        return _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # One property of one event, such as text that was cut inside an emoji, is no reason to read none of them.
        return msgspec.convert(decode(line), ExportedEvent)


def events(file: IO[bytes]) -> Iterator[ExportedEvent]:
    """Yield the events of an export. Raises `ValueError` if the file is none, or broken."""
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if not name.endswith(".gz"):
                    continue
                with archive.open(name) as packed, gzip.open(packed) as lines:
                    for line in lines:
                        if line.strip():
                            yield _event(line)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, msgspec.DecodeError, RecursionError) as problem:
        raise ValueError(f"The export can't be read: {problem}.") from problem
