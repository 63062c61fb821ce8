"""What only cohorts on PostgreSQL promise: many workers on one audience, and a server that goes away."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from filings import NOW_MS, envelope, key

from flybridge.config.settings import loads
from flybridge.errors import StoreUnavailable
from flybridge.records import Apply, Filing, Member, MemberChange, Person, Source
from flybridge.sealing import Seal
from flybridge.service.backends import opened_cohorts
from flybridge.store.audiences.records import EXTRAS_WAIT_MS, NEVER_MS, Action, Run, Target
from flybridge.store.postgres.store import PostgresCohorts, PostgresStore
from flybridge.testing.postgres import postgres

pytestmark = pytest.mark.service

SEAL = Seal(b"the secret of the contract suite")
LEASE_MS = 60_000
CONFIG = """
data_dir = "./data"
secret = "a secret of sixteen characters"
[cluster]
nats = ["nats://127.0.0.1:4222"]
postgres = "{dsn}"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
route = "http_v2"

[apps.appsflyer]
push_token = "push-token"

[apps.amplitude]
api_key = "key"
"""
TARGETS = [Target("shop", f"a{number}", f"c{number}", b"key") for number in range(4)]


def member(name: str, extra: bytes = b"") -> Member:
    """Build a member with a phone that every tenth shares."""
    return Member((key(name),), (key(f"phone {int(name) // 10}"),), "gaid", f"gaid-{int(name) // 10}", extra=extra)


def said(name: str, at: int, *, wanted: bool, audience: str = "a0") -> Filing:
    """Say that somebody came or left."""
    one = member(name)
    change = MemberChange("shop", audience, NOW_MS + at, wanted, one)
    persons = (Person(one.persons + one.marks),)
    return Filing(envelope(source=Source.COHORT), Apply("cohort"), members=(change,), persons=persons)


@pytest.fixture
async def dsn(new_database):
    """Return a database with all tables."""
    async with new_database() as address:
        yield address


@pytest.fixture
async def workers(dsn):
    """Return what four workers have of it."""
    some = [(PostgresStore(dsn, SEAL), PostgresCohorts(dsn, SEAL)) for _ in range(4)]
    for store, cohorts in some:
        await store.open()
        await cohorts.open()
    await asyncio.gather(*(cohorts.keep(TARGETS) for _, cohorts in some))
    yield some
    assert await some[0][1].audit() == []
    assert await some[0][0].audit() == []
    for store, cohorts in some:
        await cohorts.close()
        await store.close()


async def take(cohorts: PostgresCohorts, owner: str = "me", now_ms: int = NOW_MS):
    """Take the first audience."""
    claim = await cohorts.claim("shop", "a0", owner, now_ms, LEASE_MS)
    assert claim is not None
    return claim


async def release(cohorts: PostgresCohorts, claim) -> None:
    """Give it back."""
    await cohorts.finish(claim, Run(began_ms=NOW_MS), next_ms=NEVER_MS, tries=0)


async def test_of_many_workers_that_find_it_due_one_runs_it(workers):
    """Each audience once, however many ask, and also when the first is through before the last has asked."""

    async def run(number: int) -> list[str]:
        _, cohorts = workers[number]
        ran = []
        for one in await cohorts.due(NOW_MS):
            claim = await cohorts.claim("shop", one.name, f"worker {number}", NOW_MS, LEASE_MS, due=True)
            if claim is not None:
                ran.append(one.name)
                await release(cohorts, claim)
        return ran

    ran = await asyncio.gather(*(run(number) for number in range(4)))
    assert sorted(name for names in ran for name in names) == ["a0", "a1", "a2", "a3"]
    assert len(await workers[0][1].history()) == 4


async def test_snapshots_filing_sending_and_forgetting_at_once_leave_counters_right(workers):
    """In whatever order they come to the row of the audience; the last snapshot is then what is wanted."""
    (_, runner), *others = workers

    async def talk(number: int) -> None:
        store, _ = others[number]
        for step in range(15):
            names = [str((number * 7 + step * 3 + i) % 60) for i in range(8)]
            changes = [said(name, step * 10 + number, wanted=(step + i) % 2 == 0) for i, name in enumerate(names)]
            await store.file(changes, NOW_MS)

    async def forget() -> None:
        for number in range(5):
            await others[0][0].forget([key(str(number))], NOW_MS + 5, receipt=f"r{number}")

    async def keep_in_step(rounds: int) -> None:
        for number in range(rounds):
            claim = await take(runner)
            await runner.stage(claim, [member(str(i)) for i in range(number, 60, 2)])
            await runner.apply(claim, NOW_MS + number * 20, None)
            for action in (Action.REMOVE, Action.ADD):
                devices = await runner.changes(claim, action, 100, b"")
                await runner.settle(claim, action, [device.mark for device in devices], NOW_MS)
            await release(runner, claim)

    await asyncio.gather(*(talk(number) for number in range(3)), forget(), keep_in_step(6))
    claim = await take(runner)
    await runner.stage(claim, [member(str(i)) for i in range(10, 40)])
    await runner.stage(claim, [member("3")])  # who was forgotten
    assert (await runner.apply(claim, NOW_MS + 1000, None)).rows == 31
    for action in (Action.REMOVE, Action.ADD):
        devices = await runner.changes(claim, action, 100, b"")
        await runner.settle(claim, action, [device.mark for device in devices], NOW_MS)
    await release(runner, claim)
    (one,) = [one for one in await runner.standings(NOW_MS) if one.name == "a0"]
    assert (one.people, one.listed, one.to_add, one.to_remove) == (30, 3, 0, 0)


async def test_an_audience_that_is_dropped_while_it_is_filed_about_begins_anew(workers):
    """Nothing of the former is left, and no message fails."""
    (store, cohorts), (other, _), *_ = workers

    async def drop() -> None:
        for _ in range(10):
            await cohorts.drop("shop", "a0")

    async def talk(by: PostgresStore, first: int) -> None:
        for number in range(first, first + 20):
            await by.file([said(str(number), 0, wanted=True)], NOW_MS)

    await asyncio.gather(drop(), talk(store, 0), talk(other, 100))
    await cohorts.drop("shop", "a0")
    await store.file([said("7", 0, wanted=True)], NOW_MS)
    (one,) = [one for one in await cohorts.standings(NOW_MS) if one.name == "a0"]
    assert one.people == 1


async def test_a_large_snapshot_is_compared_with_what_was_filed_while_it_was_staged(workers):
    """Thousands of rows, known people and devices among them, and what the additional-identifiers API is to know."""
    (store, cohorts), *_ = workers
    await store.file([said(str(i), 0, wanted=True) for i in range(0, 3000, 3)], NOW_MS)
    claim = await take(cohorts)
    for first in range(0, 6000, 1000):
        await cohorts.stage(claim, [member(str(i), extra=b"{}") for i in range(first, first + 1000)])
    await store.file([said("9", 5, wanted=False), said("7000", 5, wanted=True)], NOW_MS)
    applied = await cohorts.apply(claim, NOW_MS + 3, None)
    assert (applied.rows, applied.joined, applied.left) == (6000, 5000, 0)
    (one,) = [one for one in await cohorts.standings(NOW_MS) if one.name == "a0"]
    assert (one.people, one.to_add) == (6000, 601)
    devices = await cohorts.changes(claim, Action.ADD, 1000, b"")
    await cohorts.settle(claim, Action.ADD, [device.mark for device in devices], NOW_MS)
    assert len(await cohorts.extras(claim, 1000, b"", NOW_MS + EXTRAS_WAIT_MS)) == 600
    await release(cohorts, claim)


async def test_texts_that_postgresql_can_not_hold_are_replaced(workers):
    """A cohort may be called anything."""
    (_, cohorts), *_ = workers
    claim = await take(cohorts)
    await cohorts.learn(claim, title="VIPs\0\ud800")
    await release(cohorts, claim)
    assert (await take(cohorts, "another")).title == "VIPs\ufffd?"


async def test_a_snapshot_is_lost_with_its_server_and_the_next_worker_goes_on(postgres_server):
    """Nothing of it was taken over; the claim lapses by itself, and the connections come back."""
    with tempfile.TemporaryDirectory(prefix="flybridge-postgres-") as folder:
        async with postgres(Path(folder) / "server") as server:
            store, cohorts = PostgresStore(server.dsn(), SEAL), PostgresCohorts(server.dsn(), SEAL)
            await store.open()
            await cohorts.open()
            await cohorts.keep(TARGETS)
            await store.file([said("1", 0, wanted=True)], NOW_MS)
            claim = await take(cohorts)
            await cohorts.stage(claim, [member("2")])
            await server.kill()
            with pytest.raises(StoreUnavailable, match="The store"):
                await cohorts.changes(claim, Action.ADD, 100, b"")
            await server.start()
            with pytest.raises(StoreUnavailable):
                await cohorts.stage(claim, [member("3")])
            with pytest.raises(StoreUnavailable):
                await cohorts.apply(claim, NOW_MS + 1, None)
            assert await cohorts.claim("shop", "a0", "another", NOW_MS, LEASE_MS) is None
            later = await take(cohorts, "another", NOW_MS + LEASE_MS)
            assert [one.value for one in await cohorts.changes(later, Action.ADD, 100, b"")] == ["gaid-0"]
            assert (await cohorts.apply(later, NOW_MS + 1, None)).left == 1
            assert await cohorts.audit() == []
            await cohorts.close()
            await store.close()


async def test_a_configured_cluster_keeps_its_audiences_in_the_cluster(dsn, tmp_path):
    """In the store of everything else, whatever the data directory is."""
    config = loads(CONFIG.format(dsn=dsn), tmp_path, {})
    async with opened_cohorts(config) as cohorts:
        await cohorts.keep(TARGETS)
    async with opened_cohorts(config) as cohorts:
        assert [one.name for one in await cohorts.standings(NOW_MS)] == ["a0", "a1", "a2", "a3"]
    assert not (tmp_path / "data").exists()
