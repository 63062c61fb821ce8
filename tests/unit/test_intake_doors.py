"""The doors judge a request in a fixed order, store before they answer, and say what is wrong in sentences."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest
import zstandard

from flybridge.errors import InboxUnavailable
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.testing.clocks import ManualClock
from flybridge.web.intake import Intake, IntakeApp, StreamRoutes

NOW_MS = 1_900_000_000_000
POSTBACK = b'{"event_name":"install","campaign":"\xc3\xbcber"}'


class RecordingInbox:
    """Keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []
        self.refuses: InboxUnavailable | None = None

    async def accept(self, envelope: Envelope) -> None:
        if self.refuses:
            raise self.refuses
        self.kept.append(envelope)


class Answer:
    """What an ASGI application sent."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.json = json.loads(messages[1]["body"])


@pytest.fixture
def inbox() -> RecordingInbox:
    return RecordingInbox()


@pytest.fixture
def intake(inbox: RecordingInbox) -> Intake:
    apps = [
        IntakeApp("shop", push_token=b"push secret", stream_token=b"stream-secret"),
        IntakeApp("game", push_token=b"t", token_header=b"X-AF-Token"),
        IntakeApp("open", push_token=b""),
    ]
    return Intake(apps, inbox, ManualClock(NOW_MS), max_bytes=5_000)


async def ask(
    app: Any,
    path: str = "/v1/push/shop",
    body: bytes | list[bytes] = POSTBACK,
    *,
    method: str = "POST",
    query: bytes = b"",
    headers: Mapping[str, str] | None = None,
    token: str | None = "push secret",
    ends: str = "http.request",
) -> Answer | None:
    """Send one request as ASGI; None if it was not answered."""
    parts = [body] if isinstance(body, bytes) else body
    given = {"content-type": "application/json"} | ({"authorization": token} if token is not None else {})
    if len(parts) == 1:
        given["content-length"] = str(len(parts[0]))
    given |= headers or {}
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    if ends == "http.disconnect":
        messages[-1] = {"type": ends}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    await app(scope, receive, send)
    return Answer(sent) if sent else None


@pytest.mark.parametrize(
    ("path", "token", "source"),
    [
        ("/v1/push/shop", "push secret", Source.PUSH),
        ("/v1/stream/shop", "stream-secret", Source.STREAM),
        ("/v1/cohorts/shop", "stream-secret", Source.COHORT),
    ],
)
async def test_each_door_stores_the_bytes_untouched(intake, inbox, path, token, source):
    """What is answered 200 is in the inbox, byte for byte, with its source and time."""
    answer = await ask(intake, path, token=token)
    assert (answer.status, answer.json) == (200, {"stored": True})
    assert [Envelope("shop", source, Media.JSON, NOW_MS, POSTBACK)] == inbox.kept


async def test_a_query_string_is_an_envelope(intake, inbox):
    """The query string of a GET is kept as it came, escapes included."""
    answer = await ask(intake, method="GET", query=b"event_name=install&campaign=%C3%BCber", body=b"")
    assert answer.status == 200
    assert [Envelope("shop", Source.PUSH, Media.QUERY, NOW_MS, b"event_name=install&campaign=%C3%BCber")] == inbox.kept


async def test_a_body_in_many_parts_is_one_envelope(intake, inbox):
    """A body that arrives byte by byte, without an announced length, is put together."""
    answer = await ask(intake, body=[POSTBACK[i : i + 1] for i in range(len(POSTBACK))])
    assert answer.status == 200
    assert [envelope.body for envelope in inbox.kept] == [POSTBACK]


@pytest.mark.parametrize("packed", [gzip.compress(gzip.compress(b"")), b"\xcb\x48\xcd"])
async def test_what_holds_nothing_or_is_not_whole_is_never_taken_for_a_message(intake, inbox, packed):
    """An empty body is refused; bytes that can't be inflated are kept as they are."""
    answer = await ask(intake, body=packed, headers={"content-encoding": "deflate"})
    is_empty = packed[:2] == b"\x1f\x8b"
    assert (answer.status, [one.body for one in inbox.kept]) == ((400, []) if is_empty else (200, [packed]))


