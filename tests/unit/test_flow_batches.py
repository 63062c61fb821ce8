"""What arrives one by one is filed in batches; what comes after a pause is not kept waiting."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from time import monotonic

import pytest

from flybridge.errors import FlybridgeError, InboxUnavailable, StoreUnavailable
from flybridge.flow import AppFlow, Flow, loop
from flybridge.identity import Keyring
from flybridge.inbox.protocol import Leased
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.store.records import Filed
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_769_904_000_000


class Arrivals:
    """An inbox in memory that notes when it was asked."""

    def __init__(self) -> None:
        self.waiting: list[Envelope] = []
        self.leases: list[tuple[float, int]] = []
        self._news = asyncio.Event()

    def put(self, n: int = 1) -> None:
        """Add messages."""
        self.waiting += [Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"{}", f"{at}") for at in range(n)]
        self._news.set()

    async def lease(self, limit: int, now_ms: int, lease_ms: int) -> Leased | None:
        """Return what waits."""
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        if taken:
            self.leases.append((monotonic(), len(taken)))
        return Leased((), taken, 0) if taken else None

    async def wait(self, timeout_s: float) -> None:
        """Wait for a message or the timeout."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    async def ack(self, leased: Leased) -> None:
        """Forget them."""


class Files:
    """A store that files nothing."""

    async def file(self, filings, now_ms, capacity=(), *, heard_ms=None):
        """Accept them."""
        return Filed({}, 0, 0)


async def played(inbox: Arrivals, until: int, arrive) -> None:
    """Run the flow beside the arrivals until so many were filed."""
    stop, n = asyncio.Event(), 0

    def filed(filings, _):
        nonlocal n
        n += len(filings)
        if n >= until:
            stop.set()

    built = Flow({"shop": AppFlow(Rules(app="shop", platform="ios", route="http_v2"))}, Keyring(b"0123456789abcdef"))
    clock = ManualClock(NOW_MS)
    running = loop.run(
        built, inbox, Files(), clock=clock, confirmed=clock, stop=stop, filed=filed, failed=lambda _: None
    )
    async with asyncio.timeout(20):
        await asyncio.gather(running, arrive())


class Patient(Arrivals):
    """An inbox whose wait for messages has no end."""

    async def wait(self, timeout_s: float) -> None:
        """Wait for a message."""
        await super().wait(timeout_s + 3600)


@pytest.mark.parametrize("pause_s", [0.0, 0.01])
async def test_a_stop_ends_the_wait_for_messages(pause_s):
    stop, clock = asyncio.Event(), ManualClock(NOW_MS)
    flow = Flow({}, Keyring(b"0123456789abcdef"))
    seen = {"filed": lambda *_: None, "failed": lambda _: None}
    running = loop.run(flow, Patient(), Files(), clock=clock, confirmed=clock, stop=stop, **seen)
    async with asyncio.timeout(20):
        task = asyncio.create_task(running)
        await asyncio.sleep(pause_s)
        stop.set()
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Broken(Patient):
    """An inbox that fails while it is waited for, once."""

    failed = False

    async def wait(self, timeout_s: float) -> None:
        """Fail the first time."""
        if not self.failed:
            self.failed = True
            raise InboxUnavailable("it is away")


async def test_a_failure_of_the_wait_is_reported():
    stop, clock, failures = asyncio.Event(), ManualClock(NOW_MS), []
    flow = Flow({}, Keyring(b"0123456789abcdef"))

    def failed(problem: FlybridgeError) -> None:
        failures.append(str(problem))
        stop.set()

    seen = {"filed": lambda *_: None, "failed": failed}
    async with asyncio.timeout(20):
        await loop.run(flow, Broken(), Files(), clock=clock, confirmed=clock, stop=stop, **seen)
    assert failures == ["it is away"]


async def test_messages_that_trickle_in_share_batches():
    inbox = Arrivals()

    async def trickle() -> None:
        for _ in range(60):
            inbox.put()
            await asyncio.sleep(0.005)

    await played(inbox, 60, trickle)
    times = [at for at, _ in inbox.leases]
    assert sum(n for _, n in inbox.leases) == 60
    assert all(later - earlier > loop.GATHER_S * 0.9 for earlier, later in pairwise(times))


