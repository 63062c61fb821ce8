"""Sync of an audience: sends the differences to AppsFlyer in batches of as many devices as it takes. No retries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Final

from flybridge.appsflyer import additional
from flybridge.appsflyer import audience as appsflyer
from flybridge.audiences.plan import Ended, Work, ended
from flybridge.clock import Clock
from flybridge.delivery import circuit as breaker
from flybridge.delivery.circuit import Admission, Circuit, Phase
from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Limits,
    Reject,
    Retry,
    Split,
    Transport,
    Verdict,
)
from flybridge.delivery.observer import Exchange, Observer
from flybridge.delivery.pace import Pace, pace, take
from flybridge.errors import TransportError
from flybridge.store.audiences.protocol import Action, CohortStore, Device
from flybridge.store.protocol import Lane

ENDPOINT: Final = "audiences"
SUSPECTS: Final = 3
"""With this many devices refused alone and none accepted, the audience is at fault and not the devices."""
SHARED: Final = frozenset({"unauthorized", "forbidden", "wrong_address"})
"""Reasons that concern every audience of the app."""


class _AppLimits:
    """The rate and the circuit that the audiences of one app share."""

    def __init__(self, limits: Limits) -> None:
        self.pace: Pace = pace(limits)
        self.circuit: Circuit = breaker.CLOSED


class AudienceSync:
    """Sends the differences. The audiences of one app share its rate and circuit."""

    def __init__(
        self, store: CohortStore, transport: Transport, clock: Clock, rules: breaker.CircuitRules, observer: Observer
    ) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._rules = rules
        self._observer = observer
        self._limits: dict[str, _AppLimits] = {}

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
        """Send devices in as many requests as needed."""
        parts = [devices]
        while parts:
            part = parts.pop()
            if len(part) > work.limit:
                parts += (part[work.limit :], part[: work.limit])
                continue
            verdict = await self._devices(work, action, part, stop)
            match verdict:
                case Accepted():
                    work.accepted = True
                    await self._settle(work, action, part)
                case Split():
                    middle = (len(part) + 1) // 2
                    parts += (part[middle:], part[:middle])
                case Reject() if action is Action.REMOVE:
                    await self._settle(work, action, part)  # AppsFlyer does not know it, so it is in no audience
                case Reject():
                    await self._suspect(work, part)
                case _:
                    raise ended(verdict, "AppsFlyer")

    async def _devices(self, work: Work, action: Action, part: Sequence[Device], stop: asyncio.Event | None) -> Verdict:
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

    async def _suspect(self, work: Work, part: Sequence[Device]) -> None:
        """Note a device that is refused alone. Raises `Ended` after `SUSPECTS` of them if none was accepted."""
        work.suspects += part
        if work.accepted:
            await self.close_suspects(work)
        elif len(work.suspects) >= SUSPECTS:
            work.suspects.clear()
            remedy = "AppsFlyer takes none of the identifiers: see apps.audiences.identifier and where it is found."
            raise Ended(Halt("invalid_devices", remedy, 3600.0), "AppsFlyer")

    async def close_suspects(self, work: Work) -> None:
        suspects, work.suspects = work.suspects, []
        if suspects:
            marks = [one.mark for one in suspects]
            work.refused += await self._store.settle(work.claim, Action.ADD, marks, refused=True)

    async def overwrite(self, work: Work, stop: asyncio.Event | None) -> None:
        """Replace the audience: one request overwrites, `all` adds what did not fit into it."""
        await self._store.empty(work.claim)
        while devices := await self._store.changes(work.claim, Action.ADD, work.limit, b""):
            verdict = await self._devices(work, Action.OVERWRITE, devices, stop)
            match verdict:
                case Accepted():
                    await self._settle(work, Action.OVERWRITE, devices)
                    return
                case Split() if work.limit > 1:
                    work.limit = min(work.limit, max(1, len(devices) // 2))
                case Split() | Reject():
                    raise Ended(Halt("invalid_devices", "Run it without --overwrite."), "AppsFlyer, overwriting")
                case _:
                    raise ended(verdict, "AppsFlyer, overwriting")
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

            verdict = await self._exchange(work, request, len(part), read, stop)
            match verdict:
                case Accepted() | Reject():
                    await self._store.settle_extras(work.claim, part)
                    work.extras += len(part) if isinstance(verdict, Accepted) else 0
                case Split() if len(part) > 1:
                    middle = (len(part) + 1) // 2
                    parts += (part[middle:], part[:middle])
                case Split():
                    await self._store.settle_extras(work.claim, part)
                case _:
                    raise ended(verdict, "AppsFlyer, additional identifiers")

    async def _exchange(
        self,
        work: Work,
        request: HttpRequest,
        n: int,
        read: Callable[[HttpResponse], Awaitable[Verdict]],
        stop: asyncio.Event | None,
    ) -> Verdict:
        """Send one request at the app's rate and return its verdict. Raises `Ended` while the circuit is open."""
        await work.hold(stop)
        limits = self._limits.setdefault(work.plan.rule.app, _AppLimits(work.plan.limits))
        now_ms = self._clock.now_ms()
        if breaker.admission(limits.circuit, now_ms) is Admission.NONE:
            after_s = (limits.circuit.until_ms - now_ms) / 1000
            raise Ended(Retry(limits.circuit.reason, after_s, counts=False), "The app's audiences are paused")
        limits.circuit = breaker.probing(limits.circuit)
        limits.pace, wait = take(limits.pace, n, now_ms)
        if wait > 0:
            await self._clock.sleep(wait)
            work.lease.check()
        started, status = perf_counter(), 0
        work.requests += 1
        verdict: Verdict
        try:
            response = await self._transport.send(request)
        except TransportError as problem:
            verdict = Retry("no_answer" if problem.maybe_applied else "unreachable")
        else:
            status, verdict = response.status, await read(response)
        self._judge(work, limits, verdict)
        lane = Lane(work.plan.rule.app, ENDPOINT)
        reason = "" if isinstance(verdict, Accepted) else verdict.reason
        with suppress(Exception):
            exchange = Exchange(lane, [verdict] * n, [0.0] * n, perf_counter() - started, status, reason)
            self._observer.on_exchange(exchange)
        return verdict

    def _judge(self, work: Work, limits: _AppLimits, verdict: Verdict) -> None:
        """Update the app's circuit by a verdict."""
        before, now_ms = limits.circuit, self._clock.now_ms()
        match verdict:
            case Halt(reason) if reason in SHARED:
                limits.circuit = breaker.halted(before, verdict, now_ms, self._rules)
            case Retry(counts=True):
                limits.circuit = breaker.failed(before, verdict.reason, now_ms, self._rules)
            case Retry():
                pass
            case _:
                limits.circuit = breaker.succeeded(before)
        if (before.phase is Phase.CLOSED) != (limits.circuit.phase is Phase.CLOSED):
            with suppress(Exception):
                self._observer.on_circuit(Lane(work.plan.rule.app, ENDPOINT), limits.circuit)
