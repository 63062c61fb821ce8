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
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from hmac import compare_digest
from time import perf_counter_ns
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.clock import Clock
from flybridge.errors import InboxUnavailable
from flybridge.inbox.protocol import Inbox
from flybridge.records import Envelope, Media, Source
from flybridge.telemetry.door_counts import Tally
from flybridge.web import lists
from flybridge.web.answers import Receive, Refusal, Reply, Scope, Send, answer
from flybridge.web.body import Header, Read, SenderGone, no_query, read_asgi, unpacked, unreadable, unwanted

MAX_BYTES: Final = 1_000_000
"""Default limit of a body, in bytes, after inflating. Fits the 1 MiB that a NATS server takes by default."""

_PATHS: Final = {"push": Source.PUSH, "stream": Source.STREAM, "cohorts": Source.COHORT}


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
        read = partial(read_asgi, receive, headers.get("content-length"), self._max_bytes)
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
            refusal = no_query(method, query, self._max_bytes) or await self._keep(door, Media.QUERY, query)
        elif refusal is None and (refusal := unwanted(header)) is None:
            body = unpacked(await read(), header, self._max_bytes)
            if isinstance(body, Refusal):
                refusal = body
            elif (refusal := unreadable(body)) is None:
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


def _listed(call: lists.Call, body: bytes, cohorts: Collection[str]) -> bytes | lists.Made | Refusal:
    judged = lists.judge(call, body, cohorts)
    return Refusal(judged.status, judged.error, judged.remedy) if isinstance(judged, lists.No) else judged


def _no_door(path: str) -> Refusal:
    known = path.split("/")[2:3]
    if known and known[0] in _PATHS:
        return Refusal(
            404,
            "The app in the path is not configured here.",
            "Compare the last part of the path with the names in [[apps]].",
        )
    return Refusal(404, "There is nothing at this path.", "Use /v1/push/{app}, /v1/stream/{app} or /v1/cohorts/{app}.")


AT_ONCE: Final = 500
"""Members of a list that are stored at once, so that a long list fits where other messages wait, too."""

_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def members(body: bytes) -> list[bytes] | None:
    """Return the members of a list, with the bytes they came in; None if it is no list, or has none."""
    if body.lstrip()[:1] != b"[":
        return None
    try:
        return [bytes(part) for part in _list.decode(body)] or None
    except msgspec.DecodeError:
        return None
