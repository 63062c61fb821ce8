"""What the sandbox's endpoints need of HTTP: read a request, send an answer, cut a connection."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class SandboxAnswer(Struct, frozen=True):
    """An answer, with headers of its own. `content` is bytes, a text, or what becomes JSON."""

    status: int
    content: Mapping[str, Any] | str | bytes = ""
    headers: Mapping[str, str] = {}


def query_of(scope: Scope) -> dict[str, str]:
    """Return the query of a request: of a parameter that comes several times the last value."""
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in query.items()}


def authorization_of(scope: Scope) -> str:
    """Return the header `Authorization` of a request; empty if there is none."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(b"authorization", b"").decode("latin-1")


def media_type_of(scope: Scope) -> str:
    """Return the media type of a request's body, without its parameters; empty if the request names none."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()


def bearer_of(scope: Scope) -> str:
    """Return the bearer token of a request; empty if there is none."""
    kind, _, token = authorization_of(scope).partition(" ")
    return token if kind == "Bearer" else ""


def is_zone(name: str) -> bool:
    """Whether a name is that of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def moment_of(text: str, form: str) -> datetime | None:
    """Return a time in UTC that is written in this form; None if it is not."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def no_such_page(remedy: str) -> SandboxAnswer:
    """Return the answer of the sandbox's own pages to another path."""
    return SandboxAnswer(404, {"error": "There is no such page.", "remedy": remedy})


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """Read a whole body, opened if it is gzip. None if it is larger than `max_bytes`."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= max_bytes:
            parts.append(part)
        if not message.get("more_body"):
            break
    if size > max_bytes:
        return None
    body = b"".join(parts)
    return _gunzip(body, max_bytes) if (b"content-encoding", b"gzip") in scope["headers"] else body


def _gunzip(body: bytes, max_bytes: int) -> bytes | None:
    opener = zlib.decompressobj(wbits=31)
    try:
        opened = opener.decompress(body, max_bytes + 1)
    except zlib.error:
        return body
    return opened if len(opened) <= max_bytes else None


async def send_answer(send: Send, answer: SandboxAnswer, *, half: bool = False) -> None:
    """Send an answer. `half` announces all of it, sends half, and breaks off: the server closes the connection."""
    match answer.content:
        case bytes():
            kind, body = "text/csv; charset=utf-8", answer.content
        case str():
            kind, body = "text/plain; charset=utf-8", answer.content.encode()
        case content:
            kind, body = "application/json", msgspec.json.encode(content)
    named = {"content-type": kind, "content-length": str(len(body)), **answer.headers}
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2] if half else body, "more_body": half})


async def send_error_page(send: Send, status: int) -> None:
    """Send the page of a gateway, as nginx and others answer where a server does not."""
    reason = HTTPStatus(status).phrase
    page = f"<html><head><title>{status} {reason}</title></head><body><h1>{status} {reason}</h1></body></html>"
    await send_answer(send, SandboxAnswer(status, page, {"content-type": "text/html"}))


async def send_nothing(scope: Scope, send: Send) -> None:
    """Cut the connection without an answer; where that is impossible, break an answer off."""
    if not (scope.get("client") and cut(scope["client"])):
        await send_answer(send, SandboxAnswer(200, "broken off"), half=True)


def cut(client: tuple[str, int | str]) -> bool:
    """Shut down the connection that comes from `client` (host and port). False if it can't be found."""
    peer = (client[0], int(client[1]))
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return False
    return any(_shut_down(int(name), peer) for name in names)


def _shut_down(number: int, peer: tuple[str, int]) -> bool:
    # A duplicate is looked at: other threads open and close sockets meanwhile, and a number may change its owner.
    try:
        duplicate = os.dup(number)
    except OSError:
        return False
    try:
        connection = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return False
    with connection:
        try:
            if connection.family not in {socket.AF_INET, socket.AF_INET6} or connection.getpeername()[:2] != peer:
                return False
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True
