"""From a postback to an Amplitude item: names, identity, revenue, restrictions, consent, content identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote

import pytest

from flybridge.appsflyer.postback import Kind, Postback, read
from flybridge.errors import ConfigError
from flybridge.identity import IdKind
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import Mapped, Rules, map_facts
from flybridge.mapping.to_amplitude.settings import MappingRow
from flybridge.records import Dead, Filter, Media, Refuse

NOW_MS = 1_790_000_000_000
GAID = "1738f7d9-3d9c-4724-91e2-0b8f6b0d549b"
IDFA = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
IDFV = "A894C35F-75A3-48BA-9197-04151F8A5A12"

INSTALL: dict[str, Any] = {
    "event_name": "install",
    "conversion_type": "install",
    "campaign_type": "ua",
    "media_source": "partner_int",
    "campaign": "Spring",
    "af_sub1": "secret-campaign-detail",
    "appsflyer_id": "1769860811311-4118287541818",
    "install_time": "2026-01-31 12:00:11.311",
    "event_time": "2026-01-31 12:00:11.311",
    "platform": "android",
    "advertising_id": GAID,
}
EVENT = INSTALL | {"event_name": "af_purchase", "event_time": "2026-02-01 09:30:00.500"}
IOS = {"platform": "ios", "advertising_id": None, "idfa": IDFA, "idfv": IDFV}


def rules(**given: Any) -> Rules:
    return Rules(**{"app": "shop", "platform": "android", **given})


def outcome(message: dict[str, Any], **given: Any) -> Any:
    postback = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    return map_facts(facts_of(postback, rules(**given), NOW_MS), rules(**given))


def mapped(message: dict[str, Any], **given: Any) -> Mapped:
    found = outcome(message, **given)
    assert isinstance(found, Mapped), found
    return found


def item(message: dict[str, Any], **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mapped(message, **given).body)
    return found


# Event types and filters


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "[AppsFlyer] Install"),
        ({"campaign_type": "organic"}, "[AppsFlyer] Install"),
        ({"event_name": "reinstall", "conversion_type": "reinstall"}, "[AppsFlyer] Reinstall"),
        (
            {"event_name": "re-engagement", "conversion_type": "re-engagement", "campaign_type": "retargeting"},
            "[AppsFlyer] Re-engagement",
        ),
        (
            {"event_name": "re-attribution", "conversion_type": "reinstall", "campaign_type": "retargeting"},
            "[AppsFlyer] Re-attribution",
        ),
    ],
)
def test_conversions_have_the_names_of_the_native_integration(change: dict[str, str], expected: str) -> None:
    """Charts built on the native integration go on working."""
    found = mapped(INSTALL | change)
    assert found.event_type == json.loads(found.body)["event_type"] == expected


def test_in_app_events_keep_their_name_unless_renamed() -> None:
    """Renaming is by AppsFlyer's name; the prefix is only for conversions."""
    assert item(EVENT)["event_type"] == "af_purchase"
    assert item(EVENT, rename={"af_purchase": "Purchase"})["event_type"] == "Purchase"
    assert item(INSTALL, rename={"[AppsFlyer] Install": "Installed"})["event_type"] == "Installed"


@pytest.mark.parametrize("name", ["$identify", "$groupidentify", "[Amplitude] Revenue"])
def test_an_app_event_never_passes_for_one_of_amplitudes_own(name: str) -> None:
    """An event called $identify would change user properties."""
    assert item(EVENT | {"event_name": name})["event_type"] == f"[AppsFlyer] {name}"


def test_include_and_exclude_choose_in_app_events() -> None:
    """Globs and names; conversions are not touched by include."""
    assert isinstance(outcome(EVENT, include=("af_*",)), Mapped)
    assert outcome(EVENT, include=("level_*",)) == Filter("event_excluded")
    assert outcome(EVENT, exclude=("af_purchase",)) == Filter("event_excluded")
    assert isinstance(outcome(INSTALL, include=("level_*",)), Mapped)
    assert outcome(INSTALL | {"campaign_type": "organic"}, exclude=("organic-*",)) == Filter("event_excluded")


def test_what_is_no_event_for_amplitude_is_filtered() -> None:
    """Uninstalls, SKAdNetwork and fraud have their own reasons."""
    assert outcome(INSTALL | {"event_name": "uninstall"}) == Filter("uninstall")
    assert outcome({"event_name": "x", "skad_transaction_id": "1"}) == Filter("skadnetwork")
    assert outcome(INSTALL | {"blocked_reason": "bots"}) == Filter("blocked_as_fraud")


def test_a_message_without_any_event_is_dead() -> None:
    """A person is told which fields to select in AppsFlyer."""
    found = outcome({"media_source": "x"})
    assert isinstance(found, Dead)
    assert (found.stage, found.reason) == ("map", "no_event_name")
    assert "event_name" in found.remedy


NESTED = {"amplitude": {"ids": {"device_id": "device-1"}, "User.Id": "user-1"}, "Session": '{"id": 1769860000}'}


@pytest.mark.parametrize("place", ["custom_data", "event_value"])
@pytest.mark.parametrize("form", [lambda value: value, json.dumps, lambda value: json.dumps(json.dumps(value))])
def test_ids_are_found_along_a_path(place: str, form: Callable[[Any], Any]) -> None:
    """The dots of a key lead into objects, and into JSON in text; letters match in either case."""
    keys = {
        "device_id_key": "Amplitude.ids.device_id",
        "user_id_key": "amplitude.user.id",
        "session_id_key": "session.id",
    }
    found = mapped(EVENT | {"event_value": None, "custom_data": None, place: form(NESTED)}, **keys)
    assert (found.user_id, found.device_id) == ("user-1", "device-1")
    assert json.loads(found.body)["session_id"] == 1_769_860_000_000


