"""From an Amplitude event to one item for AppsFlyer's server-to-server API.

    choose (name, conditions, loop guard) -> rows -> consent -> money and content -> extras -> one kilobyte -> JSON

Pure: the same event and rules give the same bytes. The item has no `appsflyer_id` yet: it is put in when it is sent
(`appsflyer.inapp_event`), because an event without one gets it from earlier postbacks.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-24). When an event counts as late is said in
https://support.appsflyer.com/hc/en-us/articles/207034486: recorded with its own time if it arrives by 02:00 UTC of the
following day, else with the time of its arrival. That page could not be read again when this was written, so nothing
is held back for it: lateness is remarked and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.amplitude.stream import appsflyer_ids, object_of
from flybridge.amplitude.streamed import SECTIONS, Streamed, is_attribution_event
from flybridge.identity.bare import only
from flybridge.identity.masking import masked
from flybridge.mapping.consent import withheld
from flybridge.mapping.personal import MIN_TELLING, names_a_device
from flybridge.mapping.table import PREFIX
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer import rows as table
from flybridge.mapping.to_appsflyer.contacts import KEYS, is_contact
from flybridge.mapping.to_appsflyer.devices import repeats_a_device, without_devices
from flybridge.mapping.to_appsflyer.money import (
    REVENUE,
    complete_currency,
    is_of_currency,
    is_of_no_code,
    leave_other_currency,
    paired_amount,
    stated_currency,
)
from flybridge.mapping.to_appsflyer.rules import StreamRules, found_at
from flybridge.mapping.to_appsflyer.sharing import all_of, manual_consent, partners, with_flags
from flybridge.records import DAY_MS, HOUR_MS, Dead, content_key

MAX_BYTES: Final = 1_000
"""AppsFlyer takes "up to 1KB": the smaller reading fits both."""

ID_BYTES: Final = len(b'"appsflyer_id":"",') + 33

SHOWN_NAME: Final = 45
"""Longer event names are not shown in all of AppsFlyer's reports."""

LATE_HOUR: Final = 2

SHARES: Final = "aie"
MOBILE: Final = frozenset({"android", "ios"})
OF_THE_DEVICE: Final = frozenset({"os", "app_version_name", "ip"})
"""Parameters that say something about the device. Those of a browser or a server are not the app's."""
PRICED: Final = (("event_properties.$price", "event_properties.$quantity"), ("price", "quantity"))
"""Where a price stands, and how often it was paid: as the SDKs write it, and as the HTTP V2 API has it."""
PURCHASES: Final = frozenset({"af_purchase", "af_subscribe"})
"""Events of AppsFlyer that are worth money."""

_encode: Final = msgspec.json.Encoder().encode


class Left(Struct, frozen=True):
    """An event that no stream takes, and why: `not_chosen`, `other_platform`, `condition_not_met` or `loop_guard`."""

    reason: str


class MappedEvent(Struct, frozen=True, kw_only=True):
    """One item for AppsFlyer, and all that flybridge needs to know about it.

    `body` is JSON without `appsflyer_id`; `appsflyer_id` None: the event has none, or none that can be AppsFlyer's.
    `key` is the content identity, None where the event has nothing to be known by. `dropped` are parameters and keys
    that one kilobyte had no room for; `notes` sentences about what was changed; `remarks` the codes of what is to be
    counted about it.
    """

    event_name: str
    body: bytes
    appsflyer_id: str | None
    key: bytes | None
    event_ms: int | None
    dropped: tuple[str, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]


def choose(event: Streamed, streams: Sequence[StreamRules]) -> StreamRules | Left:
    """Return the first stream that takes the event, or why none does: the reason of the one that came nearest."""
    reasons: set[str] = set()
    for rules in streams:
        if not rules.compiled.names(event.event_type):
            continue
        if event.platform in MOBILE - {rules.platform} and rules.platform in MOBILE:
            reasons.add("other_platform")
        elif not rules.loop and came_from_appsflyer(event, rules):
            reasons.add("loop_guard")
        elif all(condition.holds(event.find) for condition in rules.where):
            return rules
        else:
            reasons.add("condition_not_met")
    nearest = ("condition_not_met", "loop_guard", "other_platform")
    return Left(next((reason for reason in nearest if reason in reasons), "not_chosen"))


