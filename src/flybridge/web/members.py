"""The messages of a body that holds several: a list, or an object that wraps one."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from flybridge.amplitude.streamed import MAX_WRAPPERS
from flybridge.lenient_json import decode

SHORT: Final = 20
"""Within so many bytes an object begins that is nothing but a wrapper."""

BEFORE: Final = b"\xef\xbb\xbf \t\r\n"
"""What may stand before JSON."""


class _Wrapped(Struct):
    events: msgspec.Raw | UnsetType = UNSET
    event_type: msgspec.Raw | UnsetType = UNSET


class _Input(Struct, forbid_unknown_fields=True):
    input: msgspec.Raw


_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
_wrapped: Final = msgspec.json.Decoder(_Wrapped)
_input: Final = msgspec.json.Decoder(_Input)


def members(body: bytes, depth: int = MAX_WRAPPERS) -> list[bytes] | None:
    """Return the members of a list, or of an object's `events` or only `input`, as they were sent; None if there are
    none. Lists in lists, and in such objects, are taken apart as well.

    If one of them has to be mended, all are written anew.
    """
    start = body.lstrip(BEFORE)
    try:
        if start[:1] == b"[":
            parts = [bytes(part) for part in _list.decode(start)]
        elif (inner := _inside(start)) is not None:
            return members(inner, depth - 1) if depth else None
        else:
            return None
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = _mended(body)
        return None if mended is None else members(mended, depth)
    if depth and any(part[:1] == b"[" or _inside(part) is not None for part in parts):
        parts = [one for part in parts for one in members(part, depth - 1) or [part]]
    return parts or None


def objects(body: bytes, depth: int = MAX_WRAPPERS) -> list[bytes] | None:
    """Return the objects of a list, and of lists in it, as they were sent; None if there is anything else, or nothing.

    If one of them has to be mended, all are written anew.
    """
    start = body.lstrip(BEFORE)
    if start[:1] != b"[":
        return None
    found: list[bytes] = []
    try:
        for part in map(bytes, _list.decode(start)):
            inner = [part] if part[:1] == b"{" else objects(part, depth - 1) if depth else None
            if inner is None:
                return None
            found += inner
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = _mended(body)
        return None if mended is None else objects(mended, depth)
    return found or None


def _inside(body: bytes) -> bytes | None:
    """Return the list or object that an object wraps, None if it is one of its own. Raises `msgspec.DecodeError`."""
    if body[:1] != b"{":
        return None
    if b'"input"' in body[:SHORT]:
        # A template may have a field of this name beside others.
        with suppress(msgspec.ValidationError):
            return bytes(_input.decode(body).input)
    if b'"events"' in body:
        wrapped = _wrapped.decode(body)
        return bytes(wrapped.events) if wrapped.event_type is UNSET and wrapped.events is not UNSET else None
    return None


def _mended(body: bytes) -> bytes | None:
    try:
        return msgspec.json.encode(decode(body))
    except (msgspec.DecodeError, RecursionError):
        return None
