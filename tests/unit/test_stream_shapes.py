"""Messages of Amplitude in other shapes than the default one: taken apart, mended, or kept as dead letters."""

from __future__ import annotations

import json

import pytest

from audience_rules import audience_rule
from flybridge.amplitude.cohort_message import read_all
from flybridge.amplitude.stream import number_of
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.lenient_json import decode
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import Apply, Dead, Deliver, Envelope, Filter, Media, Source
from flybridge.web.members import members

EVENT = {
    "event_type": "Order Completed", "event_time": "2026-11-20 10:00:00.000000", "user_id": "user-1",
    "device_id": "dev-1",
    "user_properties": {"appsflyer_id": "1629191854863-7000006"}, "event_properties": {"price": 3.5},
    "$insert_id": "i-1",
}  # fmt: skip
TEMPLATE = {"external_id": "user-3", "name": "Order Completed", "time": "1795168800000", "properties": {"price": 3.5}}
FIELDS = {"event_type": "name", "event_time": "time", "user_id": "external_id", "event_properties": "properties"}


def flow(*, fields=(), streams: bool = True, audiences: bool = False) -> Flow:
    rules = Rules(app="shop", platform="android", route="http_v2")
    chosen = (StreamRules(app="shop", platform="android", events=("Order *",), wait_hours=1.0),) if streams else ()
    followed = (audience_rule("shop", "vips", "7khm89cz", "cuid"),) if audiences else ()
    app = AppFlow(rules, streams=chosen, stream_fields=dict(fields), audiences=followed)
    return Flow({"shop": app}, Keyring(b"a secret of sixteen bytes"))


def filed(body, source: Source = Source.STREAM, **settings):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return flow(**settings).filing(Envelope("shop", source, Media.JSON, 1_795_168_800_000, data, "r-1"))


@pytest.mark.parametrize(
    "body",
    [
        EVENT, {"events": [EVENT]}, {"events": EVENT}, {"event": EVENT}, {"input": EVENT}, [EVENT], [[EVENT]],
        {"input": {"events": [EVENT]}},
        b"\xef\xbb\xbf" + json.dumps(EVENT).encode(),
        json.dumps(EVENT | {"x": 1}).replace("1}", "NaN}").encode(),
        json.dumps(EVENT | {"x": 1}).replace(": 1}", ": 1e400}").encode(),
        json.dumps(EVENT | {"x": 1}).replace(": 1}", ": " + "9" * 5000 + "}").encode(),
        json.dumps(EVENT | {"x": "\ud83d"}).encode(),
        json.dumps({"events": [EVENT | {"x": "\udc00 half"}]}).encode(),
        json.dumps(EVENT | {"x": "two lines"}).replace("two ", "two\n\t").encode(),
        json.dumps(EVENT | {"amplitude_id": 1}).replace(": 1}", ": 356,896,327,775}").encode(),
        json.dumps(EVENT | {"session_id": 1}).replace(": 1}", ": }").encode(),
        json.dumps(EVENT | {"x": 1}).replace(": 1}", ": 1,234,\n}").encode(),
        repr(EVENT).encode(),
    ],
)  # fmt: skip
def test_an_event_is_sent_however_it_is_wrapped_or_broken(body):
    """Lists and wrappers of one event, text and numbers that JSON readers refuse."""
    decision = filed(body).decision
    assert isinstance(decision, Deliver)
    assert decision.event_type == "Order Completed"


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: [one, one]])
def test_users_are_learned_as_the_identify_api_takes_them(wrap):
    """One or a list, within `identification`."""
    user = {"user_id": "user-00002", "user_properties": {"$set": {"appsflyer_id": "1629191854863-7000002"}}}
    filing = filed({"api_key": "k", "identification": wrap(user)})
    assert isinstance(filing.decision, Apply)
    assert filing.sightings


@pytest.mark.parametrize("wrap", [lambda one: [one, one], lambda one: {"events": [one, one]}])
def test_several_events_in_one_stored_message_are_not_one(wrap):
    """The intake splits them; what was stored before is kept."""
    decision = filed(wrap(EVENT)).decision
    assert isinstance(decision, Dead)
    assert decision.reason == "several_events"


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ([EVENT, EVENT], 2),
        ({"events": [EVENT, EVENT, EVENT]}, 3),
        ({"events": [EVENT | {"x": "\ud83d"}, EVENT]}, 2),
        ([EVENT | {"x": "\ud83d"}, EVENT], 2),
    ],
)
def test_the_intake_takes_lists_apart(body, count):
    """One with half an emoji, too: the others would share its fate."""
    parts = members(json.dumps(body).encode())
    assert parts is not None
    assert len(parts) == count
    assert all(isinstance(filed(part).decision, Deliver) for part in parts)


