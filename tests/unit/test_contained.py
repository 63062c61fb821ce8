"""What a job meets that was not expected: it is said where, and the process goes on."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from flybridge.errors import Defect, FlybridgeError, StoreUnavailable, contained
from flybridge.history.row_numbers import RowNumbers
from flybridge.operations.jobs import make_due
from flybridge.operations.schedule import STATE, ScheduledTask, TaskResult, TaskState, keep_running, task_state
from flybridge.records import DAY_MS
from flybridge.store.job_runs import read_runs
from flybridge.testing.clocks import ManualClock
from flybridge.web.console.operations import JobState


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (StoreUnavailable("away"), StoreUnavailable, "away"),
        (OSError(28, "No space left on device"), FlybridgeError, "costs: [Errno 28] No space left on device."),
        (ValueError("secret"), Defect, "costs failed: a ValueError. Report it; it is tried again."),
    ],
)
def test_an_error_is_one_of_flybridge(fault: Exception, kind: type[FlybridgeError], text: str):
    with pytest.raises(FlybridgeError) as found, contained("costs"):
        raise fault
    assert type(found.value) is kind
    assert str(found.value) == text


def test_a_defect_names_its_place_and_not_what_was_read():
    with pytest.raises(Defect) as found, contained("gaps"):
        RowNumbers().update(["user@example.com"])
    assert "in flybridge.history.row_numbers, line" in str(found.value)
    assert "example" not in str(found.value)


async def test_a_task_that_fails_unexpectedly_does_not_keep_others_from_running(store, monkeypatch):
    """It is noted among the runs of the job, and tried again."""
    monkeypatch.setattr("flybridge.operations.schedule.LOOK_S", 0.001)
    stop, failed, ran = asyncio.Event(), list[FlybridgeError](), list[str]()

    async def broken():
        ran.append("broken")
        return {}["media_source"]

    async def whole():
        ran.append("whole")
        stop.set()
        return {}["media_source"]

    tasks = [ScheduledTask("pull shop", 60_000, run=broken), ScheduledTask("gaps shop", 60_000, run=whole)]
    await keep_running(tasks, store, clock=ManualClock(1_800_000_000_000), stop=stop, failed=failed.append)
    assert ran == ["broken", "whole"]
    assert len(failed) == 2
    runs = await read_runs(store)
    for name in ("pull shop", "gaps shop"):
        assert runs[name][0].problem.startswith(f"{name} failed: a KeyError in flybridge.operations.schedule, line ")


@pytest.mark.parametrize(("ahead_ms", "runs"), [(30_000, 0), (400 * DAY_MS, 1)])
async def test_what_was_noted_while_the_clock_was_ahead_keeps_no_task_from_running(store, monkeypatch, ahead_ms, runs):
    monkeypatch.setattr("flybridge.operations.schedule.LOOK_S", 0.001)
    clock, stop, ran = ManualClock(1_800_000_000_000), asyncio.Event(), list[int]()

    async def run() -> TaskResult:
        ran.append(1)
        return TaskResult()

    async def end() -> TaskResult:
        stop.set()
        return TaskResult()

    state = TaskState(clock.now_ms() + ahead_ms)
    await store.put_state(f"{STATE}pull shop", msgspec.json.encode(state))
    tasks = [ScheduledTask("pull shop", 60_000, run=run), ScheduledTask("gaps shop", 60_000, run=end)]
    await keep_running(tasks, store, clock=clock, stop=stop, failed=lambda _: None)
    assert len(ran) == runs
    ((_, value),) = await store.states(tasks[0].state)
    assert (task_state(value) == state) == (not runs)


async def test_all_parts_of_a_job_are_made_due_and_no_other_job(store):
    """Of an app whose costs come from two places, and beside one whose name begins like its own."""
    names = ["costs shop aggregate", "costs shop etl", "costs shop-2 etl", "pull shop"]
    for name in names:
        await store.put_state(STATE + name, msgspec.json.encode(TaskState(7)))
    await make_due(store, JobState("costs", "shop", "", 1, 0, 7, ""))
    states = {name.removeprefix(STATE): task_state(value).next_ms for name, value in await store.states(STATE)}
    assert states == dict(zip(names, (0, 0, 7, 7), strict=True))
