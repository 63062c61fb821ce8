"""The last time that was known to be right, kept for processes that begin later."""

from __future__ import annotations

from typing import Final

from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.state_values import readable

NAME: Final = "confirmed_ms"


def confirmed_ms(db: Rows) -> int:
    values = ((NAME, bytes(value)) for (value,) in db.read(Read.STATE, NAME))
    return readable(values, int).get(NAME, 0)


def confirm(ledger: LedgerWriter, now_ms: int) -> None:
    ledger.tables.write(Write.STATE, [(NAME, str(now_ms).encode())])