@pytest.mark.parametrize(
    "body", [EVENT | {"events": [1, 2]}, {"a": {"events": [1]}}, {"events": 7}, {"events": []}, [], 7]
)
def test_what_is_no_list_of_events_stays_one_message(body):
    """An event may have a field of that name."""
    assert members(json.dumps(body).encode()) is None


def test_a_list_behind_a_byte_order_mark_is_taken_apart():
    """As some proxies write it."""
    assert members(b"\xef\xbb\xbf[{}, {}]") == [b"{}", b"{}"]


@pytest.mark.parametrize(
    "body",
    [TEMPLATE, {"events": [TEMPLATE]}, {"user_id": "user-3", "name": "Order Completed", "props": {}}, {"a": 1}, {}],
)
def test_a_template_that_is_not_configured_is_a_dead_letter(body):
    """It names the keys and the setting, and is replayed when that is set."""
    decision = filed(body).decision
    assert isinstance(decision, Dead)
    assert decision.reason == "not_understood"
    keys = list(body["events"][0] if "events" in body else body)
    assert all(key in decision.detail for key in keys)
    assert "stream_fields" in decision.remedy


def test_the_template_of_amplitudes_page_is_read_as_configured():
    """The time in milliseconds as text."""
    decision = filed(TEMPLATE, fields=FIELDS).decision
    assert decision.item.event_type == "Order Completed"
    assert decision.event_ms == 1_795_168_800_000


@pytest.mark.parametrize(
    "wrapped",
    [
        json.dumps,
        lambda event: json.dumps(json.dumps(event)),
        lambda event: [json.dumps(event)],
        lambda event: {"event": json.dumps(event)},
        lambda event: {"event": [event]},
        lambda event: {"events": json.dumps([event])},
        lambda event: {"input": json.dumps(event)},
    ],
)
def test_an_event_that_was_encoded_once_more_is_taken_apart(wrapped):
    """In whatever stands around it."""
    assert filed(wrapped(EVENT)).decision == filed(EVENT).decision
    assert isinstance(filed(EVENT).decision, Deliver)


def test_keys_that_name_people_are_not_repeated():
    """The detail is shown."""
    decision = filed({"someone@example.com": 1, "x" * 500: 2}).decision
    assert isinstance(decision, Dead)
    assert "example.com" not in decision.detail
    assert len(decision.detail) < 300


@pytest.mark.parametrize("body", [7, "text", None, True, [], [1, 2]])
def test_what_is_no_object_is_a_dead_letter(body):
    """With its kind."""
    decision = filed(body).decision
    assert isinstance(decision, Dead)
    assert decision.reason == "not_an_object"


@pytest.mark.parametrize(
    ("body", "decision"),
    [
        (
            {"user_id": "user-2", "user_properties": {"$set": {"appsflyer_id": "1629191854863-7000002"}}},
            Apply("sighting"),
        ),
        ({"device_id": "dev-5", "platform": "Android"}, Filter("nothing_to_learn")),
        ({"device_id": "dev-5", "user_properties": {}, "groups": {}}, Filter("nothing_to_learn")),
    ],
)
def test_users_are_understood(body, decision):
    """Whether they teach anything or not."""
    assert filed(body).decision == decision
    assert filed(body, streams=False).decision == decision


PER_USER = [
    {"user_id": "ada", "amplitude_My Test Cohort_7khm89cz": True},
    {"user_id": "bob", "amplitude_My Test Cohort_7khm89cz": False},
    {"user_id": "cid", "amplitude_My Test Cohort_7khm89cz": "true"},
]
BY_PROPERTY = {
    "batch": [
        {"type": "identify", "traits": {"[Amplitude] My: Cohort: 7khm89cz": True}, "userId": "ada"},
        {"type": "identify", "traits": {"[Amplitude] My: Cohort: 7khm89cz": False}, "userId": "bob"},
    ]
}


@pytest.mark.parametrize(
    ("body", "entering", "leaving"),
    [(PER_USER, 2, 1), (BY_PROPERTY, 1, 1), (BY_PROPERTY["batch"][0], 1, 0), ([PER_USER[1]], 0, 1)],
)
def test_users_with_flags_are_members(body, entering, leaving):
    """Amplitude's templates per user, and property-based integrations."""
    changes = filed(body, Source.COHORT, audiences=True).members
    assert [sum(one.wanted is wanted for one in changes) for wanted in (True, False)] == [entering, leaving]


