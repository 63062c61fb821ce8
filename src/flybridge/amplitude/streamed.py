"""Events of Amplitude's webhook stream, with look-up by path.

The default payload of a webhook is an event in the Export API's format. A FreeMarker template can give it any other
shape, which `reshaped` converts by the configured names. The payload of a user has no `event_type` and is no event.

https://amplitude.com/docs/data/destination-catalog/webhooks, https://amplitude.com/docs/apis/analytics/export
(read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.amplitude.stream import object_of, platform_of, time_ms
from flybridge.identity.bare import text_of
from flybridge.identity.masking import masked
from flybridge.lenient_json import decode, json_type
from flybridge.records import Dead
from flybridge.system.text_encoding import BLANKS
from flybridge.system.yes_or_no import yes_or_no

SECTIONS: Final = ("event_properties", "user_properties", "group_properties", "groups", "data")
"""Fields of an event that are objects."""

MAX_WRAPPERS: Final = 4

# https://amplitude.com/docs/apis/analytics/identify, with what exported users and events call the same.
USER_KEYS: Final = frozenset(
    {
        "user_id", "device_id", "amplitude_id", "user_properties", "groups", "group_properties", "app_version",
        "platform",
        "os_name", "os_version", "device_brand", "device_manufacturer", "device_model", "device_family", "device_type",
        "device_carrier", "carrier", "country", "region", "city", "dma", "language", "paying", "start_version",
        "version_name", "app", "library", "uuid", "event_time", "client_event_time", "server_upload_time",
        "adid", "idfa", "idfv", "android_app_set_id", "appsflyer_id", "ip_address", "schema", "$schema",
        "amplitude_attribution_ids", "session_id", "time", "user_creation_time",
    }
)  # fmt: skip

# https://amplitude.com/docs/apis/analytics/export, with what events of the HTTP V2 API have beside.
EVENT_KEYS: Final = USER_KEYS | {
    "event_type", "event_properties", "event_id", "$insert_id", "insert_id", "data", "amplitude_event_type",
    "client_upload_time", "server_received_time", "processed_time", "is_attribution_event", "location_lat",
    "location_lng", "sample_rate", "revenue", "price", "quantity", "productId", "revenueType", "currency",
}  # fmt: skip

EMPTY: Final[Mapping[str, Any]] = {}


class Streamed(Struct, frozen=True):
    """One event. `fields` are in the Export API's format."""

    fields: Mapping[str, Any]

    @property
    def event_type(self) -> str:
        """The name of the event, without blanks around it."""
        return str(self.fields["event_type"]).strip(BLANKS)

    @property
    def time_ms(self) -> int | None:
        """The time of the event in milliseconds; None without one."""
        found = (time_ms(self.fields.get(name)) for name in ("event_time", "client_event_time", "time"))
        return next((time for time in found if time is not None), None)

    @property
    def platform(self) -> str:
        """`android`, `ios`, or what the event says in lower case; empty without a platform."""
        return platform_of(self.fields)

    @property
    def user_id(self) -> str | None:
        """Amplitude's user id."""
        return text_of(self.fields.get("user_id"))

    @property
    def device_id(self) -> str | None:
        """Amplitude's device id."""
        return text_of(self.fields.get("device_id"))

    @property
    def identity(self) -> tuple[str, str] | None:
        """The identity of the event: its `$insert_id` on its device, else its `uuid`; None without either.

        The bytes of a retry may differ, and a file of the Export API holds the same event in other bytes.
        """
        insert_id = text_of(self.fields.get("$insert_id")) or text_of(self.fields.get("insert_id"))
        if insert_id is not None:
            return insert_id, self.device_id or self.user_id or ""
        unique = text_of(self.fields.get("uuid"))
        return None if unique is None else (unique, "")

    def section(self, name: str) -> Mapping[str, Any]:
        """Return an object of the event; empty if absent."""
        found = self.fields.get(name)
        return found if isinstance(found, Mapping) else EMPTY

    def find(self, path: str) -> Any:
        """Return the value at a path; None if absent or blank text."""
        return look_up(self.fields, path)


def event_in(message: Any) -> Streamed | None:
    """Return the message as an event; None for anything else (a user, a cohort, a list)."""
    if isinstance(message, Mapping) and isinstance(name := message.get("event_type"), str) and name.strip(BLANKS):
        return Streamed(_opened(message))
    return None


