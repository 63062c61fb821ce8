"""What becomes of messages of AppsFlyer.

read -> facts -> map (`mapping.to_amplitude`) -> deliver with identity, or hold under its keys
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import structs

from flybridge.amplitude.event import as_past, identifier
from flybridge.appsflyer import postback
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind, is_from_server, says_something
from flybridge.appsflyer.raw_report import bad_row
from flybridge.flow.app import READ, AppFlow
from flybridge.flow.person_keys import PersonKeys
from flybridge.identity import IdKind
from flybridge.identity.matching import expires_ms
from flybridge.mapping.performance import performance_of
from flybridge.mapping.person import named_user
from flybridge.mapping.to_amplitude.content_key import Identity, identity_of
from flybridge.mapping.to_amplitude.facts import (
    Facts,
    carried,
    facts_of,
    named,
    restricted,
)
from flybridge.mapping.to_amplitude.map import Mapped, map_facts, plan_of
from flybridge.mapping.to_amplitude.rules import SentAs
from flybridge.mapping.to_appsflyer.convert import appsflyer_id
from flybridge.records import (
    CUSTOM_DATA_WITHOUT_ID,
    DAY_MS,
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

DROPPED: Final = Refuse("restricted_source")
APART: Final = (PerformanceKind.SECONDARY, PerformanceKind.BLOCKED)

HTTP_V2: Final = "http_v2"
BATCH: Final = "batch"
"""The lane of history, beside that of what is pushed: a month of it holds up no event of today."""

# Looking up an enum member costs more than a module's name.
INSTALLED_BY_USER: Final = IdKind.INSTALLED_BY_USER
INSTALLED_ON_DEVICE: Final = IdKind.INSTALLED_ON_DEVICE
APPSFLYER_ID: Final = IdKind.APPSFLYER_ID
CUSTOMER_USER_ID: Final = IdKind.CUSTOMER_USER_ID
UNINSTALL: Final = Kind.UNINSTALL
ROW: Final = Media.ROW
FILE: Final = Source.FILE


class _Read(NamedTuple):
    """A message that could be read."""

    envelope: Envelope
    app: AppFlow
    postback: Postback


class Postbacks:
    """Turns messages of AppsFlyer into filings by the rules of their app."""

    def __init__(self, keys: PersonKeys) -> None:
        self._keys = keys

    def filings(self, received: Sequence[tuple[Envelope, AppFlow]]) -> list[Filing]:
        """Return what becomes of each message.

        Each step is done for all of them before the next: its code and data then stay in the processor's caches, which
        takes a quarter less time than message by message.
        """
        read = [_read(envelope) for envelope, _ in received]
        readable = [
            _Read(envelope, app, found)
            for (envelope, app), found in zip(received, read, strict=True)
            if isinstance(found, Postback)
        ]
        filed = iter(self._of_read(readable))
        return [
            _unreadable(*message, found) if isinstance(found, Dead) else next(filed)
            for message, found in zip(received, read, strict=True)
        ]

    def _of_read(self, messages: Sequence[_Read]) -> list[Filing]:
        facts = [facts_of(postback, app.rules, envelope.received_ms) for envelope, app, postback in messages]
        mapped = [_map(envelope, app, said) for (envelope, app, _), said in zip(messages, facts, strict=True)]
        known = list(zip(messages, facts, mapped, strict=True))
        installed = [
            self._installed(said, result, envelope) if app.streams else () for (envelope, app, _), said, result in known
        ]
        counted = [
            None if isinstance(result, Dead) else self._performance(said, envelope.app, app)
            for (envelope, app, _), said, result in known
        ]
        persons = [
            self._keys.person(envelope.app, named(said), _named_ms(said, result), [one.key for one in owners])
            for ((envelope, _, _), said, result), owners in zip(known, installed, strict=True)
        ]
        beside = zip(installed, counted, persons, strict=True)
        return [self._filed(*message, *found) for message, found in zip(known, beside, strict=True)]

    def _filed(  # noqa: PLR0917 - what the steps have found of a message, in their order
        self,
        message: _Read,
        facts: Facts,
        mapped: Mapped | Decision,
        installed: tuple[Sighting, ...],
        performance: Performance | None,
        persons: tuple[Person, ...],
    ) -> Filing:
        envelope, app, read = message
        digest = digest_of(envelope.app, envelope.body)
        if not isinstance(mapped, Mapped):
            identity = _unsent(facts, performance, envelope, app) or Identity(digest, None, envelope.ordinal)
            return Filing(
                envelope,
                mapped,
                identity.key,
                _until_ms(envelope, app, None if identity.key is digest else facts.classification.reported),
                installed,
                performance,
                digest=digest,
                persons=persons,
                restricted=restricted(facts) if mapped == DROPPED else None,
                key_ms=identity.key_ms,
                ordinal=identity.ordinal,
                other_key=identity.other_key,
            )
        return Filing(
            envelope,
            self._resolve(read, mapped, envelope, app),
            mapped.key,
            _until_ms(envelope, app, facts.classification.reported),
            self._known(facts, mapped, envelope) + installed,
            performance,
            digest=digest,
            carried=carried(facts, app.rules, mapped.media_source, names_person=mapped.endpoint == HTTP_V2),
            persons=persons,
            restricted=restricted(facts),
            key_ms=mapped.key_ms,
            ordinal=mapped.ordinal,
            other_key=mapped.other_key,
        )

    def prospects(self, received: Sequence[tuple[Envelope, AppFlow]]) -> list[Filing]:
        """Return what `filings` would say of whether a row is sent and which event it is, and nothing else.

        What is sent, counted and kept of it is most of the work. Where it is more than the usual case, all is done.
        """
        read = [_read(envelope) if app.rules.route == HTTP_V2 else None for envelope, app in received]
        facts = [
            facts_of(found, app.rules, envelope.received_ms) if isinstance(found, Postback) else None
            for (envelope, app), found in zip(received, read, strict=True)
        ]
        identities = [
            identity_of(said, app.rules, envelope.ordinal) if said is not None and _is_usual(said, app) else None
            for (envelope, app), said in zip(received, facts, strict=True)
        ]
        return [
            self.filings([message])[0] if said is None or identity is None else _prospect(message[0], said, identity)
            for message, said, identity in zip(received, facts, identities, strict=True)
        ]

    def _performance(self, facts: Facts, name: str, app: AppFlow) -> Performance | None:
        postback = facts.postback
        one_copy = app.rules.double_attribution != "first"
        return performance_of(
            facts,
            app.counting,
            keys=self._keys.of(name, APPSFLYER_ID, postback.appsflyer_id) if postback.appsflyer_id else (),
            is_secondary=one_copy and postback.is_primary_attribution is False,
        )

    def _fallback(self, postback: Postback, mapped: Mapped, app: AppFlow) -> str | None:
        if not app.customer_user_at_expiry or mapped.endpoint == "attribution":
            return None
        return identifier(named_user(postback.customer_user_id), app.rules.min_id_length)

    def _resolve(self, read: Postback, mapped: Mapped, envelope: Envelope, app: AppFlow) -> Decision:
        sent, endpoint = mapped.sent, mapped.endpoint
        if endpoint == HTTP_V2:
            if envelope.source in READ and envelope.received_ms - mapped.event_ms > app.current_ms:
                sent = as_past(sent)
            if app.is_history(envelope, mapped.event_ms):
                endpoint = BATCH
        item = Deliver(endpoint, mapped.insert_id, mapped.event_type, sent, mapped.user_id, mapped.device_id)
        known = mapped.user_id or mapped.device_id
        if not app.hold_attribution if mapped.endpoint == "attribution" else known:
            return item
        keys = {kind: self._keys.of(envelope.app, kind, value) for kind, value in mapped.ids.items()}
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

    def _known(self, facts: Facts, mapped: Mapped, envelope: Envelope) -> tuple[Sighting, ...]:
        if mapped.endpoint == "attribution" or not (mapped.user_id or mapped.device_id):
            return ()
        seen_ms, ids = min(mapped.event_ms, envelope.received_ms), mapped.ids
        if facts.classification.reported is UNINSTALL:
            # It is noticed when the app may be installed anew: of its own installation alone it says whose it was.
            ids = {kind: value for kind, value in ids.items() if kind is APPSFLYER_ID}
        return self._keys.teach(envelope.app, ids, mapped.user_id, mapped.device_id, seen_ms)

    def _installed(self, facts: Facts, mapped: Mapped | Decision, envelope: Envelope) -> tuple[Sighting, ...]:
        """Return sightings of the owner of a postback's AppsFlyer id, for the events that go to AppsFlyer."""
        postback, person = facts.postback, facts.person
        installation = appsflyer_id(postback.appsflyer_id or "")
        if installation is None or isinstance(mapped, Dead) or postback.blocked_reason is not None:
            return ()
        if facts.classification.reported is UNINSTALL:
            return ()  # it is noticed when the app may have been installed anew, and no event comes from it
        # A customer user id that names no user by itself is still one to match by: Amplitude has shown who asks.
        user_id = person.user_id or person.ids.get(CUSTOMER_USER_ID)
        known = ((INSTALLED_BY_USER, user_id), (INSTALLED_ON_DEVICE, person.device_id))
        ids = {kind: value for kind, value in known if value is not None}
        seen_ms = min(facts.event_ms, envelope.received_ms)
        return self._keys.teach(envelope.app, ids, None, installation, seen_ms)


