"""The worker, a real store and a real server: what arrives, what is settled, and what is never sent twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from aiohttp import web

from flybridge.amplitude.attribution import AttributionApi
from flybridge.amplitude.upload import HttpV2
from flybridge.delivery.circuit import Circuit, CircuitRules, Phase
from flybridge.delivery.context import Context, Settings
from flybridge.delivery.exchange import Endpoint
from flybridge.delivery.lane_reports import Order, give_order, read_reports
from flybridge.delivery.lifecycle import RetryPolicy, Uncertain
from flybridge.delivery.observer import Exchange
from flybridge.delivery.settings import DeliverySettings
from flybridge.delivery.transport import HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.errors import StoreUnavailable
from flybridge.records import Deliver, Delivery, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.records import Capacity, Filed, Lane, Settled, Settlement
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import JumpingClock

START = 1_700_000_000_000
POLL_MS = 777
V2 = Lane("shop", "http_v2")
V1 = Lane("shop", "attribution")
Answer = tuple[int, object]
Script = Callable[[list[str]], Answer]


def tuned(endpoint: Endpoint, **limits: Any) -> Endpoint:
    """Return an endpoint with the limits of a configuration."""
    endpoint.limits = DeliverySettings(**limits).tuned(endpoint.limits)
    return endpoint


class Vendor:
    """Amplitude's upload and attribution doors on a free port, answering from a script."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[list[str]] = []
        self.script: Script = lambda _: (200, {"code": 200})
        self.before: Callable[[], object] | None = None

    @property
    def received(self) -> Counter[str]:
        """Count the events that came in, whatever was answered, by event type."""
        return Counter(name for request in self.requests for name in request)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Answer an upload."""
        body = await request.read()
        return await self._answer(request, [event["event_type"] for event in msgspec.json.decode(body)["events"]])

    async def attribution(self, request: web.Request) -> web.StreamResponse:
        """Answer an attribution event."""
        form = parse_qs((await request.read()).decode())
        return await self._answer(request, [msgspec.json.decode(form["event"][0])["event_type"]])

    async def _answer(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        self.requests.append(names)
        if self.before is not None:
            before, self.before = self.before, None
            waiting = before()
            if asyncio.iscoroutine(waiting):
                await waiting
        status, body = self.script(names)
        if status == 0:
            assert request.transport is not None
            request.transport.close()
        if status == 200 and isinstance(body, dict):
            body = {**body, "code": 200}
        return web.Response(status=status or 200, body=body if isinstance(body, bytes) else msgspec.json.encode(body))


class Seen:
    """Remembers what the worker tells."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.circuits: list[Circuit] = []
        self.troubles: list[Exception] = []

    def on_exchange(self, exchange: Exchange) -> None:
        """Remember a request."""
        self.exchanges.append(exchange)

    def on_circuit(self, lane: Lane, circuit: Circuit) -> None:
        """Remember that a lane stopped or went on."""
        self.circuits.append(circuit)

    def on_trouble(self, lane: Lane | None, error: Exception) -> None:
        """Remember what went wrong."""
        self.troubles.append(error)


