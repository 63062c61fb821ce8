"""What a bucket holds beside the files of an hour, and an hour that it holds several times, make no event two."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import obstore
import pytest
from msgspec import structs
from obstore.store import MemoryStore

from flybridge.appsflyer.raw_report import app_named
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.history.locker import LockerFollower
from flybridge.history.locker_folders import Locker
from flybridge.history.pull import PullPlan
from flybridge.records import HOUR_MS, Envelope
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock

APP = "com.example.shop"
NOW_MS = 1_768_003_200_000  # 2026-01-10 00:00 UTC
HOUR = "t=inapps/dt=2026-01-09/h=12"


def part(*numbers: int, app: str = APP, column: str = "app_id") -> bytes:
    """Return a file with an event of each of these persons."""
    rows = "".join(f"1-{number},buy,2026-01-09 12:30:00,{app}\n" for number in numbers)
    return gzip.compress(f"appsflyer_id,event_name,event_time,{column}\n{rows}".encode(), mtime=0)


class MemoryLocker(Locker):
    """A Data Locker in a bucket in memory."""

    def __init__(self) -> None:
        self.address, self._folder, self._bucket = "s3://bucket/home", "home", MemoryStore()

    def write(self, objects: Mapping[str, bytes]) -> None:
        """Write objects below the home folder."""
        for key, body in objects.items():
            obstore.put(self._bucket, f"home/{key}", body)


@asynccontextmanager
async def followed(place: Path, locker: Locker) -> AsyncIterator[tuple[LockerFollower, list[tuple[str, int]]]]:
    """Yield a follower, and what it has accepted: whose event it is, and which of equal ones."""
    taken: list[tuple[str, int]] = []

    async def accept(envelope: Envelope) -> None:
        taken.append((json.loads(envelope.body)["appsflyer_id"], envelope.ordinal))

    store = SqliteStore(place / "store.db", Seal(b"secret"))
    await store.open()
    plan = PullPlan("shop", AppsFlyerAccount(APP, ""))
    clock = ManualClock(NOW_MS)
    yield (
        LockerFollower(
            plan, locker, store=store, accept=accept, data_dir=place, clock=clock, wait_ms=5 * HOUR_MS, dedup_days=7
        ),
        taken,
    )
    await store.close()


@pytest.mark.parametrize(
    "other",
    [
        f"data-locker-other/{HOUR}",
        f"data-locker-hourly/{HOUR}/_temporary/0/task_1",
        f"data-locker-hourly/{HOUR}/.staging",
        f"another-home/data-locker-hourly/{HOUR}",
    ],
)
async def test_an_hour_that_is_there_twice_makes_no_event_two(tmp_path: Path, other: str):
    """By a second connection that writes into the bucket, or as what a writer has not finished."""
    locker = MemoryLocker()
    folder = f"data-locker-hourly/{HOUR}"
    for place in (folder, other):
        locker.write({f"{place}/part-00000.gz": part(1, 2, 2), f"{place}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        assert (await follower.look()).problems == []
        assert set(taken) == {("1-1", 1), ("1-2", 1), ("1-2", 2)}
        assert (await follower.look()).folders == 0


@pytest.mark.parametrize(
    "ending", [".gz.6eD1a2Ff", ".gz_.gstmp", ".gz.5c1d9e2b.partial", ".gz.tmp", ".snappy.parquet.00aaBB99"]
)
async def test_what_a_broken_copy_has_left_behind_makes_no_event_two(tmp_path: Path, ending: str):
    """In a directory that holds a copy of a Data Locker: beside the whole file, or until it is there."""
    locker = MemoryLocker()
    locker.write({f"x/{HOUR}/part-00000{ending}": part(1, 2), f"x/{HOUR}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        assert ((await follower.look()).folders, taken) == (0, [])
        locker.write({f"x/{HOUR}/part-00000.gz": part(1, 2), f"x/{HOUR}/part-00001.c000": part(3)})
        assert ((await follower.look()).problems, sorted(taken)) == ([], [("1-1", 1), ("1-2", 1), ("1-3", 1)])


async def test_equal_rows_in_the_parts_of_a_folder_are_counted_together(tmp_path: Path):
    """Two purchases of one second are two."""
    locker = MemoryLocker()
    locker.write({f"x/{HOUR}/part-0000{n}.gz": part(1) for n in range(2)} | {f"x/{HOUR}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        await follower.look()
        assert taken == [("1-1", 1), ("1-1", 2)]


@pytest.mark.parametrize("layout", ["x/{app}/{hour}", "x/{hour}/{app}"])
async def test_an_hour_is_complete_for_the_apps_of_which_it_is(tmp_path: Path, layout: str):
    """Where data is segregated by app: the mark of one says nothing of another, and its new file is no news of it."""
    locker = MemoryLocker()
    ours, others = (layout.format(app=app, hour=HOUR) for app in (APP, "com.example.other"))
    locker.write({f"{ours}/part-00000.gz": part(1), f"{others}/part-00000.gz": part(2, app="com.example.other")})
    locker.write({f"{others}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        first = await follower.look()
        assert (first.waiting, taken) == (1, [])
        locker.write({f"{ours}/_SUCCESS": b""})
        second = await follower.look()
        assert (second.waiting, second.folders, taken) == (0, 1, [("1-1", 1)])
        locker.write({f"{others}/part-00001.gz": part(3, app="com.example.other")})
        await follower.look()
        assert len(taken) == 1
        assert (await follower.look()).folders == 0


async def test_a_mark_holds_for_the_folders_in_it(tmp_path: Path):
    """One `_SUCCESS` for an hour whose apps have folders in it; not for other hours of the day."""
    locker = MemoryLocker()
    locker.write({f"x/{HOUR}/{APP}/part-00000.gz": part(1), f"x/{HOUR}/_SUCCESS": b""})
    locker.write({f"x/{HOUR}1/{APP}/part-00000.gz": part(2)})
    async with followed(tmp_path, locker) as (follower, taken):
        assert ((await follower.look()).waiting, taken) == (1, [("1-1", 1)])


@pytest.mark.parametrize(
    "marker", ["x", "x/t=inapps", "x/t=inapps/dt=2026-01-09", f"x/{HOUR}", f"x/{HOUR}_$folder$", f"x/{HOUR}/{APP}"]
)
async def test_an_object_that_stands_for_a_folder_is_no_file(tmp_path: Path, marker: str):
    """The consoles of clouds make them, with `/` at their end, which a listing leaves out: they can't be read."""
    locker = MemoryLocker()
    locker.write({f"x/{HOUR}/part-00000.gz": part(1), f"x/{HOUR}/_SUCCESS": b"", marker: b""})
    async with followed(tmp_path, locker) as (follower, taken):
        assert [len(folder.files) for folder in locker.folders("2026-01-01")] == [1]
        done = await follower.look()
        assert (done.folders, done.waiting, done.problems, taken) == (1, 0, [], [("1-1", 1)])
        assert ((await follower.look()).folders, len(taken)) == (0, 1)


