"""Explain line by line how one postback is mapped, by the rows and rules that map it. Personal ids are masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from flybridge.appsflyer.fields import Postback
from flybridge.mapping.passed import find, parsed
from flybridge.mapping.personal import PERSONAL, is_id_key, names_a_device
from flybridge.mapping.restrictions import PASS
from flybridge.mapping.table import Explained, explain_rows, mask, with_prefix
from flybridge.mapping.to_amplitude.facts import Facts, facts_of
from flybridge.mapping.to_amplitude.map import Mapped, map_facts
from flybridge.mapping.to_amplitude.plan import reveals_source
from flybridge.mapping.to_amplitude.rows import DERIVED
from flybridge.mapping.to_amplitude.rules import Rules, all_rows
from flybridge.records import Dead, Filter, Refuse


class Explanation(Struct, frozen=True):
    """The outcome of a postback and every line that led to it. `outcome` is a word and, if there is one, the reason."""

    outcome: str
    rows: tuple[Explained, ...]
    notes: tuple[str, ...]


def explain(postback: Postback, rules: Rules, received_ms: int) -> Explanation:
    """Map a postback and explain the result."""
    facts = facts_of(postback, rules, received_ms)
    match map_facts(facts, rules):
        case Mapped() as mapped:
            rows = (*_rows(facts, rules, mapped), *_derived(facts, rules, mapped), *_identity(mapped))
            outcome = f"mapped to {mapped.event_type} for {mapped.endpoint}"
            return Explanation(outcome, rows, mapped.notes)
        case Filter(reason):
            return Explanation(f"filtered: {reason}", (), postback.notes)
        case Refuse(reason):
            return Explanation(f"refused: {reason}", (), postback.notes)
        case Dead() as dead:
            return Explanation(f"dead: {dead.detail} {dead.remedy}", (), postback.notes)


def _rows(facts: Facts, rules: Rules, mapped: Mapped) -> Iterator[Explained]:
    postback, value = facts.postback, facts.whole
    restricted = facts.classification.policy is not PASS
    why = f"Restricted source: {mapped.restricted}." if restricted else "Organic events carry no campaign."
    restricted = restricted or (mapped.kind.is_organic and postback.campaign is not None)
    applying = []
    for row in all_rows(rules):
        if row.conversions_only and not mapped.kind.is_conversion:
            continue
        if restricted and reveals_source(row):
            raw = find(postback, value, row.source)
            if raw is not None:
                yield Explained(row.source, mask(raw), row.target, None, why)
            continue
        applying.append(row)
    devices = facts.person.devices
    for line in explain_rows(applying, lambda source: find(postback, value, source), PERSONAL, rules.mark):
        if names_a_device(line.raw, devices):
            yield Explained(line.source, mask(line.raw), line.target, None, "It contains a device identifier.")
        else:
            yield line


def _derived(facts: Facts, rules: Rules, mapped: Mapped) -> Iterator[Explained]:
    event = msgspec.json.decode(mapped.body)
    postback, ids = facts.postback, facts.person.devices
    for rule in DERIVED:
        section, dot, key = rule.target.partition(".")
        target = f"{section}.{with_prefix(key, rules.mark)}" if dot else rule.target
        found = event.get(section, {}).get(with_prefix(key, rules.mark)) if dot else event.get(rule.target)
        given = {source: raw for source in rule.sources if (raw := getattr(postback, source)) is not None}
        if found is None or not given:
            continue
        if rule.target == "event_properties":
            yield from _values(facts.whole, found, rule.note, ids)
            continue
        if PERSONAL.intersection(rule.sources) and is_id_key(rule.target):
            found = mask(found)
        raws = [_raw(source, raw, ids) for source, raw in given.items()]
        shown = raws[0] if len(raws) == 1 else ", ".join(str(raw) for raw in raws)
        yield Explained(", ".join(given), shown, target, found, rule.note)


def _values(value: Any, sent: dict[str, Any], note: str, ids: Sequence[bytes]) -> Iterator[Explained]:
    """Yield a line for each key of the event's value."""
    keys = value if isinstance(value, dict) else {}
    for key, part in keys.items():
        shown = mask_named(key, part, ids, "id")
        yield Explained(f"event_value.{key}", shown, f"event_properties.{key}", shown if key in sent else None, note)
        note = ""


def _raw(source: str, raw: Any, ids: Sequence[bytes]) -> Any:
    """Return a field that a rule read, masked if personal; of an object or a list only that it was present."""
    if isinstance(parsed(raw), dict | list):
        return "{…}"
    return mask(raw) if is_id_key(source) or names_a_device(raw, ids) else raw


def _identity(mapped: Mapped) -> Iterator[Explained]:
    source = "custom_data, event_value, customer_user_id"
    for target, value in (("user_id", mapped.user_id), ("device_id", mapped.device_id)):
        if value is not None:
            yield Explained(source, mask(value), target, mask(value), "The person, as the app names them.")
    for kind, value in mapped.ids.items():
        yield Explained(kind.value, mask(value), "(matching)", mask(value), "Only its keyed hash is kept.")


def mask_named(key: str, value: Any, ids: Sequence[bytes], *more: str) -> Any:
    """Mask a value under a key for what is personal, or with one of `more` in it, and one with an id of the person."""
    lower = key.lower()
    personal = is_id_key(key) or any(word in lower for word in ("mail", "phone", "name", "user", "device", *more))
    return mask(value) if personal or names_a_device(value, ids) else value