def test_a_key_with_dots_may_be_the_whole_key() -> None:
    """The exact key wins over the path."""
    data = {"a.b": "device-1", "a": {"b": "device-2"}}
    assert mapped(INSTALL | {"custom_data": data}, device_id_key="a.b").device_id == "device-1"


def test_of_two_spellings_the_exact_one_wins_in_every_order_of_messages() -> None:
    """What was seen in earlier messages changes nothing."""
    compiled = rules()
    spellings = [{"x": 1}, {"Amplitude_Device_Id": "device-2"}, {"amplitude_device_id": "device-1"}]
    both = {"Amplitude_Device_Id": "device-2", "amplitude_device_id": "device-1"}
    for data in (*spellings, both, *spellings):
        postback = read(json.dumps(INSTALL | {"custom_data": data}).encode(), Media.JSON)
        assert isinstance(postback, Postback)
        found = map_facts(facts_of(postback, compiled, NOW_MS), compiled)
        assert isinstance(found, Mapped)
        assert found.device_id == data.get("amplitude_device_id", data.get("Amplitude_Device_Id"))


@pytest.mark.parametrize(
    "data", ['{"plan":"pro"}', {"amplitude_device_id": ""}, "plan=pro", "pro", '["a"]', '{"broken']
)
def test_custom_data_without_an_id_is_noted(data: Any) -> None:
    """The note names the keys that were looked for."""
    found = mapped(INSTALL | {"custom_data": data})
    assert found.device_id is None
    assert any("no id under 'amplitude_device_id' or 'amplitude_user_id'" in note for note in found.notes)


VALUE = {"af_revenue": "5", "af_currency": "USD", "label": "x"}


@pytest.mark.parametrize(
    "value",
    [
        VALUE,
        json.dumps(VALUE),
        f"  {json.dumps(VALUE)}\n",
        json.dumps(json.dumps(VALUE)),
        json.dumps(" " + json.dumps(VALUE)),
        json.dumps(json.dumps(json.dumps(VALUE))),
        json.dumps(VALUE)[:-1] + ', "cut": "\\ud83d", "none": NaN}',
    ],
)
def test_an_event_value_is_read_however_it_is_encoded(value: Any) -> None:
    """Blanks around it, JSON encoded again, and broken text in it cost neither properties nor revenue."""
    event = json.loads(mapped(EVENT | {"event_value": value, "event_revenue": None}).body)
    assert event["event_properties"]["label"] == "x"
    assert (event["revenue"], event["currency"]) == (5, "USD")


@pytest.mark.parametrize("value", ['{"af_revenue": "5"', "[1, 2", '"{\\"a\\": 1"', "{'a': 'it's'}", "{a=1, b=2}"])
def test_an_event_value_that_can_not_be_read_is_noted_and_stays_text(value: str) -> None:
    """It is a property as it came."""
    found = mapped(EVENT | {"event_value": value})
    assert json.loads(found.body)["event_properties"]["event_value"] == value
    assert any("event_value looks like JSON" in note for note in found.notes)


@pytest.mark.parametrize("value", ["plain text", "5", '"quoted" text', "a {b}"])
def test_an_event_value_that_is_no_json_is_a_property(value: str) -> None:
    """Nothing is wrong with it."""
    found = mapped(EVENT | {"event_value": value})
    assert json.loads(found.body)["event_properties"]["event_value"] == value
    assert not any("event_value" in note for note in found.notes)


# The app


@pytest.mark.parametrize(
    ("configured", "platform", "change"),
    [
        ("com.example.shop", "android", {"app_id": "com.example.shop"}),
        ("com.example.shop", "android", {"app_id": " com.example.shop "}),
        ("com.example.shop", "android", {"app_id": None, "platform": None}),
        ("com.example.shop", "android", {"bundle_id": "com.example.shop"}),
        ("com.example.shop-amazon", "android", {"bundle_id": "com.example.shop", "platform": "amazon"}),
        ("com.example.shop", "other", {"bundle_id": "com.other.app", "platform": "windows"}),
        ("id499000111", "ios", IOS | {"bundle_id": "com.other.app"}),
        ("com.example.shop", "android", {"platform": "amazon"}),
        ("id499000111", "ios", IOS | {"app_id": "id499000111"}),
        ("id499000111", "ios", IOS | {"app_id": "499000111"}),
        ("id499000111", "ios", IOS | {"app_id": "N/A"}),
        ("id499000111", "other", {"app_id": "id499000111"}),
        ("com.example.shop", "other", IOS),
    ],
)
def test_a_message_of_the_app_is_mapped(configured: str, platform: str, change: dict[str, Any]) -> None:
    """AppsFlyer writes iOS ids with and without `id`; what the message does not say is not held against it."""
    assert isinstance(outcome(INSTALL | change, app_id=configured, platform=platform), Mapped)


