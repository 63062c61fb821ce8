"""Jobs by schedule, in any number of processes: reading from AppsFlyer, pulling costs, comparing counts.

What stands in the store says when a task is due. A process that begins one moves that on at once, so that others rarely
do the same; twice at once costs a quota and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct, structs

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, contained
from flybridge.records import DAY_MS
from flybridge.store.job_runs import JobRun, note_run
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "read "
LOOK_S: Final = 2.0
CLAIM_MS: Final = 900_000
AGAIN_MS: Final = 600_000

Note = Callable[[], Awaitable[None]]
"""Writes something to the store."""


class TaskResult(Struct, frozen=True):
    """What a task did, as a sentence with its numbers, and the problem that it has met; either may be empty.

    `wait_ms` is after how long the task is due again, if not as it usually is.
    """

    did: str = ""
    problem: str = ""
    wait_ms: int | None = None


class ScheduledJob(Struct, frozen=True):
    """What is done every so often: `name` is its kind and its app. `part` tells it from others of that name."""

    name: str
    every_ms: int
    part: str = ""

    @property
    def state(self) -> str:
        """The name of its state in the store."""
        return f"{STATE}{self.name} {self.part}".rstrip()


class ScheduledTask(ScheduledJob, frozen=True, kw_only=True):
    """A job with what it does. A run with nothing to say is not kept in the job's history.

    `run` returns None if it was broken off because the process ends. After a problem the task is due again `again_ms`
    later, or as usual if that is sooner.
    """

    run: Callable[[], Awaitable[TaskResult | None]]
    again_ms: int = AGAIN_MS


class TaskState(Struct, frozen=True):
    """When a task is due, and what went wrong the last time."""

    next_ms: int = 0
    ran_ms: int = 0
    problem: str = ""


task_state: Final = msgspec.json.Decoder(TaskState).decode


async def keep_running(
    tasks: Sequence[ScheduledTask],
    store: Store,
    *,
    clock: Clock,
    stop: asyncio.Event,
    failed: Callable[[FlybridgeError], None],
) -> None:
    """Run each task when it is due, until `stop` is set."""
    unnoted = list[Note]()
    while tasks and not stop.is_set():
        try:
            await _write(unnoted)
            known = readable(await store.states(STATE), task_state)
            for task in tasks:
                state, now_ms = known.get(task.state, TaskState()), clock.now_ms()
                # What is further off was noted while the clock was ahead.
                if stop.is_set() or now_ms < state.next_ms < now_ms + task.every_ms + DAY_MS:
                    continue
                await _note(store, task, structs.replace(state, next_ms=now_ms + max(CLAIM_MS, task.again_ms)))
                result = await _result(task)
                if result is None:
                    return
                wait_ms = min(task.again_ms, task.every_ms) if result.problem else task.every_ms
                next_ms = now_ms + (wait_ms if result.wait_ms is None else result.wait_ms)
                ended_ms = clock.now_ms()
                if result.problem:
                    failed(FlybridgeError(result.problem))
                # What the store does not take, as on a full disk, it takes later.
                unnoted.append(partial(_note, store, task, TaskState(next_ms, ended_ms, result.problem)))
                if result.did or result.problem:
                    run = JobRun(now_ms, ended_ms, result.did, result.problem)
                    unnoted.append(partial(note_run, store, task.name, run))
                await _write(unnoted)
        except FlybridgeError as fault:
            failed(fault)
        await rest(stop, LOOK_S)


async def _write(unnoted: list[Note]) -> None:
    """Write what is not noted yet, and forget what was."""
    while unnoted:
        await unnoted[0]()
        del unnoted[0]


async def _result(task: ScheduledTask) -> TaskResult | None:
    try:
        with contained(task.name):
            return await task.run()
    except FlybridgeError as fault:
        return TaskResult(problem=str(fault))


async def _note(store: Store, task: ScheduledTask, state: TaskState) -> None:
    await store.put_state(task.state, msgspec.json.encode(state))
