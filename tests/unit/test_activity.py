"""Who a user of Amplitude is, by its own number: the request, and every answer there may be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.amplitude.activity import AmplitudeUser, read, request
from flybridge.amplitude.cohort import Credentials
from flybridge.delivery.exchange import HttpResponse

# The example of https://amplitude.com/docs/apis/analytics/dashboard-rest#user-activity
DOCUMENTED = {
    "userData": {
        "user_id": "myusername", "canonical_amplitude_id": 12345, "merged_amplitude_ids": [11111, 22222],
        "num_events": 142, "device_ids": ["some-device", "some-other-device"],
    },
    "events": [],
}  # fmt: skip


def test_the_request_names_the_user_and_authenticates():
    """As documented, for one event."""
    asked = request(Credentials("https://amplitude.com", "key", "secret"), "356893043036")
    assert (asked.method, asked.url) == ("GET", "https://amplitude.com/api/2/useractivity?user=356893043036&limit=0")
    assert asked.headers["Authorization"] == "Basic a2V5OnNlY3JldA=="


@pytest.mark.parametrize(
    ("status", "body", "user"),
    [
        (200, json.dumps(DOCUMENTED), AmplitudeUser("myusername", ("some-device", "some-other-device"))),
        (200, '{"userData": {"user_id": null, "device_ids": ["d", null, 7]}}', AmplitudeUser("", ("d",))),
        (200, "{}", AmplitudeUser()),
        (404, "", AmplitudeUser()),
        (400, "", AmplitudeUser()),
    ],
)
def test_what_is_known(status, body, user):
    """All ids that there are."""
    assert read(HttpResponse(status, {}, body.encode())) == user


@pytest.mark.parametrize(
    ("status", "said"), [(401, "api_key"), (403, "api_key"), (429, "360"), (500, "500"), (302, "302")]
)
def test_what_is_refused_is_said(status, said):
    """With a status, and nothing of the answer."""
    found = read(HttpResponse(status, {}, b"myusername"))
    assert said in found.problem
    assert "myusername" not in found.problem


@given(st.integers(100, 599), st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
    lambda one: json.dumps({"userData": one}).encode()
))  # fmt: skip
def test_no_answer_raises(status, body):
    """Whatever it is."""
    assert isinstance(read(HttpResponse(status, {}, body)), AmplitudeUser)