def came_from_appsflyer(event: Streamed, rules: StreamRules) -> bool:
    """Whether the event came from AppsFlyer: a conversion by its name, an in-app event by the mapping's mark.

    Events of AppsFlyer's own integration have the same names; those of the Attribution API are marked by Amplitude.
    """
    return (
        event.event_type.startswith((rules.prefix, PREFIX))
        or is_attribution_event(event)
        or rules.compiled.message_type_key in event.section("event_properties")
    )


def map_event(event: Streamed, rules: StreamRules, received_ms: int) -> MappedEvent | Dead:
    """Map an event that the stream has chosen."""
    notes = [
        f"{name} is no object, and can't be read as one, and was not used."
        for name in SECTIONS
        if not isinstance(said := event.fields.get(name), Mapping) and s2s.states(said)
    ]
    found, bad_contact, unread = _apply(event, rules, notes)
    _derive(event, rules, found, notes)
    devices = _withhold(found, unread, notes)
    event_name = rules.compiled.name_of(event.event_type)
    if len(event_name) > SHOWN_NAME:
        notes.append(f"The event's name is longer than {SHOWN_NAME} characters, which some of AppsFlyer's reports cut.")
    appsflyer_id: str | None = found.pop("appsflyer_id", None)
    if appsflyer_id is None and "appsflyer_id" not in rules.compiled.fixed:
        appsflyer_id = next(filter(None, map(s2s.appsflyer_id, appsflyer_ids(event.fields))), None)
    unfit = _unfit_id(event, rules) if appsflyer_id is None else None
    if unfit is not None:
        notes.append(f"{unfit} is not an AppsFlyer id (13 digits, a dash, 7 to 19 digits) and was not used.")
    event_ms = event.time_ms
    if event_ms is None:
        notes.append("The event has no time; AppsFlyer stamps it with its arrival.")
    no_revenue = event_name in PURCHASES and "eventValue.af_revenue" not in found
    if no_revenue:
        notes.append(f"{event_name} has no revenue: is it in another property? See `properties` of the stream.")
    late = event_ms is not None and is_late(event_ms, received_ms)
    if late:
        notes.append("The event came later than 02:00 UTC of its next day: AppsFlyer stamps it with its arrival.")
    head = {"eventName": event_name} | ({"eventTime": stamp(event_ms)} if event_ms is not None else {})
    extras, contact_left_out = _extras(event, rules, found, devices, notes)
    packed = _pack(head, found, extras)
    if packed is not None and repeats_a_device(*packed, found, devices):
        head["eventName"] = event_name = without_devices(event_name, found, devices, notes)
        packed = _pack(head, found, extras)
    if packed is None:
        return Dead(
            "map",
            "larger_than_1kb",
            f"Without everything that may be left out the event is still larger than {MAX_BYTES} bytes.",
            "Give it a shorter name with `rename`, or leave parameters out with `without`; then replay.",
        )
    body, dropped = packed
    if dropped:
        notes.append(f"Left out, because AppsFlyer takes one kilobyte: {', '.join(dropped)}.")
    remarks = {
        "late": late,
        "trimmed": bool(dropped),
        "bad_appsflyer_id": unfit is not None,
        "bad_contact": bad_contact,
        "contact_left_out": contact_left_out,
        "no_time": event_ms is None,
        "no_revenue": no_revenue,
    }
    known = event.identity
    return MappedEvent(
        event_name=event_name,
        body=body,
        appsflyer_id=appsflyer_id,
        key=None if known is None else content_key(b"stream", rules.app.encode(), *(_bytes(part) for part in known)),
        event_ms=event_ms,
        dropped=tuple(dropped),
        notes=tuple(notes),
        remarks=tuple(code for code, is_so in remarks.items() if is_so),
    )


