"""What the sandbox's endpoints need of HTTP: read a body, send an answer, cut a connection."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Answer = tuple[int, Mapping[str, Any] | str]
"""A status, and a JSON object or a text."""


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


async def send_answer(send: Send, answer: Answer, *, half: bool = False) -> None:
    """Send an answer. `half` announces all of it, sends half, and breaks off: the server closes the connection."""
    status, content = answer
    kind = b"text/plain; charset=utf-8" if isinstance(content, str) else b"application/json"
    body = content.encode() if isinstance(content, str) else msgspec.json.encode(content)
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2] if half else body, "more_body": half})


async def send_error_page(send: Send, status: int) -> None:
    """Send the page of a gateway, as nginx and others answer where a server does not."""
    reason = HTTPStatus(status).phrase
    page = f"<html><head><title>{status} {reason}</title></head><body><h1>{status} {reason}</h1></body></html>".encode()
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": page})


async def send_nothing(scope: Scope, send: Send) -> None:
    """Cut the connection without an answer; where that is impossible, break an answer off."""
    if not (scope.get("client") and cut(scope["client"])):
        await send_answer(send, (200, "broken off"), half=True)


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
