"""The door outward, against real sockets."""

import asyncio
import gzip
import random
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from flybridge.delivery.exchange import HttpRequest
from flybridge.delivery.transport import PIECE_BYTES, HttpDownload, HttpTransport
from flybridge.errors import TransportError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers on free ports and give their addresses."""
    runners = []

    async def start(handler: Handler) -> str:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    """Return a transport that is patient for a second."""
    transport = HttpTransport(timeout_s=1.0, connect_s=0.5, max_response_bytes=1000)
    yield transport
    await transport.close()


def post(url: str, body: bytes = b"{}", compressed: bool = False) -> HttpRequest:
    """Return a request."""
    return HttpRequest("POST", url, {"Content-Type": "application/json"}, body, compressed)


async def test_it_sends_what_it_was_given_and_reads_the_answer(serve: Serve, transport: HttpTransport) -> None:
    """Method, headers and bytes arrive; the answer's header names are lower case."""
    seen = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(method=request.method, path=request.raw_path, body=await request.read(), **request.headers)
        return web.Response(status=429, body=b"slow", headers={"Retry-After": "7"})

    url = await serve(handler)
    answer = await transport.send(post(f"{url}/a%20b?c=%2F", b"\x00body"))
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, b"slow", "7")
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/a%20b?c=%2F", b"\x00body")
    assert seen["Content-Type"] == "application/json"
    assert "Content-Encoding" not in seen


