"""Reading AppsFlyer's messages: what is understood, what is left out, and what can't be read at all."""

from __future__ import annotations

import json
import re
import timeit
from collections.abc import Callable
from time import process_time
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest

from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback import Postback, read
from flybridge.records import Dead, Media

SELECTABLE = frozenset(
    """
api_version af_c_id campaign af_adset_id af_adset af_ad_id af_ad af_ad_type af_channel af_cost_currency af_cost_model
af_cost_value af_keywords af_attribution_lookback af_prt af_reengagement_window af_siteid af_sub_siteid af_sub1 af_sub2
af_sub3 af_sub4 af_sub5 is_retargeting media_source original_url user_agent advertising_id android_id amazon_aid app_id
app_name app_version appsflyer_id bundle_id carrier country_code custom_data customer_user_id device_category
device_type device_model event_name event_revenue event_revenue_currency event_time event_value idfa idfv imei
install_app_store install_time ip language operator os_version platform sdk_version wifi gp_broadcast_referrer city
attributed_touch_time attributed_touch_type contributor_1_af_prt contributor_1_campaign contributor_1_match_type
contributor_1_media_source contributor_1_touch_time contributor_1_touch_type contributor_2_af_prt
contributor_2_campaign contributor_2_match_type contributor_2_media_source contributor_2_touch_time
contributor_2_touch_type contributor_3_af_prt contributor_3_campaign contributor_3_match_type
contributor_3_media_source contributor_3_touch_time contributor_3_touch_type dma event_revenue_usd event_source
http_referrer is_primary_attribution is_receipt_validated match_type postal_code region retargeting_conversion_type
state network_account_id gp_click_time gp_install_begin gp_referrer keyword_match_type selected_currency
revenue_in_selected_currency cost_in_selected_currency attributed_touch_time_selected_timezone
install_time_selected_timezone event_time_selected_timezone selected_timezone deeplink_url oaid keyword_id
store_reinstall is_lat device_download_time device_download_time_selected_timezone conversion_type custom_dimension
campaign_type
    """.split()  # noqa: SIM905 - one name a line would be a page
)


def parse(message: Any, media: Media = Media.JSON) -> Postback:
    postback = read(message if isinstance(message, bytes) else json.dumps(message).encode(), media)
    assert isinstance(postback, Postback), postback
    return postback


def dead(body: bytes, media: Media = Media.JSON) -> Dead:
    found = read(body, media)
    assert isinstance(found, Dead), found
    assert found.stage == "decode"
    assert found.detail.endswith(".")
    assert found.remedy.endswith(".")
    return found


def test_every_selectable_field_of_push_api_v2_has_a_place() -> None:
    """The 114 fields of AppsFlyer's Push API configuration are all in the struct."""
    assert len(SELECTABLE) == 114
    assert set(SELECTABLE) <= set(NAMES)


def test_text_is_kept_as_it_is_and_names_are_trimmed() -> None:
    """Blanks around a name would make two of one event, source or campaign."""
    postback = parse(
        {"media_source": " Ünïcode 😀", "campaign": "spaced  out \t", "event_name": "buy ", "af_ad": " x "}
    )
    assert (postback.media_source, postback.campaign) == ("Ünïcode 😀", "spaced  out")
    assert (postback.event_name, postback.af_ad) == ("buy", " x ")
    assert postback.notes == ()


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        "",
        "null",
        "NULL",
        "N/A",
        "n/a",
        "  ",
        "None",
        "undefined",
        "(null)",
        "N/A ",
        " nil",
        "\tNaN\r\n",
        " " * 40,
    ],
)
def test_absent_null_blank_and_words_for_nothing_are_alike(nothing: str | None) -> None:
    """All that means nothing is None, also beside a field that needs the tolerant reader."""
    assert parse({"campaign": nothing, "city": "", "event_name": "install"}).campaign is None


