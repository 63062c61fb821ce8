"""Messages as apps and AppsFlyer's customers really make them: what becomes of each, by POST and by GET.

A case holds the message and what must be true of its outcome; `flybridge explain` must say the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from flybridge.appsflyer.postback import Postback, read
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.explain import explain
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Dead, Deliver, Envelope, Filing, Hold, Media, Source

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
RECEIVED_MS = 1_773_000_000_000
RULES = Rules(app="bakery", platform="android", app_id="com.example.bakery")
FORMS = {
    Media.JSON: lambda message: json.dumps(message).encode(),
    Media.QUERY: lambda message: urlencode(
        {
            name: json.dumps(value) if isinstance(value, dict | bool) else value
            for name, value in message.items()
            if value is not None
        }
    ).encode(),
}


def filed(body: bytes, media: Media) -> Filing:
    flow = Flow({"bakery": AppFlow(RULES)}, Keyring(b"a secret for the tests"))
    return flow.filing(Envelope("bakery", Source.PUSH, media, RECEIVED_MS, body, "r.0"))


def check_item(decision: Deliver, expected: dict[str, Any]) -> None:
    event = json.loads(decision.body.split(b"\n")[-1])
    for name in ("device_id", "user_id"):
        if name in expected:
            assert getattr(decision, name) == expected[name]
    wanted = expected.get("event", {})
    assert {key: event.get(key) for key in wanted} == wanted
    properties = expected.get("properties", {})
    assert {key: event["event_properties"].get(key) for key in properties} == properties
    absent = expected.get("absent", {})
    assert event.keys().isdisjoint(absent.get("event", ()))
    assert event["event_properties"].keys().isdisjoint(absent.get("event_properties", ()))


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_case_has_the_expected_outcome(path: Path, media: Media) -> None:
    """The outcome, and of what is sent the fields that the case is about."""
    case = json.loads(path.read_text())
    body, expected = FORMS[media](case["message"]), case["expected"]
    decision = filed(body, media).decision
    postback = read(body, media)
    assert isinstance(postback, Postback)
    explained = explain(postback, RULES, RECEIVED_MS)
    match expected["outcome"]:
        case "deliver":
            assert isinstance(decision, Deliver)
            check_item(decision, expected)
            assert explained.outcome == f"mapped to {decision.event_type} for http_v2"
            assert any(expected.get("note", "") in note for note in (*explained.notes, ""))
        case "hold":
            assert isinstance(decision, Hold)
            assert list(decision.key_kinds) == expected["key_kinds"]
        case _:
            assert isinstance(decision, Dead)
            assert decision.reason == expected["reason"]
            assert explained.outcome == f"dead: {decision.detail} {decision.remedy}"


@pytest.mark.parametrize(
    "names", [("name_with_blank", "name_with_blank"), ("words_for_nothing", "words_for_nothing_beside_null")]
)
def test_a_message_is_one_event_however_it_is_written(names: tuple[str, str]) -> None:
    """By POST and by GET, and whatever stands beside it."""
    first, second = (json.loads((Path(__file__).parent / "cases" / f"{name}.json").read_text()) for name in names)
    posted = filed(FORMS[Media.JSON](first["message"]), Media.JSON)
    got = filed(FORMS[Media.QUERY](second["message"]), Media.QUERY)
    assert posted.key == got.key
    assert isinstance(posted.decision, Deliver)
    assert isinstance(got.decision, Deliver)
    assert posted.decision.insert_id == got.decision.insert_id
