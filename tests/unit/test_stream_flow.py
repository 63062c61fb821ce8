"""What the flow decides about an event that may go to AppsFlyer, and what postbacks teach for it."""

import json

import pytest

from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.conditions import Condition
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import DAY_MS, HOUR_MS, Apply, Dead, Deliver, Envelope, Filter, Hold, Media, Source

NOW_MS = 1_763_985_600_000
AF_ID = "1629191854863-7087037"
RING = Keyring(b"a secret for the tests")
EVENT = {
    "event_type": "Order Completed",
    "event_time": "2025-11-24 11:59:59.123000",
    "$insert_id": "i-1",
    "user_id": "ada-1",
    "device_id": "ada-phone",
    "event_properties": {"revenue": 9.99},
    "user_properties": {"appsflyer_id": AF_ID},
}
NAMELESS = EVENT | {"user_properties": {}}
POSTBACK = {
    "event_name": "install",
    "conversion_type": "install",
    "appsflyer_id": AF_ID,
    "event_time": "2025-11-24 11:00:00.000",
    "customer_user_id": "ada-1",
    "custom_data": json.dumps({"amplitude_device_id": "ada-phone"}),
}


def flow_of(
    *, route: str = "http_v2", streams: bool = True, fields: dict | None = None, mapped: dict | None = None, **stream
) -> Flow:
    """Build a flow of one app with one stream."""
    rules = StreamRules(**{"app": "shop", "platform": "android", "events": ("Order *",)} | stream)
    mapping = Rules(app="shop", platform="android", route=route, **(mapped or {}))
    return Flow({"shop": AppFlow(mapping, streams=(rules,) if streams else (), stream_fields=fields or {})}, RING)


def filing(message, flow: Flow | None = None, source: Source = Source.STREAM):
    """Process one message."""
    return (flow or flow_of()).filing(Envelope("shop", source, Media.JSON, NOW_MS, json.dumps(message).encode(), "r.0"))


def installed(kind: IdKind, value: str) -> bytes:
    """Return the key under which an installation is found."""
    found = RING.key("shop", kind, value)
    assert found is not None
    return found


def test_a_chosen_event_is_one_delivery_and_teaches_what_it_always_did():
    """One envelope, one outcome; the AppsFlyer id stands where an Amplitude device id would."""
    found = filing(EVENT)
    assert isinstance(found.decision, Deliver)
    assert (found.decision.endpoint, found.decision.user_id, found.decision.device_id) == ("inapp_event", None, AF_ID)
    assert {s.kind for s in found.sightings} == {"appsflyer_id", "customer_user_id"}
    assert {(s.user_id, s.device_id) for s in found.sightings} == {("ada-1", "ada-phone")}
    assert AF_ID.encode() not in found.decision.body


def test_a_repeat_with_other_bytes_is_the_same_event():
    """Amplitude tries up to ten times; the key is the event's own, and found again by who is to be forgotten."""
    again = filing(EVENT | {"processed_time": "2025-11-24 13:00:00"})
    first = filing(EVENT)
    assert (first.key, first.key_until_ms) == (again.key, NOW_MS + 7 * DAY_MS)
    assert isinstance(first.decision, Deliver)
    assert first.key == bytes.fromhex(first.decision.insert_id)


@pytest.mark.parametrize(
    ("event", "stream", "reason"),
    [
        ({"event_type": "View"}, {}, "not_chosen"),
        ({"event_type": "Order X"}, {"where": (Condition(path="platform", equals="iOS"),)}, "condition_not_met"),
        ({"event_type": "Order X", "is_attribution_event": True}, {}, "loop_guard"),
    ],
)
def test_what_is_left_out_is_counted_with_its_reason(event, stream, reason):
    """Applied if it taught something all the same, filtered if not."""
    assert filing(event, flow_of(**stream)).decision == Filter(reason)
    assert filing(event | {"user_id": "ada-1"}, flow_of(**stream)).decision == Apply(reason)