async def test_what_was_known_before_folders_were_told_apart_is_known_yet(tmp_path: Path):
    """The state of an hour has its files of all folders, as it had when they were one."""
    locker = MemoryLocker()
    locker.write({f"{place}/{HOUR}/part-00000.gz": part(1) for place in "ab"})
    locker.write({f"{place}/{HOUR}/_SUCCESS": b"" for place in "ab"})
    async with followed(tmp_path, locker) as (follower, taken):
        (one, two) = locker.folders("2026-01-01")
        marks = {file.name: file.mark for folder in (one, two) for file in folder.files}
        await follower.store.put_state("locker shop inapps 2026-01-09 12", json.dumps(marks).encode())
        assert ((await follower.look()).folders, taken) == (0, [])
        locker.write({f"b/{HOUR}/part-00000.gz": part(1, 2)})
        assert ((await follower.look()).folders, taken) == (1, [("1-1", 1), ("1-2", 1)])
        assert (await follower.look()).folders == 0


@pytest.mark.parametrize(
    "name", ["app_id={}", "app={}", "{}", "APP_ID={}"], ids=["app_id", "app", "the app alone", "in capitals"]
)
@pytest.mark.parametrize("other", ["com.example.other", "id123456789", "123456789"])
async def test_rows_that_do_not_say_their_app_are_of_the_app_of_their_folder(tmp_path: Path, name: str, other: str):
    """Where data is segregated, the app is in the path, and a column for it is one that may be chosen or not."""
    locker = MemoryLocker()
    for number, app in enumerate((APP, other)):
        place = f"x/{HOUR}/{name.format(app)}"
        locker.write({f"{place}/part-00000.gz": part(number, column="media_source"), f"{place}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        done = await follower.look()
        assert (done.folders, done.rows, taken) == (1, 1, [("1-0", 1)])


async def test_files_of_two_writings_hold_the_same_events(tmp_path: Path):
    """While an hour is written anew, its files of before may be there; those of one writing are counted together."""
    locker = MemoryLocker()
    writings = [f"part-0000{{}}-{n}af2b359-8ee3-4d6d-809f-e8cb59d225b1.c000.csv.gz" for n in range(2)]
    for writing in writings:
        locker.write({f"x/{HOUR}/{writing.format(n)}": part(1, 2) for n in range(2)})
    locker.write({f"x/{HOUR}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        assert (await follower.look()).problems == []
        assert set(taken) == {("1-1", 1), ("1-1", 2), ("1-2", 1), ("1-2", 2)}
        obstore.delete(locker._bucket, [f"home/x/{HOUR}/{writings[0].format(n)}" for n in range(2)])
        assert (await follower.look()).folders == 0


async def test_of_versions_the_newest_is_read(tmp_path: Path):
    """Ad revenue of a day is written again: a version that there was before is no other events."""
    locker = MemoryLocker()
    day = "x/t=attributed_ad_revenue_v2/dt=2026-01-09"
    for version, numbers in ((2, (1, 2)), (10, (1, 2, 3)), (9, (1,))):
        place = f"{day}/version={version}/app_id={APP}"
        locker.write({f"{place}/part-00000.gz": part(*numbers), f"{place}/_SUCCESS": b""})
    async with followed(tmp_path, locker) as (follower, taken):
        assert ((await follower.look()).folders, taken) == (1, [("1-1", 1), ("1-2", 1), ("1-3", 1)])
        place = f"{day}/version=11/app_id={APP}"
        locker.write({f"{place}/part-00000.gz": part(1, 2, 3, 4), f"{place}/_SUCCESS": b""})
        assert ((await follower.look()).folders, taken[3:]) == (1, [(f"1-{n}", 1) for n in (1, 2, 3, 4)])
        assert (await follower.look()).folders == 0


@pytest.mark.parametrize(
    ("path", "app"),
    [
        ("s3://b/x/t=inapps/dt=2026-06-30/h=10/app_id=com.example.a/part-0.parquet", "com.example.a"),
        ("b/t=inapps/dt=2026-06-30/h=10/id123456789/part-0.gz", "id123456789"),
        ("b/t=ad_revenue/dt=2026-06-30/version=2/app_id=com.a/part-0", "com.a"),
        ("exports/app_id=com.a/installs.csv", "com.a"),
        ("b/t=inapps/dt=2026-06-30/h=10/part-0.gz", ""),
        ("b/com.example.a/t=inapps/dt=2026-06-30/h=10/part-0.gz", ""),
        ("/srv/app=web/com.example.a/installs.csv", ""),
        ("b/t=inapps/dt=2026-06-30/h=10/retry/part-0.gz", ""),
        ("app_id=com.a", ""),
        ("", ""),
    ],
)
def test_the_app_of_a_path(path: str, app: str):
    """Of a folder of its own, below that of the hour unless it is called so."""
    assert app_named(path) == app


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("way", ["more files", "the same file with more rows", "files of a writing each"])
async def test_a_folder_of_what_came_late_that_grows_over_the_day_is_read_once(tmp_path, way, is_marked):
    """Its events are of the day before, or of hours read long ago. Without a mark it is read when it rests."""
    locker = MemoryLocker()
    place = "t=inapps/dt=2026-01-09/h=late"
    async with followed(tmp_path, locker) as (follower, taken):
        for n in range(3):
            rows = range(3 * n, 3 * n + 3) if way != "the same file with more rows" else range(3 * n + 3)
            name = {
                "more files": f"part-{n}.gz",
                "the same file with more rows": "part-0.gz",
                "files of a writing each": f"part-00000-{'b4a'[n] * 8}-0000-0000-0000-000000000000.c000.gz",
            }[way]
            body = gzip.decompress(part(*rows)).replace(b"2026-01-09 12", b"2026-01-08 23")
            locker.write({f"{place}/{name}": gzip.compress(body, mtime=0)})
            if is_marked:
                locker.write({f"{place}/_SUCCESS": b""})
            done = await follower.look()
            assert done.problems == []
            assert len(set(taken)) == (3 * n + 3 if is_marked else 0)
        if not is_marked:
            # The bucket in memory has the machine's time.
            later = structs.replace(follower, clock=ManualClock(int(time.time() * 1000) + 6 * HOUR_MS))
            await later.look(days=20_000)
        assert set(taken) == {(f"1-{n}", 1) for n in range(9)}
        read = len(taken)
        await follower.look()
        assert len(taken) == read
