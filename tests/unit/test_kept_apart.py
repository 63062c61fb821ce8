"""Second copies and blocked fraud are in no figure, and are counted, once each, to explain differences."""

from __future__ import annotations

import json

import pytest

from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.insight.performance import AppScope, Question, read_performance
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_780_000_000_000
TODAY = NOW_MS // DAY_MS
EVENT = {
    "event_name": "buy", "appsflyer_id": "1-1", "event_time": "2026-05-28 10:00:00.123",
    "install_time": "2026-05-20 10:00:00", "media_source": "tiktok", "campaign_type": "ua",
    "conversion_type": "install", "customer_user_id": "ann-1", "is_primary_attribution": True,
}  # fmt: skip
COPY = EVENT | {"media_source": "criteo", "is_primary_attribution": False}
BLOCKED = EVENT | {"event_name": "install", "event_time": "2026-05-28 11:00:00.000", "blocked_reason": "bots"}


async def counted(tmp_path, double: str, *messages: dict) -> dict[tuple[str, str], tuple[int, list[str]]]:
    """Return how many of each kind and source were counted, and what became of them."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    rules = Rules(app="shop", platform="android", double_attribution=double)
    flow = Flow({"shop": AppFlow(rules)}, Keyring(b"secret"))
    bodies = [json.dumps(one | {"bundle_id": str(number)}).encode() for number, one in enumerate(messages)]
    envelopes = [
        Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body, f"r{number}") for number, body in enumerate(bodies)
    ]
    await store.file(flow.filings(envelopes), NOW_MS)
    found = await store.outcomes("shop", TODAY - 30, TODAY)
    assert await store.audit() == []
    scope = AppScope("shop", "USD", {}, "android", TODAY + 1)
    total = (await read_performance(store, [scope], Question(TODAY - 30, TODAY))).total
    await store.close()
    counted = {(one.kind, one.media_source): one.n for one in found.counted if one.n}
    assert total.events == sum(n for (kind, _), n in counted.items() if kind == "event")
    assert total.installs == 0
    return {
        at: (n, sorted(f"{one.outcome} {one.reason}".strip() for one in found.outcomes
                       if (one.kind, one.media_source) == at))
        for at, n in counted.items()
    }  # fmt: skip


@pytest.mark.parametrize("messages", [(EVENT, COPY), (COPY, EVENT), (COPY, EVENT, COPY, EVENT)])
async def test_a_second_copy_is_counted_beside_the_event(tmp_path, messages):
    """In any order, and once however often it comes."""
    assert await counted(tmp_path, "primary", *messages) == {
        ("event", "tiktok"): (1, ["pending"]),
        ("secondary", "criteo"): (1, ["filtered secondary_attribution"]),
    }


async def test_a_second_copy_that_is_sent_is_still_none_of_the_figures(tmp_path):
    """The event is counted once."""
    assert await counted(tmp_path, "both", EVENT, COPY, COPY) == {
        ("event", "tiktok"): (1, ["pending"]),
        ("secondary", "criteo"): (1, ["pending"]),
    }


async def test_the_first_copy_counts_where_the_first_is_sent(tmp_path):
    """Whichever it is."""
    assert await counted(tmp_path, "first", COPY, EVENT) == {("event", "criteo"): (1, ["pending"])}


async def test_blocked_fraud_is_counted_apart(tmp_path):
    """AppsFlyer counts it nowhere."""
    assert await counted(tmp_path, "primary", BLOCKED, BLOCKED) == {
        ("blocked", "tiktok"): (1, ["filtered blocked_as_fraud"]),
    }
