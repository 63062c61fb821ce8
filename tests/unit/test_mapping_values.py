"""What the values of an event mean in Amplitude: money, place, user properties, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.appsflyer.fields import KINDS, NAMES, Amount, Flag
from flybridge.appsflyer.postback import Postback, read
from flybridge.errors import ConfigError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.conditions import Condition
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import Mapped, map_facts
from flybridge.mapping.to_amplitude.revenue import RevenueIn
from flybridge.mapping.to_amplitude.rows import ROWS
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.mapping.to_amplitude.settings import MappingRow
from flybridge.records import Envelope, Filter, Media, Source

RECEIVED_MS = 1_764_000_000_000
GAID = "38400000-8cf0-11bd-b23e-10b96e400001"
PURCHASE = {
    "appsflyer_id": "1700000000000-1111111111111111111", "customer_user_id": "cust-000001", "platform": "android",
    "media_source": "googleadwords_int", "campaign": "winter", "conversion_type": "install", "campaign_type": "ua",
    "event_time": "2026-11-20 10:07:00.000", "install_time": "2026-11-19 10:00:00.000", "advertising_id": GAID,
    "event_name": "af_purchase",
}  # fmt: skip
INSTALL = PURCHASE | {"event_name": "install", "event_time": PURCHASE["install_time"]}


def outcome(message: dict[str, Any], **rules: Any) -> Any:
    postback = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    of_app = Rules(app="shop", platform="android", **rules)
    return map_facts(facts_of(postback, of_app, RECEIVED_MS), of_app)


def mapped(message: dict[str, Any], **rules: Any) -> Mapped:
    found = outcome(message, **rules)
    assert isinstance(found, Mapped)
    return found


def event(message: dict[str, Any], **rules: Any) -> dict[str, Any]:
    return json.loads(mapped(message, **rules).body)


def value(**pairs: Any) -> dict[str, Any]:
    return {"event_value": json.dumps(pairs, ensure_ascii=False)}


@pytest.mark.parametrize(
    ("message", "choice", "revenue"),
    [
        # A currency that is no code: the pair in US dollars stands in, never the bare number.
        ({"event_revenue": "150000", "event_revenue_currency": "đ", "event_revenue_usd": "6.1"}
         | value(af_revenue="150000", af_currency="₫"), "event", (6.1, "USD")),
        ({"event_revenue": "1000", "event_revenue_usd": "6.5"} | value(af_revenue="1000", af_currency="JPY"),
         "event", (1000, "JPY")),
        ({"event_revenue": "1000", "event_revenue_usd": "6.5"} | value(af_revenue="1000", af_currency="JPY"),
         "usd", (6.5, "USD")),
        (value(af_revenue="1,234.56", af_currency="USD"), "event", (1234.56, "USD")),
        (value(af_revenue=["9.99"], af_currency="usd"), "usd", (9.99, "USD")),
        (value(af_revenue="1,500", af_currency="JPY"), "event", (1500, "JPY")),
        (value(af_revenue="1,500", af_currency="EUR"), "event", (None, None)),
        (value(af_revenue="5"), "event", (None, None)),
        (value(af_revenue="9,99 €"), "event", (9.99, "EUR")),
        (value(af_revenue=["US$9"]), "usd", (9, "USD")),
        (value(af_revenue="$9"), "event", (None, None)),
        (value(af_revenue="$9", af_currency="EUR"), "event", (None, None)),
        (value(af_revenue="$9", af_currency="CAD"), "event", (9, "CAD")),
        (value(af_revenue="£9", af_currency="GBP"), "event", (9, "GBP")),
        ({"event_revenue": 7} | value(af_revenue="9,99 €"), "event", (None, None)),
        ({"event_revenue": 8, "event_revenue_currency": "JPY"}, "usd", (None, None)),
        ({"revenue_in_selected_currency": 8, "selected_currency": "GBP", "event_revenue_usd": 11},
         "selected", (8, "GBP")),
        ({"event_revenue": 8, "event_revenue_currency": "GBP", "selected_currency": "GBP"}, "selected", (8, "GBP")),
        ({"event_revenue": 8, "event_revenue_currency": "USD"}, "none", (None, None)),
    ],
)  # fmt: skip
def test_an_amount_and_its_currency_are_chosen_as_a_pair(message, choice, revenue):
    """By the app's choice; what can't be sent as chosen is left out and noted."""
    found = mapped(PURCHASE | message, revenue=RevenueIn(choice))
    sent = json.loads(found.body)
    assert (sent.get("revenue"), sent.get("currency")) == revenue
    assert revenue[0] is not None or choice == "none" or found.notes


MONEY = st.fixed_dictionaries(
    {},
    optional={
        "event_revenue": st.floats(-1e6, 1e6),
        "event_revenue_currency": st.sampled_from(["USD", "JPY", "₫", "x", "eur"]),
        "event_revenue_usd": st.floats(-1e6, 1e6), "revenue_in_selected_currency": st.floats(-1e6, 1e6),
        "selected_currency": st.sampled_from(["GBP", "pounds"]),
        "event_value": st.sampled_from(
            [{}, {"af_revenue": "9,99", "af_currency": "EUR"}, {"af_revenue": "1,234"}, {"af_currency": "KRW"}]
        ),
    },
)  # fmt: skip


@given(MONEY, st.sampled_from(["event", "usd", "selected", "none"]))
def test_no_amount_goes_without_its_currency(message, choice):
    """Amplitude adds amounts up as numbers: a bare one would be added to any currency."""
    sent = event(PURCHASE | message, revenue=RevenueIn(choice))
    assert ("revenue" in sent) == ("currency" in sent)
    assert choice != "usd" or sent.get("currency", "USD") == "USD"


PLACE = {"country_code": "US", "state": "CA", "city": "San Jose", "dma": "807"}
FOUR = ("country", "region", "city", "dma")


def place(message: dict[str, Any], **rules: Any) -> tuple[str, ...] | None:
    """Return the four fields of a place, None if none is sent."""
    sent = event(PURCHASE | message, **rules)
    found = tuple(sent[name] for name in FOUR if name in sent)
    assert len(found) in (0, 4)
    return found or None


@pytest.mark.parametrize("missing", ["country_code", "state", "city", None])
def test_a_place_is_sent_whole_or_not_at_all(missing):
    """In Amplitude each of the four fields resets the others."""
    found = place({name: text for name, text in PLACE.items() if name != missing})
    assert found == (None if missing else ("United States", "California", "San Jose", "807"))
    assert place(PLACE, location="amplitude") is None


def test_a_place_without_a_market_area_is_whole():
    """Most places outside the United States have none: the three others are as good without it."""
    berlin = {"country_code": "DE", "state": "BE", "city": "Berlin"}
    assert place(berlin) == place(berlin | {"dma": "N/A"}) == ("Germany", "BE", "Berlin", "")


@pytest.mark.parametrize(
    ("country", "state", "region"),
    [
        ("US", "CA", "California"), ("us", "ny", "New York"), ("US", "US-TX", "Texas"), ("US", "Utah", "Utah"),
        ("CA", "ON", "Ontario"), ("AU", "WA", "Western Australia"), ("US", "WA", "Washington"), ("US", "XX", "XX"),
        ("IN", "MN", "MN"), ("GB", "ENG", "ENG"), ("DE", "NW", "NW"),
    ],
)  # fmt: skip
def test_states_are_named_as_in_amplitudes_own_events(country, state, region):
    """By their country: the same letters are other states elsewhere. What is not known stays."""
    found = place({"country_code": country, "state": state, "city": "x"})
    assert found is not None
    assert found[1] == region


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        (["dma"], ("United States", "California", "San Jose", "")),
        (["city", "dma"], ("United States", "California", "", "")),
        (["state", "city", "dma"], ("United States", "", "", "")),
        (["country_code"], ("", "California", "San Jose", "807")),
        (["country_code", "state", "city", "dma"], None),
    ],
)
def test_a_place_is_as_exact_as_it_may_be(without, expected):
    """What is configured to stay out is empty, and the four stay together."""
    assert place(PLACE, without=tuple(without)) == expected


def test_a_row_of_the_configuration_fills_a_field_of_the_place():
    """The others are what AppsFlyer reports."""
    assert place(PLACE | {"af_sub1": "Home"}, rows=(MappingRow("af_sub1", "city"),)) == (
        "United States",
        "California",
        "Home",
        "807",
    )


FULL = PURCHASE | value(af_revenue="5", af_currency="EUR", af_content_id="p-1", af_quantity="2", note="n") | {
    name: "true" if kind == Flag else "7.5" if kind == Amount else f"value of {name}"
    for name, kind in KINDS.items()
    if name not in PURCHASE and not name.startswith(("skad_", "blocked_", "gdpr_", "event_", "is_", "att"))
} | {
    "event_revenue": "5", "event_revenue_currency": "EUR", "event_revenue_usd": "6", "selected_currency": "GBP",
    "revenue_in_selected_currency": "4", "android_id": "a9c8f44443e9ed93", "ip": "192.0.2.9",
    "android_app_set_id": "9ae2f9c1-8f0e-4a52-b55a-2d1f3b6c7d80", "idfa": "0E867D8D-2086-4AEA-9C25-7FB158AAAAAA",
    "idfv": "1E867D8D-2086-4AEA-9C25-7FB158AAAAAA", "amazon_aid": "3e867d8d-2086-4aea-9c25-7fb158aaaaaa",
    "device_type": "maker::Phone 7", "device_model": "brand::Phone 8", "attributed_touch_time": "2026-11-18 10:00:00",
    "is_retargeting": "false", "is_primary_attribution": "true", "is_receipt_validated": "true",
    "custom_data": '{"amplitude_session_id":"1795168800120","amplitude_device_id":"dev-0f2c7c3e-1"}',
    "event_type": None, "attribution_type": None, "appsflyer_device_id": None,
}  # fmt: skip
"""A message that fills every row."""
OWN_PROPERTIES = [f"event_properties.{key}" for key in json.loads(FULL["event_value"])]
FULL_INSTALL = FULL | {"event_name": "install", "event_time": PURCHASE["install_time"], "event_value": None}


def sent_of(message: dict[str, Any], **rules: Any) -> list[tuple[str, Any]]:
    """Return all that is sent of a message, by the path to it."""
    found = mapped(message, **rules)
    events = [json.loads(line) for line in found.sent.split(b"\n")]
    return [("user_id", found.user_id), *[pair for one in events for pair in flat(one)]]


def flat(value: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested objects."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from flat(inner, f"{path}{key}.")
        else:
            yield path + key, inner


@pytest.mark.parametrize("message", [FULL, FULL_INSTALL], ids=["event", "install"])
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.source in NAMES], ids=lambda row: f"{row.source}-{row.target}"
)
def test_every_row_is_obeyed(row, message):
    """What it names leaves in no place, and what other rows send stays."""
    before, after = sent_of(message), sent_of(message, without=(row.source,))
    missing = [path for path, value in before if (path, value) not in after]
    targets = {other.place[1] for other in ROWS if other.source == row.source}
    assert all(path.rpartition(".")[2].replace("initial ", "") in targets for path in missing)
    value = row.convert(message[row.source]) if message.get(row.source) is not None else None
    if value is not None and (row.target, value) in before:
        assert (row.target, value) not in after


@pytest.mark.parametrize(
    ("name", "rules", "gone"),
    [
        ("advertising_id", {}, {"adid"}), ("amazon_aid", {}, set()), ("android_id", {}, {"android_id"}),
        ("idfa", {}, {"idfa"}), ("idfv", {}, {"idfv"}), ("android_app_set_id", {}, {"android_app_set_id"}),
        ("custom_data", {}, {"session_id"}),
        ("event_revenue", {}, {"revenue", "currency", "productId", "quantity"}),
        ("event_revenue_usd", {"revenue": "usd"}, {"revenue", "currency", "productId", "quantity"}),
        ("selected_currency", {"revenue": "selected"}, {"revenue", "currency", "productId", "quantity"}),
        ("revenue_in_selected_currency", {"revenue": "selected"}, {"revenue", "currency", "productId", "quantity"}),
        ("event_value", {}, {"productId", "quantity", *OWN_PROPERTIES}),
    ],
)  # fmt: skip
def test_what_is_decided_from_a_field_is_left_out_with_it(name, rules, gone):
    """Identifiers, revenue and the event's value."""
    before, after = dict(sent_of(FULL, **rules)), dict(sent_of(FULL, without=(name,), **rules))
    assert before.keys() - after.keys() == gone
    assert after == {key: value for key, value in before.items() if key not in gone}


