"""What `serve` would do with a message: the checks of the intake, the decision of the flow, and the mapping row by row.

Nothing is stored and nothing is sent. The decision is the one that the pipeline itself makes of the same bytes; what it
can't know is what the store knows: whether the message is a repeat, and whether its person has been seen already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.amplitude.streamed import event_in, read_message
from flybridge.appsflyer import postback
from flybridge.appsflyer.app_id import is_same_app
from flybridge.config.apps import App, streams_of
from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.insight.reasons import reason_of
from flybridge.mapping.table import Explained
from flybridge.mapping.to_amplitude.explain import Explanation
from flybridge.mapping.to_amplitude.explain import explain as explain_postback
from flybridge.mapping.to_appsflyer.explain import explain_event
from flybridge.operations.messages import GivenMessage
from flybridge.records import (
    HOUR_MS,
    Apply,
    Dead,
    Decision,
    Deliver,
    Envelope,
    Filter,
    Hold,
    Media,
    MemberChange,
    Refuse,
    Source,
)
from flybridge.web import lists
from flybridge.web.answers import Answered, Refusal, too_large
from flybridge.web.body import empty, no_query
from flybridge.web.members import messages_in
from flybridge.wiring import build_flow, intake_apps_of, rules_of

MAX_ROWS: Final = 20
"""How many rows of a file are explained."""


class MessageOutcome(Struct, frozen=True):
    """What `serve` would do with one message.

    `outcome` is `delivered`, `held`, `filtered`, `refused`, `applied`, `dead`, `turned_away` for what the intake
    answers with an error, `answered` for the creation of a list, or, for a row of a file, `unreadable` or `left_out` of
    what is imported. `keys` are the kinds of identifiers that it is held under, `mapping` and `rows` explain the item
    that would be sent.
    """

    app: str
    form: str
    outcome: str
    reason: str
    sentence: str
    remedy: str = ""
    endpoint: str = ""
    event: str = ""
    keys: tuple[str, ...] = ()
    mapping: str = ""
    rows: tuple[Explained, ...] = ()
    notes: tuple[str, ...] = ()


def app_of(config: Config, name: str | None, messages: Sequence[GivenMessage]) -> App:
    """Return the app whose rules apply: the named one, the only one, or the one whose id the message carries.

    A message of Amplitude carries none: it is of the app that takes the stream of a project for others, if one does.
    """
    if name is not None:
        app = config.app(name)
        assert app is not None, "the command has looked it up"
        return app
    if len(config.apps) == 1:
        return config.apps[0]
    takers = [app for app in config.apps if app.amplitude.shared_with]
    if len(takers) == 1 and messages and messages[0].source is Source.STREAM:
        return takers[0]
    for message in messages:
        read = postback.read(message.body, message.media)
        said = None if isinstance(read, Dead) else read.app_id
        matching = [app for app in config.apps if said and is_same_app(said, app.appsflyer_app_id)]
        if len(matching) == 1:
            return matching[0]
    raise ConfigError("--app", "the message does not say which app it is of.", "Name the app with --app.")


def explain(config: Config, app: App, message: GivenMessage, received_ms: int) -> list[MessageOutcome]:
    """Return what `serve` would do with a message: one outcome, or one for each part of a list that it takes apart."""
    if message.problem:
        remedy = "Save the file as CSV again; a value with commas, quotes or line ends stands in quotes."
        remedy = remedy if message.outcome == "unreadable" else ""
        return [MessageOutcome(app.name, message.form, message.outcome, "", message.problem, remedy)]
    if message.source is not Source.FILE and (refusal := _refusal(config, message)) is not None:
        return [_turned_away(app, message, refusal)]
    if message.call:
        return [_called(config, app, message, received_ms)]
    parts = [(app, message.body)]
    if message.source is Source.STREAM and message.media is Media.JSON:
        parts = _parts(config, app, message.body)
    elif message.source is Source.PUSH and message.media is Media.JSON:
        parts = [(app, part) for part in messages_in(message.body, Source.PUSH, takes_apart=False) or (message.body,)]
    found = [_outcome(config, of_app, message, part, received_ms) for of_app, part in parts[:MAX_ROWS]]
    if len(parts) > MAX_ROWS:
        more = f"The message holds {len(parts)} events: the first {MAX_ROWS} are explained."
        found[-1] = msgspec.structs.replace(found[-1], notes=(*found[-1].notes, more))
    return found


def _parts(config: Config, app: App, body: bytes) -> list[tuple[App, bytes]]:
    """Return the events of a stream's message, each with the app that the intake gives it to."""
    (intake,) = [one for one in intake_apps_of(config) if one.name == app.name]
    parts = messages_in(body, Source.STREAM, takes_apart=intake.takes_apart) or [body]
    if intake.routes is None:
        return [(app, part) for part in parts]
    by_name = {one.name: one for one in config.apps}
    return [(by_name[name], part) for part in parts for name in intake.routes.apps_of(part)]


