"""The console: pages on Starlette and Jinja2. They work without scripts; a script adds what moves.

No page shows an identifier of a person or the content of a message: the console reads counters only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from flybridge.clock import Clock
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.inbox.protocol import Inbox
from flybridge.store.protocol import Store
from flybridge.web.answers import Receive, Refusal, Scope, Send, answer
from flybridge.web.console.access import Guesses, refused, too_many_guesses
from flybridge.web.console.api import PerformanceApi
from flybridge.web.console.reading import Circuits, ConsoleReader
from flybridge.web.console.registry import GROUPS, REGISTRY
from flybridge.web.console.site import HEADERS, NO_ENTRY, Scopes, Site

_NOTHING: Final = Refusal(404, "There is nothing at this path.", "Data is taken at /v1/; see /openapi.json.")

STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


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
        self._password = password
        self._guesses = Guesses()
        self._count = count
        reader = ConsoleReader(inbox, store, clock, circuits)
        self._site = Site(
            inbox, store, clock, reader, windows=windows, scopes=scopes, version=version, groups=GROUPS
        )  # fmt: skip
        self._routes: list[BaseRoute] = [
            route for pages in REGISTRY.values() for page in pages for route in page.routes(self._site)
        ]
        self._routes += [_static(name, kind) for name, kind in STATIC.items()]
        api = PerformanceApi(store, clock, scopes, HEADERS)
        self._routes.append(Route("/api/v1/performance", api.performance, methods=["GET"]))
        self._routes.append(Route("/api/v1/cohorts", api.cohorts, methods=["GET"]))
        self._routes.append(Route("/api/v1/reconciliation", api.reconciliation, methods=["GET"]))
        self._routes.append(Route("/api/v1/reconciliation/findings", api.findings, methods=["GET"]))
        self._app = Starlette(
            routes=self._routes,
            exception_handlers={ConfigError: self._unanswerable, FlybridgeError: self._away},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Only existing paths need access."""
        if all(route.matches(scope)[0] is Match.NONE for route in self._routes):
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

    async def _unanswerable(self, request: Request, problem: Exception) -> Response:
        assert isinstance(problem, ConfigError)
        return await self._site.page(request, NO_ENTRY, "unanswerable.html", 400, problem=problem)

    async def _away(self, _: Request, problem: Exception) -> Response:
        structlog.get_logger("flybridge").error("console", kind=type(problem).__name__, problem=str(problem))
        return self._site.unavailable()


def _static(name: str, kind: str) -> Route:
    body = files(__package__).joinpath(f"static/{name}").read_bytes()

    async def show(_: Request) -> Response:
        return Response(body, 200, {**HEADERS, "content-type": kind})

    return Route(f"/{name}", show, methods=["GET"])
