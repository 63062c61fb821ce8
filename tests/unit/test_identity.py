import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.identity import CASELESS, IdKind, Keyring, device_identifier, normalise, usable

ZEROS = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "junk", [None, "", "  ", ZEROS, "0000", "0", "-1", "NULL", "n/a", "Unknown", "(null)", "LMY47D"]
)
def test_placeholders_and_zeros_name_nobody(junk):
    """Ids that SDKs send when they have none are no ids."""
    assert usable(junk) is None
    assert Keyring(b"secret").keys("app", IdKind.IDFA, junk) == ()


def test_advertising_ids_match_in_either_case():
    """AppsFlyer and Amplitude report the same advertising id in different case."""
    ring = Keyring(b"secret")
    assert ring.key("app", IdKind.IDFA, "AEBE52E7-03EE") == ring.key("app", IdKind.IDFA, " aebe52e7-03ee ")


def test_customer_user_ids_keep_their_case():
    """A company may have both `Ann` and `ann`."""
    assert normalise(IdKind.CUSTOMER_USER_ID, "Ann") != normalise(IdKind.CUSTOMER_USER_ID, "ann")


@given(st.text(min_size=1), st.text(min_size=1))
def test_keys_of_different_apps_and_kinds_never_meet(app, value):
    """A key belongs to one app and one kind."""
    ring = Keyring(b"secret")
    keys = [ring.key(a, kind, value) for a in (app, app + "x") for kind in IdKind]
    found = [key for key in keys if key is not None]
    assert len(set(found)) == len(found)


def test_rotation_still_finds_keys_of_former_secrets():
    """After a rotation, the former secret's keys are among those that are looked up."""
    former = Keyring(b"former").key("app", IdKind.ADID, "aebe52e7")
    keys = Keyring(b"current", b"former").keys("app", IdKind.ADID, "aebe52e7")
    assert keys[0] == Keyring(b"current").key("app", IdKind.ADID, "aebe52e7")
    assert keys[1] == former


def test_an_empty_secret_is_refused():
    """Hashing without a secret would let anybody name the people behind the keys."""
    with pytest.raises(ValueError, match="empty"):
        Keyring(b"")


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3), st.text(max_size=80).filter(usable))
def test_a_key_is_the_hmac_of_app_kind_and_id(secrets, value):
    message = f"shop\0customer_user_id\0{normalise(IdKind.CUSTOMER_USER_ID, value)}".encode("utf-8", "surrogatepass")
    expected = tuple(hmac.digest(secret, message, "sha256")[:16] for secret in secrets)
    assert Keyring(*secrets).keys("shop", IdKind.CUSTOMER_USER_ID, value) == expected


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('"38400000-8cf0-11bd-b23e-10b96e40000d"', "38400000-8cf0-11bd-b23e-10b96e40000d"),
        ("{38400000-8CF0-11BD-B23E-10B96E40000D}", "38400000-8cf0-11bd-b23e-10b96e40000d"),
        ("384000008CF011BDB23E10B96E40000D", "384000008cf011bdb23e10b96e40000d"),
        ("ab-cd-ef", "ab-cd-ef"),
        ("vendor-0001", "vendor-0001"),
        ("a" * 64, "a" * 64),
        ("{gaid}", None),
        ("%%ADID%%", None),
        ("__IDFA__", None),
        ("[advertising_id]", None),
        ("Limit Ad Tracking", None),
        ("opted-out", None),
        ("3840****-****", None),
        ("{}", None),
        ('""', None),
        ("38400000\u20108cf0", None),
    ],
)
def test_what_many_devices_say_is_no_identifier_of_one(written, found):
    """A macro that was not filled in would make one person of all of them; a customer user id is the company's own."""
    for kind in CASELESS:
        assert normalise(kind, written) == found
    assert device_identifier(written) in (None, written.strip('"{}'))
    assert normalise(IdKind.CUSTOMER_USER_ID, written) == usable(written)
