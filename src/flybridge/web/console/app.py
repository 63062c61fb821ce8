"""The console: pages on Starlette and Jinja2. They work without scripts; a script adds what moves.

Every request passes the gate: the name it was sent to, who it is from, and for what changes something, whether a page
of the console made it and whether the visitor's role allows it. Lists and figures show no identifier of a person and no
content of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Final

import structlog
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from flybridge.delivery.exchange import Transport
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.web.access.identity import Visitor
from flybridge.web.access.oidc import OidcProvider
from flybridge.web.answers import Receive, Refusal, Scope, Send, rendered
from flybridge.web.console import api
from flybridge.web.console.acting import read_form
from flybridge.web.console.deeds import REFUSED
from flybridge.web.console.login import LOGIN, LOGOUT, OPEN_PATHS, LoginPages
from flybridge.web.console.pages import (
    account,
    audiences,
    audit,
    cohorts,
    dead,
    differences,
    events,
    flow,
    holds,
    jobs,
    people,
    setup,
    sources,
)
from flybridge.web.console.site import HEADERS, NO_ENTRY, Group, Page, Site

REGISTRY: Final[Mapping[str, Sequence[Page]]] = {
    "Performance": (sources, cohorts, differences),
    "Data": (events, flow, account, holds, dead, audiences, jobs),
    "Administration": (setup, people, audit),
}
"""Modules with `ENTRY` and `routes`, in the order of the navigation, by the heading that their pages stand under."""

GROUPS: Final = tuple(Group(label, tuple(page.ENTRY for page in pages)) for label, pages in REGISTRY.items())

LOOKING_POSTS: Final = frozenset({events.FIND})
"""Paths whose POST only looks something up, which the role `read` may: what is looked for must not be in an address."""

_NOTHING: Final = Refusal(404, "There is nothing at this path.", "Data is taken at /v1/; see /openapi.json.")
_READ_ONLY: Final = Refusal(
    403, "Your role lets you look, and not change anything.", "Ask for the role `operate`, or log in as somebody else."
)

STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class ConsoleApp:
    """The pages as one ASGI application, behind the gate.

    `count` is called with the status of each refused request. `transport` is for the identity provider.
    """

    def __init__(
        self, site: Site, *, transport: Transport | None = None, count: Callable[[int], None] = lambda _: None
    ) -> None:
        self._count = count
        self._site, self._gate = structs.replace(site, groups=GROUPS), site.gate
        oidc, provider = site.gate.console.oidc, None
        if oidc is not None and transport is not None:
            provider = OidcProvider(oidc, transport, site.clock)
        self._login = LoginPages(self._site, site.gate, self._refused_page, provider)
        self._static = frozenset(f"/{name}" for name in STATIC)
        self._routes: list[BaseRoute] = [
            route for pages in REGISTRY.values() for page in pages for route in page.routes(self._site)
        ]
        self._routes += self._login.routes()
        self._routes += [_static(name, kind) for name, kind in STATIC.items()]
        self._routes += api.routes(self._site)
        self._app = Starlette(
            routes=self._routes,
            exception_handlers={ConfigError: self._unanswerable, FlybridgeError: self._away},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        try:
            refusal = await self._refusal(scope, receive)
        except FlybridgeError as problem:
            response = await self._away(request, problem)
            return await response(scope, receive, send)
        if refusal is not None:
            if refusal.status != 404:
                self._count(refusal.status)
            return await self._refused_page(request, refusal)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _refusal(self, scope: Scope, receive: Receive) -> Refusal | None:
        """Return why a request is not answered; put into its scope who it is from, and the form that it carries."""
        path, method = scope["path"], scope["method"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        matches = {route.matches(scope)[0] for route in self._routes}
        if matches == {Match.NONE}:
            return _NOTHING
        if refusal := self._gate.wrong_host(headers):
            return refusal
        if Match.FULL not in matches:
            return Refusal(405, f"The method {method} is not answered here.", "Use the console's own pages.")
        if path in self._static:
            return None
        if method == "POST":
            form = await read_form(receive, headers.get("content-type", ""), headers.get("content-length"))
            if isinstance(form, Refusal):
                return form
            scope["form"] = form
        if path in OPEN_PATHS and not self._gate.console.open_to_all:
            return None
        found = await self._gate.visitor(headers, (scope.get("client") or ("",))[0])
        if isinstance(found, Refusal):
            return found
        scope["visitor"], scope["csrf"] = found, self._gate.csrf_of(found)
        if method not in {"GET", "HEAD"}:
            return await self._unasked(scope, found, headers)
        return None

    async def _unasked(self, scope: Scope, visitor: Visitor, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request that would change something is not answered."""
        if refusal := self._gate.forged(visitor, headers, scope.get("form", {})):
            return refusal
        if visitor.operates or scope["path"] in {LOGIN, LOGOUT} or scope["path"] in LOOKING_POSTS:
            return None
        await self._site.deeds.write(
            visitor, "denied", REFUSED, target=scope["path"], detail="The role does not allow it."
        )
        return _READ_ONLY

    def _refused_page(self, request: Request, refusal: Refusal) -> Response:
        """Return a refusal: a page for browsers, JSON for programs. Who has to log in sees the login page."""
        if "text/html" not in request.headers.get("accept", ""):
            status, headers, body = rendered(refusal)
            return Response(body, status, {**HEADERS, **dict(headers)})
        if refusal.status == 401:
            back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return self._login.page(request, status=401, back=back if request.method == "GET" else "")
        shown = {name: value for name, value in refusal.headers if name != "www-authenticate"}
        return self._site.bare("refused.html", refusal.status, shown, refusal=refusal)

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