BOUGHT = POSTBACK | {
    "event_name": "Order Completed",
    "event_time": "2025-11-24 11:59:59.123",
    "install_time": "2025-11-24 11:00:00.000",
    "event_value": '{"af_revenue":"9.99"}',
    "event_source": "S2S",
}


@pytest.mark.parametrize(
    ("change", "stream"),
    [
        ({}, {}),
        ({"event_source": " s2s "}, {}),
        ({}, {"events": ("Order Completed",)}),
        ({"event_name": "af_purchase"}, {"rename": {"Order Completed": "af_purchase"}}),
        ({"conversion_type": "reinstall", "campaign_type": "retargeting", "is_primary_attribution": "true"}, {}),
    ],
)
def test_an_event_that_a_stream_has_sent_does_not_come_back(change, stream):
    """It is in Amplitude already, with its revenue; AppsFlyer pushes it like every in-app event."""
    for source in (Source.PUSH, Source.PULL, Source.FILE):
        found = filing(BOUGHT | change, flow_of(**stream), source)
        assert found.decision == Filter("came_by_stream")
        assert found.sightings  # that it is installed there is known all the same


@pytest.mark.parametrize(
    ("change", "stream"),
    [
        ({"event_source": "SDK"}, {}),
        ({"event_source": None}, {}),
        ({"event_name": "Refund"}, {}),
        ({}, {"rename": {"Order Completed": "af_purchase"}}),
        ({}, {"events": ("View",)}),
        ({}, {"loop": True}),
        ({}, {"streams": False}),
        ({"event_name": "install", "event_value": None, "event_time": "2025-11-24 11:00:00.000"}, {"events": ("*",)}),
    ],
)
def test_what_no_stream_has_sent_is_brought(change, stream):
    """Events of the app, those that a server of its own sends to AppsFlyer, and conversions."""
    assert isinstance(filing(BOUGHT | change, flow_of(**stream), Source.PUSH).decision, Deliver)


def test_a_user_is_no_event_and_stays_a_sighting():
    """Webhooks send users, too."""
    assert filing({"user_id": "ada-1", "user_properties": {}}).decision == Apply("sighting")


def test_without_streams_nothing_changes():
    """An app that sends nothing to AppsFlyer learns, and that is all."""
    assert filing(EVENT, flow_of(streams=False)).decision == Apply("sighting")


@pytest.mark.parametrize("source", [Source.SIGHTINGS, Source.COHORT])
def test_only_a_stream_is_streamed(source):
    """A file of sightings says who is who, and nobody asked for its events to be sent."""
    assert filing(EVENT, source=source).decision == Apply("sighting")


def test_an_event_without_id_is_left_to_the_store_under_its_device_and_user():
    """Who is known is matched at once; nobody else is waited for, and the reason says why it was left out."""
    decision = filing(NAMELESS).decision
    assert isinstance(decision, Hold)
    assert set(decision.keys) == {
        installed(IdKind.INSTALLED_ON_DEVICE, "ada-phone"),
        installed(IdKind.INSTALLED_BY_USER, "ada-1"),
    }
    assert (decision.expires_ms, decision.unmet) == (NOW_MS, "no_appsflyer_id")
    assert (decision.item.user_id, decision.item.device_id) == (None, None)


def test_it_waits_as_long_as_the_stream_says():
    """Then it expires like everything that waited."""
    decision = filing(NAMELESS, flow_of(wait_hours=2.5)).decision
    assert isinstance(decision, Hold)
    assert (decision.expires_ms, decision.unmet) == (NOW_MS + 2.5 * HOUR_MS, "")


def test_a_malformed_id_is_looked_up_too_and_named():
    """It is not sent: AppsFlyer would answer 200 and record nothing."""
    found = filing(NAMELESS | {"user_properties": {"appsflyer_id": "x-1"}})
    assert isinstance(found.decision, Hold)
    assert (found.decision.unmet, found.remarks) == ("bad_appsflyer_id", ("bad_appsflyer_id",))


def test_an_event_of_nobody_is_filtered():
    """There is nothing to find it by."""
    assert filing({"event_type": "Order Completed"}).decision == Filter("no_appsflyer_id")