class Bench:
    """A store, a vendor, a clock, and workers between them."""

    def __init__(self, store: SqliteStore, vendor: Vendor) -> None:
        self.store = store
        self.vendor = vendor
        self.clock = JumpingClock(START, endless_s={POLL_MS / 1000})
        self.transport = HttpTransport(timeout_s=5)
        self.seen = Seen()
        self.filed = 0

    def worker(
        self,
        *,
        v2: Endpoint | None = None,
        v1: Endpoint | None = None,
        policy: RetryPolicy | None = None,
        store: SqliteStore | None = None,
    ) -> Worker:
        """Return a worker for both lanes."""
        endpoints: dict[Lane, Endpoint] = {
            V2: v2 or HttpV2("key-of-app", self.vendor.url),
            V1: v1 or AttributionApi("key-of-app", self.vendor.url),
        }
        return Worker(
            Context(
                store or self.store,
                self.transport,
                self.clock,
                policy=policy or RetryPolicy(),
                rules=CircuitRules(threshold=3, base_s=5.0),
                settings=Settings(poll_ms=POLL_MS),
                observer=self.seen,
                jitter=lambda: 0.0,
            ),
            endpoints,
        )

    async def file(self, names: Sequence[str], lane: Lane = V2, capacity: Sequence[Capacity] = ()) -> Filed:
        """File one delivery per name."""
        filings = []
        for name in names:
            self.filed += 1
            body = msgspec.json.encode({"event_type": name})
            deliver = Deliver(lane.endpoint, f"i{self.filed}", name, body, f"user-{name}", f"device-{name}")
            envelope = Envelope(lane.app, Source.PUSH, Media.JSON, START, body, f"r{self.filed}")
            filings.append(Filing(envelope, deliver))
        return await self.store.file(filings, self.clock.now_ms(), capacity)

    async def outcomes(self) -> dict[str, int]:
        """Count envelopes by outcome, after the store's own audit."""
        assert await self.store.audit() == []
        counts: Counter[str] = Counter()
        for count in await self.store.counts():
            if count.outcome != "received":
                counts[count.outcome] += count.n
        return {outcome: n for outcome, n in counts.items() if n}

    async def buried(self) -> dict[str, str]:
        """Return the reasons of the dead letters, by event type."""
        return {msgspec.json.decode(dead.body)["event_type"]: dead.reason for dead in await self.store.dead()}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Return a bench with everything running."""
    vendor = Vendor()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/2/httpapi", vendor.upload)
    app.router.add_post("/attribution", vendor.attribution)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    store = SqliteStore(tmp_path / "store.db", Seal(b"a secret of the tests"))
    await store.open()
    bench = Bench(store, vendor)
    yield bench
    await bench.transport.close()
    await runner.cleanup()
    await store.close()


async def until(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until something holds."""
    while True:
        held = holds()
        if held is True or (held is not False and await held):
            return
        await asyncio.sleep(0.01)


def numbered(count: int) -> list[str]:
    """Return that many names."""
    return [f"event-{n}" for n in range(count)]


@pytest.mark.parametrize(("lane", "requests"), [(V2, 3), (V1, 50)])
async def test_everything_due_is_delivered_once_in_full_requests(bench: Bench, lane: Lane, requests: int) -> None:
    """Fifty items in requests of twenty, or one by one where the vendor takes one."""
    await bench.file(numbered(50), lane)
    assert await bench.worker(v2=tuned(HttpV2("key-of-app", bench.vendor.url), max_items=20)).drain() == 50
    assert bench.vendor.received == Counter(numbered(50))
    assert len(bench.vendor.requests) == requests
    assert await bench.outcomes() == {"delivered": 50}
    assert sum(exchange.counts()["accepted"] for exchange in bench.seen.exchanges) == 50


async def test_a_request_that_is_too_large_is_halved_until_it_fits(bench: Bench) -> None:
    """The vendor's real limit is found within the lease, and no try is lost."""
    await bench.file(numbered(20))
    bench.vendor.script = lambda names: (413 if len(names) > 5 else 200, {"code": 200})
    await bench.worker().drain()
    assert [len(request) for request in bench.vendor.requests if len(request) > 5] == [20, 10, 10]
    assert await bench.outcomes() == {"delivered": 20}


async def test_an_item_that_is_too_large_alone_dies_and_says_so(bench: Bench) -> None:
    """It takes nobody along. Nothing else is sent that could show a proxy that refuses at random: it takes a minute."""
    await bench.file(numbered(6))
    bench.vendor.script = lambda names: (413 if "event-3" in names else 200, {"code": 200})
    worker = bench.worker()
    for waited_s in range(0, 70, 5):
        await worker.drain()
        assert waited_s > 10 or not await bench.buried()
        bench.clock.advance(5)
    assert await bench.buried() == {"event-3": "too_large"}
    assert await bench.outcomes() == {"delivered": 5, "dead": 1}


async def test_the_event_that_spoils_a_request_is_found_and_only_it_dies(bench: Bench) -> None:
    """A 400 that names nobody: halving finds the culprit in a logarithm of requests."""
    await bench.file(numbered(32))
    bench.vendor.script = lambda names: (
        400 if "event-9" in names else 200,
        {"code": 400, "error": "Invalid event JSON"},
    )
    worker = bench.worker()
    await worker.drain()
    assert await bench.outcomes() == {"delivered": 31, "pending": 1}
    assert len(bench.vendor.requests) == 11
    for n in range(4):
        await bench.file([f"other-{n}"])
        bench.clock.advance(10)
        await worker.drain()
    assert await bench.buried() == {"event-9": "invalid_event"}
    assert await bench.outcomes() == {"delivered": 35, "dead": 1}
    assert 2 <= bench.vendor.requests[11:].count(["event-9"]) <= 3