async def test_more_than_a_batch_is_not_spread_over_time(monkeypatch):
    monkeypatch.setattr(loop, "GATHER_S", 60)
    inbox = Arrivals()
    inbox.put(5_000)

    async def nothing() -> None:
        pass

    await played(inbox, 5_000, nothing)
    assert [n for _, n in inbox.leases] == [1000] * 5


async def test_while_many_arrive_they_share_larger_batches(monkeypatch):
    monkeypatch.setattr(loop, "GATHER_S", 0.0)
    inbox = Arrivals()

    async def stream() -> None:
        for _ in range(60):
            inbox.put(loop.BUSY // 5)
            await asyncio.sleep(0.01)

    inbox.put(loop.BUSY)
    await played(inbox, loop.BUSY * 13, stream)
    busy = [(at, later) for (at, n), (later, _) in pairwise(inbox.leases) if n >= loop.BUSY]
    assert len(busy) >= 2
    assert all(later - at > loop.BUSY_GATHER_S * 0.9 for at, later in busy)


async def test_the_first_after_a_pause_is_taken_at_once(monkeypatch):
    monkeypatch.setattr(loop, "GATHER_S", 0.5)
    inbox = Arrivals()
    put_s = 0.0

    async def late() -> None:
        nonlocal put_s
        await asyncio.sleep(1.2 * loop.GATHER_S)
        put_s = monotonic()
        inbox.put()

    await played(inbox, 1, late)
    assert inbox.leases[0][0] - put_s < loop.GATHER_S / 2


class AwayStore(Files):
    """A store that takes nothing so many times. It notes what it was given."""

    def __init__(self, times: int) -> None:
        self.times, self.given = times, list[tuple[int, int]]()

    async def file(self, filings, now_ms, capacity=(), *, heard_ms=None):
        """Refuse, or accept."""
        self.given.append((id(filings), len(filings)))
        if self.times:
            self.times -= 1
            raise StoreUnavailable("The disk is full.")
        return await super().file(filings, now_ms, capacity)


@pytest.mark.parametrize(("lease_s", "leases"), [(60.0, 1), (0.5, 2)])
async def test_while_the_store_takes_nothing_no_more_is_leased(monkeypatch, lease_s, leases):
    """Else all that waits is leased in vain again and again, and then filed one by one as what stops a process is.

    What is in hand is offered again until another worker could lease it.
    """
    monkeypatch.setattr(loop, "AGAIN_S", 0.1)
    inbox, store, stop, failures = Arrivals(), AwayStore(5), asyncio.Event(), []
    inbox.put(3000)
    clock = ManualClock(NOW_MS)
    built = Flow({"shop": AppFlow(Rules(app="shop", platform="ios", route="http_v2"))}, Keyring(b"0123456789abcdef"))
    async with asyncio.timeout(20):
        await loop.run(
            built, inbox, store, clock=clock, confirmed=clock, stop=stop, lease_s=lease_s,
            filed=lambda *_: stop.set(), failed=lambda problem: failures.append(str(problem)),
        )  # fmt: skip
    assert failures == ["The disk is full."] * 5
    assert len(inbox.leases) == len({one for one, _ in store.given}) == leases


async def test_a_stop_does_not_wait_for_a_store_that_takes_nothing(monkeypatch):
    """The next process leases what this one had in hand."""
    monkeypatch.setattr(loop, "AGAIN_S", 0.01)
    inbox, store, stop = Arrivals(), AwayStore(10**6), asyncio.Event()
    inbox.put()
    clock = ManualClock(NOW_MS)
    built = Flow({"shop": AppFlow(Rules(app="shop", platform="ios", route="http_v2"))}, Keyring(b"0123456789abcdef"))
    async with asyncio.timeout(20):
        await loop.run(
            built, inbox, store, clock=clock, confirmed=clock, stop=stop, filed=lambda *_: None,
            failed=lambda _: stop.set() if len(store.given) > 3 else None,
        )  # fmt: skip
    assert len(store.given) in (4, 5)
