"""Sync of an audience: sends the differences to AppsFlyer in batches of as many devices as it takes.

What an answer means for the devices and for the app is decided in `delivery.judge`, as for events. There is no queue: a
device that could not be sent still differs at the next run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from time import perf_counter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from flybridge.appsflyer import additional
from flybridge.appsflyer import audience as appsflyer
from flybridge.audiences.plan import Ended, Work, ended
from flybridge.clock import Clock
from flybridge.delivery.circuit import Admission, CircuitRules
from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Reject,
    Retry,
    Split,
    Transport,
    Verdict,
)
from flybridge.delivery.gate import Gate
from flybridge.delivery.judge import LaneState
from flybridge.delivery.observer import Exchange, Observer
from flybridge.delivery.words import said, words_of
from flybridge.errors import TransportError
from flybridge.store.audiences.protocol import Action, CohortStore, Device
from flybridge.store.protocol import Lane

ENDPOINT: Final = "audiences"
SHARED: Final = frozenset({"unauthorized", "forbidden", "wrong_address"})
"""Reasons that concern every audience of the app."""
TRIES: Final = 5
"""How often a device may fail alone while others are accepted before it counts as refused."""
IDENTIFIERS: Final = "AppsFlyer takes none of the identifiers: see apps.audiences.identifier and where it is found."

_MARK: Final = attrgetter("mark")


class AudienceSync:
    """Sends the differences. The audiences of one app share its rate and circuit; what is known of devices is apart."""

    def __init__(
        self, store: CohortStore, transport: Transport, clock: Clock, rules: CircuitRules, observer: Observer
    ) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._rules = replace(rules, dead_share=0.0)  # an identifier that is no device is counted, not kept
        self._observer = observer
        self._gates: dict[str, Gate] = {}
        self._known: dict[tuple[str, str], LaneState] = {}
        self._failed: Counter[tuple[str, str, bytes]] = Counter()

    async def all(self, work: Work, stop: asyncio.Event | None, *, overwrite: bool) -> None:
        """Send all differences: additional identifiers, removals, then additions."""
        if overwrite:
            await self.overwrite(work, stop)
        await self.extras(work, stop)
        for action in (Action.REMOVE, Action.ADD):
            await self.send(work, action, stop)
        await self.close_suspects(work)

    async def send(self, work: Work, action: Action, stop: asyncio.Event | None) -> None:
        """Send the devices to add or to remove, each once."""
        after = b""
        while devices := await self._store.changes(work.claim, action, work.limit, after):
            after = devices[-1].mark
            await self._batch(work, action, devices, stop)

    async def _batch(self, work: Work, action: Action, devices: Sequence[Device], stop: asyncio.Event | None) -> None:
        """Send devices in as many requests as needed. Raises `Ended` when the run can't continue."""
        parts, left = [devices], None
        while parts:
            part = parts.pop()
            limit = min(work.limit, self._state(work).limit or work.limit)
            if len(part) > limit:
                parts += (part[limit:], part[:limit])
                continue
            done = await self._devices(work, action, part, stop)
            if isinstance(done.verdict, Reject) and action is Action.REMOVE:
                await self._settle(work, action, part)  # AppsFlyer does not know it, so it is in no audience
                continue
            settled, again = self._judge(work, part, done)
            parts += reversed(again)
            problem = await self._settled(work, action, settled)
            if problem is not None and (len(part) > 1 or isinstance(problem, Halt) or not self._gate(work).sends):
                raise done.ended(problem, "AppsFlyer")
            left = (problem and done.ended(problem, "AppsFlyer")) or left
        if left is not None:
            raise left

    async def _settled(
        self, work: Work, action: Action, settled: Sequence[tuple[Device, Verdict]]
    ) -> Retry | Halt | None:
        """Settle devices by their verdicts. Returns the verdict of those that can't be settled."""
        problem: Retry | Halt | None = None
        accepted = [device for device, verdict in settled if isinstance(verdict, Accepted)]
        refused = [device for device, verdict in settled if isinstance(verdict, Reject | Split)]
        for device, verdict in settled:
            if isinstance(verdict, Retry) and verdict.counts and len(settled) == 1 and self._is_bad(work, device):
                refused.append(device)
            elif isinstance(verdict, Retry):
                problem = verdict
            elif isinstance(verdict, Halt):
                problem = Halt("invalid_devices", IDENTIFIERS, 3600.0)
        if accepted:
            await self._settle(work, action, accepted)
        if refused:
            work.refused += await self._store.settle(work.claim, action, [one.mark for one in refused], refused=True)
        return problem

    def _is_bad(self, work: Work, device: Device) -> bool:
        """Count a device that failed alone. True when it has done so too often while others were accepted."""
        if not self._state(work).is_bad(device.mark):
            return False
        name = (work.plan.rule.app, work.plan.rule.audience, device.mark)
        self._failed[name] += 1
        return self._failed[name] >= TRIES

    async def _devices(self, work: Work, action: Action, part: Sequence[Device], stop: asyncio.Event | None) -> _Done:
        request = appsflyer.request(work.plan.audience, action.value, [(one.kind, one.value) for one in part])

        async def read(response: HttpResponse) -> Verdict:
            if limit := appsflyer.limit_of(response):
                work.limit = max(1, min(limit, work.limit))
                await self._store.learn(work.claim, max_devices=work.limit)
            return appsflyer.verdict(response, len(part))

        return await self._exchange(work, request, len(part), read, stop)

    async def _settle(self, work: Work, action: Action, part: Sequence[Device]) -> None:
        done = await self._store.settle(work.claim, action, [one.mark for one in part])
        work.sent[Action.REMOVE if action is Action.REMOVE else Action.ADD] += done

    async def close_suspects(self, work: Work) -> None:
        """Settle devices that were refused alone and never cleared."""
        gate = self._remembering(work)
        suspects = gate.close_round()
        self._known[work.plan.rule.app, work.plan.rule.audience] = gate.state
        problem = await self._settled(work, Action.ADD, suspects)
        if problem is not None:
            raise Ended(problem, "AppsFlyer")

    async def overwrite(self, work: Work, stop: asyncio.Event | None) -> None:
        """Replace the audience: one request overwrites, `all` adds what did not fit into it."""
        await self._store.empty(work.claim)
        while devices := await self._store.changes(work.claim, Action.ADD, work.limit, b""):
            done = await self._devices(work, Action.OVERWRITE, devices, stop)
            self._judge(work, devices, done)
            match done.verdict:
                case Accepted():
                    await self._settle(work, Action.OVERWRITE, devices)
                    return
                case Split() if work.limit > 1:
                    work.limit = min(work.limit, max(1, len(devices) // 2))
                case Split() | Reject():
                    raise Ended(Halt("invalid_devices", "Run it without --overwrite."), "AppsFlyer, overwriting")
                case _:
                    raise done.ended(done.verdict, "AppsFlyer, overwriting")
        raise Ended(Halt("nobody", "No member has an identifier, and AppsFlyer takes no empty list."), "Overwriting")

    async def extras(self, work: Work, stop: asyncio.Event | None) -> None:
        """Send hashed addresses and numbers, and remove those of forgotten people."""
        after = b""
        while found := await self._store.extras(work.claim, additional.MAX_ROWS, after):
            after = found[-1].mark
            kinds = {one.kind for one in found if one.kind in additional.KEY_TYPES}
            for kind in sorted(kinds):
                for remove in (True, False):
                    rows = [one for one in found if one.kind == kind and (one.extra == b"") is remove]
                    if rows:
                        await self._send_extras(work, kind, rows, stop, remove=remove)

    async def _send_extras(
        self, work: Work, kind: str, rows: Sequence[Device], stop: asyncio.Event | None, *, remove: bool
    ) -> None:
        audience, parts = work.plan.audience, [rows]
        while parts:
            part = parts.pop()
            pairs = [(one.value, one.extra) for one in part]
            request = additional.request(
                audience.origin, audience.api_token, audience.app_id, kind, pairs, remove=remove
            )

            async def read(response: HttpResponse, n: int = len(part)) -> Verdict:
                return additional.verdict(response, n)

            done = await self._exchange(work, request, len(part), read, stop)
            self._judge(work, part, done)
            match done.verdict:
                case Accepted() | Reject():
                    await self._store.settle_extras(work.claim, part)
                    work.extras += len(part) if isinstance(done.verdict, Accepted) else 0
                case Split() if len(part) > 1:
                    middle = (len(part) + 1) // 2
                    parts += (part[middle:], part[:middle])
                case Split():
                    await self._store.settle_extras(work.claim, part)
                case _:
                    raise done.ended(done.verdict, "AppsFlyer, additional identifiers")

    async def _exchange(
        self,
        work: Work,
        request: HttpRequest,
        n: int,
        read: Callable[[HttpResponse], Awaitable[Verdict]],
        stop: asyncio.Event | None,
    ) -> _Done:
        """Send one request at the app's rate and read its answer. Raises `Ended` while the circuit is open."""
        await work.hold(stop)
        gate = self._gate(work)
        if gate.admission() is Admission.NONE:
            circuit = gate.circuit
            after_s = (circuit.until_ms - self._clock.now_ms()) / 1000
            stage = said("The app's audiences are paused", circuit.words)
            raise Ended(Retry(circuit.reason, after_s, counts=False), stage)
        wait_s = gate.wait_s(n)
        if wait_s > 0:
            await self._clock.sleep(wait_s)
            work.lease.check()
        number, started, status, words = gate.sending(), perf_counter(), 0, ""
        work.requests += 1
        verdict: Verdict
        try:
            response = await self._transport.send(request)
        except TransportError as problem:
            maybe, words = problem.maybe_applied, f"{problem}"
            verdict = Retry("no_answer" if maybe else "unreachable", counts=maybe)
        else:
            status, verdict = response.status, await read(response)
            words = "" if isinstance(verdict, Accepted) else words_of(request, response)
        reason = "" if isinstance(verdict, Accepted) else verdict.reason
        gate.observe(Exchange(gate.lane, [verdict] * n, [0.0] * n, perf_counter() - started, status, reason, words))
        return _Done(verdict, number, status, words)

    def _judge(
        self, work: Work, part: Sequence[Device], done: _Done
    ) -> tuple[Sequence[tuple[Device, Verdict]], Sequence[Sequence[Device]]]:
        """Return the devices to be settled with their verdicts, and the batches to be sent again at once."""
        verdict = done.verdict
        gate = self._remembering(work)
        if isinstance(verdict, Halt):
            if verdict.reason in SHARED:
                gate.halt(verdict, done.words)
            raise done.ended(verdict, "AppsFlyer")
        failed = isinstance(verdict, Retry) and (verdict.counts or done.status == 0)
        judged = gate.judge(
            part, [verdict] * len(part), _MARK, number=done.number, failed=failed, status=done.status, words=done.words
        )
        self._known[work.plan.rule.app, work.plan.rule.audience] = gate.state
        return judged

    def _gate(self, work: Work) -> Gate:
        """The gate of the audience's app."""
        app = work.plan.rule.app
        if app not in self._gates:
            lane = Lane(app, ENDPOINT)
            self._gates[app] = Gate(lane, work.plan.limits, self._clock, self._rules, self._observer)
        return self._gates[app]

    def _state(self, work: Work) -> LaneState:
        """What is known of the audience's devices."""
        return self._known.get((work.plan.rule.app, work.plan.rule.audience), LaneState())

    def _remembering(self, work: Work) -> Gate:
        """Return the app's gate with what is known of this audience's devices."""
        gate = self._gate(work)
        gate.state = replace(self._state(work), circuit=gate.state.circuit)
        return gate


class _Done(Struct, frozen=True):
    """One request and its answer."""

    verdict: Verdict
    number: int
    status: int
    words: str

    def ended(self, verdict: Verdict, stage: str) -> Ended:
        """Return the end of the run for this verdict, with what the vendor said."""
        return ended(verdict, said(stage, self.words))
