"""Answers of the HTTP server: stored, created, or a refusal that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Refusal(Struct, frozen=True):
    """An answer other than 200. `error` says what is wrong with which part, `remedy` what to do about it."""

    status: int
    error: str
    remedy: str
    headers: tuple[tuple[str, str], ...] = ()


class Answered(Struct, frozen=True):
    """A 200 with a body of its own, for a request of which nothing is stored."""

    body: bytes


Reply = Refusal | Answered | None  # None: the bytes are stored

_STORED_HEADERS: Final = [("content-type", "application/json")]

BROKEN_OFF: Final = Refusal(400, "The body ended before it was complete.", "Send it again, all of it.")
"""For a sender that stops inside its body and may still listen."""


def rendered(reply: Reply) -> tuple[int, Sequence[tuple[str, str]], bytes]:
    """Return an answer as status, headers and body."""
    if reply is None:
        return 200, _STORED_HEADERS, b'{"stored":true}'
    if isinstance(reply, Answered):
        return 200, _STORED_HEADERS, reply.body
    body = msgspec.json.encode({"error": reply.error, "remedy": reply.remedy})
    return reply.status, [("content-type", "application/json"), *reply.headers], body


async def answer(send: Send, reply: Reply) -> None:
    """Send an answer as ASGI."""
    status, headers, body = rendered(reply)
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    pairs.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def too_large(max_bytes: int) -> Refusal:
    """Return the refusal of a body longer than `max_bytes`."""
    return Refusal(
        413, f"The body is larger than {max_bytes} bytes.", "Send fewer fields, or fewer people or events at once."
    )
