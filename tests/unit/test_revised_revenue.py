"""Ad revenue that AppsFlyer writes again with other amounts is not counted twice, and that is said."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from pathlib import Path

import pytest

from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.clock import SystemClock
from flybridge.flow import AppFlow, Flow
from flybridge.history.files import find_files
from flybridge.history.locker import LockerFollower
from flybridge.history.locker_folders import Locker, newest_files
from flybridge.history.pull import PullPlan
from flybridge.history.run import HistoryImport, ImportPlan
from flybridge.history.take import REVISED
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import HOUR_MS, Envelope
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock

APP = "com.example.shop"
NOW_MS = 1_768_003_200_000  # 2026-01-10 00:00 UTC
COLUMNS = "appsflyer_id,event_name,event_time,event_revenue,event_revenue_currency,monetization_network,ad_unit,app_id"
FIRST = {("1", "admob", "a"): "0.5", ("1", "admob", "b"): "0.5", ("1", "unity", "a"): "0.1", ("2", "admob", "a"): "2"}
SECOND = FIRST | {("1", "admob", "b"): "0.7", ("3", "admob", "a"): "1"}
"""One amount has changed, and one row is new."""


def write(bucket: Path, version: int, rows: dict[tuple[str, str, str], str], hour: str = "23") -> None:
    """Write a version of a day."""
    folder = bucket / f"t=attributed_ad_revenue/dt=2026-01-09/h={hour}/version={version}"
    folder.mkdir(parents=True)
    lines = [
        f"{person},af_ad_revenue,2026-01-09 12:00:00,{amount},USD,{network},{unit},{APP}"
        for (person, network, unit), amount in rows.items()
    ]
    (folder / "part-0.gz").write_bytes(gzip.compress("\n".join([COLUMNS, *lines, ""]).encode()))
    (folder / "_SUCCESS").touch()


class Inbox:
    """What was taken, each event once: whose it is, of which network and unit, and its amount."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str, str], int] = {}

    async def accept(self, envelope: Envelope) -> None:
        """Take a message."""
        row = json.loads(envelope.body)
        event = (row["appsflyer_id"], row["monetization_network"], row["ad_unit"], row["event_revenue"])
        self.found[event] = self.found.get(event, 0) + 1


def events(rows: dict[tuple[str, str, str], str]) -> set[tuple[str, str, str, str]]:
    """Return the events of rows."""
    return {(*key, amount) for key, amount in rows.items()}


@pytest.mark.parametrize("first", ["read", "not read"])
async def test_a_later_version_in_a_data_locker_brings_what_is_new_and_no_other_amounts(tmp_path, first):
    """If the earlier one was read. Rows that are as they were are repeats, which the store recognises."""
    bucket, inbox = tmp_path / "bucket", Inbox()
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    follower = LockerFollower(
        PullPlan("shop", AppsFlyerAccount(APP, "")), Locker(str(bucket)), store=store, accept=inbox.accept,
        data_dir=tmp_path, clock=ManualClock(NOW_MS), wait_ms=5 * HOUR_MS, dedup_days=7,
    )  # fmt: skip
    write(bucket, 1, FIRST)
    if first == "read":
        assert (await follower.look()).taken == len(FIRST)
    write(bucket, 2, SECOND)
    done = await follower.look()
    assert done.problems == []
    changed = ("1", "admob", "b")
    new = events({key: amount for key, amount in SECOND.items() if key != changed})
    expected = new | events({changed: FIRST[changed]}) if first == "read" else events(SECOND)
    assert (inbox.found.keys(), done.revised) == (expected, int(first == "read"))
    assert (await follower.look()).folders == 0
    write(bucket, 3, SECOND | {("2", "admob", "a"): "9"})
    assert (await follower.look()).revised == (2 if first == "read" else 1)
    assert inbox.found.keys() == expected
    await store.close()


async def test_an_import_of_a_later_version_says_what_it_has_left_out(tmp_path):
    """And takes the whole version if it is imported as the first one."""
    bucket, inbox = tmp_path / "bucket", Inbox()

    async def imported():
        named = find_files([str(bucket)])
        files = newest_files(named)
        plan = ImportPlan("shop", APP, files, former=[file for file in named if file not in files])
        flow = Flow({"shop": AppFlow(Rules(app="shop", platform="android"))}, Keyring(b"secret"))
        with closing(HistoryImport(plan, tmp_path / "data", SystemClock())) as importing:
            dry = await importing.survey(flow)
            await importing.survey()
            return dry, (await importing.take(inbox.accept))[0]

    write(bucket, 1, FIRST)
    dry, done = await imported()
    assert dry.left_out == done.left_out == {}
    write(bucket, 2, SECOND)
    dry, done = await imported()
    assert (done.rows, done.taken, done.left_out) == (5, 4, {REVISED: 1})
    assert (dry.rows, dry.outcomes["ad revenue"], dry.left_out) == (
        5,
        {"held until its user is known": 4},
        {REVISED: 1},
    )
    assert len(inbox.found) == len(FIRST) + 1
    write(bucket, 3, SECOND, hour="22")
    write(bucket, 4, SECOND | {("2", "admob", "a"): "9"}, hour="22")
    taken = [one for one in await again(bucket, inbox, tmp_path) if one.rows]
    assert [one.left_out for one in taken] == [{}]


async def again(bucket, inbox, tmp_path):
    """Import what is new of a directory whose hour was never imported in an earlier version."""
    named = find_files([str(bucket)])
    files = newest_files(named)
    plan = ImportPlan("shop", APP, files, former=[file for file in named if file not in files])
    with closing(HistoryImport(plan, tmp_path / "data", SystemClock())) as importing:
        return await importing.take(inbox.accept)
