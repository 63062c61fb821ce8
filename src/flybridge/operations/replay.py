"""Replay dead letters: reprocess those that failed before delivery, resend those that failed during it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, structs

from flybridge.clock import Clock
from flybridge.flow import Flow
from flybridge.operations.discard import REASON as NO_CONTENT
from flybridge.records import DeadLetter, Filing
from flybridge.store.protocol import Store

PAGE: Final = 500
"""How many dead letters `replay_all` holds in memory."""


class Replayed(Struct, frozen=True):
    """How many dead letters were sent on, and what became of those that were processed again, by outcome."""

    redelivered: int
    processed: int
    outcomes: dict[str, int]


async def replay(store: Store, flow: Flow, ids: Sequence[int], now_ms: int) -> Replayed:
    """Replay dead letters. An id that is none, or none any more because another process replayed it, is left alone."""
    filings = [_refiled(flow, letter) for letter in await store.take_dead(ids) if letter.reason != NO_CONTENT]
    filed = await store.file(filings, now_ms) if filings else None
    redelivered = await store.redeliver(ids, now_ms)
    return Replayed(redelivered, len(filings), dict(filed.outcomes) if filed else {})


async def replay_all(
    store: Store, flow: Flow, clock: Clock, *, app: str | None = None, reason: str | None = None
) -> Replayed:
    """Replay all dead letters of an app and a reason, in the order in which they were received, a page at a time."""
    redelivered = processed = after = 0
    outcomes: Counter[str] = Counter()
    # A letter that dies again keeps its id, so no page holds it a second time.
    while ids := await store.dead_ids(app=app, reason=reason, after=after, limit=PAGE):
        done = await replay(store, flow, ids, clock.now_ms())
        redelivered, processed, after = redelivered + done.redelivered, processed + done.processed, ids[-1]
        outcomes.update(done.outcomes)
    return Replayed(redelivered, processed, dict(outcomes))


def _refiled(flow: Flow, letter: DeadLetter) -> Filing:
    return structs.replace(flow.safe_filing(letter.envelope), replayed=True)
