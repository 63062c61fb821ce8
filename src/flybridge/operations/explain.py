"""What `serve` would do with a message: the checks of the intake, the decision of the flow, and the mapping row by row.

Nothing is stored and nothing is sent. The decision is the one that the pipeline itself makes of the same bytes; what it
can't know is what the store knows: whether the message is a repeat, and whether its person has been seen already.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.amplitude.streamed import event_in, read_message
from flybridge.appsflyer import postback
from flybridge.appsflyer.columns import field_of
from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback import V1_NAMES
from flybridge.config.settings import App, Config
from flybridge.config.streams import streams_of
from flybridge.errors import ConfigError
from flybridge.insight.reasons import reason_of
from flybridge.mapping.table import Explained
from flybridge.mapping.to_amplitude.explain import Explanation
from flybridge.mapping.to_amplitude.explain import explain as explain_postback
from flybridge.mapping.to_appsflyer.explain import explain_event
from flybridge.records import HOUR_MS, Apply, Dead, Decision, Deliver, Envelope, Filter, Hold, Media, Refuse, Source
from flybridge.web.answers import Refusal, too_large
from flybridge.web.body import no_query, unreadable
from flybridge.web.intake import members
from flybridge.wiring import build_flow, rules_of

MAX_ROWS: Final = 20
"""How many rows of a file are explained."""

AMPLITUDE_ONLY: Final = frozenset(
    {
        "amplitude_id", "user_id", "device_id", "event_properties", "user_properties", "group_properties", "groups",
        "insert_id", "$insert_id", "client_event_time", "client_upload_time", "server_received_time",
        "server_upload_time", "processed_time", "session_id", "uuid", "event_id", "amplitude_event_type",
        "amplitude_attribution_ids", "is_attribution_event", "os_name", "version_name", "start_version", "paying",
        "library", "data", "device_family", "device_carrier", "sample_rate", "$schema", "user_creation_time",
    }
)  # fmt: skip
"""Fields of Amplitude's Export API format that no message of AppsFlyer has."""

APPSFLYER_ONLY: Final = (frozenset(NAMES) | frozenset(V1_NAMES)) - {
    "event_type", "event_time", "platform", "app_version", "language", "country_code", "region", "city", "dma",
    "device_type", "os_version", "idfa", "idfv", "carrier",
}  # fmt: skip
"""Fields of AppsFlyer's messages that an event of Amplitude has not."""

_QUERY: Final = re.compile(r"(?:(?:GET\s+)?\S*\?)?([\w.$%\[\]+-]+=[^\s]*)(?:\s+HTTP/[\d.]+)?")


class GivenMessage(Struct, frozen=True):
    """One message as it would reach flybridge. `form` says in words what it was read as."""

    form: str
    source: Source
    media: Media
    body: bytes
    ordinal: int = 0


