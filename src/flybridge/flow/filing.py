"""The pipeline from envelope to filing: what happens to each kind of message, in order.

    read -> protect and map (`mapping`) -> resolve: deliver with identity, or hold under its keys
    stream, cohort, sightings -> sightings of who owns which identifier
    an event of a stream -> choose and map (`mapping.to_appsflyer`), deliver to AppsFlyer, or hold for its AppsFlyer id

`Flow.filings` is pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, assert_never

import msgspec
from msgspec import Struct, structs

from flybridge.amplitude import stream
from flybridge.amplitude.cohort_message import without_frame
from flybridge.amplitude.event import as_past, identifier
from flybridge.amplitude.streamed import Streamed, event_in, events_in, is_user, not_understood, read_message
from flybridge.appsflyer import inapp_event, postback
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind, says_something
from flybridge.appsflyer.raw_report import bad_row
from flybridge.audiences.messages import with_members
from flybridge.audiences.rules import AudienceRule
from flybridge.identity import IdKind, Keyring
from flybridge.identity.matching import expires_ms
from flybridge.identity.mentions import keys_in
from flybridge.insight.native import REASON as NATIVE
from flybridge.mapping.performance import Counting, performance_of
from flybridge.mapping.to_amplitude.content_key import Identity, identity_of
from flybridge.mapping.to_amplitude.facts import (
    Facts,
    Named,
    carried,
    facts_of,
    named,
    named_by_amplitude,
    restricted,
)
from flybridge.mapping.to_amplitude.map import Mapped, Rules, map_facts
from flybridge.mapping.to_amplitude.native import from_native_integration
from flybridge.mapping.to_amplitude.settings import DoubleAttribution
from flybridge.mapping.to_appsflyer import map as to_appsflyer
from flybridge.mapping.to_appsflyer.convert import appsflyer_id
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import (
    CUSTOM_DATA_WITHOUT_ID,
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
    Media,
    Performance,
    PerformanceKind,
    Person,
    Refuse,
    Sighting,
    Source,
    content_key,
    digest_of,
)

KEYS_REMEMBERED: Final = 32_768

DROPPED: Final = Refuse("restricted_source")
APART: Final = (PerformanceKind.SECONDARY, PerformanceKind.BLOCKED)

NO_NAMES: Final[Mapping[str, str]] = {}
HTTP_V2: Final = "http_v2"
BATCH: Final = "batch"
"""The lane of imported files, beside that of what is pushed: a month of history holds up no event of today."""

# Looking up an enum member costs more than a module's name.
INSTALLED_BY_USER: Final = IdKind.INSTALLED_BY_USER
INSTALLED_ON_DEVICE: Final = IdKind.INSTALLED_ON_DEVICE
APPSFLYER_ID: Final = IdKind.APPSFLYER_ID
ROW: Final = Media.ROW
FILE: Final = Source.FILE
READ: Final = frozenset({Source.FILE, Source.PULL, Source.LOCKER})
"""Sources that are read here, and may come again in other files and reports."""


class AppFlow(Struct, frozen=True):
    """How one app's messages are processed: mapping rules, hold window, and how long content keys are remembered.

    `hold_attribution` makes the Attribution API's items wait for a sighting here instead of at Amplitude.
    `customer_user_at_expiry` sends what was never matched under its customer user id, if it has one.
    Conversions are remembered for `conversion_days`, longer than events, because files bring them again late.
    `streams` send Amplitude's events to AppsFlyer; `stream_fields` reads webhooks with a template of their own.
    What was read (files, Pull API, Data Locker) is remembered for `history_days`. An event read later than `current_ms`
    after it happened says nothing of the present state of its user.
    """

    rules: Rules
    hold_window_hours: float = 72.0
    hold_attribution: bool = False
    customer_user_at_expiry: bool = False
    dedup_days: int = 7
    conversion_days: int = 90
    streams: tuple[StreamRules, ...] = ()
    stream_fields: Mapping[str, str] = NO_NAMES
    counting: Counting = Counting()
    audiences: tuple[AudienceRule, ...] = ()
    history_days: int = 400
    current_ms: int = HOUR_MS

    def days_of(self, envelope: Envelope, *, is_conversion: bool) -> int:
        """Return for how many days the content key of a message is remembered."""
        days = self.conversion_days if is_conversion else self.dedup_days
        return max(days, self.history_days) if envelope.source in READ else days


class Flow:
    """Turns envelopes into filings by the rules of their app."""

    def __init__(self, apps: Mapping[str, AppFlow], keyring: Keyring) -> None:
        self._apps, self._keyring = apps, keyring
        # The keys of a message are needed up to three times, and those of a person with every message.
        self._keys = lru_cache(KEYS_REMEMBERED)(keyring.keys)

    def filings(self, envelopes: Iterable[Envelope]) -> list[Filing]:
        """Process a batch. Every envelope gives exactly one filing."""
        return [self.safe_filing(envelope) for envelope in envelopes]

    def safe_filing(self, envelope: Envelope) -> Filing:
        """Process one envelope; an unexpected error makes it a dead letter."""
        # A message that meets a defect of flybridge must neither stop the pipeline nor be lost: it becomes a dead
        # letter, to be replayed by the version that fixes the defect.
        try:
            return self._with_mentions(self.filing(envelope))
        except Exception as fault:
            detail = f"flybridge failed on this message: a {type(fault).__name__}."
            return Filing(
                envelope,
                Dead("map", "fault", detail, "Report it; replay it after an upgrade."),
                digest=digest_of(envelope.app, envelope.body),
                mentions=self._mentions(envelope),
            )

    def _with_mentions(self, filing: Filing) -> Filing:
        """Note what an unreadable message may be about, so that it ends as forgotten if its person is."""
        if not isinstance(filing.decision, Dead) or filing.persons:
            return filing
        return structs.replace(filing, mentions=self._mentions(filing.envelope))

    def _mentions(self, envelope: Envelope) -> tuple[bytes, ...]:
        with suppress(Exception):  # what has made a message unreadable may be met here again
            return keys_in(envelope.body, envelope.app, self._keyring)
        return ()

    def filing(self, envelope: Envelope) -> Filing:
        """Process one envelope. May raise any exception if flybridge itself has a defect."""
        app = self._apps.get(envelope.app)
        if app is None:
            return Filing(envelope, _unknown_app(envelope.app), digest=digest_of(envelope.app, envelope.body))
        match envelope.source:
            case Source.PUSH | Source.FILE | Source.PULL | Source.LOCKER:
                return self._postback(envelope, app)
            case Source.STREAM | Source.COHORT | Source.SIGHTINGS:
                return with_members(self._sightings(envelope, app), app.audiences, self._keyring)
            case _:
                assert_never(envelope.source)

    def _postback(self, envelope: Envelope, app: AppFlow) -> Filing:
        # The bytes themselves are the identity of what has no other, so that a repeat is one message.
        digest = digest_of(envelope.app, envelope.body)
        until_ms = envelope.received_ms + app.days_of(envelope, is_conversion=False) * DAY_MS
        read = bad_row(envelope.body) if envelope.media is ROW else postback.read(envelope.body, envelope.media)
        if isinstance(read, Dead):
            return Filing(envelope, read, digest, until_ms, digest=digest, ordinal=envelope.ordinal)
        facts = facts_of(read, app.rules, envelope.received_ms)
        is_file = envelope.source is FILE
        mapped = map_facts(facts, app.rules, envelope.ordinal, is_past=is_file, is_newest=envelope.newest)
        if facts.is_undated and envelope.source in READ and isinstance(mapped, Mapped):
            mapped = _NO_TIME
        installed = self._installed(facts, mapped, envelope) if app.streams else ()
        performance = None if isinstance(mapped, Dead) else self._performance(facts, envelope.app, app)
        # The time of a message that is not sent is not made up.
        event_ms = facts.event_ms if isinstance(mapped, Mapped) or not facts.is_undated else 0
        persons = self._person(envelope.app, named(facts), event_ms, [sighting.key for sighting in installed])
        if not isinstance(mapped, Mapped):
            identity = _unsent(facts, performance, envelope, app) or Identity(digest, None, envelope.ordinal)
            return Filing(
                envelope,
                mapped,
                identity.key,
                until_ms if identity.key is digest else _until_ms(facts, envelope, app),
                installed,
                performance,
                digest=digest,
                persons=persons,
                restricted=restricted(facts) if mapped == DROPPED else None,
                key_ms=identity.key_ms,
                ordinal=identity.ordinal,
            )
        return Filing(
            envelope,
            self._resolve(read, mapped, envelope, app),
            mapped.key,
            _until_ms(facts, envelope, app),
            self._known(mapped, envelope) + installed,
            performance,
            digest=digest,
            carried=carried(facts, app.rules, mapped.media_source, names_person=mapped.endpoint == HTTP_V2),
            persons=persons,
            restricted=restricted(facts),
            key_ms=mapped.key_ms,
            ordinal=mapped.ordinal,
        )

    def _performance(self, facts: Facts, name: str, app: AppFlow) -> Performance | None:
        postback = facts.postback
        one_copy = app.rules.double_attribution is not DoubleAttribution.FIRST
        return performance_of(
            facts,
            app.counting,
            keys=self._keys(name, APPSFLYER_ID, postback.appsflyer_id) if postback.appsflyer_id else (),
            is_secondary=one_copy and postback.is_primary_attribution is False,
        )

    def _fallback(self, postback: Postback, mapped: Mapped, app: AppFlow) -> str | None:
        if not app.customer_user_at_expiry or mapped.endpoint == "attribution":
            return None
        return identifier(postback.customer_user_id, app.rules.min_id_length)

    def _resolve(self, read: Postback, mapped: Mapped, envelope: Envelope, app: AppFlow) -> Decision:
        sent, endpoint = mapped.sent, mapped.endpoint
        if endpoint == HTTP_V2:
            if envelope.source in READ and envelope.received_ms - mapped.event_ms > app.current_ms:
                sent = as_past(sent)
            if envelope.source is FILE:
                endpoint = BATCH
        item = Deliver(endpoint, mapped.insert_id, mapped.event_type, sent, mapped.user_id, mapped.device_id)
        known = mapped.user_id or mapped.device_id
        if not app.hold_attribution if mapped.endpoint == "attribution" else known:
            return item
        keys = {kind: self._keys(envelope.app, kind, value) for kind, value in mapped.ids.items()}
        keys = {kind: found for kind, found in keys.items() if found}
        if not keys:
            return Refuse("no_identity")
        kinds = [kind.word for kind in keys]
        if mapped.endpoint == HTTP_V2 and says_something(read.custom_data):
            kinds.append(CUSTOM_DATA_WITHOUT_ID)
        return Hold(
            item,
            tuple([key for found in keys.values() for key in found]),
            tuple(kinds),
            mapped.event_ms,
            expires_ms(envelope.received_ms, app.hold_window_hours),
            mapped.media_source,
            self._fallback(read, mapped, app),
        )

    def _known(self, mapped: Mapped, envelope: Envelope) -> tuple[Sighting, ...]:
        if mapped.endpoint == "attribution" or not (mapped.user_id or mapped.device_id):
            return ()
        seen_ms = min(mapped.event_ms, envelope.received_ms)
        return self._teach(envelope.app, mapped.ids, mapped.user_id, mapped.device_id, seen_ms)

    def _installed(self, facts: Facts, mapped: Mapped | Decision, envelope: Envelope) -> tuple[Sighting, ...]:
        """Return sightings of the owner of a postback's AppsFlyer id, for the events that go to AppsFlyer."""
        postback, person = facts.postback, facts.person
        installation = appsflyer_id(postback.appsflyer_id or "")
        if installation is None or isinstance(mapped, Dead) or postback.blocked_reason is not None:
            return ()
        known = ((INSTALLED_BY_USER, person.user_id), (INSTALLED_ON_DEVICE, person.device_id))
        ids = {kind: value for kind, value in known if value is not None}
        seen_ms = min(facts.event_ms, envelope.received_ms)
        return self._teach(envelope.app, ids, None, installation, seen_ms)

    def _sightings(self, envelope: Envelope, app: AppFlow) -> Filing:
        key = digest_of(envelope.app, envelope.body)
        until_ms = envelope.received_ms + app.dedup_days * DAY_MS
        try:
            message = read_message(envelope.body, app.stream_fields)
            seen = list(stream.walk(message))
        except (msgspec.DecodeError, RecursionError) as problem:
            detail = f"The message from Amplitude is not readable JSON: {problem}."
            return Filing(
                envelope, Dead("decode", "not_json", detail, "Send JSON; see the webhook's template."), key, digest=key
            )
        times_ms = [min(one.seen_ms or envelope.received_ms, envelope.received_ms) for one in seen]
        found = [
            sighting
            for one, seen_ms in zip(seen, times_ms, strict=True)
            for sighting in self._teach(envelope.app, one.ids, one.user_id, one.device_id, seen_ms)
        ]
        decision: Decision = Apply("sighting") if found else Filter("nothing_to_learn")
        if not _is_understood(message, seen, envelope.source, app):
            decision = not_understood(without_frame(message), envelope.source.value)
        filing = Filing(
            envelope,
            decision,
            key,
            until_ms,
            tuple(found),
            digest=key,
            persons=tuple(
                person
                for one in seen
                for person in self._person(
                    envelope.app, named_by_amplitude(one, streams=bool(app.streams)), one.seen_ms or 0
                )
            ),
        )
        if envelope.source is not Source.STREAM:
            return filing
        if app.streams:
            filing = self._streamed(filing, message, app)
        if isinstance(filing.decision, Apply | Filter) and from_native_integration(message, app.rules.route):
            kind = type(filing.decision)
            filing = structs.replace(filing, decision=kind(NATIVE), remarks=(*filing.remarks, NATIVE))
        return filing

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
        unmet = "bad_appsflyer_id" if mapped.misread else "no_appsflyer_id"
        known = ((INSTALLED_ON_DEVICE, event.device_id), (INSTALLED_BY_USER, event.user_id))
        keys = {kind: self._keys(envelope.app, kind, value) for kind, value in known if value}
        if not any(keys.values()):
            return Filter(unmet)
        return Hold(
            item,
            tuple(key for found in keys.values() for key in found),
            tuple(kind.word for kind in keys),
            mapped.event_ms or envelope.received_ms,
            envelope.received_ms + round(rules.wait_hours * HOUR_MS),
            unmet="" if rules.wait_hours else unmet,
        )

    def _person(self, app: str, ids: Iterable[Named], event_ms: int, also: Iterable[bytes] = ()) -> tuple[Person, ...]:
        # Under every secret, to find also what was filed under a former one.
        keys = dict.fromkeys([key for kind, value in ids if value for key in self._keys(app, kind, value)])
        keys |= dict.fromkeys(also)
        return (Person(tuple(keys), event_ms),) if keys else ()

    def _teach(
        self, app: str, ids: Mapping[IdKind, str], user_id: str | None, device_id: str | None, seen_ms: int
    ) -> tuple[Sighting, ...]:
        # Under every secret: what was held before the secret changed has keys of the former one only.
        taught = [
            Sighting(app, key, kind.word, seen_ms, user_id, device_id)
            for kind, value in ids.items()
            for key in self._keys(app, kind, value)
        ]
        return tuple(taught)


