"""The intake endpoints. Here bytes are made durable, and nothing else happens to them.

    POST /v1/push/{app}      an AppsFlyer Push API message, JSON (or several: a list, or one a line)
    GET  /v1/push/{app}?...  the same as query parameters; the query string is what is kept
    POST /v1/stream/{app}    an event (or several) of an Amplitude event stream
    POST /v1/cohorts/{app}   an Amplitude cohort webhook
    POST /v1/cohorts/{app}/lists...   the calls of a list-based partner integration (`web.lists`)

No framework is used, because it would cost more than everything done here: `Intake.take` judges a request given as
plain values, and `Intake.__call__` is the same as an ASGI application. Guarantees:

1. 200 is answered only after the inbox has made the bytes durable.
2. Any other status means that nothing was accepted, and the body says why and what to do. (Of a list some may have
   been: sent again, they are repeats that change nothing.)
3. Any body is accepted from a sender with the right token, because AppsFlyer does not send again what is refused. What
   can't be read or mapped later becomes a dead letter, not a lost message. Refused is what is not there or not whole:
   an empty body (400), one shorter than announced (400) or too slow (408), and one that is too large (413).

The order in which a request is judged: app (404), method (405), token (401), size (413), content (400). Nothing of the
body is read before the token is known to be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hmac import compare_digest
from time import perf_counter_ns
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from flybridge.amplitude.streamed import event_in, read_message
from flybridge.clock import Clock
from flybridge.errors import InboxUnavailable
from flybridge.inbox.protocol import CLOCK_STEP_MS, Inbox
from flybridge.records import Envelope, Media, Source
from flybridge.telemetry.door_counts import DoorCounts
from flybridge.web import lists
from flybridge.web.answers import Receive, Refusal, Reply, Scope, Send, answer, too_large
from flybridge.web.body import Header, Read, SenderGone, empty, is_form, no_query, read_asgi, unpacked
from flybridge.web.members import messages_in

MAX_BYTES: Final = 1_000_000
"""Default limit of a body, in bytes, after inflating. Fits the 1 MiB that a NATS server takes by default."""

AT_ONCE: Final = 500
"""Members of a list that are stored at once at most, so that a long list fits into the inbox beside other messages."""

_PATHS: Final = {"push": Source.PUSH, "stream": Source.STREAM, "cohorts": Source.COHORT}


class StreamRoutes(Struct, frozen=True):
    """The apps of one Amplitude project by platform, `app` first: the one whose endpoint the stream is sent to.

    Events of a mobile platform are those of its app. Other events, as those of browsers and servers, stay with `app`.
    Users and other messages that are no events go to every app, because each may find its people by them.
    `fields` are the names of a template, as `amplitude.stream_fields`.
    """

    app: str
    by_platform: Mapping[str, str]
    fields: Mapping[str, str]

    def apps_of(self, body: bytes) -> Sequence[str]:
        """Return the apps that a message is given to."""
        try:
            event = event_in(read_message(body, self.fields))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return (self.app,)
        if event is None:
            return tuple(dict.fromkeys((self.app, *self.by_platform.values())))
        return (self.by_platform.get(event.platform, self.app),)


class IntakeApp(Struct, frozen=True):
    """The endpoints of one app. With a token of None an endpoint answers 401; with an empty one it needs no token.

    `push_token` guards push, where `former_push_tokens` are taken as well, and `stream_token` stream and cohorts.
    Tokens are compared with the header `token_header` and with `Authorization`, with or without `Bearer` in front. With
    `takes_apart` the events of a list in the stream become messages of their own, because each is to be accounted for.
    `routes` give events of the stream to the app of their platform.
    """

    name: str
    push_token: bytes | None = None
    stream_token: bytes | None = None
    token_header: bytes = b"authorization"
    takes_apart: bool = False
    cohorts: frozenset[str] = frozenset()  # for which lists may be created
    routes: StreamRoutes | None = None
    former_push_tokens: tuple[bytes, ...] = ()


class _Endpoint:
    """One source of one app: its token and its counts."""

    def __init__(self, app: IntakeApp, source: Source) -> None:
        token, header = app.push_token if source is Source.PUSH else app.stream_token, app.token_header
        self.app = app.name
        self.takes_apart = app.takes_apart and source is Source.STREAM
        self.is_routed = app.routes is not None and source is Source.STREAM
        self.cohorts = app.cohorts
        self._routes = app.routes if source is Source.STREAM else None
        self.source = source
        self.counts = DoorCounts(app.name, source.value)
        self._token = None if token is None else token.strip()
        former = app.former_push_tokens if source is Source.PUSH else ()
        self._taken = tuple(one.strip() for one in (token, *former) if one is not None)
        self._header = header.decode("latin-1").lower()
        self._setting = "appsflyer.push_token" if source is Source.PUSH else "amplitude.webhook_token"

    def apps_of(self, body: bytes) -> Sequence[str]:
        """Return the apps that a message is of."""
        return (self.app,) if self._routes is None else self._routes.apps_of(body)

    @property
    def knows_sender(self) -> bool:
        """Whether every sender has a token."""
        return self._token != b""

    def refused(self, method: str, header: Header) -> Refusal | None:
        """Return the refusal of a request by its method and token, if there is one."""
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
        # Compared with all, and even when none is set, so that the time taken does not tell the cases apart.
        same = [compare_digest(given, one) for one in self._taken or (b"\0",)]
        if any(same) and token is not None:
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
    """All intake endpoints. `counts` has one entry per endpoint, and one without app for requests to unknown paths."""

    def __init__(
        self,
        apps: Iterable[IntakeApp],
        inbox: Inbox,
        clock: Clock,
        *,
        max_bytes: int = MAX_BYTES,
        max_pending: int = 2 * AT_ONCE,
    ) -> None:
        self._inbox = inbox
        self._at_once = max(1, min(AT_ONCE, max_pending // 2))
        self._clock = clock
        self._max_bytes = max_bytes
        self._endpoints = {
            f"/v1/{path}/{app.name}": _Endpoint(app, source) for app in apps for path, source in _PATHS.items()
        }
        self._nowhere = DoorCounts("", "")
        self.counts: Sequence[DoorCounts] = [self._nowhere, *(endpoint.counts for endpoint in self._endpoints.values())]
        self._refused = (0, 0)

    @property
    def refused_ms(self) -> int:
        """When the inbox refused a message last; 0 if it has not."""
        return self._refused[0]

    def refuses(self, now_ms: int) -> bool:
        """Whether the inbox has asked senders to wait. It works if that was later than now: the clock was set back."""
        since_ms, until_ms = self._refused
        return since_ms - CLOCK_STEP_MS <= now_ms < until_ms

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
        """Judge one request and make its bytes durable; None means that they are. What `read` raises is passed on."""
        started = perf_counter_ns()
        endpoint, call = self._endpoints.get(path), None
        if endpoint is None and path.endswith("/"):  # as an address is entered by hand
            path = path.rstrip("/")
            endpoint = self._endpoints.get(path)
        if endpoint is None and (call := lists.call_of(path)) is not None:
            endpoint = self._endpoints.get(call.endpoint)
        if endpoint is None:
            self._nowhere.refuse(404)
            return _no_endpoint(path)
        refusal: Reply = endpoint.refused(method, header)
        if refusal is None and method != "POST":
            refusal = no_query(method, query, self._max_bytes) or await self._keep(endpoint, Media.QUERY, query)
        elif refusal is None:
            body = unpacked(await read(), header, self._max_bytes)
            if isinstance(body, Refusal):
                refusal = body
            elif (refusal := empty(body)) is None:
                kept = body if call is None else lists.judge(call, body, endpoint.cohorts)
                media = Media.QUERY if endpoint.source is Source.PUSH and is_form(body, header) else Media.JSON
                if isinstance(kept, bytes) and len(kept) > self._max_bytes + lists.FRAME_BYTES:
                    kept = too_large(self._max_bytes)
                refusal = await self._keep(endpoint, media, kept) if isinstance(kept, bytes) else kept
        if isinstance(refusal, Refusal):
            endpoint.counts.refuse(refusal.status)
            return refusal
        if refusal is None:
            endpoint.counts.accept(perf_counter_ns() - started)
        return refusal

    async def _keep_all(self, endpoint: _Endpoint, now_ms: int, parts: Sequence[bytes]) -> None:
        # If one is refused, the sender sends all again; what was stored is then a repeat.
        accepts = [
            self._inbox.accept(Envelope(app, endpoint.source, Media.JSON, now_ms, part))
            for part in parts
            for app in endpoint.apps_of(part)
        ]
        for outcome in await asyncio.gather(*accepts, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _keep(self, endpoint: _Endpoint, media: Media, body: bytes) -> Refusal | None:
        now_ms = self._clock.now_ms()
        parts = None
        if media is Media.JSON:
            parts = messages_in(body, endpoint.source, takes_apart=endpoint.takes_apart)
        try:
            if parts is None and endpoint.is_routed:
                await self._keep_all(endpoint, now_ms, [body])
            elif parts is None:
                await self._inbox.accept(Envelope(endpoint.app, endpoint.source, media, now_ms, body))
            else:
                for start in range(0, len(parts), self._at_once):
                    await self._keep_all(endpoint, now_ms, parts[start : start + self._at_once])
        except InboxUnavailable as problem:
            now_ms, endpoint.counts.problem = self._clock.now_ms(), str(problem)
            if not self.refuses(now_ms):
                structlog.get_logger("flybridge").error("refused", app=endpoint.app, problem=str(problem))
            self._refused = (now_ms, now_ms + problem.retry_after_s * 1000)
            return Refusal(
                503,
                # The problem may name paths and addresses, which are not for strangers: it is logged, too.
                f"Not confirmed as stored: {problem if endpoint.knows_sender else 'the inbox is away.'}",
                f"Send it again in {problem.retry_after_s} seconds.",
                (("retry-after", str(problem.retry_after_s)),),
            )
        return None


def _no_endpoint(path: str) -> Refusal:
    known = path.split("/")[2:3]
    if known and known[0] in _PATHS:
        return Refusal(
            404,
            "The app in the path is not configured here.",
            "Compare the last part of the path with the names in [[apps]].",
        )
    return Refusal(404, "There is nothing at this path.", "Use /v1/push/{app}, /v1/stream/{app} or /v1/cohorts/{app}.")
