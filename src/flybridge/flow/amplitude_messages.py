"""What becomes of a message of Amplitude.

stream, cohort, sightings -> sightings of who owns which identifier
a cohort that an audience follows -> changes of its members
an event of a stream -> choose and map (`mapping.to_appsflyer`), deliver to AppsFlyer, or hold for its AppsFlyer id
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs

from flybridge.amplitude import attribution, stream
from flybridge.amplitude.cohort_message import fault_of, without_frame
from flybridge.amplitude.merged import Merge, merges
from flybridge.amplitude.streamed import (
    Streamed,
    event_in,
    events_in,
    is_attribution_event,
    is_user,
    not_understood,
    read_message,
)
from flybridge.appsflyer import inapp_event
from flybridge.audiences.messages import with_members
from flybridge.flow.app import AppFlow
from flybridge.flow.person_keys import PersonKeys
from flybridge.identity import IdKind, Keyring
from flybridge.insight.native import REASON as NATIVE
from flybridge.mapping.to_amplitude.facts import (
    named_by_amplitude,
)
from flybridge.mapping.to_amplitude.native import from_native_integration
from flybridge.mapping.to_appsflyer import map as to_appsflyer
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import (
    DAY_MS,
    HOUR_MS,
    Apply,
    Dead,
    Decision,
    Deliver,
    Envelope,
    Filing,
    Filter,
    Hold,
    Person,
    Shown,
    Sighting,
    Source,
    digest_of,
)

AMPLITUDE_ID: Final = IdKind.AMPLITUDE_ID
INSTALLED_BY_USER: Final = IdKind.INSTALLED_BY_USER
INSTALLED_ON_DEVICE: Final = IdKind.INSTALLED_ON_DEVICE


class AmplitudeMessages:
    """Turns messages of Amplitude into filings by the rules of their app."""

    def __init__(self, keys: PersonKeys, keyring: Keyring) -> None:
        self._keys, self._keyring = keys, keyring

    def filing(self, envelope: Envelope, app: AppFlow) -> Filing:
        """Return what becomes of a message: what it tells of people, and what it asks for."""
        return with_members(self._of_message(envelope, app), app.audiences, self._keyring)

    def _of_message(self, envelope: Envelope, app: AppFlow) -> Filing:
        key = digest_of(envelope.app, envelope.body)
        until_ms = envelope.received_ms + app.kept.dedup_days * DAY_MS
        try:
            message = read_message(envelope.body, app.stream_fields)
            seen, merged = list(stream.walk(message)), list(merges(message))
        except (msgspec.DecodeError, RecursionError) as problem:
            detail = f"The message from Amplitude is not readable JSON: {problem}."
            return Filing(
                envelope, Dead("decode", "not_json", detail, "Send JSON; see the webhook's template."), key, digest=key
            )
        found = [sighting for one in seen for sighting in self._seen(envelope, one)]
        found += [sighting for merge in merged for sighting in self._merged(envelope, merge)]
        decision: Decision = Apply("sighting") if found else Filter("nothing_to_learn")
        if not merged and not _is_understood(message, seen, envelope.source, app):
            fault = fault_of(message) if envelope.source is Source.COHORT else ""
            decision = not_understood(without_frame(message), envelope.source.value, fault)
        filing = Filing(
            envelope,
            decision,
            key,
            until_ms,
            tuple(found),
            digest=key,
            persons=self._persons(envelope.app, seen, merged, app),
            numbers=tuple([key for one in seen for key in self._numbers(envelope.app, one.amplitude_id)]),
        )
        if envelope.source is not Source.STREAM:
            return filing
        if app.rules.route == attribution.NAME:
            filing = structs.replace(filing, shown=_shown(message, seen, app.rules.mark))
        if app.streams:
            filing = self._streamed(filing, message, app)
        if isinstance(filing.decision, Apply | Filter) and from_native_integration(message, app.rules.route):
            kind = type(filing.decision)
            filing = structs.replace(filing, decision=kind(NATIVE), remarks=(*filing.remarks, NATIVE))
        return filing

    def _persons(
        self, name: str, seen: Sequence[stream.SeenUser], merged: Sequence[Merge], app: AppFlow
    ) -> tuple[Person, ...]:
        named = [(named_by_amplitude(one, streams=bool(app.streams)), one.seen_ms) for one in seen]
        named += [([(AMPLITUDE_ID, merge.one), (AMPLITUDE_ID, merge.other)], merge.seen_ms) for merge in merged]
        return tuple([person for ids, seen_ms in named for person in self._keys.person(name, ids, seen_ms or 0)])

    def _seen(self, envelope: Envelope, one: stream.SeenUser) -> tuple[Sighting, ...]:
        seen_ms = min(one.seen_ms or envelope.received_ms, envelope.received_ms)
        if one.user_id is None and one.device_id is None and one.amplitude_id is not None:
            # Who has this number, other messages tell.
            return self._keys.teach_number(envelope.app, one.ids, one.amplitude_id, seen_ms)
        return self._keys.teach(envelope.app, one.ids, one.user_id, one.device_id, seen_ms)

    def _merged(self, envelope: Envelope, merge: Merge) -> tuple[Sighting, ...]:
        seen_ms = min(merge.seen_ms or envelope.received_ms, envelope.received_ms)
        return (
            *self._keys.teach_number(envelope.app, {AMPLITUDE_ID: merge.one}, merge.other, seen_ms),
            *self._keys.teach_number(envelope.app, {AMPLITUDE_ID: merge.other}, merge.one, seen_ms),
        )

    def _numbers(self, app: str, number: str | None) -> tuple[bytes, ...]:
        return () if number is None else self._keys.of(app, AMPLITUDE_ID, number)

    def _streamed(self, filing: Filing, message: Any, app: AppFlow) -> Filing:
        """Send an event of a stream to AppsFlyer if it is chosen. Its sightings are in the filing already."""
        event = event_in(message)
        if event is None:
            # The intake splits lists. One that gets here was stored before the app had streams, or is nested.
            several = isinstance(message, list) and events_in(message) > 0
            return structs.replace(filing, decision=_SEVERAL) if several else filing
        rules = to_appsflyer.choose(event, app.streams)
        if isinstance(rules, to_appsflyer.Left):
            decision: Decision = Apply(rules.reason) if filing.sightings else Filter(rules.reason)
            return structs.replace(filing, decision=decision)
        mapped = to_appsflyer.map_event(event, rules, filing.envelope.received_ms)
        if isinstance(mapped, Dead):
            return structs.replace(filing, decision=mapped)
        key = mapped.key or filing.digest
        item = Deliver(inapp_event.NAME, key.hex(), mapped.event_name, mapped.body, None, mapped.appsflyer_id)
        decision = item if mapped.appsflyer_id else self._wait(item, event, mapped, rules, filing.envelope)
        return structs.replace(filing, decision=decision, key=key, remarks=mapped.remarks)

    def _wait(
        self, item: Deliver, event: Streamed, mapped: to_appsflyer.MappedEvent, rules: StreamRules, envelope: Envelope
    ) -> Decision:
        """Hold the item for its AppsFlyer id. The store finds one that a postback has brought at once."""
        unmet = "bad_appsflyer_id" if "bad_appsflyer_id" in mapped.remarks else "no_appsflyer_id"
        known = ((INSTALLED_ON_DEVICE, event.device_id), (INSTALLED_BY_USER, event.user_id))
        keys = {kind: self._keys.of(envelope.app, kind, value) for kind, value in known if value}
        if not any(keys.values()):
            return Filter(unmet)
        # Its number tells whose it is if the user turns out to be another.
        numbers = self._numbers(envelope.app, stream.number_of(event.fields.get("amplitude_id")))
        return Hold(
            item,
            (*(key for found in keys.values() for key in found), *numbers),
            tuple(kind.word for kind in keys),
            mapped.event_ms or envelope.received_ms,
            envelope.received_ms + round(rules.wait_hours * HOUR_MS),
            unmet="" if rules.wait_hours else unmet,
        )


def _shown(message: Any, seen: Sequence[stream.SeenUser], mark: str) -> Shown | None:
    """Return the event of the Attribution API that Amplitude shows as arrived; None for any other message."""
    event = event_in(message)
    if event is None or not event.event_type.startswith(mark) or not is_attribution_event(event):
        return None
    time_ms = event.time_ms
    ids = frozenset(value.lower() for one in seen for value in one.ids.values())
    return None if time_ms is None else Shown(event.event_type, time_ms, ids)


def _is_understood(message: Any, seen: Sequence[stream.SeenUser], source: Source, app: AppFlow) -> bool:
    """Whether a message is an event or a user of Amplitude. Cohorts that an audience follows are read later.

    Where events are sent on, a message with a user but with other keys than a user has may be an event under a template
    that is not configured.
    """
    if source is Source.SIGHTINGS or (source is Source.COHORT and app.audiences) or events_in(message):
        return True
    if source is Source.STREAM and app.streams and isinstance(message, Mapping) and "users" not in message:
        return is_user(message, app.stream_fields)
    return bool(seen)


_SEVERAL: Final = Dead(
    "map",
    "several_events",
    "The message is a list of events, and each is to be sent and accounted for on its own.",
    "Send the events of the list again to /v1/stream: the intake splits it.",
)
