"""The real server on a real socket, with the real inbox: odd bytes, broken connections, start and stop."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flybridge.clock import SystemClock
from flybridge.errors import ConfigError, InboxUnavailable, NotAvailable
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.telemetry.metrics import Metrics
from flybridge.web.app import WebApp
from flybridge.web.intake import Intake, IntakeApp
from flybridge.web.server import WHOLE_BYTES, bind, serve

MAX_BYTES = 200_000
HEAD = b"POST /v1/push/shop HTTP/1.1\r\nHost: x\r\nAuthorization: t\r\n"


def post(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """Build a whole request."""
    lines = [b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    return HEAD + b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*parts: bytes) -> bytes:
    """Build a whole request whose size is not announced."""
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (*parts, b""))


async def talk(port: int, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes on a new connection; give all that comes back until the server is done or the answer complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        return await answer_of(reader)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """Read one answer; empty if the connection ends without one."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = await reader.readline()
        if not line:
            return head
        head += line
    length = int(next((x.split(b":")[1] for x in head.lower().splitlines() if x.startswith(b"content-length")), b"0"))
    return head + await reader.readexactly(length)


def status(answer: bytes) -> int:
    """Return the status of an answer; 0 if there is none."""
    return int(answer[9:12]) if answer else 0


@asynccontextmanager
async def running(app: Any, **settings: Any) -> Any:
    """Serve an application; gives its port and the event that stops it."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, "127.0.0.1", 0, stop, ready=ready.set_result, **settings))
    await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield await ready, stop, task
    finally:
        stop.set()
        await task


@asynccontextmanager
async def bridge(path: Any) -> Any:
    """Serve the doors of one app with an inbox on disk; gives port and inbox."""
    inbox = SqliteInbox(path / "inbox.db", Seal(b"secret"))
    await inbox.open()
    clock = SystemClock()
    intake = Intake([IntakeApp("shop", b"t", b"t")], inbox, clock, max_bytes=MAX_BYTES)
    app = WebApp(intake, inbox, Metrics("1", intake.counts), clock, version="1")
    async with running(app) as (port, _, _):
        yield port, inbox
    await inbox.close()


async def stored(inbox: SqliteInbox) -> list[bytes]:
    """Return the bodies the inbox holds and has not handed out yet."""
    leased = await inbox.lease(100_000, SystemClock().now_ms(), 3_600_000)
    return [envelope.body for envelope in leased.envelopes] if leased else []


async def test_every_way_of_sending_a_body_is_stored_untouched(tmp_path):
    """Announced or not, small or large, cut into parts or not: the bytes in the inbox are the bytes sent."""
    large = b'{"a":"' + b"x" * (WHOLE_BYTES + 10_000) + b'"}'
    long_value = b'{"a":"' + b"y" * 10_000 + b'"}'
    async with bridge(tmp_path) as (port, inbox):
        for request in (post(b'{"n":1}'), post(large), post(long_value), chunked(b'{"n"', b":2}"), chunked(large)):
            assert status(await talk(port, request)) == 200
        query = b"GET /v1/push/shop?event_name=install&x=%FF HTTP/1.1\r\nHost: x\r\nAuthorization: t\r\n\r\n"
        assert status(await talk(port, query)) == 200
        bodies = [b'{"n":1}', large, long_value, b'{"n":2}', large, b"event_name=install&x=%FF"]
        assert await stored(inbox) == bodies


async def test_a_connection_is_kept_and_serves_many(tmp_path):
    """Requests follow each other on one connection, also after a refusal whose body was read."""
    async with bridge(tmp_path) as (port, inbox):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body, expected in ((b'{"n":1}', 200), (b" ", 400), (b'{"n":2}', 200)):
            writer.write(post(body))
            assert status(await answer_of(reader)) == expected
        writer.close()
        assert await stored(inbox) == [b'{"n":1}', b'{"n":2}']


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (post(b'{"a":"\xff"}'), 200),
        (post(b'{"a":' + b"[" * 150_000), 200),
        (post(b"", length=0), 400),
        (HEAD + b"\r\n", 400),
        (post(b"\x89PNG", b"Content-Type: image/png"), 200),
        (post(b"\x8b\x03", b"Content-Encoding: br"), 200),
        (post(b"", length=MAX_BYTES + 1), 413),
        (post(b"", length=10**18), 413),
        (chunked(b'{"a":"', *[b"x" * 10_000] * 40), 413),
        (post(b"{}").replace(b": t", b": wrong"), 401),
        (post(b"{}").replace(b"/shop", b"/%73hop"), 200),
        (post(b"{}").replace(b"/shop", b"/nobody"), 404),
        (post(b"{}").replace(b"POST", b"BREW"), 405),
        (b"NONSENSE\r\n\r\n", 400),
        (b"\x00\xff\xfe garbage \r\n\r\n", 400),
        (post(b"{}", b"Content-Length: 3"), 400),
        (post(b"{}").replace(b"HTTP/1.1", b"HTTP/9.9"), 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
async def test_bad_requests_have_clear_answers(tmp_path, request_bytes, expected):
    """Each is answered with its status, nothing is stored but what was answered 200, and the process goes on."""
    async with bridge(tmp_path) as (port, inbox):
        answer = await talk(port, request_bytes)
        assert status(answer) == expected
        if expected != 200 and b"application/json" in answer:
            assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "remedy"}
        assert len(await stored(inbox)) == (expected == 200)
        assert status(await talk(port, post(b"{}"))) == 200


async def test_a_body_that_is_too_large_is_refused_while_it_is_being_sent(tmp_path):
    """The sender of 20 MB has its answer long before it has sent them."""
    async with bridge(tmp_path) as (port, inbox):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b'{"a":"' + b"x" * 1_000, length=20_000_000))
        assert status(await answer_of(reader)) == 413
        writer.close()
        assert await stored(inbox) == []


@pytest.mark.parametrize("whole", [post(b'{"a":1}', length=500), post(b'{"a":1}', length=WHOLE_BYTES + 1)])
async def test_a_sender_that_leaves_inside_its_body_leaves_nothing(tmp_path, whole):
    """A cut request is not stored, even if what came of it is valid JSON; who still listens is told."""
    async with bridge(tmp_path) as (port, inbox):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole)
        await writer.drain()
        writer.transport.abort()
        assert status(await talk(port, whole, end=True)) == 400
        assert status(await talk(port, post(b'{"n":1}'))) == 200
        assert await stored(inbox) == [b'{"n":1}']


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_stalls_is_answered_408(tmp_path, monkeypatch, announced):
    """A small body too: a connection must not be held for ever by who sends nothing."""
    monkeypatch.setattr("flybridge.web.server.BODY_TIMEOUT_S", 0.3)
    monkeypatch.setattr("flybridge.web.body.BODY_TIMEOUT_S", 0.3)
    async with bridge(tmp_path) as (port, inbox):
        began = post(b'{"a":', length=1000) if announced else HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"
        async with asyncio.timeout(5):
            assert status(await talk(port, began)) == 408
        assert await stored(inbox) == []


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """A bridge in a thread of its own, for tests that are not async; gives its port and how to count envelopes."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), []
    over = asyncio.Event()

    async def main() -> None:
        async with bridge(tmp_path_factory.mktemp("fuzz")) as (number, inbox):
            port.extend((number, inbox))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    ready.wait(20)

    def count() -> int:
        return sum(asyncio.run_coroutine_threadsafe(port[1].received(), loop).result(10).values())

    yield port[0], count
    loop.call_soon_threadsafe(over.set)
    thread.join(20)
    loop.close()


