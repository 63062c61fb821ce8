"""The schedule of audiences: each runs at its own moment of the period, so that they do not all run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import structs

from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.rules import next_ms
from flybridge.audiences.run import Runner
from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, contained
from flybridge.records import content_key
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Run, Standing, Target

LOOK_S: Final = 1.0
REPORT_MS: Final = 5_000
PRUNE_MS: Final = 3_600_000
AT_ONCE: Final = 8
"""Audiences that run at the same time in one process."""

Name = tuple[str, str]


def targets(plans: Mapping[Name, AudiencePlan], now_ms: int, at_once: Collection[Name] = ()) -> list[Target]:
    """Return the audiences as targets for the store. Those in `at_once` are due now."""
    return [
        Target(
            app,
            name,
            plan.rule.settings.cohort,
            content_key(b"audience", plan.audience.account.app_id.encode(), plan.audience.import_key.encode()),
            now_ms if (app, name) in at_once else next_ms(app, name, plan.cadence, now_ms),
        )
        for (app, name), plan in plans.items()
    ]


async def with_keys(store: CohortStore, plans: Mapping[Name, AudiencePlan]) -> dict[Name, AudiencePlan]:
    """Return plans with the import keys that the store keeps, where none is configured."""
    if all(plan.audience.import_key for plan in plans.values()):
        return dict(plans)
    kept = await store.import_keys()
    return {
        name: plan
        if plan.audience.import_key or name not in kept
        else structs.replace(plan, audience=structs.replace(plan.audience, import_key=kept[name]))
        for name, plan in plans.items()
    }


async def register(
    store: CohortStore, plans: Mapping[Name, AudiencePlan], now_ms: int, at_once: Collection[Name] = ()
) -> dict[Name, AudiencePlan]:
    """Register audiences in the store, those in `at_once` as due now. Returns their plans with the kept import keys.

    An audience under another key is another one to AppsFlyer, and begins anew.
    """
    known = await with_keys(store, plans)
    await store.keep(targets(known, now_ms, at_once))
    return known


async def _is_stopped(store: CohortStore, app: str, name: str) -> bool:
    return any(run.outcome == "stopped" for _, _, run in await store.history(app, name, limit=1))


async def keep_in_step(
    runner: Runner,
    store: CohortStore,
    plans: Mapping[Name, AudiencePlan],
    *,
    clock: Clock,
    confirmed: Clock,
    stop: asyncio.Event,
    ran: Callable[[str, str, Run], None],
    standing: Callable[[Sequence[Standing], Collection[Name]], None],
    failed: Callable[[FlybridgeError], None],
) -> None:
    """Run due audiences until `stop` is set; running ones then end at their next request.

    Reports every run, and periodically standings and what has stopped, through the callbacks. `confirmed` tells the
    time by which data expires.
    """
    running: dict[Name, asyncio.Task[None]] = {}
    known, reported_ms, pruned_ms = False, 0, 0

    async def work(name: Name) -> None:
        try:
            with contained(f"audience {name[1]} of {name[0]}"):
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
                # This process has read the configuration anew: what an operator had to mend may be mended.
                stopped = [name for name in plans if await _is_stopped(store, *name)]
                await register(store, plans, now_ms, stopped)
                known = True
            for one in await store.due(now_ms):
                name = (one.app, one.name)
                running = {other: task for other, task in running.items() if not task.done()}
                if name in plans and name not in running and len(running) < AT_ONCE:
                    running[name] = asyncio.create_task(work(name))
            if now_ms - reported_ms >= REPORT_MS:
                standing(await store.standings(now_ms), {name for name in plans if await _is_stopped(store, *name)})
                reported_ms = now_ms
            if now_ms - pruned_ms >= PRUNE_MS:
                await store.prune(confirmed.now_ms())
                pruned_ms = now_ms
        except FlybridgeError as problem:
            failed(problem)
        await rest(stop, LOOK_S)
    await asyncio.gather(*running.values(), return_exceptions=True)
