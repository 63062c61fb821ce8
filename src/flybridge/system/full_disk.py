"""What to do about a disk that is full, as SQLite and the system report it."""

from __future__ import annotations

import sqlite3
from errno import ENOSPC


def room_remedy(error: Exception) -> str:
    """Return the sentence that ends what is said of an error if the disk is full; else nothing."""
    is_full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) == ENOSPC
    return " Free space on its disk." if is_full else ""
