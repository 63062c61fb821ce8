"""A hold does not expire before what was received within its window is filed."""

from __future__ import annotations

import asyncio

import pytest

from flybridge.errors import InboxUnavailable
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.records import Apply, Deliver, Envelope, Filing, Hold, Media, Sighting, Source
from flybridge.sealing import Seal
from flybridge.service.confirmed_clock import ConfirmedClock
from flybridge.service.lifetime import STORING_MS, housekeeping
from flybridge.store.records import Retention
from flybridge.store.sqlite.store import SqliteStore
from flybridge.telemetry.metrics import Metrics
from flybridge.telemetry.reporter import Reporter
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_764_000_000_000
KEY = b"k" * 16
END_MS = NOW_MS + 60_000


class Silent:
    """A worker with nothing to do."""

    def notify(self) -> None: ...


class Away:
    """An inbox that can't be reached."""

    async def oldest_ms(self) -> int | None:
        raise InboxUnavailable("it is away")


def envelope(receipt: str, received_ms: int) -> Envelope:
    return Envelope("shop", Source.STREAM, Media.JSON, received_ms, b"{}", receipt)


async def keep_house(store, inbox, now_ms: int) -> str:
    """Run housekeeping once, and return the outcome of the event that waits."""
    clock = ManualClock(now_ms)
    confirmed, halt = ConfirmedClock(clock, lambda: clock.now_ms() / 1000), asyncio.Event()
    report = Reporter(Metrics("1"))
    house = housekeeping(store, inbox, Silent(), report, kept=Retention(), clock=confirmed, halt=halt)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(house)
        await asyncio.sleep(0.1)
        halt.set()
    return {row.receipt: row.outcome async for row in store.ledger()}["install"]


@pytest.fixture
async def waiting(tmp_path):
    """Yield a store in which an event waits until `END_MS`, and an empty inbox."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    inbox = SqliteInbox(tmp_path / "inbox.db", Seal(b"secret"))
    await store.open()
    await inbox.open()
    item = Deliver("http_v2", "i", "e", b"{}")
    await store.file([Filing(envelope("install", NOW_MS), Hold(item, (KEY,), ("idfa",), NOW_MS, END_MS))], NOW_MS)
    yield store, inbox
    await inbox.close()
    await store.close()


async def test_an_event_waits_for_what_was_received_within_its_window(waiting):
    store, inbox = waiting
    await inbox.accept(envelope("", END_MS - 1))
    later_ms = END_MS + 3_600_000
    assert await keep_house(store, inbox, later_ms) == "held"
    leased = await inbox.lease(1, later_ms, 1000)
    assert await keep_house(store, inbox, later_ms) == "held"
    seen = Sighting("shop", KEY, "idfa", NOW_MS, "ada", None)
    await store.file([Filing(one, Apply(), sightings=(seen,)) for one in leased.envelopes], later_ms)
    await inbox.ack(leased)
    assert await keep_house(store, inbox, later_ms) == "pending"


async def test_an_event_expires_once_nothing_of_its_window_waits(waiting):
    """Nor may be on its way into the inbox, or wait in one that can't be asked."""
    store, inbox = waiting
    await inbox.accept(envelope("", END_MS + STORING_MS))
    assert await keep_house(store, inbox, END_MS + STORING_MS - 1) == "held"
    assert await keep_house(store, Away(), END_MS + STORING_MS) == "held"
    assert await keep_house(store, inbox, END_MS + STORING_MS) == "expired"
