"""What holds of every mapped item, whatever the postback."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flybridge.amplitude.event import MAX_DEPTH, MAX_TEXT, with_identity
from flybridge.appsflyer.fields import NAMES, Postback
from flybridge.appsflyer.postback import read
from flybridge.mapping.personal import DEVICE_FIELDS
from flybridge.mapping.to_amplitude.explain import Explanation, explain
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import Mapped, Rules, map_facts
from flybridge.mapping.to_amplitude.settings import MappingRow
from flybridge.records import Dead, Filter, Media, Refuse

NOW_MS = 1_790_000_000_000
V2 = Rules(app="shop", platform="android")
V1 = Rules(app="shop", platform="android", route="attribution")
MATCHED = Rules(app="shop", platform="android", advertising_ids="match-only")
EXTRA = Rules(
    app="shop",
    platform="ios",
    rows=(
        MappingRow("new", "event_properties.new"),
        MappingRow("custom_data.x", "user_properties.x"),
        MappingRow("original_url", "user_properties.u"),
    ),
    restrictions={"restricted": "redact", "a": "organic", "b": "drop"},
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMED = st.sampled_from(["install", "re-engagement", "reinstall", "af_purchase", "$identify", "login"])
PLAUSIBLE = st.fixed_dictionaries(
    {"event_name": NAMED},
    optional={
        "conversion_type": st.sampled_from(["install", "reinstall", "re-engagement"]),
        "campaign_type": st.sampled_from(["ua", "organic", "retargeting"]),
        "media_source": st.sampled_from(["a", "b", "restricted", "organic"]) | st.text(),
        "campaign": st.text(),
        "appsflyer_id": st.text(),
        "customer_user_id": st.text(),
        "advertising_id": st.uuids().map(str),
        "idfa": st.uuids().map(lambda uuid: str(uuid).upper()),
        "idfv": st.uuids().map(lambda uuid: str(uuid).upper()),
        "platform": st.sampled_from(["android", "ios", "web"]),
        "event_time": st.datetimes().map(str),
        "install_time": st.datetimes().map(str),
        "event_value": JSON | JSON.map(json.dumps),
        "custom_data": JSON | JSON.map(json.dumps),
        "event_revenue": st.floats() | st.text(),
        "event_revenue_currency": st.text(),
        "original_url": st.text(),
        "new": JSON,
    },
)
ANY = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=12)


def reading(message: Any) -> Postback:
    found = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(found, Postback)
    return found


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(one for part in value.values() for one in texts(part))]
    if isinstance(value, list):
        return [one for part in value for one in texts(part)]
    return [value] if isinstance(value, str) else []


def depth(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(depth, parts), default=0)


@settings(max_examples=250, deadline=None)
@given(message=PLAUSIBLE | ANY, rules=st.sampled_from([V2, V1, EXTRA]))
def test_mapping_and_explaining_never_raise_and_limits_always_hold(message: dict[str, Any], rules: Rules) -> None:
    """Every outcome is a value; what is sent is whole JSON inside Amplitude's limits."""
    postback = reading(message)
    found = map_facts(facts_of(postback, rules, NOW_MS), rules)
    assert isinstance(found, Mapped | Filter | Refuse | Dead)
    assert isinstance(explain(postback, rules, NOW_MS), Explanation)
    if not isinstance(found, Mapped):
        return
    whole = with_identity(found.body, found.user_id, found.device_id)
    event = json.loads(whole, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(name)))
    assert all(len(one) <= MAX_TEXT for one in texts(event))
    assert all(depth(event.get(section, {})) <= MAX_DEPTH for section in ("event_properties", "user_properties"))
    assert isinstance(event["time"], int)
    assert len(json.loads(whole, object_pairs_hook=list)) == len(event)
    assert not event["event_type"].startswith(("$", "[Amplitude]"))


