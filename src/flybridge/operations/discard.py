"""Discard messages in the inbox that can't be opened: each becomes a dead letter without content, and is counted.

Filed before it is removed from the inbox, under a receipt made of its chunk: a crash in between, or a second run, files
none twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from flybridge.inbox.protocol import Inbox
from flybridge.records import DAY_MS, Dead, Envelope, Filing, Media, Source
from flybridge.store.protocol import Store

REASON: Final = "damaged"
DETAIL: Final = "It could not be opened in the inbox, and an operator gave it up: its content is lost."
REMEDY: Final = "Ask the sender to send again what it sent on that day; AppsFlyer's raw data reports have it, too."


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
                Dead("decode", REASON, DETAIL, REMEDY),
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