async def test_a_gzip_bomb_in_gzip_is_too_large(intake, inbox):
    """The limit holds at each step."""
    bomb = gzip.compress(gzip.compress(b'{"a":"' + b"x" * 5_000_000 + b'"}'))
    assert (await ask(intake, body=bomb)).status == 413
    assert inbox.kept == []


@pytest.mark.parametrize("path", ["/v1/push/shop/", "/v1/push/shop//"])
async def test_an_address_may_end_with_a_slash(intake, inbox, path):
    """As people enter it in AppsFlyer's settings, which does not send again what is answered 404."""
    assert (await ask(intake, path)).status == 200
    assert [(one.app, one.source) for one in inbox.kept] == [("shop", Source.PUSH)]
    assert (await ask(intake, "/v1/push/other/")).status == 404


async def test_a_gzip_body_is_stored_inflated(intake, inbox):
    """A compressed body is kept as the JSON it holds."""
    answer = await ask(intake, body=gzip.compress(POSTBACK), headers={"content-encoding": "gzip"})
    assert answer.status == 200
    assert inbox.kept[0].body == POSTBACK


async def test_a_gzip_bomb_is_too_large(intake, inbox):
    """The limit holds for what a body inflates to, and inflating stops there."""
    bomb = gzip.compress(b'{"a":"' + b"x" * 50_000_000 + b'"}')[:4_900]
    answer = await ask(intake, body=bomb, headers={"content-encoding": "gzip"})
    assert (answer.status, inbox.kept) == (413, [])


async def test_a_zstandard_bomb_is_too_large(intake, inbox):
    """Neither what it unpacks to nor the memory that it asks for is without a limit."""
    bomb = zstandard.compress(b'{"a":"' + b"x" * 50_000_000 + b'"}')
    answer = await ask(intake, body=bomb, headers={"content-encoding": "zstd"})
    assert (answer.status, inbox.kept) == (413, [])
    wide = b"\x28\xb5\x2f\xfd\x00\xf8" + b"\x00" * 40  # a window of 2 TB
    assert (await ask(intake, body=wide)).status == 200
    assert [envelope.body for envelope in inbox.kept] == [wide]


@pytest.mark.parametrize("token", ["push secret", "Bearer push secret", "bearer push secret"])
async def test_a_token_may_have_bearer_in_front(intake, token):
    """Senders that only know bearer tokens are let in, too."""
    assert (await ask(intake, token=token)).status == 200


@pytest.mark.parametrize("token", [None, "", "push secre", "push secret2", "stream-secret", "Bearer", "\xfc"])
async def test_a_wrong_token_is_refused_before_the_body_is_read(intake, inbox, token):
    """Without the right token nothing of the body is looked at, and the header is named."""
    answer = await ask(intake, token=token, body=b"{", headers={"content-length": "999999999"})
    assert (answer.status, inbox.kept) == (401, [])
    assert "authorization" in answer.json["error"]
    assert "push_token" in answer.json["remedy"]


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("push", "new", 200),
        ("push", "Bearer old", 200),
        ("push", "older", 200),
        ("push", "ol", 401),
        ("stream", "old", 401),
    ],
)
async def test_former_tokens_are_taken_for_pushes(inbox, path, token, status):
    """AppsFlyer does not send again what is refused while a new token is entered there."""
    app = IntakeApp("shop", push_token=b"new", former_push_tokens=(b"old", b"older"), stream_token=b"new too")
    answer = await ask(Intake([app], inbox, ManualClock(NOW_MS)), f"/v1/{path}/shop", token=token)
    assert answer.status == status


