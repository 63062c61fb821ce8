"""The delivery worker: all lanes with something due are worked concurrently, and none waits for another.

A worker is stateless between items: its state is in the store, leased to its owner id. Any number of workers,
in any number of processes, may share a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from flybridge.delivery.circuit import Circuit
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Endpoint
from flybridge.delivery.gate import EvenTime, ForwardTime
from flybridge.delivery.lane import LaneWork, pause
from flybridge.delivery.lane_reports import (
    LaneOrder,
    LaneReport,
    Order,
    WorkerReport,
    drop_report,
    new_orders,
    write_report,
)
from flybridge.delivery.lifecycle import Uncertain
from flybridge.delivery.shown import lanes_that_show
from flybridge.errors import FlybridgeError
from flybridge.records import Delivery
from flybridge.store.records import LONGEST_LEASE_MS, Capacity, Filed, Lane, Rescued

FLUSHES_AT_STOP: Final = 3
REPORT_MS: Final = 60_000
LOOK_MS: Final = 2_000


class Worker:
    """Delivers what is due through `endpoints`, one per lane.

    `replaces` are former owners that are known to be gone (the embedded service: its data directory is locked): their
    leases are taken back at once instead of when they lapse. `seconds` is the time of a clock that can't be set, by
    which jumps of the context's clock are seen.
    """

    def __init__(
        self,
        context: Context,
        endpoints: Mapping[Lane, Endpoint],
        *,
        replaces: Sequence[str] = (),
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self._context, clock = context, context.clock
        if context.settings.timeout_ms * 2 > context.settings.lease_ms:
            raise ValueError("lease_ms must be at least twice timeout_ms, or leased items lapse in the queue")
        if context.settings.lease_ms > LONGEST_LEASE_MS:
            raise ValueError("lease_ms must not be more than an hour")
        self._lanes = {lane: LaneWork(lane, endpoint, context) for lane, endpoint in endpoints.items()}
        self._replaces = list(replaces)
        self._rescued_ms: int | None = None
        self._time = ForwardTime(clock)
        self._even = EvenTime(clock, seconds or (lambda: clock.now_ms() / 1000))
        self._looked_ms: int | None = None
        self._reported: tuple[int, tuple[LaneReport, ...]] = (0, ())
        self._orders: set[str] = set()
        self._wake = asyncio.Event()
        self._takes = False
        self.unserved: set[Lane] = set()

    @property
    def owner(self) -> str:
        """The owner id in this worker's leases."""
        return self._context.owner

    @property
    def stale(self) -> int:
        """The number of settlements that came too late: another worker had the item already."""
        return sum(lane.settlements.stale for lane in self._lanes.values())

    def circuits(self) -> dict[Lane, Circuit]:
        """Return every lane's circuit, with the reason and the remedy where it is open."""
        return {lane: work.circuit for lane, work in self._lanes.items()}

    def notify(self) -> None:
        """Look for due deliveries at once instead of at the next poll."""
        self._wake.set()

    def capacity(self) -> Sequence[Capacity]:
        """Return how many more each lane takes, on a lease from now on; nothing unless the worker runs."""
        if not self._takes:
            return ()
        context = self._context
        until_ms = context.clock.now_ms() + context.settings.lease_ms + context.ahead_ms()
        return [one for work in self._lanes.values() if (one := work.capacity(until_ms)) is not None]

    async def take(self, filed: Filed, capacity: Sequence[Capacity]) -> None:
        """Send what was leased for this capacity when it was filed. What comes after the end is given back."""
        until_ms = {one.lane: one.until_ms for one in capacity}
        leased: dict[Lane, list[Delivery]] = {}
        for item in filed.leased:
            leased.setdefault(Lane(item.app, item.endpoint), []).append(item)
        for lane, items in leased.items():
            self._lanes[lane].hand(items, until_ms[lane] - self._context.ahead_ms())
        if self._takes:
            self._wake.set()
        else:
            await self._return_handed()

    async def _return_handed(self) -> None:
        for work in self._lanes.values():
            work.return_handed()
        for _ in range(FLUSHES_AT_STOP):
            if all([await work.settlements.flush() for work in self._lanes.values()]):
                break

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then finish what is in flight, settle it, and give the rest back.

        Failures of the store, the vendor and the network are reported and tried again. Cancelling instead of setting
        `stop` settles nothing more, and leases lapse.
        """
        settings = self._context.settings
        running: dict[Lane, asyncio.Task[None]] = {}
        self._takes = True
        try:
            while not stop.is_set():
                self._wake.clear()
                for work in await self._due():
                    task = running.get(work.lane)
                    if task is None or task.done():
                        running[work.lane] = asyncio.create_task(self._guarded(work, stop))
                await pause(self._context.clock, settings.poll_ms / 1000, self._wake, stop)
        except asyncio.CancelledError:
            for task in running.values():
                task.cancel()
            raise
        finally:
            self._takes = False
            await asyncio.gather(*running.values(), return_exceptions=True)
        await self._return_handed()
        with suppress(FlybridgeError):  # else it is out of date in three minutes
            await drop_report(self._context.store, self.owner)

    async def step(self) -> int:
        """Work every lane until nothing is due at this moment. Returns the number of deliveries that ended for good."""
        before = sum(work.settlements.ended for work in self._lanes.values())
        never = asyncio.Event()
        await asyncio.gather(*(self._guarded(work, never) for work in await self._due()))
        return sum(work.settlements.ended for work in self._lanes.values()) - before

    async def drain(self) -> int:
        """Repeat `step` until one ends nothing; what waits for a later time stays."""
        ended = 0
        while step := await self.step():
            ended += step
        return ended

    async def _due(self) -> list[LaneWork]:
        """Return the lanes to work now, after rescuing lapsed leases."""
        context = self._context
        try:
            await self._look()
        except Exception as error:  # to report is not worth to stop sending
            with suppress(Exception):
                context.observer.on_trouble(None, error)
        try:
            await self._rescue()
            due = await context.store.lanes(context.clock.now_ms())
        except Exception as error:
            with suppress(Exception):
                context.observer.on_trouble(None, error)
            return []
        self.unserved = {lane for lane in due if lane not in self._lanes}
        for lane in due:
            if (work := self._lanes.get(lane)) is not None and not work.idle():
                work.more()
        return [work for work in self._lanes.values() if work.has_work]

    async def _look(self) -> None:
        """Carry out orders of operators, and report how the lanes stand if that has changed or was long ago."""
        store, now_ms = self._context.store, self._time.now_ms()
        if self._looked_ms is None:
            await new_orders(store, self._orders)  # those from before this worker
        elif now_ms - self._looked_ms < LOOK_MS:
            return
        self._looked_ms = now_ms
        for order in await new_orders(store, self._orders):
            await self._carry_out(order)
        doubtful = [lane for lane, work in self._lanes.items() if not work.deduplicates]
        if doubtful:
            shown = await lanes_that_show(store, doubtful, self._context.clock.now_ms())
            for lane in doubtful:
                self._lanes[lane].is_shown = lane in shown
        if self._time.stepped_back:
            # What was to be tried again soon would now wait for as long as the clock was set back.
            self._time.stepped_back = False
            for lane in self._lanes:
                await store.hasten(lane, self._context.clock.now_ms())
        lanes = tuple(
            LaneReport(lane.app, lane.endpoint, work.circuit, work.gate.state.limit)
            for lane, work in self._lanes.items()
            if not work.gate.state.plain
        )
        at_ms, before = self._reported
        if lanes != before or now_ms - at_ms >= REPORT_MS:
            await write_report(store, WorkerReport(self.owner, self._context.clock.now_ms(), lanes))
            self._reported = now_ms, lanes

    async def _carry_out(self, order: LaneOrder) -> None:
        work = self._lanes.get(Lane(order.app, order.endpoint))
        if work is None:
            return
        match order.order:
            case Order.RETRY:
                work.retry_now()
                await self._context.store.hasten(work.lane, self._context.clock.now_ms())
            case Order.FEWER:
                work.send_fewer()

    async def _rescue(self) -> None:
        context = self._context
        now_ms, passed_ms = context.clock.now_ms() + context.ahead_ms(), self._time.now_ms()
        if self._rescued_ms is not None and passed_ms - self._rescued_ms < context.settings.rescue_ms:
            return
        resend = context.policy.uncertain is Uncertain.RESEND
        while self._replaces:
            self._note(await context.store.rescue(now_ms, owner=self._replaces[-1], resend_uncertain=resend))
            await drop_report(context.store, self._replaces[-1])
            self._replaces.pop()
        if self._even.seconds() * 1000 < context.settings.lease_ms:
            return  # after a jump of the clock leases seem to have lapsed that have not: wait until they have
        self._note(await context.store.rescue(now_ms, resend_uncertain=resend))
        self._rescued_ms = passed_ms

    def _note(self, rescued: Rescued) -> None:
        if rescued.uncertain or rescued.parked:
            for work in self._lanes.values():
                work.careful()

    async def _guarded(self, work: LaneWork, stop: asyncio.Event) -> None:
        try:
            await work.work(stop)
        except Exception as error:
            with suppress(Exception):
                self._context.observer.on_trouble(work.lane, error)
