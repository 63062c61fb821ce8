"""The account: what came in against what became of it, per app and day.

    received = duplicate + filtered + refused + applied + held + expired + delivered + dead + in flight + forgotten

`received` is counted by the inbox, in the transaction that made the bytes durable. The right-hand side is counted by
the store, in the transactions that changed the outcomes; `in flight` is what waits in the inbox plus
deliveries that are due. The two sides share no counter, so that equality is a finding and not a definition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from flybridge.records import OutcomeKind
from flybridge.store.figures import Count, Discrepancy


class Line(Struct, frozen=True):
    """One app's day. All figures are envelopes; `missing` is received minus everything else and must be 0."""

    app: str
    day: str
    received: int
    outcomes: Mapping[str, int]
    in_inbox: int

    @property
    def in_flight(self) -> int:
        """Return what is on its way: not yet filed, or filed and not yet delivered."""
        return self.in_inbox + self.outcomes.get(OutcomeKind.PENDING, 0)

    @property
    def missing(self) -> int:
        """Return how many envelopes have no outcome (positive) or one too many (negative)."""
        return self.received - self.in_inbox - sum(self.outcomes.values())


class Account(Struct, frozen=True):
    """All lines, the reasons behind the outcomes, and every figure that does not agree with another."""

    lines: Sequence[Line]
    reasons: Mapping[str, Mapping[str, int]]
    discrepancies: Sequence[Discrepancy]

    @property
    def balanced(self) -> bool:
        """Return whether every envelope is accounted for."""
        return not self.discrepancies


def balance(
    received: Mapping[tuple[str, str], int],
    waiting: Mapping[tuple[str, str], int],
    counts: Iterable[Count],
    audit: Iterable[Discrepancy] = (),
) -> Account:
    """Draw up the account from the inbox's figures, the store's, and the store's audit of its own rows.

    The figures must be taken while nothing moves, or `missing` shows what moved in between.
    """
    outcomes: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    reasons: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for count in counts:
        outcomes[count.app, count.day][count.outcome] += count.n
        if count.reason:
            reasons[count.outcome][count.reason] += count.n
    lines = [
        Line(app, day, received.get((app, day), 0), dict(outcomes.get((app, day), {})), waiting.get((app, day), 0))
        for app, day in sorted({*received, *waiting, *outcomes})
    ]
    unbalanced = [
        Discrepancy(
            line.app,
            line.day,
            "The inbox received another number of envelopes than have an outcome or wait.",
            line.received,
            line.received - line.missing,
        )
        for line in lines
        if line.missing
    ]
    return Account(lines, {kind: dict(found) for kind, found in reasons.items()}, [*unbalanced, *audit])
