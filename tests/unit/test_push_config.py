"""What an endpoint of the Push API has to send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback import read
from flybridge.appsflyer.push_config import FIELDS, IDENTIFIERS, OF_STREAMS, differences, wanted
from flybridge.mapping.to_amplitude.content_key import Identity, identity_of
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Media

EVENT = {
    "app_id": "com.example.shop",
    "platform": "android",
    "appsflyer_id": "1700000000000-1111111111111111111",
    "customer_user_id": "cust-000001",
    "advertising_id": "38400000-8cf0-11bd-b23e-10b96e400001",
    "media_source": "blue_network",
    "campaign": "rt-camp",
    "conversion_type": "re-engagement",
    "campaign_type": "retargeting",
    "event_name": "af_purchase",
    "event_time": "2026-11-20 10:05:00.000",
    "install_time": "2026-11-19 10:00:00.000",
    "event_value": '{"af_revenue":"10"}',
    "event_revenue": "10",
    "event_revenue_currency": "USD",
    "event_revenue_usd": "10",
    "is_primary_attribution": "true",
}
WHOLE = [*FIELDS, *OF_STREAMS, *IDENTIFIERS["ios"]]


@pytest.mark.parametrize(("streams", "lacks"), [(False, "is_lat"), (True, "is_lat, event_source")])
def test_an_endpoint_sends_what_decides_of_a_message(streams: bool, lacks: str) -> None:
    """Whether ids may leave, and with streams whether an event has come from Amplitude."""
    endpoint = wanted("https://b.example/v1/push/shop", in_app=True)
    left = [name for name in WHOLE if name not in ("is_lat", "event_source")]
    (said,) = differences(endpoint | {"selected_fields": left}, "ios", in_app=True, streams=streams)
    assert said == f"it lacks the fields {lacks}"
    assert differences(endpoint | {"selected_fields": WHOLE}, "ios", in_app=True, streams=streams) == []
    assert differences(endpoint, "ios", in_app=True, streams=streams) == []


def known_by(message: dict[str, Any], **settings: Any) -> Identity:
    """Return the identity of a message."""
    rules = Rules(app="shop", platform="android", **settings)
    found = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(found, Postback)
    return identity_of(facts_of(found, rules, 0), rules, 0)


@pytest.mark.parametrize("copies", ["primary", "both"])
def test_an_event_of_these_fields_alone_is_the_same_as_the_row_of_a_report(copies: str) -> None:
    """Else one that was pushed would come again from a file, and be sent twice."""
    cut = {name: value for name, value in EVENT.items() if name in FIELDS}
    assert known_by(cut, double_attribution=copies) == known_by(EVENT, double_attribution=copies)
