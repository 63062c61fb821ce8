"""Of which platform an event is, and what an extra property gives away about a person."""

from __future__ import annotations

import json

import pytest

from flybridge.amplitude.streamed import Streamed
from flybridge.mapping.to_appsflyer.contacts import is_contact
from flybridge.mapping.to_appsflyer.map import Left, MappedEvent, choose, map_event
from flybridge.mapping.to_appsflyer.rules import StreamRules

BASE = {
    "event_type": "Order Completed",
    "event_time": "2026-11-20 10:00:00.000000",
    "device_id": "d-1",
    "$insert_id": "i",
}
DEVICE = {"os_version": "14", "version_name": "2.1", "ip_address": "203.0.113.9"}


def rules(platform: str = "android", **settings) -> StreamRules:
    return StreamRules(app="shop", platform=platform, events=("Order *", "af_*"), **settings)


def sent(event: dict, streams: StreamRules) -> dict | str:
    """Return the item, or why there is none."""
    chosen = choose(Streamed(event), [streams])
    if isinstance(chosen, Left):
        return chosen.reason
    mapped = map_event(Streamed(event), chosen, 0)
    assert isinstance(mapped, MappedEvent)
    return json.loads(mapped.body)


@pytest.mark.parametrize(
    ("app", "event", "outcome"),
    [
        ("android", {"platform": "Android"}, "own"),
        ("android", {"platform": "android"}, "own"),
        ("android", {"os_name": "Fire OS"}, "own"),
        ("android", {}, "own"),
        ("android", {"platform": ""}, "own"),
        ("android", {"platform": "iOS"}, "other_platform"),
        ("android", {"platform": "tvOS"}, "other_platform"),
        ("android", {"os_name": "ios"}, "other_platform"),
        ("android", {"platform": "Web", "os_name": "Chrome"}, "elsewhere"),
        ("android", {"platform": "Server"}, "elsewhere"),
        ("ios", {"platform": "iOS"}, "own"),
        ("ios", {"platform": "iPadOS"}, "own"),
        ("ios", {"platform": "Android"}, "other_platform"),
        ("ios", {"platform": "Web"}, "elsewhere"),
        ("other", {"platform": "Android"}, "own"),
        ("other", {"platform": "Web"}, "own"),
    ],
)
def test_what_an_event_says_of_its_device_is_the_device_of_the_app_or_is_not_sent(app, event, outcome):
    """A browser's version is no iOS version, and an event of the other app is not sent at all."""
    found = sent(BASE | DEVICE | event, rules(app))
    if outcome == "other_platform":
        assert found == outcome
        return
    there = {"os", "app_version_name", "ip"} & set(found)
    assert there == ({"os", "app_version_name", "ip"} if outcome == "own" else set())


def test_what_is_configured_is_sent_from_everywhere():
    """A web shop that knows the version of the app says so."""
    found = sent(
        BASE | DEVICE | {"platform": "Web", "event_properties": {"app_os": "15"}},
        rules(properties={"os": "event_properties.app_os"}),
    )
    assert found["os"] == "15"


