"""The mapping as data: rows, converters, explanation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flybridge.appsflyer.fields import NAMES
from flybridge.appsflyer.postback import Postback, read
from flybridge.mapping.consent import RULES as CONSENT
from flybridge.mapping.restrictions import ADVERTISING
from flybridge.mapping.table import brand, flag, integer, mask, model, moment, money, plain
from flybridge.mapping.to_amplitude.countries import COUNTRIES
from flybridge.mapping.to_amplitude.explain import Explanation, explain
from flybridge.mapping.to_amplitude.place import country_name
from flybridge.mapping.to_amplitude.rows import DERIVED, OPTIONAL, ROWS
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Media

GAID = "1738f7d9-3d9c-4724-91e2-0b8f6b0d549b"
MESSAGE = {
    "event_name": "af_purchase", "conversion_type": "install", "campaign_type": "ua", "media_source": "partner_int",
    "campaign": "Spring", "appsflyer_id": "1769860811311-4118287541818", "customer_user_id": "customer-48213",
    "advertising_id": GAID, "ip": "203.0.113.77", "event_time": "2026-02-01 09:30:00.500", "platform": "android",
    "operator": "O2", "carrier": "Telekom", "custom_data": {"amplitude_device_id": "F3C1B2D0-5A7E", "plan": "pro"},
    "event_value": {"price": 3, "email": "person@example.com", "gaid": GAID}, "wifi": True,
    "event_revenue": 3, "event_revenue_currency": "EUR",
}  # fmt: skip


def explained(message: dict[str, Any], **given: Any) -> Explanation:
    postback = read(json.dumps(message).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    return explain(postback, Rules(**{"app": "shop", "platform": "android", **given}), 1_790_000_000_000)


def test_every_row_reads_a_field_that_exists_and_cites_its_page() -> None:
    """A mistyped source would map nothing, in silence."""
    for row in (*ROWS, *OPTIONAL):
        assert row.source in NAMES
        assert row.doc.startswith("https://")
    for rule in DERIVED:
        assert set(rule.sources) <= set(NAMES)


def test_what_is_hidden_of_restricted_sources_exists() -> None:
    """A mistyped name would hide nothing."""
    assert set(NAMES) >= ADVERTISING


def test_no_row_makes_a_property_of_an_identifier() -> None:
    """Identifiers have fields of their own."""
    ids = {"idfa", "idfv", "advertising_id", "amazon_aid", "oaid", "imei", "android_id", "android_app_set_id"}
    assert not [row for row in (*ROWS, *OPTIONAL) if row.source in ids]


def test_country_codes_are_two_letters_and_names_are_names() -> None:
    """The table has the 249 codes of ISO 3166, Kosovo, and AppsFlyer's UK."""
    assert len(COUNTRIES) == 249 + 2
    assert COUNTRIES["UK"] == COUNTRIES["GB"]
    assert all(len(code) == 2 and code.isupper() and len(name) > 2 for code, name in COUNTRIES.items())


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (plain, 3.0, "3"),
        (plain, True, "true"),
        (plain, {"a": 1}, None),
        (money, "12.5", 12.5),
        (money, "much", None),
        (money, float("nan"), None),
        (integer, "3", 3),
        (integer, "3.5", None),
        (integer, None, None),
        (flag, "true", True),
        (flag, "maybe", None),
        (moment, "2026-01-31 12:00:11.311", "2026-01-31T12:00:11"),
        (moment, "2026-01-31 13:00:11.311+0100", "2026-01-31T12:00:11"),
        (moment, "2026-02-30 12:00:11", None),
        (moment, "1931-01-31 12:00:11", None),
        (moment, "1769860811", "2026-01-31T12:00:11"),
        (country_name, "de", "Germany"),
        (brand, "samsung::SM-G991B", "samsung"),
        (brand, "iPhone15,2", None),
        (model, "samsung::SM-G991B", "SM-G991B"),
        (model, "samsung::", None),
    ],
)
def test_converters(convert: Any, value: Any, expected: Any) -> None:
    """None means that the target is left out."""
    assert convert(value) == expected


def test_an_explanation_says_what_became_of_each_field() -> None:
    """Row by row, with the value as it is sent."""
    rows = {(row.source, row.target): row for row in explained(MESSAGE).rows}
    assert rows["campaign", "event_properties.[AppsFlyer] campaign"].value == "Spring"
    assert rows["carrier", "carrier"].value == "Telekom"
    assert rows["operator", "carrier"].value is None
    assert "earlier row" in rows["operator", "carrier"].note
    ruled = {row.target: row for row in explained(MESSAGE).rows}
    assert ruled["revenue"].value == 3
    assert "event_revenue" in ruled["revenue"].source
    assert ruled["time"].value == 1_769_938_200_500


def test_an_explanation_names_nobody() -> None:
    """Ids, address and whatever may name a person are masked wherever they appear."""
    shown = repr(explained(MESSAGE))
    for personal in (
        GAID,
        "customer-48213",
        "203.0.113.77",
        "F3C1B2D0-5A7E",
        "person@example.com",
        MESSAGE["appsflyer_id"],
    ):
        assert str(personal) not in shown
    assert "cust…" in shown


def test_an_explanation_of_a_restricted_source_says_so_and_does_not_tell_it() -> None:
    """What is hidden from Amplitude is hidden here."""
    found = explained(MESSAGE, restrictions={"partner_int": "redact"})
    hidden = next(row for row in found.rows if row.source == "campaign")
    assert hidden.value is None
    assert "Restricted" in hidden.note


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"event_name": "uninstall", "event_value": None, "event_revenue": None}, "filtered: uninstall"),
        ({"event_name": None, "conversion_type": None}, "dead: "),
    ],
)
def test_what_is_not_mapped_is_explained_too(change: dict[str, Any], word: str) -> None:
    """The outcome and its reason."""
    assert explained(MESSAGE | change).outcome.startswith(word)


def test_a_refusal_is_explained() -> None:
    """With the reason code of the docs."""
    assert explained(MESSAGE, restrictions={"default": "drop"}).outcome == "refused: restricted_source"


def test_masks_show_a_beginning_of_long_values_only() -> None:
    """Enough to tell two apart, too little to use."""
    assert mask("1738f7d9-3d9c") == "1738…"
    assert mask("short") == "…"
    assert mask(None) is None


def test_consent_rules_have_different_names() -> None:
    """Notes and docs refer to them."""
    assert len({rule.name for rule in CONSENT}) == len(CONSENT)