def _is_usual(facts: Facts, app: AppFlow) -> bool:
    """Whether a row is sent at once, as it names its user and says when it happened."""
    person = facts.person
    is_sent = not facts.is_undated and isinstance(plan_of(facts, app.rules), SentAs)
    is_sent = is_sent and not (app.streams and _came_by_stream(facts, app))
    return is_sent and (person.user_id is not None or person.device_id is not None)


def _prospect(envelope: Envelope, facts: Facts, identity: Identity) -> Filing:
    person = facts.person
    return Filing(
        envelope,
        Deliver(BATCH, "", "", b"", person.user_id, person.device_id),
        identity.key,
        key_ms=identity.key_ms,
        ordinal=identity.ordinal,
        other_key=identity.other_key,
    )


def _read(envelope: Envelope) -> Postback | Dead:
    return bad_row(envelope.body) if envelope.media is ROW else postback.read(envelope.body, envelope.media)


def _unreadable(envelope: Envelope, app: AppFlow, read: Dead) -> Filing:
    # The bytes themselves are the identity of what has no other, so that a repeat is one message.
    digest = digest_of(envelope.app, envelope.body)
    return Filing(
        envelope, read, digest, _until_ms(envelope, app), digest=digest, ordinal=envelope.ordinal
    )  # fmt: skip


