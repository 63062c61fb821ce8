"""Kinds of messages that meant something else than they said, each in many spellings: what is right of each.

A file of `kinds` holds one kind: a message, and cases that change it (null removes a field). A case has what must be
true of what is sent, or what becomes of several messages one after the other, or whom a message of Amplitude names.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from empty_stores import write_empty_store
from flybridge.amplitude.event import with_identity
from flybridge.config.settings import Config, loads
from flybridge.flow import Flow
from flybridge.operations.explain import MessageOutcome, explain
from flybridge.operations.messages import read_messages
from flybridge.records import Dead, Decision, Deliver, Envelope, Filing, Filter, Hold, Media, Refuse, Source
from flybridge.sandbox.vendors.appsflyer import TakenEvent, read_event
from flybridge.sandbox.vendors.validation import HTTP_V2, Attribution, Upload, read_attribution, read_upload
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.wiring import build_flow

RECEIVED_MS = 1_773_000_000_000
CONFIG = """
secret = "0123456789abcdef0123456789abcdef"
[[apps]]
name = "bakery"
platform = "{platform}"
appsflyer_app_id = "{app_id}"
appsflyer.push_token = "a-token"
amplitude.api_key = "a-key"
amplitude.webhook_token = "a-token"
{settings}
"""
STREAM = """
appsflyer.s2s_key = "a-key"
[[apps.streams]]
events = ["*"]
extras = ["*"]
"""
APP_IDS = {"android": "com.example.bakery", "ios": "id499000222"}
OUTCOMES = {Deliver: "delivered", Hold: "held", Filter: "filtered", Refuse: "refused", Dead: "dead"}
FORMS = [Media.JSON, Media.QUERY]
KINDS = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "kinds").glob("*.json"))}


def cases_with(key: str) -> list[Any]:
    """Return the cases that have a key, each with the message that it changes."""
    return [
        pytest.param(kind["base"], case, id=f"{name}-{number}")
        for name, kind in KINDS.items()
        for number, case in enumerate(kind["cases"])
        if key in case
    ]


def config_of(case: dict[str, Any]) -> Config:
    """Return the configuration that a case is about."""
    return _config(case.get("platform", "android"), case.get("settings", ""))


@cache
def _config(platform: str, settings: str) -> Config:
    text = CONFIG.format(platform=platform, app_id=APP_IDS[platform], settings=settings)
    return loads(text, Path("/nowhere"), {})


@cache
def _flow(platform: str, settings: str) -> Flow:
    return build_flow(_config(platform, settings))


def written(base: dict[str, Any], change: dict[str, Any], media: Media) -> bytes:
    """Write a message in a form."""
    message = {name: value for name, value in (base | change).items() if value is not None}
    if media is Media.JSON:
        return json.dumps(message).encode()
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in message.items()}
    return urlencode(text).encode()


def filed(case: dict[str, Any], body: bytes, media: Media, source: Source = Source.PUSH) -> Filing:
    """Return what the pipeline decides."""
    flow = _flow(case.get("platform", "android"), case.get("settings", ""))
    return flow.safe_filing(Envelope("bakery", source, media, RECEIVED_MS, body, "r.0"))


def explained(case: dict[str, Any], body: bytes, media: Media) -> MessageOutcome:
    """Return what `flybridge explain` says, which reads the form of a message from itself."""
    config = config_of(case)
    (message,) = read_messages(body, None)
    assert (message.source, message.media) == (Source.PUSH, media)
    (found,) = explain(config, config.apps[0], message, RECEIVED_MS)
    return found


def item_of(decision: Decision) -> dict[str, Any]:
    """Return the event that is sent, or will be."""
    item = decision.item if isinstance(decision, Hold) else decision
    assert isinstance(item, Deliver)
    return json.loads(item.body.split(b"\n")[-1])


def check_item(decision: Deliver, expected: dict[str, Any]) -> None:
    """Compare what is sent with what is expected of it."""
    event = item_of(decision)
    for name in ("user_id", "device_id"):
        assert getattr(decision, name) == expected.get(name, getattr(decision, name))
    wanted = {name: RECEIVED_MS if value == "received" else value for name, value in expected.get("event", {}).items()}
    assert {name: event.get(name) for name in wanted} == wanted
    properties = expected.get("properties", {})
    assert {name: event["event_properties"].get(name) for name in properties} == properties
    assert event.keys().isdisjoint(expected.get("absent", ()))
    assert event["event_properties"].keys().isdisjoint(expected.get("absent_properties", ()))


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize(("base", "case"), cases_with("expected"))
def test_a_message_means_what_it_says(base: dict[str, Any], case: dict[str, Any], media: Media) -> None:
    """By POST and by GET; and `explain` says of it what the pipeline does."""
    expected, body = case["expected"], written(base, case["change"], media)
    filing = filed(case, body, media)
    decision = filing.decision
    assert OUTCOMES[type(decision)] == expected["outcome"]
    assert getattr(decision, "reason", "") == expected.get("reason", "")
    if isinstance(decision, Hold):
        assert sorted(decision.key_kinds) == expected["keys"]
    if isinstance(decision, Deliver):
        check_item(decision, expected)
    if "restricted" in expected:
        assert filing.restricted is not None
        assert [filing.restricted.policy, filing.restricted.media_source.strip().lower()] == expected["restricted"]
    said = explained(case, body, media)
    assert (said.outcome, said.reason) == (expected["outcome"], expected.get("reason", ""))
    assert expected.get("note", "") in "; ".join(said.notes)
    if "notes" in expected:
        assert list(said.notes) == expected["notes"]


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize(("base", "case"), cases_with("same_as"))
def test_what_means_the_same_is_the_same(base: dict[str, Any], case: dict[str, Any], media: Media) -> None:
    """Down to the bytes that are sent, and whichever way a message is read."""
    for beside in ({}, {"af_sub2": "null"}, {"wifi": "perhaps"}, {"unheard_of": "1"}):
        one = filed(case, written(base, case["change"] | beside, media), media)
        other = filed(case, written(base, case["same_as"], Media.JSON), Media.JSON)
        assert one.key == other.key
        assert item_of(one.decision) == item_of(other.decision)


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize(("base", "case"), cases_with("stored"))
async def test_what_is_one_event_and_what_is_two(
    tmp_path: Path, base: dict[str, Any], case: dict[str, Any], media: Media
) -> None:
    """One message after the other, the last by GET and by POST."""
    config = config_of(case)
    flow, found = build_flow(config), []
    store = SqliteStore(write_empty_store(tmp_path / "store.db"), Seal(*config.secrets))
    await store.open()
    try:
        last = len(case["messages"]) - 1
        for number, change in enumerate(case["messages"]):
            form = media if number == last else Media.JSON
            body = written(base, change, form)
            filing = flow.filing(Envelope("bakery", Source.PUSH, form, RECEIVED_MS, body, f"r{number}"))
            (outcome,) = (await store.file([filing], RECEIVED_MS)).outcomes
            found.append(outcome)
        assert await store.audit() == []
    finally:
        await store.close()
    assert found == case["stored"]


@pytest.mark.parametrize(("base", "case"), cases_with("streamed"))
def test_an_event_of_amplitude_means_what_it_says(base: dict[str, Any], case: dict[str, Any]) -> None:
    """What goes to AppsFlyer of it; and `explain` says of it what the pipeline does."""
    expected, case = case["streamed"], case | {"settings": STREAM + case.get("settings", "")}
    body = written(base, case["change"], Media.JSON)
    filing = filed(case, body, Media.JSON, Source.STREAM)
    decision, config = filing.decision, config_of(case)
    (message,) = read_messages(body, Source.STREAM)
    (said,) = explain(config, config.apps[0], message, RECEIVED_MS)
    assert OUTCOMES[type(decision)] == expected["outcome"]
    assert said.outcome == expected.get("explained", expected["outcome"])
    assert said.reason == expected.get("reason", said.reason)
    assert expected.get("note", "") in "; ".join(said.notes)
    assert list(said.notes) == expected.get("notes", list(said.notes))
    if isinstance(decision, Hold):
        return
    assert isinstance(decision, Deliver)
    sent = json.loads(decision.body)
    value = json.loads(sent["eventValue"] or "{}")
    assert decision.device_id == expected.get("appsflyer_id", "1768000000000-4711000")
    assert {name: sent.get(name) for name in expected.get("parameters", {})} == expected.get("parameters", {})
    assert {name: value.get(name) for name in expected.get("value", {})} == expected.get("value", {})


@pytest.mark.parametrize(("base", "case"), [*cases_with("expected"), *cases_with("streamed")])
def test_what_is_sent_is_what_the_vendors_take(base: dict[str, Any], case: dict[str, Any]) -> None:
    """The sandbox reads it as their pages say, and records it."""
    source = Source.PUSH if "expected" in case else Source.STREAM
    if source is Source.STREAM:
        case = case | {"settings": STREAM + case.get("settings", "")}
    decision = filed(case, written(base, case["change"], Media.JSON), Media.JSON, source).decision
    if not isinstance(decision, Deliver):
        return
    items = [with_identity(item, decision.user_id, decision.device_id) for item in decision.body.split(b"\n")]
    match decision.endpoint:
        case "inapp_event":
            named = b'{"appsflyer_id":%b,%b' % (json.dumps(decision.device_id).encode(), decision.body[1:])
            taken = read_event("com.example.bakery", named, RECEIVED_MS)
            assert isinstance(taken, TakenEvent)
            assert taken.recorded
        case "attribution":
            assert isinstance(read_attribution(decision.body.decode()), Attribution)
        case _:
            upload = b'{"api_key":"a-key","events":[%b]}' % b",".join(items)
            assert isinstance(read_upload(upload, HTTP_V2, bool), Upload)


@pytest.mark.parametrize("first", ["install", "sighting"])
@pytest.mark.parametrize(("base", "case"), cases_with("held"))
async def test_whom_a_message_of_amplitude_names(
    tmp_path: Path, base: dict[str, Any], case: dict[str, Any], first: str
) -> None:
    """An install is matched, whether it comes before the message or after it."""
    platform = case["platform"]
    install = {
        "app_id": APP_IDS[platform], "platform": platform, "event_name": "install", "conversion_type": "install",
        "campaign_type": "ua", "media_source": "partner_int", "event_time": "2026-03-04 08:00:00.125",
        "install_time": "2026-03-04 08:00:00.125", "appsflyer_id": "1768000000000-4711000000000000001",
    } | case["held"]  # fmt: skip
    event = base | case["change"]
    if case.get("identify"):
        event = {name: event[name] for name in ("user_id", "device_id", "user_properties")}
    bodies = [(Source.PUSH, json.dumps(install).encode()), (Source.STREAM, json.dumps(event).encode())]
    config = config_of(case)
    flow = build_flow(config)
    store = SqliteStore(write_empty_store(tmp_path / "store.db"), Seal(*config.secrets))
    await store.open()
    try:
        matched = 0
        for number, (source, body) in enumerate(bodies if first == "install" else reversed(bodies)):
            filing = flow.filing(Envelope("bakery", source, Media.JSON, RECEIVED_MS, body, f"r{number}"))
            matched += (await store.file([filing], RECEIVED_MS)).matched
    finally:
        await store.close()
    assert matched == case["matched"]
