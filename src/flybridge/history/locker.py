"""Follow a Data Locker: read each hour's folder once it is complete, and again when a file in it is written anew.

What was read is remembered by hour, as names and ETags of its files, and not by a position: an hour comes after later
ones. A folder without a mark is complete when its newest file is old.

https://support.appsflyer.com/hc/en-us/articles/360000877538 (read 2026-11-27): AppsFlyer may write a file again within
25 hours, and keeps its own bucket for 14 days. `installs` and `inapps` hold organic and other rows together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_report import report_named
from flybridge.clock import Clock
from flybridge.errors import FlybridgeError, InboxUnavailable
from flybridge.history.files import RawFile
from flybridge.history.live_days import Forgotten, forgotten_live
from flybridge.history.locker_folders import Locker, LockerFolder, folder_of
from flybridge.history.object_reader import StoreWatch
from flybridge.history.progress import Progress, opened_progress
from flybridge.history.pull import PullPlan
from flybridge.history.raw_rows import RawRows
from flybridge.history.revised import FormerRows
from flybridge.history.rows import UTC_TIMES, RawRow, happened_ms
from flybridge.history.take import REVISED, Accept, RowTaker, Taken
from flybridge.records import DAY_MS, Source, day_of
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "locker"
FOLLOWED_DAYS: Final = 14
KEPT_DAYS: Final = 60
REWRITTEN_DAYS: Final = 2
"""How long after its day a file may be written again: 25 hours, beside those that came late."""


class LockerRead(Struct):
    """What a look into a Data Locker has found. `left_out` rows were pushed too long ago to be recognised.

    `revised` ones are of ad revenue whose amount has changed since they were read.
    """

    folders: int = 0
    waiting: int = 0
    rows: int = 0
    taken: int = 0
    bad: int = 0
    left_out: int = 0
    revised: int = 0
    problems: list[str] = field(default_factory=list)


class LockerFollower(Struct, frozen=True):
    """Reads what is new in a Data Locker into the inbox. A folder without a mark is complete after `wait_ms`."""

    plan: PullPlan
    locker: Locker
    store: Store
    accept: Accept
    data_dir: Path
    clock: Clock
    wait_ms: int
    dedup_days: int

    async def look(self, days: int = FOLLOWED_DAYS) -> LockerRead:
        """Read each complete folder whose files have not been read as they are, after a standstill also of older days.

        A look ends early if the bucket fails: the next one reads the rest. What was pushed too long ago to be
        recognised is left out: it would be sent a second time.
        """
        now_ms, done = self.clock.now_ms(), LockerRead()
        forgotten = await forgotten_live(self.store, self.plan.app, now_ms - (self.dedup_days - 1) * DAY_MS)
        seen = await self._seen()
        first_day = _first_day(seen, now_ms, days)
        folders = await self.locker.listed(first_day)
        if not folders and not seen:
            done.problems.append(
                f"{self.locker.address} has no folder of a Data Locker since {first_day} (t=installs/dt={first_day}/): "
                "check apps.history.locker. What AppsFlyer writes is there after three hours at most."
            )
        watch = StoreWatch(self.clock)
        with opened_progress(self.data_dir / "locker.db") as progress:
            for folder in folders:
                if not folder.may_be_of(self.plan.account.app_id):
                    continue
                marks = {file.name: file.mark for file in folder.files}
                others, known = _parted(seen.get(folder.name, {}), marks)
                if known == marks or not marks:
                    continue
                if not folder.is_complete and folder.newest_ms > now_ms - self.wait_ms:
                    done.waiting += 1
                    continue
                watch.begin()
                try:
                    former = [file for file in folder.former if file.name in seen.get(folder.name, {})]
                    await self._read(folder, former, progress, forgotten, done)
                except InboxUnavailable as problem:
                    done.problems.append(str(problem))
                    break  # it was waited for: each further folder would wait as long
                except FlybridgeError as problem:
                    done.problems.append(str(problem))
                    if watch.is_over(problem):
                        break
                    continue
                watch.is_over(None)
                done.folders += 1
                seen[folder.name] = {**others, **marks}
                state = f"{STATE} {self.plan.app} {folder.name}"
                await self.store.put_state(state, msgspec.json.encode(seen[folder.name]))
        await self._prune(seen, day_of(now_ms - KEPT_DAYS * DAY_MS))
        return done

    async def _read(
        self,
        folder: LockerFolder,
        former: Sequence[RawFile],
        progress: Progress,
        forgotten: Forgotten,
        done: LockerRead,
    ) -> None:
        """Read a folder, of which `former` files were read. Raises what is wrong with a file after all others."""
        earlier = FormerRows(progress, folder.place)
        await earlier.read(former)

        def wanted(row: RawRow) -> bool:
            ms = happened_ms(row.fields)
            is_left_out = ms is not None and forgotten.holds(ms, folder.day)
            done.left_out += is_left_out
            return not is_left_out

        problems = list[FlybridgeError]()
        app_id = self.plan.account.app_id
        taker = RowTaker(
            self.plan.app,
            Source.LOCKER,
            self.accept,
            self.clock,
            app_id=app_id,
            wanted=wanted,
            is_revised=earlier.has_other_amount if former else None,
        )
        # Equal rows may stand in several parts of a folder: they are counted together.
        with closing(progress.counting(by_attribution=self.plan.by_attribution)) as equal:
            for file in sorted(folder.files, key=lambda file: file.key):
                rows = RawRows(file, UTC_TIMES, report_named(f"t={folder.report}/"))
                try:
                    taken: Taken = await taker.take(file.name, rows, equal)
                except InboxUnavailable:
                    raise
                except FlybridgeError as problem:
                    problems.append(problem)
                    continue
                done.rows += taken.rows
                done.taken += taken.taken
                done.revised += taken.left_out.get(REVISED, 0)
                done.bad += taken.bad
        if problems:
            raise problems[0]

    async def _seen(self) -> dict[str, Mapping[str, str]]:
        beginning = f"{STATE} {self.plan.app} "
        return {
            name.removeprefix(beginning): value
            for name, value in readable(await self.store.states(beginning), _seen).items()
        }

    async def _prune(self, seen: Mapping[str, object], first_day: str) -> None:
        old = [name for name in seen if name.split(" ")[1] < first_day]
        if old:
            await self.store.drop_states([f"{STATE} {self.plan.app} {name}" for name in old])


def _first_day(seen: Mapping[str, object], now_ms: int, days: int) -> str:
    """Return since when folders are looked for: so many days, or since what was read last if that is longer ago."""
    times = [ms for name in seen if (ms := time_ms(name.split(" ")[1])) is not None]
    since_ms = max(times, default=now_ms) - REWRITTEN_DAYS * DAY_MS
    return day_of(min(now_ms - days * DAY_MS, max(since_ms, now_ms - (KEPT_DAYS - 1) * DAY_MS)))


def _parted(seen: Mapping[str, str], marks: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the marks of an hour's files in other folders than that of `marks`, and those in the same."""
    here = set(map(folder_of, marks))
    others, same = dict[str, str](), dict[str, str]()
    for name, mark in seen.items():
        (same if folder_of(name) in here else others)[name] = mark
    return others, same


_seen: Final = msgspec.json.Decoder(dict[str, str]).decode
