"""A flag means the same whoever reads it: postbacks, events for AppsFlyer, cohorts, and Amplitude's own marks."""

import json

import pytest

from flybridge.amplitude.cohort_message import read_all
from flybridge.amplitude.streamed import Streamed, is_attribution_event
from flybridge.appsflyer.postback import Postback, read
from flybridge.mapping.table import flag
from flybridge.mapping.to_appsflyer import convert
from flybridge.records import Media
from flybridge.system.yes_or_no import yes_or_no

YES = (True, 1, 1.0, "true", "TRUE", " True ", "1", "1.0", "yes", "Y", "t", "on", "Enabled", '"true"', "Optional(true)")
NO = (False, 0, 0.0, "false", "FALSE", " False ", "0", "0.0", "no", "N", "f", "off", "Disabled", "'no'", "\u200bfalse")
NEITHER = (2, -1, 0.5, "2", "maybe", "truely", "1.00.0", "yes no")
YES += (
    "WAHR",
    "Vrai",
    "VERDADERO",
    "VERO",
    "VERDADEIRO",
    "WAAR",
    "PRAWDA",
    "IGAZ",
    "\u0418\u0421\u0422\u0418\u041d\u0410",
    "DO\u011eRU",
    "SANT",
)
NO += ("FALSCH", "Faux", "FALSO", "ONWAAR", "FA\u0141SZ", "HAMIS", "\u041b\u041e\u0416\u042c", "YANLI\u015e", "USANN")
CASES = [*((one, True) for one in YES), *((one, False) for one in NO), *((one, None) for one in NEITHER)]


def of_postback(value):
    postback = read(json.dumps({"event_name": "install", "wifi": value}).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    return postback.wifi


def of_cohort(value):
    found = read_all(json.dumps({"cohort_id": "c1", "in_cohort": value, "users": ["one"]}).encode())
    return found[0].entering if found else None


@pytest.mark.parametrize("reads", [yes_or_no, of_postback, flag, convert.yes, of_cohort])
@pytest.mark.parametrize(("value", "means"), CASES)
def test_a_flag_means_the_same_to_all(reads, value, means):
    """Whether it is a flag of JSON, a number, or a word that a template has written."""
    assert reads(value) is means


@pytest.mark.parametrize(("value", "means"), CASES)
def test_so_does_the_mark_of_an_event_that_amplitude_made(value, means):
    """What is not said to be one is none."""
    assert is_attribution_event(Streamed({"event_type": "x", "is_attribution_event": value})) is (means is True)
