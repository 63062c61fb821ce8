"""The demo's other direction: product events to AppsFlyer, and the comparison of truth, ledger and AppsFlyer's record.

Pure. AppsFlyer recognises no repeat: an event may be there once more for each time that the
ledger counts it as uncertain, and not once more often.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from flybridge.demo.verdict import Disagreement, other_ends
from flybridge.records import OutcomeKind, digest_of
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product, ProductKind, ProductTruth
from flybridge.sandbox.traffic.truth import Fate
from flybridge.store.figures import LedgerEntry

Row = Mapping[str, Any]


class StreamVerdict(Struct, frozen=True):
    """How one app's three records compare. `copies` are repeats at AppsFlyer, all of which the ledger says may be.

    `by_identity` were delivered under an AppsFlyer id from postbacks; `left_out` were not chosen; `unknown`
    waited in vain for their AppsFlyer id.
    """

    app: str
    events: int
    delivered: int
    by_identity: int
    left_out: int
    unknown: int
    rejected: int
    copies: int
    uncertain: int
    disagreements: Sequence[Disagreement]


class StreamEvidence(Struct, frozen=True):
    """What one app's product events left behind. `digests` are of `products`, in the same order."""

    app: str
    products: Sequence[Product]
    digests: Sequence[bytes]
    ledger: Sequence[LedgerEntry]
    taken: Sequence[Row]
    rejected: Sequence[Row]
    repeats: Mapping[bytes, int] = {}
    after_expiry: bool = False


def interleaved(messages: Sequence[TrafficMessage], made: Iterable[Product]) -> Iterator[TrafficMessage | Product]:
    """Return the traffic of both directions in one line."""
    waiting = defaultdict(list)
    for product in made:
        waiting[product.after].append(product)
    for position, message in enumerate(messages):
        yield message
        yield from waiting[position]


def evidence(
    app: str,
    app_id: str,
    made: Sequence[Product],
    ledger: Sequence[LedgerEntry],
    *,
    taken: Sequence[Row],
    rejected: Sequence[Row],
    repeats: Mapping[bytes, int],
    after_expiry: bool,
) -> StreamEvidence:
    """Pick out what belongs to one app."""
    own = [product for product in made if product.truth.app == app]
    digests = [digest_of(app, product.body) for product in own]
    ours = set(digests)
    return StreamEvidence(
        app,
        own,
        digests,
        [entry for entry in ledger if entry.app == app and entry.digest in ours],
        [row for row in taken if row["app"] == app_id],
        [row for row in rejected if row["app"] == app_id],
        {digest: repeats[digest] for digest in digests if digest in repeats},
        after_expiry,
    )


def judge_stream(found: StreamEvidence) -> StreamVerdict:
    """Compare the three records of one app."""
    lines: defaultdict[bytes, list[LedgerEntry]] = defaultdict(list)
    for entry in found.ledger:
        lines[entry.digest].append(entry)
    truths = {(p.truth.event_name, p.truth.event_time): p.truth for p in found.products if p.truth.event_name}
    refused = {(row["event_name"], row["event_time"]) for row in found.rejected} & truths.keys()
    uncertain = {
        product.truth.id: sum(entry.uncertain for entry in lines[digest])
        for product, digest in zip(found.products, found.digests, strict=True)
        if product.truth.fate is Fate.DELIVERED
    }
    wrong = list(_ledger(found, lines, refused))
    seen: Counter[tuple[str, str]] = Counter()
    for row in found.taken:
        key = (row["event_name"], row["event_time"])
        seen[key] += 1
        wrong += [Disagreement(found.app, what) for what in _row(row, truths.get(key))]
    for key, truth in truths.items():
        if key in refused:
            continue
        if not seen[key]:
            wrong.append(Disagreement(found.app, f"Product event {truth.id} is not at AppsFlyer."))
        elif seen[key] - 1 > uncertain[truth.id]:
            what = f"is at AppsFlyer {seen[key]} times, and the ledger has {uncertain[truth.id]} in doubt"
            wrong.append(Disagreement(found.app, f"Product event {truth.id} {what}."))
    there = [truth for key, truth in truths.items() if seen[key]]
    return StreamVerdict(
        found.app,
        len(found.products),
        len(there),
        sum(truth.kind is ProductKind.NAMELESS for truth in there),
        sum(product.truth.fate is Fate.APPLIED for product in found.products),
        sum(product.truth.fate is Fate.HELD for product in found.products),
        len(refused),
        sum(times - 1 for times in seen.values()),
        sum(uncertain.values()),
        wrong,
    )


def _ledger(
    found: StreamEvidence, lines: Mapping[bytes, list[LedgerEntry]], refused: set[tuple[str, str]]
) -> Iterator[Disagreement]:
    expected: defaultdict[bytes, Counter[str]] = defaultdict(Counter)
    names: dict[bytes, int] = {}
    for product, digest in zip(found.products, found.digests, strict=True):
        expected[digest][_end(product.truth, refused, after_expiry=found.after_expiry)] += 1
        names.setdefault(digest, product.truth.id)
    for digest, what in other_ends(expected, lines, found.repeats):
        yield Disagreement(found.app, f"Product event {names[digest]} {what}")


def _end(truth: ProductTruth, refused: set[tuple[str, str]], *, after_expiry: bool) -> str:
    if (truth.event_name, truth.event_time) in refused:
        return str(Fate.DEAD)
    return str(OutcomeKind.EXPIRED if after_expiry and truth.fate is Fate.HELD else truth.fate)


def _row(row: Row, truth: ProductTruth | None) -> Iterator[str]:
    if truth is None:
        yield f"AppsFlyer has an event {row['event_name']!r} at {row['event_time']} that must not be there."
        return
    if not row["recorded"]:
        yield f"Product event {truth.id} was answered 200 and is recorded nowhere."
    for name in ("appsflyer_id", "customer_user_id", "currency"):
        if row.get(name) != getattr(truth, name):
            yield f"Product event {truth.id}: {name} is {row.get(name)!r}, and must be {getattr(truth, name)!r}."
    if truth.revenue is not None and abs((row.get("revenue") or 0.0) - truth.revenue) > 0.005:
        yield f"Product event {truth.id}: the revenue is {row.get('revenue')!r}, and must be {truth.revenue!r}."
