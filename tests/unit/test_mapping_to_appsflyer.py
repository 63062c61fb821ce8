"""From an Amplitude event to AppsFlyer's item: who is chosen, what is sent, and what is not."""

import json

import pytest

from flybridge.amplitude.streamed import Streamed
from flybridge.appsflyer.contacts import NO_COUNTRY
from flybridge.mapping.conditions import Condition
from flybridge.mapping.to_appsflyer.map import MAX_BYTES, Left, MappedEvent, choose, is_late, map_event, stamp
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import Dead

NOW_MS = 1_763_985_600_000  # 2025-11-24 12:00 UTC
AF_ID = "1629191854863-7087037"
GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"
IDFA = "AEBE52E7-03EE-455A-B3C4-E57283966239"
EVENT = {
    "event_type": "Order Completed",
    "event_time": "2025-11-24 11:59:59.123000",
    "$insert_id": "i-1",
    "user_id": "ada-1",
    "device_id": "ada-phone",
    "event_properties": {"revenue": 9.99, "currency": "EUR", "color": "blue"},
    "user_properties": {"appsflyer_id": AF_ID},
}


def rules(**settings) -> StreamRules:
    """Build the rules of one stream."""
    return StreamRules(**{"app": "shop", "platform": "android", "events": ("*",)} | settings)


def mapped(event: dict, **settings) -> MappedEvent:
    """Map an event."""
    found = map_event(Streamed(event), rules(**settings), NOW_MS)
    assert isinstance(found, MappedEvent)
    return found


def sent(event: dict, **settings) -> dict:
    """Map an event and give its item, the value decoded."""
    body = json.loads(mapped(event, **settings).body)
    return body | {"eventValue": json.loads(body["eventValue"]) if body["eventValue"] else {}}


def with_user(**properties) -> dict:
    """Return the event with more user properties."""
    return EVENT | {"user_properties": EVENT["user_properties"] | properties}


def with_event(**properties) -> dict:
    """Return the event with other properties."""
    return EVENT | {"event_properties": properties}


def test_a_standard_event_is_sent_without_any_configuration():
    """Name, time with milliseconds, user, money; no property that nobody asked for."""
    found = mapped(EVENT)
    assert found.appsflyer_id == AF_ID
    assert json.loads(found.body) == {
        "eventName": "Order Completed",
        "eventTime": "2025-11-24 11:59:59.123",
        "customer_user_id": "ada-1",
        "eventCurrency": "EUR",
        "eventValue": '{"af_revenue":"9.99"}',
    }
    assert (found.dropped, found.notes, found.remarks) == ((), (), ())


def test_an_event_without_value_sends_empty_text():
    """As the page says."""
    assert json.loads(mapped(with_event()).body)["eventValue"] == ""


def test_the_first_stream_that_fits_takes_the_event():
    """And the reason why none does is that of the one that came nearest."""
    paid = Condition(path="event_properties.revenue", gt=100)
    first, second = rules(events=("Order *",), where=(paid,)), rules(events=("Order *",))
    assert choose(Streamed(EVENT), [first, second]) is second
    assert choose(Streamed(EVENT), [first]) == Left("condition_not_met")
    assert choose(Streamed(EVENT), [rules(events=("Trial *",))]) == Left("not_chosen")


@pytest.mark.parametrize("name", ["$identify", "[Amplitude] Page Viewed"])
def test_amplitudes_own_events_are_chosen_by_name_alone(name):
    """A star means the app's events."""
    assert choose(Streamed({"event_type": name}), [rules()]) == Left("not_chosen")
    assert isinstance(choose(Streamed({"event_type": name}), [rules(events=(name,))]), StreamRules)


@pytest.mark.parametrize(
    "event",
    [
        {"event_type": "[AppsFlyer] Install"},
        {"event_type": "af_purchase", "event_properties": {"[AppsFlyer] message type": "install-in-app-event"}},
        {"event_type": "x", "is_attribution_event": True},
    ],
)
def test_what_came_from_appsflyer_does_not_go_back(event):
    """Unless asked for: else the two would count each other's events for ever."""
    assert choose(Streamed(event), [rules()]) == Left("loop_guard")
    assert isinstance(choose(Streamed(event), [rules(loop=True)]), StreamRules)


def test_a_prefix_of_ones_own_is_guarded_too():
    """The loop guard knows what the mapping calls its events, and what AppsFlyer's own integration does."""
    for name in ("[AF] Install", "[AppsFlyer] Install"):
        assert choose(Streamed({"event_type": name}), [rules(prefix="[AF] ")]) == Left("loop_guard")


