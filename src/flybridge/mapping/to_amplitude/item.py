"""Write one Amplitude item, for the HTTP V2 API or the Attribution API.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/attribution
(read 2026-11-24).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from flybridge.amplitude.event import Event, within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.identity.masking import masked
from flybridge.mapping.person import TOP, Identified, names_a_device
from flybridge.mapping.table import moment_of
from flybridge.mapping.to_amplitude.revenue import NO_REVENUE, revenue_of
from flybridge.mapping.to_amplitude.rules import Classification, CompiledRules

_encode: Final = msgspec.json.Encoder().encode
_encode_into: Final = msgspec.json.Encoder().encode_into

NOTHING: Final[dict[str, Any]] = {}
COMMA: Final = ord(",")


class Item(Struct, frozen=True, gc=False):
    """All that is known of one item before its JSON is written."""

    postback: Postback
    compiled: CompiledRules
    classification: Classification
    person: Identified
    value: Any
    event_ms: int
    insert_id: str
    is_past: bool = False
    is_newest: bool = False

    def http_v2(self, notes: list[str]) -> tuple[bytes, bytes]:
        """Write the item for the HTTP V2 API, and the `$identify` event that goes before it, empty if it needs none."""
        postback, value, classified, person = self.postback, self.value, self.classification, self.person
        revenue = revenue_of(postback, value, self.compiled.revenue, notes) or NO_REVENUE
        if classified.is_renamed:
            notes.append("The event's name is one of Amplitude's own and got the prefix.")
        event_properties = Raw(self.event_properties(notes))
        user_properties, identify = None, b""
        if classified.plan.user.keys:
            values, written = self.user_properties(notes)
            user_properties = Raw(written)
            if classified.is_conversion:
                identify = self._attributed(values, written)
        # After an uninstall of long ago the app may have been installed again.
        if classified.kind is Kind.UNINSTALL and not self.is_past:
            when = moment_of(self.event_ms)
            identify = classified.plan.attribution.uninstalled(when, time_ms=self.event_ms, insert_id=self.insert_id)
        place = self.compiled.place.place_of(postback)
        # The fields of `Event`, in its order, and those of the place.
        fields = (
            classified.event_type,
            self.event_ms,
            self.insert_id,
            classified.display,
            classified.os_name,
            person.session_id,
            person.idfa,
            person.idfv,
            person.adid,
            person.android_id,
            person.android_app_set_id,
            revenue.amount,
            revenue.currency,
            revenue.type,
            revenue.product_id,
            revenue.quantity,
            event_properties,
            user_properties,
            *[getattr(place, name) for name in classified.plan.place],
        )
        top = classified.plan.top
        return top.write(top.values(postback, value, fields)), identify

    def _attributed(self, values: list[Any], properties: bytes) -> bytes:
        first, block = self.classification.kind.family == "install", self.classification.plan.attribution
        if self.is_past:
            return block.write_past(
                values, first=first, newest=self.is_newest, time_ms=self.event_ms, insert_id=self.insert_id
            )
        return block.write(values, properties, first=first, time_ms=self.event_ms, insert_id=self.insert_id)

    def attribution(self, notes: list[str]) -> bytes:
        """Write the item for the Attribution API: identifiers and user properties, no event properties."""
        classification = self.classification
        event = Event(event_type=classification.event_type, time=self.event_ms, platform=classification.platform)
        event.user_properties = Raw(self.user_properties(notes)[1])
        for name in TOP:
            setattr(event, name, getattr(self.person, name))
        return _encode(event)

    def event_properties(self, notes: list[str]) -> bytes | bytearray:
        """Write the properties: the app's own, and those of the rows."""
        writer = self.classification.plan.event
        values = writer.values(self.postback, self.value, (), self.classification.of_event)
        value, own = self.value, NOTHING
        if not self.compiled.reads_value:
            value = None
        if isinstance(value, dict):
            own, named = self.compiled.own(value)
            if named:
                notes.append("A property whose name is an identifier was left out.")
        elif value is not None:
            own = {"event_value": value}
        written = _joined(own, writer.section(*values), notes) if own else writer.write(values)
        if not self._names_a_device(written):
            return written
        return _write(self._without_devices(own | writer.as_dict(values), notes), notes)

    def user_properties(self, notes: list[str]) -> tuple[list[Any], bytes]:
        """Return the properties of the user, by the keys of their writer, and the same as JSON."""
        writer = self.classification.plan.user
        values = writer.values(self.postback, self.value, (), self.classification.of_user)
        written = writer.write(values)
        if self._names_a_device(written):
            kept = self._without_devices(writer.as_dict(values), notes)
            values = [kept.get(key) for key in writer.keys]
            written = writer.write(values)
        return values, written

    def _names_a_device(self, written: bytes | bytearray) -> bool:
        """Return whether properties contain one of the person's device identifiers."""
        devices = self.person.devices
        if not devices:
            return False
        find = written.lower().find
        for device in devices:  # noqa: SIM110 - half the time of a generator
            if find(device) >= 0:
                return True
        return False

    def _without_devices(self, properties: dict[str, Any], notes: list[str]) -> dict[str, Any]:
        for key in [key for key, value in properties.items() if names_a_device([key, value], self.person.devices)]:
            del properties[key]
            notes.append(f"The property {masked(key)} contains a device identifier and was left out.")
        return properties


def _joined(own: dict[str, Any], section: Struct, notes: list[str]) -> bytearray:
    """Write two as one JSON object; neither is empty."""
    written = bytearray()
    try:
        _encode_into(own, written)
    except (OverflowError, ValueError, RecursionError):
        written[:] = _write(own, notes)
    # The second's opening brace overwrites the first's closing one, and becomes a comma.
    at = len(written) - 1
    _encode_into(section, written, at)
    written[at] = COMMA
    return written


def _write(properties: dict[str, Any], notes: list[str]) -> bytes:
    """Write JSON, after bringing values inside the limits if JSON can't represent them."""
    try:
        return _encode(properties)
    except (OverflowError, ValueError, RecursionError):
        return _encode(within_limits(properties, notes))
