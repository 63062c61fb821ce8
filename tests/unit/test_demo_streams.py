"""The comparison of truth, ledger and AppsFlyer's record finds every kind of difference, and only those."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flybridge.demo.streams import interleaved, judge_stream
from flybridge.demo.verdict import Evidence
from flybridge.records import digest_of
from flybridge.sandbox.traffic.products import Product, ProductKind, ProductTruth, products
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.traffic.truth import Fate
from flybridge.store.figures import LedgerEntry

AF_ID = "1629191854863-7087037"
TRUTH = ProductTruth(
    0, "shop", ProductKind.ORDER, Fate.DELIVERED, "af_purchase", "2026-01-01 00:00:00.000", AF_ID, "ada", 5.0, "EUR"
)
ROW: dict[str, Any] = {
    "app": "com.example.shop",
    "event_name": "af_purchase",
    "event_time": "2026-01-01 00:00:00.000",
    "appsflyer_id": AF_ID,
    "customer_user_id": "ada",
    "currency": "EUR",
    "revenue": 5.0,
    "recorded": True,
}
DIGEST = digest_of("shop", b"{}")


def entry(outcome: str, uncertain: int = 0) -> LedgerEntry:
    """Make the ledger's line of the event."""
    return LedgerEntry("r", "shop", "stream", outcome, "", "i", 0, 0, uncertain, DIGEST)


def found(*ledger: LedgerEntry, taken: list[dict[str, Any]], **more: Any) -> Evidence[Product]:
    """Put evidence together about one event."""
    truth = more.pop("truth", TRUTH)
    product = Product("/v1/stream/shop", b"{}", truth, 0)
    return Evidence[Product]("shop", [product], [DIGEST], ledger, taken, more.pop("rejected", []), **more)


def wrong(evidence: Evidence[Product]) -> list[str]:
    """Judge, and give what is wrong."""
    return [one.what for one in judge_stream(evidence).disagreements]


def test_an_event_that_is_everywhere_once_is_right():
    """And counted as delivered."""
    verdict = judge_stream(found(entry("delivered"), taken=[ROW]))
    assert (verdict.delivered, verdict.copies, list(verdict.disagreements)) == (1, 0, [])


def test_a_copy_is_right_only_where_the_ledger_is_in_doubt():
    """As often as it says, and not once more."""
    assert wrong(found(entry("delivered", 1), taken=[ROW, ROW])) == []
    assert len(wrong(found(entry("delivered", 1), taken=[ROW] * 3))) == 1
    assert len(wrong(found(entry("delivered"), taken=[ROW, ROW]))) == 1


@pytest.mark.parametrize(
    "evidence",
    [
        found(entry("delivered"), taken=[]),
        found(entry("pending"), taken=[ROW]),
        found(taken=[ROW]),
        found(entry("delivered"), entry("delivered"), taken=[ROW]),
        found(entry("delivered"), taken=[ROW | {"appsflyer_id": "other"}]),
        found(entry("delivered"), taken=[ROW | {"revenue": 5.01}]),
        found(entry("delivered"), taken=[ROW | {"currency": None}]),
        found(entry("delivered"), taken=[ROW | {"recorded": False}]),
        found(entry("delivered"), taken=[ROW, ROW | {"event_name": "unknown"}]),
        found(entry("delivered"), taken=[], rejected=[ROW]),
    ],
)
def test_every_difference_is_found(evidence):
    """Missing, twice, not at rest, another value, recorded nowhere, of nobody."""
    assert len(wrong(evidence)) == 1


def test_what_is_rejected_as_scripted_must_be_dead():
    """And is not missing."""
    assert wrong(found(entry("dead"), taken=[], rejected=[ROW])) == []


def test_what_nobody_knows_expires_and_is_not_at_appsflyer():
    """Before the end of its window it is held."""
    stranger = msgspec.structs.replace(TRUTH, fate=Fate.HELD, event_name="", kind=ProductKind.STRANGER)
    assert wrong(found(entry("expired"), taken=[], truth=stranger, after_expiry=True)) == []
    assert wrong(found(entry("held"), taken=[], truth=stranger)) == []
    assert len(wrong(found(entry("delivered"), taken=[ROW], truth=stranger, after_expiry=True))) == 2


def test_the_same_seed_makes_the_same_events_of_every_kind():
    """In the order of the traffic, with some repeats."""
    apps = [TrafficApp("shop", "android", "com.example.shop")]
    messages = list(generate(3, 3_000, apps, TrafficOptions()))
    made = list(products(messages, 3, 0.5))
    assert made == list(products(messages, 3, 0.5))
    assert {product.truth.kind for product in made} == set(ProductKind)
    assert any(product.truth.fate is Fate.DUPLICATE for product in made)
    keys = [(p.truth.event_name, p.truth.event_time) for p in made if p.truth.event_name]
    assert len(keys) == len(set(keys))
    line = list(interleaved(messages, made))
    assert len(line) == len(messages) + len(made)
    assert line[0] is messages[0]
