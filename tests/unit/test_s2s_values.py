"""Values as AppsFlyer's server-to-server API takes them."""

from hashlib import sha256

import pytest

from flybridge.appsflyer.currencies import CODES, TAKEN
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer import sharing
from flybridge.sandbox.vendors.inapp_schema import SCHEMA


def digest(text: str) -> str:
    """Hash as the page says: SHA-256, in hex."""
    return sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (s2s.appsflyer_id, " 1629191854863-7087037 ", "1629191854863-7087037"),
        (s2s.appsflyer_id, "1629191854863-1234567890123456789", "1629191854863-1234567890123456789"),
        (s2s.appsflyer_id, "162919185486-7087037", None),
        (s2s.appsflyer_id, "1629191854863_7087037", None),
        (s2s.appsflyer_id, "1629191854863-7087037\n1", None),
        (s2s.user, "ada", "ada"),
        (s2s.user, "null", None),
        (s2s.user, '"ada"', "ada"),
        (s2s.user, 'Optional("ada")', "ada"),
        (s2s.user, ["ada"], "ada"),
        (s2s.user, [42], "42"),
        (s2s.user, 42.0, "42"),
        (s2s.user, ["ada", "bob"], None),
        (s2s.user, '"null"', None),
        (s2s.user, 42, "42"),
        (s2s.device, "00000000-0000-0000-0000-000000000000", None),
        (s2s.device, "x" * 129, None),
        (s2s.apple, "aebe52e7-03ee-455a-b3c4-e57283966239", "AEBE52E7-03EE-455A-B3C4-E57283966239"),
        (s2s.apple, "AEBE52E7", None),
        (s2s.ipv4, "192.0.2.1", "192.0.2.1"),
        (s2s.ipv4, "2001:db8::1", None),
        (s2s.ipv4, "300.1.1.1", None),
        (s2s.version, "iOS 17.5.1", "17.5.1"),
        (s2s.version, 14, "14"),
        (s2s.version, "beta", None),
        (s2s.att, "authorized", 3),
        (s2s.att, "af_authorized", 3),
        (s2s.att, "Not Determined", 0),
        (s2s.att, "2", 2),
        (s2s.att, 1, 1),
        (s2s.att, "unknown", None),
        (s2s.att, "notDetermined", 0),
        (s2s.att, "not-determined", 0),
        (s2s.att, ".denied", 2),
        (s2s.att, "TrackingStatus.restricted", 1),
        (s2s.att, "ATTrackingManagerAuthorizationStatusDenied", 2),
        (s2s.att, "ATTrackingManagerAuthorizationStatus(rawValue: 3)", 3),
        (s2s.att, ["denied"], 2),
        (s2s.att, 2.0, 2),
        (s2s.yes, "Yes", True),
        (s2s.yes, ["true"], True),
        (s2s.yes, 1.0, True),
        (s2s.yes, "1.0", True),
        (s2s.yes, '"true"', True),
        (s2s.yes, "'no'", False),
        (s2s.yes, "Optional(false)", False),
        (s2s.yes, "\ufefftrue\u200b", True),
        (s2s.yes, "2.0", None),
        (s2s.yes, "", None),
        (s2s.words, "rye\u200b", "rye"),
        (s2s.words, "\u200b", None),
        (s2s.no, "ENABLED", False),
        (s2s.no, "off", True),
        (s2s.words, "(null)", None),
        (s2s.ipv4, "::ffff:192.0.2.1", "192.0.2.1"),
        (s2s.ipv4, "192.0.2.1:443", None),
        (s2s.yes, "true", True),
        (s2s.yes, 0, False),
        (s2s.no, "true", False),
        (s2s.no, "perhaps", None),
        (s2s.amount, "6", "6"),
        (s2s.amount, -9.99, "-9.99"),
        (s2s.amount, "1e3", "1000"),
        (s2s.amount, 0.1 + 0.2, "0.3"),
        (s2s.amount, -0.0, "0"),
        (s2s.amount, "9,99", "9.99"),
        (s2s.amount, "Optional(9.99)", "9.99"),
        (s2s.amount, 'Optional("9,99 €")', "9.99"),
        (s2s.amount, "$9", "9"),
        (s2s.amount, "1,234", None),
        (s2s.amount, True, None),
        (s2s.amount, 0.0000123, "0.0000123"),
        (s2s.amount, 0.0010000000000000002, "0.001"),
        (s2s.price, [2.5, "1,50"], ["2.5", "1.5"]),
        (s2s.price, [2.5], "2.5"),
        (s2s.price, [2.5, None], None),
        (s2s.price, [], None),
        (s2s.amount, "inf", None),
        (s2s.currency, " eur ", "EUR"),
        (s2s.currency, "euro", None),
        (s2s.currency, "€", "EUR"),
        (s2s.currency, "$", None),
        (s2s.currency, ["EUR"], "EUR"),
        (s2s.currency, '"eur"', "EUR"),
        (s2s.currency, ["EUR", "USD"], None),
        (s2s.content, "(null)", None),
        (s2s.content, ["null", "a", "N/A"], ["a"]),
        (s2s.content, ["a", 1, None, []], ["a", 1]),
        (s2s.content, [], None),
        (s2s.content, {"a": 1}, None),
        (s2s.json_text, {"a": 1}, '{"a":1}'),
        (s2s.json_text, '{"a":1}', '{"a":1}'),
        (s2s.ipv4, "10.1.2.3", None),
        (s2s.ipv4, "172.31.0.9", None),
        (s2s.ipv4, "192.168.0.9", None),
        (s2s.ipv4, "127.0.0.1", None),
        (s2s.ipv4, "169.254.1.1", None),
        (s2s.ipv4, "0.0.0.0", None),
        (s2s.ipv4, "::ffff:10.1.2.3", None),
        (s2s.ipv4, "172.32.0.9", "172.32.0.9"),
        (sharing.partners, "all", "all"),
        (sharing.partners, ["x_int", "all"], "all"),
        (sharing.partners, '["x_int", "y_int"]', ["x_int", "y_int"]),
        (sharing.partners, [], None),
        (sharing.partners, "ALL", "all"),
        (sharing.partners, "none", None),
        (sharing.partners, "['x_int', 'y_int']", ["x_int", "y_int"]),
        (sharing.partners, "x_int; y_int|z_int", ["x_int", "y_int", "z_int"]),
        (sharing.partners, "Facebook Ads", ["Facebook Ads"]),
        (sharing.partners, ["twitter_int", "IOSSearchAds_int", "x_int"], ["twitter", "Apple Search Ads", "x_int"]),
        (sharing.partners, "twitter_int,twitter", ["twitter"]),
        (sharing.partners, True, "all"),
        (sharing.partners, "true", "all"),
        (sharing.partners, False, None),
        (sharing.partners, "no", None),
        (sharing.partners, ["x_int\u200b"], ["x_int"]),
        (sharing.partners, ["none"], None),
        (sharing.partners, {"partners": ["x_int"]}, "all"),
        (sharing.partners, '{"partners": ["x_int"]}', "all"),
        (sharing.partners, [{"id": "x_int"}], "all"),
        (sharing.partners, {}, None),
        (sharing.consent, '{"manual":{"gdpr_applies":"true"}}', {"manual": {"gdpr_applies": True}}),
        (sharing.consent, {"tcf": {"tcstring": "x", "junk": 1}}, {"tcf": {"tcstring": "x"}}),
        (sharing.consent, {"other": 1}, None),
        (sharing.consent, "no", None),
        (sharing.consent, '"{\\"manual\\":{\\"gdpr_applies\\":1}}"', {"manual": {"gdpr_applies": True}}),
        (sharing.consent, {"manual": '{"gdpr_applies":"yes"}'}, {"manual": {"gdpr_applies": True}}),
        (
            sharing.consent,
            {"gdpr_applies": True, "ad_user_data_enabled": "false"},
            {"manual": {"gdpr_applies": True, "ad_user_data_enabled": False}},
        ),
        (sharing.consent, {"gdpr_applies": 1}, {"manual": {"gdpr_applies": True}}),
        (
            sharing.consent,
            {"tcf": {"tcstring": "x"}, "manual": {"ad_user_data_enabled": False}},
            {"manual": {"ad_user_data_enabled": False}},
        ),
        (sharing.consent, {"tcf": {"tcstring": "x"}, "manual": {"gdpr_applies": True}}, {"tcf": {"tcstring": "x"}}),
        (sharing.consent, {"tcf": {"tcstring": "x"}, "manual": {}}, {"tcf": {"tcstring": "x"}}),
        (
            sharing.consent,
            {"tcstring": "x", "gdpr_applies": "true", "policy_version": 4},
            {"tcf": {"tcstring": "x", "gdpr_applies": 1, "policy_version": 4}},
        ),
        (
            sharing.consent,
            {"tcf": {"tcstring": "x", "gdpr_applies": 2}},
            {"tcf": {"tcstring": "x"}},
        ),
        (sharing.consent, {"tcf": {"tcstring": False}}, None),
        (sharing.consent, {"tcstring": True, "gdpr_applies": 1}, {"manual": {"gdpr_applies": True}}),
        (
            sharing.consent,
            {"tcf": {"tcstring": "x", "gdpr_applies": "-1", "cmp_sdk_id": "300", "policy_version": "new"}},
            {"tcf": {"tcstring": "x", "gdpr_applies": -1, "cmp_sdk_id": 300}},
        ),
    ],
)
def test_a_value_is_what_the_page_asks_for_or_left_out(convert, value, expected):
    """Nothing is sent that AppsFlyer would answer with 200 and not understand."""
    assert convert(value) == expected


