"""What a person has allowed is read the same in AppsFlyer's messages and in Amplitude's events."""

from __future__ import annotations

import json

import pytest

from flybridge.appsflyer.postback import Postback, read
from flybridge.mapping.to_appsflyer.sharing import manual_consent
from flybridge.records import Media

WORDS = (
    True, False, 1, 0, 2, "true", "0", "1.0", "yes", "n", "granted", "DENIED", " Denied ", "'granted'", "maybe", "-1",
    "unknown", "Unavailable", "not_supported", "not supported", "notSupported", "af_unknown", "af_unavailable", "n/a",
    "null", "", "Optional(true)", "[]", '"unknown"',
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["gdpr_applies", "ad_user_data_enabled", "ad_personalization_enabled"])
def test_both_ways_read_the_same_permission(name, word):
    """`denied` is no word for a law that does not apply, and what is not known is no refusal."""
    postback = read(json.dumps({"event_name": "x", name: word}).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    beside = "ad_user_data_enabled" if name == "gdpr_applies" else "gdpr_applies"
    stated = manual_consent({beside: False, name: word})
    assert stated is not None
    assert stated["manual"].get(name) is getattr(postback, name)


@pytest.mark.parametrize(
    ("name", "word", "means"),
    [
        ("gdpr_applies", "denied", True),
        ("gdpr_applies", "maybe", True),
        ("gdpr_applies", "af_unknown", None),
        ("ad_user_data_enabled", "denied", False),
        ("ad_user_data_enabled", "maybe", False),
        ("ad_user_data_enabled", "not_supported", None),
        ("ad_user_data_enabled", "notSupported", None),
    ],
)
def test_what_can_not_be_read_is_no_permission(name, word, means):
    """Unless it says that nothing is known."""
    postback = read(json.dumps({"event_name": "x", name: word}).encode(), Media.JSON)
    assert isinstance(postback, Postback)
    assert getattr(postback, name) is means