@pytest.mark.parametrize("word", ["null", "N/A", "None", "NULL", "undefined", "(null)", "<null>", "none", "N/A "])
@pytest.mark.parametrize("field", ["campaign", "city", "event_value", "http_referrer", "af_sub1", "custom_data"])
@pytest.mark.parametrize("beside", [{}, {"wifi": "maybe"}, {"is_lat": ""}, {"os_version": 14}])
def test_words_for_nothing_are_absent_whatever_stands_beside_them(
    word: str, field: str, beside: dict[str, Any]
) -> None:
    """One list decides, however the message is read."""
    assert getattr(parse({field: word, "event_name": "install"} | beside), field) is None


def test_an_object_keeps_its_blanks() -> None:
    """Only fields of the message can be absent; what is in an object belongs to the app."""
    for beside in ({}, {"is_lat": ""}, {"wifi": "maybe"}):
        assert parse({"event_value": {"a": "", "b": "null"}} | beside).event_value == {"a": "", "b": "null"}


@pytest.mark.parametrize("event_type", ["re-engagement", "re-attribution-in-app-event"])
def test_an_event_type_does_not_make_a_message_an_old_one(event_type: str) -> None:
    """Retargeting messages of the present Push API have one; the former names mean nothing in them."""
    postback = parse({"event_type": event_type, "appsflyer_id": "1-2", "currency": "EUR", "agency": "y"})
    assert (postback.event_type, postback.event_revenue_currency, postback.af_prt) == (event_type, None, None)


def test_the_time_of_reading_grows_with_the_length_and_no_faster() -> None:
    """A long run of blanks in front of a value, beside a word for nothing in a flag, costs no more than other text."""

    def seconds(length: int) -> float:
        body = json.dumps({"campaign": " " * length + "x", "wifi": "N/A", "is_lat": ""}).encode()
        return min(timeit.repeat(lambda: read(body, Media.JSON), timer=process_time, number=5, repeat=5))

    assert seconds(100_000) < 40 * seconds(10_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("true", True), ("TRUE", True), ("1", True), (1, True), ("0", False), ("no", False)],
)
def test_flags_may_be_words_or_numbers(value: Any, expected: bool) -> None:
    """A flag is a flag however it is written."""
    assert parse({"is_retargeting": value}).is_retargeting is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("12.50", 12.5), (12.5, 12.5), (7, 7.0), ("-3", -3.0), (" 4 ", 4.0), ("12,50 €", 12.5), ("1,234.56", 1234.56)],
)
def test_amounts_may_be_text(value: Any, expected: float) -> None:
    """An amount is a number however it is written."""
    assert parse({"event_revenue": value}).event_revenue == expected


@pytest.mark.parametrize("value", ["12,500 €", "-inf", "inf", True, [1, 2], {"a": 1}, "1e400"])
def test_an_amount_that_is_none_is_left_out_and_noted(value: Any) -> None:
    """One odd field does not cost the message, and is not taken for zero."""
    postback = parse({"event_revenue": value, "event_name": "af_purchase"})
    assert postback.event_revenue is None
    assert postback.event_name == "af_purchase"
    assert any("event_revenue" in note for note in postback.notes)


@pytest.mark.parametrize(("value", "expected"), [(14, "14"), (4.5, "4.5"), (True, "true"), ([1, 2], "[1,2]")])
def test_text_fields_take_what_is_not_text(value: Any, expected: str) -> None:
    """A number where text belongs becomes text."""
    assert parse({"os_version": value}).os_version == expected


def test_an_odd_flag_is_left_out_and_noted() -> None:
    """A flag that is neither yes nor no is not guessed."""
    postback = parse({"wifi": "sometimes", "city": "Hamburg"})
    assert (postback.wifi, postback.city) == (None, "Hamburg")
    assert any("wifi" in note for note in postback.notes)


