"""The comparison can fail: each record is falsified in turn, and the verdict says so."""

from collections import Counter

import pytest
from msgspec.structs import replace

from flybridge.demo.verdict import Evidence, judge
from flybridge.records import digest_of
from flybridge.sandbox.traffic.traffic import TrafficApp, generate
from flybridge.sandbox.traffic.truth import Fate
from flybridge.store.figures import LedgerEntry

APP = TrafficApp("shop-ios", "ios", "id1234567890")


def honest(route="http_v2"):
    """Build evidence in which everybody tells the truth."""
    messages = list(generate(3, 200, [APP]))
    ledger, saved = [], []
    for message in messages:
        truth = message.truth
        fate = truth.expected(route).fate
        digest = digest_of(APP.name, message.body)
        ledger.append(LedgerEntry(f"r.{truth.id}", APP.name, "push", str(fate), "", "", 0, 0, 0, digest))
        if fate is Fate.DELIVERED:
            names = ("event_type", "time_ms", "user_id", "device_id", "revenue", "currency", "media_source", "campaign")
            saved.append({name: getattr(truth, name) for name in names})
    digests = [digest_of(APP.name, message.body) for message in messages]
    return Evidence(APP.name, messages, digests, ledger, saved, route=route)


def test_honest_records_agree():
    """Nothing differs, and everything that had to arrive is counted as right."""
    verdict = judge(honest())
    assert verdict.disagreements == []
    assert verdict.delivered == len(honest().taken) > 100


@pytest.mark.parametrize(
    ("falsified", "says"),
    [
        (lambda e: replace(e, taken=e.taken[1:]), "is not in Amplitude"),
        (lambda e: replace(e, taken=[*e.taken, e.taken[0]]), "more than once"),
        (lambda e: replace(e, taken=[*e.taken, e.taken[0] | {"time_ms": 1}]), "that was not sent"),
        (lambda e: replace(e, taken=[e.taken[0] | {"revenue": 99.5}, *e.taken[1:]]), "revenue is 99.5"),
        (lambda e: replace(e, taken=[e.taken[0] | {"user_id": "somebody"}, *e.taken[1:]]), "user_id is 'somebody'"),
        (lambda e: replace(e, ledger=e.ledger[1:]), "the ledger has nothing"),
        (lambda e: replace(e, ledger=[*e.ledger, replace(e.ledger[0], digest=b"?")]), "a message that was not sent"),
        (lambda e: replace(e, ledger=[*e.ledger, replace(e.ledger[0], outcome="duplicate")]), "1 duplicate"),
        (lambda e: replace(e, ledger=[replace(e.ledger[0], outcome="dead"), *e.ledger[1:]]), "the ledger has 1 dead"),
    ],
)
def test_one_false_record_is_found(falsified, says):
    """Each record is checked against the others, in both directions."""
    verdict = judge(falsified(honest()))
    assert any(says in found.what for found in verdict.disagreements), verdict.disagreements


def test_a_rejected_event_must_be_a_dead_letter():
    """What the sandbox refuses as scripted is not missing; calling it delivered would be a lie."""
    evidence = honest()
    first = evidence.taken[0]
    rejected = replace(evidence, taken=evidence.taken[1:], rejected=[first])
    lied = judge(rejected)
    assert any("must be 1 dead" in found.what for found in lied.disagreements)
    number = next(
        n for n, m in enumerate(evidence.sent) if (m.truth.event_type, m.truth.time_ms) ==
        (first["event_type"], first["time_ms"]) and m.truth.v2.fate is Fate.DELIVERED
    )  # fmt: skip
    ledger = [replace(e, outcome="dead") if n == number else e for n, e in enumerate(evidence.ledger)]
    assert judge(replace(rejected, ledger=ledger)).disagreements == []


def test_a_double_is_forgiven_only_where_the_ledger_counts_it_as_uncertain():
    """On the Attribution API a repeat is possible, but never without our knowing."""
    evidence = honest("attribution")
    doubled = replace(evidence, taken=[*evidence.taken, evidence.taken[0]])
    assert judge(doubled).disagreements
    first = evidence.taken[0]
    known = [
        replace(e, uncertain=1)
        if (m.truth.event_type, m.truth.time_ms) == (first["event_type"], first["time_ms"])
        else e
        for e, m in zip(evidence.ledger, evidence.sent, strict=True)
    ]
    verdict = judge(replace(doubled, ledger=known))
    assert (verdict.disagreements, verdict.doubled) == ([], 1)
    twice = replace(doubled, taken=[*doubled.taken, evidence.taken[0]])
    assert judge(replace(twice, ledger=known)).disagreements


def test_as_many_repeats_on_the_way_in_are_forgiven_as_the_sender_made():
    """A message whose answer was lost is sent again, and is a duplicate once more; not twice more."""
    evidence = honest()
    again = replace(evidence.ledger[0], outcome="duplicate")
    one = replace(evidence, ledger=[*evidence.ledger, again], repeats=Counter({again.digest: 1}))
    two = replace(one, ledger=[*one.ledger, again])
    assert judge(one).disagreements == []
    assert judge(two).disagreements