def _called(config: Config, app: App, message: GivenMessage, received_ms: int) -> MessageOutcome:
    """Return what becomes of a call of a list-based integration, which names its cohort in the path."""
    (intake,) = [one for one in intake_apps_of(config) if one.name == app.name]
    call = lists.call_of(f"/v1/cohorts/{app.name}/lists{message.call.rstrip('/')}")
    if call is None:
        raise ConfigError("--call", f"There is no call /lists{message.call}.", "Write /, /{id}/add or /{id}/remove.")
    match lists.judge(call, message.body, intake.cohorts):
        case Refusal() as refusal:
            return _turned_away(app, message, refusal)
        case Answered(body=body):
            sentence = f"The intake answers {body.decode()}, and nothing is stored: the list is the audience's cohort."
            return MessageOutcome(app.name, message.form, "answered", "", sentence)
        case body:
            return _outcome(config, app, message, body, received_ms)


def _turned_away(app: App, message: GivenMessage, refusal: Refusal) -> MessageOutcome:
    detail = f"The intake answers {refusal.status}. {refusal.error}"
    return MessageOutcome(app.name, message.form, "turned_away", str(refusal.status), detail, refusal.remedy)


def _refusal(config: Config, message: GivenMessage) -> Refusal | None:
    most = config.server.max_body_bytes
    if message.media is Media.QUERY:
        return no_query("GET", message.body, most)
    return too_large(most) if len(message.body) > most else empty(message.body)


def _outcome(config: Config, app: App, message: GivenMessage, body: bytes, received_ms: int) -> MessageOutcome:
    door = (app.name, message.source, message.media)
    envelope = Envelope(*door, received_ms, body, ordinal=message.ordinal, newest=message.newest)
    filing = build_flow(config).safe_filing(envelope)
    decision = filing.decision
    base = _decided(app, message, decision, received_ms)
    if filing.members:
        return msgspec.structs.replace(base, notes=tuple(_changes(filing.members)))
    if not isinstance(decision, Deliver | Hold):
        return base
    found = _mapping(app, message, body, received_ms)
    return msgspec.structs.replace(base, mapping=found.outcome, rows=found.rows, notes=found.notes)


def _changes(members: Sequence[MemberChange]) -> Iterator[str]:
    """Yield what a cohort message does to each audience."""
    counted = Counter((change.audience, change.wanted) for change in members)
    lacking = Counter((change.audience, change.wanted) for change in members if not change.member.marks)
    for (audience, wanted), n in sorted(counted.items()):
        enters = f"{'enter' if wanted else 'leave'}{'' if n > 1 else 's'}"
        without = lacking[audience, wanted]
        bare = f"; {without} of them carry no identifier that AppsFlyer can take" if wanted and without else ""
        yield f"{n} {'members' if n > 1 else 'member'} {enters} the audience {audience}{bare}."


def _mapping(app: App, message: GivenMessage, body: bytes, received_ms: int) -> Explanation:
    if message.source is Source.STREAM:
        event = event_in(read_message(body, app.amplitude.stream_fields))
        assert event is not None, "only events are sent to AppsFlyer"
        return explain_event(event, streams_of(app), received_ms)
    read = postback.read(body, message.media)
    assert not isinstance(read, Dead), "what can't be read is not sent"
    return explain_postback(read, rules_of(app), received_ms)


def _decided(app: App, message: GivenMessage, decision: Decision, received_ms: int) -> MessageOutcome:
    def outcome(kind: str, reason: str, sentence: str, remedy: str = "", **more: Any) -> MessageOutcome:
        return MessageOutcome(app.name, message.form, kind, reason, sentence, remedy, **more)

    match decision:
        case Deliver():
            sentence = f"It is sent as {decision.event_type} through {decision.endpoint}."
            return outcome("delivered", "", sentence, endpoint=decision.endpoint, event=decision.event_type)
        case Hold() if decision.expires_ms <= received_ms:
            known = reason_of("filtered", decision.unmet)
            sentence = f"{_sentence(known.meaning)[:-1]}, unless a postback of this person was seen before."
            return outcome("filtered", decision.unmet, sentence, _sentence(known.remedy), keys=decision.key_kinds)
        case Hold(item=item):
            hours = (decision.expires_ms - received_ms) / HOUR_MS
            sentence = (
                f"It waits up to {hours:g} hours for a user with its {' or '.join(decision.key_kinds)}, and is then "
                f"sent as {item.event_type} through {item.endpoint}; at once if that user was seen before."
            )
            return outcome("held", "", sentence, endpoint=item.endpoint, event=item.event_type, keys=decision.key_kinds)
        case Dead():
            return outcome("dead", decision.reason, decision.detail, decision.remedy)
        case Filter() | Refuse() | Apply():
            kind = {Filter: "filtered", Refuse: "refused", Apply: "applied"}[type(decision)]
            known = reason_of(kind, decision.reason)
            return outcome(kind, decision.reason, _sentence(known.meaning), _sentence(known.remedy))


def _sentence(words: str) -> str:
    """Return the words of the reasons' table as a sentence; nothing for what needs nothing."""
    return "" if words == "nothing" else f"{words[:1].upper()}{words[1:]}."
