"""Send what is due in one lane: lease, pack, send, read the verdicts, settle. Lanes are independent of each other.

Guarantees:

1. Nothing is sent on a lease that could lapse before its answer: the deadline is checked before each request. What was
   filed while there was room is leased already, and is sent before more is leased.
2. To a vendor that does not deduplicate, the intent to send is durable (`store.begin`) before the first byte, for
   a small group at a time: only that group is uncertain after a crash.
3. Answers are settled in groups. Settlements that the store did not take are kept and offered again, and nothing
   new is leased before they are in.
4. A request that is to be sent in parts is sent again within the same lease.
5. What an answer says about items and about the lane is decided in `delivery.judge`.
6. A device or user whose rate is exceeded waits with all its items, also those that come meanwhile.
7. Where the vendor shows what has arrived (`is_shown`), an item that may have waits for that before it is sent again.
8. Cancelling settles nothing more: leases lapse, and what had begun is uncertain. Use `stop`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from flybridge.clock import Clock
from flybridge.delivery.attempt import Attempt, attempt
from flybridge.delivery.batching import Load, pack
from flybridge.delivery.circuit import Admission, Circuit
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Accepted, Endpoint, Reject, Retry, Split, Verdict
from flybridge.delivery.failures import PROBES
from flybridge.delivery.gate import Gate
from flybridge.delivery.lifecycle import DUE, give_back, settle
from flybridge.delivery.observer import Exchange
from flybridge.delivery.settlements import SettlementBuffer
from flybridge.delivery.shown import WAIT_MS, Doubts
from flybridge.delivery.words import said
from flybridge.records import Delivery
from flybridge.store.records import AttemptRecord, Capacity, Lane, Settlement

_ID: Final = attrgetter("id")
CAREFUL_MS: Final = 60_000
CAREFUL_BEGUN: Final = 8  # items that are begun at once after a crash
MOST_PAUSED: Final = 100_000  # devices and users whose pauses are remembered


class LaneWork:
    """Sends what is due in one lane. `is_shown` says that the vendor shows afterwards what has arrived."""

    def __init__(self, lane: Lane, endpoint: Endpoint, context: Context) -> None:
        self.lane = lane
        self.gate = Gate(lane, endpoint.limits, context.clock, context.rules, context.observer)
        self.settlements = SettlementBuffer(context, self._trouble)
        self._endpoint = endpoint
        self._context = context
        self._queue: deque[Load] = deque()
        self._handed: deque[tuple[Sequence[Delivery], int]] = deque()  # leased when they were filed, and until when
        self._paused: dict[tuple[str, str], int] = {}
        self._tried: dict[int, tuple[AttemptRecord, ...]] = {}  # attempts that no settlement has told the store of
        self._mean_bytes = 2_000.0
        self._more = True
        self._careful_until_ms = 0
        self._doubts = Doubts()
        self.is_shown = False
        self._signal = asyncio.Event()

    def careful(self) -> None:
        """Begin only few items at once for a minute, as a process died while it was sending.

        What dies once may die again, and what had begun is then sent twice.
        """
        self._careful_until_ms = self._context.clock.now_ms() + CAREFUL_MS

    def more(self) -> None:
        """Note that something is due."""
        self._more = True
        self._signal.set()

    def capacity(self, until_ms: int) -> Capacity | None:
        """Return how many more it takes beside what is queued; None if none, or if something else is due."""
        if self._more or self.gate.admission() is not Admission.ALL:
            return None
        queued = sum(len(load.items) for load in self._queue) + sum(len(items) for items, _ in self._handed)
        left = self._room() - queued
        if left <= 0:
            return None
        return Capacity(self.lane, left, self._context.owner, until_ms, begins=not self.deduplicates)

    def hand(self, items: Sequence[Delivery], until_ms: int) -> None:
        """Take what was leased until then when it was filed."""
        self._handed.append((items, until_ms))
        self._signal.set()

    @property
    def has_work(self) -> bool:
        """Whether something is due or leased and may be sent, or answers are to be noted."""
        return (self._more and not self.idle()) or bool(self._handed) or bool(self.settlements)

    def return_handed(self) -> None:
        """Return what was handed and is not queued to the store."""
        while self._handed:
            self._return(Load(*self._handed.popleft()))

    @property
    def deduplicates(self) -> bool:
        """Whether the vendor ignores a repeated item."""
        return self._endpoint.deduplicates

    @property
    def circuit(self) -> Circuit:
        """The lane's circuit."""
        return self.gate.circuit

    def idle(self) -> bool:
        """Whether the circuit lets nothing through now."""
        return self.gate.admission() is Admission.NONE

    def retry_now(self) -> None:
        """Send again at once: close the circuit and forget the vendor's waits."""
        self.gate.retry_now()
        self._paused.clear()

    def send_fewer(self) -> None:
        """Send half as many items in a request."""
        self.gate.send_fewer(self._endpoint.limits.max_items)

    async def work(self, stop: asyncio.Event) -> None:
        """Send until nothing is due, the circuit opens, or `stop` is set; then finish what is in flight."""
        in_flight: set[asyncio.Task[None]] = set()
        try:
            # What comes while the last answers are being settled is not left for the next round.
            while await self._launch(in_flight, stop) or self._signal.is_set():
                await self._signal.wait()
                self._signal.clear()
        except asyncio.CancelledError:
            for task in in_flight:
                task.cancel()
            raise
        except Exception as error:
            self._trouble(error)
        if in_flight:
            await asyncio.wait(in_flight)
        self._close_round()
        await self.settlements.flush()

    async def _launch(self, in_flight: set[asyncio.Task[None]], stop: asyncio.Event) -> bool:
        """Start as many requests as may be in flight. False when none is in flight and none can be."""
        while not stop.is_set() and len(in_flight) < self._width():
            load = await self._next()
            if load is None:
                break
            if await self._turn(load, stop):
                task = asyncio.create_task(self._exchange(load, self.gate.sending()))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
                task.add_done_callback(lambda _: self._signal.set())
            elif load.again and not stop.is_set():  # the lease was too short for halving: send these alone
                self._settle([(item, Split("too_large")) for item in load.items])
            else:
                self._return(load)
        return bool(in_flight)

    def _width(self) -> int:
        match self.gate.admission():
            case Admission.ALL:
                return self._endpoint.limits.concurrency
            case Admission.PROBE:
                return 1
            case Admission.NONE:
                return 0

    async def _next(self) -> Load | None:
        if not self._queue and (self._handed or self._more):
            try:
                await self._refill()
            except Exception as error:
                self._trouble(error)
        elif self.settlements and (not self._queue or self.settlements.age_ms() > self._context.settings.settle_ms):
            await self.settlements.flush()
        return self._cut(self._queue.popleft()) if self._queue else None

    def _cut(self, load: Load) -> Load:
        """Return as much of a load as may be sent in one request; the rest stays in the queue."""
        limit = self.gate.state.limit
        if limit and len(load.items) > limit:
            self._queue.appendleft(Load(load.items[limit:], load.deadline_ms, load.again))
            return Load(load.items[:limit], load.deadline_ms, load.again)
        return load

    async def _refill(self) -> None:
        if not await self.settlements.flush():
            self._more = False
            return
        if self._handed:
            while self._handed:
                await self._enqueue(*self._handed.popleft())
            return
        self._more = False
        context, limit, now_ms = self._context, self._room(), self._context.clock.now_ms()
        lease_ms = context.settings.lease_ms + context.ahead_ms()
        items = await context.store.lease(self.lane, limit, now_ms, lease_ms, context.owner)
        self._more = len(items) >= limit
        await self._enqueue(items, now_ms + context.settings.lease_ms)

    async def _enqueue(self, items: Sequence[Delivery], deadline_ms: int) -> None:
        """Queue what is leased until the deadline, without what has to wait."""
        endpoint, now_ms = self._endpoint, self._context.clock.now_ms()
        if self._paused:
            items = self._without_paused(items, now_ms)
        if self.is_shown and any(item.uncertain for item in items):
            items = self._without_doubtful(items, now_ms)
        if not endpoint.deduplicates:
            items = await self._begin(items)
        if not items:
            return
        sizes = {item.id: endpoint.size(item) for item in items}
        self._mean_bytes = sum(sizes.values()) / max(1, len(sizes))
        self._queue.extend(
            Load(batch, deadline_ms) for batch in pack(items, endpoint.limits, lambda item: sizes[item.id])
        )

    def _without_paused(self, items: Sequence[Delivery], now_ms: int) -> Sequence[Delivery]:
        """Return the items that may be sent, after those of devices and users that have to wait were put back."""
        self._paused = {who: until_ms for who, until_ms in self._paused.items() if until_ms > now_ms}
        free = []
        for item in items:
            until_ms = max(
                self._paused.get(("device", item.device_id or ""), 0), self._paused.get(("user", item.user_id or ""), 0)
            )
            if until_ms:
                self.settlements.keep([give_back(item, until_ms, "throttled")])
            else:
                free.append(item)
        return free

    def _without_doubtful(self, items: Sequence[Delivery], now_ms: int) -> Sequence[Delivery]:
        """Return the items to be sent now, after those that may be shown as arrived were put off."""
        waiting = {item.id for item in items if item.uncertain and self._doubts.waits(item)}
        self.settlements.keep([give_back(item, now_ms + WAIT_MS, "uncertain") for item in items if item.id in waiting])
        return [item for item in items if item.id not in waiting]

    async def _begin(self, items: Sequence[Delivery]) -> Sequence[Delivery]:
        try:
            owned = set(await self._context.store.begin([item.id for item in items], self._context.owner))
        except Exception:
            now_ms = self._context.clock.now_ms()
            self.settlements.keep([give_back(item, now_ms) for item in items])
            raise
        return [item for item in items if item.id in owned]

    def _room(self) -> int:
        """Return how many items to lease: enough for every connection, not more than the pace sends in seconds."""
        limits, settings = self._endpoint.limits, self._context.settings
        per_request = max(1, min(limits.max_items, int(limits.max_bytes / max(1.0, self._mean_bytes))))
        if not self.gate.sends:
            return max(min(per_request, self.gate.state.limit or per_request), PROBES)
        room = per_request * limits.concurrency
        if not self._endpoint.deduplicates:
            usual = min(max(settings.wave_begun, room // 8), 4 * room)
            careful = self._context.clock.now_ms() < self._careful_until_ms
            room = min(usual, CAREFUL_BEGUN) if careful else usual
        elif per_request == 1:
            room *= 16
        if limits.items_per_s > 0:
            room = min(room, max(1, ceil(limits.items_per_s * 5)))
        if limits.requests_per_s > 0:
            room = min(room, max(1, ceil(limits.requests_per_s * 5)) * per_request)
        return min(room, settings.wave_items)

    async def _turn(self, load: Load, stop: asyncio.Event) -> bool:
        """Wait for the lane's pace. False if the lease would not last, or a stop was asked meanwhile."""
        clock = self._context.clock
        wait_s = self.gate.wait_s(len(load.items))
        if wait_s > 0:
            await self.settlements.flush()
            await pause(clock, wait_s, stop)
        return not stop.is_set() and clock.now_ms() + self._context.settings.timeout_ms < load.deadline_ms

    async def _exchange(self, load: Load, number: int) -> None:
        done = await attempt(self._endpoint, self._context.transport, load.items)
        if done.error is not None:
            self._trouble(done.error)
        self._report(load, done)
        self._remember(load, done)
        ended, again = self.gate.judge(
            load.items,
            done.verdicts,
            _ID,
            number=number,
            failed=done.failed,
            status=done.status,
            words=done.words,
        )
        for batch in reversed(again):
            self._queue.appendleft(Load(batch, load.deadline_ms, again=True))
        maybe_applied = done.maybe_applied and not self._endpoint.deduplicates
        self._settle(ended, alone=len(load.items) == 1, maybe_applied=maybe_applied, words=done.words)

    def _settle(
        self,
        ended: Sequence[tuple[Delivery, Verdict]],
        *,
        alone: bool = False,
        maybe_applied: bool = False,
        words: str = "",
    ) -> None:
        context = self._context
        now_ms = context.clock.now_ms()
        settlements = []
        for item, verdict in ended:
            if isinstance(verdict, Retry) and verdict.pauses:
                self._pause(item, verdict, now_ms)
            settlements.append(
                settle(
                    item,
                    verdict,
                    now_ms,
                    context.jitter(),
                    context.policy,
                    alone=alone,
                    maybe_applied=maybe_applied,
                    words=words,
                )
            )
        if any(one.state == DUE and one.due_ms <= now_ms for one in settlements):
            self._more = True
        self._keep(settlements)

    def _keep(self, settlements: Sequence[Settlement]) -> None:
        """Add settlements for the next flush, with the attempts that were not accepted."""
        if self._tried:
            settlements = [replace(one, attempts=self._tried.pop(one.id, ())) for one in settlements]
        self.settlements.keep(settlements)

    def _remember(self, load: Load, done: Attempt) -> None:
        """Note the attempt for each item that was not accepted, until it is settled."""
        if all(type(verdict) is Accepted for verdict in done.verdicts):
            return
        now_ms = self._context.clock.now_ms()
        for item, verdict in zip(load.items, done.verdicts, strict=True):
            if not isinstance(verdict, Accepted):
                words = said(verdict.detail, done.words) if isinstance(verdict, Reject) else done.words
                record = AttemptRecord(now_ms, done.status, verdict.reason, words)
                self._tried[item.id] = (*self._tried.get(item.id, ()), record)

    def _pause(self, item: Delivery, retry: Retry, now_ms: int) -> None:
        """Let all items of the device or user wait as long as the vendor asks."""
        who = (retry.pauses, (item.device_id if retry.pauses == "device" else item.user_id) or "")
        until_ms = now_ms + round((retry.after_s or 0.0) * 1000)
        if who[1] and (len(self._paused) < MOST_PAUSED or who in self._paused):
            self._paused[who] = max(until_ms, self._paused.get(who, 0))

    def _close_round(self) -> None:
        """End a round of work: settle what is still suspected, give back what was leased and not sent."""
        self._settle(self.gate.close_round(), alone=True)
        while self._queue:
            self._return(self._queue.popleft())
        self.return_handed()

    def _return(self, load: Load) -> None:
        now_ms = self._context.clock.now_ms()
        self._keep([give_back(item, now_ms) for item in load.items])

    def _report(self, load: Load, done: Attempt) -> None:
        bad = next((verdict for verdict in done.verdicts if not isinstance(verdict, Accepted)), None)
        now_ms = self._context.clock.now_ms()
        ages_s = [(now_ms - item.received_ms) / 1000 for item in load.items]
        reason = bad.reason if bad else ""
        self.gate.observe(
            Exchange(self.lane, done.verdicts, ages_s, done.seconds, done.status, reason, done.words if bad else "")
        )

    def _trouble(self, error: Exception) -> None:
        with suppress(Exception):
            self._context.observer.on_trouble(self.lane, error)


async def pause(clock: Clock, seconds: float, *until: asyncio.Event) -> None:
    """Wait that many of the clock's seconds, or until one of the events is set."""
    waits = [asyncio.ensure_future(clock.sleep(seconds)), *(asyncio.ensure_future(e.wait()) for e in until)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