@pytest.mark.parametrize(
    ("properties", "revenue", "currency", "noted"),
    [
        ({"revenue": "$9", "currency": "USD"}, "9", "USD", ""),
        ({"revenue": "$9", "currency": "CAD"}, "9", "CAD", ""),
        ({"revenue": "$9", "currency": "EUR"}, None, "EUR", "revenue is not an amount in EUR"),
        ({"revenue": "9,99 €", "currency": "usd"}, None, "USD", "revenue is not an amount in USD"),
        ({"revenue": "9.99 EUR", "$currency": "EUR"}, "9.99", "EUR", ""),
        ({"revenue": "9,99 €"}, "9.99", "EUR", "taken from event_properties.revenue: EUR"),
        ({"$revenue": ["R$ 9,90"]}, "9.9", "BRL", "taken from event_properties.$revenue: BRL"),
        ({"revenue": "$9"}, "9", None, ""),
        ({"revenue": "9.99"}, "9.99", None, ""),
        ({"revenue": 9.99, "currency": "EUR"}, "9.99", "EUR", ""),
        ({"revenue": "1,234", "currency": "JPY"}, "1234", "JPY", ""),
        ({"revenue": "1.234", "currency": "JPY"}, "1234", "JPY", ""),
        ({"revenue": 1.234, "currency": "JPY"}, "1.234", "JPY", ""),
        ({"revenue": "1.234", "currency": "USD"}, "1.234", "USD", ""),
        ({"revenue": "15.000", "currency": "IDR"}, None, "IDR", "revenue is not an amount in IDR"),
        ({"revenue": "1.234", "currency": "KWD"}, "1.234", "KWD", ""),
        ({"revenue": "$9", "$revenue": 9.5, "currency": "EUR"}, "9.5", "EUR", ""),
        ({"$price": "$3", "$quantity": 2, "currency": "EUR"}, None, "EUR", "$price is not an amount in EUR"),
        ({"$price": "3 €", "$quantity": 2, "currency": "EUR"}, "6", "EUR", ""),
        ({"revenue": "($9)", "currency": "USD"}, "-9", "USD", ""),
        ({"revenue": 9, "currency": "€"}, "9", "EUR", ""),
        ({"revenue": "¥1000"}, None, None, "names no dollars"),
        ({"revenue": "100 kr"}, None, None, "names no dollars"),
        ({"revenue": "9.99 SLE"}, None, None, "names no dollars"),
        ({"revenue": "¥1000", "currency": "JPY"}, "1000", "JPY", ""),
        ({"$price": 2, "$quantity": "two"}, None, None, "$quantity is not a number"),
        ({"revenue": 9, "currency": ["EUR"]}, "9", "EUR", ""),
        ({"$price": 9, "$quantity": 0, "currency": "EUR"}, "0", "EUR", ""),
    ],
)  # fmt: skip
def test_an_amount_that_names_another_currency_is_not_used(properties, revenue, currency, noted):
    """As in postbacks: by the same reader, and said."""
    found = mapped(with_event(**properties))
    body = json.loads(found.body)
    value = json.loads(body["eventValue"]) if body["eventValue"] else {}
    assert (value.get("af_revenue"), body.get("eventCurrency")) == (revenue, currency)
    assert [noted in note for note in found.notes] == [True] * bool(noted), found.notes


def test_a_currency_that_is_left_out_is_not_taken_from_an_amount_either():
    """`without` is obeyed."""
    found = json.loads(mapped(with_event(revenue="9,99 €"), without=("eventCurrency",)).body)
    assert "eventCurrency" not in found


def test_refunds_are_negative_and_price_times_quantity_is_revenue():
    """Where there is no amount; what is called a refund and is not negative is noted."""
    assert sent(with_event(**{"$revenue": -5}))["eventValue"]["af_revenue"] == "-5"
    assert sent(with_event(**{"$price": "2.5", "$quantity": 3}))["eventValue"]["af_revenue"] == "7.5"
    assert any("refund" in note for note in mapped(with_event(**{"$revenue": 5, "$revenueType": "Refund"})).notes)
    assert any("can't be" in note for note in mapped(with_event(revenue="9,999")).notes)


def test_a_malformed_appsflyer_id_is_none():
    """AppsFlyer would answer 200 and record nothing."""
    found = mapped(with_user(appsflyer_id="af-1"))
    assert (found.appsflyer_id, found.remarks) == (None, ("bad_appsflyer_id",))
    assert "bad_appsflyer_id" not in mapped(EVENT | {"user_properties": {}}).remarks


