"""From envelopes to filings: what the flow decides, and that it decides about everything."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.insight.hints import Known, hint
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import (
    DAY_MS,
    HOUR_MS,
    Apply,
    Dead,
    Deliver,
    Envelope,
    Filter,
    Hold,
    Media,
    Refuse,
    Source,
    digest_of,
)

NOW_MS = 1_769_904_000_000
IDFV = "BCCE52E7-03EE-321A-B3D4-E57123966239"
RING = Keyring(b"a secret for the tests")

INSTALL = {
    "event_name": "install",
    "conversion_type": "install",
    "campaign_type": "ua",
    "media_source": "googleadwords_int",
    "campaign": "winter",
    "appsflyer_id": "1629191854863-7087037",
    "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123",
    "platform": "ios",
    "idfv": IDFV,
}
KNOWN = {"custom_data": json.dumps({"amplitude_device_id": "device-of-ann"}), "customer_user_id": "ann@example.com"}


def flow_of(**settings):
    """Build a flow of one app."""
    route = settings.pop("route", "http_v2")
    return Flow({"shop": AppFlow(Rules(app="shop", platform="ios", route=route), **settings)}, RING)


def envelope(message, source=Source.PUSH, app="shop"):
    """Wrap a message."""
    return Envelope(app, source, Media.JSON, NOW_MS, json.dumps(message).encode(), "r.0")


def test_a_postback_with_an_amplitude_identity_is_delivered_and_teaches_its_keys():
    """The device id the app passed is Amplitude's; every identifier of the postback belongs to it from now on."""
    filing = flow_of().filing(envelope(INSTALL | KNOWN))
    assert isinstance(filing.decision, Deliver)
    assert (filing.decision.user_id, filing.decision.device_id) == ("ann@example.com", "device-of-ann")
    assert {s.kind for s in filing.sightings} == {"idfv", "appsflyer_id", "customer_user_id"}
    assert RING.key("shop", IdKind.IDFV, IDFV.lower()) in {s.key for s in filing.sightings}


