"""Cells of performance by name: each is made when it is first counted in, up to a limit for an app and day.

The cells that a batch needs are found and made together, by `cells`: while traffic is spread over many campaigns and
countries, every second event is the first of its cell, and statements for each would cost more than all its counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from flybridge.identity.masking import dimension
from flybridge.records import Dimensions
from flybridge.store.core.performance_sql import CellSql
from flybridge.store.performance import ORGANIC, OTHER

MAX_CELLS: Final = 20_000
CACHED: Final = 65_536
RECOUNTED: Final = 256
NEARER: Final = 8
"""The cells of a day are counted again after RECOUNTED new ones, because other processes make some, too; or after this
part of those that are left, if it is more."""
RACES: Final = 4
"""Tries to find or make what others make at the same time; two are enough, unless rows are deleted meanwhile."""
NONE: Final = 0
"""No cell has this id."""
SIZES: Final = (64, 16, 4, 1)
"""Rows of one statement: few sizes, so that the texts stay prepared."""

CellName = tuple[str, int, Dimensions]
"""App, day and dimensions."""
Run = Callable[[str, Sequence[object]], Sequence[Any]]


class PerformanceCells:
    """Finds and makes cells, and caches what it found. `run` runs a statement and returns its rows."""

    def __init__(self, run: Run, sql: CellSql, max_cells: int = MAX_CELLS) -> None:
        self._run = run
        self._sql = sql
        self._max_cells = max_cells
        self._cells: dict[CellName, int] = {}
        self._named: dict[int, tuple[int, Dimensions]] = {}
        self._counts: dict[tuple[str, int], list[int]] = {}
        self._dimensions: dict[tuple[str, Dimensions], int] = {}

    def cell(self, app: str, day: int, dimensions: Dimensions) -> int:
        """Return the cell's id; make it if it is new. Beyond the limit that of all others of its kind."""
        name = (app, day, dimensions)
        found = self._cells.get(name)
        if found is None:
            (found,) = self.cells([name])
        return found

    def cells(self, names: Sequence[CellName]) -> list[int]:
        """Return the ids of cells, in their order; make those that are new."""
        if len(self._cells) + len(names) > CACHED:
            self.forget()
        found = [self._cells.get(name, NONE) for name in names]
        if NONE in found:
            self._prepare(list(dict.fromkeys(name for name, cell in zip(names, found, strict=True) if cell == NONE)))
            found = [self._cells.get(name, NONE) for name in names]
        if NONE in found:
            raise LookupError("a cell of performance was deleted while it was made")
        return found

    def named(self, cell: int) -> tuple[int, Dimensions]:
        """Return the day and dimensions of a cell."""
        found = self._named.get(cell)
        if found is None:
            rows = self._run(self._sql.named, (cell,))
            if not rows:
                raise LookupError(f"there is no cell {cell} of performance")
            day, *labels = rows[0]
            if len(self._named) >= CACHED:
                self._named.clear()
            found = self._named[cell] = (day, Dimensions(*labels))
        return found

    def _prepare(self, unknown: Sequence[CellName]) -> None:
        """Find cells, and make those that are new. Their labels are masked: no cell holds an identifier of a person."""
        masked = {name: (name[0], name[1], labels) for name in unknown if (labels := without_ids(name[2])) != name[2]}
        wanted = dict.fromkeys(masked.get(name, name) for name in unknown)
        new = [name for name in wanted if name not in self._cells]
        if self._fit(new):
            self._make(new)
        else:
            self._make_some(new)
        self._share(masked)

    def _fit(self, names: Sequence[CellName]) -> bool:
        """Whether all of these may have a cell of their own."""
        days = Counter((app, day) for app, day, _ in names)
        return all(self._count(app, day)[0] + n <= self._max_cells for (app, day), n in days.items())

    def _make_some(self, unknown: Sequence[CellName]) -> None:
        """Find cells, and make as many as a day may have. The others are counted in one that every kind has."""
        self._find(unknown)
        new = [name for name in unknown if name not in self._cells]
        fits = self._fitting(new)
        rest = {name: name if name in fits else _rest(name) for name in new}
        self._make([name for name in dict.fromkeys(rest.values()) if name not in self._cells])
        self._share(rest)

    def _share(self, places: Mapping[CellName, CellName]) -> None:
        """Keep names that are counted in the cell of another."""
        self._cells |= {name: self._cells[place] for name, place in places.items() if place in self._cells}

    def forget(self) -> None:
        """Drop what is cached."""
        self._cells.clear()
        self._named.clear()
        self._counts.clear()
        self._dimensions.clear()

    def _find(self, names: Sequence[CellName]) -> None:
        """Look cells up, and keep those that exist, and the ids of those dimensions that do."""
        for part in _parts(names):
            values = [(at, day, app, *dimensions) for at, (app, day, dimensions) in enumerate(part)]
            for at, number, cell in self._run(self._sql.find(len(values)), [*chain.from_iterable(values)]):
                app, _, dimensions = part[at]
                self._dimensions[app, dimensions] = number
                if cell is not None:
                    self._keep(part[at], cell)

    def _make(self, names: Sequence[CellName]) -> None:
        """Make cells. Those that exist are found afterwards: of a batch most are new, where any are."""
        left = names
        for _ in range(RACES):
            self._insert(left)
            if not (left := [name for name in left if name not in self._cells]):
                return
            # They existed, or another process has made their dimensions and not yet the cells.
            self._find(left)
            if not (left := [name for name in left if name not in self._cells]):
                return

    def _insert(self, names: Sequence[CellName]) -> None:
        known = self._dimensions
        lacking = dict.fromkeys(at for app, _, dimensions in names if (at := (app, dimensions)) not in known)
        named = dict(zip(self._new_ids("dimensions", len(lacking)), lacking, strict=True))
        for part in _parts([(number, app, *dimensions) for number, (app, dimensions) in named.items()]):
            for (number,) in self._run(self._sql.make_dimensions(len(part)), [*chain.from_iterable(part)]):
                known[named[number]] = number
        places = [(name, known[at]) for name in names if (at := (name[0], name[2])) in known]
        cells = dict(zip(self._new_ids("performance_cells", len(places)), places, strict=True))
        for part in _parts([(cell, name[1], labels) for cell, (name, labels) in cells.items()]):
            for (cell,) in self._run(self._sql.make_cells(len(part)), [*chain.from_iterable(part)]):
                name = cells[cell][0]
                self._keep(name, cell)
                count = self._counts.get(name[:2])
                if count is not None and not _is_rest(name):
                    count[0] += 1
                    count[1] += 1

    def _new_ids(self, table: str, n: int) -> list[int]:
        return [number for (number,) in self._run(self._sql.new_ids(table), (n,))] if n else []

    def _keep(self, name: CellName, cell: int) -> None:
        self._cells[name] = cell
        if len(self._named) >= CACHED:
            self._named.clear()
        self._named[cell] = name[1:]

    def _fitting(self, names: Iterable[CellName]) -> set[CellName]:
        """Return those that may have a cell of their own."""
        taken, fits = Counter[tuple[str, int]](), set()
        for name in names:
            app, day, _ = name
            if _is_rest(name):
                fits.add(name)
            elif self._count(app, day)[0] + taken[app, day] < self._max_cells:
                taken[app, day] += 1
                fits.add(name)
        return fits

    def _count(self, app: str, day: int) -> list[int]:
        """Return how many cells the app has on that day, and how many of these were made since they were counted."""
        count = self._counts.get((app, day))
        if count is None or count[1] >= max(RECOUNTED, (self._max_cells - count[0]) // NEARER):
            ((n,),) = self._run(self._sql.count, (day, app))
            count = self._counts[app, day] = [int(n), 0]
        return count


@lru_cache(maxsize=32_768)
def without_ids(dimensions: Dimensions) -> Dimensions:
    """Return labels without identifiers of people."""
    return Dimensions(*map(dimension, dimensions))


def _is_rest(name: CellName) -> bool:
    return OTHER in name[2] and name == _rest(name)


def _rest(name: CellName) -> CellName:
    """Return the name that stands for what has no cell of its own. What is organic has one apart: it has no cost."""
    app, day, dimensions = name
    event = OTHER if dimensions.event else ""
    source, campaign = (ORGANIC, OTHER) if dimensions.media_source == ORGANIC else (OTHER, "")
    return app, day, Dimensions(dimensions.kind, event, source, campaign, "", "", "", "")


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    at = 0
    for size in SIZES:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size
