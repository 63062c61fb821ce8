"""Forgetting what a message shows to be the same person, which was not known when they asked to be forgotten.

A message that waits in the inbox, or is read from a file later, may be the first to say that an installation is that of
a forgotten person. What it has in common with others is then forgotten with it, as it would have been had the message
been processed before the request. What was received or happened later is new data, and stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from flybridge.errors import FlybridgeError
from flybridge.records import Filing
from flybridge.sealing import Seal
from flybridge.store.core.forgetting import SHARED, drop_known, is_gone, reach, rows_of, spared, tombstones, wipe
from flybridge.store.core.holding import waiting
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows


def are_forgotten(rows: Rows, filings: Sequence[Filing], shown: dict[bytes, int]) -> list[bool]:
    """Implement `Store.are_forgotten`."""
    known = tombstones(rows, filings)
    known |= {key: max(ms, known.get(key, ms)) for key, ms in shown.items()}
    if known:
        new = related(rows, filings, known)
        known |= new
        for since_ms in set(new.values()):
            _, keys = _reached(rows, [key for key, ms in new.items() if ms == since_ms])
            shown.update((key, max(since_ms, shown.get(key, since_ms))) for key in keys)
    return [bool(known) and spared(filing, known) is None for filing in filings]


def related(rows: Rows, filings: Sequence[Filing], known: Mapping[bytes, int]) -> dict[bytes, int]:
    """Return the other keys of the forgotten people whom these filings are about, and since when they are forgotten.

    Of what was received before a request all keys count, as they would have then. Of what came later, from a file for
    example, only the installation does: the first few rows don't show yet which identifiers many share.
    """
    forgotten = dict(known)
    owners = _owners(filings)
    new: dict[bytes, int] = {}
    is_growing = True
    while is_growing:
        is_growing = False
        for filing in filings:
            received_ms = filing.envelope.received_ms
            for person in filing.persons:
                if not is_gone(person, received_ms, forgotten):
                    continue
                since_ms = max(forgotten[key] for key in person.keys if key in forgotten)
                for key in person.keys if received_ms <= since_ms else person.keys[:1]:
                    if forgotten.get(key, -1) < since_ms and not _is_shared(rows, key, owners):
                        forgotten[key] = new[key] = since_ms
                        is_growing = True
    return new


def _owners(filings: Iterable[Filing]) -> Mapping[bytes, set[bytes]]:
    """Return the installations that have each key, as far as these filings tell."""
    found = defaultdict[bytes, set[bytes]](set)
    for filing in filings:
        for person in filing.persons:
            for key in person.keys:
                found[key].add(person.keys[0])
    return found


def _is_shared(rows: Rows, key: bytes, owners: Mapping[bytes, set[bytes]]) -> bool:
    return len(owners[key]) > SHARED or len(rows.read(Read.PERSONS_OF_KEY, key, SHARED + 1)) > SHARED


def forget_related(ledger: LedgerWriter, seal: Seal, keys: Mapping[bytes, int], now_ms: int) -> int:
    """Remove what is known under these keys from before the times since when they are forgotten.

    Returns how many ledger rows were anonymised.
    """
    return sum(
        _forget(ledger, seal, [key for key, ms in keys.items() if ms == since_ms], since_ms, now_ms)
        for since_ms in sorted(set(keys.values()))
    )


def _reached(rows: Rows, found: Sequence[bytes]) -> tuple[set[int], set[bytes]]:
    """Return the installations that keys lead to, and all keys of these."""
    try:
        persons, keys, _ = reach(rows, found, are_named=False)
    except FlybridgeError:  # so many installations are not one person's
        return set(), set(found)
    return persons, keys


def _forget(ledger: LedgerWriter, seal: Seal, found: Sequence[bytes], since_ms: int, now_ms: int) -> int:
    tables = ledger.tables
    persons, keys = _reached(tables, found)
    rows = rows_of(tables, persons, keys)
    # What is read from files was received later than it happened.
    held = {hold.row_id for hold in waiting(ledger, [row.id for row in rows]) if hold.event_ms <= since_ms}
    old = [row for row in rows if row.received_ms <= since_ms or row.id in held]
    wipe(ledger, old, now_ms)
    # Where there is later data of theirs, it is still to be found.
    drop_known(tables, seal, keys, persons if len(old) == len(rows) else (), since_ms)
    return len(old)