NATIONAL = (
    "06 12 34 56 78", "06.12.34.56.78", "06-12-34-56-78", "020 7946 0123", "(020) 7946 0123", "0170 123 4567",
    "0170/123 45 67", "044 123 45 67", "03-1234-5678", "02 1234 5678", "0470 12 34 56", "1-800-555-0199",
    "1 (555) 010-9999", "1.555.010.9999", "+49\u2011170\u20111234567", "0170\u00a01234567",
    "06\u00a012\u00a034\u00a056\u00a078", "\u0660\u0661\u0667\u0660 \u0661\u0662\u0663\u0664\u0665\u0666\u0667",
    "\uff10\uff16 12 34 56 78",
)  # fmt: skip
"""Phone numbers as their countries write them."""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("customer_email", "someone@example.com"), ("Email Address", "someone@example.com"),
        ("note", "ask a.b@example.co.uk"),
        ("userPhone", "+4917000000000"), ("contact", "+44 20 7031 3000"), ("msisdn", 4917000000000),
        ("phone", "017000000"),
        ("items", [{"owner": "x@example.com"}]), ("profile", {"who": "x%40example.com"}), ("emailHash", "0f" * 32),
        ("user_email", "withheld"), ("firstName", "Ada"), ("billing.last_name", "Lovelace"), ("Surname", "Lovelace"),
        ("e-mail", "x"), ("E-Mail", "x"), ("EMAIL", "x"), ("mobile_number", "0170 000 0000"),
        ("useremail", "withheld"), ("EMAILADDRESS", "x"), ("phonenumber", "017000000"), ("customerphone", 17000000),
        ("contact_no", "017000000"), ("telefon", "0170 000000"), ("any", "0170 0000000"), ("any", "(0170) 0000000"),
        ("recipient_name", "Ada"), ("vorname", "Ada"), ("correo", "x"), ("any", {"email": "withheld"}),
        ("any", [{"deep": {"phone": "017000000"}}]), ("someone@example.com", 1), ("any", {"someone@example.com": 1}),
        ("any", "someone\uff20example.com"), ("fax", "030123456"), ("gsm_no", 491700000000), ("celular", "11987654321"),
        ("billing_name", "Ada Lovelace"), ("shippingName", "Ada"), ("buyer-name", "Ada"), ("guest_name", "Ada"),
        ("passengerName", "Ada"), ("order.cardholder", "Ada"), ("beneficiary_name", "Ada"),
        *(("any", number) for number in NATIONAL), *(("any", f" {number}\n") for number in NATIONAL),
    ],
)  # fmt: skip
def test_contacts_are_recognised(key, value):
    """By value, and by parts of the key in any spelling."""
    assert is_contact(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("price", 3.5), ("phone_model", "Pixel 7"), ("email_opt_in", True), ("mailbox", "large"),
        ("title", "half an emoji"),
        ("item_name", "Cap"), ("telemetry", "on"), ("order_id", "2026-000123"), ("name", "Summer sale"),
        ("color", "[email]"),
        ("guest_count", "4"), ("shipping_method", "express"), ("fax_model", "X 10"), ("passengers", "2"),
        ("emails_sent", 4), ("sku", "AB-12345678"), ("rating", "4.5"),
        ("headphones", "WH-1000"), ("any", {"title": "Cap", "n": [1, "2026-11-27"]}), ("microphone", True),
        ("hotel", "Ritz"), ("any", "10:00-18:00"), ("any", "2026-11-27 10:00"), ("any", "0-1 000"),
        ("any", "04.12.2026"), ("any", "04/12/2026 10"), ("any", "04-12-2026"), ("any", "001-234-567"),
        ("any", "0123-4567-8901-23"), ("any", "1-800"), ("any", "1.234.567"), ("any", "12 34 56 78 90"),
    ],
)  # fmt: skip
def test_other_properties_are_no_contacts(key, value):
    """A word within a word says nothing, and neither do flags and counts."""
    assert not is_contact(key, value)


def test_contacts_among_the_extras_are_left_out_and_counted():
    """The others are sent."""
    properties = {"customer_email": "someone@example.com", "userPhone": "+4917000000000", "price": 3.5}
    chosen = choose(Streamed(BASE | {"event_properties": properties}), [rules(extras=("*",))])
    assert isinstance(chosen, StreamRules)
    mapped = map_event(Streamed(BASE | {"event_properties": properties}), chosen, 0)
    assert isinstance(mapped, MappedEvent)
    assert json.loads(json.loads(mapped.body)["eventValue"]) == {"price": 3.5}
    assert "contact_left_out" in mapped.remarks
    assert b"example.com" not in mapped.body


@pytest.mark.parametrize(
    ("event", "remarks"),
    [
        ({"event_type": "af_purchase"}, {"no_revenue"}),
        ({"event_type": "af_purchase", "event_properties": {"revenue": 3}}, set()),
        ({"event_type": "af_add_to_cart"}, set()),
        ({"event_type": "af_add_to_cart", "event_time": "soon"}, {"no_time"}),
        ({"event_type": "af_add_to_cart", "event_time": None, "time": "1795168800000"}, set()),
        ({"event_type": "af_add_to_cart", "event_time": None, "client_event_time": 1795168800}, set()),
    ],
)
def test_what_an_event_lacks_is_counted(event, remarks):
    """A purchase without revenue, and an event without a time."""
    mapped = map_event(Streamed(BASE | event), rules(), 1_795_168_800_000)
    assert isinstance(mapped, MappedEvent)
    assert set(mapped.remarks) - {"late"} == remarks


@pytest.mark.parametrize(
    ("platform", "system", "found"),
    [
        ("Android", "android", "android"), ("iPadOS", None, "ios"), (None, "iPhone OS", "ios"), ("Unity", "iOS", "ios"),
        ("React Native", "android", "android"), ("Web", "Android", "web"), ("Web", "Chrome", "web"),
        ("Server", None, "server"), ("Other", "Windows", "other"), (" ", "Linux", "linux"), (None, None, ""),
    ],
)  # fmt: skip
def test_the_platform_is_that_of_the_system_except_in_a_browser(platform, system, found):
    """Frameworks are no platforms."""
    assert Streamed({"platform": platform, "os_name": system}).platform == found
