"""When audiences run: each at its own moment of the minute, hour or day, so that limits hold over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from flybridge.audiences.plan import Plan
from flybridge.audiences.rules import next_ms
from flybridge.audiences.run import Runner
from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.records import content_key
from flybridge.store.audiences.protocol import CohortStore, Run, Standing, Target

LOOK_S: Final = 1.0
TOLD_MS: Final = 5_000
PRUNE_MS: Final = 3_600_000
AT_ONCE: Final = 8
"""Audiences that run at the same time in one process."""

Name = tuple[str, str]


def targets(plans: Mapping[Name, Plan], now_ms: int) -> list[Target]:
    """Return the audiences as the store is to know them."""
    return [
        Target(app, name, plan.rule.cohort, _target(plan), next_ms(app, name, plan.cadence, now_ms))
        for (app, name), plan in plans.items()
    ]


def _target(plan: Plan) -> bytes:
    return content_key(b"audience", plan.audience.app_id.encode(), plan.audience.import_key.encode())


async def keep_in_step(
    runner: Runner,
    store: CohortStore,
    plans: Mapping[Name, Plan],
    *,
    clock: Clock,
    stop: asyncio.Event,
    ran: Callable[[str, str, Run], None],
    standing: Callable[[Sequence[Standing]], None],
    failed: Callable[[FlybridgeError], None],
) -> None:
    """Run what is due until `stop` is set; then runs end at their next request. Told: every run, and how all stand."""
    running: dict[Name, asyncio.Task[None]] = {}
    known, told_ms, pruned_ms = False, 0, 0

    async def work(name: Name) -> None:
        try:
            run = await runner.run(plans[name], stop=stop, due=True)
        except FlybridgeError as problem:
            failed(problem)
            await clock.sleep(LOOK_S)
        else:
            if run is not None:
                ran(*name, run)

    while plans and not stop.is_set():
        now_ms = clock.now_ms()
        try:
            if not known:
                await store.keep(targets(plans, now_ms))
                known = True
            for one in await store.due(now_ms):
                name = (one.app, one.name)
                running = {other: task for other, task in running.items() if not task.done()}
                if name in plans and name not in running and len(running) < AT_ONCE:
                    running[name] = asyncio.create_task(work(name))
            if now_ms - told_ms >= TOLD_MS:
                standing(await store.standings(now_ms))
                told_ms = now_ms
            if now_ms - pruned_ms >= PRUNE_MS:
                await store.prune(now_ms)
                pruned_ms = now_ms
        except FlybridgeError as problem:
            failed(problem)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_S)
    await asyncio.gather(*running.values(), return_exceptions=True)