async def test_a_door_without_a_token_is_shut(intake):
    """No configured token means nobody enters, not everybody."""
    answer = await ask(intake, "/v1/stream/game", token="")
    assert (answer.status, answer.json["remedy"]) == (401, "Set amplitude.webhook_token for it.")


async def test_an_empty_token_leaves_the_door_open(intake):
    """An empty token is the configured wish to try things out without one."""
    assert (await ask(intake, "/v1/push/open", token=None)).status == 200


@pytest.mark.parametrize("headers", [{"x-af-token": "t"}, {"authorization": "t"}])
async def test_the_header_of_the_token_can_be_named(intake, headers):
    """The configured header counts, and Authorization still does."""
    assert (await ask(intake, "/v1/push/game", token=None, headers=headers)).status == 200


@pytest.mark.parametrize(
    "path", ["/v1/push/none", "/v1/push/none/", "/v1/push//shop", "/v1/push", "/v1/else/shop", "/v1/", "/v1/push/Shop"]
)
async def test_an_unknown_app_is_not_found(intake, path):
    """A path that leads to no door is answered 404, and counted."""
    answer = await ask(intake, path)
    assert answer.status == 404
    assert intake.counts[0].refused == {404: 1}


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [("/v1/push/shop", "PUT", "GET, POST"), ("/v1/stream/shop", "GET", "POST"), ("/v1/cohorts/shop", "DELETE", "POST")],
)
async def test_other_methods_are_told_what_is_allowed(intake, path, method, allow):
    """405 comes with Allow."""
    answer = await ask(intake, path, method=method)
    assert (405, allow) == (answer.status, answer.headers["allow"])


@pytest.mark.parametrize(("method", "query"), [("GET", b""), ("GET", b"?"), ("HEAD", b""), ("HEAD", b"a=b")])
async def test_push_without_a_postback_is_refused(intake, inbox, method, query):
    """A GET needs fields in its query; HEAD, as link checkers send it, stores nothing."""
    answer = await ask(intake, method=method, query=query, body=b"")
    assert (answer.status, inbox.kept) == (400, [])


@pytest.mark.parametrize("length", ["5001", "9" * 5000])
async def test_an_announced_size_over_the_limit_is_refused_unread(intake, length):
    """413 is known from the header: the body is not waited for."""
    answer = await ask(intake, body=b"", headers={"content-length": length})
    assert answer.status == 413
    assert "5000 bytes" in answer.json["error"]


async def test_an_unannounced_size_over_the_limit_is_refused_while_reading(intake, inbox):
    """Reading stops as soon as the limit is passed."""
    parts = [b'{"a":"'] + [b"x" * 1000] * 1000
    answer = await ask(intake, body=parts)
    assert (answer.status, inbox.kept) == (413, [])


async def test_a_size_at_the_limit_is_taken(intake):
    """The limit itself is allowed."""
    body = b'{"a":"' + b"x" * (5_000 - 8) + b'"}'
    assert len(body) == 5_000
    assert (await ask(intake, body=body)).status == 200


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "\xb2"])
async def test_a_length_that_is_no_number_is_refused(intake, length):
    """A malformed Content-Length is named."""
    answer = await ask(intake, headers={"content-length": length})
    assert answer.status == 400
    assert "Content-Length" in answer.json["error"]


async def test_a_body_shorter_than_announced_is_refused(intake, inbox):
    """A body that does not fit its length is not stored."""
    answer = await ask(intake, headers={"content-length": str(len(POSTBACK) + 1)})
    assert (answer.status, inbox.kept) == (400, [])


