"""What moves: the lanes to the vendors, what waits in them, and what has stopped them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.store.protocol import Lane
from flybridge.web.console.condition import level_of, paused
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import shown, span

ENTRY: Final = Entry("flow", "/flow", "Flow")


def routes(site: Site) -> list[Route]:
    """Return the page."""

    async def show(request: Request) -> Response:
        return await site.page(request, ENTRY, "flow.html", **shown_flow(await site.reader.read()))

    return [Route(ENTRY.path, show, methods=["GET"])]


def shown_flow(reading: Reading) -> dict[str, Any]:
    """Return the state of sending per app and endpoint."""
    depths = {depth.lane: depth for depth in reading.lanes}
    circuits = reading.circuits
    rows = []
    for lane in sorted({*depths, *(circuits or {})}):
        depth, circuit = depths.get(lane), (circuits or {}).get(lane)
        rows.append(
            {
                "app": shown(lane.app),
                "endpoint": lane.endpoint,
                "due": depth.due if depth else 0,
                "later": depth.later if depth else 0,
                "leased": depth.leased if depth else 0,
                "oldest": span(reading.at_ms - depth.oldest_ms) if depth and depth.oldest_ms else "-",
                "state": state_of(circuit, reading.at_ms) if circuit else _unserved(lane, circuits),
                "level": level_of(circuit) if circuit and circuit.phase is not Phase.CLOSED else "",
            }
        )
    depth_of_inbox = reading.depth
    return {
        "rows": rows,
        "inbox": depth_of_inbox,
        "inbox_oldest": span(reading.at_ms - depth_of_inbox.oldest_ms)
        if depth_of_inbox and depth_of_inbox.oldest_ms
        else "",
        "elsewhere": circuits is None,
    }


def _unserved(lane: Lane, circuits: Mapping[Lane, Circuit] | None) -> str:
    if circuits is None:
        return "see the workers"
    return f"not served: the app {shown(lane.app)!r} is not in the configuration."


def state_of(circuit: Circuit, now_ms: int) -> str:
    """Return whether a lane sends; if it does not, why."""
    return "sends" if circuit.phase is Phase.CLOSED else paused(circuit, now_ms)