def test_long_text_is_cut_and_noted_but_addresses_are_whole() -> None:
    """AppsFlyer's own limit is kept; addresses may be longer and are not sent."""
    postback = parse({"campaign": "c" * 3000, "original_url": "u" * 3000})
    assert postback.campaign is not None
    assert len(postback.campaign) == 1024
    assert postback.original_url == "u" * 3000
    assert any("campaign" in note for note in postback.notes)


def test_of_two_equal_keys_the_last_counts() -> None:
    """A repeated key is no error."""
    assert parse(b'{"campaign": "one", "campaign": "two"}').campaign == "two"


def test_unknown_fields_are_reachable_by_name() -> None:
    """AppsFlyer adds fields without notice; the configuration can use them at once."""
    postback = parse({"event_name": "install", "brand_new": {"a": 1}, "blank_new": ""})
    assert postback.get("brand_new") == {"a": 1}
    assert postback.get("blank_new") is None
    assert postback.get("event_name") == "install"
    assert postback.get("never_heard_of") is None


def test_the_struct_takes_nothing_of_its_own_from_the_message() -> None:
    """A message can't write what the reader writes."""
    body = b'{"event_name": "install", "flybridge:notes": ["x"], "flybridge:body": "AAAA"}'
    postback = parse(body)
    assert postback.notes == ()
    assert postback.body == body


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_query_string_may_be_escaped_in_either_encoding(encoding: str) -> None:
    """Servers escape in Windows-1252, too; no character is lost, and a field with a broken name hurts no other."""
    fields = {"campaign": "Frühstück für 5 €", "event_value": '{"größe": "é"}', "ä": "ö", "event_name": "af_purchase"}
    found = parse(urlencode(fields, encoding=encoding).encode(), Media.QUERY)
    assert (found.campaign, found.event_value, found.get("ä")) == (fields["campaign"], fields["event_value"], "ö")


@pytest.mark.parametrize(
    "query",
    [
        "event_name=e&campaign=caf\u00e9".encode("cp1252"),
        "event_name=e&campaign=caf\u00e9".encode(),
        b"\xef\xbb\xbfevent_name=e&campaign=caf%E9",
        b"%EF%BB%BFevent_name=e&campaign=caf%C3%A9",
        b"event_name=e&amp;campaign=caf%C3%A9",
        b"?event_name=e&campaign=caf%C3%A9&campaign=",
        b"event_name=e&campaign=&campaign=caf%C3%A9&campaign=null",
        b"event_name=e&campaign=x&campaign=caf%C3%A9",
    ],
)
def test_a_query_string_is_read_as_servers_and_people_leave_it(query: bytes) -> None:
    """Bytes that are not escaped, a byte order mark, HTML's `&amp;`, and a field twice of which one says nothing."""
    found = parse(query, Media.QUERY)
    assert (found.event_name, found.campaign) == ("e", "caf\u00e9")


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("time", ["event_time", "install_time"])
@pytest.mark.parametrize("encode", [quote, quote_plus])
def test_values_of_a_query_string_that_were_encoded_more_than_once_are_read(
    times: int, time: str, encode: Callable[[str], str]
) -> None:
    """As gateways do that pass a query on. A time shows it: AppsFlyer's have a colon."""
    fields = {time: "2026-11-20 14:00:01.123", "customer_user_id": "ann+rye@example.com", "city": "K\u00f6ln 50%25"}
    wanted = dict(fields)
    for _ in range(times):
        fields = {name: encode(value) for name, value in fields.items()}
    found = parse("&".join(f"{name}={value}" for name, value in fields.items()).encode(), Media.QUERY)
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_a_value_that_is_itself_percent_encoded_stays_so() -> None:
    """A query string in an address is no sign that all of a message was encoded twice."""
    fields = {"event_time": "2026-11-20 14:00:01", "city": "K%C3%B6ln", "original_url": "https://a.example/?u=b%3Ac"}
    found = parse(urlencode(fields).encode(), Media.QUERY)
    assert {name: getattr(found, name) for name in fields} == fields


