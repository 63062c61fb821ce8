"""The body of a request: read, inflated, and checked without looking at its fields."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.lenient_json import is_readable
from flybridge.web.answers import Receive, Refusal, too_large

BODY_TIMEOUT_S: Final = 30.0
"""How long a body may take to arrive, in seconds."""

TOO_SLOW: Final = Refusal(
    408,
    f"The body did not arrive within {BODY_TIMEOUT_S:.0f} seconds.",
    "Send it again, all at once.",
    (("connection", "close"),),
)

_USUAL_TYPES: Final = frozenset({None, "application/json", "application/json; charset=utf-8", "text/plain"})
_PACKED: Final = frozenset({"gzip", "x-gzip"})
_ENCODINGS: Final = _PACKED | {"", "identity"}
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


class _Object(Struct):
    """Any JSON object. It has no fields, so msgspec checks the syntax and builds nothing."""


_ANY: Final = msgspec.json.Decoder(_Object | list[Any] | str | int | float | bool | None)

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
            return Refusal(400, "The header Content-Length is no number.", "Send the size of the body in bytes.")
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
    if b"=" not in query:
        return Refusal(
            400, "The query string is empty.", "Send the postback's fields as query parameters, or use POST."
        )
    return too_large(max_bytes) if len(query) > max_bytes else None


def unwanted(header: Header) -> Refusal | None:
    """Return the refusal of a body by its headers, if there is one."""
    kind, encoding = header("content-type"), header("content-encoding")
    if kind not in _USUAL_TYPES and (refusal := _wrong_type(kind or "")):
        return refusal
    return None if encoding is None or encoding.lower() in _ENCODINGS else _wrong_encoding()


def unpacked(body: bytes | Refusal, header: Header, max_bytes: int) -> bytes | Refusal:
    """Return a body inflated, within the limit. A refusal is passed on."""
    if isinstance(body, Refusal):
        return body
    if (header("content-encoding") or "").lower() in _PACKED:
        return _inflate(body, max_bytes)
    return body if len(body) <= max_bytes else too_large(max_bytes)


def _inflate(body: bytes, max_bytes: int) -> bytes | Refusal:
    stream = zlib.decompressobj(wbits=31)
    try:
        clear = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        clear = b""
    if len(clear) > max_bytes:
        return too_large(max_bytes)
    if not stream.eof or stream.unused_data:
        return Refusal(
            400, "The body is not one gzip stream, as Content-Encoding says.", "Send it complete, or uncompressed."
        )
    return clear


def unreadable(body: bytes) -> Refusal | None:
    """Return the refusal of a body that is not JSON. Costs about a microsecond for 2 KB.

    JSON of any kind is accepted: what is not a message of the expected kind becomes a dead letter.
    """
    try:
        _ANY.decode(body)
        # msgspec skips over strings without looking at their bytes.
        if not body.isascii():
            str(body, "utf-8")
    except UnicodeDecodeError as problem:
        return Refusal(400, f"The body is not UTF-8 at byte {problem.start}.", "Encode the JSON as UTF-8.")
    except RecursionError:
        return Refusal(400, "The body is nested too deeply.", "Send JSON that is nested less than 500 levels deep.")
    except msgspec.DecodeError as problem:
        if not body.strip():
            return Refusal(400, "The body is empty.", "Send one JSON object.")
        if is_readable(body):  # mended when it is processed: broken text, NaN, a byte order mark
            return None
        return Refusal(400, f"The body is not valid JSON: {problem}.", "Send one JSON object, encoded as UTF-8.")
    return None


def _wrong_type(value: str) -> Refusal | None:
    kind, *parameters = value.lower().split(";")
    kind = kind.strip()
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip().strip("\"'") not in _CHARSETS:
            return Refusal(415, "The header Content-Type names a charset that is not UTF-8.", "Send JSON as UTF-8.")
    if kind in ("", "application/json", "text/plain", "text/json") or kind.endswith("+json"):
        return None
    return Refusal(415, "The header Content-Type names a kind that is not JSON.", "Send application/json.")


def _wrong_encoding() -> Refusal:
    return Refusal(
        415,
        "The header Content-Encoding names an encoding that is not known here.",
        "Send the body uncompressed, or as gzip.",
        (("accept-encoding", "gzip, identity"),),
    )
