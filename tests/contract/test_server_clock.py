"""Machines whose clocks differ share a store on PostgreSQL: leases end by the clock of its server."""

from __future__ import annotations

import asyncio
import time

import pytest
from filings import direct

from flybridge.delivery.context import Context, Settings
from flybridge.delivery.exchange import Accepted, HttpRequest, HttpResponse, Limits
from flybridge.delivery.worker import Worker
from flybridge.records import HOUR_MS
from flybridge.sealing import Seal
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.records import Lane
from flybridge.store.server_clock import ServerClock
from flybridge.store.sqlite.store import SqliteStore

MINUTE_MS = HOUR_MS // 60
SEAL = Seal(b"the secret of the contract suite")
LANE = Lane("shop", "http_v2")


class WrongClock:
    """The machine's clock, wrong by so much."""

    def __init__(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._ahead_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Once:
    """An endpoint whose vendor takes everything and recognises nothing."""

    limits = Limits(max_items=10, max_bytes=1000, concurrency=1)
    deduplicates = False

    def size(self, item):
        return 1

    def request(self, items):
        return HttpRequest("POST", "http://vendor.invalid/", {}, b"")

    def verdicts(self, items, response):
        return [Accepted()] * len(items)


class Slow:
    """A transport that keeps what it sends until `answers` is set."""

    def __init__(self) -> None:
        self.sent = 0
        self.answers = asyncio.Event()

    async def send(self, request):
        self.sent += 1
        await self.answers.wait()
        return HttpResponse(200, {}, b"")


@pytest.mark.service
@pytest.mark.parametrize("first_ms", [0, -5 * MINUTE_MS, 5 * MINUTE_MS])
@pytest.mark.parametrize("second_ms", [5 * MINUTE_MS, -5 * MINUTE_MS])
async def test_what_one_worker_is_sending_is_not_taken_over_for_another_clock(new_database, first_ms, second_ms):
    """A lease that is two minutes old by neither clock of the two is not over."""
    settings, stop = Settings(poll_ms=20), asyncio.Event()
    transports, workers, stores = [Slow(), Slow()], [], []
    async with new_database() as dsn:
        for transport, ahead_ms in zip(transports, (first_ms, second_ms), strict=True):
            store, clock = PostgresStore(dsn, SEAL), WrongClock(ahead_ms)
            await store.open()
            stores.append(store)
            server = ServerClock(clock)
            await server.measure(store)
            context = Context(store, transport, clock, settings=settings, ahead_ms=lambda one=server: one.ahead_ms)
            workers.append(Worker(context, {LANE: Once()}))
        await stores[0].file([direct("install")], WrongClock(-10 * MINUTE_MS).now_ms())
        running = [asyncio.create_task(workers[0].run(stop))]
        while not transports[0].sent:  # noqa: ASYNC110 - what is waited for happens in another task
            await asyncio.sleep(0.01)
        running.append(asyncio.create_task(workers[1].run(stop)))
        await asyncio.sleep(0.5)
        for transport in transports:
            transport.answers.set()
        await asyncio.sleep(0.2)
        stop.set()
        await asyncio.gather(*running)
        assert [transport.sent for transport in transports] == [1, 0]
        assert (workers[0].stale, [count.outcome for count in await stores[0].counts()]) == (0, ["delivered"])
        assert await stores[0].uncertain_counts() == []
        for store in stores:
            await store.close()


@pytest.mark.service
@pytest.mark.parametrize("ahead_ms", [0, 5 * MINUTE_MS, -5 * MINUTE_MS])
async def test_the_difference_to_the_server_is_measured(new_database, ahead_ms):
    async with new_database() as dsn:
        store = PostgresStore(dsn, SEAL)
        await store.open()
        server = ServerClock(WrongClock(ahead_ms))
        await server.measure(store)
        await store.close()
    assert abs(server.ahead_ms + ahead_ms) < 1000


async def test_a_file_has_the_clock_of_its_machine(tmp_path):
    store = SqliteStore(tmp_path / "store.db", SEAL)
    await store.open()
    server = ServerClock(WrongClock(5 * MINUTE_MS))
    await server.measure(store)
    await store.close()
    assert server.ahead_ms == 0


async def test_a_measure_that_took_long_does_not_count():
    """Nobody knows when in that time the server looked at its clock."""

    class Asked:
        async def time_ms(self):
            clock.ahead_ms += 3000
            return 0

    class Stepping(WrongClock):
        ahead_ms = 0

        def now_ms(self):
            return self.ahead_ms

    clock = Stepping(0)
    server = ServerClock(clock)
    await server.measure(Asked())
    assert server.ahead_ms == 0