def test_a_national_phone_number_is_left_out_counted_and_explained():
    """The event goes without it; the reason names the remedy, and not the number."""
    configured = rules(properties={"phone_number_hashed": "user_properties.phone"})
    found = map_event(Streamed(with_user(phone="0170 1234567")), configured, NOW_MS)
    assert isinstance(found, MappedEvent)
    assert "phone_number_hashed" not in json.loads(found.body)
    assert found.remarks == ("bad_contact",)
    (note,) = [note for note in found.notes if "phone" in note]
    assert note == f"user_properties.phone can't be phone_number_hashed and was left out. {NO_COUNTRY.reason}"
    taken = map_event(Streamed(with_user(phone="+49 170 1234567")), configured, NOW_MS)
    assert isinstance(taken, MappedEvent)
    assert taken.remarks == ()


def test_the_platform_decides_which_identifiers_there_are():
    """An IDFA is none of Android's parameters."""
    event = EVENT | {"adid": GAID, "idfa": IDFA}
    assert "idfa" not in sent(event)
    assert sent(event)["advertising_id"] == GAID
    assert sent(event, platform="ios")["idfa"] == IDFA
    assert "advertising_id" not in sent(event, platform="ios")


def test_on_a_device_of_amazon_the_advertising_id_is_amazons():
    """Amplitude's SDK reports both as `adid`."""
    found = sent(EVENT | {"adid": GAID, "device_manufacturer": "Amazon"})
    assert (found["amazon_aid"], found.get("advertising_id")) == (GAID, None)


@pytest.mark.parametrize(
    ("platform", "user", "gone"),
    [
        ("ios", {"att": "denied"}, "idfa"),
        ("ios", {"att": 0}, "idfa"),
        ("android", {"aie": "false"}, "advertising_id"),
        ("android", {"limit_ad_tracking": "true"}, "advertising_id"),
        ("android", {"gdpr_applies": "true", "ad_user_data_enabled": "false"}, "advertising_id"),
        ("android", {"aie": False, "imei": "AA-BBBBBB-CCCCCC-D"}, "imei"),
        ("ios", {"att": "notDetermined"}, "idfa"),
        ("android", {"gdpr_applies": True, "ad_user_data_enabled": "denied"}, "advertising_id"),
        (
            "android",
            {"gdpr_applies": 1, "ad_user_data_enabled": 1, "ad_personalization_enabled": "perhaps"},
            "advertising_id",
        ),
        (
            "android",
            {"consent_data": {"manual": {"gdpr_applies": True, "ad_user_data_enabled": "DENIED"}}},
            "advertising_id",
        ),
        ("ios", {"att": False}, "idfa"),
        ("ios", {"att": "perhaps"}, "idfa"),
        ("android", {"limit_ad_tracking": "yes"}, "advertising_id"),
        ("android", {"limit_ad_tracking": "perhaps"}, "advertising_id"),
        ("android", {"consent_data": "{broken"}, "advertising_id"),
        (
            "android",
            {"consent_data": json.dumps(json.dumps({"manual": {"gdpr_applies": 1, "ad_user_data_enabled": 0}}))},
            "advertising_id",
        ),
        ("android", {"consent_data": {"gdpr_applies": True, "ad_personalization_enabled": "denied"}}, "advertising_id"),
        ("android", {"aie": True, "limit_ad_tracking": True}, "advertising_id"),
        ("android", {"aie": "true", "is_lat": "1"}, "advertising_id"),
        ("android", {"limit_ad_tracking": False, "is_lat": True}, "advertising_id"),
        ("android", {"aie": False, "is_lat": False}, "advertising_id"),
        ("ios", {"aie": True, "is_lat": True}, "idfa"),
        (
            "android",
            {"consent_data": {"tcf": {"tcstring": "x"}, "manual": {"gdpr_applies": 1, "ad_user_data_enabled": 0}}},
            "advertising_id",
        ),
        (
            "android",
            {"consent_data": {"tcf": {"tcstring": "x"}}, "gdpr_applies": True, "ad_user_data_enabled": False},
            "advertising_id",
        ),
        (
            "android",
            {"consent_data": {"manual": {"gdpr_applies": True}}, "ad_user_data_enabled": False},
            "advertising_id",
        ),
        (
            "android",
            {"consent_data": {"manual": {"ad_user_data_enabled": True}}, "gdpr_applies": 1, "ad_user_data_enabled": 0},
            "advertising_id",
        ),
        ("android", {"gdpr_applies": "'true'", "ad_user_data_enabled": '"false"'}, "advertising_id"),
        ("android", {"gdpr_applies": "\u200btrue", "ad_user_data_enabled": "0.0"}, "advertising_id"),
        ("android", {"gdpr_applies": "perhaps", "ad_user_data_enabled": False}, "advertising_id"),
        ("android", {"gdpr_applies": "unknown", "ad_user_data_enabled": False}, "advertising_id"),
        ("android", {"ad_personalization_enabled": "DENIED"}, "advertising_id"),
        ("ios", {"ad_user_data_enabled": 0}, "idfa"),
        (
            "android",
            {"consent_data": {"manual": {"gdpr_applies": "ja", "ad_personalization_enabled": False}}},
            "advertising_id",
        ),
        ("android", {"aie": "'false'"}, "advertising_id"),
        ("android", {"limit_ad_tracking": "1.0"}, "advertising_id"),
    ],
)
def test_an_identifier_that_may_not_leave_does_not(platform, user, gone):
    """By the same table of consent as in the other direction; also not inside another property."""
    event = with_user(**user) | {"adid": GAID, "idfa": IDFA}
    event["event_properties"] = {"copy": f"x {GAID} {IDFA}", "color": "blue"}
    found = sent(event, platform=platform, extras=("*",))
    assert gone not in found
    assert found["eventValue"] == {"color": "blue"}
    assert any("is not sent" in note for note in mapped(event, platform=platform).notes)