def test_a_query_string_is_read_like_json() -> None:
    """GET messages carry the same fields as text."""
    postback = parse(
        b"event_name=af_purchase&is_retargeting=false&event_revenue=3.5&city=&event_value=%7B%22a%22%3A1%7D&new=1",
        Media.QUERY,
    )
    assert (postback.event_name, postback.is_retargeting, postback.event_revenue) == ("af_purchase", False, 3.5)
    assert (postback.city, postback.event_value, postback.get("new")) == (None, '{"a":1}', "1")


def test_lists_of_one_value_are_the_values() -> None:
    """As programs read a query string, and send it on as JSON. An event's value may be a list."""
    message = {
        "event_name": "af_purchase", "appsflyer_id": "1-2", "event_revenue": "9.5", "event_revenue_currency": "EUR",
        "wifi": "true", "is_retargeting": "0", "af_cost_value": "0.5", "campaign": "null", "customer_user_id": " ann",
    }  # fmt: skip
    one, listed = parse(message), parse({name: [value] for name, value in message.items()})
    assert {name: one.get(name) for name in NAMES} == {name: listed.get(name) for name in NAMES}
    assert (listed.event_revenue, listed.wifi, listed.campaign, listed.notes) == (9.5, True, None, ())
    assert parse({"event_name": ["a", "b"], "event_value": ["x"], "appsflyer_id": [None]}).get("event_value") == ["x"]


@pytest.mark.parametrize("nothing", [[], {}, [None], [[]], [{}], [""], [["N/A"]]])
@pytest.mark.parametrize(
    "name", ["event_name", "app_id", "campaign", "customer_user_id", "is_lat", "event_revenue", "att", "wifi"]
)
def test_an_empty_list_is_nothing(name: str, nothing: Any) -> None:
    """PHP writes one for an empty array, and a message of the app `[]` would be of no app."""
    found = parse({"event_name": "a", "app_id": "b", name: nothing})
    assert (getattr(found, name), found.notes) == (None, ())
    assert parse({name: nothing, "event_value": nothing}).event_value == nothing


def test_lists_in_lists_are_the_value() -> None:
    """However deep."""
    assert parse({"event_name": [["buy "]], "wifi": [[False]], "event_revenue": [[[0]]]}).event_name == "buy"
    assert parse({"wifi": [[False]], "event_revenue": [[[0]]]}).wifi is False
    assert parse({"event_revenue": [[[0]]], "campaign": ["a", "b"]}).event_revenue == 0
    assert parse({"campaign": ["a", "b"]}).campaign == '["a","b"]'


def test_push_api_v1_names_are_understood() -> None:
    """Old messages say the same by other names."""
    postback = parse({"event_type": "install", "appsflyer_device_id": "1-2", "fb_campaign_name": "x", "agency": "y"})
    assert (postback.appsflyer_id, postback.campaign, postback.af_prt) == ("1-2", "x", "y")


def test_a_v1_name_does_not_replace_the_v2_field() -> None:
    """Where both are there, the present name wins."""
    assert parse({"event_type": "install", "appsflyer_device_id": "old", "appsflyer_id": "new"}).appsflyer_id == "new"


@pytest.mark.parametrize(
    "envelope",
    [
        {"event_value": {"app_id": "a", "event_name": "b"}},
        {"custom_data": {"app_id": "a", "event_name": "b"}, "region": "eu"},
        {"data": {"app_id": "a", "event_name": "b"}, "more": {"app_id": "a", "event_name": "c"}},
        {"app_id": "a", "data": {"app_id": "b", "event_name": "c"}},
        {"data": {"name": "b"}},
        {"data": {"event_name": "b"}},
        {"data": [{"app_id": "a", "event_name": "b"}, {"app_id": "a", "event_name": "c"}]},
        {"data": '{"app_id": "a", "event_name":'},
    ],
)
def test_what_is_no_message_with_something_around_it_is_not_opened(envelope: dict[str, Any]) -> None:
    """The values of an app's own event, several messages, and a message that has others within."""
    assert parse(envelope).event_name is None


