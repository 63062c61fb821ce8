"""The tasks that compare the counts of each app once a day and find what is worth a look, as a schedule runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from flybridge.clock import Clock
from flybridge.insight.cohort_comparison import CohortComparison
from flybridge.insight.comparison import DayComparison
from flybridge.insight.performance import AppScope
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.find import find_and_keep
from flybridge.operations.reconcile import Reconciler
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.operations.schedule import ScheduledTask, TaskResult
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.store.protocol import Store
from flybridge.system.counted import plural

T = TypeVar("T")

AFTER_MIDNIGHT_MS: Final = 3 * HOUR_MS
"""How long after the end of a day it is compared first: late messages have come, and AppsFlyer has counted."""


def compare_tasks(
    plans: Sequence[ReconcilePlan],
    store: Store,
    reconciler: Reconciler,
    cohorts: CohortComparer,
    *,
    days: int,
    scopes: Callable[[int], Sequence[AppScope]],
    clock: Clock,
    stop: asyncio.Event,
    compared: Callable[[str, Sequence[DayComparison]], None] = lambda *_: None,
    compared_cohorts: Callable[[str, Sequence[CohortComparison]], None] = lambda *_: None,
) -> list[ScheduledTask]:
    """Return a task for each app, due some hours after its midnight. It compares the last `days` days.

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
            did = f"{plural(len(work), 'day')} compared, "
        if plan.chosen.reconcile_by_cohorts and plan.account and days:
            cohorts_of = await cohorts.run(plan, await cohorts.due(plan, last))
            compared_cohorts(plan.app, cohorts_of)
            problem = next((note for one in cohorts_of for note in one.notes), "")
            answered = sum(not one.notes for one in cohorts_of)
            did += f"cohorts of {plural(answered, 'day')}, "
        return did, problem

    async def run(plan: ReconcilePlan) -> TaskResult | None:
        now_ms = clock.now_ms()
        done = await _until(stop, compare(plan, plan.insight.day(now_ms - AFTER_MIDNIGHT_MS) - 1))
        if done is None:
            return None
        did, problem = done
        (scope,) = [scope for scope in scopes(now_ms) if scope.name == plan.app]
        worth = await find_and_keep(store, scope, now_ms)
        return TaskResult(
            f"{did or 'no days compared, '}{plural(len(worth), 'finding')}.", problem, _next_ms(plan, now_ms) - now_ms
        )

    return [ScheduledTask(f"compare {plan.app}", DAY_MS, run=partial(run, plan), again_ms=HOUR_MS) for plan in plans]


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


def _next_ms(plan: ReconcilePlan, now_ms: int) -> int:
    """Return when the next day of the app can be compared, to the quarter of an hour."""
    day, moment = plan.insight.day(now_ms - AFTER_MIDNIGHT_MS), now_ms
    while plan.insight.day(moment - AFTER_MIDNIGHT_MS) == day:
        moment += HOUR_MS // 4
    return moment