@pytest.mark.parametrize("event", [INSTALL, EVENT, INSTALL | {"event_name": "uninstall"}])
@pytest.mark.parametrize("route", ["http_v2", "attribution"])
@pytest.mark.parametrize(
    ("app", "change", "named"),
    [
        (("com.example.shop", "android"), {"app_id": "com.other.company.app"}, "com.other.company.app"),
        (("com.example.shop", "android"), {"app_id": "com.example.shop.debug"}, "com.example.shop.debug"),
        (("com.example.shop", "android"), {"bundle_id": "com.other.app"}, "com.other.app"),
        (("com.example.shop-amazon", "android"), {"bundle_id": "com.example.shop2"}, "com.example.shop2"),
        (("com.example.shop", "other"), {"app_id": "com.other.company.app"}, "app_id"),
        (("id499000111", "ios"), IOS | {"app_id": "id499000112"}, "id499000112"),
        (("idle.game", "android"), {"app_id": "le.game"}, "le.game"),
        (("com.example.shop", "android"), IOS, "platform"),
        (("id499000111", "ios"), {"app_id": "id499000111", "platform": "Android"}, "platform"),
    ],
)
def test_a_message_of_another_app_is_a_dead_letter(
    event: dict[str, Any], route: str, app: tuple[str, str], change: dict[str, Any], named: str
) -> None:
    """Its events must not get into this app's project; it can be replayed when the configuration was wrong."""
    found = outcome(event | change, app_id=app[0], platform=app[1], route=route)
    assert isinstance(found, Dead)
    assert (found.stage, found.reason) == ("map", "other_app")
    assert named in found.detail
    assert "appsflyer_app_id" in found.remedy


# Time


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 1_769_938_200_500),
        ({"event_time": None, "event_time_selected_timezone": "2026-02-01 10:30:00.500+0100"}, 1_769_938_200_500),
        ({"event_time": "nonsense", "event_time_selected_timezone": "2026-02-01 10:30:00.500+0100"}, 1_769_938_200_500),
        ({"event_time": "2026/02/01 09:30:00.500"}, 1_769_938_200_500),
        (
            {
                "event_time": None,
                "event_time_selected_timezone": "2026-02-01 10:30:00.500",
                "selected_timezone": "Europe/Berlin",
            },
            1_769_938_200_500,
        ),
        ({"event_time": None}, NOW_MS),
        ({"event_time": "yesterday"}, NOW_MS),
        ({"event_time": "2026-02-31 00:00:00", "install_time": None}, NOW_MS),
        ({"event_time": None, "event_name": "install", "event_value": None}, 1_769_860_811_311),
        ({"event_time": None, "event_name": "re-engagement", "conversion_type": "re-engagement"}, NOW_MS),
        ({"event_time": None, "event_name": "install", "event_value": None, "install_time": "?"}, NOW_MS),
    ],
)
def test_the_time_is_the_events_then_the_receptions_and_only_installs_happen_at_the_install(
    change: dict[str, Any], expected: int
) -> None:
    """A message without a time is not lost, and what is dated to its reception says so."""
    found = mapped(EVENT | change)
    assert found.event_ms == json.loads(found.body)["time"] == expected
    assert any("reception" in note for note in found.notes) == (expected == NOW_MS)


# Identity


def test_without_identity_both_ids_are_none() -> None:
    """Nobody is made up: the caller holds the item."""
    found = mapped(INSTALL)
    assert (found.user_id, found.device_id) == (None, None)
    assert found.ids == {IdKind.ADID: GAID, IdKind.APPSFLYER_ID: INSTALL["appsflyer_id"]}


@pytest.mark.parametrize(
    "custom_data",
    [
        '{"amplitude_device_id": "device-1", "amplitude_user_id": "user-1", "amplitude_session_id": 1769860000000}',
        {"amplitude_device_id": "device-1", "amplitude_user_id": "user-1", "amplitude_session_id": "1769860000000"},
        "amplitude_device_id=device-1&amplitude_user_id=user-1&amplitude_session_id=1769860000000",
        ' \n{"amplitude_device_id": "device-1", "amplitude_user_id": "user-1", "amplitude_session_id": 1769860000000} ',
        json.dumps('{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":1769860000}'),
        json.dumps(
            json.dumps(
                '{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":"1769860000"}'
            )
        ),
        {"AMPLITUDE_DEVICE_ID": "device-1", "Amplitude_User_Id": "user-1", "amplitude_Session_id": 1769860000000.0},
        '{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":1769860000,"n":NaN}',
        '{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":1769860000,"n":"\\ud83d"}',
        " amplitude_device_id=device-1&Amplitude_User_ID=user-1&amplitude_session_id=1769860000",
        {" amplitude_device_id": "device-1", "amplitude_user_id ": "user-1", "amplitude_session_id": 1769860000000000},
        [{"amplitude_device_id": "device-1", "amplitude_user_id": "user-1", "amplitude_session_id": "1769860000.0"}],
        '\ufeff{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":1769860000}',
        quote('{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":"1769860000"}'),
        quote(
            json.dumps(
                '{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":"1769860000"}'
            )
        ),
        quote("amplitude_device_id=device-1&amplitude_user_id=user-1&amplitude_session_id=1769860000"),
        escape('{"amplitude_device_id":"device-1","amplitude_user_id":"user-1","amplitude_session_id":1769860000}'),
    ],
)
def test_the_apps_own_amplitude_ids_are_found_in_custom_data(custom_data: Any) -> None:
    """JSON in text, an object, or a query string."""
    found = mapped(INSTALL | {"custom_data": custom_data, "customer_user_id": "customer-1"})
    assert (found.user_id, found.device_id) == ("user-1", "device-1")
    assert json.loads(found.body)["session_id"] == 1_769_860_000_000


def test_ids_in_the_event_value_are_used_and_are_no_properties() -> None:
    """They are taken out of the event's properties."""
    value = json.dumps({"amplitude_device_id": "device-1", "amplitude_session_id": 1769860000000, "price": 3})
    found = mapped(EVENT | {"event_value": value})
    properties = json.loads(found.body)["event_properties"]
    assert found.device_id == "device-1"
    assert properties["price"] == 3
    assert not [key for key in properties if key.startswith("amplitude_")]


def test_other_key_names_can_be_configured() -> None:
    """The default keys then mean nothing."""
    data = {"did": "device-1", "amplitude_device_id": "device-2"}
    assert mapped(INSTALL | {"custom_data": data}, device_id_key="did").device_id == "device-1"