async def test_named_events_die_and_the_rest_goes_at_once(bench: Bench) -> None:
    """Two requests: one refused, one without the culprit."""
    await bench.file(numbered(10))

    def script(names: list[str]) -> Answer:
        if "event-4" not in names:
            return 200, {"code": 200}
        return 400, {"code": 400, "error": "x", "events_with_invalid_fields": {"time": [names.index("event-4")]}}

    bench.vendor.script = script
    await bench.worker().drain()
    assert await bench.buried() == {"event-4": "invalid_fields"}
    assert [len(request) for request in bench.vendor.requests] == [10, 9]


async def test_a_throttled_device_waits_alone(bench: Bench) -> None:
    """The others are delivered at once, it half a minute later."""
    await bench.file(numbered(5))
    worker = bench.worker()
    bench.vendor.script = lambda names: (
        (429, {"throttled_devices": {"device-event-2": 99}}) if "event-2" in names else (200, {"code": 200})
    )
    assert await worker.drain() == 4
    bench.vendor.script = lambda _: (200, {"code": 200})
    bench.clock.advance(29.999)
    assert await worker.drain() == 0
    bench.clock.advance(0.001)
    assert await worker.drain() == 1
    assert await bench.outcomes() == {"delivered": 5}


@pytest.mark.parametrize("lane", [V2, V1])
@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [(400, "Invalid API key: x", "invalid_api_key"), (401, "", "unauthorized"), (403, "Forbidden", "forbidden")],
)
async def test_a_refused_lane_halts_costs_no_try_and_goes_on_when_it_is_mended(
    bench: Bench, lane: Lane, status: int, error: str, reason: str
) -> None:
    """The circuit says what to do; with one try each, everything still arrives after a hundred failed probes."""
    await bench.file(numbered(20), lane)
    bench.vendor.script = lambda _: (status, {"code": status, "error": error})
    worker = bench.worker(policy=RetryPolicy(tries=1))
    for _ in range(100):
        assert await worker.drain() == 0
        bench.clock.advance(30)
    circuit = worker.circuits()[lane]
    assert (circuit.phase, circuit.halted, circuit.reason) == (Phase.OPEN, True, reason)
    assert circuit.remedy
    assert len(bench.vendor.requests) < 200
    assert len(bench.seen.circuits) == 1
    assert await bench.outcomes() == {"pending": 20}
    bench.vendor.script = lambda _: (200, {"code": 200})
    bench.clock.advance(300)
    assert await worker.drain() == 20
    assert worker.circuits()[lane].phase is Phase.CLOSED


@pytest.mark.parametrize("lane", [V2, V1])
async def test_one_event_that_the_firewall_refuses_does_not_stop_the_others(bench: Bench, lane: Lane) -> None:
    """Anybody can put an attack into a campaign name; it dies alone, and the lane is open in the end."""
    await bench.file(["attack", *numbered(30)], lane)
    bench.vendor.script = lambda names: (403 if "attack" in names else 200, {"code": 200})
    worker = bench.worker()
    for n in range(9):
        await worker.drain()
        await bench.file([f"later-{n}"], lane)
        bench.clock.advance(150)
    await worker.drain()
    assert await bench.buried() == {"attack": "refused_alone"}
    assert await bench.outcomes() == {"delivered": 39, "dead": 1}
    assert worker.circuits()[lane].phase is Phase.CLOSED


async def test_a_halted_lane_does_not_stop_another(bench: Bench) -> None:
    """Each lane has its own circuit."""
    await bench.file(numbered(5), V2)
    await bench.file(["attributed"], V1)
    bench.vendor.script = lambda names: (200 if names == ["attributed"] else 401, {"code": 200})
    assert await bench.worker().drain() == 1
    assert await bench.outcomes() == {"delivered": 1, "pending": 5}


@pytest.mark.parametrize("status", [500, 503, 0])
async def test_an_outage_opens_the_circuit_and_costs_the_items_nothing_more(bench: Bench, status: int) -> None:
    """A week without answers, and everything is still there with tries to spare."""
    await bench.file(numbered(40))
    bench.vendor.script = lambda _: (status, b"")
    worker = bench.worker(v2=tuned(HttpV2("key-of-app", bench.vendor.url), max_items=10, concurrency=1))
    for _ in range(300):
        await worker.drain()
        bench.clock.advance(2100)
    assert await bench.outcomes() == {"pending": 40}
    assert not worker.circuits()[V2].halted
    bench.vendor.script = lambda _: (200, {"code": 200})
    for _ in range(3):
        bench.clock.advance(40_000)
        await worker.drain()
    assert await bench.outcomes() == {"delivered": 40}


