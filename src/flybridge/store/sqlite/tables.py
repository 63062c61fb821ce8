"""The store's tables in SQLite: cells, lanes and ids, and how named statements are run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from flybridge.store.core.tables import Place, Read, Write
from flybridge.store.protocol import Lane
from flybridge.store.sqlite.connection import among
from flybridge.store.sqlite.spread import Spread
from flybridge.store.sqlite.sql import READS, WRITES

_WRITES: Final = {what: Spread(sql) for what, sql in WRITES.items()}


class SqliteRows:
    """Reads on one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def read(self, what: Read, *values: object) -> list[Any]:
        """Run a statement, give its rows."""
        return self.db.execute(READS[what], values).fetchall()

    def among(self, what: Read, keys: Iterable[object], *first: object) -> list[Any]:
        """Run a statement for a list of any length."""
        return among(self.db, READS[what], keys, *first)


class SqliteTables(SqliteRows):
    """What a transaction that writes needs. Cells and lanes are kept by name until something is rolled back.

    Whoever writes has SQLite's write lock: there is nobody else.
    """

    keeps_spent = True

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._cells: dict[Place, int] = {}
        self._places: dict[int, Place] = {}
        self._lanes: dict[Lane, int] = {}
        self._numbers: dict[int, Lane] = {}

    def lock(self, keys: Iterable[bytes]) -> None:
        """Do nothing: there is nobody else."""

    def only(self, task: str) -> bool:
        """Say yes: there is nobody else."""
        return True

    def ids(self, n: int) -> range:
        """Return n new ids."""
        if not n:
            return range(0)
        row: tuple[int] = self.db.execute("UPDATE ids SET next = next + ? RETURNING next", (n,)).fetchone()
        return range(row[0] - n, row[0])

    def cell(self, place: Place) -> int:
        """Return the cell's number; make the cell if it is new."""
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
        """Return what a cell stands for."""
        place = self._places.get(cell)
        if place is None:
            row = self.db.execute(
                "SELECT app, day, source, outcome, reason FROM cells WHERE id = ?", (cell,)
            ).fetchone()
            place = self._places[cell] = Place(*row)
        return place

    def lane(self, lane: Lane) -> int:
        """Return the lane's number; make the lane if it is new."""
        number = self._lanes.get(lane)
        if number is None:
            self.db.execute("INSERT OR IGNORE INTO lanes (app, endpoint) VALUES (?, ?)", (lane.app, lane.endpoint))
            (number,) = self.db.execute(
                "SELECT id FROM lanes WHERE app = ? AND endpoint = ?", (lane.app, lane.endpoint)
            ).fetchone()
            self._lanes[lane] = number
        return number

    def lane_of(self, number: int) -> Lane:
        """Return the lane of a number."""
        lane = self._numbers.get(number)
        if lane is None:
            row = self.db.execute("SELECT app, endpoint FROM lanes WHERE id = ?", (number,)).fetchone()
            lane = self._numbers[number] = Lane(*row)
        return lane

    def write(self, what: Write, rows: Sequence[tuple[object, ...]]) -> None:
        """Run a statement for all rows."""
        if rows:
            _WRITES[what].run(self.db, rows)

    def count(self, what: Write, rows: Sequence[tuple[object, ...]]) -> int:
        """Run a statement for all rows, give how many rows of the table it changed."""
        return _WRITES[what].run(self.db, rows) if rows else 0

    def undo(self) -> None:
        """Forget the names: the transaction that made them was rolled back."""
        self._cells.clear()
        self._places.clear()
        self._lanes.clear()
        self._numbers.clear()
