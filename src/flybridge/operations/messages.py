"""Messages as people give them to a command: JSON, a query string, or CSV, in any encoding; which kind each is."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.amplitude import cohort_message
from flybridge.amplitude.streamed import event_in, read_message
from flybridge.appsflyer.columns import columns_of
from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback import V1_NAMES
from flybridge.records import Media, Source
from flybridge.system.text_encoding import encoding_of

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

_QUERY: Final = re.compile(r"(?:(?:GET\s+)?\S*\?)?([\w.$%\[\]+-]+=[^\s]*)(?:\s+HTTP/[\d.]+)?")


class GivenMessage(Struct, frozen=True):
    """One message as it would reach flybridge. `form` says in words what it was read as.

    `problem` is why a row of a file can't be read; it has no body then. `ordinal` and `newest` are the envelope's.
    `call` is the end of the path of a list-based integration: `/`, `/{id}/add` or `/{id}/remove`.
    """

    form: str
    source: Source
    media: Media
    body: bytes
    ordinal: int = 0
    problem: str = ""
    newest: bool = False
    call: str = ""


def read_messages(
    raw: bytes, source: Source | None = None, fields: Mapping[str, str] | None = None
) -> list[GivenMessage]:
    """Return the messages in a file or text: JSON, a query string or an address with one, or CSV with a header.

    Text in UTF-8 (with or without a byte order mark), UTF-16, UTF-32 and Latin-1 is read. Without a `source` the fields
    decide whether JSON is AppsFlyer's or Amplitude's; `fields` are the app's `stream_fields`.
    """
    text = as_text(raw)
    stripped = text.strip()
    body = stripped.encode("utf-8", "surrogatepass")
    if stripped[:1] not in ("{", "[") and source in (None, Source.PUSH):
        if (query := _QUERY.fullmatch(stripped)) is not None:
            return [GivenMessage("postback (GET)", Source.PUSH, Media.QUERY, query[1].encode("utf-8", "surrogatepass"))]
        if rows := list(_rows(text)):
            return rows
    chosen = source or kind_of(body, fields or {})
    return [GivenMessage(FORMS[chosen], chosen, Media.JSON, body)]


def as_text(raw: bytes) -> str:
    """Return the text of a file as editors save it."""
    if encoding := encoding_of(raw):
        return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def kind_of(body: bytes, fields: Mapping[str, str]) -> Source:
    """Return whether JSON is a postback, an event, user or list of Amplitude's, or a cohort, by its fields' names."""
    try:
        message = read_message(body, fields)
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
    if isinstance(message.get("events"), list):
        return True
    ours, theirs = len(AMPLITUDE_ONLY & message.keys()), len(APPSFLYER_ONLY & message.keys())
    if ours == theirs == 0:
        # A template of Amplitude's may have any keys, while every postback has some of AppsFlyer's.
        return event_in(message) is not None or (bool(message) and KNOWN.isdisjoint(message))
    return ours > theirs


def _rows(text: str) -> Iterator[GivenMessage]:
    begins = len(text) - len(text.lstrip())
    text, skipped = text[begins:], text.count("\n", 0, begins)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = columns_of(next(reader, []))
    except csv.Error:
        return
    if len(set(columns.fields) & set(NAMES)) < 2:
        return
    seen: Counter[bytes] = Counter()
    number = 0
    while True:
        line = skipped + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            yield _unreadable(line, f"it is no row of CSV: {problem}.")
            continue
        if not any(values):
            continue
        number += 1
        if len(values) != len(columns.fields):
            yield _unreadable(line, f"it has {len(values)} values, and the header has {len(columns.fields)}.")
            continue
        body = msgspec.json.encode(columns.row(values))
        seen[body] += 1
        yield GivenMessage(f"row {number} of the file", Source.FILE, Media.JSON, body, seen[body])


def _unreadable(line: int, problem: str) -> GivenMessage:
    return GivenMessage(f"line {line} of the file", Source.FILE, Media.JSON, b"", problem=f"Line {line}: {problem}")
