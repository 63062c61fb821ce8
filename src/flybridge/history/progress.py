"""What is remembered on this machine of an import: how far each file was read, and which rows were equal.

A file that was being read when the process was killed is read on from its last full block, with the same count of equal
rows. The checkpoint and the count move in one transaction, after the inbox has the rows; those that were accepted
and not noted are accepted again, and are duplicates.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from flybridge.appsflyer.raw_report import is_conversion
from flybridge.errors import FlybridgeError
from flybridge.history.equal_rows import EqualRows, TrialCount, person_of
from flybridge.history.noted import NOTED, transaction
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


class Checkpoint(NamedTuple):
    """How far a file was read, in bytes or rows of Parquet, and whether to its end."""

    end: int
    done: bool


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
