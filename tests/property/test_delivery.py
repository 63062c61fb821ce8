"""What holds for every answer, every batch and every verdict."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.amplitude.attribution import AttributionApi, quoted
from flybridge.amplitude.upload import Batch, HttpV2
from flybridge.delivery.batching import pack
from flybridge.delivery.circuit import (
    CLOSED,
    Admission,
    CircuitRules,
    Phase,
    admission,
    failed,
    halted,
    probing,
    succeeded,
)
from flybridge.delivery.exchange import Accepted, Endpoint, Halt, HttpResponse, Limits, Reject, Retry, Split, Verdict
from flybridge.delivery.lifecycle import RetryPolicy, Uncertain, settle
from flybridge.records import Delivery

NOW = 1_700_000_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "error", "missing_field", "events_ingested", "events_with_invalid_fields", "events_with_missing_fields",
    "silenced_events", "silenced_devices", "throttled_events", "throttled_devices", "throttled_users",
    "exceeded_daily_quota_devices", "exceeded_daily_quota_users",
)  # fmt: skip
BODIES = st.binary(max_size=40) | st.dictionaries(st.sampled_from(FIELDS), JSON).map(msgspec.json.encode)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "date", "content-type"]), st.text(max_size=30))
VERDICTS: st.SearchStrategy[Verdict] = st.one_of(
    st.just(Accepted()),
    st.builds(Retry, st.just("r"), st.none() | st.floats(0, 1e6), st.booleans()),
    st.builds(Reject, st.just("r"), st.just("d"), st.just("f")),
    st.just(Split("s")),
    st.builds(Halt, st.just("h"), st.just("f"), st.floats(0, 1e4)),
)


def item(
    number: int = 0, body: bytes = b"{}", user: str | None = None, tries: int = 0, split: bool = False
) -> Delivery:
    """Return a delivery."""
    return Delivery(number, "shop", "e", "i", "t", body, user, f"device-{number}", tries, 0, split, NOW)


@pytest.mark.parametrize("endpoint", [HttpV2("key-of-app"), Batch("key-of-app"), AttributionApi("key-of-app")])
@given(status=st.integers(100, 599), headers=HEADERS, body=BODIES, count=st.integers(1, 9))
def test_any_answer_gives_one_verdict_per_item(
    endpoint: Endpoint, status: int, headers: dict[str, str], body: bytes, count: int
) -> None:
    """Whatever comes back, nothing is raised, and only a 200 is ever taken for success."""
    batch = [item(n) for n in range(min(count, endpoint.limits.max_items))]
    found = endpoint.verdicts(batch, HttpResponse(status, headers, body))
    assert len(found) == len(batch)
    if status != 200:
        assert not any(isinstance(verdict, Accepted) for verdict in found)


@given(status=st.sampled_from([400, 429]), body=BODIES, count=st.integers(1, 9))
def test_an_answer_that_sends_others_again_at_once_always_ends_or_delays_somebody(
    status: int, body: bytes, count: int
) -> None:
    """So that sending again at once and at no cost comes to an end."""
    found = HttpV2("key-of-app").verdicts([item(n) for n in range(count)], HttpResponse(status, {}, body))
    at_once = [v for v in found if isinstance(v, Retry) and v.after_s == 0 and not v.counts]
    assert len(at_once) < len(found)


@given(
    ids=st.lists(st.tuples(st.none() | st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=6),
    properties=JSON,
)
def test_an_upload_is_json_with_every_identity_and_no_larger_than_announced(
    ids: Sequence[tuple[str | None, str]], properties: Any
) -> None:
    """Any text can be an id; what is spliced in reads back as it was, and `size` is an upper bound."""
    endpoint = HttpV2("key-of-app")
    body = msgspec.json.encode({"event_properties": properties})
    batch = [
        Delivery(n, "a", "e", "i", "t", body, user, device, 0, 0, False, 0) for n, (user, device) in enumerate(ids)
    ]
    sent = endpoint.request(batch).body
    assert len(sent) <= sum(endpoint.size(d) for d in batch) + len(endpoint.request([]).body)
    events = msgspec.json.decode(sent)["events"]
    assert [(e.get("user_id"), e.get("device_id")) for e in events] == [(u or None, d or None) for u, d in ids]
    assert all(e["event_properties"] == msgspec.json.decode(body)["event_properties"] for e in events)


@given(st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_form_fields_are_escaped_as_the_standard_library_does(value: bytes) -> None:
    """Any bytes, with every special one escaped once."""
    assert quoted(value) == quote_from_bytes(value, "").encode()


@given(
    sizes=st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=60),
    max_items=st.integers(1, 9),
    max_bytes=st.integers(1, 200),
)
def test_packing_loses_nothing_keeps_order_and_respects_the_limits(
    sizes: list[tuple[int, bool]], max_items: int, max_bytes: int
) -> None:
    """Every item is in exactly one request; split items and oversize items are alone."""
    items = [item(n, b"x" * size, split=split) for n, (size, split) in enumerate(sizes)]
    batches = list(pack(items, Limits(max_items, max_bytes, 1), lambda d: len(d.body)))
    assert [d for batch in batches for d in batch] == items
    for batch in batches:
        assert 1 <= len(batch) <= max_items
        assert len(batch) == 1 or sum(len(d.body) for d in batch) <= max_bytes
        assert len(batch) == 1 or not any(d.split for d in batch)


@given(
    verdict=VERDICTS,
    tries=st.integers(0, 30),
    jitter=st.floats(0, 1, exclude_max=True),
    split=st.booleans(),
    alone=st.booleans(),
    maybe=st.booleans(),
    uncertain=st.sampled_from(Uncertain),
)
def test_settling_never_loses_an_item(
    *, verdict: Verdict, tries: int, jitter: float, split: bool, alone: bool, maybe: bool, uncertain: Uncertain
) -> None:
    """It is delivered only if accepted, dead only with reason and remedy, and else due at a time not in the past."""
    before = item(5, tries=tries, split=split)
    after = settle(before, verdict, NOW, jitter, RetryPolicy(uncertain=uncertain), alone=alone, maybe_applied=maybe)
    assert after.id == 5
    assert tries <= after.tries <= tries + 1
    assert (after.state == "delivered") == isinstance(verdict, Accepted)
    if after.state in {"dead", "parked"}:
        assert after.reason
        assert after.detail
        assert after.remedy
    elif after.state == "due":
        assert NOW <= after.due_ms <= NOW + 1_200_000_000
        assert after.split >= split
    else:
        assert after.state == "delivered"
    if isinstance(verdict, Halt) or (isinstance(verdict, Retry) and not verdict.counts and not maybe):
        assert after.state == "due"
        assert after.tries == tries


@given(steps=st.lists(st.sampled_from(["fail", "halt", "succeed", "probe", "wait"]), max_size=60))
def test_a_circuit_always_lets_something_through_in_the_end(steps: list[str]) -> None:
    """No order of events stops a lane for longer than the cap or the vendor's own wait."""
    rules, circuit, now_ms = CircuitRules(threshold=2, base_s=1.0, cap_s=60.0), CLOSED, NOW
    for step in steps:
        match step:
            case "fail":
                circuit = failed(circuit, "x", now_ms, rules)
            case "halt":
                circuit = halted(circuit, Halt("h", "f", 90.0), now_ms, rules)
            case "succeed":
                circuit = succeeded(circuit)
            case "probe":
                if admission(circuit, now_ms) is not Admission.NONE:
                    circuit = probing(circuit)
            case _:
                now_ms += 1000
        assert admission(circuit, now_ms + 90_000) is not Admission.NONE
        assert (circuit.phase is Phase.CLOSED) <= (circuit.reason == "" or circuit.failures > 0)
