"""Helping a lane along: sending again at once, or fewer events in a request."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.delivery.lane_reports import Order, give_order
from flybridge.store.records import Lane
from flybridge.web.console.acting import act, first, form_of
from flybridge.web.console.operations import Done
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import ENDPOINTS, shown

SENTENCES: Final = {
    Order.RETRY: "Send at once what waits for {lane}, also if it is paused, and judge refusals anew",
    Order.FEWER: "Send half as many events in a request to {lane}, until many were accepted",
}


def action_routes(site: Site, entry: Entry) -> list[Route]:
    """Return the actions on lanes."""

    async def order(request: Request) -> Response:
        form, chosen = form_of(request), Order.FEWER if request.url.path.endswith("fewer") else Order.RETRY
        lane = Lane(first(form, "app"), first(form, "endpoint"))
        reading = await site.reader.read()
        depth = next((depth for depth in reading.lanes if depth.lane == lane), None)
        if depth is None and lane not in (reading.circuits or {}):
            return await site.page(request, entry, "missing.html", 404, what="lane")
        waiting = depth.due + depth.later + depth.leased if depth else 0

        async def work() -> Done:
            now_ms = site.clock.now_ms()
            await give_order(site.store, lane, chosen, now_ms)
            if chosen is Order.RETRY:
                await site.store.hasten(lane, now_ms)
            return Done("The workers do it within a few seconds.")

        where = f"{shown(lane.app)}, {ENDPOINTS.get(lane.endpoint, lane.endpoint)}"
        return await act(
            site, request, entry, action=chosen.value, button="Retry now" if chosen is Order.RETRY else "Send fewer",
            question=f"{SENTENCES[chosen].format(lane=where)}? Waiting there: {waiting:,}.", work=work,
            target=f"{lane.app}/{lane.endpoint}",
        )  # fmt: skip

    return [Route("/flow/retry", order, methods=["POST"]), Route("/flow/fewer", order, methods=["POST"])]
