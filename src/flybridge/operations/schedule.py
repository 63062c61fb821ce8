"""Jobs by schedule, in any number of processes: reading from AppsFlyer, pulling costs, comparing counts.

What stands in the store says when a task is due. One process at a time runs it, by a lease in the store that it renews
while the task goes on; a command that does the same by hand takes the same lease. If the process is killed, another one
runs the task a quarter of an hour after it was begun, or after an hour if problems of it are worth so long a wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, contained
from flybridge.records import DAY_MS
from flybridge.store.job_runs import JobRun, note_run
from flybridge.store.lease import Lease, LeaseLost
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

T = TypeVar("T")

STATE: Final = "read "
TURN: Final = "job/"
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
    """Run each task when it is due and no other process runs it, until `stop` is set."""
    schedule = _Schedule(store, clock, failed)
    while tasks and not stop.is_set():
        try:
            await schedule.write()
            known = readable(await store.states(STATE), task_state)
            for task in tasks:
                now_ms = clock.now_ms()
                if stop.is_set() or not _is_due(task, known, now_ms):
                    continue
                if not await schedule.run(task, now_ms):
                    return
        except FlybridgeError as fault:
            failed(fault)
        await rest(stop, LOOK_S)


def turn_of(job: ScheduledJob, store: Store, clock: Clock) -> Lease:
    """Return the lease of a job, by which one process at a time does it."""
    name, holder = f"{TURN}{job.state}", uuid4().hex
    return Lease(lambda lease_ms: store.take_turn(name, holder, clock.now_ms(), lease_ms), clock)


async def run_by_hand(
    job: ScheduledJob, store: Store, clock: Clock, work: Callable[[], Coroutine[Any, Any, T]], waits: Callable[[], None]
) -> T:
    """Do what a job does, once no other process does it. `waits` is called if one does."""
    turn = turn_of(job, store, clock)
    if not await turn.take():
        waits()
        while not await turn.take():
            await clock.sleep(LOOK_S)
    return await _in_turn(turn, job, work())


async def _in_turn(turn: Lease, job: ScheduledJob, work: Coroutine[Any, Any, T]) -> T:
    """Do `work` in a turn that was taken, and give it back. Raises `FlybridgeError` if another process has it."""
    try:
        return await turn.run(work)
    except LeaseLost:
        raise FlybridgeError(f"{job.name}: the lease of this process was over, and another runs it.") from None
    finally:
        await turn.give_back()


class _Schedule:
    """Runs the tasks of one process, and notes what they did."""

    def __init__(self, store: Store, clock: Clock, failed: Callable[[FlybridgeError], None]) -> None:
        self._store, self._clock, self._failed = store, clock, failed
        self._unnoted = list[Note]()

    async def run(self, task: ScheduledTask, now_ms: int) -> bool:
        """Run a task, unless another process does or just has. Returns False if it was broken off."""
        turn = turn_of(task, self._store, self._clock)
        return not await turn.take() or await _in_turn(turn, task, self._run(task, now_ms))

    async def _run(self, task: ScheduledTask, now_ms: int) -> bool:
        # It may have been run since the states were read.
        known = readable(await self._store.states(task.state), task_state)
        if not _is_due(task, known, now_ms):
            return True
        claimed_ms = now_ms + max(CLAIM_MS, task.again_ms)
        state = structs.replace(known.get(task.state, TaskState()), next_ms=claimed_ms)
        await _note(self._store, task, state)
        result = await _result(task)
        if result is not None:
            await self._end(task, now_ms, result)
        return result is not None

    async def _end(self, task: ScheduledTask, began_ms: int, result: TaskResult) -> None:
        wait_ms = min(task.again_ms, task.every_ms) if result.problem else task.every_ms
        next_ms = began_ms + (wait_ms if result.wait_ms is None else result.wait_ms)
        ended_ms = self._clock.now_ms()
        if result.problem:
            self._failed(FlybridgeError(result.problem))
        # What the store does not take, as on a full disk, it takes later.
        self._unnoted.append(partial(_note, self._store, task, TaskState(next_ms, ended_ms, result.problem)))
        if result.did or result.problem:
            run = JobRun(began_ms, ended_ms, result.did, result.problem)
            self._unnoted.append(partial(note_run, self._store, task.name, run))
        await self.write()

    async def write(self) -> None:
        """Write what is not noted yet, and forget what was."""
        while self._unnoted:
            await self._unnoted[0]()
            del self._unnoted[0]


def _is_due(task: ScheduledTask, known: Mapping[str, TaskState], now_ms: int) -> bool:
    """Whether a task is due by the states in the store."""
    state = known.get(task.state, TaskState())
    # What is further off was noted while the clock was ahead.
    return not now_ms < state.next_ms < now_ms + task.every_ms + DAY_MS


async def _result(task: ScheduledTask) -> TaskResult | None:
    try:
        with contained(task.name):
            return await task.run()
    except FlybridgeError as fault:
        return TaskResult(problem=str(fault))


async def _note(store: Store, task: ScheduledTask, state: TaskState) -> None:
    await store.put_state(task.state, msgspec.json.encode(state))
