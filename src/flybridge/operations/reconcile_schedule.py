"""Compares the counts of all apps once a day and finds what is worth a look, in any number of processes.

What stands in the store says when an app is due. A process that begins moves that on at once, so that others rarely do
the same; two comparisons at once would cost a vendor's budget and change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, contained
from flybridge.insight.cohort_comparison import CohortComparison
from flybridge.insight.comparison import DayComparison
from flybridge.insight.performance import AppScope
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.find import find_and_keep
from flybridge.operations.reconcile import Reconciler
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.store.job_runs import JobRun, note_run
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

T = TypeVar("T")

LOOK_S: Final = 5.0
AGAIN_MS: Final = HOUR_MS
"""After a failure of the store or a vendor."""
AFTER_MIDNIGHT_MS: Final = 3 * HOUR_MS
"""How long after the end of a day it is compared first: late messages have come, and AppsFlyer has counted."""
STATE: Final = "reconcile/"


async def keep_reconciling(
    plans: Sequence[ReconcilePlan],
    store: Store,
    reconciler: Reconciler,
    cohorts: CohortComparer,
    *,
    days: int,
    scopes: Callable[[int], Sequence[AppScope]],
    clock: Clock,
    stop: asyncio.Event,
    failed: Callable[[FlybridgeError], None],
    compared: Callable[[str, Sequence[DayComparison]], None] = lambda *_: None,
    compared_cohorts: Callable[[str, Sequence[CohortComparison]], None] = lambda *_: None,
) -> None:
    """Compare the last `days` days of each app once a day until `stop` is set, some hours after its midnight.

    `compared` and `compared_cohorts` are called with what was found. Apps without a vendor to ask, and all with 0 days,
    are not compared; what is worth a look is found in all. What AppsFlyer's Cohort API refuses is noted as the run's
    problem, and asked again the next day.
    """

    async def compare(plan: ReconcilePlan, last: int) -> tuple[str, str]:
        """Ask the vendors. Return what was compared and the problem that was met; either may be empty."""
        did, problem = "", ""
        if plan.asks and days:
            work = await reconciler.run(plan, last - days + 1, last)
            compared(plan.app, work)
            did = f"{len(work)} days compared, "
        if plan.chosen.reconcile_by_cohorts and plan.account and days:
            cohorts_of = await cohorts.run(plan, await cohorts.due(plan, last))
            compared_cohorts(plan.app, cohorts_of)
            problem = next((note for one in cohorts_of for note in one.notes), "")
            answered = sum(not one.notes for one in cohorts_of)
            did += f"cohorts of {answered} day{'' if answered == 1 else 's'}, "
        return did, problem

    while not stop.is_set():
        try:
            due = {name.removeprefix(STATE): ms for name, ms in readable(await store.states(STATE), int).items()}
            for plan in plans:
                now_ms = clock.now_ms()
                if stop.is_set() or now_ms < min(due.get(plan.app, 0), now_ms + DAY_MS + AFTER_MIDNIGHT_MS):
                    continue
                await _put(store, plan, now_ms + AGAIN_MS)
                last = plan.day_of(now_ms - AFTER_MIDNIGHT_MS) - 1
                try:
                    with contained(f"compare {plan.app}"):
                        done = await _until(stop, compare(plan, last))
                        if done is None:
                            return
                        (scope,) = [scope for scope in scopes(now_ms) if scope.name == plan.app]
                        worth = await find_and_keep(store, scope, now_ms)
                except FlybridgeError as failure:
                    await _note(store, plan, JobRun(now_ms, clock.now_ms(), problem=str(failure)))
                    raise
                did, problem = done
                await _put(store, plan, _next_ms(plan, now_ms))
                did = f"{did or 'no days compared, '}{len(worth)} findings."
                await _note(store, plan, JobRun(now_ms, clock.now_ms(), did, problem))
        except FlybridgeError as failure:
            failed(failure)
        await rest(stop, LOOK_S)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work`, and break it off when `stop` is set: it may be waiting for a vendor. Returns None then."""
    running, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        running.cancel()
        await asyncio.wait({running})
        return None
    return running.result()


async def _put(store: Store, plan: ReconcilePlan, due_ms: int) -> None:
    await store.put_state(f"{STATE}{plan.app}", str(due_ms).encode())


async def _note(store: Store, plan: ReconcilePlan, run: JobRun) -> None:
    await note_run(store, f"compare {plan.app}", run)


def _next_ms(plan: ReconcilePlan, now_ms: int) -> int:
    """Return when the next day of the app can be compared, to the quarter of an hour."""
    day, moment = plan.day_of(now_ms - AFTER_MIDNIGHT_MS), now_ms
    while plan.day_of(moment - AFTER_MIDNIGHT_MS) == day:
        moment += HOUR_MS // 4
    return moment
