"""Content keys: which filings repeat what was filed before, and what is remembered of those that do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from flybridge.records import Filing
from flybridge.store.core.occurrences import ONE, Occurrences, mark_of, unpacked
from flybridge.store.core.tables import Read, Rows, Tables, Write


class _Key(Struct):
    """One key as this transaction has it. `before` is what the store has; `until_ms` 0 leaves its time as it is."""

    occurrences: Occurrences
    is_new: bool
    before: bytes | None = None
    until_ms: int = 0
    is_changed: bool = False


class ContentKeys:
    """The content keys of one batch: read once, judged in order, written once."""

    def __init__(self, tables: Tables, now_ms: int) -> None:
        self._tables = tables
        self._now_ms = now_ms
        self._keys: dict[bytes, _Key] = {}

    def load(self, filings: Iterable[Filing]) -> None:
        """Read what is remembered of these filings' keys."""
        keys = {filing.key for filing in filings if filing.key is not None}
        for key, packed in self._tables.among(Read.SEEN, keys, self._now_ms):
            self._keys[key] = _Key(unpacked(packed), is_new=False, before=packed)

    def is_duplicate(self, filing: Filing) -> bool:
        """Remember a filing's key. Returns whether it repeats one that was filed before."""
        if filing.key is None:
            return False
        known = self._keys.get(filing.key)
        if known is None:
            if filing.key_until_ms > self._now_ms:
                self._keys[filing.key] = _Key(_first(filing), is_new=True, until_ms=filing.key_until_ms)
            return False
        is_counted = _is_counted(filing)
        is_new_one = is_counted and known.occurrences.take(filing.key_ms, filing.ordinal)
        if is_new_one or filing.replayed:
            known.until_ms = max(known.until_ms, filing.key_until_ms)
        known.is_changed |= is_counted or filing.replayed
        return not is_new_one

    def write(self) -> None:
        """Write what is new and what has changed."""
        new, changed = [], []
        for key, known in sorted(self._keys.items()):
            packed = known.occurrences.packed()
            if known.is_new:
                new.append((key, known.until_ms, packed, self._now_ms))
            elif known.is_changed and (known.until_ms or packed != known.before):
                changed.append((known.until_ms, packed, known.before, key))
        self._tables.write(Write.SEEN, new)
        self._tables.write(Write.SEEN_MORE, changed)


def are_known(rows: Rows, filings: Sequence[Filing], now_ms: int) -> list[bool]:
    """Return for each filing whether it would be a duplicate, of what was filed or of one before it."""
    keys = {filing.key for filing in filings if filing.key is not None}
    known = {key: unpacked(packed) for key, packed in rows.among(Read.SEEN, keys, now_ms)}
    found = []
    for filing in filings:
        occurrences = None if filing.key is None else known.get(filing.key)
        if occurrences is None:
            found.append(False)
            if filing.key is not None:
                known[filing.key] = _first(filing)
        else:
            found.append(not (_is_counted(filing) and occurrences.take(filing.key_ms, filing.ordinal)))
    return found


def _first(filing: Filing) -> Occurrences:
    """Return the occurrences of a key that nothing was known of."""
    return Occurrences((mark_of(filing.key_ms, filing.ordinal),) if _is_counted(filing) else ONE)


def _is_counted(filing: Filing) -> bool:
    """Whether the same may happen several times under this key."""
    return filing.key_ms is not None or filing.ordinal > 0
