"""Turns: which process does what only one does at a time."""

from __future__ import annotations

from typing import Final

from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Write
from flybridge.store.state_values import readable

TURNS: Final = "turn/"


def take_turn(ledger: LedgerWriter, name: str, holder: str, now_ms: int, lease_ms: int) -> bool:
    """Take or renew a turn; `store.protocol.Store` describes it. One transaction at a time does, so that one wins."""
    tables, key = ledger.tables, TURNS + name
    tables.lock([key.encode()])
    for until_ms, length_ms, other in readable(
        ((key, bytes(value)) for (value,) in tables.read(Read.STATE, key)), _turn
    ).values():
        # One that ends much later than it may last was taken before the clock was set back. It ends a little later if
        # the other's clock is ahead, or if the other has renewed it since this process looked at its clock.
        if other != holder and now_ms < until_ms <= now_ms + 2 * length_ms:
            return False
    tables.write(Write.STATE, [(key, f"{now_ms + lease_ms} {lease_ms} {holder}".encode())])
    return True


def _turn(value: bytes) -> tuple[int, int, str]:
    until_ms, length_ms, holder = value.decode().split(" ", 2)
    return int(until_ms), int(length_ms), holder
