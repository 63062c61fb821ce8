"""One run of an audience: download the cohort, then send the differences.

    download: request -> poll -> file (in pieces) -> stage -> applied as a whole, unless the shrink guard holds it
    sync:     removals, then additions, in batches of as many devices as AppsFlyer takes

A run does not retry and has no queue. If it can't continue it ends and sets when to run again: what was sent is
settled, what was not sent still differs, and what is uncertain is sent again. A failed download does not stop the
sync: removals of people who asked to be forgotten do not wait for Amplitude.

The lease of a run is renewed before each request and each piece of a file, too. A request that was sent until its loss
was noticed may be repeated by the new owner, which is harmless: adding and removing are idempotent at AppsFlyer, and
what a former owner settles changes nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from msgspec import structs

from flybridge.audiences.download import CohortDownload
from flybridge.audiences.plan import AudiencePlan, Ended, RunOptions, Work
from flybridge.audiences.rules import REALTIME_PEOPLE, next_ms
from flybridge.audiences.sync import AudienceSync
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download, Halt, Retry, Transport
from flybridge.delivery.lifecycle import RetryPolicy, wait_s
from flybridge.delivery.observer import Observer, Silent
from flybridge.identity import Keyring
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Action, Run
from flybridge.store.lease import LEASE_MS, Lease, LeaseLost

NO_KEY: Final = Halt(
    "no_import_key", "Create the audience with `flybridge cohorts create`, or set apps.audiences.import_key.", 0.0
)
POLICY: Final = RetryPolicy(cap_s=3600.0)
PAID_TRIES: Final = 3
"""After this many failures in a row, a run that has used up a download of the month waits for the cadence."""


class Runner:
    """Runs audiences. One per process: its runs share rates and circuits."""

    def __init__(
        self,
        store: CohortStore,
        transport: Transport,
        download: Download,
        clock: Clock,
        keyring: Keyring,
        *,
        observer: Observer | None = None,
        owner: str = "",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._download = CohortDownload(store, transport, download, clock, keyring)
        self._sync = AudienceSync(store, transport, clock, observer or Silent())
        self._owner = owner or f"cohorts-{uuid4().hex}"
        self._jitter = jitter

    async def run(
        self,
        plan: AudiencePlan,
        options: RunOptions = RunOptions(),  # noqa: B008 - immutable
        stop: asyncio.Event | None = None,
        *,
        due: bool = False,
    ) -> Run | None:
        """Run an audience once. Returns None if another process runs it or (`due`) has just run it.

        Raises `StoreUnavailable`; the audience is free again when its lease lapses.
        """
        began_ms = self._clock.now_ms()
        claim = await self._store.claim(plan.rule.app, plan.rule.audience, self._owner, began_ms, LEASE_MS, due=due)
        if claim is None:
            return None
        lease = Lease(lambda lease_ms: self._store.renew(claim, self._clock.now_ms(), lease_ms), self._clock)
        work = Work(plan, options, claim, began_ms, lease, stop, due)
        try:
            async with work.lease.renewed():
                ended = await self._go(work)
                await work.lease.confirm()  # a run that lost its lease must not be recorded
        except LeaseLost:
            return None
        finally:
            await self._store.unstage(claim)
        if plan.cadence == "once" and not options.dry:
            work.extras_due_ms = await self._store.extras_due(claim)
        run = self._ended(work, ended)
        if options.dry:
            looked = structs.replace(run[0], outcome="looked")
            await self._store.finish(claim, looked, next_ms=claim.next_ms, tries=claim.tries, recorded=False)
            return run[0]
        result, again_ms, tries = run
        idle = result.outcome == "done" and plan.credentials is None and not (result.requests or result.refused)
        await self._store.finish(claim, result, next_ms=again_ms, tries=tries, recorded=not idle)
        return result

    async def _go(self, work: Work) -> Ended | None:
        """Download and sync. Returns why the run ended early, None if it did not."""
        plan, options, ended = work.plan, work.options, None
        if not plan.audience.import_key:
            key = (await self._store.import_keys()).get((plan.rule.app, plan.rule.audience), "")
            work.plan = plan = structs.replace(plan, audience=structs.replace(plan.audience, import_key=key))
        if not plan.audience.import_key and not options.dry:
            return Ended(NO_KEY, "AppsFlyer")
        try:
            if plan.credentials is not None and self._downloads(work):
                try:
                    await self._download.take_over(work, plan.credentials)
                except Ended as problem:
                    ended = problem
            if not options.dry:
                await self._sync.all(work)
        except Ended as problem:
            ended = problem
        return ended

    def _downloads(self, work: Work) -> bool:
        """Whether this run downloads the cohort.

        What was applied in this period is not downloaded again because the sync after it failed.
        """
        plan, options, claim = work.plan, work.options, work.claim
        if options.download or options.dry or options.accept_shrink or claim.request_id or not claim.snapshot_ms:
            return True
        if plan.cadence == "once":
            return False
        # A snapshot stands for the second before its run began.
        period_ends_ms = next_ms(plan.rule.app, plan.rule.audience, plan.cadence, claim.snapshot_ms + 2000)
        return work.began_ms >= period_ends_ms or not (work.scheduled or claim.tries)

    def _ended(self, work: Work, ended: Ended | None) -> tuple[Run, int, int]:
        """Return the run as recorded, when to run again, and how many runs have failed in a row."""
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
        cadence, settings = plan.cadence, plan.rule.settings
        if cadence == "realtime" and work.claim.people > REALTIME_PEOPLE:
            cadence = "hourly"
            run = structs.replace(run, detail=f"More than {REALTIME_PEOPLE:,} people: run each hour instead.")
        regular_ms = min(next_ms(plan.rule.app, plan.rule.audience, cadence, now_ms), work.extras_due_ms)
        again_ms, tries = regular_ms, 0
        if work.applied.held:
            detail = (
                f"The cohort would remove {work.applied.held} of {work.applied.held_of} people, more than "
                f"{settings.max_shrink_percent:.0f}%. Nothing was taken over. If that is right: run it with "
                "--accept-shrink."
            )
            run = structs.replace(run, outcome="held", reason="shrink_guard", detail=detail)
        if work.incomplete:
            detail = (
                f"The file holds {work.rows:,} members and Amplitude lists {work.size:,}: more than "
                f"{settings.max_missing_percent:.0f}% are missing. Nothing was taken over. If that is right: run it "
                "with --accept-shrink."
            )
            run = structs.replace(run, outcome="held", reason="incomplete_file", detail=detail)
        if work.usage is not None and not run.detail:
            run = structs.replace(run, detail=str(work.usage))
        match ended.verdict if ended is not None else None:
            case Halt(reason, remedy, after_s):
                assert ended is not None
                run = structs.replace(run, outcome="stopped", reason=reason, detail=f"{ended.stage}: {remedy}")
                # What an operator has to mend is not tried again before its time; a restart tries at once.
                again_ms, tries = max(regular_ms, now_ms + round(after_s * 1000)), work.claim.tries + 1
            case Retry() as retry:
                assert ended is not None
                tries = work.claim.tries + 1
                wait_ms = round(wait_s(retry, tries, self._jitter(), POLICY) * 1000)
                again_ms = now_ms + wait_ms
                if work.requested and tries > PAID_TRIES:
                    again_ms = max(again_ms, regular_ms)
                detail = f"{ended.stage.removesuffix('.')}: tried again in {(again_ms - now_ms) / 1000:.0f} s."
                run = structs.replace(run, outcome="failed", reason=retry.reason, detail=detail)
            case _:
                pass
        return run, again_ms, tries
