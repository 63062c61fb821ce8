"""Whatever an event holds: conditions answer, the item fits into one kilobyte, and what is left out is said."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.amplitude.streamed import Streamed, reshaped
from flybridge.mapping.conditions import Condition
from flybridge.mapping.table import Row
from flybridge.mapping.to_appsflyer.explain import explain_event
from flybridge.mapping.to_appsflyer.map import MappedEvent, choose, map_event
from flybridge.mapping.to_appsflyer.rows import OPTIONAL, ROWS
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import Dead
from flybridge.sandbox.vendors.appsflyer import TakenEvent, read_event
from flybridge.sandbox.vendors.inapp_schema import SCHEMA

NOW_MS = 1_763_985_600_000
AF_ID = "1629191854863-7087037"

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner), max_leaves=6
)
NAMES = (
    "revenue", "$revenue", "$price", "$quantity", "currency", "af_content_id", "order_id", "color", "gaid", "att",
    "sharing_filter", "consent_data", "email", "idfa", "gdpr_applies",
)  # fmt: skip
FLAGS = (
    "gdpr_applies",
    "ad_user_data_enabled",
    "ad_personalization_enabled",
    "tcstring",
    "policy_version",
    "cmp_sdk_id",
)
said = scalars | st.sampled_from(["true", "0", "-1", "granted", "DENIED", "4", "all", "twitter_int", "{}", "[]"])
flags = st.dictionaries(st.sampled_from(FLAGS), said)
permissions = st.fixed_dictionaries(
    {"appsflyer_id": st.just(AF_ID)},
    optional={
        "sharing_filter": said | st.lists(said, max_size=3) | flags,
        "consent_data": flags | st.fixed_dictionaries({}, optional={"tcf": flags | said, "manual": flags | said}),
        "aie": said,
        "limit_ad_tracking": said,
        "gdpr_applies": said,
        "ad_user_data_enabled": said,
    },
)
properties = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), values, max_size=25)
events = st.fixed_dictionaries(
    {"event_type": st.text(min_size=1, max_size=200).filter(str.strip), "event_properties": properties},
    optional={
        "user_properties": properties,
        "user_id": values,
        "device_id": values,
        "event_time": st.sampled_from(["2025-11-24 11:59:59.123", "2025-11-20 10:00:00"]) | values,
        "adid": values,
        "ip_address": values,
        "os_version": values,
        "$insert_id": values,
        "is_attribution_event": values,
    },
)
asked = st.fixed_dictionaries(
    {"path": st.sampled_from(["event_properties.revenue", "user_properties.att", "platform", "x.y.z", "", "."])},
    optional={
        "equals": st.text(max_size=5) | st.integers() | st.floats(allow_nan=False) | st.booleans(),
        "differs": st.text(max_size=5),
        "one_of": st.lists(st.text(max_size=3), max_size=2).map(tuple),
        "none_of": st.lists(st.text(max_size=3), max_size=2).map(tuple),
        "contains": st.text(max_size=3),
        "not_contains": st.text(max_size=3),
        "gt": st.text(max_size=3) | st.integers(),
        "le": st.text(max_size=3) | st.floats(allow_nan=False),
        "exists": st.booleans(),
    },
)


def rules(platform: str = "android", **given_settings: Any) -> StreamRules:
    return StreamRules(app="shop", platform=platform, events=("*",), **given_settings)


@given(events, asked)
@settings(max_examples=150)
def test_a_condition_always_answers_and_its_opposite_disagrees(
    event: dict[str, Any], condition: dict[str, Any]
) -> None:
    """It never raises; `is` and `is_not` of the same value are never both true, nor both false."""
    streamed = Streamed(event)
    assert Condition(**condition).holds(streamed.find) in {True, False}
    if "equals" in condition:
        path, value = condition["path"], condition["equals"]
        is_so = Condition(path=path, equals=value).holds(streamed.find)
        assert is_so is not Condition(path=path, differs=value).holds(streamed.find)


typical = st.sampled_from(
    [
        "me@example.com", "+1 650 555 1212", "Zoë", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "192.0.2.1",
        "255.255.255.255", "::1", "EUR", "eur", "17.5.1", "app_clip", "App Clip", "10293847561029384", "①②", "true",
        "authorized", "3",
        {"id": "f47ac10b-58cc-4372-a567-0e02b2c3d479", "scope": "2"}, {"id": "mine", "scope": 1}, {"scope": 1},
    ]
)  # fmt: skip


@given(row=st.sampled_from([row for row in (*ROWS, *OPTIONAL) if row.target in SCHEMA]), value=typical | values)
@settings(max_examples=500)
def test_a_parameter_is_what_appsflyers_schema_says_or_is_left_out(row: Row, value: Any) -> None:
    """Whatever the property holds it is taken from."""
    found = row.convert(value)
    assert found is None or SCHEMA[row.target](found)


@given(events, st.sampled_from(["android", "ios", "other"]))
@settings(max_examples=150)
def test_an_item_fits_into_one_kilobyte_and_is_one_that_appsflyer_reads(event: dict[str, Any], platform: str) -> None:
    """With its id in front; what has no room is named, and is not sent; too large a head is a dead letter."""
    found = map_event(Streamed(event), rules(platform, extras=("*", "user_properties.*")), NOW_MS)
    if isinstance(found, Dead):
        assert found.reason == "larger_than_1kb"
        return
    assert isinstance(found, MappedEvent)
    longest = "1629191854863-" + "9" * 19
    whole = b'{"appsflyer_id":"' + longest.encode() + b'",' + found.body[1:]
    assert len(whole) <= 1_000
    assert isinstance(read_event("shop", whole, NOW_MS), TakenEvent)
    item = json.loads(whole)
    value = json.loads(item["eventValue"]) if item["eventValue"] else {}
    for name in found.dropped:
        key = name.removeprefix("eventValue.")
        assert key not in (value if name.startswith("eventValue.") else item)


@given(permissions, st.sampled_from([(), ("x_int",), ("all",)]))
def test_what_a_person_allows_is_sent_as_the_page_describes_it(user: dict, filtered: tuple[str, ...]) -> None:
    """Whatever their properties say, and what the stream leaves out is left out."""
    found = map_event(Streamed({"event_type": "e", "user_properties": user}), rules(sharing_filter=filtered), NOW_MS)
    assert isinstance(found, MappedEvent)
    taken = read_event("shop", b'{"appsflyer_id":"' + AF_ID.encode() + b'",' + found.body[1:], NOW_MS)
    assert isinstance(taken, TakenEvent)
    kept = json.loads(found.body).get("sharing_filter", [])
    assert kept == "all" or set(filtered) <= set(kept)


@given(st.lists(st.integers(min_value=1, max_value=300), min_size=1, max_size=12))
def test_what_is_left_out_would_not_have_fitted(lengths: list[int]) -> None:
    """Extras go in their order: one is left out only if it had no room beside the more important ones that went."""
    extras = {f"p{n}": "x" * length for n, length in enumerate(lengths)}
    event = {"event_type": "e", "event_properties": extras, "user_properties": {"appsflyer_id": AF_ID}}
    found = map_event(Streamed(event), rules(extras=("*",)), NOW_MS)
    assert isinstance(found, MappedEvent)
    sent = json.loads(json.loads(found.body)["eventValue"] or "{}")
    assert list(sent) == [name for name in extras if name in sent]
    for name in found.dropped:
        key = name.removeprefix("eventValue.")
        before = {k: v for k, v in sent.items() if int(k[1:]) < int(key[1:])}
        text = json.dumps(before | {key: extras[key]}, separators=(",", ":"))
        body = json.dumps({"appsflyer_id": "0" * 33, "eventName": "e", "eventValue": text}, separators=(",", ":"))
        assert len(body) > 1_000 - 4


@given(events)
@settings(max_examples=150)
def test_every_event_can_be_explained(event: dict[str, Any]) -> None:
    """Also one that is left out or too large."""
    assert explain_event(Streamed(event), [rules(extras=("*",))], NOW_MS).outcome


@given(events, st.dictionaries(st.sampled_from(["event_type", "user_properties.x", "user_id"]), st.text(max_size=20)))
def test_a_message_of_any_shape_can_be_reshaped(event: dict[str, Any], names: dict[str, str]) -> None:
    """And then be chosen or not."""
    message = reshaped(event, names)
    if isinstance(message.get("event_type"), str):
        choose(Streamed(message), [rules()])
