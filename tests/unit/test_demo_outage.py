"""The outage at the end of the demo."""

from __future__ import annotations

import pytest

from flybridge.demo.outage import DAYS, SPAN_MS, days_down
from flybridge.records import DAY_MS
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate


@pytest.mark.parametrize("seed", [1, 2, 4, 10, 11, 23])
def test_flybridge_is_down_until_the_last_message_was_pushed(seed):
    """Some people come back after days; with seed 11 the last twenty events were after the end, and never missing."""
    options = TrafficOptions(start_ms=7 * DAY_MS, span_ms=SPAN_MS, malformed=0, odd=0, duplicates=0, late=0)
    messages = list(generate(seed, 400, [TrafficApp("shop", "ios", "id1234567890")], options))
    days = days_down(messages, options.start_ms)
    assert days >= DAYS
    assert all(one.truth.time_ms < options.start_ms + days * DAY_MS for one in messages)
