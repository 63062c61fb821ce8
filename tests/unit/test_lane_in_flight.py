"""A lane to a vendor that recognises no repeat: many requests fly at once, and few events are begun that do not fly."""

import asyncio

import pytest

from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.clock import SystemClock
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.worker import Worker
from flybridge.records import Deliver, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.records import Lane
from flybridge.store.sqlite.store import SqliteStore

LANE = Lane("shop", "inapp_event")
EVENTS = 1_000


class Counting(SqliteStore):
    """Counts what is begun."""

    begun = 0
    groups: tuple[int, ...] = ()

    async def begin(self, ids, owner):
        """Note the size of each group."""
        self.begun += len(ids)
        self.groups = (*self.groups, len(ids))
        return await super().begin(ids, owner)


class Distant:
    """Answers nobody until as many requests fly as may, then everybody."""

    def __init__(self, store: Counting, concurrency: int) -> None:
        self.store = store
        self.concurrency = concurrency
        self.flying = self.most = self.answered = 0
        self.waiting_begun = 0
        self.full = asyncio.Event()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Wait until the lane is full."""
        self.flying += 1
        self.most = max(self.most, self.flying)
        self.waiting_begun = max(self.waiting_begun, self.store.begun - self.answered - self.flying)
        if self.flying >= self.concurrency:
            self.full.set()
        await self.full.wait()
        self.flying -= 1
        self.answered += 1
        return HttpResponse(200, {}, b"OK")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("concurrency", "group"), [(16, 64), (250, 64), (800, 100)])
async def test_groups_are_begun_while_others_fly(tmp_path, concurrency, group):
    """As many as may be fly at once; beside those that fly, one small group at most is uncertain after a crash."""
    store = Counting(tmp_path / "store.db", Seal(b"a secret for the tests"))
    await store.open()
    clock = SystemClock()
    now_ms = clock.now_ms()
    await store.file(
        [
            Filing(
                Envelope("shop", Source.STREAM, Media.JSON, now_ms, b"{}", f"r{n}"),
                Deliver("inapp_event", f"{n:032x}", "af_purchase", b'{"eventName":"x"}', None, "1629191854863-7087037"),
            )
            for n in range(EVENTS)
        ],
        now_ms,
    )
    distant = Distant(store, concurrency)
    endpoint = InAppEvent("key", "com.example.shop", "http://127.0.0.1:1", concurrency=concurrency)
    worker = Worker(Context(store, distant, clock), {LANE: endpoint})
    assert await worker.drain() == EVENTS
    assert distant.most == concurrency
    assert max(store.groups) == group
    assert distant.waiting_begun <= group
    assert {c.outcome: c.n for c in await store.counts() if c.n} == {"delivered": EVENTS}
    await store.close()