SILENCE_S = 0.1

pieces = st.sampled_from(
    [b"POST ", b"GET ", b"/v1/push/shop", b"?a=b", b" HTTP/1.1\r\n", b"Host: x\r\n", b"Authorization: t\r\n", b"\r\n",
     b"Content-Length: 2\r\n", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n",
     b"{}", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"\xff", b"\0",
     b"Content-Type: a/b\r\n"]
)  # fmt: skip
whole_request = st.just(post(b'{"event_name":"install"}'))
damaged = st.tuples(whole_request, st.integers(0, 130), st.binary(max_size=3)).map(
    lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
)
raw = st.binary(max_size=120) | st.lists(pieces, max_size=12).map(b"".join) | damaged


@settings(max_examples=150, deadline=None)
@given(data=raw)
def test_raw_bytes_never_stop_the_server(fuzzed, data):
    """Whatever is written to the socket: the count in the inbox grows by the 200s, and the next sender is served.

    Who has hung up before an answer gets none; such a message may be kept all the same, and no other.
    """
    port, count = fuzzed
    before, answers, hung_up = count(), b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S) as client:
        client.sendall(data)
        try:
            while part := client.recv(65_536):
                answers += part
        except TimeoutError:
            hung_up = True
        except ConnectionError:
            pass
    assert b"HTTP/1.1 5" not in answers
    # What was taken in before the next message is on the disk when that is answered.
    assert status(asyncio.run(talk(port, post(b"{}")))) == 200
    unanswered = count() - before - 1 - answers.count(b'{"stored":true}')
    assert answers.count(b"HTTP/1.1 200") == answers.count(b'{"stored":true}')
    assert unanswered == 0 or (unanswered == 1 and hung_up)


