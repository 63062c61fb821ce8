"""Of several processes one at a time runs a scheduled task."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from flybridge.clock import SystemClock
from flybridge.errors import FlybridgeError
from flybridge.operations import schedule
from flybridge.operations.schedule import (
    STATE,
    ScheduledJob,
    ScheduledTask,
    TaskResult,
    TaskState,
    keep_running,
    task_state,
)
from flybridge.store.lease import LEASE_MS, RENEW_S
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_764_000_000_000
EVERY_MS = 3_600_000


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(schedule, "LOOK_S", 0.01)


class Work:
    """A task that goes on until it is let go, and counts how often it runs."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.broken_off = asyncio.Event()
        self.runs = asyncio.Event()
        self.may_end = asyncio.Event()
        self.stop = asyncio.Event()
        self.problems: list[str] = []

    async def run(self) -> TaskResult:
        """Wait to be let go."""
        self.begun += 1
        self.runs.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.broken_off.set()
            raise
        self.ended += 1
        return TaskResult("It did something.")

    def failed(self, problem: FlybridgeError) -> None:
        """Note a problem."""
        self.problems.append(str(problem))

    def keep(self, store, clock):
        """Return one process that runs the task by schedule."""
        task = ScheduledTask("pull shop", EVERY_MS, run=self.run)
        return keep_running([task], store, clock=clock, stop=self.stop, failed=self.failed)


async def test_workers_that_look_at_the_same_instant_run_a_task_once(open_store):
    stores, clock, work = [await open_store() for _ in range(3)], ManualClock(NOW_MS), Work()
    async with asyncio.timeout(30), asyncio.TaskGroup() as workers:
        for store in stores:
            workers.create_task(work.keep(store, clock))
        await work.runs.wait()
        await asyncio.sleep(0.3)
        work.may_end.set()
        await asyncio.sleep(0.3)
        work.stop.set()
    assert (work.begun, work.ended, work.problems) == (1, 1, [])


async def test_a_task_that_goes_on_for_long_is_not_begun_again(open_store):
    """Nor one that an operator has made due meanwhile."""
    stores, clock, work = [await open_store() for _ in range(2)], ManualClock(NOW_MS), Work()
    async with asyncio.timeout(30), asyncio.TaskGroup() as workers:
        workers.create_task(work.keep(stores[0], clock))
        await work.runs.wait()
        workers.create_task(work.keep(stores[1], clock))
        for _ in range(60):
            clock.asleep.clear()
            clock.advance(RENEW_S)
            await clock.asleep.wait()  # it has renewed
            await asyncio.sleep(0.03)
        await stores[0].put_state(f"{STATE}pull shop", msgspec.json.encode(TaskState()))
        await asyncio.sleep(0.1)
        assert work.begun == 1
        work.may_end.set()
        await asyncio.sleep(0.2)
        work.stop.set()
    assert (work.begun, work.ended, work.problems) == (1, 1, [])
    ((_, value),) = await stores[0].states(STATE)
    assert task_state(value).next_ms == NOW_MS + EVERY_MS


async def test_what_a_killed_worker_had_begun_is_run_by_another(open_store):
    """Once its lease is over and the time has passed after which it is due again."""
    stores, clock, work = [await open_store() for _ in range(2)], ManualClock(NOW_MS), Work()
    await stores[0].take_turn(f"{schedule.TURN}{STATE}pull shop", "killed", NOW_MS, LEASE_MS)
    claimed = TaskState(NOW_MS + schedule.CLAIM_MS)
    await stores[0].put_state(f"{STATE}pull shop", msgspec.json.encode(claimed))
    work.may_end.set()
    async with asyncio.timeout(30), asyncio.TaskGroup() as workers:
        workers.create_task(work.keep(stores[1], clock))
        await asyncio.sleep(0.1)
        assert work.begun == 0
        clock.advance(schedule.CLAIM_MS / 1000)
        await work.runs.wait()
        await asyncio.sleep(0.1)
        work.stop.set()
    assert (work.begun, work.ended) == (1, 1)


async def test_a_worker_that_has_lost_its_lease_breaks_its_run_off(open_store):
    """It was suspended for longer than the lease, and another one has begun the task."""
    stores, clock, work = [await open_store() for _ in range(2)], ManualClock(NOW_MS), Work()
    async with asyncio.timeout(30), asyncio.TaskGroup() as workers:
        workers.create_task(work.keep(stores[0], clock))
        await work.runs.wait()
        await clock.asleep.wait()
        turn = f"{schedule.TURN}{STATE}pull shop"
        assert await stores[1].take_turn(turn, "other", NOW_MS + LEASE_MS, LEASE_MS)
        clock.advance(LEASE_MS / 1000)
        await work.broken_off.wait()
        work.stop.set()
    assert (work.begun, work.ended) == (1, 0)
    assert any("another runs it" in problem for problem in work.problems)


async def test_a_command_waits_for_the_worker_and_the_worker_for_the_command(open_store, monkeypatch):
    """Each asks the vendor: of what both want nothing is asked for twice at a time."""
    monkeypatch.setattr(schedule, "LOOK_S", 0.01)
    stores, clock, work, said = [await open_store() for _ in range(2)], SystemClock(), Work(), list[str]()
    by_hand = Work()

    def command():
        waits = lambda: said.append("waits")  # noqa: E731
        return schedule.run_by_hand(ScheduledJob("pull shop", EVERY_MS), stores[1], clock, by_hand.run, waits)

    async with asyncio.timeout(30), asyncio.TaskGroup() as workers:
        workers.create_task(work.keep(stores[0], clock))
        await work.runs.wait()
        first = workers.create_task(command())
        await asyncio.sleep(0.3)
        assert (by_hand.begun, said) == (0, ["waits"])
        work.may_end.set()
        await by_hand.runs.wait()
        await stores[0].put_state(f"{STATE}pull shop", msgspec.json.encode(TaskState()))
        await asyncio.sleep(0.3)
        assert (work.begun, by_hand.begun) == (1, 1)
        by_hand.may_end.set()
        assert (await first).did == "It did something."
        await asyncio.sleep(0.3)
        work.stop.set()
    assert (work.begun, by_hand.ended, said, work.problems) == (2, 1, ["waits"], [])


async def test_a_command_goes_on_after_one_that_was_killed(open_store):
    """Within a minute. One that is broken off gives its turn back at once."""
    store, clock, killed, broken_off, last = await open_store(), ManualClock(NOW_MS), Work(), Work(), Work()
    job = ScheduledJob("pull shop", EVERY_MS)
    await store.take_turn(f"{schedule.TURN}{STATE}pull shop", "killed", NOW_MS, LEASE_MS)
    async with asyncio.timeout(30), asyncio.TaskGroup() as commands:
        second = commands.create_task(schedule.run_by_hand(job, store, clock, broken_off.run, killed.runs.set))
        await killed.runs.wait()
        await clock.asleep.wait()
        clock.advance(LEASE_MS / 1000)
        await broken_off.runs.wait()
        second.cancel()
        await asyncio.wait([second])
        last.may_end.set()
        await schedule.run_by_hand(job, store, clock, last.run, last.stop.set)
    assert (broken_off.broken_off.is_set(), last.ended, last.stop.is_set()) == (True, 1, False)
