"""What moves now: rates, what waits and for how long, how long each step takes, and what has stopped a lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.records import OutcomeKind
from flybridge.store.records import Lane
from flybridge.telemetry.latencies import StepLatency
from flybridge.web.console import charts
from flybridge.web.console.condition import condition, level_of, paused
from flybridge.web.console.pages.lane_actions import action_routes
from flybridge.web.console.pulse import FlowRates, Pulse
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import ENDPOINTS, SOURCES, masked_sentence, shown, span

ENTRY: Final = Entry("flow", "/flow", "Flow")

EVERY_MS: Final = 2_000
"""How often a page that is looked at asks again."""

STEPS: Final[Mapping[str, str]] = {
    "received": "Received, and safe on disk",
    "answered": "A vendor's answer",
    "delivered": "From receipt to delivery, waits included",
}


def routes(site: Site) -> list[Route]:
    """Return the page, and the part of it that is asked for again and again."""
    pulse = Pulse()

    async def show(request: Request) -> Response:
        reading = await site.reader.read()
        return await site.page(request, ENTRY, "flow.html", every_ms=EVERY_MS, **_values(site, reading, pulse))

    async def live(request: Request) -> Response:
        values = _values(site, await site.reader.read(), pulse)
        return site.part("flow_live.html", visitor=request.scope["visitor"], csrf=request.scope["csrf"], **values)

    return [
        Route(ENTRY.path, show, methods=["GET"]),
        Route("/flow/live", live, methods=["GET"]),
        *action_routes(site, ENTRY),
    ]


def _values(site: Site, reading: Reading, pulse: Pulse) -> dict[str, Any]:
    latencies = site.latencies() if site.latencies is not None else []
    return shown_flow(reading, pulse.beat(reading), latencies)


def shown_flow(reading: Reading, rates: FlowRates, latencies: Sequence[StepLatency]) -> dict[str, Any]:
    """Return the values of the page."""
    depths = {depth.lane: depth for depth in reading.lanes}
    circuits = reading.circuits
    rows = []
    for lane in sorted({*depths, *(circuits or {})}):
        depth, circuit = depths.get(lane), (circuits or {}).get(lane)
        rows.append(
            {
                "app": shown(lane.app),
                "of_app": lane.app,
                "of_endpoint": lane.endpoint,
                "endpoint": ENDPOINTS.get(lane.endpoint, lane.endpoint),
                "due": depth.due if depth else 0,
                "later": depth.later if depth else 0,
                "leased": depth.leased if depth else 0,
                "oldest": span(reading.at_ms - depth.oldest_ms) if depth and depth.oldest_ms else "-",
                "waits": bool(depth and depth.due + depth.later + depth.leased)
                or (circuit is not None and circuit.phase is not Phase.CLOSED),
                "state": _state(lane, circuit, circuits, reading.at_ms),
            }
        )
    inbox = reading.depth
    held: Counter[str] = Counter()
    for hold in reading.holds:
        held[hold.app] += hold.n
    outcomes: Counter[str] = Counter()
    for count in reading.counts:
        outcomes[count.outcome] += count.n
    return {
        "rates": rates,
        "spark": charts.spark(rates.waiting),
        "rows": rows,
        "halts": _halts(reading),
        "steps": [_step(one) for one in latencies],
        "inbox": inbox,
        "inbox_oldest": span(reading.at_ms - inbox.oldest_ms) if inbox and inbox.oldest_ms else "",
        "to_send": sum(depth.due + depth.later + depth.leased for depth in reading.lanes),
        "held": sum(held.values()),
        "delivered": outcomes[OutcomeKind.DELIVERED],
        "elsewhere": circuits is None,
        "findings": [one for one in condition(reading).findings if one.path in ("", "/flow")],
    }


def _state(lane: Lane, circuit: Circuit | None, circuits: Mapping[Lane, Circuit] | None, now_ms: int) -> dict[str, str]:
    """Return a lane's state in a word, its level, and when it tries again."""
    if circuits is None:
        return {"word": "see the workers", "level": "", "again": ""}
    if circuit is None:
        word = f"not served: the app {shown(lane.app)} is not in the configuration"
        return {"word": word, "level": "warn", "again": ""}
    if circuit.phase is Phase.CLOSED:
        return {"word": "sends", "level": "good", "again": ""}
    left = circuit.until_ms - now_ms
    again = f"tries again in {span(left)}" if left > 0 else "tries again now"
    return {"word": "halted" if circuit.halted else "paused", "level": level_of(circuit), "again": again}


def _halts(reading: Reading) -> list[dict[str, str]]:
    """Return why lanes do not send: what the vendor said, and what to do."""
    return [
        {
            "app": shown(lane.app),
            "endpoint": ENDPOINTS.get(lane.endpoint, lane.endpoint),
            "lane": f"{lane.app} {lane.endpoint}",
            "level": level_of(circuit),
            "since": span(reading.at_ms - circuit.since_ms),
            "reason": circuit.reason,
            "words": masked_sentence(circuit.words),
            "remedy": masked_sentence(circuit.remedy),
            "sentence": paused(circuit, reading.at_ms),
        }
        for lane, circuit in sorted((reading.circuits or {}).items())
        if circuit.phase is not Phase.CLOSED
    ]


def _step(one: StepLatency) -> dict[str, Any]:
    where = SOURCES.get(one.name, shown(one.name))
    if one.endpoint:
        where += f", {ENDPOINTS.get(one.endpoint, one.endpoint)}"
    return {"step": STEPS[one.step], "where": where, "n": one.n, "p50": _time(one.p50_s), "p99": _time(one.p99_s)}


def _time(seconds: float | None) -> str:
    """Return the upper end of a class of time."""
    if seconds is None:
        return "longer"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else span(round(seconds * 1000))