@pytest.mark.parametrize(
    ("carried", "seen"),
    [
        (
            {"platform": "android", "advertising_id": "38400000-8cf0-41bd-b23e-10b96e40000d"},
            {
                "event_type": "session_start", "platform": "Android", "adid": None, "idfa": None, "idfv": None,
                "device_id": "38400000-8cf0-41bd-b23e-10b96e40000d",
                "amplitude_attribution_ids": "9a0364b9e99bb480dd25e1f0284c8555",
            },
        ),
        (
            {"platform": "android", "amazon_aid": "38400000-8cf0-41bd-b23e-10b96e40000d"},
            {"device_id": "38400000-8CF0-41BD-B23E-10B96E40000D", "platform": "Android"},
        ),
        (
            {"platform": "android", "android_app_set_id": "38400000-8cf0-41bd-b23e-10b96e40000d"},
            {"event_type": "open", "platform": "Android", "device_id": "38400000-8cf0-41bd-b23e-10b96e40000dS"},
        ),
        ({"platform": "ios", "idfv": IDFV}, {"event_type": "open", "os_name": "ios", "device_id": IDFV.lower()}),
        ({"platform": "ios", "idfa": IDFV}, {"event_type": "open", "platform": "iOS", "device_id": IDFV}),
        ({}, {"device_id": "dev-2", "user_properties": {"$set": {"appsflyer_id": "1629191854863-7087037"}}}),
        ({}, {"device_id": "dev-2", "user_properties": {"$setOnce": {"appsflyer_id": "1629191854863-7087037"}}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("source", [Source.STREAM, Source.SIGHTINGS])
def test_an_install_waits_under_a_key_that_amplitude_really_shows(carried, seen, source):
    """Identifiers are wiped from what Amplitude shows; the device id and the operations of Identify are not."""
    install = {name: value for name, value in INSTALL.items() if name != "idfv"} | carried
    held = flow_of().filing(envelope(install)).decision
    taught = flow_of().filing(envelope([seen] if source is Source.SIGHTINGS else seen, source))
    assert isinstance(held, Hold)
    assert isinstance(taught.decision, Apply)
    assert {s.device_id for s in taught.sightings if s.key in held.keys} == {seen["device_id"]}


OF_PARTNER = INSTALL | {"media_source": "applovin_int"}
RE_ENGAGEMENT = OF_PARTNER | {
    "event_name": "re-engagement", "event_type": "re-engagement", "conversion_type": "re-engagement",
    "is_retargeting": "true", "media_source": "facebook",
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "hours", "message", "endpoint", "operations"),
    [
        (Source.PUSH, 0, OF_PARTNER, "http_v2", {"$set", "$setOnce", "$unset"}),
        (Source.PUSH, 1_000, RE_ENGAGEMENT, "http_v2", {"$set", "$unset"}),
        (Source.FILE, 0, OF_PARTNER, "batch", {"$setOnce"}),
        (Source.FILE, 0, RE_ENGAGEMENT, "batch", set()),
        *[
            (source, hours, *expected)
            for source in (Source.PULL, Source.LOCKER)
            for hours, *expected in [
                (47, OF_PARTNER, "http_v2", {"$set", "$setOnce", "$unset"}),
                (47, RE_ENGAGEMENT, "http_v2", {"$set", "$unset"}),
                (49, OF_PARTNER, "batch", {"$setOnce"}),
                (49, RE_ENGAGEMENT, "batch", set()),
                (2_000, RE_ENGAGEMENT, "batch", set()),
            ]
        ],
    ],
)
def test_what_is_read_late_leaves_the_present_attribution_of_a_user(source, hours, message, endpoint, operations):
    """Something newer may have come since; an install that was missed is set where the user has none."""
    when = datetime.fromtimestamp((NOW_MS - hours * HOUR_MS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
    times = {"event_time": when, "install_time": when}
    decision = flow_of().filing(envelope(message | KNOWN | times, source)).decision
    assert isinstance(decision, Deliver)
    assert decision.endpoint == endpoint
    *identify, event = [json.loads(line) for line in decision.body.splitlines()]
    assert {operation for one in identify for operation in one["user_properties"]} == operations
    if message is OF_PARTNER and operations == {"$setOnce"} and source is not Source.FILE:
        once = identify[0]["user_properties"]["$setOnce"]
        assert once["[AppsFlyer] media source"] == once["[AppsFlyer] initial media source"] == "applovin_int"
    assert ("$skip_user_properties_sync" in event) == (source is not Source.PUSH and hours > 1)


def test_a_postback_without_identity_is_held_under_all_its_keys():
    """It waits for the whole window from receipt, and teaches nothing."""
    filing = flow_of(hold_window_hours=48).filing(envelope(INSTALL))
    assert isinstance(filing.decision, Hold)
    assert filing.decision.expires_ms == NOW_MS + 48 * HOUR_MS
    assert set(filing.decision.key_kinds) == {"idfv", "appsflyer_id"}
    assert filing.sightings == ()
    assert IDFV.encode() not in b"".join(filing.decision.keys)


@pytest.mark.parametrize("data", ['{"plan": "pro"}', {"plan": "pro"}, "unreadable {"])
def test_a_hold_says_that_its_custom_data_has_no_id(data):
    """So that the hint is not to set up a webhook, but to look at the keys."""
    decision = flow_of().filing(envelope(INSTALL | {"custom_data": data})).decision
    assert isinstance(decision, Hold)
    assert decision.key_kinds[-1] == "custom_data_without_id"
    said = hint("shop", decision.key_kinds, 0, Known())
    assert said.startswith("Custom data is there but has no id under")
    assert "/v1/stream/shop" in said


@pytest.mark.parametrize("blanks", ["", "  ", "\n"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_custom_data_is_read_however_often_it_was_encoded(blanks, times):
    """The app's own encoding and AppsFlyer's may add up."""
    data = {"amplitude_device_id": "dev-1", "amplitude_user_id": "anna-77"}
    for _ in range(times):
        data = blanks + json.dumps(data)
    decision = flow_of().filing(envelope(INSTALL | {"custom_data": data})).decision
    assert isinstance(decision, Deliver)
    assert (decision.user_id, decision.device_id) == ("anna-77", "dev-1")


def test_a_postback_with_neither_identity_nor_key_is_refused():
    """Nobody could ever be found for it."""
    nobody = {k: v for k, v in INSTALL.items() if k not in ("idfv", "appsflyer_id")}
    assert flow_of().filing(envelope(nobody)).decision == Refuse("no_identity")


def test_the_attribution_route_lets_amplitude_wait_unless_told_otherwise():
    """`immediately` sends at once, `when-seen` holds until a sighting."""
    assert isinstance(flow_of(route="attribution").filing(envelope(INSTALL)).decision, Deliver)
    assert isinstance(flow_of(route="attribution", hold_attribution=True).filing(envelope(INSTALL)).decision, Hold)


def test_an_install_is_one_whoever_brings_it_and_is_remembered_longer_than_an_event():
    """Push and file differ in bytes, not in content; files come late."""
    flow = flow_of()
    push = flow.filing(envelope(INSTALL))
    file = flow.filing(envelope(INSTALL | {"install_time": "2026-01-31 11:59:59", "extra": 1}, Source.FILE))
    event = flow.filing(envelope(INSTALL | {"event_name": "af_purchase", "campaign_type": "ua"}))
    assert push.key == file.key
    assert push.digest != file.digest
    assert (push.key_until_ms, event.key_until_ms) == (NOW_MS + 90 * DAY_MS, NOW_MS + 7 * DAY_MS)


def test_a_streamed_event_is_applied_as_sightings():
    """Amplitude's own events tell who owns which identifier; nothing is sent for them."""
    event = {"user_id": "ann@example.com", "device_id": IDFV, "platform": "iOS", "event_time": "2026-01-31 11:00:00"}
    filing = flow_of().filing(envelope(event, Source.STREAM))
    assert filing.decision == Apply("sighting")
    assert {s.key for s in filing.sightings} >= {RING.key("shop", IdKind.IDFV, IDFV)}


def test_a_sighting_from_the_future_counts_as_seen_now():
    """A device with a wrong clock must not win over everybody for ever."""
    event = {"user_id": "ann@example.com", "idfv": IDFV, "event_time": "2036-01-31 11:00:00"}
    assert {s.seen_ms for s in flow_of().filing(envelope(event, Source.STREAM)).sightings} == {NOW_MS}


def test_a_message_that_teaches_nothing_is_filtered():
    """It is counted, with its reason."""
    assert flow_of().filing(envelope({"event_type": "x"}, Source.STREAM)).decision == Filter("nothing_to_learn")


def test_an_app_that_left_the_configuration_makes_dead_letters():
    """They can be replayed when it is back."""
    decision = flow_of().filing(envelope(INSTALL, app="gone")).decision
    assert isinstance(decision, Dead)
    assert decision.reason == "unknown_app"


class BrokenKeyring(Keyring):
    """A keyring with a fault."""

    def keys(self, app, kind, value):
        """Fail, naming a person in the message as a careless library might."""
        raise ZeroDivisionError(value)


def test_a_fault_of_ours_is_a_dead_letter_that_names_nobody():
    """One message that trips over a fault neither stops the batch nor is lost, and its ids do not leak."""
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="ios"))}, BrokenKeyring(b"secret"))
    (filing,) = flow.filings([envelope(INSTALL)])
    assert isinstance(filing.decision, Dead)
    assert (filing.decision.stage, filing.decision.reason) == ("map", "fault")
    assert IDFV not in filing.decision.detail


@given(st.binary(max_size=200), st.sampled_from(list(Source)), st.sampled_from(list(Media)))
def test_every_envelope_gives_exactly_one_filing(body, source, media):
    """Whatever the bytes, there is a decision, and none of them is a fault of ours."""
    sent = Envelope("shop", source, media, NOW_MS, body, "r.0")
    (filing,) = flow_of().filings([sent])
    assert filing.digest == digest_of("shop", body)
    assert not (isinstance(filing.decision, Dead) and filing.decision.reason == "fault")


class KeyringThatFailsOnce(Keyring):
    """A keyring with a fault that one person's ids meet."""

    def keys(self, app, kind, value):
        """Fail for one device."""
        if value == "unlucky":
            raise ZeroDivisionError(value)
        return super().keys(app, kind, value)


def test_a_fault_of_ours_costs_no_other_message_of_its_batch():
    """A batch is worked through step by step; the messages beside the one that fails have their usual decisions."""
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="ios"))}, KeyringThatFailsOnce(b"secret"))
    batch = [envelope(INSTALL), envelope(INSTALL | {"appsflyer_id": "unlucky"}), envelope(INSTALL | KNOWN)]
    held, failed, delivered = flow.filings(batch)
    assert isinstance(held.decision, Hold)
    assert (failed.decision.stage, failed.decision.reason) == ("map", "fault")
    assert isinstance(delivered.decision, Deliver)