@pytest.mark.parametrize("route", ["http_v2", "attribution"])
def test_a_postback_teaches_whose_installation_it_is(route):
    """On both routes, by the ids that the app passed; the AppsFlyer id is what is found."""
    found = filing(POSTBACK, flow_of(route=route), Source.PUSH)
    taught = {s.key: s for s in found.sightings if s.kind.startswith("installed")}
    assert set(taught) == {
        installed(IdKind.INSTALLED_ON_DEVICE, "ada-phone"),
        installed(IdKind.INSTALLED_BY_USER, "ada-1"),
    }
    assert {(s.user_id, s.device_id) for s in taught.values()} == {(None, AF_ID)}


@pytest.mark.parametrize(("use", "teaches"), [("send", True), ("when-seen", True), ("never", False)])
def test_a_customer_user_id_finds_the_installation_wherever_it_is_matched_by(use, teaches):
    """Also where it is no user id for Amplitude by itself: the event that asks was seen under it."""
    postback = {name: value for name, value in POSTBACK.items() if name != "custom_data"}
    found = filing(postback, flow_of(mapped={"customer_user_id": use}), Source.PUSH)
    taught = {s.key for s in found.sightings if s.kind.startswith("installed")}
    assert taught == ({installed(IdKind.INSTALLED_BY_USER, "ada-1")} if teaches else set())
    (person,) = found.persons
    assert taught <= set(person.keys)


@pytest.mark.parametrize(
    "message",
    [
        POSTBACK | {"appsflyer_id": "x"},
        POSTBACK | {"blocked_reason": "bots"},
        POSTBACK | {"event_name": "uninstall", "conversion_type": "uninstall"},
        {name: value for name, value in POSTBACK.items() if name not in {"event_name", "conversion_type"}},
    ],
)
def test_what_can_not_be_believed_teaches_nothing(message):
    """A malformed id, a blocked install, an installation that is gone, a message that is no event."""
    found = filing(message, source=Source.PUSH)
    assert not any(s.kind.startswith("installed") for s in found.sightings)


def test_without_streams_a_postback_teaches_nothing_about_installations():
    """Nobody would ask."""
    found = filing(POSTBACK, flow_of(streams=False), Source.PUSH)
    assert not any(s.kind.startswith("installed") for s in found.sightings)


@pytest.mark.parametrize(("message", "source"), [(POSTBACK, Source.PUSH), (EVENT, Source.STREAM)])
def test_a_person_is_found_by_those_keys_when_they_are_to_be_forgotten(message, source):
    """What was taught, and what waits, goes with the person."""
    (person,) = filing(message, source=source).persons
    assert installed(IdKind.INSTALLED_ON_DEVICE, "ada-phone") in person.keys
    assert installed(IdKind.INSTALLED_BY_USER, "ada-1") in person.keys


def test_a_list_of_events_is_not_lost():
    """The door takes lists apart; one that got past it is kept, and says what to do."""
    found = filing([EVENT, EVENT | {"event_type": "View"}])
    assert isinstance(found.decision, Dead)
    assert found.decision.reason == "several_events"
    assert filing([{"user_id": "ada-1"}]).decision == Apply("sighting")


def test_a_template_of_ones_own_is_read_by_its_names():
    """The configuration says what is where."""
    message = {"name": "Order Completed", "who": "ada-1", "props": {"af": AF_ID}}
    fields = {"event_type": "name", "user_id": "who", "user_properties.appsflyer_id": "props.af"}
    found = filing(message, flow_of(fields=fields))
    assert isinstance(found.decision, Deliver)
    assert found.decision.device_id == AF_ID
    assert {s.kind for s in found.sightings} == {"appsflyer_id", "customer_user_id"}


def test_what_is_noticed_is_in_the_filing_for_the_metrics():
    """Late and trimmed events are sent, and counted."""
    assert filing(EVENT | {"event_time": "2025-11-20 10:00:00"}).remarks == ("late",)
