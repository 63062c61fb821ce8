"""A hold does not expire before what was received within its window is filed."""

from __future__ import annotations

import asyncio

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
WINDOW_MS = 60_000


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


async def test_an_event_waits_for_what_was_received_within_its_window(tmp_path):
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    inbox = SqliteInbox(tmp_path / "inbox.db", Seal(b"secret"))
    await store.open()
    await inbox.open()
    item, end_ms = Deliver("http_v2", "i", "e", b"{}"), NOW_MS + WINDOW_MS
    await store.file([Filing(envelope("install", NOW_MS), Hold(item, (KEY,), ("idfa",), NOW_MS, end_ms))], NOW_MS)
    await inbox.accept(envelope("", end_ms - 1))
    later_ms = end_ms + 3_600_000
    assert await keep_house(store, inbox, later_ms) == "held"
    leased = await inbox.lease(1, later_ms, 1000)
    assert await keep_house(store, inbox, later_ms) == "held"
    seen = Sighting("shop", KEY, "idfa", NOW_MS, "ada", None)
    await store.file([Filing(one, Apply(), sightings=(seen,)) for one in leased.envelopes], later_ms)
    await inbox.ack(leased)
    assert await keep_house(store, inbox, later_ms) == "pending"
    await inbox.close()
    await store.close()


async def test_an_event_expires_once_nothing_of_its_window_waits(tmp_path):
    """Nor may be on its way into the inbox, or wait in one that can't be asked."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    inbox = SqliteInbox(tmp_path / "inbox.db", Seal(b"secret"))
    await store.open()
    await inbox.open()
    item, end_ms = Deliver("http_v2", "i", "e", b"{}"), NOW_MS + WINDOW_MS
    await store.file([Filing(envelope("install", NOW_MS), Hold(item, (KEY,), ("idfa",), NOW_MS, end_ms))], NOW_MS)
    await inbox.accept(envelope("", end_ms + STORING_MS))
    assert await keep_house(store, inbox, end_ms + STORING_MS - 1) == "held"
    assert await keep_house(store, Away(), end_ms + STORING_MS) == "held"
    assert await keep_house(store, inbox, end_ms + STORING_MS) == "expired"
    await inbox.close()
    await store.close()