async def test_an_item_that_always_fails_dies_when_its_tries_are_spent(bench: Bench) -> None:
    """Others keep the circuit closed, so its tries count."""
    bench.vendor.script = lambda names: (500 if "poison" in names else 200, {"code": 200})
    await bench.file(["poison"])
    worker = bench.worker(policy=RetryPolicy(tries=3))
    for n in range(8):
        await worker.drain()
        await bench.file([f"other-{n}"])
        await worker.drain()
        bench.clock.advance(60)
    assert (await bench.buried())["poison"] == "tries_spent"


async def test_nobody_there_costs_no_try_and_is_not_uncertain(bench: Bench) -> None:
    """Without a connection nothing was sent."""
    await bench.file(["a"], V1)
    worker = bench.worker(v1=AttributionApi("key-of-app", "http://127.0.0.1:9"), policy=RetryPolicy(tries=1))
    for _ in range(10):
        await worker.drain()
        bench.clock.advance(400)
    assert await bench.outcomes() == {"pending": 1}
    assert [entry.uncertain async for entry in bench.store.ledger()] == [0]
    assert {exchange.reason for exchange in bench.seen.exchanges} == {"unreachable"}


@pytest.mark.parametrize("status", [0, 500, 502, 504])
@pytest.mark.parametrize(("policy", "outcome"), [(Uncertain.RESEND, "delivered"), (Uncertain.PARK, "dead")])
async def test_a_lost_answer_is_uncertain_where_the_vendor_does_not_deduplicate(
    bench: Bench, status: int, policy: Uncertain, outcome: str
) -> None:
    """It is sent again or waits for a person, as configured."""
    await bench.file(["a"], V1)
    bench.vendor.script = lambda _: (status, b"")
    worker = bench.worker(policy=RetryPolicy(uncertain=policy))
    await worker.drain()
    bench.vendor.script = lambda _: (200, b"")
    bench.clock.advance(60)
    await worker.drain()
    assert await bench.outcomes() == {outcome: 1}
    assert bench.vendor.received["a"] == (2 if policy is Uncertain.RESEND else 1)
    if policy is Uncertain.PARK:
        assert await bench.buried() == {"a": "uncertain"}


async def test_a_lost_answer_is_in_the_account(bench: Bench) -> None:
    """The ledger says how often each message may have been doubled."""
    await bench.file(["a", "b"], V1)
    bench.vendor.script = lambda names: (500 if names == ["a"] else 200, b"")
    worker = bench.worker()
    await worker.drain()
    bench.vendor.script = lambda _: (200, b"")
    bench.clock.advance(60)
    await worker.drain()
    assert sorted([entry.uncertain async for entry in bench.store.ledger()]) == [0, 1]


async def test_503_is_not_uncertain(bench: Bench) -> None:
    """The vendor says that it did not process the request."""
    await bench.file(["a"], V1)
    bench.vendor.script = lambda _: (503, b"")
    worker = bench.worker(policy=RetryPolicy(uncertain=Uncertain.PARK))
    await worker.drain()
    assert await bench.outcomes() == {"pending": 1}


async def test_a_worker_that_dies_in_flight_leaves_only_what_had_begun_uncertain(bench: Bench) -> None:
    """Another worker takes over when the lease has lapsed, and everything arrives: four had begun."""
    await bench.file(numbered(200), V1)
    died = asyncio.Event()

    async def hang() -> None:
        died.set()
        await asyncio.sleep(3600)

    bench.vendor.before = hang
    first = asyncio.create_task(
        bench.worker(v1=tuned(AttributionApi("key-of-app", bench.vendor.url), concurrency=1)).drain()
    )
    await died.wait()
    first.cancel()
    await asyncio.wait([first])
    other = bench.worker()
    await other.drain()
    bench.clock.advance(Settings().lease_ms / 1000)
    await other.drain()
    assert await bench.outcomes() == {"delivered": 200}
    assert sum([entry.uncertain async for entry in bench.store.ledger()]) == 4
    assert set(bench.vendor.received) == set(numbered(200))


