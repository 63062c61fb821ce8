"""From an AppsFlyer postback to one Amplitude item: an HTTP V2 event, or an Attribution API event.

    kind -> filters -> restriction of the source -> person and consent -> rows -> derived fields -> JSON and identity

Pure: the same postback, rules and reception time give the same bytes. The item has no user and device id yet; they are
put in when it is sent (`amplitude.event.with_identity`), because a held item gets them later.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/attribution,
https://support.appsflyer.com/hc/en-us/articles/211200306 (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.event import MAX_TEXT, within_limits
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.appsflyer.postback_time import time_ms, time_of
from flybridge.identity import IdKind
from flybridge.mapping.person import find, identify, parsed
from flybridge.mapping.to_amplitude.classify import V1_IDS, classify
from flybridge.mapping.to_amplitude.content_key import INSTALLED, identity_of, insert_id
from flybridge.mapping.to_amplitude.item import Item
from flybridge.mapping.to_amplitude.rules import Classification, Rules
from flybridge.records import Dead, Filter, Refuse

__all__ = ["Mapped", "Rules", "map_postback"]

MAX_FLAT: Final = 30


class Mapped(Struct, frozen=True, gc=False):
    """One item for Amplitude, and all that flybridge needs to know about it.

    `body` is JSON without `user_id` and `device_id`, `identify` the
    `$identify` event that goes before it; the Attribution API has no place for them, so that on its route
    both are None. `key` is the content identity; `key_ms` and `ordinal` tell occurrences with the same key apart, as in
    `records.Filing`.
    `reported` is the kind as AppsFlyer reports it, `value` the value of an in-app event, parsed.
    `ids` are the identifiers to match by. `restricted` is the policy that was applied to the media source, or empty.
    `notes` are sentences about what was changed or left out.
    """

    kind: Kind
    reported: Kind
    event_type: str
    endpoint: str
    insert_id: str
    key: bytes
    body: bytes
    user_id: str | None
    device_id: str | None
    ids: Mapping[IdKind, str]
    event_ms: int
    media_source: str
    notes: tuple[str, ...]
    restricted: str = ""
    key_ms: int | None = None
    ordinal: int = 0
    value: Any = None
    identify: bytes = b""

    @property
    def sent(self) -> bytes:
        """What is delivered: the `$identify` event, if there is one, and the event itself, one a line."""
        return self.identify + b"\n" + self.body if self.identify else self.body


def map_postback(
    postback: Postback,
    rules: Rules,
    received_ms: int,
    ordinal: int = 0,
    *,
    is_past: bool = False,
    is_newest: bool = False,
) -> Mapped | Filter | Refuse | Dead:
    """Map one postback. `received_ms` is used if the message has no time, `ordinal` is that of the envelope.

    With `is_past` it is history: it sets of its user only what nothing newer has set, and the present attribution only
    if `is_newest`.
    """
    compiled = rules.compiled
    classified = classify(postback, rules, compiled)
    if not isinstance(classified, Classification):
        return classified
    notes = list(postback.notes)
    whole = value = parsed(postback.event_value, notes)
    if whole is not None:
        value = _within_limits(postback.event_value, whole, notes)
    if compiled.where and not all(condition.holds(partial(find, postback, value)) for condition in compiled.where):
        return Filter("condition_not_met")
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
    identity = identity_of(
        rules,
        classified.reported,
        postback,
        person,
        whole,
        event_ms=reported_ms,
        install_ms=installed_ms,
        received_ms=received_ms,
        ordinal=ordinal,
    )
    # Only an install happens at the install time: everything else may have happened months later.
    event_ms = reported_ms or (installed_ms if classified.reported.family in INSTALLED else None)
    if event_ms is None:
        notes.append("The message has no readable event_time and is dated to its reception.")
        event_ms = received_ms
    item = Item(postback, compiled, classified, person, value, event_ms, insert_id(*identity), is_past, is_newest)
    body, identify_event = item.http_v2(notes) if on_v2 else (item.attribution(notes), b"")
    # By position: names take msgspec as long as a whole section.
    return Mapped(
        classified.kind,
        classified.reported,
        classified.event_type,
        rules.route,
        item.insert_id,
        identity.key,
        body,
        person.user_id if on_v2 else None,
        person.device_id if on_v2 else None,
        person.ids,
        item.event_ms,
        classified.source or "",
        tuple(notes),
        classified.restricted,
        identity.key_ms,
        identity.ordinal,
        value,
        identify_event,
    )


def _within_limits(raw: Any, value: Any, notes: list[str]) -> Any:
    # A short, flat text can't exceed the limits, and nearly every event value is one.
    is_plain = isinstance(raw, str) and len(raw) <= MAX_TEXT and raw[:1] != '"'
    if is_plain and raw.count("{") + raw.count("[") < MAX_FLAT:
        return value
    if isinstance(value, dict):
        return within_limits(value, notes)
    return within_limits({"event_value": value}, notes).get("event_value")


def _time(postback: Postback, name: str, written: str | None, notes: list[str]) -> int | None:
    if written is not None and time_ms(written) is None:
        notes.append(f"The {name} is no time and was not used.")
    return time_of(postback, name)
