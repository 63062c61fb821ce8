"""What tells a row of raw data from its equal ones, and which of these it is: 1, 2, ...

Equal rows are counted by a hash of eight bytes, in a file and not in memory: a hundred million rows need no more of it
than a thousand.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from flybridge.appsflyer.raw_report import is_conversion
from flybridge.history.noted import NOTED, Noted, listed, transaction

PERSON: Final = (
    "appsflyer_id",
    "customer_user_id",
    "idfa",
    "advertising_id",
    "idfv",
    "android_id",
    "oaid",
    "amazon_aid",
)
IDENTITY: Final = (
    *PERSON,
    "event_name",
    "event_time",
    "event_value",
    "event_revenue",
    "event_revenue_currency",
    "is_primary_attribution",
)
"""The fields that tell in-app events of a report apart; with two attributions of one event also those of its source.

Of ad revenue there is a row for each network, ad unit and placement, and they may be worth the same: equal rows.
"""
BY_ATTRIBUTION: Final = ("media_source", "campaign")
BETWEEN: Final = "\x1f"
RowIdentity = tuple[str | None, ...]


def row_identity(row: Mapping[str, str], names: Sequence[str]) -> RowIdentity | None:
    """Return what tells a row apart from those that are no equal ones; None of a conversion."""
    return None if is_conversion(row) else tuple(map(row.get, names))


def stable_hash(text: str) -> int:
    """Return a hash that every process makes alike, and that fits SQLite's integers."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def person_of(fields: Mapping[str, str]) -> str | None:
    """Return whose row it is; None if it does not say."""
    found = fields.get(PERSON[0]) or next((value for name in PERSON if (value := fields.get(name))), None)
    return None if found is None else found.lower()


def identifying(*, by_attribution: bool) -> Sequence[str]:
    """Return the fields that tell rows of a file apart."""
    return IDENTITY + BY_ATTRIBUTION if by_attribution else IDENTITY


class EqualRows:
    """The count of equal rows of one file, in a table of its database."""

    def __init__(self, db: sqlite3.Connection, file: int, *, by_attribution: bool, table: str = "equal_rows") -> None:
        self._db, self._file = db, file
        self._look = f"SELECT hash, n FROM {table} WHERE file = ? AND hash IN (SELECT value FROM json_each(?))"  # noqa: S608 - a name of ours
        self._put = f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)"  # noqa: S608
        self._put_single = f"INSERT OR REPLACE INTO {table} SELECT ?, value, 1 FROM json_each(?)"  # noqa: S608
        self.names = identifying(by_attribution=by_attribution)
        self._counts: dict[int, int] = {}
        self._noted = Noted()
        self._noted.note(key for (key,) in db.execute(f"SELECT hash FROM {table} WHERE file = ?", (file,)))  # noqa: S608

    def ordinals(self, rows: Iterable[Mapping[str, str]]) -> list[int]:
        """Return which of its equal rows each row is: 1, 2, ..."""
        return self.ordinals_of([self.identity(row) for row in rows])

    def identity(self, row: Mapping[str, str]) -> RowIdentity | None:
        """Return what tells a row apart from those that are no equal ones; None of a conversion."""
        return row_identity(row, self.names)

    def ordinals_of(self, identities: Iterable[RowIdentity | None]) -> list[int]:
        """Return the same of rows by what `identity` returns of them: their values of `names`."""
        hash_of = self._hash
        keys = [None if one is None else hash_of(one) for one in identities]
        once = {key: 1 for key in keys if key is not None}
        written, counts = self._written(once), self._counts
        if len(once) + keys.count(None) == len(keys) and not written and counts.keys().isdisjoint(once.keys()):
            counts.update(once)  # most rows have no equal one
            return [1] * len(keys)
        return [1 if key is None else self._count(key, written) for key in keys]

    @staticmethod
    def _hash(identity: RowIdentity) -> int:
        return stable_hash(BETWEEN.join([text or "" for text in identity]))

    def _written(self, keys: Iterable[int]) -> dict[int, int]:
        """Return the counts of those keys that are in the table."""
        perhaps = self._noted.among(keys)
        return dict(self._db.execute(self._look, (self._file, listed(perhaps)))) if perhaps else {}

    def _count(self, key: int, written: Mapping[int, int]) -> int:
        count = self._counts[key] = (self._counts.get(key) or written.get(key, 0)) + 1
        return count

    def write(self) -> None:
        """Write what was counted since the last time."""
        # In the order of the table, so that neighbours share pages. Nearly all are single, and a list is one statement.
        single = sorted([key for key, n in self._counts.items() if n == 1])
        self._db.execute(self._put_single, (self._file, listed(single)))
        self._db.executemany(self._put, [(self._file, key, n) for key, n in self._counts.items() if n > 1])
        self._noted.note(self._counts)
        self._counts.clear()


class TrialCount(EqualRows):
    """A count of equal rows that ends with it."""

    def __init__(self, db: sqlite3.Connection, *, by_attribution: bool) -> None:
        db.execute("DELETE FROM temp.looked_at")
        super().__init__(db, 0, by_attribution=by_attribution, table="temp.looked_at")

    def ordinals_of(self, identities: Iterable[RowIdentity | None]) -> list[int]:
        if len(self._counts) >= NOTED:
            with transaction(self._db):
                self.write()
        return super().ordinals_of(identities)

    @staticmethod
    def _hash(identity: RowIdentity) -> int:
        return hash(identity)  # the count ends with the process, as the hashes of the process do

    def close(self) -> None:
        """Drop the count."""
        self._db.execute("DELETE FROM temp.looked_at")
