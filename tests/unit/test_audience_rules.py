"""Which members of a cohort may be sent to an audience."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from audience_rules import audience_rule
from flybridge.amplitude.cohort_message import shows_any, value_of
from flybridge.audiences.rules import member_of
from flybridge.identity import Keyring
from flybridge.mapping.conditions import Condition
from flybridge.store.audiences.records import Lack

GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"

CONDITIONS = [
    ({"one_of": ["true"]}, {"x": True}, True),
    ({"one_of": ["true"]}, {"x": "true"}, True),
    ({"one_of": ["true"]}, {"x": "false"}, False),
    ({"one_of": ["true"]}, {}, False),
    ({"none_of": ["denied"]}, {"x": "granted"}, True),
    ({"none_of": ["denied"]}, {"x": "denied"}, False),
    ({"none_of": ["denied"]}, {}, True),
    ({"is": True}, {"x": "true"}, True),
    ({"is": True}, {"x": "no"}, False),
    ({"is_not": "de"}, {"x": "fr"}, True),
    ({"is_not": "de"}, {"x": "de"}, False),
    ({"contains": "plus"}, {"x": "shop plus"}, True),
    ({"not_contains": "plus"}, {"x": "shop plus"}, False),
    ({"ge": 100}, {"x": "99.5"}, False),
    ({"ge": 100}, {"x": "100.0"}, True),
    ({"lt": 10}, {"x": 9}, True),
    ({"exists": True}, {"x": "anything"}, True),
    ({"exists": True}, {"x": ""}, False),
    ({"absent": True}, {"x": "anything"}, False),
    ({"absent": True}, {}, True),
    ({"one_of": ["a"], "is": "a"}, {"x": "a"}, True),
    ({"one_of": ["a"], "is": "b"}, {"x": "a"}, False),
]


@pytest.mark.parametrize("path", ["x", "user_properties.x"])
@pytest.mark.parametrize(("condition", "properties", "allowed"), CONDITIONS)
def test_every_operator_of_a_condition_decides(
    path: str, condition: dict[str, Any], properties: dict[str, Any], allowed: bool
) -> None:
    """A member who meets all of it is sent; one who does not is counted as lacking consent."""
    where = msgspec.convert({"property": path, **condition}, Condition)
    rule = audience_rule("shop", "vips", "c1", "gaid", where=(where,))
    values = {"gaid": GAID, **properties}
    member = member_of(rule, Keyring(b"secret"), "ada-00001", "", values.get)
    assert member is not None
    assert (bool(member.marks), member.lack) == ((True, 0) if allowed else (False, Lack.CONSENT))
    assert "x" in rule.properties


@pytest.mark.parametrize("value", [1234567, 1234567.0, "1234567", " 1234567 ", [1234567]])
def test_a_number_is_the_same_identifier_however_it_is_written(value: Any) -> None:
    """As a template or a file may have it."""
    member = member_of(
        audience_rule("shop", "vips", "c1", "cuid", property="id"), Keyring(b"secret"), "ada", "", {"id": value}.get
    )
    assert member is not None
    assert member.identifier == "1234567"


def test_a_member_without_properties_is_not_sent_under_a_condition() -> None:
    """A message that carries no properties says nothing about them."""
    where = Condition(path="x", absent=True)
    rule = audience_rule("shop", "vips", "c1", "cuid", where=(where,))
    member = member_of(rule, Keyring(b"secret"), "ada-00001", "", {}.get, told=False)
    assert member is not None
    assert (member.marks, member.told) == ((), False)


IDFV = "95C9BD22-4A4C-41C8-9548-ED07C5C8C145"


@pytest.mark.parametrize(
    ("identifier", "properties", "sent"),
    [
        ("gaid", {"gaid": GAID}, GAID),
        ("gaid", {"gaid": f" {GAID}\n"}, GAID),
        ("gaid", {"gaid": f"{{{GAID}}}"}, GAID),
        ("gaid", {"gaid": f'"{GAID}"'}, GAID),
        ("gaid", {"gaid": [GAID]}, GAID),
        ("gaid", {"gaid": f"Optional({GAID})"}, GAID),
        ("gaid", {"gaid": "{gaid}", "adid": GAID}, GAID),
        ("gaid", {"gaid": "Limit Ad Tracking", "advertising_id": GAID}, GAID),
        ("gaid", {"gaid": "00000000-0000-0000-0000-000000000000", "adid": GAID}, GAID),
        ("gaid", {"gaid": "%%ADID%%"}, None),
        ("imei", {"imei": "{imei}"}, None),
        ("imei", {"imei": "990000862471854"}, "990000862471854"),
        ("idfv", {"idfv": f"{{{IDFV}}}"}, IDFV),
        ("braze_id", {"braze_id": "{a-1}"}, "{a-1}"),
        ("braze_id", {"braze_id": "{braze_id}"}, None),
        ("cuid", {"cuid": "{{user_id}}"}, "ada-00001"),
        ("cuid", {}, "ada-00001"),
    ],
)
def test_an_identifier_is_sent_as_appsflyer_knows_it(identifier: str, properties: dict[str, Any], sent: str) -> None:
    """Without what stands around it; a macro or a word is nobody's, and another property may have the identifier."""
    rule = audience_rule("shop", "vips", "c1", identifier)
    member = member_of(rule, Keyring(b"secret"), "ada-00001", "", properties.get)
    assert member is not None
    assert ((member.identifier, bool(member.marks)) == (sent, True)) if sent else member.lack == Lack.IDENTIFIER


@pytest.mark.parametrize("name", ["gaid", "GAID", " Gaid ", "gp:gaid", "user_properties.gaid"])
def test_a_property_of_a_message_is_found_as_the_column_of_a_file_is(name: str) -> None:
    """Whatever its letters and what exports put before it; the exact name first."""
    rule = audience_rule("shop", "vips", "c1", "gaid")
    member = member_of(rule, Keyring(b"secret"), "ada-00001", "", value_of({name: GAID}))
    assert member is not None
    assert member.identifier == GAID
    assert shows_any({name: GAID}, rule.properties)
    assert value_of({"GAID": "other", "gaid": GAID})("gaid") == GAID
    assert not shows_any({"gaids": GAID}, rule.properties)
    assert not shows_any(None, rule.properties)


def test_a_member_who_has_denied_it_in_other_letters_is_not_sent() -> None:
    """A condition that excludes a value passes where there is none."""
    where = Condition(path="user_properties.Ads_Consent", none_of=("denied",))
    rule = audience_rule("shop", "vips", "c1", "cuid", where=(where,))
    for name, lack in (("ads_consent", Lack.CONSENT), ("Ads_Consent", Lack.CONSENT), ("other", 0)):
        properties = {name: "denied"}
        member = member_of(rule, Keyring(b"secret"), "ada-00001", "", value_of(properties))
        assert member is not None
        assert member.lack == lack