def test_the_customer_user_id_is_the_user_id_unless_configured_otherwise() -> None:
    """`never`: it is neither sent nor matched by. `when-seen`: it is matched by, and not sent before it was seen."""
    message = INSTALL | {"customer_user_id": "customer-1"}
    on, off = mapped(message), mapped(message, customer_user_id="never")
    seen = mapped(message, customer_user_id="when-seen")
    assert (seen.user_id, seen.ids[IdKind.CUSTOMER_USER_ID]) == (None, "customer-1")
    assert (on.user_id, on.ids[IdKind.CUSTOMER_USER_ID]) == ("customer-1", "customer-1")
    assert off.user_id is None
    assert IdKind.CUSTOMER_USER_ID not in off.ids
    assert b"customer-1" not in off.body


@pytest.mark.parametrize("bad", ["abc", "null", "00000000-0000-0000-0000-000000000000", "-1", True, ["x"]])
def test_ids_that_amplitude_would_refuse_are_left_out_and_noted(bad: Any) -> None:
    """The event goes on without them."""
    found = mapped(INSTALL | {"custom_data": {"amplitude_device_id": bad}})
    assert found.device_id is None
    assert any("device id" in note for note in found.notes)


def test_short_ids_pass_where_the_minimum_is_shorter() -> None:
    """The app's own minimum counts."""
    assert mapped(INSTALL | {"customer_user_id": "ab1"}).user_id is None
    assert mapped(INSTALL | {"customer_user_id": "ab1"}, min_id_length=3).user_id == "ab1"


def test_device_identifiers_are_in_their_own_fields_and_nowhere_else() -> None:
    """Not by key, not within a text, not in another case, not from a sub parameter."""
    value = {"IDFA": IDFA, "gaid": "x", "url": f"https://x/?a={GAID.upper()}", "deep": {"list": [GAID]}, "ok": 1}
    found = item(EVENT | {"event_value": value})
    assert found["adid"] == GAID
    assert set(found["event_properties"]) & {"IDFA", "gaid", "url", "deep"} == set()
    assert found["event_properties"]["ok"] == 1
    assert json.dumps(item(INSTALL | {"af_sub1": f"click-{GAID}"})).count(GAID) == 1


TEXTS = (
    "carrier", "operator", "app_version", "os_version", "device_brand", "device_model", "device_type", "ip",
    "city", "state", "country_code", "dma", "campaign", "media_source", "af_sub1", "af_channel", "af_siteid", "custom",
)  # fmt: skip


@pytest.mark.parametrize("sent", ["send", "match-only"])
@pytest.mark.parametrize("message", [INSTALL, EVENT, EVENT | IOS, EVENT | {"android_id": "9774d56d682e549c"}])
@pytest.mark.parametrize("source", TEXTS)
def test_no_text_that_is_sent_repeats_a_device_identifier(source: str, message: dict[str, Any], sent: str) -> None:
    """Not the event's own fields, nor properties, by whatever row; other fields keep what they say."""
    place = {"country_code": "DE", "state": "HH", "city": "Hamburg", "dma": ""}
    for name in ("advertising_id", "idfa", "idfv", "android_id"):
        if (device := message.get(name)) is None:
            continue
        found = mapped(
            message | place | {source: f"x-{device.swapcase()}", "language": "de-DE"},
            platform=message["platform"],
            advertising_ids=sent,
            rows=(MappingRow("custom", "event_properties.custom"),),
        )
        written = (found.identify + found.body).decode().lower()
        is_sent = sent == "send" or name in ("idfv", "android_id")
        assert written.count(device.lower()) == is_sent
        event = json.loads(found.body)
        assert event["language"] == "de-DE"
        # In Amplitude one of the four resets the others.
        assert ("city" in event) == ("region" in event) == ("country" in event) == ("dma" in event)
        assert ("city" in event) == (source not in place)


@pytest.mark.parametrize(
    "spell",
    [
        lambda uuid: uuid.replace("-", ""),
        lambda uuid: uuid.replace("-", "_").upper(),
        lambda uuid: f"x%7B{uuid.replace('-', '%2D')}%7D",
        lambda uuid: f"{{{uuid}}}",
        lambda uuid: uuid.replace("-", " "),
    ],
)
@pytest.mark.parametrize("source", ["carrier", "campaign", "af_sub1", "event_value", "event_name"])
@pytest.mark.parametrize("own", [GAID, GAID.replace("-", "")])
def test_an_identifier_is_found_in_another_spelling(own: str, source: str, spell: Callable[[str], str]) -> None:
    """Without dashes or with others, percent-encoded, in other letters. The last digits alone are none."""
    message = (INSTALL if source == "af_sub1" else EVENT) | {"advertising_id": own}
    found = mapped(message | {source: spell(GAID)})
    written = (found.identify + found.body).decode().lower()
    assert written.count(GAID[-12:]) == 1
    assert any("device identifier" in note for note in found.notes)
    if source == "event_name":
        assert "[id]" in found.event_type
    assert GAID[-12:] in json.dumps(item(message | {"carrier": f"x {GAID[-12:]}"})["carrier"])


@pytest.mark.parametrize("name", ["level_{}", "{}", "a{}b{}"])
def test_an_event_is_sent_by_its_name_without_the_device_identifier_in_it(name: str) -> None:
    """The event counts all the same, and beside it stands what was done."""
    found = mapped(EVENT | {"event_name": name.replace("{}", GAID.upper())})
    assert found.event_type == json.loads(found.body)["event_type"] == name.replace("{}", "[id]")
    assert found.body.lower().count(GAID.encode()) == 1
    assert "The event's name contains a device identifier, in whose place [id] is sent." in found.notes
    other = mapped(EVENT | {"event_name": name.replace("{}", IDFA)})
    assert other.event_type == name.replace("{}", IDFA)
    assert other.key != found.key


