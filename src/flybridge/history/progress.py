"""What is remembered on this machine of an import: how far each file was read, and which rows were equal.

A file that was being read when the process was killed is read on from its last full block, with the same count of equal
rows. The checkpoint and the count move in one transaction, after the inbox has the rows; those that were accepted
and not noted are accepted again, and are duplicates.

Equal rows are counted by a hash of eight bytes, in a file and not in memory: a hundred million rows need no more of it
than a thousand.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from flybridge.appsflyer.raw_report import is_conversion
from flybridge.errors import FlybridgeError
from flybridge.history.noted import NOTED, Noted, listed, transaction
from flybridge.history.rows import happened_ms
from flybridge.history.surveyed_events import SurveyedEvents
from flybridge.system.full_disk import room_remedy
from flybridge.system.private_files import private_database, private_directory
from flybridge.system.write_ahead_log import use_write_ahead_log

# A file's `lines` are not used any more: they are counted anew on the way to where it goes on.
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, app TEXT NOT NULL, name TEXT NOT NULL, mark TEXT NOT NULL,
    bytes INTEGER NOT NULL, lines INTEGER NOT NULL, done INTEGER NOT NULL, UNIQUE (app, name)
) STRICT;
CREATE TABLE IF NOT EXISTS equal_rows (
    file INTEGER NOT NULL, hash INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (file, hash)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE looked_at (
    file INTEGER NOT NULL, hash INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (file, hash)
) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE newest (person INTEGER PRIMARY KEY, ms INTEGER NOT NULL) STRICT;
CREATE TEMP TABLE reported (key BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TEMP TABLE months (person INTEGER NOT NULL, month INTEGER NOT NULL, PRIMARY KEY (person, month))
STRICT, WITHOUT ROWID;
"""

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


class Checkpoint(NamedTuple):
    """How far a file was read, in bytes or rows of Parquet, and whether to its end."""

    end: int
    done: bool


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


