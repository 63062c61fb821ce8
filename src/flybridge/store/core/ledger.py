"""The book: the one place that moves a line from cell to cell, and counts.

A line of the ledger points at the cell it stands in, and the cell counts it. Moving is therefore one change in the
ledger and two in the cells, in the same transaction; nothing else changes either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flybridge.records import OutcomeKind
from flybridge.store.core.tables import Place, Tables, Write

HourCell = tuple[int, str, str, int]
"""Lane, media source, key kinds and hour of reception: what `hold_counts` counts by."""


class Book:
    """What one transaction moves and counts, collected and written by `flush`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._n: Counter[int] = Counter()
        self._moved: list[tuple[int, int, int]] = []
        self._held: Counter[HourCell] = Counter()

    def enter(self, place: Place) -> int:
        """Count one new line, give the cell to write into it."""
        cell = self.tables.cell(place)
        self._n[cell] += 1
        return cell

    def move(self, line: int, cell: int, outcome: OutcomeKind, reason: str | None, now_ms: int) -> None:
        """Move a line out of `cell` to its app's, day's and source's cell of that outcome. Reason None: as before."""
        place = self.tables.place(cell)
        new = self.tables.cell(place._replace(outcome=outcome.word, reason=place.reason if reason is None else reason))
        self._n[cell] -= 1
        self._n[new] += 1
        self._moved.append((new, now_ms, line))

    def waits(self, cells: Iterable[HourCell]) -> None:
        """Count holds that begin to wait."""
        self._held.update(cells)

    def waits_no_more(self, cells: Iterable[HourCell]) -> None:
        """Count holds that have ended."""
        self._held.subtract(cells)

    def flush(self) -> None:
        """Write the moves and the counts, always in the same order."""
        write = self.tables.write
        write(Write.MOVE, self._moved)
        changed = sorted((cell, n) for cell, n in self._held.items() if n)
        write(Write.HOLD_COUNTS, [(*cell, n) for cell, n in changed])
        write(Write.DROP_HOLD_COUNTS, [cell for cell, n in changed if n < 0])
        write(Write.TALLY, [(n, cell) for cell, n in sorted(self._n.items()) if n])
        self.undo()

    def undo(self) -> None:
        """Forget what was collected: it is written, or the transaction that made it was rolled back."""
        self._n.clear()
        self._moved.clear()
        self._held.clear()
