"""A bucket that fails ends a look early, and what was written during a standstill is read after it."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from msgspec import structs

from far_buckets import unreachable_bucket
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.errors import InboxUnavailable
from flybridge.history.files import RawFile, open_bucket
from flybridge.history.locker import FOLLOWED_DAYS, KEPT_DAYS, LockerFollower
from flybridge.history.locker_folders import PATIENCE, Locker, LockerFolder
from flybridge.history.pull import PullPlan
from flybridge.records import DAY_MS, Envelope, day_of
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_768_003_200_000  # 2026-01-10 00:00 UTC
HOURS = 24


class HurryingClock(ManualClock):
    """A clock on which something passes between any two looks at it."""

    def __init__(self, start_ms: int, step_ms: int) -> None:
        super().__init__(start_ms)
        self._step_ms = step_ms

    def now_ms(self) -> int:
        """Return the time, and move on."""
        self._now_ms += self._step_ms
        return self._now_ms


class PartlyReachableLocker(Locker):
    """A Data Locker whose store can't be reached but for some of its files, which are on this machine."""

    def __init__(self, place: Path, whole: set[int]) -> None:
        self.address, self.listings = "s3://bucket", list[str]()
        self._place, self._whole = place, whole
        self._bucket = unreachable_bucket()

    def folders(self, first_day: str) -> list[LockerFolder]:
        """Return the folder of each hour."""
        self.listings.append(first_day)
        found = []
        for hour in range(HOURS):
            key = f"t=inapps/dt=2026-01-09/h={hour}/part-0"
            bucket = self._bucket
            if hour in self._whole:
                path, bucket = self._place / f"{hour}.gz", None
                path.write_bytes(gzip.compress(f"event_name,event_time\nbuy,2026-01-09 {hour:02}:30:00\n".encode()))
                key = str(path)
            folder = LockerFolder("inapps", "2026-01-09", str(hour), is_complete=True)
            folder.files.append(RawFile(f"s3://bucket/{key}", key, 9, "mark", bucket))
            found.append(folder)
        return found


async def follower_of(place: Path, locker: Locker, clock: ManualClock) -> tuple[LockerFollower, list[str]]:
    """Return a follower, and the times of what it takes."""
    taken: list[str] = []

    async def accept(envelope: Envelope) -> None:
        taken.append(json.loads(envelope.body)["event_time"])

    store = SqliteStore(place / "store.db", Seal(b"secret"))
    await store.open()
    plan = PullPlan("shop", AppsFlyerAccount("com.example.shop", ""))
    made = LockerFollower(
        plan, locker, store=store, accept=accept, data_dir=place, clock=clock, wait_ms=0, dedup_days=7
    )
    return made, taken


@pytest.mark.parametrize(
    ("step_s", "whole", "tried", "taken"),
    [(40, set(), 2, 0), (61, set(), 1, 0), (0, set(), HOURS, 0), (40, {1, 3, 5}, 8, 3), (0, {23}, HOURS, 1)],
)
async def test_a_bucket_that_fails_for_a_minute_is_left_alone(
    tmp_path: Path, step_s: int, whole: set[int], tried: int, taken: int
):
    """Each file takes its client's tries, of a minute or three. One that is refused at once costs no other."""
    clock = HurryingClock(NOW_MS, step_s * 1000)
    follower, rows = await follower_of(tmp_path, PartlyReachableLocker(tmp_path, whole), clock)
    done = await follower.look()
    assert (len(done.problems) + done.folders, len(rows)) == (tried, taken)
    assert all(problem.startswith("s3://bucket/t=inapps/") for problem in done.problems)
    await follower.store.close()


@pytest.mark.parametrize(
    ("seen", "days"),
    [
        ((), FOLLOWED_DAYS),
        ((1, 2), FOLLOWED_DAYS),
        ((13,), FOLLOWED_DAYS + 1),
        ((30, 31), 32),
        ((58,), KEPT_DAYS - 1),
        ((-400,), FOLLOWED_DAYS),
    ],
)
async def test_after_a_standstill_older_days_are_read(tmp_path: Path, seen: tuple[int, ...], days: int):
    """Since what was read last, if the bucket has it yet: an outage of flybridge may be longer than two weeks."""
    locker = PartlyReachableLocker(tmp_path, set(range(HOURS)))
    follower, _ = await follower_of(tmp_path, locker, ManualClock(NOW_MS))
    for ago in seen:
        await follower.store.put_state(f"locker shop inapps {day_of(NOW_MS - ago * DAY_MS)} 3", b'{"a":"b"}')
    await follower.store.put_state("locker shop two installs 2020-01-01 3", b'{"a":"b"}')
    await follower.look()
    assert locker.listings == [day_of(NOW_MS - days * DAY_MS)]
    await follower.store.close()


async def test_an_address_that_holds_no_data_locker_is_said(tmp_path: Path):
    """As long as nothing was ever read from it."""
    (tmp_path / "bucket/exports").mkdir(parents=True)
    (tmp_path / "bucket/exports/installs.csv").write_text("no folder of a report and day")
    locker = Locker(str(tmp_path / "bucket"))
    follower, _ = await follower_of(tmp_path, locker, ManualClock(NOW_MS))
    (problem,) = (await follower.look()).problems
    assert problem.startswith(f"{tmp_path}/bucket has no folder of a Data Locker since 2025-12-27")
    await follower.store.put_state("locker shop inapps 2026-01-01 3", b'{"a":"b"}')
    assert (await follower.look()).problems == []
    await follower.store.close()


async def test_an_inbox_that_takes_nothing_ends_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is waited for with the first folder. With each it would be for hours, in which no other task runs."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    follower, _ = await follower_of(tmp_path, PartlyReachableLocker(tmp_path, set(range(HOURS))), ManualClock(NOW_MS))
    tries = 0

    async def accept(_: Envelope) -> None:
        nonlocal tries
        tries += 1
        raise InboxUnavailable("The disk is full.", retry_after_s=5)

    done = await structs.replace(follower, accept=accept).look()
    assert (done.problems, done.folders, done.taken) == (["The disk is full."], 0, 0)
    assert tries == len(waited) + 1
    done = await follower.look()
    assert (done.folders, done.problems) == (HOURS, [])
    await follower.store.close()


@pytest.mark.parametrize("name", ["s3", "gs"])
def test_a_bucket_that_is_followed_is_not_tried_for_minutes(name: str):
    """A process that ends waits for the request; the client's own limit is three minutes."""
    bucket = Locker(f"{name}://bucket/home")._bucket
    assert bucket.retry_config["retry_timeout"] == PATIENCE
    assert bucket.client_options is None
    patient, _ = open_bucket(f"{name}://bucket/home")
    assert patient.retry_config is None
