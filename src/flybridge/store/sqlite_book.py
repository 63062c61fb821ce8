"""The book: cells, lines and ids, and the one place that moves a line from cell to cell.

A line of the ledger points at the cell it stands in, and the cell counts it. Moving is therefore one change in the
ledger and two in the cells, in the same transaction; nothing else changes either.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import NamedTuple

from flybridge.records import OutcomeKind
from flybridge.store.protocol import Lane


class Place(NamedTuple):
    """What a cell stands for."""

    app: str
    day: str
    source: str
    outcome: str
    reason: str


class Book:
    """Cells and lanes by name, kept in memory; what changes is collected and written by `flush`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._cells: dict[Place, int] = {}
        self._places: dict[int, Place] = {}
        self._lanes: dict[Lane, int] = {}
        self._n: Counter[int] = Counter()
        self._moved: list[tuple[int, int, int]] = []

    def ids(self, n: int) -> int:
        """Reserve n ids, give the first."""
        row: tuple[int] = self.db.execute("UPDATE ids SET next = next + ? RETURNING next", (n,)).fetchone()
        return row[0] - n

    def cell(self, place: Place) -> int:
        """Give the cell's id; make the cell if it is new."""
        cell = self._cells.get(place)
        if cell is None:
            self.db.execute(
                "INSERT OR IGNORE INTO cells (app, day, source, outcome, reason) VALUES (?, ?, ?, ?, ?)", place
            )
            (cell,) = self.db.execute(
                "SELECT id FROM cells WHERE app = ? AND day = ? AND source = ? AND outcome = ? AND reason = ?", place
            ).fetchone()
            self._cells[place] = cell
        return cell

    def place(self, cell: int) -> Place:
        """Give what a cell stands for."""
        place = self._places.get(cell)
        if place is None:
            row = self.db.execute(
                "SELECT app, day, source, outcome, reason FROM cells WHERE id = ?", (cell,)
            ).fetchone()
            place = self._places[cell] = Place(*row)
        return place

    def lane(self, lane: Lane) -> int:
        """Give the lane's id; make the lane if it is new."""
        number = self._lanes.get(lane)
        if number is None:
            self.db.execute("INSERT OR IGNORE INTO lanes (app, endpoint) VALUES (?, ?)", (lane.app, lane.endpoint))
            (number,) = self.db.execute(
                "SELECT id FROM lanes WHERE app = ? AND endpoint = ?", (lane.app, lane.endpoint)
            ).fetchone()
            self._lanes[lane] = number
        return number

    def enter(self, place: Place) -> int:
        """Count one new line, give the cell to write into it."""
        cell = self.cell(place)
        self._n[cell] += 1
        return cell

    def move(self, line: int, cell: int, outcome: OutcomeKind, reason: str | None, now_ms: int) -> None:
        """Move a line out of `cell` to its app's, day's and source's cell of that outcome. Reason None: as before."""
        place = self.place(cell)
        new = self.cell(place._replace(outcome=outcome.value, reason=place.reason if reason is None else reason))
        self._n[cell] -= 1
        self._n[new] += 1
        self._moved.append((new, now_ms, line))

    def flush(self) -> None:
        """Write the moves and the counts."""
        self.db.executemany("UPDATE ledger SET cell = ?, changed_ms = ? WHERE id = ?", self._moved)
        self.db.executemany("UPDATE cells SET n = n + ? WHERE id = ?", [(n, cell) for cell, n in self._n.items() if n])
        self._moved.clear()
        self._n.clear()

    def undo(self) -> None:
        """Forget everything: the transaction that made it was rolled back."""
        self._cells.clear()
        self._places.clear()
        self._lanes.clear()
        self._n.clear()
        self._moved.clear()
