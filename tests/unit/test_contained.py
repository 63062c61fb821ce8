"""What a job meets that was not expected: it is said where, and the process goes on."""

from __future__ import annotations

import asyncio

import pytest

from flybridge.errors import Defect, FlybridgeError, StoreUnavailable, contained
from flybridge.history.row_numbers import RowNumbers
from flybridge.operations.schedule import ReadTask, keep_reading
from flybridge.store.job_runs import read_runs
from flybridge.testing.clocks import ManualClock


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

    tasks = [ReadTask("pull shop", 60_000, broken), ReadTask("gaps shop", 60_000, whole)]
    await keep_reading(tasks, store, clock=ManualClock(1_800_000_000_000), stop=stop, failed=failed.append)
    assert ran == ["broken", "whole"]
    assert len(failed) == 2
    runs = await read_runs(store)
    for name in ("pull shop", "gaps shop"):
        assert runs[name][0].problem.startswith(f"{name} failed: a KeyError in flybridge.operations.schedule, line ")
