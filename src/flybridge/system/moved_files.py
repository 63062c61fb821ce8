"""Whether an open SQLite file still has its name.

What is written to a file that was deleted, or replaced by a copy, is gone when the process ends, and SQLite does not
notice it where there is a write-ahead log.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

Identity = tuple[int, int]


class FilesMoved(Exception):
    """A file of an open database was deleted or replaced."""


class OpenFiles:
    """The files of a connection that is open, and of its write-ahead log."""

    def __init__(self, db: sqlite3.Connection) -> None:
        path = next(path for _, name, path in db.execute("PRAGMA database_list") if name == "main")
        names = (path, f"{path}-wal") if path else ()
        self._known: dict[Path, Identity | None] = dict.fromkeys(map(Path, names))
        with suppress(FilesMoved):  # the log may not be there yet
            self.check()

    def check(self) -> None:
        """Raise `FilesMoved` if a name is not that of the file that was found under it first."""
        for path, known in self._known.items():
            found = _identity(path)
            if known is None:
                self._known[path] = found
            elif found != known:
                raise FilesMoved(
                    f"{path} was {'deleted' if found is None else 'replaced'} while flybridge runs: stop flybridge, "
                    "restore the files of its data directory, and start it again"
                )


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
