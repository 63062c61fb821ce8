"""Limits of an Amplitude event, and how properties are made to fit them without losing the event.

- Text has at most 1,024 characters, and objects nest at most 40 deep.
- `time` is whole milliseconds since 1970.
- A user or device id has at least 5 characters, unless the request says otherwise, and is none of a list of words.
- `$identify`, `$groupidentify` and names that begin with `[Amplitude]` are Amplitude's own.
- User property operations (`$set`, `$setOnce`, ...) are read only in `$identify` events.

https://amplitude.com/docs/apis/analytics/http-v2 (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.identity import usable

MAX_TEXT: Final = 1024
MAX_DEPTH: Final = 40
MIN_ID_LENGTH: Final = 5

# Amplitude publishes no limit for the properties of one event, but stops indexing a project's at 2,000
# (https://amplitude.com/docs/faq/limits). An event with more than this many is an accident.
MAX_PROPERTIES: Final = 1000
MAX_PROPERTY_BYTES: Final = 200_000

# Numbers beyond this are not the same number to a JSON reader with 64-bit integers.
MAX_INTEGER: Final = 2**63 - 1

RESERVED: Final = ("$", "[Amplitude]")

EMPTY_OBJECT: Final = len(b"{}")

_encode: Final = msgspec.json.Encoder().encode


class Event(Struct, kw_only=True, omit_defaults=True, gc=False):
    """Fields of an event except its ids, device and location. A field that is None is not written."""

    event_type: str
    time: int
    insert_id: str | None = None
    platform: str | None = None
    os_name: str | None = None
    session_id: int | None = None
    idfa: str | None = None
    idfv: str | None = None
    adid: str | None = None
    android_id: str | None = None
    android_app_set_id: str | None = None
    revenue: float | None = None
    currency: str | None = None
    revenueType: str | None = None  # noqa: N815 - the wire's name
    productId: str | None = None  # noqa: N815
    quantity: int | None = None
    event_properties: msgspec.Raw | None = None
    user_properties: msgspec.Raw | None = None


class _Ids(Struct, omit_defaults=True, gc=False):
    user_id: str | None = None
    device_id: str | None = None


def identifier(value: str | None, min_length: int = MIN_ID_LENGTH) -> str | None:
    """Return an id as Amplitude accepts it; None if Amplitude would refuse or remove it."""
    found = usable(value)
    return found if found is not None and min_length <= len(found) <= MAX_TEXT else None


def is_reserved(event_type: str) -> bool:
    """Whether an event name is reserved by Amplitude."""
    return event_type.startswith(RESERVED)


def text(value: str) -> str:
    """Return text cut to the length that Amplitude keeps."""
    return value if len(value) <= MAX_TEXT else value[:MAX_TEXT]


def within_limits(properties: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return a copy of properties within Amplitude's limits; append a note for each change.

    Long text is cut, too deep nesting becomes text, numbers that JSON can't carry become text or null, and of too many
    properties the last are left out.
    """
    kept: dict[str, Any] = {}
    size = 0
    for name, value in properties.items():
        found = _fit(value, MAX_DEPTH - 1, name, notes)
        size += len(name) + (len(found) if isinstance(found, str) else 8)
        if isinstance(found, dict | list):
            size += len(_encode(found))
        if len(kept) >= MAX_PROPERTIES or size > MAX_PROPERTY_BYTES:
            notes.append(f"Of {len(properties)} properties only {len(kept)} were kept: the event would be too large.")
            break
        kept[text(name)] = found
    return kept


def _fit(value: Any, layers: int, name: str, notes: list[str]) -> Any:
    match value:
        case str() if len(value) > MAX_TEXT:
            notes.append(f"The text of {name} was cut to {MAX_TEXT} characters.")
            return value[:MAX_TEXT]
        case bool() | str() | None:
            return value
        case int() if not -MAX_INTEGER <= value <= MAX_INTEGER:
            notes.append(f"The number in {name} is too large for JSON readers and was made text.")
            return _digits(value)
        case float() if not isfinite(value):
            notes.append(f"The number in {name} is not finite and was left out.")
            return None
        case dict() | list() if layers <= 1:
            notes.append(f"What nests deeper than {MAX_DEPTH} layers in {name} was made text.")
            return _flat(value)
        case dict():
            return {text(str(key)): _fit(part, layers - 1, name, notes) for key, part in value.items()}
        case list():
            return [_fit(part, layers - 1, name, notes) for part in value]
        case _:
            return value


def _flat(value: Any) -> str:
    try:
        return _encode(value)[: 4 * MAX_TEXT].decode("utf-8", "ignore")[:MAX_TEXT]
    except (msgspec.MsgspecError, OverflowError, RecursionError, UnicodeError):
        return "…"


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to write numbers of more than 4,300 digits
        return "…"


PAST: Final = b'{"$skip_user_properties_sync":true,'


def as_past(item: bytes) -> bytes:
    """Return an item whose event carries only its own properties, and leaves those of its user as they are.

    The event is the last line of an item (https://amplitude.com/docs/data/data-backfill, read 2026-11-27).
    """
    before, separator, event = item.rpartition(b"\n")
    return item if event.startswith(PAST) else before + separator + PAST + event[1:]


def joined(first: bytes, second: bytes) -> bytes:
    """Return one JSON object of two, which must have no key in common."""
    if len(second) == EMPTY_OBJECT:
        return first
    return second if len(first) == EMPTY_OBJECT else first[:-1] + b"," + second[1:]


def with_identity(body: bytes, user_id: str | None, device_id: str | None) -> bytes:
    """Return a JSON object's bytes with the two ids as its first keys, without decoding it.

    `body` must be a JSON object that has neither. An id that is None is left out.
    """
    if user_id is None and device_id is None:
        return body
    try:
        identity = _encode(_Ids(user_id, device_id))
    except UnicodeEncodeError:
        return with_identity(body, _whole(user_id), _whole(device_id))
    return joined(identity, body) if body.startswith(b'{"') else joined(identity, b"{" + body[1:].lstrip())


def _whole(value: str | None) -> str | None:
    """Return text without halves of surrogate pairs, which UTF-8 has no bytes for."""
    return None if value is None else value.encode("utf-8", "replace").decode()
