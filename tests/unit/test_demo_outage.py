"""The outage at the end of the demo."""

from __future__ import annotations

import re

import pytest

from flybridge.demo.environment import APPS
from flybridge.demo.outage import DAYS, days_down, outage_traffic
from flybridge.records import DAY_MS
from flybridge.sandbox.traffic.traffic import TrafficApp, generate


@pytest.mark.parametrize("seed", [1, 2, 4, 10, 11, 23])
def test_flybridge_is_down_until_the_last_message_was_pushed(seed):
    """Some people come back after days; with seed 11 the last twenty events were after the end, and never missing."""
    messages = outage_traffic(APPS[1], seed, 400, 7 * DAY_MS)
    days = days_down(messages, 7 * DAY_MS)
    assert days >= DAYS
    assert all(one.truth.time_ms < (7 + days) * DAY_MS for one in messages)


@pytest.mark.parametrize("app", APPS[:2])
@pytest.mark.parametrize("seed", [1, 3, 102])
def test_nobody_of_the_outage_is_known_before(app, seed):
    """Else flybridge has ids of theirs that the outage's own traffic does not tell; with seed 102 it sent them."""
    apps = [TrafficApp(one.name, one.platform, one.appsflyer_app_id) for one in APPS]
    before = {id_ for message in generate(seed, 400, apps) for id_ in ids(message.body)}
    after = {id_ for message in outage_traffic(app, seed, 400, 7 * DAY_MS) for id_ in ids(message.body)}
    assert len(before) > 50
    assert not before & after


def ids(body: bytes) -> set[bytes]:
    """Return the ids of devices and users in a message."""
    named = re.findall(rb'"(?:idfa|idfv|advertising_id|oaid|customer_user_id|amplitude_device_id)":"([^"]+)"', body)
    return {one for one in named if one.strip(b"0-")}
