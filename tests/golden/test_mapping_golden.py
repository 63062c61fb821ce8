"""Whole postbacks in, whole Amplitude items out, on both routes.

The messages are made of the field sets in AppsFlyer's public documentation, with invented values. After a wanted change
of the mapping, `FLYBRIDGE_UPDATE_GOLDEN=1 pytest tests/golden` writes the expectations anew: read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flybridge.amplitude.event import with_identity
from flybridge.appsflyer.postback import Postback, read
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import Mapped, map_facts
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Media

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / "postbacks").glob("*.json"))
RECEIVED_MS = 1_790_000_000_000


def outcome(name: str, route: str) -> dict[str, Any]:
    postback = read((HERE / "postbacks" / f"{name}.json").read_bytes(), Media.JSON)
    assert isinstance(postback, Postback)
    rules = Rules(app="shop", platform="other", route=route)
    mapped = map_facts(facts_of(postback, rules, RECEIVED_MS), rules)
    if not isinstance(mapped, Mapped):
        return {"outcome": msgspec.to_builtins(mapped)}
    whole = json.loads(with_identity(mapped.body, mapped.user_id, mapped.device_id))
    return {
        "outcome": "mapped",
        "kind": mapped.kind.value,
        "endpoint": mapped.endpoint,
        "event": whole if route == "http_v2" else json.loads(mapped.body),
        **({"identify": json.loads(mapped.identify)} if mapped.identify else {}),
        "ids": {kind.value: value for kind, value in mapped.ids.items()},
        "restricted": mapped.restricted,
        "notes": list(mapped.notes),
    }


@pytest.mark.parametrize("route", ["http_v2", "attribution"])
@pytest.mark.parametrize("name", NAMES)
def test_a_postback_becomes_the_expected_item(name: str, route: str) -> None:
    """Every field of the item is as the golden file has it, and there is none beside."""
    path = HERE / "expected" / f"{name}.{route}.json"
    found = outcome(name, route)
    if os.environ.get("FLYBRIDGE_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    assert found == json.loads(path.read_text())


def test_no_golden_file_is_left_over() -> None:
    """Every expectation belongs to a message."""
    expected = {path.name for path in (HERE / "expected").glob("*.json")}
    assert expected == {f"{name}.{route}.json" for name in NAMES for route in ("http_v2", "attribution")}