@settings(max_examples=100, deadline=None)
@given(
    message=PLAUSIBLE,
    uuids=st.tuples(st.uuids(), st.uuids(), st.uuids(), st.uuids()),
    where=st.sampled_from(["custom_data", "event_value", "both"]),
)
def test_no_id_is_ever_in_anothers_place(message: dict[str, Any], uuids: tuple[Any, ...], where: str) -> None:
    """Each identifier is in its own field and in no property, wherever the app has put copies of it."""
    assume("restricted" not in str(message.get("media_source")) and message.get("media_source") != "b")
    gaid, vendor, user, device = uuids[0], uuids[1], f"user-{uuids[2]}", f"device-{uuids[3]}"
    ids = {"amplitude_user_id": user, "amplitude_device_id": device}
    copies = {"note": f"{gaid}", "list": [str(vendor).upper()], "kept": "yes"}
    message = message | {
        "advertising_id": str(gaid),
        "idfv": str(vendor).upper(),
        "customer_user_id": "customer-1",
        "custom_data": ids if where != "event_value" else None,
        "event_value": copies | (ids if where != "custom_data" else {}),
    }
    found = map_facts(facts_of(reading(message), V2, NOW_MS), V2)
    assert isinstance(found, Mapped)
    assert (found.user_id, found.device_id) == (user, device)
    event = json.loads(found.body)
    properties = json.dumps([event["event_properties"], event.get("user_properties")]).lower()
    assert event["adid"] == str(gaid)
    assert event["idfv"] == str(vendor).upper()
    assert not [one for one in (str(gaid), str(vendor), user, device, "customer-1") if one in properties]
    assert event["event_properties"]["kept"] == "yes"


NOT_OF_THE_DEVICE = sorted({*NAMES}.difference(DEVICE_FIELDS, ("customer_user_id", "platform", "bundle_id")))


@settings(max_examples=200, deadline=None)
@given(
    message=PLAUSIBLE,
    uuid=st.uuids(),
    around=st.tuples(st.text(max_size=3), st.text(max_size=3)),
    names=st.lists(st.sampled_from(NOT_OF_THE_DEVICE), min_size=1, max_size=4),
    rules=st.sampled_from([V2, EXTRA, MATCHED, V1]),
)
def test_no_field_repeats_a_device_identifier(
    message: dict[str, Any], uuid: Any, around: tuple[str, str], names: list[str], rules: Rules
) -> None:
    """Whatever field the identifier stands in besides, it is sent once at most, in its own."""
    message = message | dict.fromkeys(names, str(uuid).upper().join(around)) | {"idfa": None, "idfv": None}
    message |= {"advertising_id": str(uuid), "platform": rules.platform}
    found = map_facts(facts_of(reading(message), rules, NOW_MS), rules)
    if isinstance(found, Mapped):
        assert found.sent.lower().count(str(uuid).encode()) <= (rules is not MATCHED)
        assert str(uuid) not in found.event_type.lower()


@settings(max_examples=100, deadline=None)
@given(message=PLAUSIBLE)
def test_absent_revenue_never_becomes_zero(message: dict[str, Any]) -> None:
    """Without an amount anywhere there is no revenue field."""
    message = {key: value for key, value in message.items() if key not in ("event_revenue", "event_value")}
    found = map_facts(facts_of(reading(message | {"event_revenue_currency": "USD"}), V2, NOW_MS), V2)
    if isinstance(found, Mapped):
        assert "revenue" not in json.loads(found.body)


@settings(max_examples=100, deadline=None)
@given(
    message=PLAUSIBLE, seed=st.integers(), unknown=st.dictionaries(st.text(min_size=30), st.integers(0, 9), max_size=3)
)
def test_equal_content_has_one_identity(message: dict[str, Any], seed: int, unknown: dict[str, Any]) -> None:
    """Neither the order of keys nor fields that nobody knows make another event; twice the same is the same."""
    first = map_facts(facts_of(reading(message), V2, NOW_MS), V2)
    assert map_facts(facts_of(reading(message), V2, NOW_MS), V2) == first
    shuffled = [*message.items(), *unknown.items()]
    random.Random(seed).shuffle(shuffled)
    second = map_facts(facts_of(reading(dict(shuffled)), V2, NOW_MS), V2)
    if isinstance(first, Mapped):
        assert isinstance(second, Mapped)
        assert (first.insert_id, first.key, first.body) == (second.insert_id, second.key, second.body)


@settings(max_examples=100, deadline=None)
@given(message=PLAUSIBLE, policy=st.sampled_from(["redact", "organic"]), source=st.uuids(), campaign=st.uuids())
def test_a_restricted_source_is_never_told(message: dict[str, Any], policy: str, source: Any, campaign: Any) -> None:
    """Neither in the item nor beside it."""
    message = message | {
        "media_source": str(source),
        "campaign": str(campaign),
        "af_prt": str(campaign),
        "new": str(campaign),
    }
    rules = Rules(
        app="shop",
        platform="ios",
        restrictions={str(source): policy},
        rows=(MappingRow("new", "event_properties.new"),),
    )
    found = map_facts(facts_of(reading(message), rules, NOW_MS), rules)
    assert isinstance(found, Mapped)
    assert str(source) not in repr(found)
    assert str(campaign) not in repr(found)