@pytest.mark.parametrize("spelled", [GAID.replace("-", ""), GAID.replace("-", "%2d"), GAID.replace("-", "_").upper()])
def test_an_identifier_is_found_in_another_spelling(spelled):
    """In a parameter, an extra and the name."""
    event = with_event(product_id=f"p{spelled}", note=spelled) | {"adid": GAID, "event_type": f"x {spelled}"}
    found = mapped(event, extras=("*",))
    assert found.body.lower().count(GAID[-12:].encode()) == 1
    assert found.event_name == "x [id]"


@pytest.mark.parametrize("user", [{}, {"aie": False}])
@pytest.mark.parametrize(
    "place",
    ["event_properties.product_id", "event_properties.order_id", "event_properties.content_type", "version_name",
     "user_properties.app_store", "event_properties.note", "event_type"],
)  # fmt: skip
def test_no_value_repeats_a_device_identifier(place, user):
    """Not a parameter nor the name; the identifier is sent once at most, in its own place."""
    section, dot, key = place.partition(".")
    event = with_user(**user) | {"adid": GAID, "app_version": "1"}
    repeated = f"x-{GAID.upper()}"
    event = event | {section: {**event.get(section, {}), key: repeated} if dot else repeated}
    found = mapped(event, extras=("*",))
    assert found.body.lower().count(GAID.encode()) == (not user)
    assert (
        json.loads(found.body)["eventName"]
        == found.event_name
        == ("x-[id]" if place == "event_type" else "Order Completed")
    )
    assert any("device identifier" in note for note in found.notes)
    other = mapped(event | {"adid": GAID.replace("38", "39")}, extras=("*",))
    assert other.body.lower().count(GAID.encode()) == 1


@pytest.mark.parametrize(
    ("platform", "user", "kept"),
    [
        ("ios", {"att": "af_unknown"}, "idfa"),
        ("ios", {"att": "null"}, "idfa"),
        ("ios", {"att": "granted"}, "idfa"),
        ("android", {"gdpr_applies": True, "ad_user_data_enabled": "granted"}, "advertising_id"),
        ("android", {"gdpr_applies": True, "ad_user_data_enabled": "null"}, "advertising_id"),
        ("android", {"limit_ad_tracking": "off"}, "advertising_id"),
        ("android", {"limit_ad_tracking": "N/A"}, "advertising_id"),
        ("android", {"aie": True, "limit_ad_tracking": False}, "advertising_id"),
        ("android", {"consent_data": "{}"}, "advertising_id"),
        ("android", {"consent_data": {"manual": {"gdpr_applies": None}}}, "advertising_id"),
        ("android", {"consent_data": {"tcf": {"tcstring": "x"}}, "gdpr_applies": True}, "advertising_id"),
        ("android", {"gdpr_applies": False, "ad_user_data_enabled": False}, "advertising_id"),
        ("android", {"gdpr_applies": "'false'", "ad_user_data_enabled": False}, "advertising_id"),
        ("android", {"gdpr_applies": "unknown", "ad_user_data_enabled": "unknown"}, "advertising_id"),
        ("android", {"gdpr_applies": True, "ad_user_data_enabled": '"granted"'}, "advertising_id"),
        ("android", {"limit_ad_tracking": '"false"'}, "advertising_id"),
        ("android", {"aie": "Optional(true)"}, "advertising_id"),
    ],
)
def test_what_is_not_known_of_a_permission_is_no_refusal(platform, user, kept):
    """Words for nothing, and AppsFlyer's for what is unknown."""
    assert kept in sent(with_user(**user) | {"adid": GAID, "idfa": IDFA}, platform=platform)