MESSAGES = st.lists(
    st.builds(
        envelope,
        st.sampled_from(
            [
                INSTALL,
                INSTALL | KNOWN,
                {"user_id": "ann@example.com", "idfv": IDFV},
                INSTALL | {"event_name": "af_purchase", "event_value": '{"af_revenue": 3}', "event_revenue": "x"},
                {"event_time": "nothing else"},
                [],
                "no message",
            ]
        ),
        st.sampled_from(list(Source)),
        st.sampled_from(["shop", "unknown"]),
    ),
    max_size=12,
)


@given(MESSAGES)
def test_what_becomes_of_a_message_does_not_depend_on_its_batch(batch):
    """Every filing stands where its message stood, and is what it would be alone."""
    flow = flow_of()
    assert flow.filings(batch) == [flow_of().safe_filing(one) for one in batch]


@pytest.mark.parametrize("body", [b"{", b"[" * 5000, b"\xff"])
def test_unreadable_bytes_are_dead_letters_from_every_source(body):
    """Also where the door let them through."""
    for source in Source:
        filing = flow_of().filing(Envelope("shop", source, Media.JSON, NOW_MS, body, "r.0"))
        assert isinstance(filing.decision, Dead)
        assert filing.decision.remedy


def test_after_a_change_of_the_secret_a_sighting_still_finds_what_waits_under_the_former():
    """A hold is filed once; who is seen later is taught under every secret, or it would wait in vain."""
    (held,) = [flow_of().filing(envelope(INSTALL)).decision]
    rotated = Flow(
        {"shop": AppFlow(Rules(app="shop", platform="ios"))}, Keyring(b"the secret after it", b"a secret for the tests")
    )
    seen = rotated.filing(envelope({"user_id": "ann@example.com", "idfv": IDFV}, Source.STREAM))
    assert set(held.keys) & {sighting.key for sighting in seen.sightings}
    known = rotated.filing(envelope(INSTALL | KNOWN))
    assert set(held.keys) & {sighting.key for sighting in known.sightings}


