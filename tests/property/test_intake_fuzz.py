"""Whatever is sent to the doors, the answer is one of the documented ones, and what was answered 200 is stored."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flybridge.clock import SystemClock
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.records import Envelope
from flybridge.sealing import Seal
from flybridge.telemetry.metrics import Metrics
from flybridge.web.app import WebApp, description
from flybridge.web.intake import Intake, IntakeApp

DOCUMENTED = {
    int(status) for path in description("0")["paths"].values() for m in path.values() if "responses" in m
    for status in m["responses"]
}  # fmt: skip
MAX_BYTES = 20_000


class Recording:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []

    async def accept(self, envelope: Envelope) -> None:
        self.kept.append(envelope)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=20,
)
good = st.dictionaries(st.text(max_size=20), anything, max_size=8).map(lambda d: json.dumps(d).encode())
bodies = st.one_of(
    good,
    st.binary(max_size=200),
    anything.map(lambda v: json.dumps(v, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    good.flatmap(lambda b: st.integers(0, len(b)).map(lambda n: b[:n])),
    st.tuples(good, st.integers(0, 400), st.integers(0, 255)).map(
        lambda t: bytes(t[2] if i == t[1] else byte for i, byte in enumerate(t[0]))
    ),
    st.sampled_from([b"[", b'{"a":', b'[{"b":']).flatmap(lambda b: st.integers(1, 3_000).map(lambda n: b * n)),
    st.integers(0, 12_000).map(lambda n: b'{"long":"' + b"x" * n + b'"}'),
    st.integers(0, 4_000).map(lambda n: b'{"n":' + b"9" * n + b"}"),
    st.just(b'{"a":1,"a":2,"a":{}}'),
    good.map(gzip.compress),
)
names = st.sampled_from(
    ["authorization", "content-type", "content-length", "content-encoding", "x-token", "transfer-encoding", "host"]
)
values = st.sampled_from(
    [
        "t",
        "Bearer t",
        "application/json",
        "text/plain; charset=utf-8",
        "image/png",
        "gzip",
        "br",
        "",
        "0",
        "1",
        "99999999",
    ]
) | st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30)
paths = st.sampled_from(["/v1/push/shop", "/v1/stream/shop", "/v1/cohorts/shop", "/v1/push/none", "/v1/", "/v1/push"])
methods = st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"])


async def exchange(app: Any, scope: dict[str, Any], parts: list[bytes]) -> tuple[int, bytes]:
    """Send one request as ASGI; give status and body."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[1]["body"]


def door(path: str = "/v1/push/shop", method: str = "POST", **more: Any) -> dict[str, Any]:
    """Build the scope of a request with the right token."""
    headers = [(b"authorization", b"t"), *more.pop("headers", ())]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers} | more


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[Recording, WebApp, asyncio.Runner]]:
    """One application for all examples; its inbox is emptied before each."""
    inbox = Recording()
    intake = Intake([IntakeApp("shop", b"t", b"t")], inbox, SystemClock(), max_bytes=MAX_BYTES)
    with asyncio.Runner() as runner:
        yield inbox, WebApp(intake, inbox, Metrics("0"), SystemClock(), version="0"), runner


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(to=("/v1/push/shop", "POST", b""), headers=[], body=b"[{}]", cut=1)
@example(to=("/v1/push/shop", "POST", b""), headers=[], body=b'[{"a":1},[{"b":[2]}]]', cut=1)
@example(to=("/v1/stream/shop", "POST", b""), headers=[], body=b'[{"a":1},[{"b":[2]}]]', cut=3)
@given(
    to=st.tuples(paths, methods, st.binary(max_size=60)),
    headers=st.lists(st.tuples(names, values), max_size=4),
    body=bodies,
    cut=st.integers(1, 9),
)
def test_every_request_has_a_documented_answer(recorded, to, headers, body, cut):
    """No request makes a door fail, and exactly the requests answered 200 are in the inbox."""
    inbox, app, runner = recorded
    inbox.kept.clear()
    (path, method, query), step = to, max(1, len(body) // cut)
    scope = door(path, method, query_string=query, headers=[(n.encode(), v.encode("latin-1")) for n, v in headers])
    lengths = [value for name, value in headers if name == "content-length" and value.isdecimal()]
    body = body[: int(lengths[-1])] if lengths else body  # no more of it is handed over by an HTTP server
    status, answer = runner.run(exchange(app, scope, [body[i : i + step] for i in range(0, len(body), step)]))
    assert status in DOCUMENTED
    said = json.loads(answer)
    assert (status == 200) == (said == {"stored": True}) == bool(inbox.kept)
    if status != 200:
        assert said["error"].endswith(".")
        assert said["remedy"].endswith(".")
    elif method == "POST" and body.isascii() and 0 not in body:
        kept = [one.body for one in inbox.kept]
        assert kept == [body] or _in_lists(b"[" + b",".join(kept) + b"]") == _in_lists(body)


def _in_lists(body: bytes) -> list[Any]:
    """Return the values in a list, and in lists in it, which are stored one by one."""
    left, found = [json.loads(body)], []
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += reversed(value)
        else:
            found.append(value)
    return found


@settings(max_examples=200, deadline=None)
@given(body=good)
def test_every_json_object_is_taken(recorded, body):
    """No JSON object of whatever fields is turned away."""
    inbox, app, runner = recorded
    inbox.kept.clear()
    status, _ = runner.run(exchange(app, door(), [body]))
    assert (status, [envelope.body for envelope in inbox.kept]) == (200, [body])


@pytest.fixture
async def durable(tmp_path):
    """A real inbox on disk."""
    inbox = SqliteInbox(tmp_path / "inbox.db", Seal(b"secret"))
    await inbox.open()
    yield inbox
    await inbox.close()


async def test_what_is_answered_200_is_in_the_inbox(durable):
    """Requests with and without content at once: what the answers promise is what the log holds, byte by byte."""
    intake = Intake([IntakeApp("shop", b"t")], durable, SystemClock())
    sent = [b'{"n":%d' % n if n % 3 else b" " for n in range(300)]
    answers = await asyncio.gather(*(exchange(intake, door(), [body]) for body in sent))
    promised = [body for body, (status, _) in zip(sent, answers, strict=True) if status == 200]
    leased = await durable.lease(1_000, SystemClock().now_ms(), 1_000)
    assert [envelope.body for envelope in leased.envelopes] == promised
    assert sum((await durable.received()).values()) == len(promised) == 200