def _map(envelope: Envelope, app: AppFlow, facts: Facts) -> Mapped | Decision:
    is_past = app.is_history(envelope, facts.event_ms)
    # Which conversion of a person is the newest was looked for in files alone. Of the others an install sets what its
    # user has not, so that one which was missed does not leave a user without a source.
    is_newest = envelope.newest or (is_past and envelope.source is not FILE and _is_install(facts))
    mapped = map_facts(facts, app.rules, envelope.ordinal, is_past=is_past, is_newest=is_newest)
    if app.streams and isinstance(mapped, Mapped) and _came_by_stream(facts, app):
        return _CAME_BY_STREAM
    return _NO_TIME if facts.is_undated and envelope.source in READ and isinstance(mapped, Mapped) else mapped


def _came_by_stream(facts: Facts, app: AppFlow) -> bool:
    """Whether an in-app event is one that a stream has sent to AppsFlyer: Amplitude has it already."""
    postback, reported = facts.postback, facts.classification.reported
    if reported is None or not reported.is_in_app or not is_from_server(postback.event_source):
        return False
    return any(rules.compiled.has_sent(postback.event_name or "") for rules in app.streams)


def _is_install(facts: Facts) -> bool:
    reported = facts.classification.reported
    return reported is not None and reported.family == "install"


def _named_ms(facts: Facts, mapped: Mapped | Decision) -> int:
    """Return when a message was about its person. The time of one that is not sent is not made up."""
    return facts.event_ms if isinstance(mapped, Mapped) or not facts.is_undated else 0


def _until_ms(envelope: Envelope, app: AppFlow, kind: Kind | None = None) -> int:
    """Return until when a message is remembered: by the kind of its event, or by its bytes."""
    days = app.days_of(envelope, is_conversion=kind is not None and kind.is_conversion)
    return envelope.received_ms + days * DAY_MS


def _unsent(facts: Facts, performance: Performance | None, envelope: Envelope, app: AppFlow) -> Identity | None:
    """Return the identity of an event that is not sent, but counts and must not count twice; else None."""
    if performance is None:
        return None
    if facts.classification.reported is Kind.SKADNETWORK:
        # It names no person. Apple's id of the transaction is there to tell repeats, read 2026-11-27:
        # https://developer.apple.com/documentation/storekit/skadnetwork/verifying_an_install_validation_postback
        # Where the network passes none on, the id of AppsFlyer's message tells them: its copies have it, too.
        number = facts.postback.skad_transaction_id or str(facts.postback.get("event_uuid") or "")
        return Identity(content_key(SKAD, app.rules.app.encode(), number.encode()), None, 0) if number else None
    identity = identity_of(facts, app.rules, envelope.ordinal)
    kind, source = performance.dimensions.kind, performance.dimensions.media_source
    if kind not in APART:
        return identity
    # Another copy of the same event is counted, and neither is the other's duplicate.
    key, other = (
        None if one is None else content_key(kind.encode(), one, source.encode())
        for one in (identity.key, identity.other_key)
    )
    return structs.replace(identity, key=key, other_key=other)


SKAD: Final = b"skadnetwork"
_CAME_BY_STREAM: Final = Filter("came_by_stream")
_NO_TIME: Final = Dead(
    "map",
    "no_event_time",
    "The row has no event_time that can be read, and history can't be dated to the day on which it is read.",
    "Export the report with Event Time, written as 2026-01-31 23:59:59, and import it again.",
)