def test_people_are_matched_by_what_is_not_sent():
    """`without` is about what leaves."""
    assert mapped(PURCHASE, without=("advertising_id",)).ids[IdKind.ADID] == GAID
    assert mapped(FULL, without=("customer_user_id",)).user_id is None


def test_the_source_left_out_is_in_no_property():
    """Not in the derived ones either."""
    found = mapped(INSTALL, without=("media_source",))
    assert b"googleadwords_int" not in found.sent


@pytest.mark.parametrize(
    ("rules", "nearest"),
    [
        ({"without": ("compaign",)}, "campaign"),
        ({"without": ("advertisng_id",)}, "advertising_id"),
        ({"without": ("event_time",)}, "Remove"),
        ({"exclude": ("re-engagment",)}, "re-engagement"),
        ({"include": ("organic-instal",)}, "organic-install"),
        ({"rename": {"[AppsFlyer] Instal": "x"}}, "[AppsFlyer] Install"),
        ({"rows": (MappingRow("campain", "event_properties.c"),)}, "campaign"),
        ({"route": "attribution", "advertising_ids": "match-only"}, "send"),
        ({"without": ("Campaign",)}, "campaign"),
        ({"without": ("campaign ",)}, "campaign"),
        ({"without": ("",)}, "Write one of"),
        ({"rename": {"a": "[Amplitude] Start Session"}}, "another"),
        ({"rename": {"a": "$identify"}}, "another"),
        ({"rename": {"[AppsFlyer] Install": "$identify"}}, "another"),
        ({"rename": {"a": " b"}}, "without blanks"),
        ({"rename": {"a": "b\n"}}, "without blanks"),
        ({"rename": {"a": "b" * 1_025}}, "1024"),
        ({"device_id_key": ""}, "Write a key"),
        ({"user_id_key": "app..user"}, "Write a key"),
        ({"session_id_key": " "}, "Write a key"),
        ({"restrictions": {"default/impresion": "redact"}}, "impression"),
        ({"restrictions": {"default/view": "redact"}}, "impression"),
        ({"restrictions": {"partner_int/Impresion": "drop"}}, "impression"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(rules, nearest):
    """It would do nothing, and nobody would notice."""
    with pytest.raises(ConfigError) as refused:
        Rules(app="shop", platform="android", **rules)
    assert nearest in refused.value.remedy


def test_names_of_an_apps_own_are_not_taken_for_misspelt_ones():
    """An event may be called almost as one of AppsFlyer's."""
    Rules(
        app="shop",
        platform="android",
        restrictions={"own/network": "drop", "a / Impression": "redact", "default/TV": "redact"},
        rename={"a": "b", "c": "b", "a*": "d"},
        exclude=("installs", "af_*"),
        rows=(MappingRow("new_field", "event_properties.n"),),
    )


def test_advertising_ids_may_be_matched_by_and_never_sent():
    """Amplitude gets neither, and the person is found all the same."""
    found = mapped(PURCHASE, advertising_ids="match-only")
    assert GAID.encode() not in found.sent
    assert found.ids[IdKind.ADID] == GAID


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (Condition(path="media_source", equals="googleadwords_int"), True),
        (Condition(path="country_code", one_of=("DE", "FR")), False),
        (Condition(path="event_value.plan", equals="pro"), True),
        (Condition(path="event_value.price", gt=10), False),
        (Condition(path="campaign", contains="summer"), False),
    ],
)
def test_a_postback_may_have_to_meet_conditions(condition, passes):
    """On any field of AppsFlyer, or key of the event's value."""
    found = outcome(PURCHASE | value(plan="pro", price=9), where=(condition,))
    assert isinstance(found, Mapped) is passes
    assert passes or found == Filter("condition_not_met")


def test_uninstalls_are_sent_if_asked_for():
    """As an event and as a user property, which the next conversion removes."""
    message = PURCHASE | {"event_name": "uninstall", "conversion_type": "uninstall"}
    assert outcome(message) == Filter("uninstall")
    found = mapped(message, uninstalls="send")
    assert found.event_type == "[AppsFlyer] Uninstall"
    user = json.loads(found.identify)["user_properties"]
    assert user["$set"] == {"[AppsFlyer] uninstalled at": "2026-11-20T10:07:00"}
    assert "[AppsFlyer] uninstalled at" in json.loads(mapped(INSTALL).identify)["user_properties"]["$unset"]


@pytest.mark.parametrize(
    "held",
    [
        {"event_name": "skad_test"}, {"event_value": '{"skad_level":"3"}'}, {"event_value": {"skad_level": 3}},
        {"custom_data": '{"skad_x":"3"}'}, {"campaign": '"skad_'}, {"skad_version": None, "skad_mode": None},
        {"skad_version": "", "skad_mode": "null"},
    ],
)  # fmt: skip
def test_an_apps_own_event_may_hold_the_same_text(held):
    """Only a field of the message itself that is not empty makes it one of SKAdNetwork."""
    assert mapped(PURCHASE | held).event_type == (held.get("event_name") or "af_purchase")


@pytest.mark.parametrize(
    "field", ["skad_source_identifier", "skad_campaign_id", "skad_version", "skad_coarse_conversion_value", "skad_new"]
)
def test_skadnetwork_is_recognised_by_any_of_its_fields(field):
    """Versions 3, 4 and later. There is no person in it, so that nothing is sent."""
    message = {
        "event_name": "install",
        "media_source": "snapchat_int",
        "campaign": "c1",
        "platform": "ios",
        field: "5239",
    }
    body = json.dumps(message | {"event_time": "2026-11-20 10:00:00"}).encode()
    envelope = Envelope("shop", Source.PUSH, Media.JSON, RECEIVED_MS, body, "1")
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="ios"))}, Keyring(b"k" * 32))
    filing = flow.filing(envelope)
    assert filing.decision == Filter("skadnetwork")


