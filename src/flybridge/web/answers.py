"""Answers of the HTTP server: a refusal that says what is wrong and what to do, or that the bytes are stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.web import lists

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


Reply = Refusal | lists.Made | None  # None: its bytes are stored

_STORED_HEADERS: Final = [("content-type", "application/json")]

BROKEN_OFF: Final = Refusal(400, "The body ended before it was complete.", "Send it again, all of it.")
"""For a sender that stops inside its body and may still listen."""


def rendered(refusal: Reply) -> tuple[int, Sequence[tuple[str, str]], bytes]:
    """Return an answer as status, headers and body; no refusal means that the bytes are stored."""
    if refusal is None:
        return 200, _STORED_HEADERS, b'{"stored":true}'
    if isinstance(refusal, lists.Made):
        return 200, _STORED_HEADERS, refusal.body
    body = msgspec.json.encode({"error": refusal.error, "remedy": refusal.remedy})
    return refusal.status, [("content-type", "application/json"), *refusal.headers], body


async def answer(send: Send, refusal: Reply) -> None:
    """Send an answer as ASGI."""
    status, headers, body = rendered(refusal)
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    pairs.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def too_large(max_bytes: int) -> Refusal:
    """Refuse a body that is longer than this."""
    return Refusal(
        413, f"The body is larger than {max_bytes} bytes.", "Send fewer fields, or fewer people or events at once."
    )