class MessageOutcome(Struct, frozen=True):
    """What `serve` would do with one message.

    `outcome` is `delivered`, `held`, `filtered`, `refused`, `applied`, `dead`, or `turned_away` for what the intake
    answers with an error. `keys` are the kinds of identifiers that it is held under, `mapping` and `rows` explain the
    item that would be sent.
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


def read_messages(
    raw: bytes, source: Source | None = None, fields: Mapping[str, str] | None = None
) -> list[GivenMessage]:
    """Return the messages in a file or text: JSON, a query string or an address with one, or CSV with a header.

    Text in UTF-8 (with or without a byte order mark), UTF-16 and Latin-1 is read. Without a `source` the fields decide
    whether JSON is AppsFlyer's or Amplitude's; `fields` are the app's `stream_fields`.
    """
    text = as_text(raw)
    stripped = text.strip()
    body = stripped.encode("utf-8", "surrogatepass")
    if stripped[:1] not in ("{", "[") and source is not Source.STREAM:
        if (query := _QUERY.fullmatch(stripped)) is not None:
            return [GivenMessage("postback (GET)", Source.PUSH, Media.QUERY, query[1].encode("utf-8", "surrogatepass"))]
        if rows := list(_rows(text)):
            return rows
    chosen = source or (Source.STREAM if is_amplitudes(body, fields or {}) else Source.PUSH)
    form = "event of Amplitude" if chosen is Source.STREAM else "postback (POST)"
    return [GivenMessage(form, chosen, Media.JSON, body)]


def as_text(raw: bytes) -> str:
    """Return the text of a file as editors save it."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    if b"\0" in raw[:200:2] or b"\0" in raw[1:200:2]:
        return raw.decode("utf-16-be" if raw[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def is_amplitudes(body: bytes, fields: Mapping[str, str]) -> bool:
    """Whether JSON is an event, a user or a list of Amplitude's rather than a postback, by the names of its fields."""
    try:
        message = read_message(body, fields)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    if isinstance(message, list):
        message = next((one for one in message if isinstance(one, Mapping)), None)
    if not isinstance(message, Mapping):
        return False
    if isinstance(message.get("events"), list):
        return True
    ours, theirs = len(AMPLITUDE_ONLY & message.keys()), len(APPSFLYER_ONLY & message.keys())
    return event_in(message) is not None if ours == theirs == 0 else ours > theirs


def _rows(text: str) -> Iterator[GivenMessage]:
    header = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter)
    seen: Counter[bytes] = Counter()
    try:
        columns = [field_of(column) for column in next(reader, [])]
        if len(set(columns) & set(NAMES)) < 2:
            return
        for number, values in enumerate((row for row in reader if any(row)), 1):
            filled = {column: value for column, value in zip(columns, values, strict=False) if value}
            body = msgspec.json.encode(filled)
            seen[body] += 1
            yield GivenMessage(f"row {number} of the file", Source.FILE, Media.JSON, body, seen[body])
    except csv.Error:
        return


def app_of(config: Config, name: str | None, messages: Sequence[GivenMessage]) -> App:
    """Return the app whose rules apply: the named one, the only one, or the one whose id the message carries."""
    if name is not None:
        app = config.app(name)
        assert app is not None, "the command has looked it up"
        return app
    if len(config.apps) == 1:
        return config.apps[0]
    for message in messages:
        read = postback.read(message.body, message.media)
        said = None if isinstance(read, Dead) else read.app_id
        matching = [app for app in config.apps if said and _plain(app.appsflyer_app_id) == _plain(said)]
        if len(matching) == 1:
            return matching[0]
    raise ConfigError("--app", "the message does not say which app it is of.", "Name the app with --app.")


def _plain(app_id: str) -> str:
    return app_id.removeprefix("id").lower()


def explain(config: Config, app: App, message: GivenMessage, received_ms: int) -> list[MessageOutcome]:
    """Return what `serve` would do with a message: one outcome, or one for each event of a list that it takes apart."""
    if message.source is not Source.FILE and (refusal := _turned_away(config, message)) is not None:
        told = f"The intake answers {refusal.status}. {refusal.error}"
        return [MessageOutcome(app.name, message.form, "turned_away", str(refusal.status), told, refusal.remedy)]
    apart = app.streams and message.source is Source.STREAM and message.media is Media.JSON
    parts = (members(message.body) if apart else None) or [message.body]
    return [_outcome(config, app, message, part, received_ms) for part in parts[:MAX_ROWS]]


def _turned_away(config: Config, message: GivenMessage) -> Refusal | None:
    most = config.server.max_body_bytes
    if message.media is Media.QUERY:
        return no_query("GET", message.body, most)
    return too_large(most) if len(message.body) > most else unreadable(message.body)


def _outcome(config: Config, app: App, message: GivenMessage, body: bytes, received_ms: int) -> MessageOutcome:
    envelope = Envelope(app.name, message.source, message.media, received_ms, body, ordinal=message.ordinal)
    decision = build_flow(config).safe_filing(envelope).decision
    base = _decided(app, message, decision, received_ms)
    if not isinstance(decision, Deliver | Hold):
        return base
    found = _mapping(app, message, body, received_ms)
    return msgspec.structs.replace(base, mapping=found.outcome, rows=found.rows, notes=found.notes)


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
            known, kinds = reason_of("filtered", decision.unmet), ", ".join(decision.key_kinds)
            sentence = f"{_sentence(known.meaning)[:-1]}, unless one of {kinds} has been seen with an id before."
            return outcome("filtered", decision.unmet, sentence, _sentence(known.remedy), keys=decision.key_kinds)
        case Hold(item=item):
            hours = (decision.expires_ms - received_ms) / HOUR_MS
            sentence = (
                f"It waits {hours:g} hours under {', '.join(decision.key_kinds)} for its user, and is sent as "
                f"{item.event_type} through {item.endpoint} when one of them is seen; at once if it was seen before."
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
