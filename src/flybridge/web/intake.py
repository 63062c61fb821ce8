"""The doors through which data comes in. Here bytes are made durable, and nothing else happens to them.

    POST /v1/push/{app}      an AppsFlyer Push API message, JSON
    GET  /v1/push/{app}?...  the same as query parameters; the query string is what is kept
    POST /v1/stream/{app}    an event (or a list of events) of an Amplitude event stream
    POST /v1/cohorts/{app}   an Amplitude cohort webhook
    POST /v1/cohorts/{app}/lists...   the calls of a list-based partner integration (`web.lists`)

A framework would cost more than everything done here, so there is none: `Intake.take` judges a request that is given
as plain values, and `Intake.__call__` is the same as an ASGI application. Guarantees:

1. 200 is answered only after the inbox has made the bytes durable.
2. Any other status means that nothing was accepted, and the body says why and what to do. (Of a list of events some
   may have been: sent again, they are repeats that change nothing.)
3. Whatever is readable JSON is taken, also what can't be mapped later: it becomes a dead letter, not a lost message.

The order in which a request is judged: app (404), method (405), token (401), kind of body (415), size (413),
content (400). Nothing of the body is read before the token is known to be right.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping, Sequence
from functools import partial
from hmac import compare_digest
from time import perf_counter_ns
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.clock import Clock
from flybridge.errors import InboxUnavailable
from flybridge.inbox.protocol import Inbox
from flybridge.records import Envelope, Media, Source
from flybridge.telemetry import Tally
from flybridge.web import lists
from flybridge.web.members import AT_ONCE, members

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BYTES: Final = 1_000_000
"""Default limit of a body, in bytes, after inflating. Fits the 1 MiB that a NATS server takes by default."""

BODY_TIMEOUT_S: Final = 30.0
"""How long the rest of a body may take to arrive once its first part is there, in seconds."""


class IntakeApp(Struct, frozen=True):
    """One app's doors. A token of None keeps a door shut (401); an empty one leaves it open to everybody.

    `push_token` guards push, `stream_token` guards stream and cohorts. Tokens are compared with the header
    `token_header` and with `Authorization`, with or without `Bearer` in front. `takes_apart`: the events of a list at
    the stream's door become messages of their own, because each is to be accounted for.
    """

    name: str
    push_token: bytes | None = None
    stream_token: bytes | None = None
    token_header: bytes = b"authorization"
    takes_apart: bool = False
    cohorts: frozenset[str] = frozenset()  # of which lists may be made


class Refusal(Struct, frozen=True):
    """An answer other than 200. `error` says what is wrong with which part, `remedy` what to do about it."""

    status: int
    error: str
    remedy: str
    headers: tuple[tuple[str, str], ...] = ()


Reply = Refusal | lists.Made | None  # None: its bytes are stored


class _Object(Struct):
    """Any JSON object: no field is looked at, so msgspec checks the syntax and builds nothing."""


_ANY: Final = msgspec.json.Decoder(_Object | list[Any] | str | int | float | bool | None)

Header = Callable[[str], str | None]
"""Gives a header's value by its name in lower case, None if it is absent."""

Read = Callable[[], Awaitable["bytes | Refusal"]]
"""Reads the whole body, or says why not. Raises when the sender goes away before it is complete."""

_PATHS: Final = {"push": Source.PUSH, "stream": Source.STREAM, "cohorts": Source.COHORT}
_USUAL_TYPES: Final = frozenset({None, "application/json", "application/json; charset=utf-8", "text/plain"})
_PACKED: Final = frozenset({"gzip", "x-gzip"})
_ENCODINGS: Final = _PACKED | {"", "identity"}
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


BROKEN_OFF: Final = Refusal(400, "The body ended before it was complete.", "Send it again, all of it.")
"""For a sender that stops inside its body and may still listen."""


class SenderGone(Exception):
    """The sender went away before its body was complete. Nothing was accepted, nobody waits for an answer."""


def rendered(refusal: Reply) -> tuple[int, Sequence[tuple[str, str]], bytes]:
    """Give an answer as status, headers and body; no refusal means that the bytes are stored."""
    if refusal is None:
        return 200, _STORED_HEADERS, b'{"stored":true}'
    if isinstance(refusal, lists.Made):
        return 200, _STORED_HEADERS, refusal.body
    body = msgspec.json.encode({"error": refusal.error, "remedy": refusal.remedy})
    return refusal.status, [("content-type", "application/json"), *refusal.headers], body


_STORED_HEADERS: Final = [("content-type", "application/json")]


async def answer(send: Send, refusal: Reply) -> None:
    """Send an answer as ASGI."""
    status, headers, body = rendered(refusal)
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    pairs.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