async def test_after_a_crash_few_begin_at_once_for_a_minute(bench: Bench) -> None:
    """So that a process that dies again and again sends less of them twice."""
    await bench.file(numbered(400), V1)
    api = tuned(AttributionApi("key-of-app", bench.vendor.url), concurrency=16)

    async def killed() -> int:
        """Let a worker die in its first requests. Returns how many had begun."""
        died = asyncio.Event()

        async def hang() -> None:
            died.set()
            await asyncio.sleep(3600)

        bench.vendor.before = hang
        task = asyncio.create_task(bench.worker(v1=api).drain())
        await died.wait()
        task.cancel()
        await asyncio.wait([task])
        before = sum([entry.uncertain async for entry in bench.store.ledger()])
        bench.clock.advance(Settings().lease_ms / 1000)
        return before

    assert await killed() == 0
    first = await killed()  # the first had begun so many
    assert first == 64
    assert await killed() - first <= 16  # as many as were in flight
    await bench.worker(v1=api).drain()
    assert await bench.outcomes() == {"delivered": 400}


async def test_nothing_is_sent_on_a_lease_that_could_lapse(bench: Bench) -> None:
    """While the first of four requests hangs, their lease lapses and another worker delivers: three don't go twice."""
    await bench.file(numbered(6), V1)

    async def overtaken() -> None:
        bench.clock.advance(Settings().lease_ms / 1000 + 0.001)
        await bench.worker().drain()

    bench.vendor.before = overtaken
    slow = bench.worker(v1=tuned(AttributionApi("key-of-app", bench.vendor.url), concurrency=1))
    await slow.drain()
    assert bench.vendor.received == Counter([*numbered(6), "event-0"])
    assert slow.stale == 4
    assert await bench.outcomes() == {"delivered": 6}


async def test_workers_share_a_store_without_sending_twice(bench: Bench) -> None:
    """Leases keep them apart."""
    await bench.file(numbered(300), V1)
    await asyncio.gather(*(bench.worker().drain() for _ in range(3)))
    assert bench.vendor.received == Counter(numbered(300))
    assert await bench.outcomes() == {"delivered": 300}


class Forgetful(SqliteStore):
    """A store that refuses every second settlement, and sometimes a lease."""

    calls = 0

    async def settle(self, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        """Refuse the first, third, ... time."""
        self.calls += 1
        if self.calls % 2:
            raise StoreUnavailable("The disk is full.")
        return await super().settle(settlements, owner, now_ms)

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        """Refuse the very first time."""
        self.calls += 1
        if self.calls == 1:
            raise StoreUnavailable("The disk is full.")
        return await super().lanes(now_ms)


async def test_answers_are_kept_while_the_store_refuses_them(bench: Bench, tmp_path: Path) -> None:
    """Nothing is sent again for it, and the trouble is told."""
    store = Forgetful(tmp_path / "store.db", Seal(b"a secret of the tests"))
    await store.open()
    await bench.file(numbered(90), V1)
    worker = bench.worker(store=store)
    for _ in range(20):
        await worker.step()
    await store.close()
    assert bench.vendor.received == Counter(numbered(90))
    assert await bench.outcomes() == {"delivered": 90}
    assert {type(error) for error in bench.seen.troubles} == {StoreUnavailable}


async def test_it_wakes_when_something_is_filed_and_stops_in_order(bench: Bench) -> None:
    """No poll is waited for. At the stop the request in flight is settled and the rest given back untried."""
    worker, stop = (
        bench.worker(v2=tuned(HttpV2("key-of-app", bench.vendor.url), max_items=10, concurrency=1)),
        asyncio.Event(),
    )
    running = asyncio.create_task(worker.run(stop))
    await bench.file(numbered(30))
    bench.vendor.before = stop.set
    worker.notify()
    await running
    assert [len(request) for request in bench.vendor.requests] == [10]
    assert await bench.outcomes() == {"delivered": 10, "pending": 20}
    (depth,) = await bench.store.depths(bench.clock.now_ms())
    assert (depth.due, depth.leased) == (20, 0)


async def test_what_is_filed_while_the_lane_has_room_is_sent_without_being_leased_again(bench: Bench) -> None:
    """Nothing was due before. What comes beyond the room is leased as ever, and all of it is sent once."""
    asked: list[int] = []
    worker, stop = (
        bench.worker(v2=tuned(HttpV2("key-of-app", bench.vendor.url), max_items=10, concurrency=1)),
        asyncio.Event(),
    )
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: bool(worker.capacity()))
    capacity = worker.capacity()
    assert capacity == [
        Capacity(lane, room.n, worker.owner, room.until_ms, begins=lane == V1)
        for lane, room in zip((V2, V1), capacity, strict=True)
    ]
    lease = bench.store.lease

    async def delivered(n: int) -> bool:
        return await bench.outcomes() == {"delivered": n}

    async def counted(lane: Lane, limit: int, now_ms: int, lease_ms: int, owner: str) -> Sequence[Delivery]:
        leased = await lease(lane, limit, now_ms, lease_ms, owner)
        asked.append(len(leased))
        return leased

    bench.store.lease = counted  # type: ignore[method-assign]
    filed = await bench.file(numbered(30), capacity=capacity)
    assert len(filed.leased) == 10 == capacity[0].n
    await worker.take(filed, capacity)
    worker.notify()
    await until(lambda: delivered(30))
    assert sum(asked) == 20
    more = await bench.file(["a", "b"], capacity=worker.capacity())
    del asked[:]
    await worker.take(more, capacity)
    await until(lambda: delivered(32))
    stop.set()
    await running
    assert asked == []
    assert bench.vendor.received == Counter([*numbered(30), "a", "b"])


