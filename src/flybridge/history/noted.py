"""Keys that are noted in tables on this machine, many at a time, and looked for before each is noted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final

import msgspec

BITS: Final = 1 << 25
NOTED: Final = 16_000
"""How many counts and events of a survey are written together, in the order of their table: neighbours share pages."""


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as a JSON list, which SQLite reads as rows."""
    return msgspec.json.encode(numbers).decode()


class Noted:
    """Which keys may be in a table: most are in none, which one bit says without a look into the file."""

    def __init__(self) -> None:
        # The system makes the pages that are written to: most counts are short, and need few of them.
        self._bits = mmap(-1, BITS // 8, flags=MAP_PRIVATE | MAP_ANONYMOUS)

    def note(self, keys: Iterable[int]) -> None:
        """Note the keys of rows that were written."""
        bits = self._bits
        for key in keys:
            place = key % BITS
            bits[place >> 3] |= 1 << (place & 7)

    def among(self, keys: Iterable[int]) -> list[int]:
        """Return those of the keys that may have been noted."""
        bits = self._bits
        return [key for key in keys if bits[key % BITS >> 3] >> (key & 7) & 1]


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Let statements share a transaction: one for each row costs several times as much, of temporary tables as well."""
    with db:  # ends it
        db.execute("BEGIN")
        yield