# User properties, folded as Amplitude documents it


def fold(user: dict[str, Any], found: Mapped) -> None:
    """Apply an item to a user's properties: https://amplitude.com/docs/apis/analytics/identify."""
    for line in found.sent.split(b"\n"):
        sent = json.loads(line)
        given = sent.get("user_properties", {})
        if sent["event_type"] != "$identify":
            user |= given
            continue
        assert set(given) <= {"$set", "$setOnce", "$unset"}
        user |= given.get("$set", {})
        user |= {name: text for name, text in given.get("$setOnce", {}).items() if name not in user}
        for name in given.get("$unset", {}):
            user.pop(name, None)


REMERGE = {"event_name": "re-engagement", "conversion_type": "re-engagement", "campaign_type": "retargeting",
           "media_source": "remerge_int", "campaign": None, "event_time": "2026-11-25 10:00:00.000"}  # fmt: skip
ORGANIC = {"event_name": "reinstall", "conversion_type": "reinstall", "campaign_type": "organic",
           "media_source": "organic", "campaign": None, "install_time": "2026-11-23 10:00:00.000"}  # fmt: skip


def test_no_source_stands_beside_the_campaign_of_another():
    """Install, organic reinstall, re-engagement without a campaign: the first touch stays, the last is whole."""
    user: dict[str, Any] = {}
    for message in (INSTALL, INSTALL | ORGANIC, INSTALL | REMERGE):
        fold(user, mapped({name: text for name, text in message.items() if text is not None}))
    assert user["[AppsFlyer] media source"] == "remerge_int"
    assert "[AppsFlyer] campaign" not in user
    assert user["[AppsFlyer] initial media source"] == "googleadwords_int"
    assert user["[AppsFlyer] initial campaign"] == "winter"