@pytest.mark.parametrize("body", [b"", b" \n", gzip.compress(b"", mtime=0), b"\xff\xfe"])
async def test_an_empty_body_is_refused_with_a_reason(intake, inbox, body):
    """There is nothing in it that could be lost."""
    answer = await ask(intake, body=body)
    assert (answer.status, inbox.kept) == (400, [])
    assert "empty" in answer.json["error"]
    assert answer.json["remedy"]


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"a":1,"a":2}', b'{"a":"' + b"x" * 4_000 + b'"}', b'{"n":1e999999}', b'{"n":' + b"9" * 3_000 + b"}",
     b'{"cut emoji":"\\ud83d"}', b'{"event_value":"{\\"a\\":1}"}', b'{"nul":"\\u0000"}'],
)  # fmt: skip
async def test_readable_json_is_stored_whatever_it_means(intake, inbox, body):
    """What can't be mapped is for later to judge: it must not be lost at the door."""
    assert (await ask(intake, body=body)).status == 200
    assert [body] == [envelope.body for envelope in inbox.kept]


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"-1.5", b"[[]]", b'[{"event_type":"a"}, 2]'])
@pytest.mark.parametrize("door", ["push", "stream", "cohorts"])
async def test_json_of_any_kind_is_taken(intake, inbox, door, body):
    """What is no message of the kind expected becomes a dead letter later; it is not lost at the door."""
    token = "push secret" if door == "push" else "stream-secret"
    assert (await ask(intake, f"/v1/{door}/shop", body, token=token)).status == 200
    assert [envelope.body for envelope in inbox.kept] == [body]


async def test_an_inbox_that_refuses_is_answered_503(intake, inbox):
    """Nothing was promised, and Retry-After says when to come back."""
    inbox.refuses = InboxUnavailable("The disk is full.", 7)
    answer = await ask(intake)
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert "The disk is full." in answer.json["error"]
    assert [intake.refuses(NOW_MS + ms) for ms in (0, 6_999, 7_000, -5_000, -86_400_000)] == [
        True, True, False, True, False,
    ]  # fmt: skip


async def test_a_sender_that_goes_away_leaves_nothing(intake, inbox):
    """A body that breaks off is neither stored nor answered, and no error."""
    assert await ask(intake, body=[b'{"a":', b""], ends="http.disconnect") is None
    assert inbox.kept == []


async def test_doors_count_what_they_did(intake, inbox):
    """Every door counts accepted requests, refusals by status, and times."""
    await ask(intake)
    await ask(intake, token="wrong")
    await ask(intake, body=b"")
    await ask(intake, body=b" ")
    tally = next(t for t in intake.counts if (t.app, t.source) == ("shop", "push"))
    assert (tally.accepted, tally.refused) == (1, {401: 1, 400: 2})
    assert sum(tally.slots) == 1
    assert tally.elapsed_ns > 0


async def test_a_list_of_events_becomes_messages_of_their_own(inbox: RecordingInbox) -> None:
    """Where each is to be accounted for; the bytes of each are those that came."""
    intake = Intake([IntakeApp("shop", stream_token=b"t", takes_apart=True)], inbox, ManualClock(NOW_MS))
    answer = await ask(intake, "/v1/stream/shop", b' [{"event_type": "a"}, {"event_type":"b"} ]', token="t")
    assert answer is not None
    assert answer.status == 200
    assert [envelope.body for envelope in inbox.kept] == [b'{"event_type": "a"}', b'{"event_type":"b"}']