def test_a_product_that_is_named_by_a_device_identifier_is_left_out() -> None:
    """The field that revenue brings, as well as the property that it is read from."""
    value = {"af_content_id": GAID, "af_price": 2, "af_currency": "EUR"}
    found = mapped(EVENT | {"event_value": value, "event_revenue": 2, "event_revenue_currency": "EUR"})
    event = json.loads(found.body)
    assert event["revenue"] == 2
    assert "productId" not in event
    assert found.body.count(GAID.encode()) == 1


def test_identifiers_keep_their_case() -> None:
    """Amplitude's matching is case sensitive."""
    found = item(INSTALL | IOS | {"att": "authorized"}, platform="ios")
    assert (found["idfa"], found["idfv"]) == (IDFA, IDFV)


def test_zero_ids_are_no_ids() -> None:
    """Limit ad tracking sends zeros."""
    found = mapped(INSTALL | {"advertising_id": "00000000-0000-0000-0000-000000000000"})
    assert "adid" not in json.loads(found.body)
    assert IdKind.ADID not in found.ids


# Revenue


def test_absent_revenue_is_not_zero_and_zero_is_not_absent() -> None:
    """No revenue field at all, unless AppsFlyer reports an amount."""
    assert "revenue" not in item(EVENT | {"event_revenue_currency": "USD"})
    assert item(EVENT | {"event_revenue": 0, "event_revenue_currency": "USD"})["revenue"] == 0


@pytest.mark.parametrize(
    ("change", "revenue", "currency"),
    [
        ({"event_revenue": 9.5, "event_revenue_currency": "eur", "event_revenue_usd": 11}, 9.5, "EUR"),
        ({"event_revenue_usd": 11, "revenue_in_selected_currency": 8, "selected_currency": "GBP"}, 11, "USD"),
        ({"revenue_in_selected_currency": 8, "selected_currency": "GBP"}, 8, "GBP"),
        ({"event_value": {"af_revenue": "7.5", "af_currency": "JPY"}}, 7.5, "JPY"),
        ({"event_revenue": 9.5, "event_revenue_currency": "euros"}, None, None),
        ({"event_revenue": 9.5, "event_revenue_currency": "euros", "event_revenue_usd": 11}, 11, "USD"),
        ({"event_revenue": 9, "event_value": {"af_currency": "jpy"}, "event_revenue_usd": 11}, 9, "JPY"),
    ],
)
def test_the_amount_is_taken_in_the_events_own_currency_first(
    change: dict[str, Any], revenue: float | None, currency: str | None
) -> None:
    """The others stand in, each with its own currency; an amount without a currency is not sent."""
    found = item(EVENT | change)
    assert found.get("revenue") == revenue
    assert found.get("currency") == currency


def test_refunds_and_advertising_revenue_are_named() -> None:
    """A negative amount is a refund."""
    sold = EVENT | {"event_revenue_currency": "USD"}
    assert item(sold | {"event_revenue": -3})["revenueType"] == "Refund"
    assert item(sold | {"event_revenue": 0.000123, "event_name": "af_ad_revenue"})["revenueType"] == "Ad"
    assert item(sold | {"event_revenue": 0.000123, "event_name": "af_ad_revenue"})["revenue"] == 0.000123
    assert "revenueType" not in item(sold | {"event_revenue": 3})


def test_product_and_quantity_need_revenue() -> None:
    """Amplitude takes them only with an amount."""
    value = {"af_content_id": ["sku-1"], "af_quantity": "2"}
    found = item(EVENT | {"event_revenue": 3, "event_revenue_currency": "USD", "event_value": value})
    assert (found["productId"], found["quantity"]) == ("sku-1", 2)
    assert "productId" not in item(EVENT | {"event_value": value})


# Event value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"a": 1, "b": {"c": [1, 2]}}', {"a": 1, "b": {"c": [1, 2]}}),
        ({"a": 1}, {"a": 1}),
        ("just text", {"event_value": "just text"}),
        ("[1, 2]", {"event_value": [1, 2]}),
        ([1, 2], {"event_value": [1, 2]}),
        ("{broken", {"event_value": "{broken"}),
        (7, {"event_value": 7}),
        ("", {}),
        ("{}", {}),
        (None, {}),
    ],
)
def test_the_event_value_becomes_properties(value: Any, expected: dict[str, Any]) -> None:
    """JSON in text, JSON, plain text, a list, or nothing."""
    properties = item(EVENT | {"event_value": value})["event_properties"]
    assert {key: found for key, found in properties.items() if not key.startswith("[AppsFlyer]")} == expected


@pytest.mark.parametrize("key", [GAID, f"seen {GAID.upper()}", IDFV, "ada@example.com", "+14155552671"])
def test_a_property_is_not_named_by_an_identifier(key: str) -> None:
    """The person's own or another's; what stands beside it is sent."""
    found = mapped(EVENT | {"event_value": {key: 1, "level": 2, "by": {key: 3}}})
    properties = json.loads(found.body)["event_properties"]
    assert properties["level"] == 2
    assert key not in properties
    assert any("left out" in note for note in found.notes)
    assert not any(key in note for note in found.notes)
    assert not found.body.count(GAID.encode()) - 1  # only in its own field


def test_the_apps_own_property_does_not_replace_attribution() -> None:
    """An app can't say that it came from elsewhere, and no key is written twice."""
    found = mapped(EVENT | {"event_value": {"[AppsFlyer] campaign": "forged"}})
    assert found.body.count(b'"[AppsFlyer] campaign"') == 1
    assert json.loads(found.body)["event_properties"]["[AppsFlyer] campaign"] == "Spring"