@contextmanager
def opened_progress(path: Path) -> Iterator[Progress]:
    """Open the file of checkpoints, and close it at the end; see `written`."""
    with written(path), closing(Progress(path)) as progress:
        yield progress


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raise `FlybridgeError` in place of what SQLite says of the file of checkpoints, as where the disk is full."""
    try:
        yield
    except sqlite3.Error as problem:
        said = f"{path} can't be written, where it stands how far files were read: {problem}.{room_remedy(problem)}"
        raise FlybridgeError(f"{said} Nothing is lost: it goes on there when it is repeated.") from problem


class Progress:
    """The file of checkpoints. Two imports at once may use it; each keeps its own files' rows."""

    def __init__(self, path: Path) -> None:
        private_directory(path.parent)
        private_database(path)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        use_write_ahead_log(self._db)
        self._db.execute("PRAGMA synchronous = NORMAL")
        # The temporary tables end with the process, so that nothing would ever take a change of theirs back.
        self._db.execute("PRAGMA temp.journal_mode = OFF")
        self._db.executescript(SCHEMA)
        self.surveyed = SurveyedEvents(self._db)
        self._newest, self._months = dict[int, int](), set[tuple[int, int]]()  # what is not written yet

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def reached(self, app: str, name: str, mark: str) -> Checkpoint:
        """Return how far this content of a file was read."""
        sql = "SELECT bytes, done FROM files WHERE app = ? AND name = ? AND mark = ?"
        row = self._db.execute(sql, (app, name, mark)).fetchone()
        return Checkpoint(row[0], bool(row[1])) if row else Checkpoint(0, False)

    def begin(self, app: str, name: str, mark: str, *, by_attribution: bool, again: bool = False) -> FileProgress:
        """Begin or continue with a file. What was noted of another content, or `again`, is dropped."""
        at = self.reached(app, name, mark)
        if at.done or again:
            at = Checkpoint(0, False)
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO files (app, name, mark, bytes, lines, done) VALUES (?, ?, ?, ?, 0, 0) "
                "ON CONFLICT (app, name) DO UPDATE SET mark = excluded.mark, bytes = excluded.bytes, done = 0",
                (app, name, mark, at.end),
            )
            (file,) = self._db.execute("SELECT id FROM files WHERE app = ? AND name = ?", (app, name)).fetchone()
            if not at.end:
                self._db.execute("DELETE FROM equal_rows WHERE file = ?", (file,))
        return FileProgress(self._db, file, at.end, EqualRows(self._db, file, by_attribution=by_attribution))

    def counting(self, *, by_attribution: bool) -> TrialCount:
        """Return a count of equal rows that is not kept, for a look at a file."""
        return TrialCount(self._db, by_attribution=by_attribution)

    def note_conversions(self, found: Iterable[tuple[int, int]]) -> None:
        """Note persons, by the hash of this process, and times of conversions, to know the newest of each."""
        newest = self._newest
        for person, ms in found:
            if ms > newest.get(person, -1):
                newest[person] = ms
        if len(newest) >= NOTED:
            self._write_newest()

    def _write_newest(self) -> None:
        sql = "INSERT INTO newest VALUES (?, ?) ON CONFLICT (person) DO UPDATE SET ms = max(ms, excluded.ms)"
        with transaction(self._db):
            self._db.executemany(sql, sorted(self._newest.items()))
        self._newest.clear()

    def is_newest(self, fields: Mapping[str, str]) -> bool:
        """Whether a conversion is the last of its person among those that were noted."""
        person, ms = person_of(fields), happened_ms(fields)
        if person is None or ms is None or not is_conversion(fields):
            return False
        if self._newest:
            self._write_newest()
        row = self._db.execute("SELECT ms FROM newest WHERE person = ?", (hash(person),)).fetchone()
        return row is not None and row[0] == ms

    def note_reported(self, keys: Iterable[bytes]) -> None:
        """Note the content keys of rows of reports."""
        with transaction(self._db):
            self._db.executemany("INSERT OR IGNORE INTO reported VALUES (?)", ((key,) for key in keys))

    def is_reported(self, key: bytes) -> bool:
        """Whether a content key was noted as one of a row of reports."""
        return self._db.execute("SELECT 1 FROM reported WHERE key = ?", (key,)).fetchone() is not None

    def note_months(self, found: Iterable[tuple[int, int]]) -> None:
        """Note persons and the months (years * 12 + month - 1) in which their events lie."""
        self._months.update(found)
        if len(self._months) >= NOTED:
            self._write_months()

    def _write_months(self) -> None:
        with transaction(self._db):
            self._db.executemany("INSERT OR IGNORE INTO months VALUES (?, ?)", sorted(self._months))
        self._months.clear()

    def months(self) -> dict[str, int]:
        """Return how many persons have events in a month, `2026-01`."""
        self._write_months()
        with closing(self._db.execute("SELECT month, count(*) FROM months GROUP BY 1 ORDER BY 1")) as rows:
            return {f"{month // 12:04}-{month % 12 + 1:02}": n for month, n in rows}


class FileProgress:
    """The progress of one file."""

    def __init__(self, db: sqlite3.Connection, file: int, start: int, equal: EqualRows) -> None:
        self._db, self._file = db, file
        self.start, self.equal = start, equal

    def save(self, end: int) -> None:
        """Note, in one transaction, that all rows up to here are in the inbox."""
        with transaction(self._db):
            self.equal.write()
            self._db.execute("UPDATE files SET bytes = ? WHERE id = ?", (end, self._file))

    def finish(self) -> None:
        """Note that the file was read to its end. The count of its equal rows is dropped."""
        with transaction(self._db):
            self._db.execute("UPDATE files SET done = 1 WHERE id = ?", (self._file,))
            self._db.execute("DELETE FROM equal_rows WHERE file = ?", (self._file,))
