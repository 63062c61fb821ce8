"""From an AppsFlyer postback to one Amplitude item: an HTTP V2 event, or an Attribution API event.

    kind -> filters -> restriction of the source -> person and consent -> rows -> derived fields -> JSON and identity

Pure: the same postback, rules and reception time give the same bytes. The item has no user and device id yet; they are
put in when it is sent (`amplitude.event.with_identity`), because a held item gets them later.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/attribution,
https://support.appsflyer.com/hc/en-us/articles/211200306 (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.event import MAX_TEXT, within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.appsflyer.postback_time import has_fraction, time_ms, zoned_ms
from flybridge.identity import IdKind
from flybridge.mapping.person import identify, parsed
from flybridge.mapping.to_amplitude.classify import V1_IDS, classify
from flybridge.mapping.to_amplitude.content_key import INSTALLED, conversion_identity, event_identity, insert_id
from flybridge.mapping.to_amplitude.item import Item
from flybridge.mapping.to_amplitude.rules import Classification, DoubleAttribution, Rules
from flybridge.records import Dead, Filter, Measure, Refuse

__all__ = ["Mapped", "Rules", "map_postback"]

MAX_FLAT: Final = 30


class Mapped(Struct, frozen=True, gc=False):
    """One item for Amplitude, and all that flybridge needs to know about it.

    `body` is JSON without `user_id` and `device_id`; the Attribution API has no place for them, so that on its route
    both are None. `key` is the content identity; `key_ms` and `ordinal` tell occurrences with the same key apart, as in
    `records.Filing`.
    `ids` are the identifiers to match by. `restricted` is the policy that was applied to the media source, or empty.
    `notes` are sentences about what was changed or left out.
    """

    kind: Kind
    event_type: str
    endpoint: str
    insert_id: str
    key: bytes
    body: bytes
    user_id: str | None
    device_id: str | None
    ids: Mapping[IdKind, str]
    event_ms: int
    measure: Measure
    media_source: str
    notes: tuple[str, ...]
    restricted: str = ""
    key_ms: int | None = None
    ordinal: int = 0


def map_postback(
    postback: Postback, rules: Rules, received_ms: int, ordinal: int = 0
) -> Mapped | Filter | Refuse | Dead:
    """Map one postback. `received_ms` is used if the message has no time, `ordinal` is that of the envelope."""
    compiled = rules.compiled
    classified = classify(postback, rules, compiled)
    if not isinstance(classified, Classification):
        return classified
    notes = list(postback.notes)
    whole = value = parsed(postback.event_value, notes)
    if whole is not None:
        value = _within_limits(postback.event_value, whole, notes)
    person = identify(postback, value, compiled.keys, classified.refused, notes)
    on_v2 = rules.route == "http_v2"
    if not on_v2 and all(getattr(person, name) is None for name in V1_IDS[classified.platform]):
        return Refuse("no_usable_id")
    written = postback.event_time
    if written is None or (reported_ms := time_ms(written)) is None:
        reported_ms = _time(postback, "event_time", written, notes)
    installed_ms = None
    if classified.is_conversion:
        installed_ms = _time(postback, "install_time", postback.install_time, notes)
    # The identity rests on what AppsFlyer reports, not on what a policy makes of it: a new policy makes no new event.
    if classified.is_conversion:
        key = conversion_identity(
            rules.app, classified.reported, postback, person, event_ms=reported_ms, install_ms=installed_ms
        )
        key_ms, ordinal = None, 0
    else:
        both = rules.double_attribution is DoubleAttribution.BOTH
        key = event_identity(rules.app, postback, person, whole, reported_ms or received_ms, by_attribution=both)
        key_ms = _millisecond(written, reported_ms, ordinal)
        ordinal = ordinal or 1
    # Only an install happens at the install time: everything else may have happened months later.
    event_ms = reported_ms or (installed_ms if classified.reported.family in INSTALLED else None)
    if event_ms is None:
        notes.append("The message has no readable event_time and is dated to its reception.")
        event_ms = received_ms
    item = Item(postback, compiled, classified, person, value, event_ms, insert_id(key, key_ms, ordinal))
    body = item.http_v2(notes) if on_v2 else item.attribution(notes)
    # By position: names take msgspec as long as a whole section.
    return Mapped(
        classified.kind,
        classified.event_type,
        rules.route,
        item.insert_id,
        key,
        body,
        person.user_id if on_v2 else None,
        person.device_id if on_v2 else None,
        person.ids,
        item.event_ms,
        item.measure(),
        classified.source or "",
        tuple(notes),
        classified.restricted,
        key_ms,
        ordinal,
    )


def _millisecond(written: str | None, reported_ms: int | None, ordinal: int) -> int | None:
    """Return the millisecond within its second that a message reports; None if it reports whole seconds."""
    if written is None or reported_ms is None or not has_fraction(written):
        return None
    # Where files have a fraction at all, ".000" is how a report of whole seconds is written.
    return reported_ms % 1000 if reported_ms % 1000 or not ordinal else None


def _within_limits(raw: Any, value: Any, notes: list[str]) -> Any:
    # A short, flat text can't exceed the limits, and nearly every event value is one.
    is_plain = isinstance(raw, str) and len(raw) <= MAX_TEXT and raw[:1] != '"'
    if is_plain and raw.count("{") + raw.count("[") < MAX_FLAT:
        return value
    if isinstance(value, dict):
        return within_limits(value, notes)
    return within_limits({"event_value": value}, notes).get("event_value")


def _time(postback: Postback, name: str, written: str | None, notes: list[str]) -> int | None:
    if written is not None and (ms := time_ms(written)) is not None:
        return ms
    if written is not None:
        notes.append(f"The {name} is no time and was not used.")
    twin: str | None = getattr(postback, f"{name}_selected_timezone")
    return zoned_ms(twin, postback.selected_timezone) if twin is not None else None
