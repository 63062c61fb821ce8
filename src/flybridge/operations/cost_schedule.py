"""The tasks that pull costs, as a schedule runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import structs

from flybridge.appsflyer.report import ReportRefused
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download
from flybridge.errors import FlybridgeError, contained
from flybridge.operations.pull_costs import CORRECTED_DAYS, CostPlan, CostPull, note, pull, standing
from flybridge.operations.schedule import ScheduledTask, TaskResult
from flybridge.records import HOUR_MS
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.system.counted import plural


def cost_tasks(
    plans: Sequence[CostPlan],
    store: Store,
    download: Download,
    clock: Clock,
    pulled: Callable[[str, str, int], None] = lambda *_: None,
) -> list[ScheduledTask]:
    """Return a task for each plan. What it is refused is kept for `flybridge costs status`, too."""

    async def run(plan: CostPlan) -> TaskResult:
        now_ms = clock.now_ms()
        last = plan.insight.day(now_ms)
        try:
            with contained(f"costs {plan.app}"):
                done = await pull(plan, store, download, first=last - CORRECTED_DAYS + 1, last=last, now_ms=now_ms)
        except FlybridgeError as problem:
            known = {(one.app, one.origin): one for one in await standing(store)}
            before = known.get((plan.app, plan.origin)) or CostPull(plan.app, plan.origin)
            await note(store, structs.replace(before, problem=str(problem)))
            wait_ms = None
            if isinstance(problem, ReportRefused):
                wait_ms = plan.every_ms
                if problem.again_s is not None:
                    # A quota may be one of the day, even if it is said to be over sooner.
                    wait_ms = max(round(problem.again_s * 1000), min(HOUR_MS, plan.every_ms))
            return TaskResult(problem=str(problem), wait_ms=wait_ms)
        pulled(done.app, done.origin, done.rows)
        return TaskResult(f"{plural(done.rows, 'row')} of costs, {date_of(done.first)} to {date_of(done.last)}.")

    return [
        ScheduledTask(f"costs {plan.app}", plan.every_ms, plan.origin, run=partial(run, plan), again_ms=HOUR_MS)
        for plan in plans
    ]