def test_a_huge_event_value_is_brought_inside_the_limits() -> None:
    """The event is kept, with a note for what was cut."""
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    found = mapped(EVENT | {"event_value": {"text": "x" * 9000, "deep": deep, "big": 10**40}})
    assert len(json.loads(found.body)["event_properties"]["text"]) == 1024
    assert len(found.notes) >= 3


# Route attribution


def test_the_attribution_route_sends_identifiers_and_user_properties_only() -> None:
    """As the Attribution API is documented."""
    found = mapped(INSTALL, route="attribution")
    assert found.endpoint == "attribution"
    assert (found.user_id, found.device_id) == (None, None)
    body = json.loads(found.body)
    assert set(body) == {"event_type", "platform", "time", "adid", "user_properties"}
    assert body["platform"] == "android"
    assert body["user_properties"]["[AppsFlyer] campaign"] == "Spring"
    assert all(key.startswith("[AppsFlyer] ") for key in body["user_properties"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"event_name": "af_purchase"}, Filter("in_app_on_attribution_route")),
        ({"advertising_id": "00000000-0000-0000-0000-000000000000"}, Refuse("no_usable_id")),
        ({"advertising_id": None, "android_id": "9774d56d682e549c"}, Refuse("no_usable_id")),
        ({"is_lat": True}, Refuse("no_usable_id")),
        ({"platform": "windowsphone"}, Refuse("platform_unsupported")),
        ({"platform": "ios"}, Refuse("no_usable_id")),
    ],
)
def test_the_attribution_route_refuses_what_amplitude_could_not_match(change: dict[str, Any], expected: Any) -> None:
    """Without a platform and an identifier it would be dropped in silence."""
    assert outcome(INSTALL | change, route="attribution") == expected


def test_an_app_set_id_is_enough_under_limit_ad_tracking() -> None:
    """Vendor ids stay."""
    message = INSTALL | {"is_lat": True, "android_app_set_id": "9ae2f9c1-8f0e-4a52-b55a-2d1f3b6c7d80"}
    body = item(message, route="attribution")
    assert body["android_app_set_id"] == "9ae2f9c1-8f0e-4a52-b55a-2d1f3b6c7d80"
    assert "adid" not in body


# Consent


@pytest.mark.parametrize(
    ("signals", "leaves"),
    [
        ({}, {"idfa", "idfv"}),
        ({"att": "authorized"}, {"idfa", "idfv"}),
        ({"att": "af_authorized", "is_lat": True}, {"idfa", "idfv"}),
        ({"att": "denied"}, {"idfv"}),
        ({"att": "not_determined"}, {"idfv"}),
        ({"att": "af_unavailable"}, {"idfa", "idfv"}),
        ({"att": "af_unavailable", "is_lat": True}, {"idfv"}),
        ({"is_lat": "true"}, {"idfv"}),
        ({"gdpr_applies": True, "ad_user_data_enabled": False}, {"idfv"}),
        ({"gdpr_applies": True, "ad_personalization_enabled": False}, {"idfv"}),
        ({"gdpr_applies": False, "ad_user_data_enabled": False}, {"idfa", "idfv"}),
        ({"gdpr_applies": "false", "ad_personalization_enabled": "denied"}, {"idfa", "idfv"}),
        ({"ad_user_data_enabled": False}, {"idfv"}),
        ({"ad_personalization_enabled": "false"}, {"idfv"}),
        ({"gdpr_applies": "unknown", "ad_user_data_enabled": "denied"}, {"idfv"}),
        ({"att": "authorized", "gdpr_applies": "", "ad_user_data_enabled": 0}, {"idfv"}),
        ({"ad_user_data_enabled": True, "ad_personalization_enabled": True}, {"idfa", "idfv"}),
        ({"ad_user_data_enabled": None, "ad_personalization_enabled": "unknown"}, {"idfa", "idfv"}),
        ({"gdpr_applies": True, "ad_user_data_enabled": True, "ad_personalization_enabled": True}, {"idfa", "idfv"}),
    ],
)
def test_consent_decides_which_ids_leave_and_are_matched_by(signals: dict[str, Any], leaves: set[str]) -> None:
    """What may not leave is not hashed for matching either."""
    found = mapped(INSTALL | IOS | signals, platform="ios")
    assert {"idfa", "idfv"} & set(json.loads(found.body)) == leaves
    assert {kind.value for kind in found.ids} & {"idfa", "idfv"} == leaves


def test_without_consent_the_android_ids_do_not_leave() -> None:
    """GAID, OAID and the Android id go together."""
    message = INSTALL | {"is_lat": True, "oaid": "oaid-1234-5678", "android_id": "9774d56d682e549c"}
    found = mapped(message)
    assert set(found.ids) == {IdKind.APPSFLYER_ID}
    assert all(one.encode() not in found.body for one in (GAID, "oaid-1234-5678", "9774d56d682e549c"))


# Restricted sources

DETAILS = (b"partner_int", b"Spring", b"secret-campaign-detail")


@pytest.mark.parametrize("message", [INSTALL, EVENT])
@pytest.mark.parametrize(("policy", "source"), [("redact", "restricted"), ("organic", "organic")])
def test_a_restricted_source_leaves_no_trace(message: dict[str, Any], policy: str, source: str) -> None:
    """Neither the item nor the hold tells it, in either case of its letters."""
    found = mapped(message, restrictions={"PARTNER_INT": policy})
    assert found.restricted == policy
    assert not [detail for detail in DETAILS if detail in found.body]
    assert json.loads(found.body)["event_properties"].get("[AppsFlyer] media source") == source
    assert found.media_source == source