CONVERSION = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([{}, ORGANIC, REMERGE]),
        "source": st.sampled_from(["a_int", "b_int", "restricted"]),
        "with": st.sets(st.sampled_from(["campaign", "af_adset", "af_ad", "af_channel", "af_sub1"])),
    }
)


@given(st.lists(CONVERSION, min_size=1, max_size=6))
def test_after_any_conversions_all_of_the_attribution_is_of_the_last(conversions):
    """And all of the first touch of the first install: every value names the source it came from."""
    user: dict[str, Any] = {}
    installs = []
    for number, one in enumerate(conversions):
        source = one["source"]
        told = {name: f"{name} of {source} {number}" for name in one["with"]}
        message = {**INSTALL, **one["kind"], "media_source": source} | {"campaign": None} | told
        if one["kind"] is ORGANIC:
            message |= {"media_source": None} | dict.fromkeys(told)
        found = mapped({name: text for name, text in message.items() if text is not None})
        fold(user, found)
        if not one["kind"]:
            installs.append((number, source))
    last = len(conversions) - 1
    current = [text for name, text in user.items() if " of " in str(text) and "initial" not in name]
    assert all(text.endswith(f" {last}") for text in current)
    first = [text for name, text in user.items() if " of " in str(text) and "initial" in name]
    assert all(text.endswith(f" {installs[0][0]}") for text in first)
    assert not installs or user["[AppsFlyer] initial media source"] == installs[0][1]