async def test_what_is_filed_while_answers_are_settled_is_not_given_back(bench: Bench) -> None:
    """The lane has nothing left to send at that moment, and goes on."""
    worker, stop = bench.worker(), asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: bool(worker.capacity()))
    settle, states = bench.store.settle, list[str]()

    async def settled(settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        states.extend(settlement.state for settlement in settlements)
        if len(states) == 1:
            capacity = worker.capacity()
            await worker.take(await bench.file(["b"], capacity=capacity), capacity)
        return await settle(settlements, owner, now_ms)

    async def is_done() -> bool:
        return await bench.outcomes() == {"delivered": 2}

    bench.store.settle = settled  # type: ignore[method-assign]
    capacity = worker.capacity()
    await worker.take(await bench.file(["a"], capacity=capacity), capacity)
    await until(is_done)
    stop.set()
    await running
    assert states == ["delivered", "delivered"]


async def test_there_is_no_room_where_something_waits_or_nothing_may_be_sent(bench: Bench) -> None:
    """What has waited longer goes first; and what an open circuit would return is not taken."""
    worker = bench.worker()
    assert worker.capacity() == ()
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: bool(worker.capacity()))
    bench.vendor.script = lambda _: (401, {"code": 401, "error": "Invalid API key"})
    await bench.file(["a"])
    worker.notify()
    await until(lambda: worker.circuits()[V2].phase is not Phase.CLOSED)
    assert [room.lane for room in worker.capacity()] == [V1]
    stop.set()
    await running
    assert worker.capacity() == ()


async def test_what_was_filed_for_a_worker_that_has_ended_is_given_back(bench: Bench) -> None:
    """A stop may come while a batch is being filed: its leases do not have to lapse."""
    worker, stop = bench.worker(), asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: bool(worker.capacity()))
    capacity = worker.capacity()
    filed = await bench.file(["a", "b"], capacity=capacity)
    stop.set()
    await running
    await worker.take(filed, capacity)
    (depth,) = await bench.store.depths(bench.clock.now_ms())
    assert (depth.due, depth.leased) == (2, 0)
    assert bench.vendor.requests == []


async def test_what_is_filed_while_a_request_is_slow_does_not_wait_for_it(bench: Bench) -> None:
    """One slow answer holds one connection, not the lane."""
    worker, stop, second = bench.worker(), asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await bench.file(["second"])
        worker.notify()
        await second.wait()

    def script(names: list[str]) -> Answer:
        if names == ["second"]:
            second.set()
            stop.set()
        return 200, {"code": 200}

    bench.vendor.before, bench.vendor.script = slow, script
    await bench.file(["first"])
    await worker.run(stop)
    assert await bench.outcomes() == {"delivered": 2}


async def test_the_pace_is_kept(bench: Bench) -> None:
    """Two requests a second: ten take four seconds, after the two that may go at once."""
    await bench.file(numbered(10), V1)
    await bench.worker(v1=tuned(AttributionApi("key-of-app", bench.vendor.url), requests_per_s=2)).drain()
    assert sum(bench.clock.slept) == pytest.approx(4.0)
    assert await bench.outcomes() == {"delivered": 10}


