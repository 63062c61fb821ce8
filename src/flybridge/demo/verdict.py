"""The comparison of three records, event by event: the generator's truth, our ledger, and the sandbox's Amplitude.

Pure. The ledger is matched to the truth by the digest of the bytes that were sent, Amplitude's record by what an event
is (app, type and time), so that no side is asked about itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from flybridge.records import OutcomeKind
from flybridge.sandbox.traffic.traffic import TrafficMessage
from flybridge.sandbox.traffic.truth import Comparison, Expected, Fate, Truth, compare
from flybridge.store.figures import LedgerEntry

SHOWN: Final = 20


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


class Evidence(Struct, frozen=True):
    """What one app left behind. `digests` are of `messages`, in the same order.

    `repeats` says how often a message was sent again because its answer was lost on the way in: up to so many
    duplicates more may be in the ledger. `after_expiry`: the clock was moved past every hold's window, so that what
    must be held must be expired instead.
    """

    app: str
    route: str
    messages: Sequence[TrafficMessage]
    digests: Sequence[bytes]
    ledger: Sequence[LedgerEntry]
    saved: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    repeats: Mapping[bytes, int] = {}
    after_expiry: bool = False


def judge(evidence: Evidence) -> AppVerdict:
    """Compare the three records of one app."""
    lines: defaultdict[bytes, list[LedgerEntry]] = defaultdict(list)
    for entry in evidence.ledger:
        lines[entry.digest].append(entry)
    truths = [message.truth for message in evidence.messages]
    comparison = compare(truths, evidence.saved, evidence.rejected, route=evidence.route)
    refused = set(comparison.rejected)
    expected: defaultdict[bytes, Counter[str]] = defaultdict(Counter)
    never = 0
    names: dict[bytes, int] = {}
    uncertain: Counter[int] = Counter()
    for message, digest in zip(evidence.messages, evidence.digests, strict=True):
        truth = message.truth
        fate = truth.expected(evidence.route).fate
        # What the sandbox is scripted to reject must end as a dead letter here, and not as delivered.
        expected[digest][Fate.DEAD if truth.id in refused else _end(fate, evidence.after_expiry)] += 1
        names.setdefault(digest, truth.id)
        never += fate is Fate.HELD
        if fate is Fate.DELIVERED:
            uncertain[truth.id] += sum(entry.uncertain for entry in lines[digest])
    wrong = list(_ledger_against_truth(evidence, expected, lines, names))
    # Each doubt may have become one repeat, and no repeat is without its doubt.
    doubled = [row for row, more in comparison.doubled.items() if more <= uncertain[row]]
    wrong += [Disagreement(evidence.app, what) for what in _amplitude_against_truth(comparison, set(doubled))]
    return AppVerdict(
        evidence.app,
        evidence.route,
        len(evidence.messages),
        comparison.right + len(doubled),
        len(comparison.rejected),
        len(doubled),
        wrong,
        never,
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


def _end(fate: Fate, after_expiry: bool) -> str:
    return OutcomeKind.EXPIRED if after_expiry and fate is Fate.HELD else fate


def _ledger_against_truth(
    evidence: Evidence,
    expected: Mapping[bytes, Counter[str]],
    lines: Mapping[bytes, list[LedgerEntry]],
    names: Mapping[bytes, int],
) -> Iterable[Disagreement]:
    for digest, what in other_ends(expected, lines, evidence.repeats):
        yield Disagreement(evidence.app, f"Message {names[digest]} {what}")
    for digest in lines.keys() - expected.keys():
        yield Disagreement(evidence.app, f"The ledger has {len(lines[digest])} lines of a message that was not sent.")


def other_ends(
    expected: Mapping[bytes, Counter[str]], lines: Mapping[bytes, list[LedgerEntry]], repeats: Mapping[bytes, int]
) -> Iterable[tuple[bytes, str]]:
    """Yield the digests whose lines in the ledger are others than expected, each with what they are instead."""
    for digest, fates in expected.items():
        found = Counter(entry.outcome for entry in lines.get(digest, ()))
        wanted = Counter({str(fate): n for fate, n in fates.items()})
        again = found[OutcomeKind.DUPLICATE] - wanted[OutcomeKind.DUPLICATE]
        if 0 < again <= repeats.get(digest, 0):
            wanted[OutcomeKind.DUPLICATE] += again
        if +found != +wanted:
            ends = ", ".join(f"{n} {outcome}" for outcome, n in sorted(found.items())) or "nothing"
            due = ", ".join(f"{n} {fate}" for fate, n in sorted((+wanted).items()))
            yield digest, f"must be {due}; the ledger has {ends}."


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
