"""Reads uploads the way Amplitude's documentation says they are read, down to each error body.

https://amplitude.com/docs/apis/analytics/http-v2, .../batch-event-upload, .../attribution (read 2026-11-29).
What a page leaves open is marked *unverified* here and listed in `docs/how-to/sandbox.md`.

The quick way is one typed decode. Only a body that fails it is looked at field by field, to name what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import fields

from flybridge.delivery.exchange import json_object, json_of
from flybridge.sandbox.http import SandboxAnswer

MAX_DEPTH: Final = 40
DEFAULT_MIN_ID_LENGTH: Final = 5

REFUSED_IDS: Final = frozenset(
    {
        "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "",
        "00000000-0000-0000-0000-000000000000", "{}", "lmy47d", "0", "-1",
    }
)  # fmt: skip
"""Ids that make Amplitude answer 400, beside those that are all zeros. Compared without case (*unverified*)."""


class UploadedEvent(Struct, gc=False):
    """One event of an upload. Fields flybridge never sends are read too, so that their types are checked."""

    event_type: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    time: int | None = None
    insert_id: str | None = None
    event_properties: dict[str, Any] | None = None
    user_properties: dict[str, Any] | None = None
    groups: dict[str, Any] | None = None
    group_properties: dict[str, Any] | None = None
    session_id: int | None = None
    event_id: int | None = None
    app_version: str | None = None
    platform: str | None = None
    os_name: str | None = None
    os_version: str | None = None
    device_brand: str | None = None
    device_manufacturer: str | None = None
    device_model: str | None = None
    carrier: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    dma: str | None = None
    language: str | None = None
    ip: str | None = None
    price: float | None = None
    quantity: int | None = None
    revenue: float | None = None
    currency: str | None = None
    productId: str | None = None  # noqa: N815 - Amplitude's spelling
    revenueType: str | None = None  # noqa: N815 - Amplitude's spelling
    location_lat: float | None = None
    location_lng: float | None = None
    idfa: str | None = None
    idfv: str | None = None
    adid: str | None = None
    android_id: str | None = None
    android_app_set_id: str | None = None
    partner_id: str | None = None
    plan: dict[str, Any] | None = None
    skips_user_properties: bool | None = field(default=None, name="$skip_user_properties_sync")


class UploadOptions(Struct, gc=False):
    """Options of a request."""

    min_id_length: int | None = None


class Upload(Struct):
    """A request that can be applied: every event is valid, ids that are too short are gone."""

    api_key: str
    events: list[UploadedEvent]
    options: UploadOptions | None = None


ATTRIBUTION_IDS: Final = ("idfa", "idfv", "adid", "android_app_set_id")


def names_device(value: str | None) -> bool:
    """Whether an id is one that a device has: the one of all zeros is that of everybody who limits ad tracking."""
    return bool(value and value.strip("0-"))


class Attribution(Struct, gc=False):
    """The `event` argument of the Attribution API. `insert_id` is not documented there, and not deduplicated by."""

    event_type: str
    platform: str
    idfa: str | None = None
    idfv: str | None = None
    adid: str | None = None
    android_app_set_id: str | None = None
    android_id: str | None = None
    user_properties: dict[str, Any] | None = None
    time: int | None = None
    insert_id: str | None = None

    def ids(self) -> dict[str, str]:
        """Return the ids it can be matched by, by Amplitude's field name, in the case they came in."""
        names = ATTRIBUTION_IDS[:2] if self.platform == "ios" else ATTRIBUTION_IDS[2:]
        return {name: value for name in names if names_device(value := getattr(self, name))}


class Bounds(Struct, frozen=True):
    """What one request to an endpoint may hold, and how its error body names bad events.

    `max_bytes` and `max_events` are the largest that pass. `names_all`: the batch page promises the indexes of all
    bad events, the HTTP V2 page that of the first per field.
    """

    max_bytes: int
    max_events: int
    names_all: bool
    eps: int