def test_several_messages_that_were_kept_as_one_say_what_to_do() -> None:
    """Those that came before bodies were taken apart."""
    assert "send them again" in dead(b'{"event_name": "a"}\n{"event_name": "b"}').remedy
    assert "send them again" not in dead(b'{"event_name": "a"').remedy


def test_a_form_with_two_messages_is_a_dead_letter() -> None:
    """Of two parts with one name neither is lost for the other."""
    part = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n{"app_id": "a", "event_name": "%b"}\r\n'
    for names in ((b"f", b"f"), (b"f", b"g")):
        body = b"".join(part % (name, event) for name, event in zip(names, (b"one", b"two"), strict=True)) + b"--b--"
        assert dead(body).reason == "not_json"
    assert parse(part % (b"f", b"one") + b"--b--").event_name == "one"


@pytest.mark.parametrize("name", ["appsflyer_id", "customer_user_id"])
@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("123456.0", "123456"), ("1.23456e5", "123456"), ("12345678901234567890", "12345678901234567890"),
        ("9007199254740991.0", "9007199254740991"), ("9007199254740993.0", None), ("1.23e17", None), ("12.5", None),
    ],
)  # fmt: skip
def test_an_id_that_is_a_number_has_all_of_its_digits_or_is_none(name: str, number: str, found: str | None) -> None:
    """A number of floating point is that of many where it has lost some."""
    postback = parse(f'{{"event_name": "a", "{name}": {number}}}'.encode())
    assert getattr(postback, name) == found
    assert (f"The {name} is a number that has lost digits and was left out." in postback.notes) is (found is None)


def test_what_stands_within_something_else_is_mended_as_any_message_is() -> None:
    """Numbers and characters that no JSON has."""
    inner = '{"app_id": "a", "event_name": "\\ud83d", "event_revenue": NaN, "n": 123456789012345678901234567890}'
    found = parse({"data": inner})
    assert (found.event_name, found.event_revenue, found.get("n")) == ("?", None, "123456789012345678901234567890")


@pytest.mark.parametrize(
    "body",
    [
        b'{"campaign": "half an emoji \\ud83d", "event_name": "install"}',
        b'{"campaign": "latin \xff", "event_name": "install"}',
        b'\xef\xbb\xbf{"event_name": "install"}',
        b'{"event_name": "install", "af_cost_value": NaN}',
        b'{"event_name": "install", "event_value": 123456789012345678901234567890}',
        b'{"event_name": "install", "event_revenue": 1e999}',
    ],
)
def test_broken_text_and_numbers_do_not_cost_the_message(body: bytes) -> None:
    """Truncated names and odd numbers are mended, the rest is read."""
    assert parse(body).event_name == "install"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_message_that_was_encoded_once_more_is_read(times: int) -> None:
    """Also its fields that are not listed."""
    body = json.dumps({"event_name": "install", "unheard_of": "x"})
    for _ in range(times):
        body = json.dumps(body)
    found = parse(body.encode())
    assert (found.event_name, found.get("unheard_of")) == ("install", "x")