@pytest.mark.parametrize(
    ("convert", "value", "hashed"),
    [
        (s2s.email, " Ann@Example.COM ", "ann@example.com"),
        (s2s.phone, "+1 (650) 555-1212", "16505551212"),
        (s2s.phone, "001 650 555 1212", "16505551212"),
        (s2s.phone_e164, "+1 213-373-4253", "+12133734253"),
        (s2s.name, "ZOË", "zoë"),
    ],
)
def test_a_contact_is_normalised_and_hashed(convert, value, hashed):
    """As the page says for each; the clear value is nowhere in what comes out."""
    assert convert(value) == digest(hashed)
    assert convert(digest(hashed).upper()) == digest(hashed)


@pytest.mark.parametrize(("convert", "value"), [(s2s.email, "no address"), (s2s.phone, "12"), (s2s.phone_e164, "x")])
def test_what_is_no_contact_is_left_out(convert, value):
    """The hash of a placeholder would match strangers with each other."""
    assert convert(value) is None


def test_currencies_are_those_of_the_page():
    """All that are sent are in its list, and all of its list that money is counted in are sent."""
    sent = {code for code in CODES if s2s.currency(code) == code}
    assert sent == TAKEN == {code for code in CODES if SCHEMA["eventCurrency"](code)}
    assert {"USD", "MRU", "ZWL"} < sent