@pytest.mark.parametrize("body", [b"[]", b'{"event_type":"a"}', b'"[1]"'])
async def test_what_is_no_list_of_events_stays_one_message(inbox: RecordingInbox, body: bytes) -> None:
    """An empty list is a message, too: it was sent, and is accounted for."""
    intake = Intake([IntakeApp("shop", stream_token=b"t", takes_apart=True)], inbox, ManualClock(NOW_MS))
    await ask(intake, "/v1/stream/shop", body, token="t")
    assert [envelope.body for envelope in inbox.kept] == [body]


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b'[{"event_name":"install"}]', [b'{"event_name":"install"}']),
        (b' [{"event_name": "a"}, {"event_name":"b"} ]', [b'{"event_name": "a"}', b'{"event_name":"b"}']),
        (b'\xef\xbb\xbf[{"a":1},[{"b":2}]]', [b'{"a":1}', b'{"b":2}']),
        (b'[{"a":"\\ud83d"},{"b":NaN}]', None),
        (b'[{"a":1}', [b'[{"a":1}']),
        (b"[]", [b"[]"]),
        (b"[1,2]", [b"[1,2]"]),
        (b'[{"a":1},2]', [b'[{"a":1},2]']),
        (b'{"events":[{"a":1}]}', [b'{"events":[{"a":1}]}']),
        (b'[{"events":[{"a":1},{"b":2}]}]', [b'{"events":[{"a":1},{"b":2}]}']),
    ],
)
async def test_each_object_of_a_list_of_postbacks_is_a_message(inbox: RecordingInbox, body: bytes, parts) -> None:
    """What is no list of objects is one message, so that nothing of it is lost."""
    intake = Intake([IntakeApp("shop", push_token=b"t")], inbox, ManualClock(NOW_MS))
    answer = await ask(intake, "/v1/push/shop", body, token="t")
    assert answer is not None
    assert answer.status == 200
    kept = [envelope.body for envelope in inbox.kept]
    if parts is None:
        assert [list(json.loads(one)) for one in kept] == [["a"], ["b"]]
    else:
        assert kept == parts
    assert {envelope.source for envelope in inbox.kept} == {Source.PUSH}


