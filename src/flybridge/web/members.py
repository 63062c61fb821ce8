"""The messages of a body that holds several: a list, an object that wraps one, or objects one behind the other."""

from __future__ import annotations

import re
from contextlib import suppress
from json import JSONDecoder
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from flybridge.amplitude.streamed import MAX_WRAPPERS
from flybridge.lenient_json import decode, text_of
from flybridge.records import Source

SHORT: Final = 20
"""Within so many bytes an object begins that is nothing but a wrapper."""

BEFORE: Final = b"\xef\xbb\xbf \t\r\n"
"""What may stand before JSON."""

_NEXT: Final = re.compile(rb"\}(?:[ \t]*,[ \t\r]*\n)?[ \t\r\n\x1e]*\{")
"""Where one object ends and another begins. Within one there is a comma between two, and seldom a line end."""
_BEGINNING: Final = re.compile(r"[^\s\x1e,\ufeff]")
_DECODER: Final = JSONDecoder(strict=False)


class _Wrapped(Struct):
    events: msgspec.Raw | UnsetType = UNSET
    event_type: msgspec.Raw | UnsetType = UNSET


class _Input(Struct, forbid_unknown_fields=True):
    input: msgspec.Raw


_list: Final = msgspec.json.Decoder(list[msgspec.Raw])
_wrapped: Final = msgspec.json.Decoder(_Wrapped)
_input: Final = msgspec.json.Decoder(_Input)


def messages_in(body: bytes, source: Source, *, takes_apart: bool) -> list[bytes] | None:
    """Return the messages of a body, as they were sent; None if it is one message.

    With `takes_apart` those of a list in Amplitude's stream are messages of their own.
    """
    if (behind := _one_behind_the_other(body)) is not None:
        return [part for one in behind for part in messages_in(one, source, takes_apart=takes_apart) or [one]]
    if source is Source.PUSH:
        return objects(body)
    return members(body) if takes_apart else None


def _one_behind_the_other(body: bytes) -> list[bytes] | None:
    """Return the objects of a body that has several of them, each on a line as a rule; None for any other body.

    What can't be read of the others stands beside them, so that it is not lost: line by line, if each begins an object.
    """
    if _NEXT.search(body) is None:
        return None
    text, at, found = text_of(body), 0, list[str]()
    while (begins := _BEGINNING.search(text, at)) is not None:
        try:
            value, end = _DECODER.raw_decode(text, begins.start())
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        found.append(text[begins.start() : end])
        at = end
    if found and begins is not None:
        rest = text[begins.start() :]
        lines = [line for line in rest.split("\n") if line.strip()]
        found += lines if all(line.lstrip()[:1] == "{" for line in lines) else [rest]
    return [part.encode("utf-8", "surrogateescape") for part in found] if len(found) > 1 else None


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
