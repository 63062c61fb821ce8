"""Replay dead letters: reprocess those that failed before delivery, resend those that failed during it.

And discard messages in the inbox that can't be opened: each becomes a dead letter without content, and is counted.
Filed before it is removed from the inbox, under a receipt made of its chunk: a crash in between, or a second run, files
none twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, structs

from flybridge.clock import Clock
from flybridge.flow import Flow
from flybridge.flow.loop import NOT_HEARD_MS
from flybridge.inbox.protocol import Inbox
from flybridge.records import DAY_MS, Dead, Envelope, Filing, Media, Source
from flybridge.store.protocol import Store

PAGE: Final = 500
"""How many dead letters `replay_all` holds in memory."""

DAMAGED: Final = "damaged"
DETAIL: Final = "It could not be opened in the inbox, and an operator gave it up: its content is lost."
REMEDY: Final = "Ask the sender to send again what it sent on that day; AppsFlyer's raw data reports have it, too."


class Replayed(Struct, frozen=True):
    """How many dead letters were sent on, and what became of those that were processed again, by outcome."""

    redelivered: int
    processed: int
    outcomes: dict[str, int]


async def replay(store: Store, flow: Flow, ids: Sequence[int], now_ms: int) -> Replayed:
    """Replay dead letters. An id that is none, or none any more because another process replayed it, is left alone."""
    taken = [letter.envelope for letter in await store.take_dead(ids) if letter.reason != DAMAGED]
    filings = [structs.replace(flow.safe_filing(envelope), replayed=True) for envelope in taken]
    # A sighting that was received in time may still wait in the inbox.
    filed = await store.file(filings, now_ms, heard_ms=NOT_HEARD_MS) if filings else None
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


async def damaged(inbox: Inbox) -> Mapping[tuple[str, str], int]:
    """Count the messages that can't be opened, by (app, day)."""
    counter: Counter[tuple[str, str]] = Counter()
    for one in await inbox.damaged():
        for app, day, n in one.tally:
            counter[app, day] += n
    return counter


async def discard(inbox: Inbox, store: Store, now_ms: int) -> int:
    """Make dead letters of all messages in the inbox that can't be opened. Returns how many."""
    n = 0
    for one in await inbox.damaged():
        filings = [
            Filing(
                # What it was is not known: the door that most messages come through is as good as any.
                Envelope(app, Source.PUSH, Media.JSON, _received_ms(day), b"", f"{one.name}/{app}/{day}/{number}"),
                Dead("decode", DAMAGED, DETAIL, REMEDY),
            )
            for app, day, times in one.tally
            for number in range(times)
        ]
        await store.file(filings, now_ms)
        await inbox.drop(one)
        n += len(filings)
    return n


def _received_ms(day: str) -> int:
    """Return a moment of a day, `YYYY-MM-DD` in UTC."""
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000) + DAY_MS // 2
