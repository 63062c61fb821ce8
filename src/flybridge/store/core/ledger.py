"""The ledger's writer: the one place that moves rows between counters.

A ledger row points at the counter that counts it. Moving a row is therefore one change in the ledger and two in the
counters, in the same transaction; nothing else changes either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flybridge.records import OutcomeKind
from flybridge.store.core.tables import CounterKey, Tables, Write

HoldCounter = tuple[int, str, str, int]
"""Lane, media source, key kinds and hour of reception: what `hold_counts` counts by."""


class LedgerWriter:
    """Moves and counts of one transaction, collected, and written by `flush`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._n: Counter[int] = Counter()
        self._moved: list[tuple[int, int, int]] = []
        self._targets: dict[tuple[int, OutcomeKind, str | None], int] = {}
        self._held: Counter[HoldCounter] = Counter()

    def enter(self, counter_key: CounterKey) -> int:
        """Count one new row. Returns the counter to write into it."""
        counter = self.tables.counter(counter_key)
        self._n[counter] += 1
        return counter

    def move(self, row_id: int, counter: int, outcome: OutcomeKind, reason: str | None, now_ms: int) -> int:
        """Move a row from `counter` to the counter of another outcome, and return that.

        With `reason` None the reason stays.
        """
        new = self._targets.get((counter, outcome, reason))
        if new is None:
            counter_key = self.tables.counter_key(counter)
            reason_then = counter_key.reason if reason is None else reason
            new = self.tables.counter(counter_key._replace(outcome=outcome.word, reason=reason_then))
            self._targets[counter, outcome, reason] = new
        self._n[counter] -= 1
        self._n[new] += 1
        self._moved.append((new, now_ms, row_id))
        return new

    def waits(self, counters: Iterable[HoldCounter]) -> None:
        self._held.update(counters)

    def waits_no_more(self, counters: Iterable[HoldCounter]) -> None:
        self._held.subtract(counters)

    def flush(self) -> None:
        """Write the moves and the counts, always in the same order."""
        write = self.tables.write
        write(Write.MOVE, self._moved)
        changed = sorted((counter, n) for counter, n in self._held.items() if n)
        write(Write.HOLD_COUNTS, [(*counter, n) for counter, n in changed])
        write(Write.DROP_HOLD_COUNTS, [counter for counter, n in changed if n < 0])
        write(Write.COUNT, [(n, counter) for counter, n in sorted(self._n.items()) if n])
        self.undo()

    def undo(self) -> None:
        """Drop what was collected, because it is written or its transaction was rolled back."""
        self._n.clear()
        self._moved.clear()
        self._targets.clear()
        self._held.clear()
