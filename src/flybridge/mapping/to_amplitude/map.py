"""From an AppsFlyer postback to one Amplitude item: an HTTP V2 event, or an Attribution API event.

    facts (kind, restriction of the source, person and consent, time) -> filters -> identity -> rows and derived fields

Pure: the same postback, rules and reception time give the same bytes. The item has no user and device id yet; they are
put in when it is sent (`amplitude.event.with_identity`), because a held item gets them later.

https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/attribution,
https://support.appsflyer.com/hc/en-us/articles/211200306 (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from msgspec import Struct

from flybridge.appsflyer.postback_kind import Kind
from flybridge.identity import IdKind
from flybridge.mapping.passed import find
from flybridge.mapping.restrictions import PASS
from flybridge.mapping.to_amplitude.classify import V1_IDS
from flybridge.mapping.to_amplitude.content_key import identity_of, insert_id
from flybridge.mapping.to_amplitude.facts import Facts
from flybridge.mapping.to_amplitude.item import attribution, http_v2
from flybridge.mapping.to_amplitude.rules import Rules, SentAs
from flybridge.records import Dead, Filter, Refuse

__all__ = ["Mapped", "Rules", "map_facts"]


class Mapped(Struct, frozen=True, gc=False):
    """One item for Amplitude, and all that flybridge needs to know about it.

    `body` is JSON without `user_id` and `device_id`, `identify` the
    `$identify` event that goes before it; the Attribution API has no place for them, so that on its route
    both are None. `key` is the content identity; `key_ms` and `ordinal` tell occurrences with the same key apart, and
    `other_key` is that of the other moment that a local time may mean, as in `records.Filing`.
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
    media_source: str
    notes: tuple[str, ...]
    restricted: str = ""
    key_ms: int | None = None
    ordinal: int = 0
    identify: bytes = b""
    other_key: bytes | None = None

    @property
    def sent(self) -> bytes:
        """What is delivered: the `$identify` event, if there is one, and the event itself, one a line."""
        return self.identify + b"\n" + self.body if self.identify else self.body


def plan_of(facts: Facts, rules: Rules) -> SentAs | Filter | Refuse | Dead:
    """Return as what a message is sent, or why it is not."""
    sent_as = facts.classification.outcome
    if not isinstance(sent_as, SentAs):
        return sent_as
    if rules.compiled.where:
        look_up = partial(find, facts.postback, facts.value)
        if not all(condition.holds(look_up) for condition in rules.compiled.where):
            return Filter("condition_not_met")
    ids = V1_IDS[facts.classification.platform] if rules.route != "http_v2" else ()
    if ids and all(getattr(facts.person, name) is None for name in ids):
        return Refuse("no_usable_id")
    return sent_as


def map_facts(
    facts: Facts, rules: Rules, ordinal: int = 0, *, is_past: bool = False, is_newest: bool = False
) -> Mapped | Filter | Refuse | Dead:
    """Return the item of a message, or why there is none. `ordinal` is that of the envelope.

    With `is_past` it is history: it sets of its user only what nothing newer has set, and the present attribution only
    if `is_newest`.
    """
    sent_as = plan_of(facts, rules)
    if not isinstance(sent_as, SentAs):
        return sent_as
    compiled, person, on_v2 = rules.compiled, facts.person, rules.route == "http_v2"
    identity = identity_of(facts, rules, ordinal)
    sent_id, event_type, identify = insert_id(identity), sent_as.event_type, b""
    if on_v2:
        event_type, body, identify = http_v2(facts, sent_as, compiled, sent_id, is_past=is_past, is_newest=is_newest)
    else:
        body = attribution(facts, sent_as)
    policy = facts.classification.policy
    # By position: names take msgspec as long as a whole section.
    return Mapped(
        sent_as.kind,
        event_type,
        rules.route,
        sent_id,
        identity.key,
        body,
        person.user_id if on_v2 else None,
        person.device_id if on_v2 else None,
        person.ids,
        facts.event_ms,
        sent_as.source or "",
        tuple(facts.notes),
        policy.word if policy is not PASS else "",
        identity.key_ms,
        identity.ordinal,
        identify,
        identity.other_key,
    )