async def test_former_owners_that_are_known_to_be_gone_are_replaced_at_once(bench: Bench) -> None:
    """The embedded service does not wait for its own old leases: the last process may have ended before it began."""
    await bench.file(numbered(3))
    assert len(await bench.store.lease(V2, 2, bench.clock.now_ms(), 120_000, "long gone")) == 2
    assert len(await bench.store.lease(V2, 10, bench.clock.now_ms(), 120_000, "gone")) == 1
    endpoint = HttpV2("key-of-app", bench.vendor.url)
    context = Context(bench.store, bench.transport, bench.clock)
    worker = Worker(context, {V2: endpoint}, replaces=("long gone", "between", "gone"))
    assert await worker.drain() == 3


async def test_deliveries_without_an_endpoint_are_named_and_stay(bench: Bench) -> None:
    """An app that left the configuration loses nothing."""
    await bench.file(["a"], Lane("gone", "http_v2"))
    worker = bench.worker()
    assert await worker.drain() == 0
    assert worker.unserved == {Lane("gone", "http_v2")}
    assert await bench.outcomes() == {"pending": 1}


async def test_orders_of_an_operator_are_carried_out_and_lanes_are_reported(bench: Bench) -> None:
    """Whichever process gives them; how lanes stand can be read by any process."""
    await bench.file(numbered(20))
    bench.vendor.script = lambda _: (401, {"error": "who is key-of-app?"})
    worker = bench.worker()
    await worker.drain()
    bench.clock.advance(3)
    await worker.drain()
    (report,) = (await read_reports(bench.store, bench.clock.now_ms())).values()
    assert report.lane == V2
    assert (report.circuit.phase, report.circuit.halted, report.circuit.reason) == (Phase.OPEN, True, "unauthorized")
    assert report.circuit.words == "127.0.0.1 answered 401: who is ***?"
    bench.vendor.script = lambda _: (200, {"code": 200})
    await give_order(bench.store, V2, Order.RETRY, bench.clock.now_ms())
    await give_order(bench.store, V2, Order.FEWER, bench.clock.now_ms())
    bench.clock.advance(3)
    await bench.store.hasten(V2, bench.clock.now_ms())
    assert await worker.drain() == 20
    assert worker.circuits()[V2].phase is Phase.CLOSED
    await bench.file(numbered(600))
    await worker.drain()
    assert max(map(len, bench.vendor.requests)) == 999 // 2
    bench.clock.advance(3600)
    assert await read_reports(bench.store, bench.clock.now_ms()) == {}


async def test_a_device_that_is_throttled_waits_with_all_its_events(bench: Bench) -> None:
    """Also with those that are filed after the answer: the vendor asks for a pause of the device."""

    def script(names: list[str]) -> Answer:
        if "event-2" not in names:
            return 200, {"code": 200}
        return 429, {"throttled_devices": {"device-event-2": 99}}

    bench.vendor.script = script
    await bench.file(numbered(5))
    worker = bench.worker()
    assert await worker.drain() == 4
    await bench.file(["event-2", "event-7"])
    assert await worker.drain() == 1
    assert bench.vendor.received["event-2"] == 1
    bench.vendor.script = lambda _: (200, {"code": 200})
    bench.clock.advance(30)
    assert await worker.drain() == 2


async def test_a_clock_that_is_set_back_stops_nothing(bench: Bench) -> None:
    """A day back used to keep a paused lane paused for a day, and retries, too."""
    await bench.file(numbered(20))
    bench.vendor.script = lambda _: (500, b"")
    worker = bench.worker()
    for _ in range(5):
        await worker.drain()
        bench.clock.advance(3)
    assert worker.circuits()[V2].phase is not Phase.CLOSED
    bench.clock.set_back(24 * 3600)
    bench.vendor.script = lambda _: (200, {"code": 200})
    for _ in range(20):
        bench.clock.advance(5)
        await worker.drain()
    assert await bench.outcomes() == {"delivered": 20}


def test_a_lease_shorter_than_its_requests_is_refused(tmp_path: Path) -> None:
    """Everything would lapse in the queue."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"x"))
    with pytest.raises(ValueError, match="at least twice"):
        Worker(Context(store, HttpTransport(), JumpingClock(), settings=Settings(lease_ms=10, timeout_ms=10)), {})
