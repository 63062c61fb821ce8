"""Whom a message is about: which of its ids stand where, and what is noted of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Envelope, Filing, Media, Source

NOW_MS = 1_769_904_000_000
GOOGLE = "38400000-8cf0-41bd-b23e-10b96e40000d"
AMAZON = "0f3c1de2-5a17-4d8b-9b0a-6e4d2f7c9a11"
MESSAGE: dict[str, Any] = {
    "event_name": "install", "conversion_type": "install", "campaign_type": "ua", "media_source": "partner_int",
    "appsflyer_id": "1629191854863-7087037", "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123", "platform": "android", "customer_user_id": "customer-1",
}  # fmt: skip
EVENT = MESSAGE | {"event_name": "af_login", "event_time": "2026-01-31 12:30:00.000"}


def filed(message: dict[str, Any], **rules: Any) -> Filing:
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="android", **rules))}, Keyring(b"a secret"))
    return flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, json.dumps(message).encode(), "r-1"))


def sent(message: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return who it is sent of, and what is sent."""
    item: Any = filed(message).decision
    return item.user_id, json.loads(item.body.splitlines()[-1])


@pytest.mark.parametrize(
    ("device", "adid"),
    [
        ({"advertising_id": GOOGLE}, GOOGLE),
        ({"amazon_aid": AMAZON}, AMAZON),
        ({"advertising_id": GOOGLE, "amazon_aid": AMAZON}, GOOGLE),
        ({"advertising_id": GOOGLE, "amazon_aid": AMAZON, "device_brand": "Amazon"}, AMAZON),
        ({"advertising_id": GOOGLE, "amazon_aid": AMAZON, "device_model": "amazon::KFMUWI"}, AMAZON),
        ({"advertising_id": GOOGLE, "amazon_aid": AMAZON, "device_type": "AMAZON-KFMUWI"}, AMAZON),
        ({"advertising_id": GOOGLE, "amazon_aid": AMAZON, "install_app_store": "Amazon"}, AMAZON),
        ({"advertising_id": GOOGLE, "amazon_aid": AMAZON, "device_brand": "samsung"}, GOOGLE),
        ({"advertising_id": "00000000-0000-0000-0000-000000000000", "amazon_aid": AMAZON}, AMAZON),
        ({"advertising_id": GOOGLE, "amazon_aid": "unavailable", "device_brand": "Amazon"}, GOOGLE),
    ],
)
def test_amplitudes_advertising_id_is_that_of_the_devices_maker(device: dict[str, str], adid: str) -> None:
    """A tablet of Amazon's may have both ids, of which its own is the one that Amplitude's SDK sends."""
    assert sent(MESSAGE | device)[1]["adid"] == adid


@pytest.mark.parametrize("absent", [None, ""])
def test_an_id_that_custom_data_lacks_is_that_of_the_events_value(absent: str | None) -> None:
    """It was not known yet when the custom data was set."""
    passed = {"amplitude_user_id": absent, "amplitude_session_id": 1_769_860_000_000}
    value = json.dumps({"amplitude_user_id": "user-1", "amplitude_session_id": 1_769_860_000_999})
    user_id, event = sent(EVENT | {"custom_data": passed, "event_value": value})
    assert (user_id, event["session_id"]) == ("user-1", 1_769_860_000_000)


def test_what_an_event_could_be_matched_by_has_its_own_ids_where_they_are_sent() -> None:
    """The Attribution API takes neither a user id nor a device id."""
    message = MESSAGE | {"advertising_id": GOOGLE, "custom_data": {"amplitude_device_id": "device-1"}}
    on_v2, by_attribution = filed(message).carried, filed(message, route="attribution").carried
    assert on_v2 is not None
    assert by_attribution is not None
    own = {"amplitude_user_id", "amplitude_device_id"}
    assert own <= set(on_v2.kinds.split())
    assert set(by_attribution.kinds.split()) == set(on_v2.kinds.split()) - own


@pytest.mark.parametrize(
    ("change", "origin"),
    [
        ({}, "install"),
        ({"event_name": "reinstall", "conversion_type": "reinstall"}, "reinstall"),
        ({"event_name": "re-engagement", "conversion_type": "re-engagement", "is_retargeting": "true"}, None),
        ({"event_name": "af_login"}, "unseen"),
        ({"event_name": "af_login", "conversion_type": "re-engagement", "campaign_type": "retargeting"}, None),
    ],
)
def test_what_a_message_says_of_how_its_installation_began(change: dict[str, str], origin: str | None) -> None:
    """A campaign that brings people back has not brought them."""
    performance = filed(MESSAGE | change).performance
    assert performance is not None
    assert (performance.origin.kind if performance.origin is not None else None) == origin