@pytest.mark.parametrize(
    ("source", "policies", "counted"),
    [
        ("restricted", {}, ("restricted", "redact")),
        ("Facebook Ads", {"Facebook Ads": "redact"}, ("Facebook Ads", "redact")),
        ("Facebook Ads", {"Facebook Ads": "drop"}, ("Facebook Ads", "drop")),
        ("Facebook Ads", {}, None),
    ],
)
def test_what_a_restriction_changes_is_counted_by_source_and_day(source, policies, counted):
    """As AppsFlyer names the source, which the event's own counters must not, on the day of the event."""
    rules = Rules(app="shop", platform="ios", restrictions=policies)
    filing = Flow({"shop": AppFlow(rules)}, RING).filing(envelope(INSTALL | {"media_source": source}))
    found = filing.restricted
    assert (found and (found.media_source, found.policy)) == counted
    assert found is None or found.day == "2026-01-31"


def test_an_uninstall_says_whose_its_own_installation_was_and_nothing_of_the_device():
    """AppsFlyer notices it days later, when the app may be there again: it would be the device's newest sighting."""
    flow = Flow({"shop": AppFlow(Rules(app="shop", platform="ios", uninstalls="send"))}, RING)
    kinds = []
    for name in ("install", "uninstall"):
        filing = flow.filing(envelope(INSTALL | KNOWN | {"event_name": name, "conversion_type": name}))
        assert isinstance(filing.decision, Deliver)
        kinds.append({sighting.kind for sighting in filing.sightings})
    assert kinds == [{"appsflyer_id", "idfv", "customer_user_id"}, {"appsflyer_id"}]