class _Door:
    """One source of one app: who may enter, with what, and what was counted."""

    def __init__(self, app: IntakeApp, source: Source) -> None:
        token, header = app.push_token if source is Source.PUSH else app.stream_token, app.token_header
        self.app = app.name
        self.takes_apart = app.takes_apart and source is Source.STREAM
        self.cohorts = app.cohorts
        self.source = source
        self.tally = Tally(app.name, source.value)
        self._token = None if token is None else token.strip()
        self._header = header.decode("latin-1").lower()
        self._setting = "appsflyer.push_token" if source is Source.PUSH else "amplitude.webhook_token"

    def stops(self, method: str, header: Header) -> Refusal | None:
        """Judge method and token."""
        if method != "POST" and not (self.source is Source.PUSH and method in ("GET", "HEAD")):
            allow = "GET, POST" if self.source is Source.PUSH else "POST"
            return Refusal(405, f"The method {method} is not answered here.", f"Use {allow}.", (("allow", allow),))
        token = self._token
        if token == b"":
            return None
        given = (header(self._header) or header("authorization") or "").encode("latin-1", "replace")
        if given[:7].lower() == b"bearer ":
            given = given[7:].strip()
        elif given[:6].lower() == b"basic ":
            given = lists.user_of(given[6:].strip())
        # Compared even when the door is shut, so that the time taken does not tell the two cases apart.
        if compare_digest(given, token or b"\0") and token is not None:
            return None
        if token is None:
            return Refusal(401, f"No token is set for {self.source.value} of this app.", f"Set {self._setting} for it.")
        return Refusal(
            401,
            f"The header {self._header} is {'wrong' if given else 'absent'}.",
            f"Send the token that is configured as {self._setting}.",
            (("www-authenticate", "Bearer"),),
        )