@pytest.mark.parametrize("size", [100, 200_000])
async def test_it_compresses_when_asked(serve: Serve, transport: HttpTransport, size: int) -> None:
    """The server gets gzip, says so, and reads the same bytes."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.headers["Content-Encoding"], int(request.headers["Content-Length"]), await request.read()))
        return web.Response()

    body = b"x" * size
    await transport.send(post(await serve(handler), body, compressed=True))
    ((encoding, length, read),) = seen
    assert encoding == "gzip"
    assert length == len(gzip.compress(body, 6, mtime=0))
    assert read in (body, gzip.compress(body, 6, mtime=0))  # aiohttp's server may unpack it


async def test_connections_are_kept(serve: Serve, transport: HttpTransport) -> None:
    """Requests one after the other share a connection."""
    ports = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return web.Response()

    url = await serve(handler)
    for _ in range(5):
        await transport.send(post(url))
    assert len(ports) == 1


async def test_redirects_are_not_followed(serve: Serve, transport: HttpTransport) -> None:
    """The body holds a key and goes to nobody else."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    assert (await transport.send(post(f"{await serve(handler)}/here"))).status == 307
    assert seen == ["/here"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_answer_is_cut(serve: Serve, transport: HttpTransport, announced: bool) -> None:
    """No answer can fill the memory, whether or not it says how long it is."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if announced:
            return web.Response(body=b"y" * 100_000)
        stream = web.StreamResponse()
        await stream.prepare(request)
        for _ in range(100):
            await stream.write(b"y" * 1000)
        return stream

    assert (await transport.send(post(await serve(handler)))).body == b"y" * 1000


PAGE = b"<html><title>502</title>"
DIGITS = bytes(random.Random(1).choices(b"0123456789", k=900))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (gzip.compress(PAGE), PAGE),
        (zlib.compress(PAGE), PAGE),
        (PAGE, PAGE),  # it only says so
        (gzip.compress(b"0" * 1_000_000), b"0" * 1000),  # a small answer stays small
        (gzip.compress(DIGITS)[:-9], None),  # cut
        (gzip.compress(DIGITS)[:300] + bytes(200), None),  # broken in the middle
        (b"", b""),
    ],
    ids=["gzip", "zlib", "none", "much", "cut", "broken", "empty"],
)
async def test_an_answer_that_a_gateway_compresses_is_read(
    serve: Serve, transport: HttpTransport, sent: bytes, read: bytes | None
) -> None:
    """Although none was asked for; of a broken one what comes before the break."""

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=sent, headers={"Content-Encoding": "gzip"})

    found = (await transport.send(post(await serve(handler)))).body
    assert found == read if read is not None else found[:100] == DIGITS[:100]


ROWS = bytes(random.Random(2).choices(b"0123456789,\n", k=700_000))


@pytest.mark.parametrize(
    ("said", "sent", "read"),
    [
        ("gzip", gzip.compress(ROWS), ROWS),
        ("GZIP", gzip.compress(ROWS), ROWS),
        ("deflate", zlib.compress(ROWS), ROWS),
        ("gzip", gzip.compress(ROWS[:5]) + gzip.compress(ROWS[5:]), ROWS),  # two members
        ("gzip", gzip.compress(b"0" * 5_000_000), b"0" * 5_000_000),  # small pieces of much
        ("gzip", ROWS, ROWS),  # it only says so
        ("gzip", b"", b""),
        ("identity", ROWS, ROWS),
        (
            "",
            gzip.compress(ROWS, mtime=0),
            gzip.compress(ROWS, mtime=0),
        ),  # a file that is compressed, and is no compressed answer
    ],
    ids=["gzip", "capitals", "zlib", "members", "much", "none", "empty", "identity", "file"],
)
async def test_a_download_that_a_gateway_compresses_is_read(serve: Serve, said: str, sent: bytes, read: bytes) -> None:
    """Although none was asked for, and in pieces; its length is then not that of what is read."""

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=sent, headers={"Content-Encoding": said} if said else {})

    download = HttpDownload()
    async with download.open(HttpRequest("GET", await serve(handler), {}, b"")) as answer:
        pieces = [piece async for piece in answer.pieces()]
        assert b"".join(pieces) == read
        assert all(len(piece) <= PIECE_BYTES for piece in pieces)
        assert answer.headers.get("content-length") in (None, str(len(read)))
    await download.close()


@pytest.mark.parametrize(
    "sent", [gzip.compress(ROWS)[:-9], gzip.compress(ROWS)[:300] + bytes(200), gzip.compress(ROWS) + b"more"]
)
async def test_a_compressed_download_that_is_broken_is_no_answer(serve: Serve, sent: bytes) -> None:
    """Half a report must not be taken for a whole one."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=sent, headers={"Content-Encoding": "gzip"})

    download = HttpDownload()
    with pytest.raises(TransportError):
        async with download.open(HttpRequest("GET", await serve(handler), {}, b"")) as answer:
            _ = [piece async for piece in answer.pieces()]
    await download.close()


async def failure(transport: HttpTransport, url: str) -> TransportError:
    """Send, and give the error."""
    with pytest.raises(TransportError) as caught:
        await transport.send(post(f"{url}/path?api_key=secret"))
    assert "secret" not in str(caught.value)
    return caught.value


async def test_a_refused_connection_was_certainly_not_applied(transport: HttpTransport) -> None:
    """Nothing was sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not (await failure(transport, f"http://127.0.0.1:{unused.getsockname()[1]}")).maybe_applied


async def test_an_unknown_host_and_a_broken_address_were_certainly_not_applied(transport: HttpTransport) -> None:
    """Nothing was sent there either."""
    assert not (await failure(transport, "http://nowhere.invalid")).maybe_applied
    assert not (await failure(transport, "http://")).maybe_applied


async def test_a_server_without_tls_was_certainly_not_applied(serve: Serve, transport: HttpTransport) -> None:
    """The handshake comes before the first byte of the request."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    url = (await serve(handler)).replace("http:", "https:")
    assert not (await failure(transport, url)).maybe_applied


async def test_a_connection_closed_before_the_answer_may_have_been_applied(transport: HttpTransport) -> None:
    """The server had the request."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await failure(transport, f"http://127.0.0.1:{port}")).maybe_applied


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"\x16\x03\x01garbage\r\n\r\n"]
)
async def test_no_whole_answer_may_have_been_applied(answer: bytes) -> None:
    """Silence, half an answer or nonsense: the request had gone out."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read()
        writer.close()

    transport = HttpTransport(timeout_s=0.2)
    async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await failure(transport, f"http://127.0.0.1:{port}")).maybe_applied
        await transport.close()


async def test_waiting_for_a_free_connection_is_bounded_and_certainly_not_applied(serve: Serve) -> None:
    """The pool's limit holds, and who waits for it in vain has sent nothing."""
    flying, release = [], asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        flying.append(request.path)
        await release.wait()
        return web.Response()

    url = await serve(handler)
    transport = HttpTransport(timeout_s=0.3, connections=1)
    errors = await asyncio.gather(*(failure(transport, url) for _ in range(2)))
    release.set()
    await transport.close()
    assert len(flying) == 1
    assert sorted(error.maybe_applied for error in errors) == [False, True]


async def test_it_can_be_used_again_after_closing(serve: Serve, transport: HttpTransport) -> None:
    """Closing frees the pool and nothing else."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    url = await serve(handler)
    for _ in range(2):
        assert (await transport.send(post(url))).status == 200
        await transport.close()
