"""The demo's other direction: product events to AppsFlyer, and the comparison of truth, ledger and AppsFlyer's record.

Pure. AppsFlyer recognises no repeat: an event may be there once more for each time that the
ledger counts it as uncertain, and not once more often.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from flybridge.demo.verdict import Disagreement, Evidence, Row
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product, ProductKind, ProductTruth
from flybridge.sandbox.traffic.truth import Fate


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


def interleaved(messages: Sequence[TrafficMessage], made: Iterable[Product]) -> Iterator[TrafficMessage | Product]:
    """Return the traffic of both directions in one line."""
    waiting = defaultdict(list)
    for product in made:
        waiting[product.after].append(product)
    for position, message in enumerate(messages):
        yield message
        yield from waiting[position]


def judge_stream(found: Evidence[Product]) -> StreamVerdict:
    """Compare the three records of one app."""
    lines = found.lines()
    made = [product.truth for product in found.sent]
    truths = {(truth.event_name, truth.event_time): truth for truth in made if truth.event_name}
    refused = {(row["event_name"], row["event_time"]) for row in found.rejected} & truths.keys()
    uncertain = {
        truth.id: sum(entry.uncertain for entry in lines[digest])
        for truth, digest in zip(made, found.digests, strict=True)
        if truth.fate is Fate.DELIVERED
    }

    def end(product: Product) -> str:
        truth = product.truth
        return Fate.DEAD if (truth.event_name, truth.event_time) in refused else found.end(truth.fate)

    wrong = list(found.against_truth(end, "Product event"))
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
        len(made),
        len(there),
        sum(truth.kind is ProductKind.NAMELESS for truth in there),
        sum(truth.fate is Fate.APPLIED for truth in made),
        sum(truth.fate is Fate.HELD for truth in made),
        len(refused),
        sum(times - 1 for times in seen.values()),
        sum(uncertain.values()),
        wrong,
    )


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