def test_consent_flags_make_the_manual_object():
    """Flags arrive as text in webhooks."""
    found = sent(with_user(gdpr_applies="true", ad_user_data_enabled="true", ad_personalization_enabled="false"))
    manual = {"gdpr_applies": True, "ad_user_data_enabled": True, "ad_personalization_enabled": False}
    assert found["consent_data"] == {"manual": manual}


def test_a_consent_string_goes_along_where_no_flag_says_more():
    """AppsFlyer goes by the flags if an event has both."""
    tcf = {"tcf": {"tcstring": "x", "gdpr_applies": 1}}
    assert sent(with_user(consent_data=tcf, gdpr_applies=True))["consent_data"] == tcf
    denied = {"manual": {"ad_user_data_enabled": False}}
    assert sent(with_user(consent_data=tcf, ad_user_data_enabled=False))["consent_data"] == denied


@pytest.mark.parametrize(
    ("of_stream", "of_user", "expected"),
    [
        (("x_int",), "all", "all"),
        (("all",), ["x_int"], "all"),
        (("x_int",), ["y_int", "x_int"], ["x_int", "y_int"]),
        (("x_int",), "none", ["x_int"]),
        (("twitter_int",), None, ["twitter"]),
        ((), {"unread": 1}, "all"),
        (("x_int",), {"unread": 1}, "all"),
    ],
)
def test_partners_are_left_out_that_the_person_or_the_stream_leaves_out(of_stream, of_user, expected):
    """Neither lifts what the other has said."""
    assert sent(with_user(sharing_filter=of_user), sharing_filter=of_stream)["sharing_filter"] == expected


@pytest.mark.parametrize(
    ("money", "revenue", "currency"),
    [
        ({"af_revenue": 10, "af_currency": "USD", "$revenue": 9, "$currency": "EUR"}, "10", "USD"),
        ({"af_revenue": 10, "af_currency": "USD", "currency": "EUR"}, "10", "USD"),
        ({"af_revenue": 10, "currency": "EUR"}, "10", "EUR"),
        ({"$revenue": 9, "$currency": "EUR", "af_currency": "USD"}, "9", "EUR"),
        ({"$revenue": 9, "af_currency": "USD"}, "9", "USD"),
        ({"revenue": 9, "currency": "EUR", "$currency": "USD"}, "9", "EUR"),
        ({"revenue": "1,500", "currency": "JPY", "$currency": "USD"}, "1500", "JPY"),
        ({"revenue": "9 €", "currency": "EUR", "$currency": "USD"}, "9", "EUR"),
        ({"af_revenue": 10, "af_currency": "COINS", "$revenue": 9, "$currency": "EUR"}, "9", "EUR"),
        ({"af_revenue": 10, "af_currency": "COINS", "currency": "EUR"}, "10", "EUR"),
        ({"af_revenue": 10, "$revenue": 9, "$currency": "EUR"}, "9", "EUR"),
        ({"af_revenue": 10, "af_currency": "", "currency": "EUR"}, "10", "EUR"),
    ],
)
def test_an_amount_is_not_joined_with_the_currency_of_another(money, revenue, currency):
    """Apps that report to both vendors name one event's amount twice."""
    found = sent(with_event(**money))
    assert (found["eventValue"].get("af_revenue"), found["eventCurrency"]) == (revenue, currency)
    assert found["eventValue"].get("af_currency", currency) == currency


@pytest.mark.parametrize("currency", [["EUR", "USD"], {"code": "EUR"}, "COINS", "SLE", "XCG", "CNH"])
def test_an_amount_of_a_currency_that_can_not_be_sent_is_not_sent(currency):
    """AppsFlyer would take it for dollars; a code that its list of currencies lacks would fail the event."""
    found = mapped(with_event(revenue=9, currency=currency))
    assert json.loads(found.body)["eventValue"] == ""
    assert "The revenue has no currency that is a code in AppsFlyer's list and was left out." in found.notes
    assert "eventCurrency" not in json.loads(found.body)