BEHIND = [
    (b'{"a":1}\n{"b": 2}\n', [b'{"a":1}', b'{"b": 2}']),
    (b'{"a":1}\r\n\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
    (b'{"a":1}{"b":2} {"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
    (b'\x1e{"a":1}\n\x1e{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
    (b'\xef\xbb\xbf{"a":1},\n{"b":2}\n{"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
    (b'{\n "a": 1\n}\n{\n "b": 2\n}\n', [b'{\n "a": 1\n}', b'{\n "b": 2\n}']),
    (b'{"a":"x\ny\xff"}\n{"b":"\xed\xa0\xbd"}', [b'{"a":"x\ny\xff"}', b'{"b":"\xed\xa0\xbd"}']),
    (b'{"a":[{"b":1},\n{"c":2}]},\n{"d":3},\n', [b'{"a":[{"b":1},\n{"c":2}]}', b'{"d":3}']),
    (b'{"a":1}\n{"b":\n{"c":3}', [b'{"a":1}', b'{"b":', b'{"c":3}']),
    (b'{"a":1}\n{"b":2}\n-- 2 rows\nEND', [b'{"a":1}', b'{"b":2}', b"-- 2 rows\nEND"]),
    (b'{"a":1}\n{"b":2}\n' + b'{"c":[' * 40_000, [b'{"a":1}', b'{"b":2}', b'{"c":[' * 40_000]),
]


@pytest.mark.parametrize(("body", "parts"), BEHIND)
@pytest.mark.parametrize("path", ["push", "stream", "cohorts"])
@pytest.mark.parametrize("takes_apart", [True, False])
async def test_each_object_behind_another_is_a_message(inbox: RecordingInbox, path, takes_apart, body, parts) -> None:
    """One a line, or with nothing between, as queues put them together. What can't be read is one, too."""
    intake = Intake([IntakeApp("shop", b"t", b"t", takes_apart=takes_apart)], inbox, ManualClock(NOW_MS))
    answer = await ask(intake, f"/v1/{path}/shop", body, token="t")
    assert answer is not None
    assert answer.status == 200
    assert [envelope.body for envelope in inbox.kept] == parts


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"}{"}', b'{"a":"}\n{"}', b'{"a":1} x {"b":2}', b'{"a":{"b":1}\n{"c":2}', b'[{"a":1}\n{"b":2}]', b"}\n{}",
        b'{"a":[{"b":1},{"c":2}],"d":{}}', b'{"a":1}', b'{"a":[{"b":1},\n{"c":2}]}', b'{"a":1},{"b":2}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["push", "stream"])
async def test_what_is_not_several_objects_stays_one_message(inbox: RecordingInbox, path, body) -> None:
    """Brackets in a text, and in what can't be read, begin no other message."""
    intake = Intake([IntakeApp("shop", b"t", b"t", takes_apart=True)], inbox, ManualClock(NOW_MS))
    await ask(intake, f"/v1/{path}/shop", body, token="t")
    assert [envelope.body for envelope in inbox.kept] == [body]


ROUTES = StreamRoutes(
    "droid", {"android": "droid", "ios": "apple"}, {"event_type": "name", "platform": "properties.os"}
)


@pytest.mark.parametrize(
    ("message", "apps"),
    [
        ({"event_type": "a", "platform": "Android"}, ["droid"]),
        ({"event_type": "a", "platform": "iOS"}, ["apple"]),
        ({"event_type": "a", "os_name": "ipados"}, ["apple"]),
        ({"name": "a", "properties": {"os": "ios"}}, ["apple"]),
        ({"event_type": "a", "platform": "Web", "os_name": "Chrome"}, ["droid"]),
        ({"event_type": "a"}, ["droid"]),
        ({"user_id": "u", "user_properties": {"$set": {"appsflyer_id": "1-2"}}}, ["droid", "apple"]),
        ("text", ["droid", "apple"]),
        ([{"event_type": "a", "platform": "iOS"}, {"event_type": "a", "platform": "Android"}], ["apple", "droid"]),
        ({"events": [{"event_type": "a", "platform": "iOS"}]}, ["apple"]),
    ],
)
async def test_a_stream_of_several_apps_is_shared_by_platform(inbox: RecordingInbox, message, apps) -> None:
    """Users go to every app, because each may find its people by them; what is of no phone stays with the first."""
    intake = Intake(
        [IntakeApp("droid", stream_token=b"t", takes_apart=True, routes=ROUTES)], inbox, ManualClock(NOW_MS)
    )
    answer = await ask(intake, "/v1/stream/droid", json.dumps(message).encode(), token="t")
    assert answer is not None
    assert answer.status == 200
    assert [envelope.app for envelope in inbox.kept] == apps
    assert {envelope.source for envelope in inbox.kept} == {Source.STREAM}


async def test_the_door_of_cohorts_takes_nothing_apart(inbox: RecordingInbox) -> None:
    """A cohort's list is one message about many people."""
    intake = Intake([IntakeApp("shop", b"t", b"t", takes_apart=True)], inbox, ManualClock(NOW_MS))
    await ask(intake, "/v1/cohorts/shop", b"[{},{}]", token="t")
    assert [envelope.body for envelope in inbox.kept] == [b"[{},{}]"]


@pytest.mark.parametrize("pending", [1, 2, 7, 100])
async def test_a_list_longer_than_the_room_is_stored_in_parts(tmp_path, pending):
    """What never fits at once must not be refused for ever."""
    inbox = SqliteInbox(tmp_path / "inbox.db", Seal(b"secret"), max_waiting=pending)
    await inbox.open()
    intake = Intake([IntakeApp("shop", b"t", b"t", takes_apart=True)], inbox, ManualClock(), max_pending=pending)
    body = b"[" + b",".join(b'{"n":%d}' % n for n in range(300)) + b"]"
    assert (await ask(intake, "/v1/stream/shop", body, token="t")).status == 200
    assert (await inbox.depth(0)).waiting == 300
    await inbox.close()


async def test_without_tokens_a_refusal_names_no_path(inbox):
    """Anyone may send there, so anyone reads the answer."""
    inbox.refuses = InboxUnavailable("The inbox /var/lib/flybridge/inbox.db is full.", 7)
    answer = await ask(Intake([IntakeApp("shop", b"")], inbox, ManualClock()), token=None)
    assert answer.status == 503
    assert "/var" not in json.dumps(answer.json)
