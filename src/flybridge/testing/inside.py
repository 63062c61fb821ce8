"""The sandbox without a network: a transport and a download that call an application in the same process.

For tests that play thousands of exchanges. `before` is called with each request and may raise, as if it had not
arrived; `after` is called when it was answered and may raise, as if the answer was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.errors import TransportError
from flybridge.sandbox.http import Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Answer:
    """An answer that is read in pieces."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, complete: bool, piece: int) -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._complete = complete
        self._piece = piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return the body in pieces; raise if it was broken off."""
        for start in range(0, len(self._body), self._piece):
            yield self._body[start : start + self._piece]
        if not self._complete:
            raise TransportError("inside: the download broke off", maybe_applied=True)


class Inside:
    """Transport and download of one application. `piece` is how many bytes of a download come at once."""

    def __init__(self, application: Application, *, piece: int = 1 << 16) -> None:
        self.before: Callable[[HttpRequest], None] = lambda _: None
        self.after: Callable[[HttpRequest], None] = lambda _: None
        self._application = application
        self._piece = piece

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer."""
        status, headers, body, complete = await self._ask(request)
        if not complete:
            raise TransportError("inside: the answer broke off", maybe_applied=True)
        return HttpResponse(status, headers, body)

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, public: bool = False) -> AsyncIterator[_Answer]:
        """Send, and give the answer."""
        yield _Answer(*await self._ask(request), self._piece)

    async def close(self) -> None:
        """There is nothing to close."""

    async def _ask(self, request: HttpRequest) -> tuple[int, dict[str, str], bytes, bool]:
        self.before(request)
        parts = urlsplit(request.url)
        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
        scope: dict[str, Any] = {
            "type": "http",
            "method": request.method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [*headers, (b"host", parts.netloc.encode())],
        }
        sent: list[Mapping[str, Any]] = []

        bodies = [request.body]

        async def receive() -> dict[str, Any]:
            if not bodies:  # the next thing to come is the end of the connection
                await asyncio.Event().wait()
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._application(scope, receive, send)
        self.after(request)
        start, *rest = sent
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        body = b"".join(message.get("body", b"") for message in rest)
        return start["status"], names, body, not rest[-1].get("more_body", False)
