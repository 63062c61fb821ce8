"""What every page of the console is made with: data, templates, answer headers, and its place in the navigation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from flybridge.amplitude.event import MIN_ID_LENGTH
from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.insight.csv_text import BYTE_ORDER_MARK
from flybridge.insight.performance import AppScope
from flybridge.records import clock_time
from flybridge.store.protocol import Store
from flybridge.system.counted import plural, span
from flybridge.telemetry.door_counts import StepLatency
from flybridge.web.console.condition import condition
from flybridge.web.console.deeds import Deeds
from flybridge.web.console.figures import cells_of, name_of
from flybridge.web.console.gate import ConsoleGate
from flybridge.web.console.operations import Operations
from flybridge.web.console.plain_words import ticked
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.words import count_of, share

Scopes = Callable[[int], Sequence[AppScope]]
"""Returns what has to be known of each app at a time in milliseconds."""

Latencies = Callable[[], Sequence[StepLatency]]
"""Returns how long each step takes in this process."""

Values = Callable[["Site", Mapping[str, str]], Awaitable[dict[str, Any]]]
"""Returns the values of a page by its query."""

Csv = Callable[["Site", Mapping[str, str]], Awaitable[tuple[str, str]]]
"""Returns the figures of a page by its query: a CSV file, and a name for it."""

Answer = Callable[[Request], Awaitable[Response]]
"""Answers a request."""

EVERY: Final = (10, 60)
"""Intervals at which a page may reload itself if asked to, in seconds."""

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Nothing to other sites. With `no-referrer` browsers would send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Entry(Struct, frozen=True):
    """A page's place in the navigation: its key, path and label. Pages `with_period` hand theirs on to each other."""

    key: str
    path: str
    label: str
    with_period: bool = False


NO_ENTRY: Final = Entry("", "", "")
"""Of pages that stand nowhere in the navigation."""

NO_FRAME: Final = {
    "page": "",
    "path": "",
    "kept": "",
    "again": "",
    "every": 0,
    "at": "",
    "condition": None,
    "visitor": None,
}
"""What the frame of a page is made from, for one that knows nothing of it."""


class Page(Protocol):
    """A module of the console: its entry in the navigation, and its routes, actions and parts included."""

    @property
    def ENTRY(self) -> Entry:  # noqa: N802 - the name of a constant of a module
        """The page's place in the navigation."""
        ...

    def routes(self, site: Site) -> Sequence[BaseRoute]:
        """Return the routes."""
        ...


KEPT: Final = ("period", "from", "to", "app")
"""The part of a question about figures that goes along to the other pages with figures."""


class Group(Struct, frozen=True):
    """Pages that stand together in the navigation."""

    label: str
    entries: tuple[Entry, ...]


