"""Retention: what is settled and past its retention is deleted, in steps so small that no other transaction waits long.

Any number of processes may prune at once: one does a step, and the others leave it to that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from flybridge.records import OutcomeKind
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Write

STEP: Final = 1000
UNSETTLED: Final = frozenset({OutcomeKind.HELD, OutcomeKind.PENDING, OutcomeKind.DEAD})
TASK: Final = "prune"


class PruneStep(NamedTuple):
    """How many rows a step deleted, and where the next one starts; None after the last."""

    deleted: int
    after: int | bytes | None


def prune_step(
    ledger: LedgerWriter, prune: Callable[[LedgerWriter, Any, Any], PruneStep], until: object, after: object
) -> PruneStep:
    """Do one step of `prune`, and none if another process is doing it."""
    return prune(ledger, until, after) if ledger.tables.only(TASK) else PruneStep(0, None)


def prune_ledger(ledger: LedgerWriter, until_ms: int, after: int) -> PruneStep:
    """Delete ledger rows that were settled at or before `until_ms`. The counters keep them.

    Rows are in the order of filing: a step that meets only younger ones is the last.
    """
    rows = ledger.tables.read(Read.ROWS_AFTER, after, STEP)
    old = [
        (i, counter, cell)
        for i, counter, cell, changed, _ in rows
        if changed <= until_ms and ledger.tables.counter_key(counter).outcome not in UNSETTLED
    ]
    _delete_rows(ledger, old)
    last = len(rows) < STEP or all(received > until_ms for *_, received in rows)
    return PruneStep(len(old), None if last else rows[-1][0])


def prune_dead(ledger: LedgerWriter, until_ms: int, _: int) -> PruneStep:
    """Delete dead letters of `until_ms` and before, with their ledger rows. They stay counted as dead."""
    rows = ledger.tables.read(Read.OLD_DEAD, until_ms, STEP)
    ledger.tables.write(Write.DROP_ITEMS, [(i,) for i, *_ in rows])
    ledger.tables.write(Write.DROP_DEAD, [(i,) for i, *_ in rows])
    _delete_rows(ledger, rows)
    return PruneStep(len(rows), None if len(rows) < STEP else 0)


def prune_messages(ledger: LedgerWriter, until_ms: int, _: int) -> PruneStep:
    """Delete messages that were kept at or before `until_ms`. The ledger rows of their events stay."""
    rows = ledger.tables.read(Read.OLD_MESSAGES, until_ms, STEP)
    ledger.tables.write(Write.DROP_MESSAGES, rows)
    return PruneStep(len(rows), None if len(rows) < STEP else 0)


def prune_seen(ledger: LedgerWriter, now_ms: int, after: bytes) -> PruneStep:
    """Delete content keys that are remembered no longer. Which keys a page holds depends on the backend."""
    rows = ledger.tables.read(Read.OLD_SEEN, after, now_ms, STEP * 5)
    old = [(key, until_ms) for key, until_ms in rows if until_ms <= now_ms]
    ledger.tables.write(Write.DROP_SEEN, old)
    return PruneStep(len(old), rows[-1][0] if len(rows) == STEP * 5 else None)


def prune_installations(ledger: LedgerWriter, before_day: int, after: bytes) -> PruneStep:
    """Delete installations of days before this one. The counters keep what they did."""
    rows = ledger.tables.read(Read.INSTALLATIONS_AFTER, after, STEP * 5)
    old = [(key,) for key, day in rows if day < before_day]
    ledger.tables.write(Write.DROP_INSTALLATIONS, old)
    return PruneStep(len(old), rows[-1][0] if len(rows) == STEP * 5 else None)


def prune_coverage(ledger: LedgerWriter, before_day: str, _: int) -> PruneStep:
    """Delete the coverage counters of days before this one."""
    return PruneStep(ledger.tables.count(Write.DROP_COVERAGE, [(before_day,)]), None)


class Orphans(NamedTuple):
    """People of whom only keys are left, and after which person to go on; None after the last."""

    persons: Sequence[int]
    after: int | None


def orphans(ledger: LedgerWriter, after: int) -> Orphans:
    """Return people without a ledger row who have keys without a sighting."""
    if not ledger.tables.only(TASK):
        return Orphans((), None)
    page = ledger.tables.read(Read.PERSONS_AFTER, after, STEP)
    return Orphans([person for person, gone in page if gone], page[-1][0] if len(page) == STEP else None)


def prune_people(ledger: LedgerWriter, persons: Sequence[int]) -> int:
    """Delete the keys of these people, if still no row and no sighting needs them. No other transaction may file."""
    return ledger.tables.count(Write.DROP_ORPHANS, [(person,) for person in persons])


def _delete_rows(ledger: LedgerWriter, rows: Sequence[tuple[int, int, int | None]]) -> None:
    pruned = Counter(counter for _, counter, _ in rows)
    counted = Counter(cell for *_, cell in rows if cell is not None)
    ledger.tables.write(Write.COUNT_PRUNED, [(n, counter) for counter, n in sorted(pruned.items())])
    ledger.tables.write(Write.PERFORMANCE, [(cell, 0, 0, 0, 0, 0, n) for cell, n in sorted(counted.items())])
    ledger.tables.write(Write.DROP_ATTEMPTS, [(i,) for i, *_ in rows])
    ledger.tables.write(Write.DROP_MESSAGES, [(i,) for i, *_ in rows])
    ledger.tables.write(Write.DROP_LEDGER_ROWS, [(i,) for i, *_ in rows])
