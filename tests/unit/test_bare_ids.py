"""Ids without what apps leave around them: messages of both vendors are read by the same function."""

import pytest

from flybridge.appsflyer.fields import ABSENT
from flybridge.identity import device_identifier, installation
from flybridge.identity.bare import bare
from flybridge.mapping.person import named_user

WRITTEN = [
    ("ada-1", "ada-1"),
    ('"ada-1"', "ada-1"),
    ("'ada-1'", "ada-1"),
    ('["ada-1"]', "ada-1"),
    ("[1234567]", "1234567"),
    ('Optional("ada-1")', "ada-1"),
    ("Optional('ada-1')", "ada-1"),
    ("Optional(ada-1)", "ada-1"),
    ('Optional("ada(1)")', "ada(1)"),
    ("'O'Brien'", "O'Brien"),
    ("O'Brien'", "O'Brien'"),
    ('"ada-1', '"ada-1'),
    ('"  ada-1 "', "ada-1"),
    ("{gaid}", None),
    ('"{{user_id}}"', None),
    ("{38400000-8cf0-11bd-b23e-10b96e40000d}", "{38400000-8cf0-11bd-b23e-10b96e40000d}"),
    ("[ada-1]", "[ada-1]"),
    ("Optional", "Optional"),
    ('["ada-1","bob-2"]', None),
    ('{"a":1}', None),
    ("[true]", None),
    ('"null"', None),
    ("Optional(nil)", None),
    ('""', None),
    ("0", None),
    ("ada-1\0", "ada-1"),
    ("\0 ada-1\t\0", "ada-1"),
    ("(not set)", None),
    ("Not Set", None),
    ("(undefined)", None),
    ("(unknown)", None),
    ("notset-1", "notset-1"),
    ("1.23457E+12", None),
    ("1,23457E+12", None),
    ("2E+15", None),
    ('"1.23457E+12"', None),
    ("1.23457E+12a", "1.23457E+12a"),
    ("ANNE+12", "ANNE+12"),
    ('="1234567890123"', "1234567890123"),
    ('="1.23457E+12"', None),
    ('=""', None),
    ("=1234", "=1234"),
]


@pytest.mark.parametrize(("written", "meant"), WRITTEN)
def test_an_id_is_the_same_for_both_vendors(written, meant):
    """What Amplitude shows has to match what AppsFlyer reports, however either app has written it."""
    assert bare(written) == meant
    assert named_user(written) == meant


@pytest.mark.parametrize(
    ("value", "meant"),
    [(1234567, "1234567"), (1234567.0, "1234567"), ([1234567], "1234567"), (["ada-1"], "ada-1"), (['"ada-1"'], "ada-1"),
     (1.5, None), (True, None), (None, None), ([], None), (["a", "b"], None), ({"a": 1}, None), (float("inf"), None),
     (1.23e17, None), (2.0**53, None), (2.0**53 - 1, "9007199254740991"), ("12345678901234568.0", None)],
)  # fmt: skip
def test_an_id_may_be_a_number_or_alone_in_a_list(value, meant):
    """A number is the same with a fraction of zero; a flag is no id, and neither are several."""
    assert bare(value) == meant


@pytest.mark.parametrize("read", [bare, named_user, installation, device_identifier])
def test_no_word_for_nothing_is_an_id(read):
    """Each would be the same id for many people, whichever field or key it stands under."""
    assert {word for word in ABSENT if read(word) is not None} == set()
