"""How lanes stand, written where every process can read it, and orders of operators to the processes that send.

A worker keeps one report in the store under its own name, and looks for orders every few seconds. An order is carried
out by every worker once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from flybridge.delivery.circuit import Circuit
from flybridge.store.protocol import Store
from flybridge.store.records import Lane
from flybridge.store.state_values import readable

REPORTS: Final = "lanes/of/"
ORDERS: Final = "lanes/order/"
STALE_MS: Final = 180_000  # a worker writes at least once a minute
KEPT_MS: Final = 3_600_000


class Order(StrEnum):
    """What an operator asks of a lane."""

    RETRY = "retry"  # send again at once, and judge refusals anew
    FEWER = "fewer"  # send half as many items in a request


class LaneReport(Struct, frozen=True):
    """One lane as one worker sees it. `limit` is the most items in a request, 0 for the endpoint's own limit."""

    app: str
    endpoint: str
    circuit: Circuit
    limit: int = 0

    @property
    def lane(self) -> Lane:
        return Lane(self.app, self.endpoint)


class WorkerReport(Struct, frozen=True):
    """All lanes of one worker at one moment."""

    worker: str
    at_ms: int
    lanes: tuple[LaneReport, ...]


class LaneOrder(Struct, frozen=True):
    """An order for one lane."""

    app: str
    endpoint: str
    order: Order
    at_ms: int


_report: Final = msgspec.json.Decoder(WorkerReport)
_order: Final = msgspec.json.Decoder(LaneOrder)


async def write_report(store: Store, report: WorkerReport) -> None:
    """Write a worker's report in place of its former one, and delete those of workers that are long gone."""
    await store.put_state(REPORTS + report.worker, msgspec.json.encode(report))
    reports = readable(await store.states(REPORTS), _report.decode)
    gone = [name for name, found in reports.items() if abs(report.at_ms - found.at_ms) > KEPT_MS]
    if gone:
        await store.drop_states(gone)


async def drop_report(store: Store, worker: str) -> None:
    """Delete the report of a worker that has ended: what it had paused is not paused any more."""
    await store.drop_states([REPORTS + worker])


async def read_reports(store: Store, now_ms: int, *, without: str = "") -> Mapping[Lane, LaneReport]:
    """Return how lanes stand by the reports of workers that run. A lane that is paused anywhere is reported so.

    The report of the worker `without` is left out.
    """
    lanes: dict[Lane, LaneReport] = {}
    for report in readable(await store.states(REPORTS), _report.decode).values():
        if abs(now_ms - report.at_ms) > STALE_MS or report.worker == without:
            continue
        for one in report.lanes:
            if one.lane not in lanes or one.circuit.phase != "closed":
                lanes[one.lane] = one
    return lanes


async def reporting(store: Store, now_ms: int) -> int:
    """Return how many workers run, by their reports."""
    reports = readable(await store.states(REPORTS), _report.decode).values()
    return sum(abs(now_ms - report.at_ms) <= STALE_MS for report in reports)


async def silent_ms(store: Store, now_ms: int) -> int:
    """Return for how long no worker has written its report, if one should have; else 0.

    A worker that ends in order deletes its report.
    """
    reports = readable(await store.states(REPORTS), _report.decode).values()
    silence = now_ms - max((report.at_ms for report in reports), default=now_ms)
    return silence if silence > STALE_MS else 0


async def give_order(store: Store, lane: Lane, order: Order, now_ms: int) -> None:
    """Leave an order for all workers, and delete orders that were carried out long ago.

    What is to be sent again is due at once, whether a worker sees the order in time or not.
    """
    value = msgspec.json.encode(LaneOrder(lane.app, lane.endpoint, order, now_ms))
    await store.put_state(f"{ORDERS}{uuid4().hex}", value)
    old = [name for name, found in await _orders(store) if abs(now_ms - found.at_ms) > KEPT_MS]
    if old:
        await store.drop_states(old)
    if order is Order.RETRY:
        await store.hasten(lane, now_ms)


async def new_orders(store: Store, known: set[str]) -> Sequence[LaneOrder]:
    """Return the orders that are not known yet, and note them as known."""
    found = [(name, order) for name, order in await _orders(store) if name not in known]
    known |= {name for name, _ in found}
    return [order for _, order in found]


async def _orders(store: Store) -> list[tuple[str, LaneOrder]]:
    return list(readable(await store.states(ORDERS), _order.decode).items())
