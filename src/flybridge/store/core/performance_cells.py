"""Cells of performance by name: each is made when it is first counted in, up to a limit for an app and day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flybridge.records import Dimensions
from flybridge.store.core import performance_sql as sql
from flybridge.store.performance import OTHER

MAX_CELLS: Final = 20_000
CACHED: Final = 65_536
RECOUNTED: Final = 256
NEARER: Final = 8
"""The cells of a day are counted again after RECOUNTED new ones, because other processes make some, too; or after this
part of those that are left, if it is more."""

One = Callable[[str, tuple[object, ...]], tuple[Any, ...] | None]


class PerformanceCells:
    """Finds and makes cells, and caches what it found.

    `one` runs a statement and returns its first row, if it has any.
    """

    def __init__(self, one: One, max_cells: int = MAX_CELLS) -> None:
        self._one = one
        self._max_cells = max_cells
        self._cells: dict[tuple[str, int, Dimensions], int] = {}
        self._dimensions: dict[tuple[str, Dimensions], int] = {}
        self._named: dict[int, tuple[int, Dimensions]] = {}
        self._counts: dict[tuple[str, int], list[int]] = {}

    def cell(self, app: str, day: int, dimensions: Dimensions) -> int:
        """Return the cell's id; make it if it is new. Beyond the limit that of all others of its kind."""
        name = (app, day, dimensions)
        found = self._cells.get(name)
        if found is None:
            if len(self._cells) >= CACHED or len(self._dimensions) >= CACHED:
                self.forget()
            found = self._cells[name] = self._find(app, day, dimensions)
        return found

    def named(self, cell: int) -> tuple[int, Dimensions]:
        """Return the day and dimensions of a cell."""
        found = self._named.get(cell)
        if found is None:
            row = self._one(sql.CELL, (cell,))
            if row is None:
                raise LookupError(f"there is no cell {cell} of performance")
            day, *labels = row
            if len(self._named) >= CACHED:
                self._named.clear()
            found = self._named[cell] = (day, Dimensions(*labels))
        return found

    def forget(self) -> None:
        """Drop what is cached."""
        self._cells.clear()
        self._dimensions.clear()
        self._named.clear()
        self._counts.clear()

    def _find(self, app: str, day: int, dimensions: Dimensions) -> int:
        name = (app, dimensions)
        dimension = self._dimensions.get(name)
        if dimension is None and (known := self._one(sql.FIND_DIMENSION, (app, *dimensions))) is not None:
            dimension = self._dimensions[name] = int(known[0])
        if dimension is not None and (row := self._one(sql.FIND_CELL, (day, dimension))) is not None:
            return int(row[0])
        if dimensions.media_source != OTHER and not self._has_room(app, day):
            is_event = bool(dimensions.event)
            rest = Dimensions(dimensions.kind, OTHER if is_event else "", OTHER, "", "", "", "", "")
            return self.cell(app, day, rest)
        if dimension is None:
            dimension = self._dimensions[name] = self._made(sql.MAKE_DIMENSION, sql.FIND_DIMENSION, (app, *dimensions))
        return self._made(sql.MAKE_CELL, sql.FIND_CELL, (day, dimension))

    def _made(self, make: str, find: str, values: tuple[object, ...]) -> int:
        # What another process has made meanwhile is not returned.
        row = self._one(make, values) or self._one(find, values)
        if row is None:
            raise LookupError("a cell of performance was deleted while it was made")
        return int(row[0])

    def _has_room(self, app: str, day: int) -> bool:
        count = self._counts.get((app, day))
        if count is None or count[1] >= max(RECOUNTED, (self._max_cells - count[0]) // NEARER):
            row = self._one(sql.COUNT_CELLS, (day, app))
            count = self._counts[app, day] = [int(row[0]) if row is not None else 0, 0]
        if count[0] >= self._max_cells:
            return False
        count[0] += 1
        count[1] += 1
        return True