def _until_ms(facts: Facts, envelope: Envelope, app: AppFlow) -> int:
    """Return until when the identity of an event is remembered."""
    kind = facts.classification.reported
    days = app.days_of(envelope, is_conversion=kind is not None and kind.is_conversion)
    return envelope.received_ms + days * DAY_MS


def _unsent(facts: Facts, performance: Performance | None, envelope: Envelope, app: AppFlow) -> Identity | None:
    """Return the identity of an event that is not sent, but counts and must not count twice; else None."""
    # SKAdNetwork names no person: only their bytes distinguish two messages.
    if performance is None or facts.classification.reported is Kind.SKADNETWORK:
        return None
    identity = identity_of(facts, app.rules, envelope.ordinal)
    kind, source = performance.dimensions.kind, performance.dimensions.media_source
    if kind not in APART:
        return identity
    # Another copy of the same event is counted, and neither is the other's duplicate.
    return structs.replace(identity, key=content_key(kind.encode(), identity.key, source.encode()))


def _is_understood(message: Any, seen: Sequence[stream.SeenUser], source: Source, app: AppFlow) -> bool:
    """Return whether a message is an event or a user of Amplitude. Cohorts that an audience follows are read later.

    Where events are sent on, a message with a user but with other keys than a user has may be an event under a template
    that is not configured.
    """
    if source is Source.SIGHTINGS or (source is Source.COHORT and app.audiences) or events_in(message):
        return True
    if source is Source.STREAM and app.streams and isinstance(message, Mapping) and "users" not in message:
        return is_user(message, app.stream_fields)
    return bool(seen)


_NO_TIME: Final = Dead(
    "map",
    "no_event_time",
    "The row has no event_time that can be read, and history can't be dated to the day on which it is read.",
    "Export the report with Event Time, written as 2026-01-31 23:59:59, and import it again.",
)

_SEVERAL: Final = Dead(
    "map",
    "several_events",
    "The message is a list of events, and each is to be sent and accounted for on its own.",
    "Send the events of the list again to /v1/stream: the intake splits it.",
)


def _unknown_app(app: str) -> Dead:
    return Dead(
        "decode",
        "unknown_app",
        f"The app {app!r} is not in the configuration any more.",
        "Add it under [[apps]] and replay.",
    )
