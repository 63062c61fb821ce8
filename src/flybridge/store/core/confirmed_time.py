"""The last time that was known to be right, kept for processes that begin later."""

from __future__ import annotations

from typing import Final

from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write

NAME: Final = "confirmed_ms"


def confirmed_ms(db: Rows) -> int:
    return next((int(bytes(value)) for (value,) in db.read(Read.STATE, NAME)), 0)


def confirm(ledger: LedgerWriter, now_ms: int) -> None:
    ledger.tables.write(Write.STATE, [(NAME, str(now_ms).encode())])
