"""Send what is due in one lane: lease, pack, send, read the verdicts, settle. Lanes are independent of each other.

Guarantees:

1. Nothing is sent on a lease that could lapse before its answer: the deadline is checked before each request.
2. To a vendor that does not deduplicate, the intent to send is durable (`store.begin`) before the first byte, for
   a small group at a time: only that group is uncertain after a crash.
3. Answers are settled in groups. Settlements that the store did not take are kept and offered again, and nothing
   new is leased before they are in.
4. A request refused as too large is halved and sent again within the same lease.
5. A vendor that refuses an item sent alone refuses either the lane or the item. It is the item if another, sent
   afterwards, is accepted and it is then refused a second time: it dies. Until that is known the lane halts.
6. Cancelling is dying: nothing more is settled, leases lapse, and what had begun is uncertain. Use `stop`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from math import ceil

from msgspec.structs import replace

from flybridge.clock import Clock
from flybridge.delivery import circuit as breaker
from flybridge.delivery.attempt import Attempt, attempt
from flybridge.delivery.batching import Load, halve, pack
from flybridge.delivery.circuit import Admission, Circuit, Phase
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Accepted, Endpoint, Halt, Reject, Retry, Split, Verdict
from flybridge.delivery.lifecycle import DUE, give_back, settle
from flybridge.delivery.observer import Exchange
from flybridge.delivery.pace import pace, take
from flybridge.delivery.settlements import SettlementBuffer
from flybridge.delivery.suspects import SUSPECTS, Suspects
from flybridge.records import Delivery
from flybridge.store.protocol import Lane


class LaneWork:
    """Sends what is due in one lane."""

    def __init__(self, lane: Lane, endpoint: Endpoint, context: Context) -> None:
        self.lane = lane
        self.circuit = breaker.CLOSED
        self.settlements = SettlementBuffer(context, self._trouble)
        self._endpoint = endpoint
        self._context = context
        self._pace = pace(endpoint.limits)
        self._queue: deque[Load] = deque()
        self._suspects = Suspects()
        self._number = 0
        self._mean_bytes = 2_000.0
        self._more = True
        self._signal = asyncio.Event()

    def more(self) -> None:
        """Note that more has become due while the lane is at work."""
        self._more = True
        self._signal.set()

    def idle(self) -> bool:
        """Whether the circuit lets nothing through now."""
        return breaker.admission(self.circuit, self._context.clock.now_ms()) is Admission.NONE

    async def work(self, stop: asyncio.Event) -> None:
        """Send until nothing is due, the circuit opens, or `stop` is set; then finish what is in flight."""
        in_flight: set[asyncio.Task[None]] = set()
        self._more = True
        try:
            while await self._launch(in_flight, stop):
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
                self._number += 1
                load.number = self._number
                if self.circuit.phase is not Phase.CLOSED:
                    self.circuit = breaker.probing(self.circuit)
                task = asyncio.create_task(self._exchange(load))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
                task.add_done_callback(lambda _: self._signal.set())
            elif load.halved and not stop.is_set():  # the lease was too short for halving: send these alone
                self._settle([(item, Split("too_large")) for item in load.items])
            else:
                self._return(load)
        return bool(in_flight)

    def _width(self) -> int:
        match breaker.admission(self.circuit, self._context.clock.now_ms()):
            case Admission.ALL:
                return self._endpoint.limits.concurrency
            case Admission.PROBE:
                return 1
            case Admission.NONE:
                return 0

    async def _next(self) -> Load | None:
        if not self._queue and self._more:
            self._more = False
            try:
                await self._refill()
            except Exception as error:
                self._trouble(error)
        elif self.settlements and (not self._queue or self.settlements.age_ms() > self._context.settings.settle_ms):
            await self.settlements.flush()
        return self._queue.popleft() if self._queue else None

    async def _refill(self) -> None:
        context, endpoint = self._context, self._endpoint
        if not await self.settlements.flush():
            return
        limit = self._room()
        now_ms = context.clock.now_ms()
        items = await context.store.lease(self.lane, limit, now_ms, context.settings.lease_ms, context.owner)
        if not items:
            return
        self._more = len(items) >= limit
        if not endpoint.deduplicates:
            items = await self._begin(items)
        deadline_ms = now_ms + context.settings.lease_ms
        sizes = {item.id: endpoint.size(item) for item in items}
        self._mean_bytes = sum(sizes.values()) / max(1, len(sizes))
        self._queue.extend(
            Load(batch, deadline_ms) for batch in pack(items, endpoint.limits, lambda item: sizes[item.id])
        )

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
        probe = self.circuit.phase is not Phase.CLOSED
        if probe:
            return max(per_request, SUSPECTS)
        room = per_request * limits.concurrency
        if not self._endpoint.deduplicates:
            room = min(max(settings.wave_begun, room // 8), 4 * room)
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
        self._pace, wait_s = take(self._pace, len(load.items), clock.now_ms())
        if wait_s > 0:
            await self.settlements.flush()
            await pause(clock, wait_s, stop)
        return not stop.is_set() and clock.now_ms() + self._context.settings.timeout_ms < load.deadline_ms

    async def _exchange(self, load: Load) -> None:
        done = await attempt(self._endpoint, self._context.transport, load.items)
        if done.error is not None:
            self._trouble(done.error)
        self._tell(load, done)
        self._judge(load, done)

    def _judge(self, load: Load, done: Attempt) -> None:
        """Turn one answer into settlements, halves, and what it says about the lane."""
        alone = len(load.items) == 1
        halt = next((verdict for verdict in done.verdicts if isinstance(verdict, Halt)), None)
        if halt is not None and alone:
            self._suspect(load, halt)
            return
        verdicts = done.verdicts
        if halt is not None:
            self._halt(halt)
        elif done.failed:
            verdicts = self._fail(verdicts)
        elif not all(isinstance(verdict, Split) for verdict in verdicts):  # which says nothing about the lane
            self._succeed(load.number, any(isinstance(verdict, Accepted) for verdict in verdicts))
        maybe_applied = done.maybe_applied and not self._endpoint.deduplicates
        pairs = list(zip(load.items, verdicts, strict=True))
        large = [] if alone else [item for item, verdict in pairs if isinstance(verdict, Split)]
        if large:
            for half in reversed(halve(large) if len(large) > 1 else (large,)):
                self._queue.appendleft(Load(half, load.deadline_ms, halved=True))
            pairs = [(item, verdict) for item, verdict in pairs if not isinstance(verdict, Split)]
        self._settle(pairs, alone=alone, maybe_applied=maybe_applied)

    def _settle(
        self, pairs: Sequence[tuple[Delivery, Verdict]], *, alone: bool = False, maybe_applied: bool = False
    ) -> None:
        context = self._context
        now_ms = context.clock.now_ms()
        settlements = [
            settle(item, verdict, now_ms, context.jitter(), context.policy, alone=alone, maybe_applied=maybe_applied)
            for item, verdict in pairs
        ]
        if any(s.state == DUE and s.due_ms <= now_ms for s in settlements):
            self._more = True
        self.settlements.keep(settlements)

    def _fail(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        """Note a failed request. Once the lane is known to be down, its failures cost the items no tries."""
        down = self.circuit.phase is not Phase.CLOSED
        retries = [verdict for verdict in verdicts if isinstance(verdict, Retry)]
        now_ms = self._context.clock.now_ms()
        self._turn_circuit(breaker.failed(self.circuit, retries[0].reason, now_ms, self._context.rules))
        return [replace(retry, counts=False) for retry in retries] if down else verdicts

    def _succeed(self, number: int, accepted: bool) -> None:
        """Note an answered request. What is accepted now gives those refused before a second look."""
        self._turn_circuit(breaker.succeeded(self.circuit))
        if not accepted:
            return
        self._queue.extendleft(self._suspects.accepted(number))

    def _suspect(self, load: Load, halt: Halt) -> None:
        """Note an item that was refused alone. It is the item, or enough speaks against the lane, or neither yet."""
        if self._suspects.refused(load, halt, self._number):
            detail = f"Refused alone, twice, while others were accepted in between: {halt.reason}."
            self._settle([(load.items[0], Reject("refused_alone", detail, halt.remedy))], alone=True)
        elif self._suspects.prove or self.circuit.phase is Phase.OPEN:
            self._convict()

    def _convict(self) -> None:
        """It is the lane: halt it, and give the suspects back."""
        suspects = self._suspects.released()
        for suspect in suspects:
            self._settle([(suspect.load.items[0], suspect.halt)], alone=True)
        if suspects:
            self._halt(suspects[-1].halt)

    def _halt(self, halt: Halt) -> None:
        now_ms = self._context.clock.now_ms()
        self._turn_circuit(breaker.halted(self.circuit, halt, now_ms, self._context.rules))

    def _turn_circuit(self, after: Circuit) -> None:
        before, self.circuit = self.circuit, after
        if (before.phase is Phase.CLOSED) != (after.phase is Phase.CLOSED):  # another failed probe is no news
            with suppress(Exception):
                self._context.observer.on_circuit(self.lane, after)

    def _close_round(self) -> None:
        """End a round of work: judge who is still suspected, give back what was leased and not sent."""
        self._convict()
        while self._queue:
            self._return(self._queue.popleft())

    def _return(self, load: Load) -> None:
        now_ms = self._context.clock.now_ms()
        self.settlements.keep([give_back(item, now_ms) for item in load.items])

    def _tell(self, load: Load, done: Attempt) -> None:
        bad = next((verdict for verdict in done.verdicts if not isinstance(verdict, Accepted)), None)
        now_ms = self._context.clock.now_ms()
        ages_s = [(now_ms - item.received_ms) / 1000 for item in load.items]
        reason = bad.reason if bad else ""
        exchange = Exchange(self.lane, done.verdicts, ages_s, done.seconds, done.status, reason)
        with suppress(Exception):
            self._context.observer.on_exchange(exchange)

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
