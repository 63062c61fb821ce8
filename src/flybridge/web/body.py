"""The body of a request: read, inflated, and written as UTF-8, without looking at the values of its fields."""

from __future__ import annotations

import asyncio
import zlib
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import zstandard

from flybridge.appsflyer.fields import NAMES
from flybridge.system.text_encoding import utf8
from flybridge.web.answers import Receive, Refusal, too_large

BODY_TIMEOUT_S: Final = 30.0
"""How long a body may take to arrive, in seconds."""

TOO_SLOW: Final = Refusal(
    408,
    f"The body did not arrive within {BODY_TIMEOUT_S:.0f} seconds.",
    "Send it again, all at once.",
    (("connection", "close"),),
)

GZIP: Final = b"\x1f\x8b"
ZSTANDARD: Final = zstandard.FRAME_HEADER
MAX_WINDOW: Final = 1 << 23
"""How much memory a body of Zstandard may ask for (https://www.rfc-editor.org/rfc/rfc9659)."""
PIECE: Final = 1 << 16
MAX_PACKED: Final = 3
"""How often a body may have been compressed."""
FORM: Final = "application/x-www-form-urlencoded"
FIELDS: Final = frozenset(name.encode() for name in NAMES)

Header = Callable[[str], str | None]
"""Returns a header's value by its name in lower case, None if it is absent."""

Read = Callable[[], Awaitable["bytes | Refusal"]]
"""Returns the whole body or a refusal. Raises if the sender goes away before it is complete."""


class SenderGone(Exception):
    """The sender went away before its body was complete. Nothing was accepted, and no answer is needed."""


async def read_asgi(receive: Receive, length: str | None, max_bytes: int) -> bytes | Refusal:
    """Read a body. One that arrives in one part, as nearly all do, costs one call of `receive`."""
    declared = -1
    if length is not None:
        if not (length.isascii() and length.isdigit()):
            return Refusal(400, "The header Content-Length is not a number.", "Send the size of the body in bytes.")
        if len(length) > 18 or (declared := int(length)) > max_bytes:
            return too_large(max_bytes)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            message = await receive()
            body: bytes = message.get("body", b"")
            if len(body) == declared:
                return body
            parts, size = [body], len(body)
            while message.get("more_body", False) and size <= max_bytes:
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
    except TimeoutError:
        return TOO_SLOW
    if message["type"] == "http.disconnect":
        raise SenderGone
    if size > max_bytes:
        return too_large(max_bytes)
    if declared not in (-1, size):
        return Refusal(
            400,
            f"The body has {size} bytes, the header Content-Length says {declared}.",
            "Send the size of the body in bytes as Content-Length.",
        )
    return b"".join(parts)


def no_query(method: str, query: bytes, max_bytes: int) -> Refusal | None:
    """Return the refusal of a message in a query string, if there is one."""
    if method == "HEAD":
        return Refusal(400, "HEAD carries no postback.", "Send it with POST as JSON, or with GET as query parameters.")
    if not query.strip(b"?& "):
        return Refusal(
            400, "The query string is empty.", "Send the postback's fields as query parameters, or use POST."
        )
    return too_large(max_bytes) if len(query) > max_bytes else None


def unpacked(body: bytes | Refusal, header: Header, max_bytes: int) -> bytes | Refusal:
    """Return a body as it was before it was compressed, as UTF-8 and within the limit. A refusal is passed on.

    Nothing is refused that came whole: its sender may never send it again. What the headers say is believed as far as
    the bytes do not say otherwise, and what can't be read stays as it is, to become a dead letter.
    """
    if isinstance(body, Refusal):
        return body
    if body.startswith(GZIP):
        body = _gunzipped(body, max_bytes)
    elif body.startswith(ZSTANDARD):
        body = _of_zstandard(body, max_bytes)
    elif body[:1] != b"{" and (header("content-encoding") or "").strip().lower() == "deflate":
        packed = body
        body = _inflated(packed, 15, max_bytes)  # zlib's form, which is that of RFC 9110
        if body is packed:
            body = _raw(packed, max_bytes)
    if len(body) > max_bytes:
        return too_large(max_bytes)
    if body.isascii() and 0 not in body[:4]:
        return body
    kind = header("content-type") or ""
    body = utf8(body, kind.lower().partition("charset=")[2].partition(";")[0].strip())
    # Three bytes of UTF-8 may have been two.
    return body if len(body) <= max_bytes else too_large(max_bytes)


def empty(body: bytes) -> Refusal | None:
    """Return the refusal of a body without content, as link checkers send it; None if there is any."""
    return None if body[:1] == b"{" or body.strip() else Refusal(400, "The body is empty.", "Send one JSON object.")


def is_form(body: bytes, header: Header) -> bool:
    """Whether a body is that of a form. Programs that send JSON without naming its kind call it a form, and others a
    form something else: it is one that has a field of a postback.
    """
    if body.lstrip()[:1] in (b"{", b"["):  # as nearly always: a header costs more to look up
        return False
    kind = header("content-type")
    if kind is not None and kind[:33].lower() == FORM:
        return b"=" in body
    parts = body.removeprefix(BOM_UTF8).split(None, 1)
    if len(parts) != 1 or b"=" not in body:
        return False
    return not FIELDS.isdisjoint(pair.partition(b"=")[0] for pair in parts[0].lstrip(b"?").split(b"&"))


def _gunzipped(body: bytes, max_bytes: int) -> bytes:
    """Return what a body of gzip holds. A proxy may have compressed what was compressed."""
    for _ in range(MAX_PACKED):
        packed, body = body, _inflated(body, 31, max_bytes)
        if body is packed or not body.startswith(GZIP) or len(body) > max_bytes:
            break
    return body


def _of_zstandard(packed: bytes, max_bytes: int) -> bytes:
    """Return what a body of Zstandard holds up to its end or its first fault, one byte above the limit at most.

    One of which nothing can be read is returned as it is.
    """
    opened = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(packed, read_across_frames=True)
    clear = bytearray()
    with suppress(zstandard.ZstdError):
        while len(clear) <= max_bytes and (piece := opened.read(min(PIECE, max_bytes + 1 - len(clear)))):
            clear += piece
    return bytes(clear) or packed


def _raw(packed: bytes, max_bytes: int) -> bytes:
    """Return what is compressed without zlib's header, as some clients write `deflate`; other bytes as they are."""
    stream = zlib.decompressobj(wbits=-15)
    try:
        clear = stream.decompress(packed, max_bytes + 1)
    except zlib.error:
        return packed
    return clear if clear and (stream.eof or len(clear) > max_bytes) and not stream.unused_data else packed


def _inflated(packed: bytes, wbits: int, max_bytes: int) -> bytes:
    """Return what a compressed body holds up to its end or its first fault, one byte above the limit at most.

    Those of which nothing can be read are returned as they are.
    """
    clear, rest, whole = b"", packed, False
    while rest and len(clear) <= max_bytes:
        stream = zlib.decompressobj(wbits=wbits)
        try:
            clear += stream.decompress(rest, max_bytes + 1 - len(clear))
        except zlib.error:
            break
        rest, whole = (stream.unused_data, True) if stream.eof else (b"", whole)
    return clear if clear or whole else packed
