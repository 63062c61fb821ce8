"""Reads by schedule, in any number of processes: pulls, Data Lockers, and the daily search for gaps.

What stands in the store says when a task is due. A process that begins one moves that on at once, so that others rarely
do the same; twice at once costs a quota and changes nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, contained
from flybridge.store.job_runs import JobRun, note_run
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "read "
LOOK_S: Final = 2.0
CLAIM_MS: Final = 900_000
AGAIN_MS: Final = 600_000


class TaskResult(Struct, frozen=True):
    """What a task did, as a sentence with its numbers, and the problem that it has met; either may be empty."""

    did: str = ""
    problem: str = ""


class ReadTask(Struct, frozen=True):
    """Something that is done every so often. A run with nothing to say is not kept in the job's history."""

    name: str
    every_ms: int
    run: Callable[[], Awaitable[TaskResult]]


NOTHING: Final = TaskResult()


class ReadState(Struct, frozen=True):
    """When a task is due, and what went wrong the last time."""

    next_ms: int = 0
    ran_ms: int = 0
    problem: str = ""


read_state: Final = msgspec.json.Decoder(ReadState).decode


async def keep_reading(
    tasks: Sequence[ReadTask],
    store: Store,
    *,
    clock: Clock,
    stop: asyncio.Event,
    failed: Callable[[FlybridgeError], None],
) -> None:
    """Run each task when it is due, until `stop` is set."""
    while tasks and not stop.is_set():
        try:
            known = readable(await store.states(STATE), read_state)
            for task in tasks:
                state = known.get(STATE + task.name, ReadState())
                now_ms = clock.now_ms()
                if now_ms < min(state.next_ms, now_ms + task.every_ms) or stop.is_set():
                    continue
                await _note(store, task, ReadState(now_ms + CLAIM_MS, state.ran_ms, state.problem))
                result = await _result(task)
                problem = result.problem
                wait_ms = min(AGAIN_MS, task.every_ms) if problem else task.every_ms
                await _note(store, task, ReadState(now_ms + wait_ms, clock.now_ms(), problem))
                if result != NOTHING:
                    await note_run(store, task.name, JobRun(now_ms, clock.now_ms(), result.did, problem))
                if problem:
                    failed(FlybridgeError(problem))
        except FlybridgeError as fault:
            failed(fault)
        await rest(stop, LOOK_S)


async def _result(task: ReadTask) -> TaskResult:
    try:
        with contained(task.name):
            return await _run(task)
    except FlybridgeError as fault:
        return TaskResult(problem=str(fault))


async def _run(task: ReadTask) -> TaskResult:
    try:
        return await task.run()
    except sqlite3.Error as fault:  # of the file that progress is noted in, such as a full disk
        raise FlybridgeError(f"{task.name}: {fault}.") from fault


async def _note(store: Store, task: ReadTask, state: ReadState) -> None:
    await store.put_state(STATE + task.name, msgspec.json.encode(state))
