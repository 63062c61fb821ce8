"""Messages that could not be processed or delivered, by reason and with the remedy. Their content is not shown."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.web.console.pages.account import reasons
from flybridge.web.console.site import Entry, Site

ENTRY: Final = Entry("dead", "/dead", "Dead letters")


def routes(site: Site) -> list[Route]:
    """Return the page."""

    async def show(request: Request) -> Response:
        return await site.page(request, ENTRY, "dead.html", rows=reasons(await site.reader.read(), only="dead"))

    return [Route(ENTRY.path, show, methods=["GET"])]