BATCH = {"cohort_id": "7khm89cz", "in_cohort": True, "users": [{"user_id": "ada"}]}


@pytest.mark.parametrize(
    ("body", "entering", "leaving"),
    [
        ({"input": BATCH}, 1, 0),
        ([BATCH], 1, 0),
        ([BATCH, BATCH | {"in_cohort": "false", "users": [{"user_id": "bob"}]}], 1, 1),
        ({"users": PER_USER}, 2, 1),
        ({"batch": BY_PROPERTY["batch"][1]}, 0, 1),
        ({"traits": {"cohort name:7khm89cz": True}, "type": "identify", "userId": "test.user@email.com"}, 1, 0),
    ],
)
def test_cohorts_are_taken_out_of_what_a_template_puts_around_them(body, entering, leaving):
    """The last is the example of Amplitude's page for testing an integration."""
    changes = filed(body, Source.COHORT, audiences=True).members
    assert [sum(one.wanted is wanted for one in changes) for wanted in (True, False)] == [entering, leaving]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (BATCH | {"users": [{"user_id": "ada"}, {"customer": "bob"}]}, "customer"),
        ([*PER_USER[:1], {"user_id": "bob", "amplitude_My Test Cohort_7khm89cz": "perhaps"}], "user_id"),
        ([*PER_USER[:1], {"user_id": "bob", "vip": True}], "vip"),
        ({"batch": [BY_PROPERTY["batch"][0], {"traits": {"[Amplitude] My: 7khm89cz": True}, "anonymousId": 1}]},
         "anonymousId"),
        ({"flybridge_list": "7khm89cz", "action": "add", "message": {"userIds": ["ada", {"email": "x"}]}}, "email"),
        ({"flybridge_list": "7khm89cz", "action": "add", "message": ["ada", True]}, "not objects"),
    ],
)  # fmt: skip
def test_members_that_can_not_be_read_are_not_lost_beside_others(body, key):
    """The others are filed; the message is kept to be replayed."""
    filing = filed(body, Source.COHORT, audiences=True)
    assert len(filing.members) == 1
    assert isinstance(filing.decision, Dead)
    assert filing.decision.reason == "not_understood"
    assert "Of 2 members 1 can't be read" in filing.decision.detail
    assert key in filing.decision.detail


def test_members_without_an_id_are_passed_over():
    """Amplitude has people without a user id; they are in no audience, and no replay helps."""
    filing = filed(BATCH | {"users": [{"user_id": "ada"}, {"user_id": None}, None]}, Source.COHORT, audiences=True)
    assert filing.decision == Apply("cohort")
    assert len(filing.members) == 1


GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"


@pytest.mark.parametrize(
    "user",
    [
        {"user_properties": json.dumps({"gaid": GAID})},
        {"user_properties": json.dumps(json.dumps({"gaid": GAID}))},
        {"user_properties": {"gaid": [GAID]}},
        {"user_properties": {"gaid": f'Optional("{GAID}")'}},
        {"user_properties": {"gaid": f" {GAID}\n"}},
        {"gaid": GAID},
        {"traits": {"adid": GAID}},
    ],
)
def test_an_identifier_of_a_member_is_read_however_it_is_written(user):
    """In text, beside the id of the member, with what an app leaves around it."""
    rules = Rules(app="shop", platform="android", route="http_v2")
    app = AppFlow(rules, audiences=(audience_rule("shop", "vips", "7khm89cz", "gaid"),))
    body = json.dumps(BATCH | {"users": [{"user_id": "ada"} | user]}).encode()
    envelope = Envelope("shop", Source.COHORT, Media.JSON, 1_795_168_800_000, body, "r-1")
    (change,) = Flow({"shop": app}, Keyring(b"a secret of sixteen bytes")).filing(envelope).members
    assert (change.member.identifier, change.member.told) == (GAID, True)


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({"user_id": "ada", "amplitude_attribution_ids": None, "amplitude_event_type": "x",
          "amplitude_VIP_7khm89cz": True}, [(True, None)]),
        ({"flybridge_list": "7khm89cz", "action": "add", "message": {"userIds": ["ada", "", "  ", None]}},
         [(True, None)]),
        (BATCH | {"computed_time": "2026-11-20T07:33:20Z"}, [(True, 1_795_160_000_000)]),
        (BATCH | {"computed_time": "2026-11-20 07:33:20"}, [(True, 1_795_160_000_000)]),
        (BATCH | {"computed_time": "1795160000"}, [(True, 1_795_160_000_000)]),
        (BATCH | {"computed_time": 1_795_160_000_000}, [(True, 1_795_160_000_000)]),
        (BATCH | {"computed_time": "soon"}, [(True, None)]),
        (BATCH | {"computed_time": [1]}, [(True, None)]),
    ],
)  # fmt: skip
def test_members_and_the_time_of_their_cohort_are_read_in_any_spelling(body, changes):
    """Fields of a user that begin like a flag are none; blanks are nobody; a time that is none is that of reception."""
    filing = filed(body, Source.COHORT, audiences=True)
    assert filing.decision == Apply("cohort")
    assert [(one.wanted, one.said_ms) for one in filing.members] == [
        (wanted, said_ms or 1_795_168_800_000) for wanted, said_ms in changes
    ]


