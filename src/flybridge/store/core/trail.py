"""Writing and reading the audit trail; `store.trail` describes it."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from flybridge.sealing import Seal
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.trail import FIRST, Deed, TrailRow

PAGE: Final = 1000
LOCK: Final = b"audit trail"
LONGEST: Final = 500


def record(ledger: LedgerWriter, seal: Seal, deed: Deed, now_ms: int) -> TrailRow:
    """Add a row. One transaction at a time does, so that the chain has no branches."""
    ledger.tables.lock([LOCK])
    number, before = next(((n, bytes(chain)) for n, chain in ledger.tables.read(Read.TRAIL_END)), (0, FIRST))
    said = {name: _plain(text) for name, text in structs.asdict(deed).items()}
    row = TrailRow(number=number + 1, at_ms=now_ms, chain=b"", **said)
    row = structs.replace(row, chain=seal.sign(row.signed_part(before)))
    ledger.tables.write(Write.TRAIL, [structs.astuple(row)])
    return row


def _plain(text: str) -> str:
    """Return a text as every database can hold it, so that it is read as it was signed."""
    return text[:LONGEST].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def fault(db: Rows, seal: Seal) -> str:
    """Return a sentence about the first row that is not as it was written; empty if all are."""
    before, number = FIRST, 0
    while page := [row_of(*row) for row in db.read(Read.TRAIL_AFTER, number, PAGE)]:
        for row in page:
            if row.number != number + 1:
                return f"Row {number + 1} of the audit trail is missing."
            if not seal.signed(row.signed_part(before), row.chain):
                return f"Row {row.number} of the audit trail is not as it was written."
            before, number = row.chain, row.number
    return ""


def row_of(*row: Any) -> TrailRow:
    *fields, chain = row
    return TrailRow(*[*fields, bytes(chain)])