def test_organic_makes_conversions_organic_and_keeps_their_identity() -> None:
    """A policy that changes makes no second event of the same install."""
    found = mapped(INSTALL, restrictions={"partner_int": "organic"})
    assert found.kind is Kind.ORGANIC_INSTALL
    assert found.key == mapped(INSTALL).key
    retargeted = INSTALL | {
        "event_name": "re-attribution",
        "campaign_type": "retargeting",
        "conversion_type": "reinstall",
    }
    assert mapped(retargeted, restrictions={"default": "organic"}).event_type == "[AppsFlyer] Reinstall"


def test_drop_refuses_and_default_is_for_every_named_source() -> None:
    """Organic is no source: the default does not meet it."""
    assert outcome(INSTALL, restrictions={"partner_int": "drop"}) == Refuse("restricted_source")
    assert outcome(INSTALL, restrictions={"default": "drop"}) == Refuse("restricted_source")
    assert isinstance(outcome(INSTALL, restrictions={"default": "drop", "partner_int": "pass"}), Mapped)
    assert isinstance(outcome(INSTALL | {"media_source": None}, restrictions={"default": "drop"}), Mapped)


def test_appsflyers_word_restricted_is_a_paid_source_unless_configured() -> None:
    """The source that AppsFlyer hides itself: paid, and by whom is not told."""
    hidden = INSTALL | {"media_source": "restricted"}
    assert (mapped(hidden).restricted, mapped(hidden).media_source) == ("redact", "restricted")
    assert mapped(hidden).kind is Kind.INSTALL
    assert mapped(hidden, restrictions={"restricted": "organic"}).restricted == "organic"


def test_a_policy_may_be_for_the_view_through_of_all_sources() -> None:
    """A source's own policy, whatever its touch, goes before it."""
    seen = INSTALL | {"attributed_touch_type": "impression"}
    policies = {"default/impression": "drop"}
    assert outcome(seen, restrictions=policies) == Refuse("restricted_source")
    assert mapped(INSTALL, restrictions=policies).restricted == ""
    assert mapped(seen, restrictions=policies | {"partner_int": "pass"}).restricted == ""


def test_a_restricted_source_hides_configured_rows_too() -> None:
    """A row of the configuration can't tell what the policy hides; unknown fields are not trusted."""
    extra = (
        MappingRow("campaign", "event_properties.c"),
        MappingRow("new_field", "event_properties.n"),
        MappingRow("custom_data.plan", "event_properties.p"),
    )
    message = INSTALL | {"new_field": "Spring 2", "custom_data": {"plan": "pro"}}
    properties = item(message, rows=extra, restrictions={"partner_int": "redact"})["event_properties"]
    assert "c" not in properties
    assert "n" not in properties
    assert properties["p"] == "pro"


# Configured rows


def test_configured_rows_reach_known_unknown_and_custom_fields() -> None:
    """They come before the table's own rows."""
    extra = (
        MappingRow("af_siteid", "user_properties.sub_publisher"),
        MappingRow("new_field", "event_properties.new"),
        MappingRow("custom_data.plan", "user_properties.plan"),
        MappingRow("event_value.level", "event_properties.level"),
        MappingRow("campaign", "carrier"),
    )
    message = EVENT | {
        "af_siteid": "s1", "new_field": 5, "custom_data": {"plan": "pro"}, "event_value": {"level": 3}, "carrier": "x",
    }  # fmt: skip
    found = item(message, rows=extra)
    assert found["user_properties"] == {"sub_publisher": "s1", "plan": "pro"}
    assert (found["event_properties"]["new"], found["event_properties"]["level"]) == (5, 3)
    assert found["carrier"] == "Spring"


def test_configured_rows_never_tell_a_device() -> None:
    """Neither a field that is an identifier, nor a value that contains one."""
    found = item(
        INSTALL | {"original_url": f"https://x/?gaid={GAID}"},
        rows=(MappingRow("original_url", "event_properties.url"),),
    )
    assert "url" not in found["event_properties"]
    with pytest.raises(ConfigError, match=r"rows\.idfa"):
        rules(rows=(MappingRow("idfa", "event_properties.x"),))
    with pytest.raises(ConfigError, match="custom_data"):
        rules(rows=(MappingRow("custom_data.gaid", "event_properties.x"),))


def test_fields_can_be_left_out() -> None:
    """For example the IP address."""
    assert "ip" in item(INSTALL | {"ip": "203.0.113.7"})
    assert "ip" not in item(INSTALL | {"ip": "203.0.113.7"}, without=("ip",))