USER_TEMPLATE = {
    "external_id": "some user id", "device_id": "d-1", "time": "2022-10-24T20:07:32.123",
    "properties": {"email": "some@email.com", "appsflyer_id": "1629191854863-7000002"},
}  # fmt: skip


def test_the_template_for_users_of_amplitudes_page_is_read_as_configured():
    """It used to be a dead letter that no configuration cured."""
    decision = filed(USER_TEMPLATE).decision
    assert isinstance(decision, Dead)
    assert "external_id" in decision.detail
    fields = {"user_id": "external_id", "event_time": "time", "user_properties": "properties"}
    assert filed(USER_TEMPLATE, fields=fields).decision == Apply("sighting")


@pytest.mark.parametrize(
    "body",
    [
        {"cohort": "7khm89cz", "members": ["ada"]},
        {"cohort_id": "7khm89cz", "in_cohort": True, "users": [{"id": "ada"}]},
        {"cohort_id": "7khm89cz", "users": [{"user_id": "ada"}]},
        [{"user_id": "ada", "vip": True}],
        {"flybridge_list": "7khm89cz", "action": "add", "message": {"ids": ["ada"]}},
    ],
)
def test_a_cohort_that_can_not_be_read_is_a_dead_letter(body):
    """Although it may name users: the membership would be gone."""
    filing = filed(body, Source.COHORT, audiences=True)
    assert isinstance(filing.decision, Dead)
    assert filing.decision.reason == "not_understood"
    assert filing.members == ()


def test_a_batch_with_half_an_emoji_is_read():
    """Names of cohorts are written by people."""
    body = b'{"cohort_name": "VIP \\ud83d", "cohort_id": "c1", "in_cohort": true, "users": [{"user_id": "ada"}]}'
    (message,) = read_all(body)
    assert (message.cohort, len(message.entries)) == ("c1", 1)


