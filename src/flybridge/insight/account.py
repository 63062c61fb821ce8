"""The account: messages received against their outcomes, per app and day.

    received = duplicate + filtered + refused + applied + held + expired + delivered + dead + in flight + forgotten

`received` is counted by the inbox, in the transaction that made the bytes durable. The right-hand side is counted by
the store, in the transactions that changed the outcomes; `in flight` is what waits in the inbox plus
deliveries that are due. The two sides share no counter, so that equality is a finding and not a definition.

While a process works, envelopes move from the inbox to the store between the questions, so the figures need not agree
to the last one. How much they may differ is known: the inbox is read before and after the store, and

    filed <= received after            what has an outcome was received
    filed >= received before - waiting before

because whatever was received and did not wait had an outcome already, and outcomes are never taken back. Where nothing
waits and nothing moves both bounds are the same figure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from flybridge.inbox.protocol import Inbox
from flybridge.records import OutcomeKind
from flybridge.store.figures import Count, Discrepancy
from flybridge.store.protocol import Store

ByAppAndDay = Mapping[tuple[str, str], int]


class InboxFigures(Struct, frozen=True):
    """The figures of an inbox, by (app, day). `received` must be read before `waiting`."""

    received: ByAppAndDay
    waiting: ByAppAndDay


class AccountLine(Struct, frozen=True):
    """One app's day. All figures are envelopes; `missing` is received minus everything else and must be 0."""

    app: str
    day: str
    received: int
    outcomes: Mapping[str, int]
    in_inbox: int

    @property
    def in_flight(self) -> int:
        """The number of envelopes not yet filed, or filed and not yet delivered."""
        return self.in_inbox + self.outcomes.get(OutcomeKind.PENDING, 0)

    @property
    def missing(self) -> int:
        """The number of envelopes without an outcome (positive) or with one too many (negative)."""
        return self.received - self.in_inbox - sum(self.outcomes.values())


class Account(Struct, frozen=True):
    """All lines, the reasons behind the outcomes, and every figure that does not agree with another."""

    lines: Sequence[AccountLine]
    reasons: Mapping[str, Mapping[str, int]]
    discrepancies: Sequence[Discrepancy]

    @property
    def balanced(self) -> bool:
        """Whether every envelope is accounted for."""
        return not self.discrepancies


async def read_account(inbox: Inbox, store: Store, *, audit: bool = False) -> tuple[Account, Sequence[Count]]:
    """Return the account of a running service and the store's counters behind it.

    With `audit` the store compares its counters with its rows, too, which takes longer the more there are.
    """
    before = await _inbox_figures(inbox)
    counts = await store.counts()
    after = await _inbox_figures(inbox)
    return balance_moving(before, counts, after, await store.audit() if audit else ()), counts


async def _inbox_figures(inbox: Inbox) -> InboxFigures:
    received = await inbox.received()
    return InboxFigures(received, await inbox.waiting())


def balance(
    received: ByAppAndDay, waiting: ByAppAndDay, counts: Iterable[Count], audit: Iterable[Discrepancy] = ()
) -> Account:
    """Return the account from the figures of the inbox and the store, and the store's audit of its rows.

    The figures must be taken at rest, or `missing` shows what moved in between.
    """
    outcomes, reasons = _summed(counts)
    lines = [
        AccountLine(app, day, received.get((app, day), 0), outcomes.get((app, day), {}), waiting.get((app, day), 0))
        for app, day in sorted({*received, *waiting, *outcomes})
    ]
    what = "The inbox received another number of envelopes than have an outcome or wait."
    unbalanced = [
        Discrepancy(line.app, line.day, what, line.received, line.received - line.missing)
        for line in lines
        if line.missing
    ]
    return Account(lines, reasons, [*unbalanced, *audit])


def balance_moving(
    before: InboxFigures, counts: Iterable[Count], after: InboxFigures, audit: Iterable[Discrepancy] = ()
) -> Account:
    """Return the account from the store's counters, with the inbox read before and after them.

    A line is as of the second reading: what was received and had no outcome yet counts as in the inbox. Only what can't
    be there is `missing`.
    """
    outcomes, reasons = _summed(counts)
    lines = []
    for key in sorted({*after.received, *after.waiting, *outcomes}):
        received, found = after.received.get(key, 0), outcomes.get(key, {})
        may_wait = received - before.received.get(key, 0) + before.waiting.get(key, 0)
        in_inbox = min(max(received - sum(found.values()), 0), may_wait)
        lines.append(AccountLine(*key, received, found, in_inbox))
    return Account(lines, reasons, [*(_out_of_bounds(line) for line in lines if line.missing), *audit])


def narrowed(account: Account, counts: Iterable[Count], app: str | None, since_day: str) -> Account:
    """Return the part of an account that is of one app, or of all, from a day on.

    Discrepancies that name no app or day are of all, and stay.
    """

    def within(of: str, day: str) -> bool:
        return (app is None or of in {app, ""}) and (not day or day >= since_day)

    _, reasons = _summed(count for count in counts if within(count.app, count.day))
    lines = [line for line in account.lines if within(line.app, line.day)]
    return Account(lines, reasons, [one for one in account.discrepancies if within(one.app, one.day)])


def _out_of_bounds(line: AccountLine) -> Discrepancy:
    filed = sum(line.outcomes.values())
    what = (
        "Envelopes were received that neither wait nor have an outcome."
        if line.missing > 0
        else "More envelopes have an outcome than were received."
    )
    return Discrepancy(line.app, line.day, what, filed + line.missing, filed)


def _summed(counts: Iterable[Count]) -> tuple[dict[tuple[str, str], dict[str, int]], dict[str, dict[str, int]]]:
    """Return the envelopes per (app, day) and outcome, and per outcome and reason."""
    outcomes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for count in counts:
        outcomes[count.app, count.day][count.outcome] += count.n
        if count.reason:
            reasons[count.outcome][count.reason] += count.n
    return {key: dict(found) for key, found in outcomes.items()}, {kind: dict(n) for kind, n in reasons.items()}


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
