"""The jobs of a bridge that run by schedule: reading from AppsFlyer, pulling costs, comparing counts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from flybridge.config.settings import Config
from flybridge.operations.schedule import STATE as READ
from flybridge.operations.schedule import ReadState, ReadTask, read_state
from flybridge.operations.pull_costs import CostPull, cost_plans_of, note, standing
from flybridge.operations.reconcile_schedule import STATE as COMPARED
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.store.job_runs import JobRun, read_runs
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable
from flybridge.web.console.operations import JOBS, JobState


async def read_jobs(config: Config, store: Store, tasks: Sequence[ReadTask]) -> list[JobState]:
    """Return all jobs that the configuration asks for. `tasks` are those that read."""
    reads = readable(await store.states(READ), read_state)
    found = []
    for task in tasks:
        kind, _, app = task.name.partition(" ")
        state = reads.get(READ + task.name, ReadState())
        found.append(JobState(kind, app, JOBS[kind], task.every_ms, state.ran_ms, state.next_ms, state.problem))
    pulls = {(one.app, one.origin): one for one in await standing(store)}
    every_ms = round(config.insight.costs_every_hours * HOUR_MS)
    for plan in cost_plans_of(config):
        one = pulls.get((plan.app, plan.origin)) or CostPull(plan.app, plan.origin)
        found.append(JobState("costs", plan.app, JOBS["costs"], every_ms, one.pulled_ms, one.next_ms, one.problem))
    due = {name.removeprefix(COMPARED): ms for name, ms in readable(await store.states(COMPARED), int).items()}
    found += [
        JobState("compare", app.name, JOBS["compare"], DAY_MS, 0, due.get(app.name, 0), "") for app in config.apps
    ]
    runs = await read_runs(store)
    return [_with_runs(one, runs.get(f"{one.kind} {one.app}", ())) for one in found]


def _with_runs(one: JobState, runs: Sequence[JobRun]) -> JobState:
    newest = next((run for run in runs if not run.by), None)
    if newest is None:  # what was run by hand says nothing of the schedule
        return one
    return structs.replace(one, runs=runs, ran_ms=one.ran_ms or newest.ended_ms, problem=one.problem or newest.problem)


async def make_due(store: Store, job: JobState) -> None:
    """Let a worker run a job at once."""
    if job.kind == "costs":
        for one in await standing(store):
            if one.app == job.app:
                await note(store, structs.replace(one, next_ms=0))
    elif job.kind == "compare":
        await store.put_state(COMPARED + job.app, b"0")
    else:
        name = f"{READ}{job.kind} {job.app}"
        before = readable(await store.states(name), read_state).get(name, ReadState())
        await store.put_state(name, msgspec.json.encode(structs.replace(before, next_ms=0)))
