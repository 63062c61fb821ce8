"""Messages as people give them to a command: JSON, a query string, or CSV, in any encoding; which kind each is."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.amplitude import cohort_message
from flybridge.amplitude.streamed import event_in, read_message
from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback import V1_NAMES
from flybridge.appsflyer.raw_report import BAD_ROW, TAKEN
from flybridge.appsflyer.wrapped import message_in
from flybridge.errors import FlybridgeError
from flybridge.history.csv_rows import CsvReader
from flybridge.history.equal_rows import RowIdentity, identifying, row_identity
from flybridge.history.rows import UTC_TIMES, BadRow, RawRow, dated, is_of_app
from flybridge.history.take import letter_of
from flybridge.records import Media, Source
from flybridge.system.text_encoding import as_utf8, encoding_of, line_text, utf8
from flybridge.web.body import unpacked
from flybridge.web.members import messages_in

AMPLITUDE_ONLY: Final = frozenset(
    {
        "amplitude_id", "user_id", "device_id", "event_properties", "user_properties", "group_properties", "groups",
        "insert_id", "$insert_id", "client_event_time", "client_upload_time", "server_received_time",
        "server_upload_time", "processed_time", "session_id", "uuid", "event_id", "amplitude_event_type",
        "amplitude_attribution_ids", "is_attribution_event", "os_name", "version_name", "start_version", "paying",
        "library", "data", "device_family", "device_carrier", "sample_rate", "$schema", "user_creation_time",
    }
)  # fmt: skip
"""Fields of Amplitude's Export API format that no message of AppsFlyer has."""

APPSFLYER_ONLY: Final = (frozenset(NAMES) | frozenset(V1_NAMES)) - {
    "event_type", "event_time", "platform", "app_version", "language", "country_code", "region", "city", "dma",
    "device_type", "os_version", "idfa", "idfv", "carrier",
}  # fmt: skip
"""Fields of AppsFlyer's messages that an event of Amplitude has not."""

KNOWN: Final = frozenset(NAMES) | frozenset(V1_NAMES)

COHORT_ONLY: Final = frozenset({"cohort_id", "in_cohort"})
"""Fields of a cohort webhook's message. Other forms of cohort messages look like users, and have to be named."""

FORMS: Final = {
    Source.PUSH: "postback (POST)",
    Source.STREAM: "event of Amplitude",
    Source.COHORT: "cohort message of Amplitude",
}

THE_FILE: Final = "the file"
LEFT_OUT: Final = "left_out"
MAX_UNPACKED: Final = 1 << 28

_QUERY: Final = re.compile(r"(?:(?:GET\s+)?\S*\?)?([\w.$%\[\]+-]+=[^\s]*)(?:\s+HTTP/[\d.]+)?")

_BASE64: Final = re.compile(r"[\w+/-]+={1,2}", re.ASCII)
"""Text that ends as base64 may. As a query it would have one field, without a value."""


class GivenMessage(Struct, frozen=True):
    """One message as it would reach flybridge. `form` says in words what it was read as.

    `problem` is why a row of a file can't be read, or is left out, as `outcome` says; it has no body then. `ordinal`
    and `newest` are the envelope's.
    `call` is the end of the path of a list-based integration: `/`, `/{id}/add` or `/{id}/remove`.
    """

    form: str
    source: Source
    media: Media
    body: bytes
    ordinal: int = 0
    problem: str = ""
    outcome: str = "unreadable"
    newest: bool = False
    call: str = ""