class Site(Struct, dict=True, kw_only=True):
    """Data and templates of the console. `windows` are the hours that events of each app are held.

    `scopes_at` returns the apps whose performance is shown, and `all_operations` are what can be done, if anything can.
    `latencies` are how long the steps of this process take. No id of a user is shorter than `shortest_id`.
    """

    reader: ConsoleReader
    gate: ConsoleGate
    windows: Mapping[str, float]
    shortest_id: int = MIN_ID_LENGTH
    scopes_at: Scopes = lambda _: ()
    latencies: Latencies | None = None
    all_operations: Operations | None = None
    version: str = ""
    groups: Sequence[Group] = ()

    @property
    def store(self) -> Store:
        """The store, as the reader reads it."""
        return self.reader.store

    @property
    def clock(self) -> Clock:
        """The clock that the reader goes by."""
        return self.reader.clock

    @cached_property
    def deeds(self) -> Deeds:
        """What writes down what visitors do."""
        return Deeds(self.store, self.clock)

    @property
    def _frame(self) -> dict[str, Any]:
        return {**NO_FRAME, "version": self.version, "groups": self.groups, "intervals": EVERY}

    @cached_property
    def _templates(self) -> Environment:
        return _templates_of(tuple(self.groups))

    @property
    def operations(self) -> Operations:
        """What can be done. Raises `FlybridgeError` where nothing can."""
        if self.all_operations is None:
            raise FlybridgeError("This console can't do anything.")
        return self.all_operations

    def scopes(self) -> Sequence[AppScope]:
        """Return what has to be known of each app now."""
        return self.scopes_at(self.clock.now_ms())

    async def page(self, request: Request, entry: Entry, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page: `values` in a template, framed by the navigation and the condition of the bridge."""
        reading = await self.reader.read()
        frame = {
            **self._frame,
            "page": entry.key,
            "path": request.url.path,
            "kept": _kept(request, entry) if status == 200 else "",
            "again": urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "every"]),
            "every": _every(request),
            "at": clock_time(reading.at_ms),
            "condition": condition(reading),
            "visitor": request.scope["visitor"],
            "csrf": request.scope["csrf"],
        }
        return HTMLResponse(self._templates.get_template(template).render(frame, **values), status, HEADERS)

    def part(self, template: str, **values: Any) -> Response:
        """Return a part of a page, for scripts that put it in place."""
        return HTMLResponse(self._templates.get_template(template).render(values), 200, HEADERS)

    def routes(self, entry: Entry, show: Answer, actions: Mapping[str, Answer] | None = None) -> list[Route]:
        """Return the routes of a page, and of its actions by their paths."""
        own = [Route(entry.path, show, methods=["GET"])]
        return own + [Route(path, act, methods=["POST"]) for path, act in (actions or {}).items()]

    def figures(self, entry: Entry, values: Values, csv: Csv) -> list[Route]:
        """Return the routes of a page with figures: its template is named by its key, its figures are also CSV."""

        async def show(request: Request) -> Response:
            return await self.page(request, entry, f"{entry.key}.html", **await values(self, request.query_params))

        async def as_csv(request: Request) -> Response:
            body, name = await csv(self, request.query_params)
            headers = {**HEADERS, "content-disposition": f'attachment; filename="{name}"'}
            return Response(BYTE_ORDER_MARK + body, 200, headers, "text/csv; charset=utf-8")

        return [*self.routes(entry, show), Route(f"/{entry.key}.csv", as_csv, methods=["GET"])]

    def bare(self, template: str, status: int, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
        """Return a page that needs no data and no login: without navigation."""
        body = self._templates.get_template(template).render(version=self.version, **values)
        return HTMLResponse(body, status, {**HEADERS, **(headers or {})})

    def unavailable(self) -> Response:
        """Return the page that is shown while the store is away."""
        body = self._templates.get_template("away.html").render(self._frame)
        return HTMLResponse(body, 503, {**HEADERS, "retry-after": "10"})


# Compiled templates are kept by the one that they were loaded with: all consoles of a process share them.
@lru_cache(maxsize=4)
def _templates_of(groups: tuple[Group, ...]) -> Environment:
    templates = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    places = {entry.path: entry.label for group in groups for entry in group.entries}
    templates.filters |= {
        "place": lambda path: places.get(path.partition("?")[0], "more"),
        "ticked": _ticked, "count": count_of, "plural": plural, "span": span, "share": share,
        "cells": cells_of, "source_name": lambda value: name_of("media_source", value),
        "pair": lambda value: (value, value),
    }  # fmt: skip
    return templates


@pass_context
def _ticked(context: Context, sentence: str) -> Markup:
    """Put a sentence into the words of the one who reads it."""
    visitor = context.get("visitor")
    return ticked(sentence, operates=visitor is not None and visitor.operates)


def _kept(request: Request, entry: Entry) -> str:
    """Return what of this page's question its links to the other pages with figures keep."""
    asked = request.query_params if entry.with_period else {}
    return urlencode({name: asked[name] for name in KEPT if asked.get(name)})


def _every(request: Request) -> int:
    asked = request.query_params.get("every", "")
    return int(asked) if asked in {str(seconds) for seconds in EVERY} else 0
