"""Write one Amplitude item, for the HTTP V2 API or the Attribution API.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/attribution
(read 2026-11-24).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from flybridge.amplitude.event import Event, within_limits
from flybridge.appsflyer.postback_kind import Kind
from flybridge.identity.masking import masked
from flybridge.mapping.person import TOP, Identified
from flybridge.mapping.personal import names_a_device
from flybridge.mapping.table import moment_of
from flybridge.mapping.to_amplitude.facts import Facts
from flybridge.mapping.to_amplitude.revenue import NO_REVENUE, revenue_of
from flybridge.mapping.to_amplitude.rules import CompiledRules, SentAs

_encode: Final = msgspec.json.Encoder().encode
_encode_into: Final = msgspec.json.Encoder().encode_into

COMMA: Final = ord(",")
UNINSTALL: Final = Kind.UNINSTALL


def http_v2(
    facts: Facts, sent_as: SentAs, compiled: CompiledRules, insert_id: str, *, is_past: bool, is_newest: bool
) -> tuple[bytes, bytes]:
    """Write the item for the HTTP V2 API, and the `$identify` event that goes before it, empty if it needs none.

    With `is_past` it is history: it sets of its user only what nothing newer has set, and the present attribution only
    if `is_newest`.
    """
    postback, value, person, plan, event_ms = facts.postback, facts.value, facts.person, sent_as.plan, facts.event_ms
    revenue = revenue_of(postback, value, compiled.revenue, facts.notes) or NO_REVENUE
    if sent_as.owner:
        facts.notes.append(f"The event's name is one of {sent_as.owner} and got the prefix.")
    event_properties = Raw(_event_properties(facts, sent_as, compiled))
    user_properties, identify = None, b""
    if plan.user.keys:
        values, written = _user_properties(facts, sent_as)
        user_properties = Raw(written)
        if sent_as.is_conversion:
            first, block = sent_as.kind.family == "install", plan.attribution
            if is_past:
                identify = block.write_past(
                    values, first=first, newest=is_newest, time_ms=event_ms, insert_id=insert_id
                )
            else:
                identify = block.write(values, written, first=first, time_ms=event_ms, insert_id=insert_id)
    # After an uninstall of long ago the app may have been installed again.
    if sent_as.kind is UNINSTALL and not is_past:
        identify = plan.attribution.uninstalled(moment_of(event_ms), time_ms=event_ms, insert_id=insert_id)
    # The fields of `Event`, in its order, and those of the place.
    fields = (
        sent_as.event_type,
        event_ms,
        insert_id,
        sent_as.display,
        sent_as.os_name,
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
        *plan.place.values(postback),
    )
    return plan.top.write(plan.top.values(postback, value, fields)), identify


def attribution(facts: Facts, sent_as: SentAs) -> bytes:
    """Write the item for the Attribution API: identifiers and user properties, no event properties."""
    event = Event(event_type=sent_as.event_type, time=facts.event_ms, platform=facts.classification.platform)
    event.user_properties = Raw(_user_properties(facts, sent_as)[1])
    for name in TOP:
        setattr(event, name, getattr(facts.person, name))
    return _encode(event)


def _event_properties(facts: Facts, sent_as: SentAs, compiled: CompiledRules) -> bytes | bytearray:
    """Return the properties as JSON: the app's own, and those of the rows."""
    writer, notes, value = sent_as.plan.event, facts.notes, facts.value
    values = writer.values(facts.postback, value, (), sent_as.of_event)
    own: dict[str, Any] | None = None
    if value is not None and compiled.reads_value:
        if isinstance(value, dict):
            own, named = compiled.own(value)
            if named:
                notes.append("A property whose name is an identifier was left out.")
        else:
            own = {"event_value": value}
    written = _joined(own, writer.section(*values), notes) if own else writer.write(values)
    if not _names_a_device(written, facts.person):
        return written
    return _write(_without_devices((own or {}) | writer.as_dict(values), facts), notes)


def _user_properties(facts: Facts, sent_as: SentAs) -> tuple[list[Any], bytes]:
    """Return the properties of the user, by the keys of their writer, and the same as JSON."""
    writer = sent_as.plan.user
    values = writer.values(facts.postback, facts.value, (), sent_as.of_user)
    written = writer.write(values)
    if _names_a_device(written, facts.person):
        kept = _without_devices(writer.as_dict(values), facts)
        values = [kept.get(key) for key in writer.keys]
        written = writer.write(values)
    return values, written


def _names_a_device(written: bytes | bytearray, person: Identified) -> bool:
    """Return whether properties contain one of the person's device identifiers."""
    if not person.devices:
        return False
    lower = written.lower()
    for device in person.devices:  # noqa: SIM110 - half the time of a generator
        if lower.find(device) >= 0:
            return True
    return False


def _without_devices(properties: dict[str, Any], facts: Facts) -> dict[str, Any]:
    devices = facts.person.devices
    for key in [key for key, value in properties.items() if names_a_device([key, value], devices)]:
        del properties[key]
        facts.notes.append(f"The property {masked(key)} contains a device identifier and was left out.")
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
