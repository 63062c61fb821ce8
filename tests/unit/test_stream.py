import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.amplitude.stream import SeenUser, time_ms, walk
from flybridge.identity import IdKind
from flybridge.lenient_json import decode

EVENT = {
    "user_id": "ann@example.com",
    "device_id": "C8F9E604-F01A-4BD9-95C6-8E5357DF265D",
    "event_type": "Trial Started",
    "event_time": "2026-01-18 08:44:02.740000",
    "platform": "iOS",
    "idfa": "AEBE52E7-03EE-455A-B3C4-E57283966239",
    "user_properties": {"appsflyer_id": "1629191854863-7087037"},
}


def read(body: bytes) -> Iterator[SeenUser]:
    return walk(decode(body))


def test_an_exported_event_teaches_every_identifier_it_carries():
    """User, device, advertising id and AppsFlyer id belong together."""
    (seen,) = read(json.dumps(EVENT).encode())
    assert (seen.user_id, seen.device_id, seen.seen_ms) == (EVENT["user_id"], EVENT["device_id"], 1768725842740)
    assert seen.ids == {
        IdKind.IDFA: EVENT["idfa"],
        IdKind.IDFV: EVENT["device_id"],
        IdKind.APPSFLYER_ID: "1629191854863-7087037",
        IdKind.CUSTOMER_USER_ID: EVENT["user_id"],
    }


def test_the_device_id_is_a_vendor_id_on_ios_only():
    """Amplitude's Android SDK makes its device ids up."""
    (seen,) = read(json.dumps(EVENT | {"platform": "Android"}).encode())
    assert IdKind.IDFV not in seen.ids


def test_a_cohort_batch_teaches_about_each_of_its_users():
    """Members with properties are sightings too."""
    users = [{"user_id": f"user-{n}", "user_properties": {"idfv": f"F00D-{n}"}} for n in range(3)]
    found = list(read(json.dumps({"cohort_id": "7khm89cz", "in_cohort": True, "users": users}).encode()))
    assert [seen.ids[IdKind.IDFV] for seen in found] == ["F00D-0", "F00D-1", "F00D-2"]


def test_junk_ids_teach_nothing():
    """All-zero ids and placeholders belong to nobody."""
    event = {"user_id": "unknown", "device_id": "00000000-0000-0000-0000-000000000000"}
    assert list(read(json.dumps(event).encode())) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2026-01-18 08:44:02", 1768725842000), ("2026-01-18T08:44:02Z", 1768725842000), (12, 12_000), ("soon", None),
     (True, None), (None, None), (-5, None), ("1795168800000", 1795168800000), ("1795168800", 1795168800000),
     (1795168800.5, 1795168800500), ("1,795,168,800,000", 1795168800000), ("2026-01-18T10:44:02+02:00", 1768725842000),
     ("2026-01-18 08:44:02 UTC", 1768725842000), ("2026-01-18t08:44:02z", 1768725842000),
     ("2026-01-18T09:44:02.000+01:00[Europe/Berlin]", 1768725842000), ("18.01.2026, 08:44", 1768725840000),
     ("2026-01-18 8:44:02", 1768725842000), ("1768725842000123", 1768725842000), (1768725842000123456, 1768725842000),
     ("1.768725842E12", 1768725842000), ("9999-12-31T23:59:59-12:00", None), ("0001-01-01T00:00:00+14:00", None),
     (1e300, None), ("9" * 5000, None), ("9" * 25, None), ("0x10", None), ("1e", None),
     ("", None), (float("nan"), None)],
)  # fmt: skip
def test_times_are_read_in_every_documented_form(value, expected):
    """Unreadable times are absent, not an error."""
    assert time_ms(value) == expected


def test_bytes_that_are_not_json_say_so():
    """The flow makes a dead letter of it."""
    with pytest.raises(ValueError, match="JSON"):
        list(read(b"{nope"))


UUID = "38400000-8cf0-41bd-b23e-10b96e40000d"
BOTH = {IdKind.IDFV: UUID, IdKind.IDFA: UUID}
ANDROID = {IdKind.ADID: UUID}


