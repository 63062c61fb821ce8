"""The sandbox's own pages, as a client uses them: over HTTP, or within one process."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from flybridge.delivery.exchange import HttpRequest, Transport
from flybridge.errors import FlybridgeError

Rows = list[dict[str, Any]]


class SandboxClient(Struct, frozen=True):
    """Asks a sandbox, and tells it things. Raises `FlybridgeError` for what it does not take."""

    transport: Transport
    origin: str

    async def get(self, page: str, **given: str) -> dict[str, Any]:
        """Return what a page says."""
        return _row(await self._ask("GET", page, given))

    async def post(self, page: str, body: bytes = b"", **given: str) -> dict[str, Any]:
        """Send something to a page. Returns what it says then."""
        return _row(await self._ask("POST", page, given, body))

    async def rows(self, page: str, **given: str) -> Rows:
        """Return the rows of a page, a line each."""
        return [_row(line) for line in (await self._ask("GET", page, given)).splitlines() if line]

    async def record(self, *kinds: str, **given: str) -> Rows:
        """Return what Amplitude holds of these kinds: saved, attributed, waiting, dropped or rejected."""
        return [row for kind in kinds for row in await self.rows("record", kind=kind, **given)]

    async def now_ms(self) -> int:
        """Return the sandbox's time in milliseconds."""
        return int((await self.get("clock"))["now_ms"])

    async def advance(self, seconds: float) -> int:
        """Move the sandbox's clock, which flybridge follows. Returns its time in milliseconds."""
        return int((await self.post("clock", advance_s=str(seconds)))["now_ms"])

    async def _ask(self, method: str, page: str, given: dict[str, str], body: bytes = b"") -> bytes:
        request = HttpRequest(method, f"{self.origin}/sandbox/{page}?{urlencode(given)}", {}, body)
        answer = await self.transport.send(request)
        if answer.status != 200:
            raise FlybridgeError(f"The sandbox answered {answer.status} to {request.url}: {answer.body[:200]!r}")
        return answer.body


_row = msgspec.json.Decoder(dict[str, Any]).decode
