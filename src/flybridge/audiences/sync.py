"""Outward: what differs goes to AppsFlyer, in batches of as many devices as it takes. Nothing is retried in here."""

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
"""So many devices refused alone, with nothing accepted in the run, speak against the audience and not against them."""
SHARED: Final = frozenset({"unauthorized", "forbidden", "wrong_address"})
"""Refusals that are meant for every audience of an app."""


class _Line:
    """What the audiences of one app share: a rate, and a circuit."""

    def __init__(self, limits: Limits) -> None:
        self.pace: Pace = pace(limits)
        self.circuit: Circuit = breaker.CLOSED


class Outward:
    """Sends what differs. The rate and the circuit of an app are shared by all of its audiences."""

    def __init__(
        self, store: CohortStore, transport: Transport, clock: Clock, rules: breaker.Rules, observer: Observer
    ) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._rules = rules
        self._observer = observer
        self._lines: dict[str, _Line] = {}

    async def all(self, work: Work, stop: asyncio.Event | None, *, overwrite: bool) -> None:
        """Send everything that differs: first who is to be removed, and what is to be taken back."""
        if overwrite:
            await self.overwrite(work, stop)
        await self.extras(work, stop)
        for action in (Action.REMOVE, Action.ADD):
            await self.send(work, action, stop)
        await self.close_suspects(work)

    async def send(self, work: Work, action: Action, stop: asyncio.Event | None) -> None:
        """Send everything that differs, each device once."""
        after = b""
        while devices := await self._store.changes(work.claim, action, work.limit, after):
            after = devices[-1].mark
            await self._batch(work, action, devices, stop)

    async def _batch(self, work: Work, action: Action, devices: Sequence[Device], stop: asyncio.Event | None) -> None:
        """Send some devices, in as many requests as it takes."""
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
                    await self._settle(work, action, part)  # what is no device is in no audience
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
        """Note a device that is refused alone. Many, and nothing else accepted: it is the audience."""
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
        """Make the audience exactly what is wanted: one request overwrites, what did not fit in it is added after."""
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
        raise Ended(Halt("nobody", "Nobody can be listed, and AppsFlyer takes no empty list."), "Overwriting")

    async def extras(self, work: Work, stop: asyncio.Event | None) -> None:
        """Tell hashed addresses and numbers, and take back those of people who are forgotten."""
        after = b""
        while found := await self._store.extras(work.claim, additional.MAX_ROWS, after):
            after = found[-1].mark
            kinds = {one.kind for one in found if one.kind in additional.KEY_TYPES}
            for kind in sorted(kinds):
                for remove in (True, False):
                    rows = [one for one in found if one.kind == kind and (one.extra == b"") is remove]
                    if rows:
                        await self._tell(work, kind, rows, stop, remove=remove)

    async def _tell(
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
        """Send one request when its turn comes, and read the answer."""
        await work.hold(stop)
        line = self._lines.setdefault(work.plan.rule.app, _Line(work.plan.limits))
        now_ms = self._clock.now_ms()
        if breaker.admission(line.circuit, now_ms) is Admission.NONE:
            after_s = (line.circuit.until_ms - now_ms) / 1000
            raise Ended(Retry(line.circuit.reason, after_s, counts=False), "The app's audiences rest")
        line.circuit = breaker.probing(line.circuit)
        line.pace, wait = take(line.pace, n, now_ms)
        if wait > 0:
            await self._clock.sleep(wait)
            work.tenure.check()
        started, status = perf_counter(), 0
        work.requests += 1
        verdict: Verdict
        try:
            response = await self._transport.send(request)
        except TransportError as problem:
            verdict = Retry("no_answer" if problem.maybe_applied else "unreachable")
        else:
            status, verdict = response.status, await read(response)
        self._judge(work, line, verdict)
        lane = Lane(work.plan.rule.app, ENDPOINT)
        reason = "" if isinstance(verdict, Accepted) else verdict.reason
        with suppress(Exception):
            told = Exchange(lane, [verdict] * n, [0.0] * n, perf_counter() - started, status, reason)
            self._observer.on_exchange(told)
        return verdict

    def _judge(self, work: Work, line: _Line, verdict: Verdict) -> None:
        """Turn the app's circuit by an answer."""
        before, now_ms = line.circuit, self._clock.now_ms()
        match verdict:
            case Halt(reason) if reason in SHARED:
                line.circuit = breaker.halted(before, verdict, now_ms, self._rules)
            case Retry(counts=True):
                line.circuit = breaker.failed(before, verdict.reason, now_ms, self._rules)
            case Retry():
                pass
            case _:
                line.circuit = breaker.succeeded(before)
        if (before.phase is Phase.CLOSED) != (line.circuit.phase is Phase.CLOSED):
            with suppress(Exception):
                self._observer.on_circuit(Lane(work.plan.rule.app, ENDPOINT), line.circuit)
