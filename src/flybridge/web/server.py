"""Serves an ASGI application inside this process' event loop.

Granian does the HTTP work in native threads. Its own interface (RSGI) hands over a body and takes an answer in one call
each, and reads no header that isn't asked for. Used directly for intake, that saves a fifth of its processor time;
everything else is called as ASGI over it.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final, Protocol, TypeVar

import structlog
from granian._granian import RSGIProtocolClosed
from granian.constants import Interfaces

from flybridge.errors import FlybridgeError, NotAvailable
from flybridge.system.embedded_server import EmbeddedServer, listening
from flybridge.web.answers import BROKEN_OFF, Refusal, Reply, rendered
from flybridge.web.body import BODY_TIMEOUT_S, TOO_SLOW, Header, Read

T = TypeVar("T")

MAX_CONNECTIONS: Final = 4096
"""Connections that are open at once; more wait in the backlog. Granian calls it backpressure."""

HEADER_TIMEOUT_MS: Final = 15_000
"""How long a connection may take to send its headers, and how long it may idle, in milliseconds."""

WHOLE_BYTES: Final = 65_536
"""Intake bodies that announce at most this size are read in one call, in bytes."""

COLLECT_EVERY: Final = 100_000
"""Objects allocated between two runs of the garbage collector while serving."""


class ServerDied(FlybridgeError):
    """The HTTP server ended without a stop."""


class TimeLimit:
    """Ends waits that take longer than `seconds`: many waits, of which nearly all end at once.

    `asyncio.timeout` sets a timer for every wait and takes it back, which costs more than reading a body that has
    arrived with its headers. Here one timer serves all waits that go on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: dict[asyncio.Task[Any], float] = {}  # the longest wait first
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, wait: Awaitable[T]) -> T:
        """Return what a wait of the running task gives. Raises `TimeoutError`."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        self._began[task] = monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)
        try:
            return await wait
        except asyncio.CancelledError:
            # As in `asyncio.timeout`: who else cancels the task gets it cancelled.
            if task in self._late and task.uncancel() <= 0:
                raise TimeoutError from None
            raise
        finally:
            del self._began[task]
            self._late.discard(task)

    def _end(self) -> None:
        """End the waits whose time is over, and come back when the next one's may be."""
        now_s, self._timer = monotonic(), None
        for task, began_s in self._began.items():
            left_s = began_s + self._seconds - now_s
            if left_s > 0:
                self._timer = asyncio.get_running_loop().call_later(left_s, self._end)
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()


class ServedApp(Protocol):
    """An ASGI application that also takes intake requests as plain values."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request as ASGI."""
        ...

    async def take(self, path: str, method: str, query: bytes, header: Header, read: Read) -> Reply:
        """Answer one request under /v1/."""
        ...


class _Front:
    """Calls the application for RSGI requests."""

    def __init__(self, app: ServedApp, server: tuple[str, int]) -> None:
        self._app = app
        self._server = server
        self._limit: Final = TimeLimit(BODY_TIMEOUT_S)

    async def __rsgi__(self, request: Any, protocol: Any) -> None:
        path, method, headers = request.path, request.method, request.headers
        length = headers.get("content-length")
        if not path.startswith("/v1/") or not (method == "GET" or (length and _is_small(length))):
            await self._as_asgi(path, method, headers, request, protocol)
            return

        async def read() -> bytes | Refusal:
            try:
                return await self._limit.keep(protocol())
            except TimeoutError:
                return TOO_SLOW
            except RSGIProtocolClosed:
                return BROKEN_OFF

        refusal = await self._app.take(path, method, request.query_string.encode(), headers.get, read)
        protocol.response_bytes(*rendered(refusal))

    async def _as_asgi(self, path: str, method: str, headers: Any, request: Any, protocol: Any) -> None:
        client, _, client_port = request.client.rpartition(":")
        exchange = _Exchange(protocol)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version,
            "method": method,
            "scheme": request.scheme,
            "path": path,
            "root_path": "",
            "query_string": request.query_string.encode(),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": (client.strip("[]"), int(client_port)),
            "server": self._server,
        }
        await self._app(scope, exchange.receive, exchange.send)


def _is_small(length: str) -> bool:
    return length.isascii() and length.isdigit() and int(length[:9]) <= WHOLE_BYTES and len(length) < 9


