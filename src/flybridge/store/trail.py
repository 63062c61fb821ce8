"""The audit trail: who did what, when and from where. Rows are only ever added, and each is bound to the one before.

A row's `chain` is a keyed hash of its fields and of the chain before it: a row that is changed, taken out or put in
shows, also to one who can write to the database but does not have the secret. That the newest rows were cut off shows
by comparison with the log, which has the number and chain of every row.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from flybridge.sealing import Seal
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write

FIRST: Final = b""
"""The chain before the first row."""


class Deed(Struct, frozen=True, kw_only=True):
    """What somebody did or tried. It holds no secret, and nothing that identifies a person of the data.

    `actor` is a user, a token or a command line; `address` where it came from. `action` is a word such as `login` or
    `release`, `target` what it was done to, `detail` a sentence with filter and count. `outcome` is `done`, `failed`,
    `refused`, or `begun`, where the row is written before a bulk action.
    """

    actor: str
    action: str
    outcome: str
    address: str = ""
    target: str = ""
    detail: str = ""


class TrailRow(Struct, frozen=True):
    """One row of the audit trail."""

    number: int
    at_ms: int
    actor: str
    address: str
    action: str
    target: str
    detail: str
    outcome: str
    chain: bytes

    def signed_part(self, before: bytes) -> bytes:
        """Return what the chain is computed of."""
        return before + msgspec.msgpack.encode(structs.astuple(self)[:-1])


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
