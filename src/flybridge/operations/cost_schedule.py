"""Pulls costs by schedule, in any number of processes.

What stands in the store says when an app is due. A process that begins a pull moves that on at once, so that others
rarely do the same; two pulls at once would cost a quota and change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import structs

from flybridge.appsflyer.report import ReportRefused
from flybridge.clock import Clock, rest
from flybridge.delivery.exchange import Download
from flybridge.errors import FlybridgeError, contained
from flybridge.operations.pull_costs import CORRECTED_DAYS, CostPlan, CostPull, note, pull, standing
from flybridge.store.job_runs import JobRun, note_run
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store

LOOK_S: Final = 5.0
CLAIM_MS: Final = 900_000
AGAIN_MS: Final = 3_600_000
"""After a refusal that names no time, and after one that does, if that is sooner: a quota may be one of the day."""


async def keep_pulling(
    plans: Sequence[CostPlan],
    store: Store,
    download: Download,
    *,
    today: Callable[[str, int], int],
    every_ms: int,
    clock: Clock,
    stop: asyncio.Event,
    pulled: Callable[[str, str, int], None],
    failed: Callable[[FlybridgeError], None],
) -> None:
    """Pull the costs of each plan every so often until `stop` is set. `today` gives the day in an app's zone.

    A refusal is kept for `flybridge costs status`, and reported through `failed`.
    """

    async def pull_one(plan: CostPlan, before: CostPull, began_ms: int) -> None:
        job, last = f"costs {plan.app}", today(plan.app, began_ms)
        try:
            with contained(job):
                done = await pull(plan, store, download, first=last - CORRECTED_DAYS + 1, last=last, now_ms=began_ms)
        except FlybridgeError as problem:
            again_s = problem.again_s if isinstance(problem, ReportRefused) else 60.0
            wait_ms = every_ms if again_s is None else max(round(again_s * 1000), min(AGAIN_MS, every_ms))
            await note(store, structs.replace(before, problem=str(problem), next_ms=began_ms + wait_ms))
            await note_run(store, job, JobRun(began_ms, clock.now_ms(), problem=str(problem)))
            raise
        await note(store, structs.replace(done, next_ms=began_ms + every_ms))
        did = f"{done.rows:,} rows of costs, {date_of(done.first)} to {date_of(done.last)}."
        await note_run(store, job, JobRun(began_ms, clock.now_ms(), did))
        pulled(done.app, done.origin, done.rows)

    while plans and not stop.is_set():
        try:
            known = {(one.app, one.origin): one for one in await standing(store)}
            for plan in plans:
                one = known.get((plan.app, plan.origin)) or CostPull(plan.app, plan.origin)
                now_ms = clock.now_ms()
                if now_ms < min(one.next_ms, now_ms + every_ms) or stop.is_set():
                    continue
                await note(store, structs.replace(one, next_ms=now_ms + CLAIM_MS))
                await pull_one(plan, one, now_ms)
        except FlybridgeError as problem:
            failed(problem)
        await rest(stop, LOOK_S)
