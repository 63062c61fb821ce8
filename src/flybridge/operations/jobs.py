"""The jobs of a bridge that run by schedule: reading from AppsFlyer, pulling costs, comparing counts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from flybridge.config.settings import Config
from flybridge.operations.schedule import STATE, ScheduledJob, TaskState, task_state
from flybridge.records import DAY_MS
from flybridge.store.job_runs import JobRun, read_runs
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable
from flybridge.web.console.operations import JOBS, JobState


async def read_jobs(config: Config, store: Store, tasks: Sequence[ScheduledJob]) -> list[JobState]:
    """Return all jobs that the configuration asks for. `tasks` are those that read, and that pull costs."""
    states, runs = readable(await store.states(STATE), task_state), await read_runs(store)
    found = []
    for one in (*tasks, *(ScheduledJob(f"compare {app.name}", DAY_MS) for app in config.apps)):
        kind, _, app_name = one.name.partition(" ")
        state = states.get(one.state, TaskState())
        job = JobState(kind, app_name, JOBS[kind], one.every_ms, state.ran_ms, state.next_ms, state.problem)
        found.append(_with_runs(job, runs.get(one.name, ())))
    return found


def _with_runs(one: JobState, runs: Sequence[JobRun]) -> JobState:
    newest = next((run for run in runs if not run.by), None)
    if newest is None:  # what was run by hand says nothing of the schedule
        return one
    return structs.replace(one, runs=runs, ran_ms=one.ran_ms or newest.ended_ms, problem=one.problem or newest.problem)


async def make_due(store: Store, job: JobState) -> None:
    """Let a worker run a job at once, all parts of it."""
    name = f"{STATE}{job.kind} {job.app}"
    for state, known in readable(await store.states(name), task_state).items():
        if f"{state} ".startswith(f"{name} "):  # not of an app whose name begins so
            await store.put_state(state, msgspec.json.encode(structs.replace(known, next_ms=0)))