class Slow:
    """An inbox that lets go when it is told to."""

    def __init__(self) -> None:
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    async def accept(self, envelope: Any) -> None:
        self.entered.set()
        await self.gate.wait()

    async def depth(self, now_ms: int) -> Any:
        raise InboxUnavailable("not asked")


def slow_app() -> tuple[WebApp, Slow]:
    """An application whose requests stay in flight."""
    inbox, clock = Slow(), SystemClock()
    intake = Intake([IntakeApp("shop", b"t")], inbox, clock)
    return WebApp(intake, inbox, Metrics("1"), clock, version="1"), inbox


async def test_stopping_finishes_what_is_in_flight():
    """A request that waits for the disk when the server is stopped gets its 200; then nobody listens any more."""
    app, inbox = slow_app()
    async with running(app) as (port, stop, task):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"{}"))
        await inbox.entered.wait()
        app.drain()
        stop.set()
        assert await idle_reader.read() == b""
        assert not task.done()
        inbox.gate.set()
        assert status(await answer_of(reader)) == 200
        await task
        writer.close()
        idle_writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_stopping_does_not_wait_for_ever():
    """A request that never ends is given up after the grace time."""
    app, inbox = slow_app()
    async with running(app, grace_s=1) as (port, stop, task):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"{}"))
        await inbox.entered.wait()
        stop.set()
        await task
        inbox.gate.set()
        writer.close()


async def test_while_draining_senders_are_told_to_come_back():
    """A connection that is still open gets 503, and is closed."""
    app, _ = slow_app()
    async with running(app) as (port, _, _):
        app.drain()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"{}"))
        answer = (await reader.read()).lower()
        assert status(answer) == 503
        assert b"retry-after: 5" in answer
        writer.close()


async def test_a_port_that_is_taken_is_a_sentence():
    """A second server on a port is refused, with the setting and a remedy, and the first is not disturbed."""
    app, _ = slow_app()
    async with running(app) as (port, _, _):
        with pytest.raises(NotAvailable, match=rf"server\.port: Port {port} of .* is taken by another process"):
            await serve(app, "127.0.0.1", port, asyncio.Event())
        assert status(await talk(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) == 200


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_a_sentence(host):
    """A host that can't be bound names the setting."""
    with pytest.raises(NotAvailable, match=r"server\.host: .* is not an address of this machine"):
        bind(host, 0)


async def test_a_stop_before_the_start_is_a_stop():
    """A server that is asked to stop while it starts comes back."""
    app, _ = slow_app()
    stop = asyncio.Event()
    stop.set()
    await serve(app, "127.0.0.1", 0, stop)


async def test_names_and_the_next_generation_of_addresses_work():
    """`localhost` is a host, and so is ::1 where the machine has it."""
    for host in ("localhost", "::1"):
        try:
            bind(host, 0).close()
        except ConfigError:
            continue
        app, _ = slow_app()
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(app, host, 0, stop, ready=ready.set_result))
        reader, writer = await asyncio.open_connection(host, await ready)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(await answer_of(reader)) == 200
        writer.close()
        stop.set()
        await task