HTTP_V2: Final = Bounds(max_bytes=1_000_000 - 1, max_events=1_999, names_all=False, eps=30)
BATCH: Final = Bounds(max_bytes=20_000_000, max_events=2_000, names_all=True, eps=1_000)


class ErrorAnswer(SandboxAnswer, frozen=True, kw_only=True):
    """An error answer. `bad` gives the events that are to blame, by index, with the reason,
    for a refusal that was found while reading; `events` and `api_key` say whose they are.
    """

    bad: Mapping[int, str] = {}
    events: Sequence[UploadedEvent] = ()
    api_key: str = ""


TOO_LARGE: Final = ErrorAnswer(413, {"code": 413, "error": "Payload too large"})
FORBIDDEN: Final = ErrorAnswer(403, {"code": 403, "error": "Forbidden"})

_decode = msgspec.json.Decoder(Upload).decode
_TYPES: Final = {field.encode_name: field.type for field in fields(UploadedEvent)}


def bad_request(error: str, **more: Any) -> ErrorAnswer:
    """Return a 400 with one of the documented errors."""
    return ErrorAnswer(400, {"code": 400, "error": error, **more})


def read_upload(body: bytes, bounds: Bounds, knows: Callable[[str], bool]) -> Upload | ErrorAnswer:
    """Read a body of HTTP V2 or Batch. `knows` says whether an API key is one; it is checked before the events."""
    if not body:
        return bad_request("Missing request body")
    if len(body) > bounds.max_bytes:
        return TOO_LARGE
    try:
        upload = _decode(body)
    except msgspec.ValidationError:
        return _explain(body, bounds, knows)
    except (msgspec.DecodeError, RecursionError):
        return bad_request("Invalid JSON request body")
    if not knows(upload.api_key):
        return bad_request("Invalid API key")
    if len(upload.events) > bounds.max_events:
        return TOO_LARGE
    missing, invalid = _check(upload.events, _shortest(upload.options))
    return field_errors(missing, invalid, bounds, upload.events, upload.api_key) if missing or invalid else upload


Fields = dict[str, list[int]]


def _shortest(options: UploadOptions | None) -> int:
    if options is None or options.min_id_length is None:
        return DEFAULT_MIN_ID_LENGTH
    return options.min_id_length


def _check(events: Sequence[UploadedEvent], shortest: int) -> tuple[Fields, Fields]:
    # An id that is too short is removed from its event; a placeholder is an error even beside a good id.
    missing: Fields = {}
    invalid: Fields = {}
    for index, event in enumerate(events):
        if not event.event_type:
            missing.setdefault("event_type", []).append(index)
        for name, value in (("user_id", event.user_id), ("device_id", event.device_id)):
            if value is not None and (value.lower() in REFUSED_IDS or not value.strip("0-")):
                invalid.setdefault(name, []).append(index)
            elif value is not None and len(value) < shortest:
                setattr(event, name, None)
        if event.user_id is None and event.device_id is None:
            missing.setdefault("user_id", []).append(index)
            missing.setdefault("device_id", []).append(index)
        if event.currency is not None and _CURRENCY.fullmatch(event.currency) is None:
            invalid.setdefault("currency", []).append(index)
        if event.revenue is None and (event.price is None or event.quantity is None):
            for name, value in (("productId", event.productId), ("revenueType", event.revenueType)):
                if value is not None:
                    invalid.setdefault(name, []).append(index)
        for name, properties in (
            ("event_properties", event.event_properties),
            ("user_properties", event.user_properties),
        ):
            if properties and too_deep(properties):
                invalid.setdefault(name, []).append(index)
    return missing, invalid


_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_CONTAINERS: Final = frozenset({dict, list})


def too_deep(value: Any, left: int = MAX_DEPTH) -> bool:
    """Whether objects and arrays are nested deeper than Amplitude allows."""
    if isinstance(value, dict):
        inner: Collection[Any] = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    if left == 0:
        return True
    # Nearly all properties are flat, which is seen without a loop in Python.
    if _CONTAINERS.isdisjoint(map(type, inner)):
        return False
    return any(too_deep(part, left - 1) for part in inner)


