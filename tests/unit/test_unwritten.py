"""That a store which takes nothing is known to processes that write nothing themselves."""

from __future__ import annotations

import asyncio

import pytest

from flybridge.delivery.lane_reports import REPORTS, STALE_MS, WorkerReport, drop_report, write_report
from flybridge.errors import InboxUnavailable, StoreUnavailable
from flybridge.history.uptime import keep_noting
from flybridge.insight.unwritten import LAPSE_MS, NOTE, read_unwritten
from flybridge.telemetry.hearing import UNWRITTEN_MS, Hearing
from flybridge.testing.clocks import ManualClock
from named_values import NamedValues

NOW_MS = 1_800_000_000_000
FULL = "The store did not commit: database or disk is full. Nothing was changed."


async def look(hearing, store, now_ms):
    """Let a worker's notes be written once."""
    halt, problems = asyncio.Event(), []
    halt.set()
    await hearing.run(store, ManualClock(now_ms), halt, failed=problems.append)
    return problems


async def report(store, worker, at_ms):
    await write_report(store, WorkerReport(worker, at_ms, ()))


async def test_a_batch_that_does_not_fit_is_noted_where_a_few_bytes_do():
    """Another process reads it until a minute after the last time, whatever became of the one that wrote it."""
    store, hearing = NamedValues(), Hearing([], "worker-1")
    hearing.fail(InboxUnavailable("No quorum."), NOW_MS)
    await look(hearing, store, NOW_MS)
    assert NOTE not in store.values
    hearing.fail(StoreUnavailable(FULL), NOW_MS)
    await look(hearing, store, NOW_MS + 1)
    for passed_ms, problem in ((0, FULL), (LAPSE_MS - 1, FULL), (LAPSE_MS, ""), (-LAPSE_MS - 1, "")):
        assert (await read_unwritten(store, NOW_MS + passed_ms)).problem == problem
    store.values[NOTE] = b"{"
    assert not (await read_unwritten(store, NOW_MS)).problem


async def test_a_note_is_written_once_for_each_failure_and_none_that_is_long_over():
    """A worker whose store was away has nothing to say of it once it is back."""
    store, hearing = NamedValues(), Hearing([], "worker-1")
    hearing.fail(StoreUnavailable(FULL), NOW_MS)
    await look(hearing, store, NOW_MS + UNWRITTEN_MS)
    assert NOTE not in store.values
    hearing.fail(StoreUnavailable(FULL), NOW_MS + UNWRITTEN_MS)
    await look(hearing, store, NOW_MS + UNWRITTEN_MS)
    assert store.values.pop(NOTE)
    await look(hearing, store, NOW_MS + UNWRITTEN_MS)
    assert NOTE not in store.values
    store.is_full = True
    hearing.fail(StoreUnavailable(FULL), NOW_MS + UNWRITTEN_MS)
    assert await look(hearing, store, NOW_MS + UNWRITTEN_MS) == []


@pytest.mark.parametrize(
    ("reports", "silent_ms"),
    [
        ({}, 0),  # none was there, or all have ended in order
        ({"a": 0}, 0),
        ({"a": STALE_MS}, 0),
        ({"a": STALE_MS + 1}, STALE_MS + 1),
        ({"a": 5 * STALE_MS, "b": 2 * STALE_MS}, 2 * STALE_MS),
        ({"a": 5 * STALE_MS, "b": 1000}, 0),  # one was killed, another took over
        ({"a": -3_600_000}, 0),  # its clock was set back
    ],
)
async def test_workers_that_write_nothing_are_known_by_their_reports(reports, silent_ms):
    """A disk that takes nothing at all takes no note of it either."""
    store = NamedValues()
    for worker, ago_ms in reports.items():
        store.values[REPORTS + worker] = f'{{"worker":"{worker}","at_ms":{NOW_MS - ago_ms},"lanes":[]}}'.encode()
    assert (await read_unwritten(store, NOW_MS)).silent_ms == silent_ms


async def test_a_worker_that_has_ended_in_order_is_not_missed():
    """It deletes its report."""
    store = NamedValues()
    await report(store, "a", NOW_MS - 2 * STALE_MS)
    assert (await read_unwritten(store, NOW_MS)).silent_ms
    await drop_report(store, "a")
    assert not (await read_unwritten(store, NOW_MS)).silent_ms


async def a_console(hearing, store, clock, halt):
    await hearing.keep_trying(store, clock, halt)


async def a_worker(hearing, store, clock, halt):
    await keep_noting(store, clock, halt, failed=hearing.fail)


@pytest.mark.parametrize("runs", [a_console, a_worker])
async def test_a_process_in_which_nothing_happens_finds_out_that_nothing_can_be_written(runs):
    """It writes a few bytes now and then."""
    store, halt, hearing = NamedValues(), asyncio.Event(), Hearing([], "")
    for is_full in (False, True):
        store.is_full = is_full
        task = asyncio.create_task(runs(hearing, store, ManualClock(NOW_MS), halt))
        for _ in range(20):
            await asyncio.sleep(0)
        halt.set()
        await task
        halt.clear()
        assert hearing.unwritten(NOW_MS) == ("The disk is full." if is_full else "")
    assert store.values.keys() & {"written", "confirmed_ms"}
