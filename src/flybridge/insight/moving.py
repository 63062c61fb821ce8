"""The account of a running bridge, read without stopping it. Pure.

An envelope moves from the inbox to the store while the two are read one after the other, so their figures need not
agree to the last one. How much they may differ is known: the inbox is read before and after the store, and

    filed <= received after            what has an outcome was received
    filed >= received before - waiting before

because whatever was received and did not wait had an outcome already, and outcomes are never taken back. At rest
both bounds are the same figure, and the check is that of `insight.account`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, structs

from flybridge.insight.account import Account, Line, balance
from flybridge.store.figures import Count, Discrepancy

Cells = Mapping[tuple[str, str], int]


class Look(Struct, frozen=True):
    """What an inbox said, by (app, day). `received` must have been asked for before `waiting`."""

    received: Cells
    waiting: Cells


def balance_moving(before: Look, counts: Sequence[Count], after: Look) -> Account:
    """Draw up the account from the store's counters and a look at the inbox on either side of them."""
    drawn = balance(after.received, after.waiting, counts)
    found = [wrong for line in drawn.lines if (wrong := _wrong(line, before, after))]
    return structs.replace(drawn, discrepancies=found)


def _wrong(line: Line, before: Look, after: Look) -> Discrepancy | None:
    cell = line.app, line.day
    filed, most = sum(line.outcomes.values()), after.received.get(cell, 0)
    least = before.received.get(cell, 0) - before.waiting.get(cell, 0)
    if filed > most:
        return Discrepancy(line.app, line.day, "More envelopes have an outcome than were received.", most, filed)
    if filed < least:
        what = "Envelopes were received that neither wait nor have an outcome."
        return Discrepancy(line.app, line.day, what, least, filed)
    return None


def by_reason(counts: Iterable[Count], outcome: str) -> list[tuple[str, str, int, str, str]]:
    """Return (app, reason, n, first day, last day) of one outcome, the most first."""
    sums: Counter[tuple[str, str]] = Counter()
    days: dict[tuple[str, str], list[str]] = {}
    for count in counts:
        if count.outcome == outcome and count.n:
            sums[count.app, count.reason] += count.n
            days.setdefault((count.app, count.reason), []).append(count.day)
    ordered = sorted(sums.items(), key=lambda one: (-one[1], one[0]))
    return [(app, reason, n, min(days[app, reason]), max(days[app, reason])) for (app, reason), n in ordered]