def stamp(event_ms: int) -> str:
    """Write a time as AppsFlyer takes it: UTC, with milliseconds."""
    return datetime.fromtimestamp(event_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{event_ms % 1000:03d}"


def is_late(event_ms: int, arrives_ms: int) -> bool:
    """Whether AppsFlyer would stamp an event with its arrival instead of with its own time."""
    return arrives_ms > (event_ms // DAY_MS + 1) * DAY_MS + LATE_HOUR * HOUR_MS


def _apply(event: Streamed, rules: StreamRules, notes: list[str]) -> tuple[dict[str, Any], bool, set[str]]:
    """Apply the rows: target and value, whether an address or a number was refused, and what was said and not read."""
    found: dict[str, Any] = paired_amount(event, rules)
    failed: dict[str, tuple[str, str]] = {}
    unread: set[str] = set()
    elsewhere = rules.platform in MOBILE and event.platform not in ("", rules.platform)
    for row in rules.compiled.rows:
        if elsewhere and row.target in OF_THE_DEVICE and row.target not in rules.compiled.fixed:
            continue
        # Of what is said of sharing the advertising id, a refusal counts wherever it stands.
        is_filled = row.target in found and not (row.target == SHARES and found[SHARES])
        if is_filled or (raw := found_at(event, row.source)) is None:
            continue
        convert: Any = row.convert
        value = convert(raw, stated_currency(event, rules)) if row.target in table.AMOUNTS else convert(raw)
        if value is not None:
            found[row.target] = value
        elif row.target in table.AMOUNTS or s2s.states(raw):
            failed.setdefault(row.target, (row.source, s2s.refusal(row.convert, raw)))
            unread |= {row.target} if s2s.states(raw) and not object_of(raw) else set()
    leave_other_currency(rules, found)
    complete_currency(event, rules, found, notes)
    if REVENUE in found and REVENUE not in rules.compiled.fixed and is_of_no_code(event, rules, found):
        del found[REVENUE]
        notes.append("The revenue has no currency that is a code in AppsFlyer's list and was left out.")
    bad_contact = False
    for target, (source, reason) in failed.items():
        if target not in found and target != "appsflyer_id":
            currency = stated_currency(event, rules) if target in table.AMOUNTS else None
            what = f"is not an amount in {currency}" if currency else f"can't be {target}"
            notes.append(f"{source} {what} and was left out. {reason}".rstrip())
            bad_contact = bad_contact or bool(reason)
    return found, bad_contact, unread - found.keys()


def _unfit_id(event: Streamed, rules: StreamRules) -> str | None:
    """Return where an event without an AppsFlyer id has something else in its place; None if it has nothing there."""
    sources = (row.source for row in rules.compiled.rows if row.target == "appsflyer_id")
    return next((source for source in sources if s2s.states(only(found_at(event, source)))), None)


def _derive(event: Streamed, rules: StreamRules, found: dict[str, Any], notes: list[str]) -> None:
    """Decide what rests on several properties."""
    if REVENUE not in found and REVENUE not in rules.compiled.fixed:
        _take_price(event, rules, found, notes)
    if (
        "advertising_id" in found
        and "amazon_aid" not in found
        and "amazon_aid" not in rules.compiled.fixed
        and _is_amazon(event)
    ):
        found["amazon_aid"] = found.pop("advertising_id")
    if "consent_data" not in rules.compiled.fixed:
        flags = manual_consent(event.section("user_properties"))
        if (consent := with_flags(found.get("consent_data"), flags)) is not None:
            found["consent_data"] = consent
    if rules.sharing_filter:
        found["sharing_filter"] = all_of(partners(list(rules.sharing_filter)), found.get("sharing_filter"))
    if REVENUE in found and not str(found[REVENUE]).startswith("-") and _is_refund(event):
        notes.append("Amplitude calls it a refund, and the amount is not negative: AppsFlyer will count it as revenue.")


def _take_price(event: Streamed, rules: StreamRules, found: dict[str, Any], notes: list[str]) -> None:
    """Make the revenue of a price and how often it was paid."""
    for price_at, quantity_at in PRICED:
        if (raw := event.find(price_at)) is None:
            continue
        price, stated = s2s.decimal(raw, stated_currency(event, rules)), event.find(quantity_at)
        quantity = s2s.decimal(1 if stated is None else stated)
        if price is None or is_of_no_code(event, rules, found):
            return
        if quantity is None:
            notes.append(f"{quantity_at} is not a number: there is no revenue.")
        elif is_of_currency(raw, price_at, rules, found, notes):
            found[REVENUE] = s2s.written(price * quantity)
        return


def _is_refund(event: Streamed) -> bool:
    kinds = (event.find("event_properties.$revenueType"), event.find("revenueType"))
    return any(isinstance(kind, str) and kind.strip().lower() == "refund" for kind in kinds)


def _is_amazon(event: Streamed) -> bool:
    places = (event.find("device_brand"), event.find("device_manufacturer"), event.find("device_family"))
    return any(isinstance(place, str) and "amazon" in place.lower() for place in places)


def _withhold(found: dict[str, Any], unread: Set[str], notes: list[str]) -> list[bytes]:
    """Remove the identifiers that may not leave. Return all of the device, to search for them in the other values.

    What the person has said of it and can't be read, which is among the targets `unread`, is no permission.
    """
    devices = [
        _encode(value)[1:-1].lower()
        for name in table.WITHHELD_AS
        if isinstance(value := found.get(name), str) and len(value) >= MIN_TELLING
    ]
    consent: Mapping[str, Any] = found.get("consent_data", {})
    flags: Mapping[str, Any] = consent.get("manual") or consent.get("tcf") or {}
    aie, att = found.get("aie", False if "aie" in unread else None), found.get("att", 0 if "att" in unread else None)
    if "consent_data" in unread and not flags:
        flags = {"gdpr_applies": True, "ad_user_data_enabled": False}
    refused = withheld(
        None if att is None else str(att),
        None if aie is None else not aie,
        flags.get("gdpr_applies") in (True, 1) if "gdpr_applies" in flags else None,
        flags.get("ad_user_data_enabled"),
        flags.get("ad_personalization_enabled"),
    )
    for name, called in table.WITHHELD_AS.items():
        if called in refused and found.pop(name, None) is not None:
            notes.append(f"The {name} is not sent: the person has not allowed it.")
    return devices


def _extras(
    event: Streamed, rules: StreamRules, found: Mapping[str, Any], devices: Sequence[bytes], notes: list[str]
) -> tuple[dict[str, Any], bool]:
    """Choose the extra properties, the most important first. Returns also whether a contact was left out."""
    extras: dict[str, Any] = {}
    contacts: set[str] = set()
    for section, pattern in rules.compiled.extras:
        for key, raw in event.section(section).items():
            target = table.VALUE + key
            if key in extras or target in found or raw is None or not fnmatchcase(key, pattern):
                continue
            if not rules.compiled.is_extra(section, key):
                continue
            if (value := s2s.anything(raw)) is None:
                continue
            if names_a_device(value, devices):
                notes.append(f"The property {masked(key)} contains a device identifier and was left out.")
                continue
            if key.lower() in KEYS or is_contact(key, raw):
                contacts.add(key)
                continue
            extras[key] = value
    for key in sorted(contacts):
        notes.append(f"The property {masked(key)} contains an address, a phone number or a name, and was left out.")
    return extras, bool(contacts)


def _pack(
    head: Mapping[str, Any], found: Mapping[str, Any], extras: Mapping[str, Any]
) -> tuple[bytes, list[str]] | None:
    """Write the item within one kilobyte: in the order of importance, what still fits. None if the head does not."""
    params: dict[str, Any] = dict(head)
    values: dict[str, Any] = {}
    dropped: list[str] = []
    size = ID_BYTES + len(_encode({**head, "eventValue": "{}"}))
    for target, value, essential in _in_order(found, extras):
        of_value = target.startswith(table.VALUE)
        name = target.removeprefix(table.VALUE) if of_value else target
        cost = _cost_in_value(name, value) if of_value else len(_encode(name)) + len(_encode(value)) + 2
        if size + cost > MAX_BYTES:
            if essential:
                return None
            dropped.append(target)
            continue
        size += cost
        (values if of_value else params)[name] = value
    if size > MAX_BYTES:
        return None
    params["eventValue"] = _encode(values).decode() if values else ""
    return _encode(params), dropped


def _in_order(found: Mapping[str, Any], extras: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield all that may be sent, in the order of importance: what must be sent first, extras last."""
    rest = [target for target in found if target.startswith(table.VALUE) and target != REVENUE]
    first = [target for target in (REVENUE, *table.PARAMETERS) if target in table.ESSENTIAL or target == REVENUE]
    second = [target for target in table.PARAMETERS if target not in table.ESSENTIAL]
    for target in first:
        if target in found:
            yield target, found[target], True
    for target in (*second, *rest):
        if target in found:
            yield target, found[target], False
    for key, value in extras.items():
        yield table.VALUE + key, value, False


def _cost_in_value(key: str, value: Any) -> int:
    """Return the bytes that a key adds to `eventValue`, which is JSON in a JSON text."""
    inner = _encode(key).decode() + ":" + _encode(value).decode() + ","
    return len(_encode(inner)) - 2


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
