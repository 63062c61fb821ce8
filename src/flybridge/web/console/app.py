"""The console: read-only pages on Starlette and Jinja2, without scripts.

No page shows an identifier of a person or the content of a message: the console reads counters only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.inbox.protocol import Inbox
from flybridge.store.protocol import Store
from flybridge.web.answers import Receive, Refusal, Scope, Send, answer
from flybridge.web.console import pages
from flybridge.web.console.access import Guesses, refused, too_many_guesses
from flybridge.web.console.api import PerformanceApi, Scopes
from flybridge.web.console.reading import Circuits, ConsoleReader, Reading
from flybridge.web.console.words import clock_time, ticked

DAYS: Final = 14
MAX_DAYS: Final = 400
EVERY: Final = (10, 60)
"""Intervals at which a page may reload itself if asked to, in seconds."""

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_NOTHING: Final = Refusal(404, "There is nothing at this path.", "Data is taken at /v1/; see /openapi.json.")
_Page = Callable[[Reading, Request], dict[str, Any]]


class ConsoleApp:
    """The pages as one ASGI application, behind the access check.

    `windows` are the hours that events of each app are held; `circuits` returns the circuits of the lanes where the
    worker is in the same process. `count` is called with the status of each refused request.
    `scopes` are the apps whose performance is shown.
    """

    def __init__(
        self,
        inbox: Inbox,
        store: Store,
        clock: Clock,
        *,
        windows: Mapping[str, float],
        password: bytes | None,
        circuits: Circuits | None = None,
        version: str = "",
        count: Callable[[int], None] = lambda _: None,
        scopes: Scopes = lambda _: (),
    ) -> None:
        self._reader = ConsoleReader(inbox, store, clock, circuits)
        self._password = password
        self._guesses = Guesses()
        self._count = count
        self._version = version
        self._style = files(__package__).joinpath("static/console.css").read_bytes()
        self._templates = Environment(
            loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters["ticked"] = ticked
        shown: dict[str, tuple[str, _Page]] = {
            "/": ("overview", lambda reading, request: pages.overview(reading, _days(request))),
            "/holds": ("holds", lambda reading, _: pages.holds(reading, windows)),
            "/dead": ("dead", lambda reading, _: pages.dead(reading)),
            "/lanes": ("lanes", lambda reading, _: pages.lanes(reading)),
        }
        routes = [Route(path, self._endpoint(name, page), methods=["GET"]) for path, (name, page) in shown.items()]
        routes.append(Route("/console.css", self._stylesheet, methods=["GET"]))
        api = PerformanceApi(store, clock, scopes, HEADERS)
        routes.append(Route("/api/v1/performance", api.performance, methods=["GET"]))
        routes.append(Route("/api/v1/cohorts", api.cohorts, methods=["GET"]))
        self._paths = frozenset(route.path for route in routes)
        self._app = Starlette(routes=routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Only existing paths need access."""
        if scope["path"] not in self._paths:
            return await answer(send, _NOTHING)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        peer = (scope.get("client") or ("",))[0]
        if refusal := self._refused(headers, peer):
            self._count(refusal.status)
            return await answer(send, refusal)
        return await self._app(scope, receive, send)

    def _refused(self, headers: Mapping[str, str], peer: str) -> Refusal | None:
        now_s = time.monotonic()
        guessed = self._password is not None and "authorization" in headers
        if guessed and (wait_s := self._guesses.wait_s(peer, now_s)):
            return too_many_guesses(wait_s)
        refusal = refused(self._password, headers, peer)
        if guessed and refusal is not None:
            n = self._guesses.failed(peer, now_s)
            structlog.get_logger("flybridge").warning("console_password", problem="A wrong password.", peer=peer, n=n)
        return refusal

    def _endpoint(self, name: str, page: _Page) -> Callable[[Request], Any]:
        template = self._templates.get_template(f"{name}.html")

        async def show(request: Request) -> Response:
            frame = {"page": name, "version": self._version, "every": _every(request), "intervals": EVERY}
            try:
                reading = await self._reader.read()
            except FlybridgeError as problem:
                structlog.get_logger("flybridge").error("console", kind=type(problem).__name__, problem=str(problem))
                body = self._templates.get_template("away.html").render(frame, at="")
                return HTMLResponse(body, 503, {**HEADERS, "retry-after": "10"})
            frame["at"] = clock_time(reading.at_ms)
            return HTMLResponse(template.render(frame, **page(reading, request)), 200, HEADERS)

        return show

    async def _stylesheet(self, _: Request) -> Response:
        return Response(self._style, 200, {**HEADERS, "content-type": "text/css; charset=utf-8"})


def _days(request: Request) -> int:
    """Return the number of days asked for, or the default if it is unusable."""
    asked = request.query_params.get("days", "")
    if not (asked.isascii() and asked.isdigit()):
        return DAYS
    # Python refuses to read a number of thousands of digits.
    return min(int(asked.lstrip("0")[:9] or "0"), MAX_DAYS) or DAYS


def _every(request: Request) -> int:
    asked = request.query_params.get("every", "")
    return int(asked) if asked in {str(seconds) for seconds in EVERY} else 0
