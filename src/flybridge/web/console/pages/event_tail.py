"""A live tail of events, as server-sent events: bounded in rows, in time, and in how many look at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from flybridge.errors import FlybridgeError
from flybridge.store.events import EventFilter, EventRow
from flybridge.web.answers import Refusal, rendered
from flybridge.web.console.site import HEADERS, Site

EVERY_S: Final = 1.0
LASTS_S: Final = 30.0
"""How long one answer lasts. A browser asks again by itself, so that a stop does not wait long for those who look."""

ROWS: Final = 50
AT_ONCE: Final = 20
SEEN: Final = 1_000
FILTERS: Final = ("app", "source", "outcome", "reason", "event", "media_source")


RowOf = Callable[[EventRow], Mapping[str, Any]]
"""What makes an event a row of a list."""


def tail(site: Site, row_of: RowOf) -> Callable[[Request], Awaitable[Response]]:
    """Return the answer to `GET /events/tail`."""
    looking = [0]

    async def show(request: Request) -> Response:
        if looking[0] >= AT_ONCE:
            status, headers, body = rendered(
                Refusal(503, "Too many look at once.", "Try again later.", (("retry-after", "30"),))
            )
            return Response(body, status, {**HEADERS, **dict(headers)})
        wanted = chosen_by(request.query_params)

        async def lines() -> AsyncIterator[str]:
            looking[0] += 1
            try:
                async for line in _lines(site, wanted, row_of):
                    yield line
            finally:
                looking[0] -= 1

        return StreamingResponse(lines(), 200, {**HEADERS, "x-accel-buffering": "no"}, "text/event-stream")

    return show


def chosen_by(query: Mapping[str, str]) -> EventFilter:
    """Return the filter of an address, without times."""
    app, source, outcome, reason, event, media_source = (query.get(name, "")[:200] for name in FILTERS)
    return EventFilter(app=app, source=source, outcome=outcome, reason=reason, event=event, media_source=media_source)


async def _lines(site: Site, wanted: EventFilter, row_of: RowOf) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    seen: dict[int, str] = {}
    first = True
    for _ in range(int(LASTS_S / EVERY_S)):
        try:
            page = await site.store.find_events(wanted, limit=ROWS)
        except FlybridgeError:
            return
        for row in reversed(page.rows):
            state = f"{row.outcome} {row.reason}"
            if seen.get(row.id) != state:
                seen[row.id] = state
                if not first:
                    yield f"data: {msgspec.json.encode(row_of(row)).decode()}\n\n"
        while len(seen) > SEEN:
            del seen[next(iter(seen))]
        if first:
            yield ": ready\n\n"
        first = False
        await asyncio.sleep(EVERY_S)
