"""Sync of an audience: sends the differences to AppsFlyer in batches of as many devices as it takes.

What an answer means for the devices and for the app is decided in `delivery.judge`, as for events. There is no queue: a
device that could not be sent still differs at the next run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from time import perf_counter
from typing import Final, Protocol

from msgspec import Struct, field
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
from flybridge.delivery.lane_state import LaneState
from flybridge.delivery.observer import Exchange, Observer
from flybridge.delivery.words import said, words_of
from flybridge.errors import TransportError
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Action, Device
from flybridge.store.records import Lane

ENDPOINT: Final = "audiences"
SHARED: Final = frozenset({"unauthorized", "forbidden", "wrong_address"})
"""Reasons that concern every audience of the app."""
DOUBTED: Final = frozenset({"forbidden", "wrong_address", "refused", "too_large"})
"""Reasons that may be about one device that AppsFlyer or a firewall does not name: such requests are halved."""
DEVICES: Final = "devices"
EXTRAS: Final = "extras"
TRIES: Final = 5
"""How often a device may fail alone while others are accepted before it counts as refused."""
IDENTIFIERS: Final = "AppsFlyer takes none of the identifiers: see apps.audiences.identifier and where it is found."
RULES: Final = CircuitRules(dead_share=0.0)
"""An identifier that is no device is counted, not kept."""

_MARK: Final = attrgetter("mark")


class AudienceSync(Struct, frozen=True):
    """Sends the differences. The audiences of one app share its rate and circuit; what is known of devices is apart."""

    store: CohortStore
    transport: Transport
    clock: Clock
    observer: Observer
    _gates: dict[str, Gate] = field(default_factory=dict)
    _known: dict[tuple[str, str, str], LaneState] = field(default_factory=dict)
    _failed: Counter[tuple[str, str, str, bytes]] = field(default_factory=Counter)
    _reached: dict[tuple[str, str, str], bytes] = field(default_factory=dict)

    async def all(self, work: Work) -> None:
        """Send all differences: additional identifiers, removals, then additions.

        After a run that failed the additions come first, and each stage begins behind what was sent last, so that
        what fails does not hold up the others for ever. Raises `Ended` when something is left.
        """
        if work.options.overwrite:
            await self.overwrite(work)
        actions = (Action.ADD, Action.REMOVE) if work.claim.tries % 2 else (Action.REMOVE, Action.ADD)
        left = [await self.extras(work), *[await self.send(work, action) for action in actions]]
        for stage in (DEVICES, EXTRAS):
            left.append(await self._close_suspects(work, stage))
        for problem in left:
            if problem is not None:
                raise problem

    async def send(self, work: Work, action: Action) -> Ended | None:
        """Send the devices to add or to remove, each once. Returns why some are left."""

        async def settle(part: Sequence[Device], *, refused: bool) -> None:
            if refused and action is not Action.REMOVE:
                marks = [one.mark for one in part]
                work.refused += await self.store.settle(work.claim, action, marks, self.clock.now_ms(), refused=True)
            else:  # what AppsFlyer does not know is in no audience
                await self._settle(work, action, part)

        stage = _Stage(DEVICES, partial(self._devices, work, action), settle, removes=action is Action.REMOVE)
        place = _named(work, action.value)
        begin = after = self._reached.pop(place, b"")
        left: Ended | None = None
        wrapped = not begin
        while True:
            page = await self.store.changes(work.claim, action, work.limit, after)
            if wrapped and begin:
                page = [one for one in page if one.mark <= begin]
            if not page and wrapped:
                return left
            if not page:
                wrapped, after = True, b""
                continue
            after = page[-1].mark
            try:
                left = await self._batch(work, stage, page) or left
            except Ended:
                self._reached[place] = work.tried
                raise

    async def _batch(self, work: Work, stage: _Stage, devices: Sequence[Device]) -> Ended | None:
        """Send devices in as many requests as needed. Returns why some are left.

        Raises `Ended` when the run can't continue.
        """
        parts, left = [devices], None
        while parts:
            part = parts.pop()
            limit = min(work.limit, self._state(work, stage.name).limit or work.limit)
            if len(part) > limit:
                parts += (part[limit:], part[:limit])
                continue
            work.tried = part[-1].mark
            done = await stage.send(part)
            if isinstance(done.verdict, Reject) and stage.removes:
                await stage.settle(part, refused=True)
                continue
            settled, again = self._judge(work, stage.name, part, done)
            parts += reversed(again)
            problem = await self._settled(work, stage, settled)
            if problem is not None and (len(part) > 1 or isinstance(problem, Halt) or not self._gate(work).sends):
                raise done.ended(problem, "AppsFlyer")
            left = (problem and done.ended(problem, "AppsFlyer")) or left
        return left

    async def _settled(
        self, work: Work, stage: _Stage, settled: Sequence[tuple[Device, Verdict]]
    ) -> Retry | Halt | None:
        """Settle devices by their verdicts. Returns the verdict of those that can't be settled."""
        problem: Retry | Halt | None = None
        accepted = [device for device, verdict in settled if isinstance(verdict, Accepted)]
        refused = [device for device, verdict in settled if isinstance(verdict, Reject | Split)]
        for device, verdict in settled:
            if isinstance(verdict, Retry) and len(settled) == 1 and self._is_bad(work, stage.name, device, verdict):
                refused.append(device)
            elif isinstance(verdict, Retry):
                problem = verdict
            elif isinstance(verdict, Halt):
                problem = verdict if verdict.reason in DOUBTED else Halt("invalid_devices", IDENTIFIERS, 3600.0)
        if accepted:
            await stage.settle(accepted, refused=False)
        if refused:
            await stage.settle(refused, refused=True)
        return problem

    def _is_bad(self, work: Work, stage: str, device: Device, verdict: Retry) -> bool:
        """Count a device that failed alone. True when it has done so too often while others were accepted."""
        if not (verdict.counts or verdict.alone) or not (
            verdict.reason in DOUBTED or self._state(work, stage).is_bad(device.mark)
        ):
            return False
        name = (*_named(work, stage), device.mark)
        self._failed[name] += 1
        return self._failed[name] >= TRIES

    async def _devices(self, work: Work, action: Action, part: Sequence[Device]) -> _Done:
        request = appsflyer.request(work.plan.audience, action.value, [(one.kind, one.value) for one in part])

        async def read(response: HttpResponse) -> Verdict:
            if limit := appsflyer.limit_of(response):
                work.limit = max(1, min(limit, work.limit))
                await self.store.learn(work.claim, max_devices=work.limit)
            return appsflyer.verdict(response, len(part))

        return await self._exchange(work, request, len(part), read)

    async def _settle(self, work: Work, action: Action, part: Sequence[Device]) -> None:
        done = await self.store.settle(work.claim, action, [one.mark for one in part], self.clock.now_ms())
        work.sent[Action.REMOVE if action is Action.REMOVE else Action.ADD] += done

    async def _close_suspects(self, work: Work, stage: str) -> Ended | None:
        """Settle devices that were refused alone and never cleared. Returns why some are left."""
        gate = self._remembering(work, stage)
        words = gate.state.suspects[-1].words if gate.state.suspects else ""
        suspects = gate.close_round()
        self._known[_named(work, stage)] = gate.state
        refused = [device for device, verdict in suspects if isinstance(verdict, Reject | Split)]
        if refused and stage == EXTRAS:
            await self.store.settle_extras(work.claim, refused, self.clock.now_ms())
        elif refused:
            marks = [device.mark for device in refused]
            work.refused += await self.store.settle(work.claim, Action.ADD, marks, self.clock.now_ms(), refused=True)
        unsettled = next((verdict for _, verdict in suspects if isinstance(verdict, Halt | Retry)), None)
        if unsettled is None:
            return None
        doubted = isinstance(unsettled, Retry) or unsettled.reason in DOUBTED
        problem = unsettled if doubted else Halt("invalid_devices", IDENTIFIERS, 3600.0)
        return ended(problem, said("AppsFlyer", words))

    async def overwrite(self, work: Work) -> None:
        """Replace the audience: one request overwrites, `all` adds what did not fit into it."""
        await self.store.empty(work.claim)
        while devices := await self.store.changes(work.claim, Action.ADD, work.limit, b""):
            done = await self._devices(work, Action.OVERWRITE, devices)
            self._judge(work, DEVICES, devices, done)
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

    async def extras(self, work: Work) -> Ended | None:
        """Send hashed addresses and numbers, and remove those of forgotten people. Returns why some are left."""

        async def settle(part: Sequence[Device], *, refused: bool) -> None:
            await self.store.settle_extras(work.claim, part, self.clock.now_ms())
            work.extras += 0 if refused else len(part)

        after, left, now_ms = b"", None, self.clock.now_ms()
        while found := await self.store.extras(work.claim, additional.MAX_ROWS, after, now_ms):
            after = found[-1].mark
            kinds = {one.kind for one in found if one.kind in additional.KEY_TYPES}
            for kind in sorted(kinds):
                for remove in (True, False):
                    rows = [one for one in found if one.kind == kind and (one.extra == b"") is remove]
                    if rows:
                        stage = _Stage(EXTRAS, partial(self._extra_rows, work, kind, remove=remove), settle)
                        left = await self._batch(work, stage, rows) or left
        return left

    async def _extra_rows(self, work: Work, kind: str, part: Sequence[Device], *, remove: bool) -> _Done:
        pairs = [(one.value, one.extra) for one in part]
        request = additional.request(work.plan.audience.account, kind, pairs, remove=remove)

        async def read(response: HttpResponse) -> Verdict:
            return additional.verdict(response, len(part))

        return await self._exchange(work, request, len(part), read)

    async def _exchange(
        self, work: Work, request: HttpRequest, n: int, read: Callable[[HttpResponse], Awaitable[Verdict]]
    ) -> _Done:
        """Send one request at the app's rate and read its answer. Raises `Ended` while the circuit is open."""
        await work.hold()
        gate = self._gate(work)
        if gate.admission() is Admission.NONE:
            circuit = gate.circuit
            after_s = (circuit.until_ms - self.clock.now_ms()) / 1000
            stage = said("The app's audiences are paused", circuit.words)
            raise Ended(Retry(circuit.reason, after_s, counts=False), stage)
        wait_s = gate.wait_s(n)
        if wait_s > 0:
            await self.clock.sleep(wait_s)
            work.lease.check()
        number, started, status, words = gate.sending(), perf_counter(), 0, ""
        work.requests += 1
        verdict: Verdict
        try:
            response = await self.transport.send(request)
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
        self, work: Work, stage: str, part: Sequence[Device], done: _Done
    ) -> tuple[Sequence[tuple[Device, Verdict]], Sequence[Sequence[Device]]]:
        """Return the devices to be settled with their verdicts, and the batches to be sent again at once."""
        verdict = done.verdict
        gate = self._remembering(work, stage)
        if isinstance(verdict, Halt) and verdict.reason not in DOUBTED:
            if verdict.reason in SHARED:
                gate.halt(verdict, done.words)
            raise done.ended(verdict, "AppsFlyer")
        if isinstance(verdict, Halt) and len(part) > 1:
            verdict = Split(verdict.reason)
        if isinstance(verdict, Halt) and self._failed[*_named(work, stage), part[0].mark]:
            # Others were accepted when it was refused before, so it needs none to be accepted in this run.
            return [(part[0], Retry(verdict.reason))], []
        failed = isinstance(verdict, Retry) and (verdict.counts or done.status == 0)
        circuit = gate.state.circuit
        settled, again = gate.judge(
            part, [verdict] * len(part), _MARK, number=done.number, failed=failed, status=done.status, words=done.words
        )
        if isinstance(verdict, Halt) and verdict.reason not in SHARED:
            gate.state = replace(gate.state, circuit=circuit)  # the app's other audiences go on
        self._known[_named(work, stage)] = gate.state
        return settled, again

    def _gate(self, work: Work) -> Gate:
        """The gate of the audience's app."""
        app = work.plan.rule.app
        if app not in self._gates:
            lane = Lane(app, ENDPOINT)
            self._gates[app] = Gate(lane, work.plan.limits, self.clock, RULES, self.observer)
        return self._gates[app]

    def _state(self, work: Work, stage: str) -> LaneState:
        """What is known of the audience's devices."""
        return self._known.get(_named(work, stage), LaneState())

    def _remembering(self, work: Work, stage: str) -> Gate:
        """Return the app's gate with what is known of this audience's devices."""
        gate = self._gate(work)
        gate.state = replace(self._state(work, stage), circuit=gate.state.circuit)
        return gate


def _named(work: Work, stage: str) -> tuple[str, str, str]:
    return work.plan.rule.app, work.plan.rule.audience, stage


class _Settle(Protocol):
    async def __call__(self, part: Sequence[Device], *, refused: bool) -> None: ...


class _Stage(Struct, frozen=True):
    """How the devices of a stage are sent and settled."""

    name: str
    send: Callable[[Sequence[Device]], Awaitable[_Done]]
    settle: _Settle
    removes: bool = False


class _Done(Struct, frozen=True):
    """One request and its answer."""

    verdict: Verdict
    number: int
    status: int
    words: str

    def ended(self, verdict: Verdict, stage: str) -> Ended:
        """Return the end of the run for this verdict, with what the vendor said."""
        return ended(verdict, said(stage, self.words))
