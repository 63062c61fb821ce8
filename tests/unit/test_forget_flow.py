"""Every message says, in hashes, whom it is about: also one that is not sent, and by ids that may not leave."""

from __future__ import annotations

import json

from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import Dead, Envelope, Media, Person, Source

NOW_MS = 1_764_000_000_000
EVENT_MS = 1_763_985_600_000  # 2025-11-24 12:00 UTC
RULES = Rules(app="shop", platform="android", route="http_v2")
INSTALL = {
    "appsflyer_id": "1763985600000-1234567",
    "advertising_id": "38400000-8cf0-11bd-b23e-10b96e40000d",
    "customer_user_id": "ada@example.com",
    "custom_data": {"amplitude_device_id": "ada-phone"},
    "event_name": "install",
    "conversion_type": "install",
    "campaign_type": "organic",
    "event_time": "2025-11-24 12:00:00.000",
}
IDS = (
    (IdKind.APPSFLYER_ID, INSTALL["appsflyer_id"]),
    (IdKind.AMPLITUDE_DEVICE_ID, "ada-phone"),
    (IdKind.ADID, INSTALL["advertising_id"]),
    (IdKind.CUSTOMER_USER_ID, "ada@example.com"),
)


def persons(message: object, source: Source = Source.PUSH, *secrets: bytes) -> tuple[Person, ...]:
    """Process a message and say whom it is about."""
    flow = Flow({"shop": AppFlow(RULES)}, Keyring(*secrets or (b"secret",)))
    return flow.filing(Envelope("shop", source, Media.JSON, NOW_MS, json.dumps(message).encode(), "r")).persons


def keys(*ids: tuple[IdKind, str], secrets: tuple[bytes, ...] = (b"secret",)) -> tuple[bytes, ...]:
    """Return the matching keys of ids."""
    return tuple(key for kind, value in ids for key in Keyring(*secrets).keys("shop", kind, value))


def test_a_postback_is_about_one_person_by_all_ids():
    """The AppsFlyer id comes first, because it is in every message; the time is the event's."""
    assert persons(INSTALL) == (Person(keys(*IDS), EVENT_MS),)


def test_an_id_that_may_not_leave_still_finds_the_person():
    """Limited tracking keeps the advertising id from Amplitude, not from being found for erasure."""
    (person,) = persons(INSTALL | {"is_lat": True})
    assert set(keys(IDS[2])) <= set(person.keys)


def test_a_message_that_is_not_sent_is_about_somebody_too():
    """Filtered, or dead for want of an event name. Also about whom the app named by its own ids."""
    blocked = persons(INSTALL | {"blocked_reason": "bots"})
    nameless = persons({name: value for name, value in INSTALL.items() if not name.startswith(("event_n", "conv"))})
    expected = Person(keys(*IDS), EVENT_MS)
    assert (blocked, nameless) == ((expected,), (expected,))


def test_every_secret_has_its_keys():
    """What was filed before the secret was changed belongs to the same person."""
    (person,) = persons(INSTALL, Source.PUSH, b"new", b"old")
    assert person.keys == keys(*IDS, secrets=(b"new", b"old"))


def test_a_cohort_is_about_each_of_its_members():
    """Without a time: what does not say when may be from before a request."""
    members = [{"user_id": "ada@example.com"}, {"device_id": "bob-phone", "user_properties": {"idfa": "AB-CD-EF"}}, {}]
    assert persons({"users": members}, Source.COHORT) == (
        Person(keys((IdKind.CUSTOMER_USER_ID, "ada@example.com")), 0),
        Person(keys((IdKind.AMPLITUDE_DEVICE_ID, "bob-phone"), (IdKind.IDFA, "ab-cd-ef")), 0),
    )


def test_what_can_not_be_read_is_about_nobody():
    """Its content is searched when somebody is forgotten."""
    flow = Flow({"shop": AppFlow(RULES)}, Keyring(b"secret"))
    filing = flow.filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"{", "r"))
    assert (type(filing.decision), filing.persons) == (Dead, ())


def test_an_unreadable_message_mentions_whoever_may_be_in_it():
    """By the keys that a request to be forgotten would have; a readable one is about its persons alone."""
    flow = Flow({"shop": AppFlow(RULES)}, Keyring(b"secret"))
    cut = json.dumps(INSTALL).encode()[:-20]
    for source in (Source.PUSH, Source.STREAM):
        filing = flow.safe_filing(Envelope("shop", source, Media.JSON, NOW_MS, cut, "r"))
        assert isinstance(filing.decision, Dead)
        assert set(keys(*IDS)) <= set(filing.mentions)
    whole = flow.safe_filing(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, json.dumps(INSTALL).encode(), "r"))
    assert whole.mentions == ()
