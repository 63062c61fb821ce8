"""Whole Amplitude events in, whole AppsFlyer items out: one event for each parameter, and for what is left out.

The messages are made of the fields in Amplitude's public documentation, with invented values; the name's first word
chooses the platform or the configuration. After a wanted change of the mapping, `FLYBRIDGE_UPDATE_GOLDEN=1 pytest
tests/golden` writes the expectations anew: read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flybridge.amplitude.streamed import Streamed
from flybridge.mapping.to_appsflyer.map import Left, MappedEvent, choose, map_event
from flybridge.mapping.to_appsflyer.rows import PARAMETERS
from flybridge.mapping.to_appsflyer.rules import StreamRules

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / "events").glob("*.json"))
RECEIVED_MS = 1_790_000_000_000

CONFIGURED: dict[str, Any] = {
    "rename": {"Order Completed": "af_purchase"},
    "extras": ("color", "*", "user_properties.tier"),
    "properties": {
        "email_hashed": "user_properties.email",
        "phone_number_hashed": "user_properties.phone",
        "phone_number_e164_hashed": "user_properties.phone",
        "first_name_hashed": "user_properties.first_name",
        "last_name_hashed": "user_properties.last_name",
        "fb_login_id": "user_properties.fb_login_id",
        "bundleIdentifier": "value:com.example.shop",
        "app_type": "value:app_clip",
        "custom_data": "user_properties.custom_data",
        "ua": "user_properties.user_agent",
        "app_set_id": "user_properties.app_set_id",
        "eventValue.af_revenue": "event_properties.total",
        "eventValue.branch": "event_properties.shop",
    },
    "sharing_filter": ("all",),
}


def rules_for(name: str) -> StreamRules:
    """Return the stream that a golden event goes through."""
    first = name.partition("_")[0]
    platform = first if first in {"android", "ios"} else "other"
    settings = CONFIGURED if first == "configured" else {}
    return StreamRules(app="shop", platform=platform, events=("Order *",), **settings)


def outcome(name: str) -> dict[str, Any]:
    """Choose and map a golden event."""
    event = Streamed(json.loads((HERE / "events" / f"{name}.json").read_text()))
    rules = choose(event, [rules_for(name)])
    if isinstance(rules, Left):
        return {"outcome": "left out", "reason": rules.reason}
    mapped = map_event(event, rules, RECEIVED_MS)
    if not isinstance(mapped, MappedEvent):
        return {"outcome": msgspec.to_builtins(mapped)}
    return {
        "outcome": "mapped",
        "appsflyer_id": mapped.appsflyer_id,
        "item": json.loads(mapped.body),
        "dropped": list(mapped.dropped),
        "notes": list(mapped.notes),
        "remarks": list(mapped.remarks),
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_event_becomes_the_expected_item(name: str) -> None:
    """Every parameter of the item is as the golden file has it, and there is none beside."""
    path = HERE / "expected_events" / f"{name}.json"
    found = outcome(name)
    if os.environ.get("FLYBRIDGE_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    assert found == json.loads(path.read_text())


def test_no_golden_file_is_left_over() -> None:
    """Every expectation belongs to an event."""
    assert {path.stem for path in (HERE / "expected_events").glob("*.json")} == set(NAMES)


def test_every_parameter_has_its_golden_event() -> None:
    """What is documented as sent is sent by one of them."""
    sent: set[str] = set()
    for path in (HERE / "expected_events").glob("*.json"):
        expected = json.loads(path.read_text())
        sent.update(expected.get("item", ()))
        if expected.get("appsflyer_id"):
            sent.add("appsflyer_id")
    assert set(PARAMETERS) <= sent