class _Exchange:
    """One request and its answer, as ASGI's `receive` and `send`.

    A body comes in parts, so that the application can stop at its limit. One that breaks off looks like one that
    has ended: the caller must check its length or its syntax.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._parts = aiter(protocol)
        self._read = False
        self._stream: Any = None

    async def receive(self) -> dict[str, Any]:
        if self._read:
            await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        try:
            # Without a default: what `anext` then returns can't be cancelled by a timeout.
            part = await anext(self._parts)
        except StopAsyncIteration:
            part = b""
        self._read = not part
        return {"type": "http.request", "body": part, "more_body": not self._read}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message.get("headers", ())]
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._stream is None and not more:
            self._protocol.response_bytes(self._status, self._headers, body)
            return
        if self._stream is None:
            self._stream = self._protocol.response_stream(self._status, self._headers)
        if body:
            with suppress(RSGIProtocolClosed):  # the client went away; the application learns that from `receive`
                await self._stream.send_bytes(body)
        if not more:
            self._stream = None  # ends the answer


_HOST: Final = "Write 127.0.0.1 for this machine only, or 0.0.0.0 for all its addresses."


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Port 0 means a free one. Raises `NotAvailable` if it can't be opened."""
    try:
        return listening(host, port)
    except socket.gaierror as problem:
        raise NotAvailable(
            "server.host", f"{host!r} is not an address of this machine ({problem}).", _HOST
        ) from problem
    except OSError as problem:
        taken = f"Port {port} of {host} is taken by another process."
        known = {
            errno.EADDRINUSE: ("server.port", taken, "Stop it, or write another port."),
            errno.EACCES: ("server.port", f"Port {port} may not be opened by this user.", "Write a port above 1023."),
            errno.EADDRNOTAVAIL: ("server.host", f"{host} is not an address of this machine.", _HOST),
        }
        other = ("server", f"{host}:{port} can't be opened: {problem.strerror}.", "Write another one.")
        raise NotAvailable(*known.get(problem.errno or 0, other)) from problem


async def serve(
    app: ServedApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None] | None = None,
    grace_s: int = 10,
) -> None:
    """Serve `app` until `stop` is set; then accept nothing new, finish requests in flight, and return.

    `ready` is called with the port once it accepts connections. Requests that are not finished `grace_s` seconds
    after `stop` are dropped. Raises `NotAvailable` when the address can't be opened, and `ServerDied`.
    """
    listener = bind(host, port)
    address = listener.getsockname()
    server = EmbeddedServer(
        _Front(app, address[:2]),
        listener,
        interface=Interfaces.RSGI,
        connections=MAX_CONNECTIONS,
        grace_s=grace_s,
        header_timeout_ms=HEADER_TIMEOUT_MS,
    )
    with _rare_collections():
        await _serve(server, address, stop, ready)


async def _serve(
    server: EmbeddedServer, address: tuple[Any, ...], stop: asyncio.Event, ready: Callable[[int], None] | None
) -> None:
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    try:
        if await _answers(address, {serving, stopping}) and ready is not None:
            ready(address[1])
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            raise ServerDied(f"The HTTP server on port {address[1]} ended by itself.") from serving.exception()
    finally:
        stopping.cancel()
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait({serving})
        if serving.exception() is not None:
            structlog.get_logger("flybridge").warning("requests_given_up", after_s=server.workers_kill_timeout)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector run less often, and not over the objects that exist at the start.

    Hundreds of requests in flight are tens of thousands of objects, none of them garbage: with Python's default
    threshold a fifth of all time goes into scanning them repeatedly.
    """
    usual = gc.get_threshold()
    gc.collect(1)  # a start leaves no garbage among older objects, and to look at these takes a tenth of its time
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


async def _answers(address: tuple[Any, ...], unless: set[asyncio.Task[Any]]) -> bool:
    """Wait until a request is answered. False if one of the tasks `unless` ended before that."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 - compared, not bound
    reader, writer = await asyncio.open_connection(host, address[1])
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = asyncio.create_task(reader.read())
    await asyncio.wait({answer, *unless}, return_when=asyncio.FIRST_COMPLETED)
    answered = answer.done()
    answer.cancel()
    writer.close()
    return answered
