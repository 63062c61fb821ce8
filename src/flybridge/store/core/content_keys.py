"""Content keys: which filings repeat what was filed before, and what is remembered of those that do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

from flybridge.records import Filing
from flybridge.store.core.doubled_hour import DoubledHour, Reference, unpacked
from flybridge.store.core.occurrences import ONE, Occurrences, mark_of
from flybridge.store.core.tables import Read, Rows, Tables, Write


class _Key(Struct):
    """One key as this transaction has it. `before` is what the store has; `until_ms` 0 leaves its time as it is."""

    occurrences: Occurrences | DoubledHour | Reference
    is_new: bool
    before: bytes | None = None
    until_ms: int = 0
    is_changed: bool = False


class KnownKeys:
    """The content keys of some filings: read once, judged in order, and not written."""

    def __init__(self, rows: Rows, now_ms: int) -> None:
        self._rows = rows
        self._now_ms = now_ms
        self._after_ms = -1  # a filing is remembered if it is until later than this
        self._keys: dict[bytes, _Key] = {}

    def load(self, filings: Iterable[Filing]) -> None:
        """Read what is remembered of these filings' keys."""
        keys = {filing.key for filing in filings if filing.key is not None}
        keys |= {filing.other_key for filing in filings if filing.other_key is not None}
        if references := self._read(keys) - self._keys.keys():
            self._read(references)

    def _read(self, keys: set[bytes]) -> set[bytes]:
        """Read keys. Returns those that they refer to."""
        references = set()
        for key, packed in self._rows.among(Read.SEEN, keys, self._now_ms):
            found = unpacked(packed)
            self._keys[key] = _Key(found, is_new=False, before=packed)
            if isinstance(found, Reference):
                references.add(found.first)
        return references

    def is_duplicate(self, filing: Filing) -> bool:
        """Remember a filing's key. Returns whether it repeats one that was filed before."""
        if filing.key is None:
            return False
        if filing.other_key is not None and self._are_free(filing.key, filing.other_key):
            return self._is_in_either(filing, filing.key, filing.other_key)
        known = self._keys.get(filing.key)
        if known is None:
            if filing.key_until_ms > self._after_ms:
                self._keys[filing.key] = _Key(_first(filing), is_new=True, until_ms=filing.key_until_ms)
            return False
        occurrences, is_counted = known.occurrences, _is_counted(filing)
        if not isinstance(occurrences, Occurrences):
            return self._is_in_one(filing, known)
        is_new_one = is_counted and occurrences.take(filing.key_ms, filing.ordinal)
        if is_new_one or filing.replayed:
            known.until_ms = max(known.until_ms, filing.key_until_ms)
        known.is_changed |= is_counted or filing.replayed
        return not is_new_one

    def _are_free(self, first: bytes, second: bytes) -> bool:
        """Whether two keys can be those of one hour that occurs twice.

        Where two zones set their clocks back an hour after each other, a key may be that of another such hour.
        """
        one, other = self._keys.get(first), self._keys.get(second)
        if one is not None and isinstance(one.occurrences, Reference):
            return False
        if other is None or isinstance(other.occurrences, Occurrences):
            return True
        return isinstance(other.occurrences, Reference) and other.occurrences.first == first

    def _is_in_either(self, filing: Filing, first: bytes, second: bytes) -> bool:
        """Remember a filing of either of two hours. Returns whether it repeats one of them."""
        other = self._keys.get(second)
        if other is None and first not in self._keys and filing.key_until_ms <= self._after_ms:
            return False
        one, hours = self._doubled(first)
        is_reference = other is not None and isinstance(other.occurrences, Reference)
        if other is None:
            other = self._keys[second] = _Key(Reference(first), is_new=True)
        elif isinstance(other.occurrences, Occurrences):
            hours.add_second(other.occurrences.marks)
            other.occurrences = Reference(first)
        is_new_one = hours.take_either(filing.key_ms, filing.ordinal)
        _change((one, other), filing, prolong=is_new_one or filing.replayed or not is_reference)
        return not is_new_one

    def _is_in_one(self, filing: Filing, known: _Key) -> bool:
        """Remember a filing of one of two hours. Returns whether it repeats one that was filed before."""
        found = known.occurrences
        is_second = isinstance(found, Reference)
        one, hours = self._doubled(found.first) if isinstance(found, Reference) else self._doubled(filing.key or b"")
        is_new_one = hours.take(filing.key_ms, filing.ordinal, is_second=is_second)
        _change((one, known), filing, prolong=is_new_one or filing.replayed)
        return not is_new_one

    def _doubled(self, first: bytes) -> tuple[_Key, DoubledHour]:
        """Return the key of the first hour, under which the occurrences of both are remembered from now on."""
        one = self._keys.get(first)
        if one is None:  # it was forgotten, or is remembered no longer
            one = self._keys[first] = _Key(DoubledHour(), is_new=True)
        if not isinstance(one.occurrences, DoubledHour):
            known = one.occurrences.marks if isinstance(one.occurrences, Occurrences) else ()
            one.occurrences = DoubledHour(known)
        return one, one.occurrences


class ContentKeys(KnownKeys):
    """The content keys of one batch: read once, judged in order, written once."""

    def __init__(self, tables: Tables, now_ms: int) -> None:
        super().__init__(tables, now_ms)
        self._tables = tables
        self._after_ms = now_ms

    def write(self) -> None:
        """Write what is new and what has changed."""
        new, changed = [], []
        for key, known in sorted(self._keys.items()):
            packed = known.occurrences.packed()
            if known.is_new:
                if known.until_ms:
                    new.append((key, known.until_ms, packed, self._now_ms))
            elif known.is_changed and (known.until_ms or packed != known.before):
                changed.append((known.until_ms, packed, known.before, key))
        self._tables.write(Write.SEEN, new)
        self._tables.write(Write.SEEN_MORE, changed)


def are_known(rows: Rows, filings: Sequence[Filing], now_ms: int) -> list[bool]:
    """Return for each filing whether it would be a duplicate, of what was filed or of one before it.

    Equal rows of a file may be asked about one by one: those before a row count as well, although nothing is written.
    """
    known = KnownKeys(rows, now_ms)
    known.load(filings)
    noted: dict[tuple[bytes | None, int | None], int] = {}
    found = []
    for filing in filings:
        if filing.ordinal > 1:
            at = filing.key, filing.key_ms
            for ordinal in range(noted.get(at, 0) + 1, filing.ordinal):
                known.is_duplicate(structs.replace(filing, ordinal=ordinal))
            noted[at] = max(noted.get(at, 0), filing.ordinal)
        found.append(known.is_duplicate(filing))
    return found


def _change(keys: Sequence[_Key], filing: Filing, *, prolong: bool) -> None:
    for one in keys:
        one.is_changed = True
        if prolong:
            one.until_ms = max(one.until_ms, filing.key_until_ms)


def _first(filing: Filing) -> Occurrences:
    """Return the occurrences of a key that nothing was known of."""
    return Occurrences((mark_of(filing.key_ms, filing.ordinal),) if _is_counted(filing) else ONE)


def _is_counted(filing: Filing) -> bool:
    """Whether the same may happen several times under this key."""
    return filing.key_ms is not None or filing.ordinal > 0