@pytest.mark.parametrize(
    "cart", [{"phone": "0170 1234567"}, [{"x": {"last_name": "Hopper"}}], {"to": "ann@example.com"}]
)
@pytest.mark.parametrize("written", [json.dumps, lambda cart: json.dumps({"inner": json.dumps(cart)})])
def test_a_contact_in_json_in_text_is_left_out(cart, written):
    """As in an object."""
    assert sent(with_event(cart=written(cart), color="blue"), extras=("*",))["eventValue"] == {"color": "blue"}


def test_extras_are_what_is_asked_for_in_that_order_and_nobodys_id():
    """Globs of event properties, user properties by their prefix; contacts and device ids never."""
    event = with_event(color="blue", email="a@b.c", gaid=GAID, note="n", **{"$price": 1}) | {
        "user_properties": {"appsflyer_id": AF_ID, "tier": "gold"}
    }
    found = sent(event, extras=("note", "*", "user_properties.tier"))["eventValue"]
    assert list(found) == ["af_revenue", "af_price", "note", "color", "tier"]


def test_configured_properties_replace_the_tables_rows():
    """From another place, as a fixed text, or under a key of one's own."""
    found = sent(
        with_event(amount="7", revenue=9, shop="north"),
        properties={
            "af_revenue": "event_properties.amount",
            "bundleIdentifier": "value:com.example.shop",
            "eventValue.branch": "event_properties.shop",
        },
        without=("customer_user_id",),
        sharing_filter=("x_int",),
        rename={"Order Completed": "af_purchase"},
    )
    assert found["eventValue"] == {"af_revenue": "7", "branch": "north"}
    assert (found["bundleIdentifier"], found["sharing_filter"]) == ("com.example.shop", ["x_int"])
    assert "customer_user_id" not in found
    assert found["eventName"] == "af_purchase"


def test_too_much_is_left_out_from_the_least_important_and_said():
    """Extras go first, the last first; what fits still goes."""
    event = with_event(revenue=1, first="a" * 300, second="b" * 300, third="c" * 400, last="d")
    found = mapped(event, extras=("*",))
    assert found.dropped == ("eventValue.third",)
    assert found.remarks == ("trimmed",)
    assert len(found.body) + 52 <= MAX_BYTES
    assert json.loads(json.loads(found.body)["eventValue"])["last"] == "d"
    assert any("eventValue.third" in note for note in found.notes)


def test_an_event_that_can_not_fit_is_kept_as_a_dead_letter():
    """Nothing is cut in the middle, and nothing is lost."""
    found = map_event(Streamed(EVENT | {"event_type": "n" * 990}), rules(), NOW_MS)
    assert isinstance(found, Dead)
    assert found.reason == "larger_than_1kb"


@pytest.mark.parametrize(
    ("arrives", "late"),
    [("2025-11-24 23:59", False), ("2025-11-25 02:00", False), ("2025-11-25 02:01", True), ("2025-12-24 00:00", True)],
)
def test_an_event_is_late_after_two_in_the_morning_of_its_next_day(arrives, late):
    """AppsFlyer then stamps it with its arrival."""
    from datetime import UTC, datetime

    arrives_ms = int(datetime.fromisoformat(arrives).replace(tzinfo=UTC).timestamp() * 1000)
    assert is_late(NOW_MS, arrives_ms) is late


def test_a_late_event_is_sent_and_remarked():
    """Its own time is sent all the same: AppsFlyer decides."""
    found = mapped(EVENT | {"event_time": "2025-11-20 10:00:00"})
    assert found.remarks == ("late",)
    assert json.loads(found.body)["eventTime"] == "2025-11-20 10:00:00.000"


def test_a_time_has_milliseconds():
    """Also where they are zero."""
    assert stamp(NOW_MS + 7) == "2025-11-24 12:00:00.007"


def test_the_same_event_is_one_event_whatever_its_bytes():
    """A retry, or a file of the Export API, brings it again."""
    other = EVENT | {"processed_time": "2025-11-24 12:01:00"}
    assert mapped(EVENT).key == mapped(other).key
    assert mapped(EVENT).key != mapped(EVENT | {"device_id": "another"}).key
    assert mapped(EVENT).key != mapped(EVENT, app="game").key