def read_messages(
    raw: bytes,
    source: Source | None = None,
    fields: Mapping[str, str] | None = None,
    *,
    by_attribution: bool = False,
    app_id: str = "",
) -> list[GivenMessage]:
    """Return the messages in a file or text: JSON, a query string or an address with one, or CSV with a header.

    What is compressed with gzip is unpacked. Text in UTF-8 (with or without a byte order mark), UTF-16, UTF-32 and
    Windows-1252 is read. Without a `source` the fields decide whether JSON is AppsFlyer's or Amplitude's; `fields` are
    the app's `stream_fields`, and `by_attribution` says whether its events are counted by their attributions. Rows of
    another app than `app_id` are left out.
    """
    if isinstance(plain := unpacked(raw, _no_header, MAX_UNPACKED), bytes):
        raw = plain
    stripped = as_text(raw).strip()
    if stripped[:1] not in ("{", "[") and source in (None, Source.PUSH):
        query = None if _BASE64.fullmatch(stripped) else _QUERY.fullmatch(stripped)
        if query is not None:
            return [GivenMessage("postback (GET)", Source.PUSH, Media.QUERY, query[1].encode("utf-8", "surrogatepass"))]
        if rows := list(_rows(raw, identifying(by_attribution=by_attribution), app_id)):
            return rows
    body = utf8(raw).removeprefix(BOM_UTF8).strip()
    chosen = source or kind_of(body, fields or {})
    return [GivenMessage(FORMS[chosen], chosen, Media.JSON, body)]


def _no_header(_: str) -> str | None:
    return None


def as_text(raw: bytes) -> str:
    """Return the text of a file as editors save it."""
    if encoding := encoding_of(raw):
        return raw.decode(encoding, "replace")
    return line_text(raw)


def kind_of(body: bytes, fields: Mapping[str, str]) -> Source:
    """Return whether JSON is a postback, an event, user or list of Amplitude's, or a cohort, by its fields' names."""
    first, *_ = messages_in(body, Source.COHORT, takes_apart=False) or (body,)
    try:
        message = read_message(first, fields)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Source.PUSH
    if isinstance(message, list):
        message = next((one for one in message if isinstance(one, Mapping)), None)
    if not isinstance(message, Mapping):
        return Source.PUSH
    if message.keys() >= COHORT_ONLY or cohort_message.FRAME in message:
        return Source.COHORT
    return Source.STREAM if _is_amplitudes(message) else Source.PUSH


def _is_amplitudes(message: Mapping[str, Any]) -> bool:
    if message_in(message) is not None:
        return False
    if isinstance(message.get("events"), list):
        return True
    ours, theirs = len(AMPLITUDE_ONLY & message.keys()), len(APPSFLYER_ONLY & message.keys())
    if ours == theirs == 0:
        # A template of Amplitude's may have any keys, while every postback has some of AppsFlyer's.
        return event_in(message) is not None or (bool(message) and KNOWN.isdisjoint(message))
    return ours > theirs


def _rows(raw: bytes, names: Sequence[str], app_id: str) -> Iterator[GivenMessage]:
    """Yield the rows of raw data as `flybridge import` reads them, with times of UTC. Another file has none."""
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    try:
        rows = CsvReader(as_utf8(io.BufferedReader(io.BytesIO(raw))), THE_FILE, None, UTC_TIMES)
    except FlybridgeError:
        return
    seen = Counter[RowIdentity]()
    for number, read in enumerate(rows, 1):
        if isinstance(read, RawRow) and app_id and not is_of_app(read.fields, app_id):
            problem = f"It is a row of another app, {read.fields['app_id']}, and is not imported."
            yield GivenMessage(_row(number), Source.FILE, Media.JSON, b"", problem=problem, outcome=LEFT_OUT)
            continue
        row = read if isinstance(read, BadRow) else dated(read)
        if isinstance(row, BadRow):
            yield _bad(row)
        elif row.report not in TAKEN:
            problem = f"It is a row of AppsFlyer's {row.report} report, which is not imported."
            yield GivenMessage(_row(number), Source.FILE, Media.JSON, b"", problem=problem, outcome=LEFT_OUT)
        else:
            ordinal = 1
            if (identity := row_identity(row.fields, names)) is not None:
                seen[identity] += 1
                ordinal = seen[identity]
            yield GivenMessage(_row(number), Source.FILE, Media.JSON, row.body, ordinal)


def _row(number: int) -> str:
    return f"row {number} of the file"


def _bad(row: BadRow) -> GivenMessage:
    form = f"line {row.number} of the file"
    if row.reason != BAD_ROW:  # the import makes a dead letter of it that is replayed when the line is corrected
        return GivenMessage(form, Source.FILE, Media.ROW, letter_of(THE_FILE, row))
    problem = f"Line {row.number}: {row.problem[:1].lower()}{row.problem[1:]}"
    return GivenMessage(form, Source.FILE, Media.JSON, b"", problem=problem)
