"""The door outward for large answers: HTTP over aiohttp, read in pieces, bounded by silence instead of by size.

Redirects are not followed: who asks decides where a file may come from, and what the next request may carry. A body
that ends before its announced length, or without the last chunk, is an error.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from flybridge.delivery.exchange import HttpRequest
from flybridge.errors import TransportError

PIECE_BYTES = 1 << 18


class StreamedAnswer:
    """One answer while it is read."""

    def __init__(self, answer: aiohttp.ClientResponse, host: str) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in answer.headers.items()}
        self._answer = answer
        self._host = host

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body in pieces of at most 256 KB."""
        try:
            async for piece in self._answer.content.iter_chunked(PIECE_BYTES):
                yield piece
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _broken(self._host, error) from error


class HttpDownload:
    """Streams answers. `silence_s` bounds the wait for the next bytes; the whole may take as long as it takes."""

    def __init__(
        self,
        *,
        connect_s: float = 10.0,
        silence_s: float = 60.0,
        connections: int = 8,
        user_agent: str = "flybridge",
        tls: ssl.SSLContext | None = None,
        trust_env: bool = False,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=silence_s)
        self._connections = connections
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._tls: ssl.SSLContext | bool = tls or True
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[StreamedAnswer]:
        """Send, and give the answer as soon as its headers are there."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._tls),
                timeout=self._timeout,
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=self._trust_env,
            )
        try:
            url = URL(request.url, encoded=True)
            answer = await self._session.request(
                request.method, url, data=request.body or None, headers=request.headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _broken(URL(request.url, encoded=True).host or "?", error) from error
        try:
            yield StreamedAnswer(answer, url.host or "?")
        finally:
            answer.close()  # what is not read to its end is not read at all

    async def close(self) -> None:
        """Close pooled connections. A later `open` makes new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _broken(host: str, error: Exception) -> TransportError:
    """Name the host and what went wrong. Never the path or the query: an address may carry its own signature."""
    return TransportError(f"{host}: the download broke off ({type(error).__name__})", maybe_applied=True)
