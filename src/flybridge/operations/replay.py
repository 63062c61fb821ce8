"""Dead letters back on the road: what died before it was an item is processed again, what died on its way is sent."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from flybridge.flow import Flow
from flybridge.records import DeadLetter, Envelope, Filing, Media, Source
from flybridge.store.protocol import Store


class Replayed(Struct, frozen=True):
    """How many dead letters were sent on, and what became of those that were processed again, by outcome."""

    redelivered: int
    processed: int
    outcomes: dict[str, int]


async def replay(store: Store, flow: Flow, letters: Sequence[DeadLetter], now_ms: int) -> Replayed:
    """Replay dead letters. One that is not dead any more, because somebody else replayed it, is left alone."""
    again = [letter.id for letter in letters if letter.stage != "deliver"]
    taken = await store.take_dead(again) if again else []
    filings = [_refiled(flow, letter) for letter in taken]
    filed = await store.file(filings, now_ms) if filings else None
    onward = [letter.id for letter in letters if letter.stage == "deliver"]
    redelivered = await store.redeliver(onward, now_ms) if onward else 0
    return Replayed(redelivered, len(filings), dict(filed.outcomes) if filed else {})


def _refiled(flow: Flow, letter: DeadLetter) -> Filing:
    envelope = Envelope(
        letter.app, Source(letter.source), Media(letter.media), letter.received_ms, letter.body, letter.receipt
    )
    filing = flow.safe_filing(envelope)
    return Filing(
        envelope,
        filing.decision,
        filing.key,
        filing.key_until_ms,
        filing.sightings,
        filing.measure,
        replayed=True,
        digest=filing.digest,
        carried=filing.carried,
        persons=filing.persons,
    )
