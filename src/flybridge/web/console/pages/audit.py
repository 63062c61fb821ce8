"""The audit trail: who did what, when and from where; as a page and as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from flybridge.insight.csv_text import BYTE_ORDER_MARK, csv_line
from flybridge.records import clock_time
from flybridge.store.trail import TrailRow
from flybridge.web.console.acting import number_in
from flybridge.web.console.site import HEADERS, Entry, Site
from flybridge.web.console.words import printable

ENTRY: Final = Entry("audit", "/audit", "Audit trail")
ROWS: Final = 100
CSV_PAGE: Final = 1000
CHECK_MS: Final = 600_000
COLUMNS: Final = ("number", "time", "who", "address", "action", "target", "detail", "outcome", "chain")


def routes(site: Site) -> list[Route]:
    """Return the page and the file."""
    checked: dict[str, int | str] = {"at_ms": 0, "fault": ""}

    async def fault() -> str:
        """Return what is wrong with the trail. All of it is read, so that it is checked at most every ten minutes."""
        now_ms = site.clock.now_ms()
        if not checked["at_ms"] or not 0 <= now_ms - int(checked["at_ms"]) < CHECK_MS:
            checked.update(at_ms=now_ms, fault=await site.store.trail_fault())
        return str(checked["fault"])

    async def show(request: Request) -> Response:
        before = number_in(request.query_params.get("before", ""))
        rows = await site.store.trail(before=before, limit=ROWS + 1)
        return await site.page(
            request,
            ENTRY,
            "audit.html",
            rows=[_shown(row) for row in rows[:ROWS]],
            older=rows[ROWS - 1].number if len(rows) > ROWS else 0,
            fault=await fault(),
        )

    async def as_csv(_: Request) -> Response:
        headers = {**HEADERS, "content-disposition": 'attachment; filename="flybridge-audit-trail.csv"'}
        return StreamingResponse(_lines(site), 200, headers, "text/csv; charset=utf-8")

    return [Route(ENTRY.path, show, methods=["GET"]), Route("/audit.csv", as_csv, methods=["GET"])]


async def _lines(site: Site) -> AsyncIterator[str]:
    yield BYTE_ORDER_MARK + csv_line(COLUMNS)
    before: int | None = None
    while page := await site.store.trail(before=before, limit=CSV_PAGE):
        for row in page:
            yield csv_line([*_shown(row).values(), row.chain.hex()])
        before = page[-1].number


def _shown(row: TrailRow) -> dict[str, object]:
    texts = (row.actor, row.address, row.action, row.target, row.detail, row.outcome)
    return dict(zip(COLUMNS, (row.number, clock_time(row.at_ms), *map(printable, texts)), strict=False))
