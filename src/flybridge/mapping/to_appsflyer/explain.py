"""Explain line by line how one Amplitude event would go to AppsFlyer. Nothing is sent, personal ids are masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from flybridge.amplitude.event import joined
from flybridge.amplitude.streamed import Streamed
from flybridge.mapping.personal import MIN_TELLING, names_a_device
from flybridge.mapping.table import Explained, Row, mask
from flybridge.mapping.to_amplitude.explain import Explanation, mask_named
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer import rows as table
from flybridge.mapping.to_appsflyer.map import MAX_BYTES, Left, MappedEvent, choose, map_event
from flybridge.mapping.to_appsflyer.money import AF_CURRENCY, REVENUE
from flybridge.mapping.to_appsflyer.rules import FIXED, StreamRules, found_at
from flybridge.records import Dead

PERSONAL: Final = frozenset(
    {
        "appsflyer_id", "customer_user_id", "advertising_id", "amazon_aid", "oaid", "imei", "idfa", "idfv", "ip",
        "email_hashed", "phone_number_hashed", "phone_number_e164_hashed", "first_name_hashed", "last_name_hashed",
        "fb_login_id", "ua", "custom_data", "app_set_id",
    }
)  # fmt: skip
"""Parameters that name a person or a device, or may contain what does."""

_encode: Final = msgspec.json.Encoder().encode


def explain_event(event: Streamed, streams: Sequence[StreamRules], received_ms: int) -> Explanation:
    """Map an event and explain the result."""
    rules = choose(event, streams)
    if isinstance(rules, Left):
        return Explanation(f"left out: {rules.reason}", (), ())
    number = streams.index(rules)
    match map_event(event, rules, received_ms):
        case Dead() as dead:
            return Explanation(f"dead: {dead.detail} {dead.remedy}", (), ())
        case MappedEvent() as mapped:
            size = len(joined(b'{"appsflyer_id":"%s"}' % (b"0" * 33), mapped.body))
            chosen = f"chosen by streams[{number}], sent as {mapped.event_name}, about {size} of {MAX_BYTES} bytes"
            return Explanation(chosen, tuple(_lines(event, rules, mapped)), (*_identity(mapped, rules), *mapped.notes))


def _identity(mapped: MappedEvent, rules: StreamRules) -> Iterator[str]:
    if mapped.appsflyer_id is None:
        wait = f"it waits {rules.wait_hours:g} hours" if rules.wait_hours else "it is filtered"
        yield f"The event has no AppsFlyer id: it gets the one that a postback of the same person brought, else {wait}."


def _lines(event: Streamed, rules: StreamRules, mapped: MappedEvent) -> Iterator[Explained]:
    sent = msgspec.json.decode(mapped.body)
    values = msgspec.json.decode(sent["eventValue"]) if sent["eventValue"] else {}
    if mapped.appsflyer_id is not None:
        sent["appsflyer_id"] = mapped.appsflyer_id
    ids = _ids(event, rules)
    yield Explained("event_type", event.event_type, "eventName", mapped.event_name, "")
    if mapped.event_ms is not None:
        yield Explained("event_time", event.find("event_time"), "eventTime", sent["eventTime"], "UTC.")
    filled: set[str] = set()
    for row in rules.compiled.rows:
        raw = found_at(event, row.source)
        if raw is None:
            continue
        key = row.target.removeprefix(table.VALUE)
        value = values.get(key) if row.target.startswith(table.VALUE) else sent.get(key)
        note = row.note
        if row.target in filled:
            value, note = None, "An earlier row has filled this target."
        elif _is_of_another(row, raw, value, sent):
            value, note = None, "The amount and its currency are taken from elsewhere in the event."
        elif row.convert(raw) is None:
            value, note = None, s2s.refusal(row.convert, raw) or "AppsFlyer takes no such value."
        elif value is None and row.target in table.AMOUNTS and row.target not in mapped.dropped:
            note = "It names another currency than the event, or the event's is not a code."
        else:
            filled.add(row.target)
            note = "One kilobyte has no room for it." if row.target in mapped.dropped else note
        shown = (raw, value) if row.target not in PERSONAL else (mask(raw), mask(value))
        source = "(fixed)" if row.source.startswith(FIXED) else row.source
        yield Explained(source, _plain(shown[0], ids), row.target, _plain(shown[1], ids), note)
    for target in sorted(sent.keys() - {"eventName", "eventTime", "eventValue"} - filled):
        shown_value = mask(sent[target]) if target in PERSONAL else sent[target]
        yield Explained("(a rule)", None, target, shown_value, "See the mapping page.")
    for key in [*values, *(name.removeprefix(table.VALUE) for name in mapped.dropped if name.startswith(table.VALUE))]:
        if table.VALUE + key in filled:
            continue
        raw = event.section("event_properties").get(key, event.section("user_properties").get(key))
        source, note = (key, "An extra.") if raw is not None else ("(a rule)", "See the mapping page.")
        note = "One kilobyte has no room for it." if table.VALUE + key in mapped.dropped else note
        value = values.get(key)
        yield Explained(source, mask_named(key, raw, ids), table.VALUE + key, mask_named(key, value, ids), note)


def _is_of_another(row: Row, raw: Any, value: Any, sent: Mapping[str, Any]) -> bool:
    """Whether what is sent as the revenue or its currency is not what this row has found."""
    currency = sent.get("eventCurrency")
    if row.target == REVENUE:
        return value is not None and s2s.amount(raw, currency) != value
    return (
        row.target in (AF_CURRENCY, "eventCurrency")
        and currency is not None
        and row.convert(raw) not in (None, currency)
    )


def _ids(event: Streamed, rules: StreamRules) -> list[bytes]:
    """Return all identifiers of this person, as JSON text in lower case."""
    found = [found_at(event, row.source) for row in rules.compiled.rows if row.target in PERSONAL]
    found += [event.user_id, event.device_id]
    return [_encode(one)[1:-1].lower() for one in found if isinstance(one, str) and len(one) >= MIN_TELLING]


def _plain(value: Any, ids: Sequence[bytes]) -> Any:
    return mask(value) if isinstance(value, str) and not value.endswith("…") and names_a_device(value, ids) else value