def test_another_prefix_is_used_everywhere() -> None:
    """Event types and properties alike."""
    found = item(INSTALL, prefix="AF")
    assert found["event_type"] == "[AF] Install"
    assert found["user_properties"]["[AF] campaign"] == "Spring"
    assert "[AppsFlyer]" not in json.dumps(found)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"rows": (MappingRow("campaign", "user_id"),)}, "rows.campaign"),
        ({"rows": (MappingRow("campaign", "event_properties."),)}, "rows.campaign"),
        ({"rows": (MappingRow("campaign", 'event_properties.a"b'),)}, "rows.campaign"),
        ({"prefix": "[A\n] "}, "prefix"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused_with_their_path(given: dict[str, Any], path: str) -> None:
    """At start, not at the first message."""
    with pytest.raises(ConfigError) as refused:
        rules(**given)
    assert refused.value.path == path


# Content identity


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    left, right = mapped(one), mapped(other)
    assert left.key == right.key or left.insert_id != right.insert_id
    return left.key == right.key


def test_the_insert_id_begins_with_the_key_and_ends_with_the_occurrence() -> None:
    """A conversion happens once; of an event Amplitude gets every occurrence."""
    found = mapped(INSTALL)
    assert found.insert_id == found.key.hex() == json.loads(found.body)["insert_id"]
    pushed = mapped(EVENT | {"event_time": "2026-02-01 09:30:00.500"})
    assert pushed.insert_id == f"{pushed.key.hex()}-500" == json.loads(pushed.body)["insert_id"]
    row = read(json.dumps(EVENT | {"event_time": "2026-02-01 09:30:00"}).encode(), Media.JSON)
    found = [map_facts(facts_of(row, rules(), NOW_MS), rules(), ordinal) for ordinal in (0, 1, 2)]
    assert [one.insert_id for one in found] == [pushed.key.hex(), pushed.key.hex(), f"{pushed.key.hex()}-r2"]


def test_an_install_is_one_whether_pushed_or_in_a_file() -> None:
    """A file has no milliseconds, no campaign_type, and other columns."""
    in_file = {key: INSTALL[key] for key in ("event_name", "appsflyer_id", "media_source", "platform")}
    assert same(INSTALL, in_file | {"install_time": "2026-01-31 12:00:11", "event_time": "2026-01-31 12:00:11"})


def test_a_purchase_is_one_whether_pushed_or_in_a_file() -> None:
    """The value's spelling and the amount's do not matter."""
    pushed = EVENT | {"event_revenue": 12.5, "event_revenue_currency": "EUR", "event_value": '{"a": 1, "b": 2}'}
    in_file = EVENT | {
        "event_revenue": "12.50", "event_revenue_currency": "EUR", "event_value": '{"b":2,"a":1}',
        "event_time": "2026-02-01 09:30:00",
    }  # fmt: skip
    assert same(pushed, in_file)


@pytest.mark.parametrize(
    "change",
    [
        {"appsflyer_id": "1769860811311-1"},
        {"event_name": "af_other"},
        {"event_time": "2026-02-01 09:30:01.500"},
        {"event_value": {"a": 2}},
        {"event_revenue": 13},
        {"event_revenue_currency": "USD"},
    ],
)
def test_events_that_differ_are_not_one(change: dict[str, Any]) -> None:
    """Person, name, second, value, amount and currency each make another event."""
    base = EVENT | {"event_revenue": 12.5, "event_revenue_currency": "EUR", "event_value": {"a": 1}}
    assert not same(base, base | change)


def test_a_person_can_be_re_engaged_twice_after_one_install() -> None:
    """Re-engagements are known by when they happened."""
    again = INSTALL | {
        "event_name": "re-engagement",
        "conversion_type": "re-engagement",
        "campaign_type": "retargeting",
    }
    assert not same(again | {"event_time": "2026-03-01 10:00:00"}, again | {"event_time": "2026-04-01 10:00:00"})


def test_apps_do_not_share_identities() -> None:
    """The same message to two apps is two events."""
    assert mapped(INSTALL, app="one").key != mapped(INSTALL, app="two").key


# Place and device


def test_countries_are_named_and_the_continent_is_no_region() -> None:
    """AppsFlyer's region is a continent, its UK is GB; Amplitude's own events carry names."""
    place = {"country_code": "UK", "region": "EU", "state": "LND", "city": "London", "dma": "826"}
    found = item(INSTALL | place)
    assert (found["country"], found["region"], found["city"]) == ("United Kingdom", "LND", "London")
    assert item(INSTALL | place | {"country_code": "zz"})["country"] == "zz"


def test_brand_and_model_are_told_apart() -> None:
    """AppsFlyer writes both in one field."""
    found = item(INSTALL | {"device_model": "xiaomi::Redmi Note 8T"})
    assert (found["device_brand"], found["device_model"]) == ("xiaomi", "Redmi Note 8T")
    assert "device_brand" not in item(INSTALL | {"device_type": "iPhone15,2"})


@pytest.mark.parametrize(
    ("said", "platform", "os_name"),
    [("android", "Android", "android"), ("iOS", "iOS", "ios"), ("windows", "windows", None)],
)
def test_platforms_are_written_as_amplitudes_sdks_do(said: str, platform: str, os_name: str | None) -> None:
    """So that they are one platform in charts."""
    found = item(INSTALL | {"platform": said})
    assert (found["platform"], found.get("os_name")) == (platform, os_name)


@pytest.mark.parametrize(
    ("touch", "restrictions", "policy"),
    [
        ("impression", {}, "redact"),
        ("click", {}, ""),
        (None, {}, ""),
        ("Impression", {"Facebook Ads": "pass"}, ""),
        ("impression", {"Facebook Ads": "pass", "Facebook Ads/impression": "redact"}, "redact"),
        ("click", {"facebook ads/impression": "pass", "default": "redact"}, "redact"),
    ],
)
def test_a_kind_of_touch_may_have_a_policy_of_its_own(
    touch: str | None, restrictions: dict[str, str], policy: str
) -> None:
    """View-through of the sources on AppsFlyer's list is restricted, unless the configuration says otherwise."""
    seen = INSTALL | {"media_source": "Facebook Ads", "attributed_touch_type": touch}
    assert mapped(seen, restrictions=restrictions).restricted == policy


@pytest.mark.parametrize("message", [INSTALL, EVENT])
def test_an_organic_event_carries_no_campaign(message: dict[str, Any]) -> None:
    """Whatever else a message says, what is organic has no campaign, in its properties."""
    found = mapped(message | {"media_source": "organic", "campaign_type": "organic", "campaign": "Spring"})
    assert b"Spring" not in found.body
    assert found.restricted == ""
