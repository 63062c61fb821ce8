"""The comparison of three records, event by event: the generator's truth, our ledger, and the sandbox's Amplitude.

Pure. The ledger is matched to the truth by the digest of the bytes that were sent, Amplitude's record by what an event
is (app, type and time), so that no side is asked about itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from flybridge.records import OutcomeKind
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product
from flybridge.sandbox.traffic.truth import Comparison, Expected, Fate, Truth, compare
from flybridge.store.figures import LedgerEntry

SHOWN: Final = 20

Row = Mapping[str, Any]
SentT = TypeVar("SentT", TrafficMessage, Product)


class Disagreement(Struct, frozen=True):
    """One event that the records do not agree about."""

    app: str
    what: str


class Installs(Struct, frozen=True):
    """How many installs have their person in Amplitude.

    `unmatched` counts those of people who can't be matched, by the reason. `unexplained` are all others that are
    neither in Amplitude nor rejected as scripted.
    """

    n: int
    matched: int
    unmatched: Mapping[str, int]
    unexplained: int

    @property
    def share(self) -> float:
        """The share that is matched, 0 to 1."""
        return self.matched / self.n if self.n else 0.0


class AppVerdict(Struct, frozen=True):
    """How one app's three records compare. `doubled` events were sent again knowingly: `uncertain` in the ledger.

    `never` counts the events of people who can't be matched; `expired` what ended so in the ledger.
    """

    app: str
    route: str
    messages: int
    delivered: int
    rejected: int
    doubled: int
    disagreements: Sequence[Disagreement]
    never: int = 0
    expired: int = 0
    installs: Installs = Installs(0, 0, {}, 0)


class OutageVerdict(Struct, frozen=True):
    """What became of one app's messages of the outage.

    `lost` were pushed in vain. `missing` were found in AppsFlyer's reports and nowhere here, `filled` of these were
    read. `left` is 1 if something was missing afterwards. `delivered` are right in Amplitude.
    """

    app: str
    lost: int
    missing: int
    filled: int
    left: int
    delivered: int
    wrong: Sequence[str] = ()

    @property
    def differences(self) -> int:
        """The number of events that AppsFlyer has and flybridge or Amplitude has not, or otherwise."""
        return abs(self.lost - self.filled) + self.left + len(self.wrong)


class Evidence(Struct, Generic[SentT], frozen=True):
    """What one direction of an app left behind. `digests` are of what was `sent`, in the same order.

    `taken` and `rejected` are the vendor's records. `repeats` says how often a message was sent again because its
    answer was lost on the way in: up to so many duplicates more may be in the ledger. `after_expiry`: the clock was
    moved past every hold's window, so that what must be held must be expired instead.
    """

    app: str
    sent: Sequence[SentT]
    digests: Sequence[bytes]
    ledger: Sequence[LedgerEntry]
    taken: Sequence[Row]
    rejected: Sequence[Row] = ()
    route: str = "http_v2"
    repeats: Mapping[bytes, int] = {}
    after_expiry: bool = False

    def lines(self) -> Mapping[bytes, Sequence[LedgerEntry]]:
        """Return the lines of the ledger by digest, none for a digest that it does not have."""
        lines: defaultdict[bytes, list[LedgerEntry]] = defaultdict(list)
        for entry in self.ledger:
            lines[entry.digest].append(entry)
        return lines

    def end(self, fate: Fate) -> str:
        """Return where a message of this fate must end in the ledger."""
        return OutcomeKind.EXPIRED if self.after_expiry and fate is Fate.HELD else fate

    def against_truth(self, end: Callable[[SentT], str], name: str) -> Iterator[Disagreement]:
        """Yield what is in the ledger otherwise than what was sent must `end`."""
        expected: defaultdict[bytes, Counter[str]] = defaultdict(Counter)
        ids: dict[bytes, int] = {}
        for one, digest in zip(self.sent, self.digests, strict=True):
            expected[digest][str(end(one))] += 1
            ids.setdefault(digest, one.truth.id)
        lines = self.lines()
        for digest, wanted in expected.items():
            found = Counter(str(entry.outcome) for entry in lines[digest])
            again = found[OutcomeKind.DUPLICATE] - wanted[OutcomeKind.DUPLICATE]
            if 0 < again <= self.repeats.get(digest, 0):
                wanted[OutcomeKind.DUPLICATE] += again
            if found != wanted:
                ends = ", ".join(f"{n} {outcome}" for outcome, n in sorted(found.items())) or "nothing"
                due = ", ".join(f"{n} {fate}" for fate, n in sorted(wanted.items()))
                yield Disagreement(self.app, f"{name} {ids[digest]} must be {due}; the ledger has {ends}.")
        for digest in lines.keys() - expected.keys():
            what = f"The ledger has {len(lines[digest])} lines of a message that was not sent."
            yield Disagreement(self.app, what)


def judge(evidence: Evidence[TrafficMessage]) -> AppVerdict:
    """Compare the three records of one app."""
    lines = evidence.lines()
    truths = [message.truth for message in evidence.sent]
    comparison = compare(truths, evidence.taken, evidence.rejected, route=evidence.route)
    refused = set(comparison.rejected)
    fates = {truth.id: truth.expected(evidence.route).fate for truth in truths}
    uncertain = {
        truth.id: sum(entry.uncertain for entry in lines[digest])
        for truth, digest in zip(truths, evidence.digests, strict=True)
        if fates[truth.id] is Fate.DELIVERED
    }

    def end(message: TrafficMessage) -> str:
        # What the sandbox is scripted to reject must end as a dead letter here, and not as delivered.
        return Fate.DEAD if message.truth.id in refused else evidence.end(fates[message.truth.id])

    wrong = list(evidence.against_truth(end, "Message"))
    # Each doubt may have become one repeat, and no repeat is without its doubt.
    doubled = [row for row, more in comparison.doubled.items() if more <= uncertain.get(row, 0)]
    wrong += [Disagreement(evidence.app, what) for what in _amplitude_against_truth(comparison, set(doubled))]
    return AppVerdict(
        evidence.app,
        evidence.route,
        len(truths),
        comparison.right + len(doubled),
        len(comparison.rejected),
        len(doubled),
        wrong,
        sum(fate is Fate.HELD for fate in fates.values()),
        sum(entry.outcome == OutcomeKind.EXPIRED for entry in evidence.ledger),
        _installs(truths, comparison, evidence.route),
    )


def _installs(truths: Sequence[Truth], comparison: Comparison, route: str) -> Installs:
    due, unmatched = 0, Counter[str]()
    missing = set(comparison.missing)
    absent = refused = 0
    for truth in truths:
        if truth.kind != "install":
            continue
        match truth.expected(route):
            case Expected(Fate.HELD, why):
                unmatched[why] += 1
            case Expected(Fate.DELIVERED):
                due += 1
                absent += truth.id in missing
                refused += truth.id in comparison.rejected
    n = due - refused + unmatched.total()
    return Installs(n, due - refused - absent, dict(unmatched.most_common()), absent)


def _amplitude_against_truth(comparison: Comparison, doubled: set[int]) -> Iterable[str]:
    for truth_id in comparison.missing:
        yield f"Message {truth_id} is not in Amplitude."
    for truth_id in comparison.doubled:
        if truth_id not in doubled:
            yield f"Message {truth_id} is in Amplitude more than once."
    for row in comparison.unexpected:
        yield f"Amplitude has an event {row['event_type']!r} at {row['time_ms']} that was not sent."
    for different in comparison.different:
        yield f"Message {different.id}: {different.field} is {different.found!r}, and must be {different.true!r}."
