"""SQLite files with a write-ahead log, which several processes may open for the first time at once."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

PRIMARY: Final = 0xFF
"""The part of SQLite's error code that says what kind it is."""
PAUSE_S: Final = 0.02


def use_write_ahead_log(db: sqlite3.Connection, patience_s: float = 30.0) -> None:
    """Let a file have a write-ahead log, which it keeps. Raises what SQLite raises after so many seconds.

    SQLite does not wait for other processes here, whatever timeout the connection has: changing the mode takes a lock
    that another one may hold which does the same.
    """
    end_s = time.monotonic() + patience_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() >= end_s:
                raise
            time.sleep(PAUSE_S)
        else:
            return
