"""What the mapping remembers of earlier messages, to be quick, never shows in a later one."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from flybridge.amplitude.event import with_identity
from flybridge.appsflyer.fields import NAMES, Postback
from flybridge.appsflyer.postback import read
from flybridge.mapping.to_amplitude.classify import classify
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import map_facts
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.mapping.to_amplitude.settings import MappingRow
from flybridge.records import Media, content_key

NOW_MS = 1_790_000_000_000
RULES = (
    Rules(app="shop", platform="android"),
    Rules(app="shop", platform="android", app_id="com.example.shop"),
    Rules(app="shop", platform="ios", route="attribution"),
    Rules(
        app="shop",
        platform="ios",
        rows=(MappingRow("new", "event_properties.new"), MappingRow("af_sub1", "event_properties.sub")),
        restrictions={"restricted": "redact", "a": "organic", "b": "drop", "c/impression": "redact"},
        exclude=("login", "re-eng*"),
        device_id_key="device",
    ),
)

KEYS = st.sampled_from(["device", "Device", "amplitude_device_id", "GAID", "sub", "[AppsFlyer] campaign", "x", "y"])
# Few values each, so that combinations come back with one field changed.
DECIDING = st.fixed_dictionaries(
    {"event_name": st.sampled_from(["install", "re-engagement", "login", "$identify"])},
    optional={
        "event_type": st.sampled_from(["install", "in-app-event"]),
        "conversion_type": st.sampled_from(["install", "reinstall", "re-engagement"]),
        "retargeting_conversion_type": st.sampled_from(["re-engagement", "re-attribution"]),
        "campaign_type": st.sampled_from(["ua", "organic", "retargeting"]),
        "is_retargeting": st.booleans(),
        "is_organic": st.booleans(),
        "media_source": st.sampled_from(["a", "b", "c", "restricted", "Organic"]),
        "attribution_type": st.sampled_from(["organic", "regular"]),
        "attributed_touch_type": st.sampled_from(["click", "impression"]),
        "platform": st.sampled_from(["android", "iOS", "web"]),
        "app_id": st.sampled_from(["com.example.shop", "com.example.other"]),
        "att": st.sampled_from(["authorized", "denied"]),
        "is_lat": st.booleans(),
        "gdpr_applies": st.booleans(),
        "ad_user_data_enabled": st.booleans(),
        "ad_personalization_enabled": st.booleans(),
        "campaign": st.sampled_from(["Spring", "Autumn"]),
        "blocked_reason": st.just("bots"),
        "skad_version": st.just("4.0"),
        "skad_campaign_id": st.just("7"),
        "skad_transaction_id": st.sampled_from(["1", "2"]),
        "advertising_id": st.just("5d7c8208-8e71-4017-a55b-a62afa17c0fd"),
        "idfa": st.just("5D7C8208-8E71-4017-A55B-A62AFA17C0FD"),
        "event_value": st.dictionaries(KEYS, st.sampled_from(["1", "abcdefgh"]), max_size=4),
    },
)


@settings(max_examples=600, deadline=None)
@given(message=DECIDING, rules=st.sampled_from(RULES))
def test_a_message_is_mapped_as_if_it_were_the_first(message: dict[str, Any], rules: Rules) -> None:
    """Rules that have seen other messages, and rules that have seen none, give the same."""
    postback = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    again = replace(rules)
    assert map_facts(facts_of(postback, rules, NOW_MS), rules) == map_facts(facts_of(postback, again, NOW_MS), again)


class Watched:
    """A postback that notes which of its fields are read."""

    def __init__(self, postback: Postback) -> None:
        self.postback = postback
        self.seen: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.seen.add(name)
        return getattr(self.postback, name)


@settings(max_examples=200, deadline=None)
@given(message=DECIDING, rules=st.sampled_from(RULES))
def test_nothing_decides_that_is_not_remembered(message: dict[str, Any], rules: Rules) -> None:
    """To find a decision again, all fields are compared that were read to make it."""
    postback = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    compiled = replace(rules).compiled
    first, second = Watched(postback), Watched(postback)
    assert classify(first, rules, compiled) is classify(second, rules, compiled)  # type: ignore[arg-type]
    assert first.seen == second.seen


@settings(max_examples=200, deadline=None)
@given(
    field=st.sampled_from([name for name in NAMES if name not in ("event_value", "custom_data")]),
    word=st.sampled_from(["null", "N/A"]),
    around=st.sampled_from(["%s", "N%s", "%sN"]),
    blank=st.sampled_from(["", " ", "\n"]),
)
def test_a_word_for_nothing_is_found_in_every_field(field: str, word: str, around: str, blank: str) -> None:
    """In whatever message, and however it is spaced; a longer word is none of them."""
    said = around % word
    body = f'{{"city":{blank}"Nice","af_sub1":{blank}"N",{blank}"{field}":{blank}"{said}"}}'.encode()
    postback = read(body, Media.JSON)
    assert isinstance(postback, Postback)
    if said == word:
        assert getattr(postback, field) is None


@given(parts=st.lists(st.binary(max_size=300), max_size=4))
def test_a_content_key_is_the_hash_of_the_parts_with_their_lengths(parts: list[bytes]) -> None:
    """Keys are stored: what they are made of may never change."""
    whole = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert content_key(*parts) == blake2b(whole, digest_size=16).digest()


@given(
    event=st.dictionaries(st.sampled_from(["time", "é", ""]), st.integers(0, 9)),
    ids=st.tuples(st.none() | st.text(), st.none() | st.text()),
    indent=st.sampled_from([None, 0, 2]),
)
def test_ids_are_put_into_an_object_however_it_is_written(
    event: dict[str, int], ids: tuple[str | None, str | None], indent: int | None
) -> None:
    """As its first keys, and nothing else changes."""
    body = json.dumps(event, indent=indent, ensure_ascii=False).encode()
    given_ids = {name: value for name, value in zip(("user_id", "device_id"), ids, strict=True) if value is not None}
    assert list(json.loads(with_identity(body, *ids)).items()) == [*given_ids.items(), *event.items()]