def field_errors(
    missing: Mapping[str, list[int]],
    invalid: Mapping[str, list[int]],
    bounds: Bounds,
    events: Sequence[UploadedEvent],
    api_key: str = "",
) -> ErrorAnswer:
    """Return the 400 that names events by field and index. The request as a whole is refused."""
    bad: dict[int, str] = {}
    for word, table in (("missing", missing), ("invalid", invalid)):
        for name, indexes in table.items():
            for index in indexes:
                bad.setdefault(index, f"{word}:{name}")
    body = {
        "code": 400,
        "error": "Invalid field values on some events" if invalid else "Request missing required field",
        "missing_field": None,
        "events_with_invalid_fields": {name: _named(indexes, bounds) for name, indexes in invalid.items()},
        "events_with_missing_fields": {name: _named(indexes, bounds) for name, indexes in missing.items()},
    }
    return ErrorAnswer(400, body, bad=bad, events=events, api_key=api_key)


def _named(indexes: list[int], bounds: Bounds) -> list[int]:
    return indexes if bounds.names_all else indexes[:1]


def _explain(body: bytes, bounds: Bounds, knows: Callable[[str], bool]) -> Upload | ErrorAnswer:
    if (request := json_object(body)) is None:
        return bad_request("Invalid JSON request body")
    for name in ("api_key", "events"):
        if request.get(name) is None:
            return bad_request("Request missing required field", missing_field=name)
    if not isinstance(request["api_key"], str) or not knows(request["api_key"]):
        return bad_request("Invalid API key")
    events = request["events"]
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        return bad_request("Invalid event JSON")
    if not _fits(request.get("options"), UploadOptions | None):
        return bad_request("Invalid JSON request body")
    if len(events) > bounds.max_events:
        return TOO_LARGE
    return _explain_events(
        events, msgspec.convert(request.get("options"), UploadOptions | None), bounds, request["api_key"]
    )


def _explain_events(
    raw: list[dict[str, Any]], options: UploadOptions | None, bounds: Bounds, api_key: str
) -> ErrorAnswer:
    wrong: Fields = {}
    events: list[UploadedEvent] = []
    for index, fields_ in enumerate(raw):
        good = {}
        for name, type_ in _TYPES.items():
            if _fits(fields_.get(name), type_):
                good[name] = fields_.get(name)
            else:
                wrong.setdefault(name, []).append(index)
        events.append(msgspec.convert(good, UploadedEvent))
    missing, invalid = _check(events, _shortest(options))
    # A field of the wrong type was left out for the check, so that it is invalid and not missing too.
    mistyped = {index for indexes in wrong.values() for index in indexes}
    missing = {name: left for name, indexes in missing.items() if (left := [i for i in indexes if i not in mistyped])}
    for name, indexes in wrong.items():
        invalid[name] = sorted({*invalid.get(name, ()), *indexes})
    return field_errors(missing, invalid, bounds, events, api_key)


def _fits(value: Any, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return False
    return True


BAD_ATTRIBUTION: Final = ErrorAnswer(400, {"code": 400, "error": "The expected JSON is formatted incorrectly."})


def read_attribution(event: str | None) -> Attribution | ErrorAnswer:
    """Read the `event` argument: one event, with a platform and at least one of its platform's ids."""
    if not event:
        return bad_request("Request missing required field", missing_field="event")
    if (attribution := json_of(event.encode(), Attribution)) is None:
        return BAD_ATTRIBUTION
    on_ios = attribution.platform == "ios"
    sent = (attribution.idfa, attribution.idfv) if on_ios else (attribution.adid, attribution.android_app_set_id)
    if attribution.platform not in {"ios", "android"} or not attribution.event_type or not any(sent):
        return BAD_ATTRIBUTION
    return attribution
