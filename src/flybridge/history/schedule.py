"""Reads by schedule, in any number of processes: pulls, Data Lockers, and the daily search for gaps.

What stands in the store says when a task is due. A process that begins one moves that on at once, so that others rarely
do the same; twice at once costs a quota and changes nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.store.protocol import Store

STATE: Final = "read "
LOOK_S: Final = 2.0
CLAIM_MS: Final = 900_000
AGAIN_MS: Final = 600_000


class ReadTask(Struct, frozen=True):
    """Something that is done every so often. `run` returns the problem that it has met, or an empty text."""

    name: str
    every_ms: int
    run: Callable[[], Awaitable[str]]


class ReadState(Struct, frozen=True):
    """When a task is due, and what went wrong the last time."""

    next_ms: int = 0
    ran_ms: int = 0
    problem: str = ""


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
            known = {name: msgspec.json.decode(value, type=ReadState) for name, value in await store.states(STATE)}
            for task in tasks:
                state = known.get(STATE + task.name, ReadState())
                now_ms = clock.now_ms()
                if now_ms < min(state.next_ms, now_ms + task.every_ms) or stop.is_set():
                    continue
                await _note(store, task, ReadState(now_ms + CLAIM_MS, state.ran_ms, state.problem))
                problem = await _problem(task)
                wait_ms = min(AGAIN_MS, task.every_ms) if problem else task.every_ms
                await _note(store, task, ReadState(now_ms + wait_ms, clock.now_ms(), problem))
                if problem:
                    failed(FlybridgeError(problem))
        except FlybridgeError as fault:
            failed(fault)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_S)


async def _problem(task: ReadTask) -> str:
    try:
        return await task.run()
    except FlybridgeError as fault:
        return str(fault)
    except (OSError, sqlite3.Error) as fault:  # a full disk must not end the process
        return f"{task.name}: {fault}."


async def _note(store: Store, task: ReadTask, state: ReadState) -> None:
    await store.put_state(STATE + task.name, msgspec.json.encode(state))
