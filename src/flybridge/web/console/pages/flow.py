"""What moves now: rates, what waits and for how long, how long each step takes, and what has stopped a lane.

A lane can be helped along: by sending again at once, or fewer events in a request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.delivery.lane_reports import Order, give_order
from flybridge.records import OutcomeKind
from flybridge.store.records import Lane
from flybridge.system.counted import span
from flybridge.telemetry.door_counts import StepLatency
from flybridge.web.console import charts
from flybridge.web.console.acting import act, first, form_of
from flybridge.web.console.condition import condition, level_of, paused
from flybridge.web.console.operations import Done
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Answer, Entry, Site
from flybridge.web.console.words import ENDPOINTS, SOURCES, lane_name, masked_sentence, shown

ENTRY: Final = Entry("flow", "/flow", "Flow")

EVERY_MS: Final = 2_000
"""How often a page that is looked at asks again."""

STEPS: Final[Mapping[str, str]] = {
    "received": "Received, and safe on disk",
    "answered": "A vendor's answer",
    "delivered": "From receipt to delivery, waits included",
}

SPAN_MS: Final = 60_000
KEPT: Final = 400

SENTENCES: Final = {
    Order.RETRY: "Send at once what waits for {lane}, also if it is paused, and judge refusals anew",
    Order.FEWER: "Send half as many events in a request to {lane}, until many were accepted",
}


class Beat(Struct, frozen=True):
    """The totals at one moment."""

    at_ms: int
    received: int
    delivered: int
    waiting: int


class FlowRates(Struct, frozen=True):
    """Messages received and events delivered per minute, and how many waited at each moment. None: not known yet."""

    received: float | None
    delivered: float | None
    over_s: float
    waiting: tuple[float, ...]


class Pulse:
    """Keeps the totals of the last minute."""

    def __init__(self) -> None:
        self._beats: deque[Beat] = deque(maxlen=KEPT)

    def beat(self, reading: Reading) -> FlowRates:
        """Note the totals of a reading. Return the rates since the oldest that is at most a minute old."""
        if self._beats and reading.at_ms < self._beats[-1].at_ms:  # the clock was set back
            self._beats.clear()
        if not self._beats or reading.at_ms > self._beats[-1].at_ms:
            self._beats.append(_beat_of(reading))
        while self._beats[-1].at_ms - self._beats[0].at_ms > SPAN_MS:
            self._beats.popleft()
        first, last = self._beats[0], self._beats[-1]
        over_ms = last.at_ms - first.at_ms
        waiting = tuple(float(one.waiting) for one in self._beats)
        if not over_ms:
            return FlowRates(None, None, 0.0, waiting)
        per_minute = 60_000 / over_ms
        return FlowRates(
            max(0, last.received - first.received) * per_minute,
            max(0, last.delivered - first.delivered) * per_minute,
            over_ms / 1000,
            waiting,
        )


def _beat_of(reading: Reading) -> Beat:
    delivered = sum(count.n for count in reading.counts if count.outcome == OutcomeKind.DELIVERED)
    waiting = (reading.depth.waiting if reading.depth else 0) + sum(depth.waiting for depth in reading.lanes)
    return Beat(reading.at_ms, sum(line.received for line in reading.account.lines), delivered, waiting)


def routes(site: Site) -> list[Route]:
    """Return the page, and the part of it that is asked for again and again."""
    pulse = Pulse()

    async def show(request: Request) -> Response:
        reading = await site.reader.read()
        return await site.page(request, ENTRY, "flow.html", every_ms=EVERY_MS, **_values(site, reading, pulse))

    async def live(request: Request) -> Response:
        values = _values(site, await site.reader.read(), pulse)
        return site.part("flow_live.html", visitor=request.scope["visitor"], csrf=request.scope["csrf"], **values)

    order = _order(site)
    return [
        *site.routes(ENTRY, show, {"/flow/retry": order, "/flow/fewer": order}),
        Route("/flow/live", live, methods=["GET"]),
    ]


def _order(site: Site) -> Answer:
    """Return the actions on lanes."""

    async def order(request: Request) -> Response:
        form, chosen = form_of(request), Order.FEWER if request.url.path.endswith("fewer") else Order.RETRY
        lane = Lane(first(form, "app"), first(form, "endpoint"))
        reading = await site.reader.read()
        depth = next((depth for depth in reading.lanes if depth.lane == lane), None)
        if depth is None and lane not in (reading.circuits or {}):
            return await site.page(request, ENTRY, "missing.html", 404, what="lane")
        waiting = depth.waiting if depth else 0

        async def work() -> Done:
            await give_order(site.store, lane, chosen, site.clock.now_ms())
            return Done("The workers do it within a few seconds.")

        where = lane_name(lane)
        return await act(
            site, request, ENTRY, action=chosen.value, button="Retry now" if chosen is Order.RETRY else "Send fewer",
            question=f"{SENTENCES[chosen].format(lane=where)}? Waiting there: {waiting:,}.", work=work,
            target=f"{lane.app}/{lane.endpoint}",
        )  # fmt: skip

    return order


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
                "waits": bool(depth and depth.waiting) or (circuit is not None and circuit.phase is not Phase.CLOSED),
                "state": _state(lane, circuit, circuits, reading.at_ms),
            }
        )
    inbox = reading.depth
    return {
        "rates": rates,
        "spark": charts.spark(rates.waiting),
        "rows": rows,
        "halts": _halts(reading),
        "steps": [_step(one) for one in latencies],
        "inbox": inbox,
        "inbox_oldest": span(reading.at_ms - inbox.oldest_ms) if inbox and inbox.oldest_ms else "",
        "to_send": sum(depth.waiting for depth in reading.lanes),
        "held": sum(hold.n for hold in reading.holds),
        "delivered": sum(count.n for count in reading.counts if count.outcome == OutcomeKind.DELIVERED),
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
            "chosen": f"--app {lane.app} --endpoint {lane.endpoint}",
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