@pytest.mark.parametrize("around", ["[%s]", " [ %s ]\n", "[[%s]]"])
def test_a_message_that_is_alone_in_a_list_is_read(around: str) -> None:
    """As programs write one that they have batched, also with JSON in text."""
    body = json.dumps({"event_name": "install", "unheard_of": "x"})
    for text in (body, json.dumps(body)):
        found = parse((around % text).encode())
        assert (found.event_name, found.get("unheard_of")) == ("install", "x")
    assert parse(json.dumps(around % body).encode()).event_name == "install"


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_name": "buy", "af_sub1": "a \xe9", "is_lat": true, "idfv": null,}',
        b"{'event_name': 'buy', 'af_sub1': 'a \xe9', 'is_lat': True, 'idfv': None}",
        b'["event_name": "buy", "af_sub1": "a \xe9", "is_lat": Optional(true), "idfv": nil]',
        b'{ "event_name" = "buy"; "af_sub1" = "a \xe9"; "is_lat" = true; }',
        b'{"event_name": "buy", "af_sub1": "a \xe9", "is_lat": true}\0\0',
        b"\xef\xbb\xbf{'event_name': 'buy', 'af_sub1': 'a \xe9', 'is_lat': True}",
    ],
)
def test_a_message_as_other_programs_print_an_object_is_read(body: bytes) -> None:
    """A comma behind the last field, Python's and Swift's objects, zeros at the end; it is noted."""
    found = parse(body)
    assert (found.event_name, found.af_sub1, found.is_lat, found.idfv) == ("buy", "a \u00e9", True, None)
    assert found.get("event_name") == "buy"
    assert any("was mended" in note for note in found.notes)


@pytest.mark.parametrize("body", [b"{event_name=a b, af_sub1=c}", b"{'event_name': 'buy'", b"{'a': 1}{'b': 2}"])
def test_what_can_be_read_in_two_ways_is_not_read(body: bytes) -> None:
    """A dead letter keeps all of it, and names the fault that it has as JSON."""
    found = dead(body)
    assert found.reason == "not_json"
    assert re.search(r"not readable JSON: [A-Z][^:]+ at line 1, character \d+\.$", found.detail)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "but a list and"),
        (b'"buy"', "but a text and"),
        (b"7", "but a number and"),
        (b"1.5", "but a number and"),
        (b"null", "but null and"),
        (b"true", "but a flag and"),
        (b'{"event_name":"a"}\n{"event_name":"b"}', "Extra data at line 2, character 1."),
        (b"event_name", "Expecting value at line 1, character 1."),
        (b"\x80\xff", "Expecting value at line 1, character 1."),
    ],
)
def test_a_message_that_is_no_object_is_said_in_words_of_json(body, words):
    """And not in those of Python; what breaks JSON is named with its place."""
    assert words in dead(body).detail


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b'"{"', "not_an_object"),
        (b"[[]]", "not_an_object"),
        (b'[{"event_name":"a"},{"event_name":"b"}]', "not_an_object"),
        (b'[{"event_name":"a"},null]', "not_an_object"),
        (b"{", "not_json"),
        (b"hello", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"event_value": ' + b"[" * 100_000, "nested_too_deep"),
        (b'{"new": ' + b'{"a":' * 100_000, "nested_too_deep"),
        (b"[" * 100_000, "nested_too_deep"),
    ],
)
def test_what_is_no_json_object_is_dead_with_a_reason(body: bytes, reason: str) -> None:
    """Bytes that can't be a message become a dead letter, never an exception."""
    assert dead(body).reason == reason


@pytest.mark.parametrize("body", [b"", b"?", b"&&&", b"&".join([b"a=1"] * 5000)])
def test_a_query_string_without_fields_is_dead(body: bytes) -> None:
    """An empty GET, or a flood of pairs, is no message."""
    assert dead(body, Media.QUERY).reason == "not_query"


@pytest.mark.parametrize(
    ("name", "word", "flag"),
    [
        ("ad_user_data_enabled", "granted", True),
        ("ad_personalization_enabled", "denied", False),
        ("is_lat", "denied", True),
        ("gdpr_applies", "denied", True),
        ("is_lat", "disabled", False),
        ("wifi", "denied", None),
    ],
)
def test_a_word_for_consent_is_one_of_consent_alone(name, word, flag):
    """What else is denied may be tracking or its limit: it is no permission."""
    found = read(json.dumps({"appsflyer_id": "1-1", name: word}).encode(), Media.JSON)
    assert isinstance(found, Postback)
    assert getattr(found, name) is flag