class Intake:
    """All doors. `tallies` holds one count per door, and one without app for requests that found no door."""

    def __init__(self, apps: Iterable[IntakeApp], inbox: Inbox, clock: Clock, *, max_bytes: int = MAX_BYTES) -> None:
        self._inbox = inbox
        self._clock = clock
        self._max_bytes = max_bytes
        self._doors = {f"/v1/{path}/{app.name}": _Door(app, source) for app in apps for path, source in _PATHS.items()}
        self._nowhere = Tally("", "")
        self.tallies: Sequence[Tally] = [self._nowhere, *(door.tally for door in self._doors.values())]
        self.refused_until_ms = 0
        """Until when the inbox asked senders to stay away, in milliseconds; in the past if it works."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        read = partial(_read, receive, headers.get("content-length"), self._max_bytes)
        try:
            refusal = await self.take(scope["path"], scope["method"], scope["query_string"], headers.get, read)
        except SenderGone:
            return
        await answer(send, refusal)

    async def take(self, path: str, method: str, query: bytes, header: Header, read: Read) -> Reply:
        """Judge one request and make its bytes durable. None means that they are; what `read` raises is passed on."""
        started = perf_counter_ns()
        door, call = self._doors.get(path), None
        if door is None and (call := lists.call_of(path)) is not None:
            door = self._doors.get(call.door)
        if door is None:
            self._nowhere.refuse(404)
            return _no_door(path)
        refusal: Reply = door.stops(method, header)
        if refusal is None and method != "POST":
            refusal = _no_query(method, query, self._max_bytes) or await self._keep(door, Media.QUERY, query)
        elif refusal is None and (refusal := _unwanted(header)) is None:
            body = _unpacked(await read(), header, self._max_bytes)
            if isinstance(body, Refusal):
                refusal = body
            elif (refusal := _unreadable(body)) is None:
                kept = body if call is None else _listed(call, body, door.cohorts)
                refusal = await self._keep(door, Media.JSON, kept) if isinstance(kept, bytes) else kept
        if isinstance(refusal, Refusal):
            door.tally.refuse(refusal.status)
            return refusal
        if refusal is None:
            door.tally.accept(perf_counter_ns() - started)
        return refusal

    async def _keep_all(self, door: _Door, now_ms: int, parts: Sequence[bytes]) -> None:
        # If one is refused the sender sends all again; what was stored is then a repeat.
        accepts = [self._inbox.accept(Envelope(door.app, door.source, Media.JSON, now_ms, part)) for part in parts]
        for outcome in await asyncio.gather(*accepts, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _keep(self, door: _Door, media: Media, body: bytes) -> Refusal | None:
        now_ms = self._clock.now_ms()
        parts = members(body) if door.takes_apart else None
        try:
            if parts is None:
                await self._inbox.accept(Envelope(door.app, door.source, media, now_ms, body))
            else:
                for start in range(0, len(parts), AT_ONCE):
                    await self._keep_all(door, now_ms, parts[start : start + AT_ONCE])
        except InboxUnavailable as problem:
            self.refused_until_ms = self._clock.now_ms() + problem.retry_after_s * 1000
            return Refusal(
                503,
                f"Not confirmed as stored: {problem}",
                f"Send it again in {problem.retry_after_s} seconds.",
                (("retry-after", str(problem.retry_after_s)),),
            )
        return None


async def _read(receive: Receive, length: str | None, max_bytes: int) -> bytes | Refusal:
    """Read a body. A body that arrives in one part, as nearly all do, costs one call of `receive`."""
    declared = -1
    if length is not None:
        if not (length.isascii() and length.isdigit()):
            return Refusal(400, "The header Content-Length is no number.", "Send the size of the body in bytes.")
        if len(length) > 18 or (declared := int(length)) > max_bytes:
            return _too_large(max_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    if len(body) == declared:
        return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            parts, size = [body], len(body)
            while message.get("more_body", False) and size <= max_bytes:
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
    except TimeoutError:
        return Refusal(
            408, f"The body did not arrive within {BODY_TIMEOUT_S:.0f} seconds.", "Send it again, all at once."
        )
    if message["type"] == "http.disconnect":
        raise SenderGone
    if size > max_bytes:
        return _too_large(max_bytes)
    if declared not in (-1, size):
        return Refusal(
            400,
            f"The body has {size} bytes, the header Content-Length says {declared}.",
            "Send the size of the body in bytes as Content-Length.",
        )
    return b"".join(parts)


def _listed(call: lists.Call, body: bytes, cohorts: Collection[str]) -> bytes | lists.Made | Refusal:
    judged = lists.judge(call, body, cohorts)
    return Refusal(judged.status, judged.error, judged.remedy) if isinstance(judged, lists.No) else judged


def _unwanted(header: Header) -> Refusal | None:
    """Judge by its headers what kind of body comes."""
    kind, encoding = header("content-type"), header("content-encoding")
    if kind not in _USUAL_TYPES and (refusal := _wrong_type(kind or "")):
        return refusal
    return None if encoding is None or encoding.lower() in _ENCODINGS else _wrong_encoding()


def _unpacked(body: bytes | Refusal, header: Header, max_bytes: int) -> bytes | Refusal:
    if isinstance(body, Refusal):
        return body
    if (header("content-encoding") or "").lower() in _PACKED:
        return _inflate(body, max_bytes)
    return body if len(body) <= max_bytes else _too_large(max_bytes)


def _inflate(body: bytes, max_bytes: int) -> bytes | Refusal:
    stream = zlib.decompressobj(wbits=31)
    try:
        clear = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        clear = b""
    if len(clear) > max_bytes:
        return _too_large(max_bytes)
    if not stream.eof or stream.unused_data:
        return Refusal(
            400, "The body is not one gzip stream, as Content-Encoding says.", "Send it complete, or uncompressed."
        )
    return clear


def _unreadable(body: bytes) -> Refusal | None:
    """Say what is wrong with a JSON body. Costs about a microsecond for 2 KB, whatever the fields.

    JSON of any kind is taken: what is no message of the kind expected becomes a dead letter, which can be looked at.
    """
    try:
        _ANY.decode(body)
        # msgspec skips over strings without looking at their bytes.
        if not body.isascii():
            str(body, "utf-8")
    except UnicodeDecodeError as problem:
        return Refusal(400, f"The body is not UTF-8 at byte {problem.start}.", "Encode the JSON as UTF-8.")
    except RecursionError:
        return Refusal(400, "The body is nested too deeply.", "Send JSON that is nested less than 500 levels deep.")
    except msgspec.DecodeError as problem:
        if not body.strip():
            return Refusal(400, "The body is empty.", "Send one JSON object.")
        if _escapes_half_a_character(body):
            return None
        return Refusal(400, f"The body is not valid JSON: {problem}.", "Send one JSON object, encoded as UTF-8.")
    return None


def _escapes_half_a_character(body: bytes) -> bool:
    """Tell whether the body is JSON but for lone surrogates, as senders write that cut a text inside an emoji.

    The grammar of JSON allows them (RFC 8259, section 8.2), msgspec doesn't. The message is taken: it is not lost.
    """
    if b"\\u" not in body:
        return False
    try:
        json.loads(str(body, "utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _wrong_type(value: str) -> Refusal | None:
    kind, *parameters = value.lower().split(";")
    kind = kind.strip()
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip().strip("\"'") not in _CHARSETS:
            return Refusal(415, "The header Content-Type names a charset that is not UTF-8.", "Send JSON as UTF-8.")
    if kind in ("", "application/json", "text/plain", "text/json") or kind.endswith("+json"):
        return None
    return Refusal(415, "The header Content-Type names a kind that is not JSON.", "Send application/json.")


def _wrong_encoding() -> Refusal:
    return Refusal(
        415,
        "The header Content-Encoding names an encoding that is not known here.",
        "Send the body uncompressed, or as gzip.",
        (("accept-encoding", "gzip, identity"),),
    )


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(
        413, f"The body is larger than {max_bytes} bytes.", "Send fewer fields, or fewer people or events at once."
    )


def _no_query(method: str, query: bytes, max_bytes: int) -> Refusal | None:
    if method == "HEAD":
        return Refusal(400, "HEAD carries no postback.", "Send it with POST as JSON, or with GET as query parameters.")
    if b"=" not in query:
        return Refusal(
            400, "The query string is empty.", "Send the postback's fields as query parameters, or use POST."
        )
    return _too_large(max_bytes) if len(query) > max_bytes else None


def _no_door(path: str) -> Refusal:
    known = path.split("/")[2:3]
    if known and known[0] in _PATHS:
        return Refusal(
            404,
            "The app in the path is not configured here.",
            "Compare the last part of the path with the names in [[apps]].",
        )
    return Refusal(404, "There is nothing at this path.", "Use /v1/push/{app}, /v1/stream/{app} or /v1/cohorts/{app}.")
