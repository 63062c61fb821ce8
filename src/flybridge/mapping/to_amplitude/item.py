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
from flybridge.mapping.personal import LAST, names_a_device, without_ids
from flybridge.mapping.table import moment_of
from flybridge.mapping.to_amplitude.facts import Facts
from flybridge.mapping.to_amplitude.place import SOURCES
from flybridge.mapping.to_amplitude.revenue import NO_REVENUE, revenue_of
from flybridge.mapping.to_amplitude.rules import CompiledRules, SentAs

_encode: Final = msgspec.json.Encoder().encode
_encode_into: Final = msgspec.json.Encoder().encode_into

COMMA: Final = ord(",")
UNLIKE_TEXT: Final = frozenset(TOP) | {"event_properties", "user_properties"}
"""Fields of an event in which an identifier is looked for apart, or belongs."""
UNINSTALL: Final = Kind.UNINSTALL


def http_v2(
    facts: Facts, sent_as: SentAs, compiled: CompiledRules, insert_id: str, *, is_past: bool, is_newest: bool
) -> tuple[str, bytes, bytes]:
    """Write the item for the HTTP V2 API. Returns its event type, the item, and the `$identify` event that goes before
    it, empty if it needs none.

    With `is_past` it is history: it sets of its user only what nothing newer has set, and the present attribution only
    if `is_newest`.
    """
    postback, value, person, plan, event_ms = facts.postback, facts.value, facts.person, sent_as.plan, facts.event_ms
    event_type = sent_as.event_type
    revenue = revenue_of(postback, value, compiled.revenue, facts.notes) or NO_REVENUE
    if sent_as.owner:
        facts.notes.append(f"The event's name is one of {sent_as.owner} and got the prefix.")
    own = _own_properties(value, facts.notes, compiled) if value is not None and compiled.reads_value else None
    writer, of_user = plan.event, None
    of_event = writer.values(postback, value, (), sent_as.of_event)
    event_properties = _joined(own, writer.section(*of_event), facts.notes) if own else writer.write(of_event)
    user_properties = b""
    if plan.user.keys:
        of_user = plan.user.values(postback, value, (), sent_as.of_user)
        user_properties = plan.user.write(of_user)
    # The fields of `Event`, in its order, and those of the place.
    fields = (
        event_type,
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
        Raw(event_properties),
        None if of_user is None else Raw(user_properties),
        *plan.place.values(postback),
    )
    top = plan.top.values(postback, value, fields)
    written = plan.top.write(top)
    if _repeats_a_device(written, person):
        found = plan.top.as_dict(top)
        kept = _without_devices((own or {}) | writer.as_dict(of_event), facts)
        found["event_properties"] = Raw(_write(kept, facts.notes))
        if of_user is not None:
            of_user, user_properties = _user_without_devices(of_user, facts, sent_as)
            found["user_properties"] = Raw(user_properties)
        written = _encode(_fields_without_devices(found, facts))
        event_type = found["event_type"]
    identify = b""
    if of_user is not None and sent_as.is_conversion:
        first, block = sent_as.kind.family == "install", plan.attribution
        if is_past:
            identify = block.write_past(of_user, first=first, newest=is_newest, time_ms=event_ms, insert_id=insert_id)
        else:
            identify = block.write(of_user, user_properties, first=first, time_ms=event_ms, insert_id=insert_id)
    # After an uninstall of long ago the app may have been installed again.
    if sent_as.kind is UNINSTALL and not is_past:
        identify = plan.attribution.uninstalled(moment_of(event_ms), time_ms=event_ms, insert_id=insert_id)
    return event_type, written, identify


def attribution(facts: Facts, sent_as: SentAs) -> bytes:
    """Write the item for the Attribution API: identifiers and user properties, no event properties."""
    writer = sent_as.plan.user
    values = writer.values(facts.postback, facts.value, (), sent_as.of_user)
    written = writer.write(values)
    if any(device[-LAST:] in written.lower() for device in facts.person.devices):
        written = _user_without_devices(values, facts, sent_as)[1]
    event = Event(event_type=sent_as.event_type, time=facts.event_ms, platform=facts.classification.platform)
    event.user_properties = Raw(written)
    for name in TOP:
        setattr(event, name, getattr(facts.person, name))
    return _encode(event)


def _own_properties(value: Any, notes: list[str], compiled: CompiledRules) -> dict[str, Any]:
    """Return the properties that the app itself gave the event."""
    if not isinstance(value, dict):
        return {"event_value": value}
    own, named = compiled.own(value)
    if named:
        notes.append("A property whose name is an identifier was left out.")
    return own


def _repeats_a_device(item: bytes, person: Identified) -> bool:
    """Whether an item has one of the person's device identifiers elsewhere than in its own field.

    One pass over all that is sent takes less time than one over each part.
    """
    devices = person.devices
    if not devices:
        return False
    lower, n = item.lower(), person.n_unsent - len(devices)
    for device in devices:
        n += lower.count(device[-LAST:])
    return n > 0


def _user_without_devices(values: list[Any], facts: Facts, sent_as: SentAs) -> tuple[list[Any], bytes]:
    """Return the properties of the user, by the keys of their writer, and the same as JSON."""
    writer = sent_as.plan.user
    kept = _without_devices(writer.as_dict(values), facts)
    values = [kept.get(key) for key in writer.keys]
    return values, writer.write(values)


def _without_devices(properties: dict[str, Any], facts: Facts) -> dict[str, Any]:
    devices = facts.person.devices
    for key in [key for key, value in properties.items() if names_a_device([key, value], devices)]:
        del properties[key]
        facts.notes.append(f"The property {masked(key)} contains a device identifier and was left out.")
    return properties


def _fields_without_devices(fields: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """Take the person's identifiers out of the event's own fields. Of a place all four fields stand or none."""
    devices = facts.person.devices
    for name in [name for name in fields if name not in UNLIKE_TEXT and names_a_device(fields[name], devices)]:
        if name == "event_type":
            fields[name] = without_ids(fields[name], devices)
            facts.notes.append("The event's name contains a device identifier, in whose place [id] is sent.")
            continue
        for left_out in SOURCES if name in SOURCES else (name,):
            fields.pop(left_out, None)
        facts.notes.append(f"The field {name} contains a device identifier and was left out.")
    return fields


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
