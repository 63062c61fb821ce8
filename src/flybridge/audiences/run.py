"""One run of an audience: download the cohort if it is downloaded, then send what differs until nothing does.

    inward:  request -> poll -> file (in pieces) -> staged -> taken over as a whole, unless the shrink guard holds it
    outward: what is to be removed, then what is to be added, in batches of as many devices as AppsFlyer takes

There is no queue and no retry in here. A run that can't go on ends and says when to run again; what was sent is
settled, what was not differs still, and what nobody knows is sent again. `lifecycle` gives the wait, `pace` the rate,
`circuit` says when an app's audiences rest. A download that fails does not keep a run from sending what is known
already: people who want to be forgotten do not wait for Amplitude.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from uuid import uuid4

from msgspec import structs

from flybridge.audiences.download import Inward
from flybridge.audiences.lease import LEASE_MS, Lost, Tenure
from flybridge.audiences.plan import Ended, Plan, Wishes, Work
from flybridge.audiences.rules import REALTIME_PEOPLE, next_ms
from flybridge.audiences.sync import Outward
from flybridge.clock import Clock
from flybridge.delivery.circuit import Rules
from flybridge.delivery.exchange import Download, Halt, Retry, Transport
from flybridge.delivery.lifecycle import Policy, wait_s
from flybridge.delivery.observer import Observer, Silent
from flybridge.identity import Keyring
from flybridge.store.audiences.protocol import Action, CohortStore, Run


class Runner:
    """Runs audiences. One per process: rates and circuits are shared by all of its runs."""

    def __init__(
        self,
        store: CohortStore,
        transport: Transport,
        download: Download,
        clock: Clock,
        keyring: Keyring,
        *,
        policy: Policy | None = None,
        rules: Rules | None = None,
        observer: Observer | None = None,
        owner: str = "",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._inward = Inward(store, transport, download, clock, keyring)
        self._outward = Outward(store, transport, clock, rules or Rules(), observer or Silent())
        self._policy = policy or Policy(cap_s=3600.0)
        self._owner = owner or f"cohorts-{uuid4().hex}"
        self._jitter = jitter

    async def run(
        self,
        plan: Plan,
        wishes: Wishes = Wishes(),  # noqa: B008 - never changed
        stop: asyncio.Event | None = None,
        *,
        due: bool = False,
    ) -> Run | None:
        """Run an audience once. None if somebody else runs it, took it over meanwhile, or (`due`) was faster.

        Raises `StoreUnavailable`; the audience is then free again when its lease lapses.
        """
        began_ms = self._clock.now_ms()
        claim = await self._store.claim(plan.rule.app, plan.rule.audience, self._owner, began_ms, LEASE_MS, due=due)
        if claim is None:
            return None
        work = Work(plan, claim, began_ms, Tenure(self._store, self._clock, claim))
        try:
            async with work.tenure:
                ended = await self._go(work, wishes, stop)
                await work.tenure.confirm()  # what is told about a run that was lost would not be true
        except Lost:
            return None
        finally:
            await self._store.unstage(claim)
        run = self._ended(work, ended)
        if wishes.dry:
            looked = structs.replace(run[0], outcome="looked")
            await self._store.finish(claim, looked, next_ms=claim.next_ms, tries=claim.tries, recorded=False)
            return run[0]
        told, again_ms, tries = run
        idle = told.outcome == "done" and plan.account is None and not (told.requests or told.refused)
        await self._store.finish(claim, told, next_ms=again_ms, tries=tries, recorded=not idle)
        return told

    async def _go(self, work: Work, wishes: Wishes, stop: asyncio.Event | None) -> Ended | None:
        """Download and send. Gives why it could not go on, None if it came to its end."""
        plan, ended = work.plan, None
        try:
            if plan.account is not None and (plan.cadence != "once" or wishes.download or not work.claim.snapshot_ms):
                try:
                    await self._inward.take_over(work, plan.account, wishes, stop)
                except Ended as problem:
                    ended = problem
            if not wishes.dry:
                await self._outward.all(work, stop, overwrite=wishes.overwrite)
        except Ended as problem:
            ended = problem
        return ended

    def _ended(self, work: Work, ended: Ended | None) -> tuple[Run, int, int]:
        """Return what happened, when to run again, and how many runs have failed in a row."""
        now_ms, plan = self._clock.now_ms(), work.plan
        run = Run(
            began_ms=work.began_ms,
            ended_ms=now_ms,
            rows=work.applied.rows,
            joined=work.applied.joined,
            left=work.applied.left,
            added=work.sent[Action.ADD],
            removed=work.sent[Action.REMOVE],
            refused=work.refused,
            extras=work.extras,
            requests=work.requests,
        )
        cadence = plan.cadence
        if cadence == "realtime" and work.claim.people > REALTIME_PEOPLE:
            cadence = "hourly"
            run = structs.replace(run, detail=f"More than {REALTIME_PEOPLE:,} people: run each hour instead.")
        regular_ms = next_ms(plan.rule.app, plan.rule.audience, cadence, now_ms)
        again_ms, tries = regular_ms, 0
        if work.applied.held:
            detail = (
                f"The cohort would remove {work.applied.held} of {work.claim.people} people, more than "
                f"{plan.max_shrink:.0%}. Nothing was taken over. If that is right: run it with --accept-shrink."
            )
            run = structs.replace(run, outcome="held", reason="shrink_guard", detail=detail)
        match ended.verdict if ended is not None else None:
            case Halt(reason, remedy, after_s):
                assert ended is not None
                run = structs.replace(run, outcome="stopped", reason=reason, detail=f"{ended.stage}: {remedy}")
                again_ms, tries = now_ms + round(after_s * 1000), work.claim.tries + 1
            case Retry() as retry:
                assert ended is not None
                tries = work.claim.tries + 1
                wait_ms = round(wait_s(retry, tries, self._jitter(), self._policy) * 1000)
                again_ms = now_ms + wait_ms
                detail = f"{ended.stage}: it is tried again in {wait_ms / 1000:.0f} s."
                run = structs.replace(run, outcome="failed", reason=retry.reason, detail=detail)
            case _:
                pass
        return run, again_ms, tries
