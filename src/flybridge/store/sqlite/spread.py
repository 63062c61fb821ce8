"""Many rows in one statement of SQLite.

Python releases its lock for every step of a statement and has to take it again: in a process whose other threads want
it too, that costs more than the step does. A statement whose parameters are all in one `VALUES (?, ...)` is therefore
run for groups of rows, of a few fixed sizes, so that the texts stay prepared.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final

SIZES: Final = (64, 16, 4)
"""Rows of one statement, the largest first; what is left over is run row by row."""

_GROUP: Final = re.compile(r"VALUES (\([?0, ]+\))")


class Spread:
    """A statement for rows of parameters.

    Rows of one statement may meet in an `INSERT`; those of an `UPDATE ... FROM (VALUES ...)` must be of different rows
    of the table.
    """

    def __init__(self, sql: str) -> None:
        self._one = sql
        self._sizes: Sequence[tuple[int, str]] = ()
        group = _GROUP.search(sql)
        if group is not None and group[1].count("?") == sql.count("?"):
            head, tail = sql[: group.end()], sql[group.end() :]
            self._sizes = [(size, f"{head}{f', {group[1]}' * (size - 1)}{tail}") for size in SIZES]

    @property
    def is_spread(self) -> bool:
        """Return whether the statement takes more than one row at once."""
        return bool(self._sizes)

    def run(self, db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> int:
        """Run it for all rows, in their order. Gives how many rows of the table it changed."""
        at, changed = 0, 0
        for size, sql in self._sizes:
            while len(rows) - at >= size:
                changed += db.execute(sql, [*chain.from_iterable(rows[at : at + size])]).rowcount
                at += size
        return changed + (db.executemany(self._one, rows[at:]).rowcount if at < len(rows) else 0)
