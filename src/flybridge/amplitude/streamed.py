"""One event of Amplitude on its way to AppsFlyer: the stream's message as a value that can be asked by path.

The default payload of a webhook is an event in the Export API's format; a FreeMarker template can give it any other
shape, which `reshaped` turns back by the names that are configured. A user's payload has no `event_type` and is no
event.

https://amplitude.com/docs/data/destination-catalog/webhooks, https://amplitude.com/docs/apis/analytics/export
(read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.stream import time_ms
from flybridge.identity import usable

SECTIONS: Final = ("event_properties", "user_properties", "group_properties", "groups", "data")
"""Where a path leads into an object of its own."""

EMPTY: Final[Mapping[str, Any]] = {}


class Streamed(Struct, frozen=True):
    """One event. `fields` are in the Export API's format."""

    fields: Mapping[str, Any]

    @property
    def event_type(self) -> str:
        """Return the event's name."""
        return str(self.fields["event_type"])

    @property
    def time_ms(self) -> int | None:
        """Return when it happened, in milliseconds; None if it does not say."""
        return time_ms(self.fields.get("event_time")) or time_ms(self.fields.get("client_event_time"))

    @property
    def user_id(self) -> str | None:
        """Return Amplitude's user id."""
        return _id(self.fields.get("user_id"))

    @property
    def device_id(self) -> str | None:
        """Return Amplitude's device id."""
        return _id(self.fields.get("device_id"))

    @property
    def identity(self) -> tuple[str, str] | None:
        """What makes two messages the same event: its `$insert_id` on its device, else its `uuid`; None: nothing.

        The bytes of a retry may differ, and a file of the Export API brings the same event in others.
        """
        insert_id = _id(self.fields.get("$insert_id")) or _id(self.fields.get("insert_id"))
        if insert_id is not None:
            return insert_id, self.device_id or self.user_id or ""
        unique = _id(self.fields.get("uuid"))
        return None if unique is None else (unique, "")

    def section(self, name: str) -> Mapping[str, Any]:
        """Return an object of the event, empty if it has none."""
        found = self.fields.get(name)
        return found if isinstance(found, Mapping) else EMPTY

    def find(self, path: str) -> Any:
        """Return what is at a path; None where nothing is. Blank text is nothing."""
        return look_up(self.fields, path)


def event_in(message: Any) -> Streamed | None:
    """Return the message as an event, None if it is none (a user, a cohort, a list)."""
    if isinstance(message, Mapping) and isinstance(name := message.get("event_type"), str) and name.strip():
        return Streamed(message)
    return None


def events_in(message: Any) -> int:
    """Count the events in a message, those in lists included."""
    if isinstance(message, list):
        return sum(events_in(part) for part in message)
    return int(event_in(message) is not None)


def look_up(fields: Mapping[str, Any], path: str) -> Any:
    """Follow a path into an object. A key may hold dots: it is tried whole before it is taken apart."""
    found: Any = fields.get(path)
    if found is None:
        head, dot, rest = path.partition(".")
        inner = fields.get(head) if dot else None
        found = look_up(inner, rest) if isinstance(inner, Mapping) else None
    return None if isinstance(found, str) and not found.strip() else found


def reshaped(message: Any, names: Mapping[str, str]) -> Any:
    """Return a message of a template's shape in the default one: field of the default payload, and where it is here.

    What is not named stays as it is. Lists are reshaped part by part.
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


def _id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return usable(value) if isinstance(value, str) else None
