"""HTTP over aiohttp (3.11 or newer), pooled and bounded.

Redirects are not followed and proxies of the environment are used only if asked: a body holds a key and personal
data, and goes to the configured origin or nowhere. Answers are read up to a limit, also those that a gateway compresses
without being asked, so that no answer can fill the memory.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from flybridge.delivery.addresses import NotPublicError, PublicResolver, is_address, is_public
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.packed import Unpacked, inflated, is_packed
from flybridge.errors import ForbiddenAddress, TransportError

# Shorter than the idle time after which usual load balancers close a connection (60 s), because a request
# written to a closing connection may or may not have been applied.
KEEPALIVE_S: Final = 20.0

# Compressing this much takes longer than handing it to a thread.
THREAD_BYTES: Final = 64 * 1024

_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,  # refused, name not found, TLS handshake, certificate
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ConnectionTimeoutError,  # no connection, or none free in the pool, within the time
    aiohttp.InvalidURL,
)


class HttpTransport:
    """Sends requests. One per process: the pool and its limit are shared by all lanes.

    `timeout_s` bounds a whole exchange; the wait for a free or new connection may take half of it, so that a request
    that was never sent is known as such. `connect_s` bounds one attempt to connect; `max_response_bytes` is what is
    read of an answer (the rest is dropped with its connection).
    """

    def __init__(
        self,
        *,
        timeout_s: float = 30.0,
        connect_s: float = 10.0,
        connections: int = 100,
        max_response_bytes: int = 1 << 20,
        trust_env: bool = False,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2, sock_connect=connect_s)
        self._connections = connections
        self._max_bytes = max_response_bytes
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and read the whole answer. Raises `TransportError` when there is none."""
        session = self._session or self._open()
        body, headers = request.body, request.headers
        if request.gzip:
            body, headers = await _compress(body), {**headers, "Content-Encoding": "gzip"}
        url = _url(request.url)
        try:
            async with session.request(
                request.method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                body = await self._read(answer)
                if "content-encoding" in answer.headers:
                    body = inflated(body, self._max_bytes)
                return HttpResponse(answer.status, answer.headers, body)
        except _NEVER_SENT as error:
            raise TransportError(_sentence(url, error), maybe_applied=False) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise TransportError(_sentence(url, error), maybe_applied=True) from error

    async def close(self) -> None:
        """Close pooled connections. A later `send` opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=60)
        self._session = _opened(connector, self._timeout, trust_env=self._trust_env)
        return self._session

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        length = answer.content_length
        if length is not None and length <= self._max_bytes:
            return await answer.read()
        chunks: list[bytes] = []
        left = self._max_bytes
        while left > 0 and (chunk := await answer.content.readany()):
            chunks.append(chunk[:left])
            left -= len(chunk)
        if left <= 0:
            answer.close()
        return b"".join(chunks)


def _opened(
    connector: aiohttp.TCPConnector, timeout: aiohttp.ClientTimeout, *, trust_env: bool
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers={"User-Agent": "flybridge", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=trust_env,
    )


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    # A lane sends all its requests to one address.
    return URL(text, encoded=True)


async def _compress(body: bytes) -> bytes:
    if len(body) < THREAD_BYTES:
        return gzip.compress(body, 6, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, 6, mtime=0)


def _sentence(url: URL, error: Exception) -> str:
    """Name the host and what went wrong. Never the path, the query or the body: they may hold keys and ids."""
    return f"{url.scheme}://{url.host}: {_fault(error, 'exchange')}"


def _fault(error: Exception, what: str) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "no connection within the time limit"
        case TimeoutError():
            return "no answer within the time limit"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before an answer"
        case aiohttp.ClientConnectorError():
            return f"no connection ({error.os_error.strerror or type(error).__name__})"
        case _:
            return f"the {what} broke off ({type(error).__name__})"


PIECE_BYTES: Final = 1 << 18
SILENCE_S: Final = 600.0
DOWNLOADS: Final = 8
"""The most downloads at once."""


class StreamedAnswer:
    """An answer whose body is read in pieces. Of one that a gateway compresses the headers do not tell the length."""

    def __init__(self, answer: aiohttp.ClientResponse, host: str) -> None:
        self.status = answer.status
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self._is_packed = is_packed(headers.get("content-encoding", ""))
        if self._is_packed:
            headers.pop("content-length", None)
        self.headers: Mapping[str, str] = headers
        self._answer = answer
        self._host = host

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces of at most 256 KB."""
        unpacked = Unpacked(PIECE_BYTES) if self._is_packed else None
        try:
            async for piece in self._answer.content.iter_chunked(PIECE_BYTES):
                if unpacked is None:
                    yield piece
                    continue
                for part in unpacked.parts(piece):
                    yield part
            for part in unpacked.end() if unpacked is not None else ():
                yield part
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            raise _broken(self._host, error) from error


class HttpDownload:
    """Streams answers. `SILENCE_S` bounds the wait for the next bytes; the whole may take as long as it takes.

    A report of a million rows may be made before its first byte is sent, and an answer that is given up has used its
    share of the quota.
    """

    def __init__(self, *, trust_env: bool = False) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=SILENCE_S)
        self._trust_env = trust_env
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, public: bool = False) -> AsyncIterator[StreamedAnswer]:
        """Send a request and return the answer once its headers are there.

        With `public` it is sent to a public address only. A proxy of the environment decides that itself, because
        it resolves the name.
        """
        try:
            url = URL(request.url, encoded=True)
        except ValueError as error:
            raise _broken("?", error) from error
        host = url.host or "?"
        # aiohttp asks no resolver about an address.
        if public and is_address(host) and not is_public(host):
            raise ForbiddenAddress(host)
        resolved_here = public and not (self._trust_env and _has_proxy(url))
        try:
            answer = await self._session(resolved_here).request(
                request.method, url, data=request.body or None, headers=request.headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, NotPublicError):
                raise ForbiddenAddress(host) from error
            raise _broken(host, error) from error
        try:
            yield StreamedAnswer(answer, host)
        finally:
            answer.close()  # what is not read to its end is not read at all

    async def close(self) -> None:
        """Close pooled connections. A later `open` makes new ones."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _session(self, public: bool) -> aiohttp.ClientSession:
        if public not in self._sessions:
            connector = aiohttp.TCPConnector(limit=DOWNLOADS, resolver=PublicResolver() if public else None)
            self._sessions[public] = _opened(connector, self._timeout, trust_env=self._trust_env)
        return self._sessions[public]


def _has_proxy(url: URL) -> bool:
    return bool(getproxies().get(url.scheme)) and not proxy_bypass(url.host or "")


def _broken(host: str, error: Exception) -> TransportError:
    """Name the host and what went wrong. Never the path or the query: an address may carry its own signature."""
    return TransportError(f"{host}: {_fault(error, 'download')}", maybe_applied=True)
