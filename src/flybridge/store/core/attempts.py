"""Attempts to deliver that were not accepted: written with the settlement, read for one event's story.

What is accepted at its first attempt has no row here. Rows go with the ledger row of their event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flybridge.sealing import Seal
from flybridge.store.core.dead_letters import LARGEST_ID, LeasedRow
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.events import EventAttempt
from flybridge.store.records import AttemptRecord


def record_attempts(ledger: LedgerWriter, seal: Seal, tried: Sequence[tuple[LeasedRow, AttemptRecord]]) -> None:
    """Write attempts, each with its delivery. Those beyond `MOST_ATTEMPTS` of an event are deleted."""
    said = {one.words for _, one in tried}
    sealed = {words: seal.seal(words.encode("utf-8", "replace")) if words else None for words in said}
    ids = ledger.tables.ids(len(tried))
    ledger.tables.write(
        Write.ATTEMPTS,
        [
            (leased.row_id, number, leased.delivery, leased.lane, one.at_ms, one.status, one.reason, sealed[one.words])
            for number, (leased, one) in zip(ids, tried, strict=True)
        ],
    )
    ledger.tables.write(Write.TRIM_ATTEMPTS, [(row,) for row in sorted({leased.row_id for leased, _ in tried})])


def attempts_of(db: Rows, seal: Seal, rows: Iterable[int]) -> dict[int, list[EventAttempt]]:
    """Return the attempts of events, oldest first, by ledger row."""
    found: dict[int, list[EventAttempt]] = {}
    possible = {number for number in rows if 0 < number <= LARGEST_ID}
    for row, delivery, endpoint, at_ms, status, reason, sealed in db.among(Read.ATTEMPTS, sorted(possible)):
        words = (sealed and seal.opened(sealed)) or b""
        attempt = EventAttempt(endpoint or "", at_ms, status, reason, words.decode("utf-8", "replace"), delivery)
        found.setdefault(row, []).append(attempt)
    return found
