"""The loop that moves batches of envelopes from the inbox to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError, SealBroken, StoreUnavailable
from flybridge.flow.filing import Flow
from flybridge.flow.shown import ShownEvents
from flybridge.inbox.protocol import Inbox, Leased
from flybridge.records import Dead, Filing, digest_of
from flybridge.store.protocol import Store
from flybridge.store.records import Capacity, Filed
from flybridge.system.cpu_limit import CpuLimitExceeded, cpu_limit

GATHER_S: Final = 0.1
"""Envelopes are leased this many seconds after those before them: more of them share what a batch costs, several
flushes to disk among it. What comes first after a pause is leased at once, as is what did not fit into a full batch."""
BUSY_GATHER_S: Final = 0.3
BUSY: Final = 50
"""The same after a batch of so many: while many arrive, each costs up to a sixth less in batches that are three times
as large, and is delivered at most two tenths of a second later."""
AGAIN_S: Final = 1.0
"""After so many seconds a store or inbox that is unavailable is tried again."""
OFFERED: Final = 0.8
"""How much of its lease a batch is offered to a store that is unavailable, before it is left to the next lease."""
NOT_HEARD_MS: Final = 0
"""What waits in the inbox behind what is filed is not known: `Store.expire` ends what is filed after its window."""
LEASES: Final = 2
"""After so many leases that were never acknowledged, envelopes are processed one by one."""
CPU_S: Final = 5.0
"""How much processor time one envelope may take then, in seconds. A usual one takes 35 microseconds."""


class Taker(Protocol):
    """A worker beside the flow, which can send at once what is filed."""

    def capacity(self) -> Sequence[Capacity]:
        """Return how many deliveries it takes, by lane."""
        ...

    async def take(self, filed: Filed, capacity: Sequence[Capacity]) -> None:
        """Send what was leased for this capacity when it was filed."""
        ...


async def run(
    flow: Flow,
    inbox: Inbox,
    store: Store,
    *,
    clock: Clock,
    confirmed: Clock,
    stop: asyncio.Event,
    filed: Callable[[Sequence[Filing], Filed], None],
    failed: Callable[[FlybridgeError], None],
    worker: Taker | None = None,
    batch: int = 1000,
    lease_s: float = 60.0,
) -> None:
    """Move envelopes from the inbox to the store until `stop` is set. `confirmed` tells the time by which data expires.

    The inbox is acknowledged after the store has committed; a crash between the two files nothing twice, because
    the store knows the receipts. While a store or inbox is unavailable, it is tried again, and nothing more is leased.
    Envelopes that were leased `LEASES` times before without an acknowledgement are processed one by one, see
    `_file_each`. What arrives within `GATHER_S`, or `BUSY_GATHER_S` while many do, becomes one batch. What `worker`
    has room for is leased to it as it is filed.
    """
    due_s = monotonic()
    shown = ShownEvents(store, clock)
    while not stop.is_set():
        try:
            if (left_s := due_s - monotonic()) > 0:
                await asyncio.sleep(left_s)
            asked_s = monotonic()
            leased = await inbox.lease(batch, clock.now_ms(), int(lease_s * 1000))
            if leased is None:
                await _wait(inbox, stop)
                continue
            due_s = asked_s + _gather_s(len(leased.envelopes), batch)
            if leased.leases >= LEASES:
                await _file_each(flow, leased, store, confirmed, filed)
                await inbox.ack(leased)
                continue
            filings = await asyncio.to_thread(flow.filings, leased.envelopes)
            while True:
                capacity = worker.capacity() if worker is not None else ()
                try:
                    outcome = await store.file(filings, confirmed.now_ms(), capacity, heard_ms=NOT_HEARD_MS)
                    break
                except StoreUnavailable as problem:
                    # What else waits is left alone: leased in vain, it would seem to be what stops a process.
                    if stop.is_set() or monotonic() - asked_s > lease_s * OFFERED:
                        raise
                    failed(problem)
                    await asyncio.sleep(AGAIN_S)
            if worker is not None:
                await worker.take(outcome, capacity)
            await shown.settle(filings)
            await inbox.ack(leased)
            filed(filings, outcome)
        except SealBroken as problem:
            # Raised for chunks that were passed over; others may wait, and these come again only when a lease lapses.
            failed(problem)
        except FlybridgeError as problem:
            failed(problem)
            await asyncio.sleep(AGAIN_S)


async def _wait(inbox: Inbox, stop: asyncio.Event) -> None:
    """Wait until something comes, or `stop` is set, for half a second at most."""
    waiting, stopping = asyncio.create_task(inbox.wait(0.5)), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        stopping.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


def _gather_s(found: int, batch: int) -> float:
    """Return how long envelopes gather after a batch with so many."""
    if found >= batch:
        return 0.0
    return BUSY_GATHER_S if found >= BUSY else GATHER_S


async def _file_each(
    flow: Flow, leased: Leased, store: Store, clock: Clock, filed: Callable[[Sequence[Filing], Filed], None]
) -> None:
    """Process and file envelopes one by one, because one of them may have stopped the process that had them before.

    What was filed stays filed if that happens again. An envelope that needs more than `CPU_S` of processor time
    becomes a dead letter. It is processed in the main thread, because only there it can be interrupted.
    """
    for envelope in leased.envelopes:
        try:
            with cpu_limit(CPU_S):
                filing = flow.safe_filing(envelope)
        except CpuLimitExceeded:
            detail = f"Processing did not end within {CPU_S:g} seconds of processor time."
            remedy = "Report it; replay it after an upgrade."
            filing = Filing(
                envelope, Dead("map", "too_slow", detail, remedy), digest=digest_of(envelope.app, envelope.body)
            )
        filed([filing], await store.file([filing], clock.now_ms(), heard_ms=NOT_HEARD_MS))
        await asyncio.sleep(0)
