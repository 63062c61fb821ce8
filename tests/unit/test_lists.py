"""The doors of a list-based integration: a list is its cohort's, and a batch is kept with what it was about."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from flybridge.amplitude.cohort_message import CohortEntry, CohortMessage, read_all
from flybridge.clock import SystemClock
from flybridge.records import Envelope, Source
from flybridge.web.answers import rendered
from flybridge.web.intake import Intake, IntakeApp

NAME = "[Amplitude] Big spenders: c1"


class Kept:
    """An inbox that keeps what it is given."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def accept(self, envelope: Envelope) -> None:
        """Keep it."""
        self.envelopes.append(envelope)


async def ask(path: str, body: object, token: str = "Bearer right", inbox: Kept | None = None) -> tuple[int, object]:
    """Ask at a door; give status and answer."""
    app = IntakeApp("shop", b"push", b"right", cohorts=frozenset({"c1"}))
    intake = Intake([app], inbox or Kept(), SystemClock())  # type: ignore[arg-type]

    async def read_body() -> bytes:
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    headers = {"authorization": token}
    status, _, answer = rendered(await intake.take(path, "POST", b"", headers.get, read_body))
    return status, json.loads(answer)


async def test_a_list_is_created_for_a_cohort_that_an_audience_follows():
    """Its id is the cohort's, so that creating it again gives the same; nothing is stored."""
    inbox = Kept()
    for _ in range(2):
        assert await ask("/v1/cohorts/shop/lists", {"name": NAME}, inbox=inbox) == (200, {"listId": "c1"})
    assert inbox.envelopes == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "[Amplitude] Big\nspenders: c1"}', b'{"name": "\\ud83d Big spenders: c1"}',
        b'\xef\xbb\xbf{"name": "Big spenders: c1", "size": NaN}',
    ],
)  # fmt: skip
async def test_a_list_is_created_from_json_that_has_to_be_mended(body):
    """What the endpoint takes for readable is read."""
    assert await ask("/v1/cohorts/shop/lists", body) == (200, {"listId": "c1"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"name": ', 400),
        (b'{"name": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        ({"name": "[Amplitude] Others: c2"}, 404),
        ({"name": "Big spenders"}, 400),
        ({"name": "Big spenders: "}, 400),
        ({"name": 7}, 400),
        ([], 400),
    ],
)
async def test_a_list_that_would_lead_nowhere_is_refused_when_it_is_created(body, status):
    """With what is wrong and what to do, where people see it."""
    found, answer = await ask("/v1/cohorts/shop/lists", body)
    assert (found, sorted(answer)) == (status, ["error", "remedy"])


@pytest.mark.parametrize("body", [b'{"userIds": [', b'1, "action": "remove"', b"\xff\xfe\xfd", b"[" * 2_000])
async def test_a_batch_that_cannot_be_read_is_kept_inside_its_frame(body):
    """It can't change what the path says, and becomes a dead letter."""
    inbox = Kept()
    assert await ask("/v1/cohorts/shop/lists/c1/add", body, inbox=inbox) == (200, {"stored": True})
    (envelope,) = inbox.envelopes
    frame = json.loads(envelope.body)
    assert (frame["action"], isinstance(frame["message"], str)) == ("add", True)
    assert read_all(envelope.body) == []


@pytest.mark.parametrize("action", ["add", "remove"])
async def test_a_batch_is_kept_as_it_came_with_its_list(action):
    """The bytes inside the frame are the sender's own."""
    inbox = Kept()
    people = {"userIds": ["ada", {"user_id": "bob", "user_properties": {"gaid": "x"}}, 7, None, {}]}
    assert await ask(f"/v1/cohorts/shop/lists/c1/{action}", people, inbox=inbox) == (200, {"stored": True})
    (envelope,) = inbox.envelopes
    assert envelope.source is Source.COHORT
    assert json.dumps(people).encode() in envelope.body
    entries = [CohortEntry("ada"), CohortEntry("bob", "", {"gaid": "x"}), CohortEntry("7")]
    assert read_all(envelope.body) == [CohortMessage("c1", action == "add", entries)]


async def test_a_batch_for_a_list_nobody_follows_is_refused():
    """It would have no effect, and Amplitude would show success."""
    assert (await ask("/v1/cohorts/shop/lists/c2/add", {"userIds": ["ada"]}))[0] == 404


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("right", 200),
        ("Bearer right", 200),
        ("Basic " + b64encode(b"right:").decode(), 200),
        ("Basic " + b64encode(b"right").decode(), 200),
        ("Basic " + b64encode(b"wrong:right").decode(), 401),
        ("Basic !", 401),
        ("", 401),
    ],
)
async def test_the_token_may_come_as_a_user_name(token, status):
    """Amplitude's integrations sign in with basic authentication and an empty password."""
    assert (await ask("/v1/cohorts/shop/lists/c1/add", {"userIds": []}, token))[0] == status


@pytest.mark.parametrize("path", ["/v1/cohorts/shop/lists/c1", "/v1/cohorts/shop/lists//add", "/v1/cohorts/x/lists"])
async def test_other_paths_lead_nowhere(path):
    """Nothing is there."""
    assert (await ask(path, {}))[0] == 404


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"userIds":["ada"]}', b' {"userIds":["ada"],"x":NaN} ', b'{"userIds":["ada"],"x":"a\nb"}']
)
async def test_members_are_read_from_json_that_has_to_be_mended(body):
    """Also within the frame in which a batch is kept."""
    inbox = Kept()
    assert (await ask("/v1/cohorts/shop/lists/c1/add", body, inbox=inbox))[0] == 200
    (message,) = [message for envelope in inbox.envelopes for message in read_all(envelope.body)]
    assert [entry.user_id for entry in message.entries] == ["ada"]