@pytest.mark.parametrize(
    ("device_id", "platform", "expected"),
    [
        (UUID, "iOS", BOTH),
        (UUID.upper(), "ios", {kind: UUID.upper() for kind in BOTH}),
        (UUID, "tvOS", BOTH),
        (UUID, "Android", ANDROID),
        (UUID, "Fire OS", ANDROID),
        (UUID, "", BOTH | ANDROID),
        (UUID, "Web", {}),
        (UUID, "Windows", {}),
        (UUID + "S", "Android", {IdKind.APP_SET_ID: UUID}),
        (UUID + "S", "", {IdKind.APP_SET_ID: UUID}),
        (UUID + "S", "iOS", {}),
        (UUID + "R", "Android", {}),
        (UUID + "R", "iOS", {}),
        (UUID + "R", "", {}),
        ("dev-2", "iOS", {}),
        ("dev-2S", "Android", {}),
        (f" {UUID} ", "Android", ANDROID),
        ("00000000-0000-0000-0000-000000000000", "Android", None),
        ("00000000-0000-0000-0000-000000000000S", "Android", None),
    ],
)
def test_a_device_id_is_read_as_what_the_sdk_made_it(device_id, platform, expected):
    """IDFV or IDFA on iOS, advertising id on Android, App Set id with an S behind it, never one that is random."""
    event = {"device_id": device_id, "platform": platform, "adid": None, "idfa": None, "idfv": None}
    found = [seen.ids for seen in read(json.dumps(event).encode())]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize("name", ["platform", "os_name"])
def test_the_platform_is_said_by_either_of_two_fields(name):
    """Some webhooks leave out the first."""
    (seen,) = read(json.dumps({"device_id": UUID, name: "android"}).encode())
    assert seen.ids == ANDROID


def test_an_identifier_of_its_own_field_takes_precedence_over_the_device_id():
    """A template may send what the default payload has wiped."""
    (seen,) = read(json.dumps({"device_id": UUID, "platform": "iOS", "idfv": "A-VENDOR-ID"}).encode())
    assert seen.ids == {IdKind.IDFV: "A-VENDOR-ID", IdKind.IDFA: UUID}


AF_ID = "1629191854863-7000002"


@pytest.mark.parametrize(
    "properties",
    [
        {"appsflyer_id": AF_ID},
        {"$set": {"appsflyer_id": AF_ID}},
        {"$setOnce": {"appsflyer_id": AF_ID}},
        {"$set": {"appsflyer_id": AF_ID}, "$setOnce": {"initial_source": "x"}},
        {"$set": {"appsflyer_id": AF_ID}, "$setOnce": {"appsflyer_id": "1500000000000-7000001"}},
        {"$set": {"appsflyer_id": AF_ID}, "appsflyer_id": "1500000000000-7000001"},
        {"$set": json.dumps({"appsflyer_id": AF_ID}), "plan": "free"},
        {"$add": {"logins": 1}, "$set": {"AppsFlyer ID": AF_ID}, "$unset": {"appsflyer_id": "-"}},
    ],
)
def test_operations_of_identify_teach_like_properties(properties):
    """The newest value counts: `$set`, then a plain property, then `$setOnce`."""
    (seen,) = read(json.dumps({"user_id": "user-2", "device_id": "dev-2", "user_properties": properties}).encode())
    assert seen.ids == {IdKind.APPSFLYER_ID: AF_ID, IdKind.CUSTOMER_USER_ID: "user-2"}


@pytest.mark.parametrize(
    "properties", [None, [], "x", "{", {"$set": None}, {"$set": "{no"}, {"$set": [1]}, {"$set": {}}]
)
def test_properties_of_another_form_teach_nothing(properties):
    """And do not hide the rest of the message."""
    (seen,) = read(json.dumps({"user_id": "user-2", "user_properties": properties}).encode())
    assert seen.ids == {IdKind.CUSTOMER_USER_ID: "user-2"}


NAMES = st.sampled_from(["users", "user_id", "device_id", "user_properties", "idfa", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


@given(json_values)
def test_any_json_is_read_without_an_error(value):
    """Custom templates send anything."""
    list(read(json.dumps(value).encode()))
