"""What reading history does while the disk takes nothing: it says so, loses nothing, and goes on."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import AsyncMock

import psycopg
import pytest

from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.errors import FlybridgeError, InboxUnavailable, StoreUnavailable
from flybridge.history.progress import opened_progress
from flybridge.history.pull import LEAST_ROOM, HistoryPull, PullPlan
from flybridge.history.take import keep
from flybridge.operations.schedule import ScheduledTask, TaskResult, keep_running, task_state
from flybridge.records import HOUR_MS
from flybridge.sandbox.vendors.raw_data import as_csv, header
from flybridge.sealing import Seal
from flybridge.store.job_runs import read_runs
from flybridge.store.postgres.refusals import unavailable
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_800_000_000_000


def filled(path):
    """Return an error as SQLite raises it in a database that may not grow, at a path."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA max_page_count = 2")
        db.execute("CREATE TABLE a (b)")
        try:
            db.execute("INSERT INTO a VALUES (zeroblob(100000))")
        except sqlite3.Error as problem:
            return problem
    raise AssertionError


@pytest.mark.parametrize("is_full", [True, False])
def test_that_it_can_not_be_noted_how_far_files_were_read_is_said_with_what_to_do(tmp_path, is_full):
    """And that nothing is lost by it."""
    path = tmp_path / "imports.db"
    problem = filled(tmp_path / "other.db")
    if not is_full:
        problem = sqlite3.OperationalError("disk I/O error")
        problem.sqlite_errorcode = sqlite3.SQLITE_IOERR
    with pytest.raises(FlybridgeError, match="goes on there when it is repeated") as said, opened_progress(path):
        raise problem
    assert str(path) in str(said.value)
    assert ("Free space" in str(said.value)) is is_full


class Answers:
    """Answers a download with a report, and counts how often it is asked."""

    status, headers = 200, {}

    def __init__(self, body):
        self.body, self.asked = body, 0

    @asynccontextmanager
    async def open(self, request, *, public=False):
        self.asked += 1
        yield self

    async def pieces(self):
        yield self.body[: len(self.body) // 2]
        yield self.body[len(self.body) // 2 :]


@contextmanager
def files_of_at_most(size):
    """Let no file of this process grow beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def pulled(tmp_path, store, download, clock, room=LEAST_ROOM):
    """Pull two reports of an hour. Returns how each stands, and how many rows were read."""
    plan = PullPlan(
        "shop",
        AppsFlyerAccount("com.example.shop", "token", "http://127.0.0.1"),
        (PulledReport.INSTALLS, PulledReport.ORGANIC_INSTALLS),
    )
    rows = []

    async def read(report, file):
        rows.append(report)
        return 1, 1

    puller = HistoryPull(plan, store, download, tmp_path, clock, room=lambda _: room)
    return await puller.run(NOW_MS - HOUR_MS, NOW_MS, read), rows


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Seal(b"a secret of sixteen characters"))
    await store.open()
    yield store
    await store.close()


async def test_a_report_that_does_not_fit_is_said_and_asked_for_an_hour_later(tmp_path, store):
    """Each try costs a call of the quota. Nothing of it is left behind, and what is left to pull is kept."""
    download, clock = Answers(as_csv([header([]), ["x"] * len(header([]))]) * 4000), ManualClock(NOW_MS)
    with files_of_at_most(3_000_000):
        states, rows = await pulled(tmp_path, store, download, clock)
    assert (download.asked, rows) == (2, [])
    assert all("does not fit into" in one.problem and "Free space" in one.problem for one in states)
    assert [one.again_ms for one in states] == [NOW_MS + HOUR_MS] * 2
    assert not list((tmp_path / "pulled").iterdir())
    clock.advance(1800)
    states, rows = await pulled(tmp_path, store, download, clock)
    assert (download.asked, rows, len(states[0].pending)) == (2, [], 1)
    clock.advance(1801)
    states, rows = await pulled(tmp_path, store, download, clock)
    assert (download.asked, len(rows), states[0].pending) == (4, 2, ())


async def test_a_report_is_not_asked_for_where_it_would_hardly_fit(tmp_path, store):
    """It is as soon as there is room."""
    download, clock = Answers(as_csv([header([])])), ManualClock(NOW_MS)
    states, _ = await pulled(tmp_path, store, download, clock, LEAST_ROOM - 1)
    assert download.asked == 0
    assert all("its disk has 16.8 MB left. Free space." in one.problem for one in states)
    clock.advance(61)
    states, rows = await pulled(tmp_path, store, download, clock)
    assert (download.asked, len(rows)) == (2, 2)


async def test_an_import_says_that_it_waits_for_the_inbox(monkeypatch):
    """Once, and not for each row of a block that is not taken."""
    monkeypatch.setattr("flybridge.history.take.asyncio.sleep", AsyncMock())
    refused, taken, said = 5, [], []

    async def accept(envelope):
        nonlocal refused
        if refused:
            refused -= 1
            raise InboxUnavailable("The disk is full.")
        taken.append(envelope)

    await keep(accept, [1, 2, 3], lambda problem: said.append(str(problem)))
    assert (sorted(taken), said) == ([1, 2, 3], ["The disk is full."])


class FullStore:
    """A store that takes so many values, and then none until it is freed."""

    def __init__(self, room):
        self.room, self.values, self.problems = room, {}, []

    async def put_state(self, name, value):
        if self.room <= 0:
            raise StoreUnavailable("The disk is full.")
        self.room -= 1
        self.values[name] = value

    async def take_turn(self, name, holder, now_ms, lease_ms):
        return True

    async def states(self, beginning):
        return [(name, value) for name, value in self.values.items() if name.startswith(beginning)]

    def failed(self, problem):
        self.problems.append(str(problem))
        if self.problems.count("The disk is full.") == 2:
            self.room = 100


@pytest.mark.parametrize("room", [1, 2])
async def test_what_a_job_did_is_noted_once_there_is_room(monkeypatch, room):
    """The job is not done again for that, and what went wrong is said at once."""
    monkeypatch.setattr("flybridge.operations.schedule.LOOK_S", 0.001)
    store, stop, ran = FullStore(room), asyncio.Event(), []

    async def run():
        ran.append(store.room)
        return TaskResult("It did something.", "It met a problem.")

    async def end():
        stop.set()
        return TaskResult()

    tasks = [ScheduledTask("pull shop", 60_000, run=run), ScheduledTask("gaps shop", 60_000, run=end)]
    await keep_running(tasks, store, clock=ManualClock(NOW_MS), stop=stop, failed=store.failed)
    assert len(ran) == 1
    assert store.problems == ["It met a problem.", "The disk is full.", "The disk is full."]
    state = task_state(store.values[tasks[0].state])
    assert (state.problem, state.ran_ms, state.next_ms) == ("It met a problem.", NOW_MS, NOW_MS + 60_000)
    (kept,) = (await read_runs(store, "pull shop"))["pull shop"]
    assert (kept.did, kept.problem) == ("It did something.", "It met a problem.")


@pytest.mark.parametrize(
    ("error", "is_full"), [(psycopg.errors.DiskFull, True), (psycopg.errors.InternalError_, False)]
)
def test_a_disk_of_postgresql_that_is_full_is_said_with_what_to_do(error, is_full):
    problem = str(unavailable(error("could not extend file: No space left on device")))
    assert problem.endswith("Nothing was changed. Free space on PostgreSQL's disk.") is is_full
    assert "Nothing was changed." in problem
