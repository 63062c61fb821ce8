"""The ASGI application of a process: intake, health, metrics, and the console if there is one.

/v1/...         the intake endpoints (web.intake)
/healthz        200 while the process lives
/readyz         200 if this process can play its roles; 503 with reasons while stopping, or if a backend is unavailable
/metrics        Prometheus text
/openapi.json   the description of all this
everything else the console, if there is one
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.inbox.protocol import Inbox
from flybridge.insight.unwritten import read_unwritten, silent_sentence, unwritten_sentence
from flybridge.roles import ALL_ROLES, Roles
from flybridge.store.protocol import Store
from flybridge.store.server_clock import ServerClock, clock_sentence
from flybridge.system.counted import plural
from flybridge.telemetry.hearing import Hearing
from flybridge.telemetry.metrics import Metrics, bridge_state
from flybridge.web.answers import Message, Receive, Refusal, Reply, Scope, Send, answer
from flybridge.web.body import Header, Read, SenderGone
from flybridge.web.figures_access import refused
from flybridge.web.intake import Intake

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

GUARDED: Final = frozenset({"/metrics", "/openapi.json"})
PATHS: Final = GUARDED | {"/healthz", "/readyz"}
CHECK_TIMEOUT_S: Final = 2.0
"""How long inbox and store may take to answer /readyz, in seconds."""

_STOPPING: Final = Refusal(
    503,
    "flybridge is stopping; nothing was stored.",
    "Send it again in a few seconds.",
    (("retry-after", "5"), ("connection", "close")),
)


class WebApp(Struct, dict=True):
    """Dispatches requests.

    `store` is absent in a process that only receives, and so is `hearing`; `server_clock` is there in a cluster.
    `roles` decide which endpoints there are and what /readyz checks.
    """

    intake: Intake
    inbox: Inbox
    metrics: Metrics
    clock: Clock
    version: str
    store: Store | None = None
    console: AsgiApp | None = None
    roles: Roles = ALL_ROLES
    metrics_token: bytes | None = None
    hearing: Hearing | None = None
    server_clock: ServerClock | None = None
    is_leaving: bool = False
    is_draining: bool = False

    @cached_property
    def _description(self) -> bytes:
        return msgspec.json.encode(description(self.version))

    def leave(self) -> None:
        """Make /readyz fail while requests are still answered, so that a load balancer stops sending here."""
        self.is_leaving = True

    def drain(self) -> None:
        """Accept nothing new: /readyz fails and intake answers 503, while requests in flight are finished."""
        self.is_leaving = self.is_draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. An unexpected exception becomes a 500 and a traceback in the log."""
        if scope["type"] != "http":
            return await _not_http(scope, receive, send)
        try:
            if scope["path"].startswith("/v1/"):
                if turned_away := self._turned_away():
                    return await answer(send, turned_away)
                return await self.intake(scope, receive, send)
            return await self._other(scope, receive, send)
        except Exception:
            return await answer(send, self._failed(scope["method"], scope["path"]))

    async def take(self, path: str, method: str, query: bytes, header: Header, read: Read) -> Reply:
        """Answer one intake request given as plain values, for servers that need no ASGI."""
        if turned_away := self._turned_away():
            return turned_away
        try:
            return await self.intake.take(path, method, query, header, read)
        except SenderGone:
            raise
        except Exception:
            return self._failed(method, path)

    def _turned_away(self) -> Refusal | None:
        """Return why this process accepts no messages, with 503 so that a load balancer tries another one."""
        if self.is_draining:
            return _STOPPING
        if self.roles.takes:
            return None
        return Refusal(
            503,
            f"This process has the role {self.roles.name!r} and receives no messages; nothing was stored.",
            "Send it to a process with the role 'intake'.",
            (("retry-after", "30"),),
        )

    def _failed(self, method: str, path: str) -> Refusal:
        # Only the beginning of the path is logged, and no query: a query string can be a whole postback.
        structlog.get_logger("flybridge").exception("request_failed", method=method, door=path.split("/")[1:3])
        return Refusal(500, "flybridge failed at this request.", "Send it again; the operator's log says why.")

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in PATHS:
            if self.console is not None:
                return await self.console(scope, receive, send)
            return await answer(
                send, Refusal(404, "There is nothing at this path.", "Data is taken at /v1/; see /openapi.json.")
            )
        if scope["method"] not in ("GET", "HEAD"):
            return await answer(
                send,
                Refusal(405, f"The method {scope['method']} is not answered here.", "Use GET.", (("allow", "GET"),)),
            )
        known = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = refused(self.metrics_token, known, (scope.get("client") or (None,))[0])
        if refusal is not None and path in GUARDED:
            return await answer(send, refusal)
        status, kind, body = await self._page(path, details=refusal is None)
        headers = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        return None

    async def _page(self, path: str, *, details: bool) -> tuple[int, bytes, bytes]:
        """Return status, type and body."""
        if path == "/metrics":
            self.metrics.state = await bridge_state(self.inbox, self.store, self.clock.now_ms(), self.hearing)
            return 200, b"text/plain; version=0.0.4; charset=utf-8", self.metrics.render()
        if path != "/readyz":
            return 200, b"application/json", b'{"alive":true}' if path == "/healthz" else self._description
        reasons = await self._reasons(details=details)
        state = {"ready": not reasons, "part": self.roles.name, "reasons": reasons}
        if not reasons and (warnings := await self._warnings(details=details)):
            state["warnings"] = warnings
        body = msgspec.json.encode(state)
        return (503 if reasons else 200), b"application/json", body

    async def _warnings(self, *, details: bool) -> Sequence[str]:
        """Return what needs an operator although this process can play its roles."""
        now_ms, warnings = self.clock.now_ms(), list[str]()
        if self.roles.needs_inbox and (n := (await self.inbox.depth(now_ms)).unreadable):
            warnings.append(f"{plural(n, 'message')} in the inbox can't be opened: see `flybridge doctor`.")
        if self.store is not None:
            found = await read_unwritten(self.store, now_ms)
            own = self.hearing.unwritten(now_ms) if self.hearing is not None else ""
            if problem := own or found.problem:
                warnings.append(unwritten_sentence(problem) if details else "The store can't be written.")
            elif found.silent_ms:
                warnings.append(silent_sentence(f"{found.silent_ms // 60_000} minutes"))
        if self.server_clock is not None and (sentence := clock_sentence(self.server_clock.ahead_ms)):
            warnings.append(sentence)
        return warnings

    async def _reasons(self, *, details: bool) -> Sequence[str]:
        """Return why this process can't play its roles. A refusal of the inbox counts until its retry time.

        Without `details` they hold no text of a backend, which may name paths and addresses.
        """
        now_ms = self.clock.now_ms()
        if self.is_leaving:
            return ["flybridge is stopping."]
        reasons = []
        if self.intake.refuses(now_ms):
            reasons.append("The inbox has just refused to store: see the answers to senders for the reason.")
        if self.roles.needs_inbox:
            reasons += await _away("inbox", self.inbox.depth(now_ms), details=details)
        if self.store is not None:
            reasons += await _away("store", self.store.lanes(now_ms), details=details)
        return reasons


def description(version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of the HTTP endpoints, `openapi.json` beside this module, for this version.

    Bodies are described as loosely as they are accepted: any JSON. The fields are described by AppsFlyer and Amplitude.
    """
    found: dict[str, Any] = msgspec.json.decode(files(__package__).joinpath("openapi.json").read_bytes())
    found["info"]["version"] = version
    return found


async def _away(part: str, question: Coroutine[Any, Any, object], *, details: bool) -> list[str]:
    try:
        await asyncio.wait_for(question, CHECK_TIMEOUT_S)
    except TimeoutError:
        return [f"The {part} did not answer within {CHECK_TIMEOUT_S:.0f} seconds."]
    except FlybridgeError as problem:
        return [f"The {part} is away: {problem}" if details else f"The {part} is away."]
    return []


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the lifespan protocol; close everything else."""
    if scope["type"] != "lifespan":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