def _opened(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event whose sections are objects, also those that a template has written as text or in a list. What
    can't be read stays as it is.
    """
    written = [name for name in SECTIONS if isinstance(event.get(name), str | list)]
    return {**event, **{name: object_of(event[name]) or event[name] for name in written}} if written else event


def is_attribution_event(event: Streamed) -> bool:
    """Whether Amplitude says that it has made the event from a call of its Attribution API."""
    return yes_or_no(event.find("is_attribution_event")) is True


def read_message(body: bytes, names: Mapping[str, str]) -> Any:
    """Return a message in the default shape, mended, reshaped and unwrapped. Raises `msgspec.DecodeError`."""
    message = decode(body)
    shaped = reshaped(message, names)
    if event_in(shaped) is not None or (inner := unwrapped(message)) is message:
        return shaped
    return reshaped(inner, names)


def unwrapped(message: Any) -> Any:
    """Return what stands in `{"events": ...}`, `{"event": ...}`, `{"input": ...}` or, as in the Identify API,
    `{"identification": ...}`, or in JSON that was encoded once more; a list of one is that one.
    """
    for _ in range(MAX_WRAPPERS):
        match message:
            case {"event_type": _}:
                return message
            case (
                {"events": dict() | list() | str() as inner}
                | {"input": dict() | list() | str() as inner}
                | {"event": dict() | list() | str() as inner}
                | {"identification": dict() | list() | str() as inner}
                | [dict() | list() | str() as inner]
            ):
                message = inner
            case str() if message.lstrip()[:1] in ("{", "[", '"'):
                try:
                    message = decode(message.encode("utf-8", "surrogatepass"))
                except (msgspec.DecodeError, RecursionError):
                    return message
            case _:
                return message
    return message


def is_user(message: Any, names: Mapping[str, str] = EMPTY) -> bool:
    """Whether a message is a user in the Identify API's format: its keys are those of a user and no others.

    With `names`, the paths of `reshaped`, it may also have the keys from which a template's fields were taken.
    """
    if not isinstance(message, Mapping) or not message:
        return False
    taken = {part for path in names.values() for part in (path, path.partition(".")[0])}
    return USER_KEYS.issuperset(message.keys() - taken)


def events_in(message: Any) -> int:
    """Return the number of events in a message, those in lists included."""
    if isinstance(message, list):
        return sum(events_in(part) for part in message)
    return int(event_in(message) is not None)


def look_up(fields: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path; None if absent or blank. A key with dots is tried whole before it is split."""
    found: Any = fields.get(path)
    if found is None:
        head, dot, rest = path.partition(".")
        inner = fields.get(head) if dot else None
        found = look_up(inner, rest) if isinstance(inner, Mapping) else None
    return None if isinstance(found, str) and not found.strip() else found


def reshaped(message: Any, names: Mapping[str, str]) -> Any:
    """Return a message of a template in the default shape. `names` maps a default field to its path in the message.

    Other fields stay as they are. Lists are reshaped item by item.
    """
    if not names:
        return message
    if isinstance(message, list):
        return [reshaped(part, names) for part in message]
    if not isinstance(message, Mapping):
        return message
    fields = dict(message)
    for target, path in names.items():
        if (found := look_up(message, path)) is None:
            continue
        section, dot, key = target.partition(".")
        if dot and section in SECTIONS:
            inner = fields.get(section)
            fields[section] = {**(inner if isinstance(inner, Mapping) else EMPTY), key: found}
        else:
            fields[target] = found
    return fields


def not_understood(message: Any, expected: str, fault: str = "") -> Dead:
    """Return the dead letter of a message that is no event, user or cohort. It names the keys that the message has, or
    the `fault` of one of them.
    """
    first = next((one for one in message if isinstance(one, Mapping)), None) if isinstance(message, list) else message
    if not isinstance(first, Mapping):
        kind = "an empty list" if message == [] else json_type(message)
        return Dead("decode", "not_an_object", f"The message is JSON, but {kind} and not an object.", _DEFAULT_PAYLOAD)
    keys = keys_of(first)
    names = f"its keys are {', '.join(keys)}" if keys else "it has no keys"
    return Dead(
        "decode",
        "not_understood",
        f"The message can't be read as {'a cohort' if expected == 'cohort' else 'an event or a user'} of Amplitude: "
        f"{fault or names}.",
        _DEFAULT_PAYLOAD if expected == "cohort" else _OWN_TEMPLATE,
    )


def keys_of(message: Mapping[Any, Any]) -> list[str]:
    """Return a message's first keys, those masked that identify a person."""
    return [masked(str(key))[:MAX_KEY] for key in list(message)[:MAX_KEYS]]


MAX_KEYS: Final = 20
MAX_KEY: Final = 40
_DEFAULT_PAYLOAD: Final = "Send the default payload, or one of the templates in Amplitude's documentation."
_OWN_TEMPLATE: Final = (
    "Say under apps.amplitude.stream_fields where event_type, event_time, user_id and the others are found, or send "
    "the default payload; then replay."
)