@pytest.mark.parametrize(
    ("body", "outcomes"),
    [
        ({"events": []}, [Dead]),
        ({"events": {"0": EVENT}}, [Dead]),
        ({"api_key": "k", "events": [EVENT, EVENT]}, [Deliver, Deliver]),
        ([], [Dead]),
        ([EVENT, 5], [Deliver, Dead]),
        ([EVENT, None], [Deliver, Dead]),
        ([EVENT, [EVENT, EVENT]], [Deliver, Deliver, Deliver]),
        ({"input": [EVENT, EVENT]}, [Deliver, Deliver]),
        ({"input": {"events": [EVENT, EVENT]}}, [Deliver, Deliver]),
        ({"events": [[EVENT, EVENT], 5]}, [Deliver, Deliver, Dead]),
        ([{"events": [EVENT, EVENT]}, EVENT], [Deliver, Deliver, Deliver]),
        ([{"input": EVENT}, {"input": [EVENT, {"event": EVENT}]}], [Deliver, Deliver, Deliver]),
        (json.dumps({"input": [EVENT, EVENT | {"x": 1}]}).replace(": 1}", ": NaN}").encode(), [Deliver, Deliver]),
        ({"input": {"event_type": "", "events": [EVENT]}}, [Dead]),
        ([[[[[[[EVENT, EVENT]]]]]]], [Dead]),
        (b'"text"', [Dead]),
        (b"null", [Dead]),
        (b"5", [Dead]),
        ({"data": EVENT}, [Dead]),
        ({"body": json.dumps(EVENT)}, [Dead]),
        (EVENT | {"event_type": ""}, [Dead]),
        (EVENT | {"event_type": "$identify"}, [Apply]),
        (EVENT | {"event_type": "$groupidentify"}, [Apply]),
        (EVENT | {"event_type": "[Amplitude] Start Session"}, [Apply]),
        (EVENT | {"event_type": "[AppsFlyer] Install"}, [Apply]),
        (EVENT | {"platform": "iOS"}, [Apply]),
        (EVENT | {"user_id": None, "device_id": None}, [Deliver]),
        (EVENT | {"user_id": {"a": 1}, "device_id": 5}, [Deliver]),
        (EVENT | {"event_properties": None}, [Deliver]),
        (EVENT | {"event_properties": "x"}, [Deliver]),
        (EVENT | {"event_type": "Order " + "n" * 1_200}, [Dead]),
        (EVENT | {"event_time": "2099-12-31 00:00:00"}, [Deliver]),
        ({"user_id": "ann-1", "user_properties": {"$setOnce": EVENT["user_properties"]}}, [Apply]),
    ],
)
def test_each_part_of_a_hostile_message_has_one_outcome(body, outcomes):
    """Taken apart as the intake does; a part that is none does not cost the others."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    parts = members(data) or [data]
    assert [type(filed(part).decision) for part in parts] == outcomes


@pytest.mark.parametrize(
    "body",
    [b'{"a": NaN}', b'\xef\xbb\xbf{"a": 1}', b'{"a": 1e400}', b'{"a": "\\ud83d"}', b"[-Infinity]", b'{"a": "b\r\nc"}'],
)
def test_what_can_be_mended_is_read(body):
    """At every address."""
    assert isinstance(decode(body), dict | list)


@pytest.mark.parametrize(
    "body",
    [
        b'{"cohort_id":"7khm89cz","in_cohort":true,"users":[{"user_id":"user-1","user_properties":{"score":1,234}}]}',
        b'{"cohort_id":"7khm89cz","in_cohort":true,"users":[{"user_id":"user-1","user_properties":{"score":}},]}',
        b"[{'user_id':'user-1','amplitude_My Test Cohort_7khm89cz': true}]",
        b'{"cohort_id":"7khm89cz","in_cohort":true,"users":[{"amplitude_id":356,896,327,775,"user_id":"user-1"}]}',
        b'{"cohort_id":"7khm89cz","in_cohort":true,"users":[{"amplitude_id":"356,896,327,775","user_id":"user-1"}]}',
    ],
)
def test_the_members_that_amplitudes_own_examples_of_templates_write_are_read(body):
    """They print numbers for people, and texts in single quotes."""
    filing = filed(body, Source.COHORT, audiences=True)
    assert isinstance(filing.decision, Apply)
    (message,) = read_all(body)
    (entry,) = message.entries
    assert (message.cohort, message.entering, entry.user_id) == ("7khm89cz", True, "user-1")
    assert entry.amplitude_id in ("", "356896327775")


@pytest.mark.parametrize("number", ["356896327775", 356896327775, "356,896,327,775", "356\u00a0896\u00a0327\u00a0775"])
def test_a_number_of_amplitude_is_the_same_however_a_template_prints_it(number):
    """With separators or without."""
    assert number_of(number) == "356896327775"


@pytest.mark.parametrize("number", ["35,68", "1,2,3", ",356", "356,", "356 896", "0x1", True, 1.5])
def test_what_is_no_number_of_amplitude(number):
    """Or may be two."""
    assert number_of(number) is None


@pytest.mark.parametrize(
    "users",
    [
        json.dumps([{"user_id": "one", "user_properties": {"gaid": "g"}}]),
        ' [{"user_id": "one", "user_properties": {"gaid": "g", "x": NaN}}]',
        json.dumps([{"user_id": "one", "user_properties": json.dumps({"gaid": "g"})}]),
    ],
)
def test_users_in_text_are_members(users):
    """And what is said of them is learnt."""
    body = {"cohort_id": "7khm89cz", "in_cohort": "true", "users": users}
    (message,) = read_all(json.dumps(body).encode())
    assert [(one.user_id, one.properties) for one in message.entries] == [
        ("one", {"gaid": "g"} | ({"x": None} if "NaN" in str(users) else {}))
    ]
    found = filed(body, Source.COHORT, audiences=True)
    assert isinstance(found.decision, Apply)
    assert (len(found.members), len(found.sightings)) == (1, 1)


@pytest.mark.parametrize("users", ["one,two", {"one": {"gaid": "g"}}, {"user_id": "one"}, "[{", "{}", {}, 7])
def test_users_that_are_no_list_are_a_dead_letter_that_says_so(users):
    """Of an object by ids it can't be told which of its keys are ids."""
    found = filed({"cohort_id": "7khm89cz", "in_cohort": True, "users": users}, Source.COHORT, audiences=True)
    assert isinstance(found.decision, Dead)
    assert "users is" in found.decision.detail
    assert "and not a list" in found.decision.detail
