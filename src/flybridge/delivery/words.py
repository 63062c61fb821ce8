"""What a vendor said, in one line that may be stored, logged and shown: who answered, the status, and a short text.

Texts of vendors repeat what was sent: identifiers of people are masked, by their form and because they stand in the
request, also where an answer writes them with escapes or in another case, and of a JSON object only the fields that
hold a message are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.identity.masking import masked
from flybridge.records import Delivery
from flybridge.system.text_encoding import without_entities

MAX_CHARS: Final = 160
READ_BYTES: Final = 4_000
MIN_KEY: Final = 4  # characters: a shorter key may be any word
FIELDS: Final = ("error", "message", "error_message", "messege", "reason", "description", "detail", "missing_field")
"""Fields of an answer that hold a message. AppsFlyer's audience import spells one of them `messege`."""

_PLAIN_HEADERS: Final = frozenset({"content-type", "accept", "user-agent"})
_KEY: Final = re.compile(rb'"(?:api_key|import_key)":"([^"]{1,500})"|api_key=([^&]{1,500})')
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]{0,1000}>")
_WORD: Final = re.compile(r"[^\s\"'`,;()<>\[\]{}=&|]{4,}")
_ESCAPES: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4}){1,100}")
_ESCAPED_SIGN: Final = re.compile(r"\\([\"\\/'])")
MIN_ID: Final = 4  # characters: a shorter id may be any word


def words_of(request: HttpRequest, response: HttpResponse, items: Iterable[Delivery] = ()) -> str:
    """Return for instance `api2.amplitude.com answered 400: Invalid API key`. `items` are those of the request."""
    said = _without_ids(_without_keys(_text(response.body[:READ_BYTES]), request), items)
    said = said if len(said) <= MAX_CHARS else said[: MAX_CHARS - 1] + "\u2026"
    return f"{host_of(request.url)} answered {response.status}" + (f": {said}" if said else "")


def host_of(url: str) -> str:
    """Return the host of an address, without path, query and credentials."""
    return urlsplit(url).hostname or "?"


def said(sentence: str, words: str) -> str:
    """Return a sentence with what the vendor said after it."""
    return f"{sentence} ({words})" if words else sentence


def _text(body: bytes) -> str:
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode("utf-8", "replace")
        if "<" in text:
            title = _TITLE.search(text)
            text = title[1] if title else _TAG.sub(" ", text)
    else:
        text = _message(answer)
    return masked(_clean(_unescaped(text)))


def _clean(text: str) -> str:
    """Return a text in one line, without signs that can't be printed."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _unescaped(text: str) -> str:
    """Return a text without the escapes of addresses, web pages and JSON, in which ids would not be recognised."""
    if "%" in text:
        text = unquote(text, errors="replace")
    if "&" in text:
        text = without_entities(text)
    if "\\" in text:
        text = _ESCAPED_SIGN.sub(r"\1", _ESCAPES.sub(_written_out, text))
    return text


def _written_out(found: re.Match[str]) -> str:
    units = b"".join(int(code, 16).to_bytes(2, "big") for code in found[0].split("\\u")[1:])
    return units.decode("utf-16-be", "replace")


def _message(answer: Any) -> str:
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return ""
    found = [f"{answer[name]}" for name in FIELDS if isinstance(answer.get(name), str | int)]
    return ", ".join(dict.fromkeys(found))


def _without_keys(text: str, request: HttpRequest) -> str:
    """Mask the keys of a request: its API key, and what stands in its headers."""
    keys = {(one or two).decode("utf-8", "replace") for one, two in _KEY.findall(request.body[:READ_BYTES])}
    for name, value in request.headers.items():
        if name.lower() not in _PLAIN_HEADERS:
            keys |= {value, *value.split()}
    for key in sorted(keys, key=len, reverse=True):
        if len(key) >= MIN_KEY:
            text = text.replace(key, "***")
    return text


def _without_ids(text: str, items: Iterable[Delivery]) -> str:
    """Mask the words of a text that are an identifier of one of the items, or a value of its content with a digit."""
    if not text:
        return text
    lower, hidden = text.lower(), set()
    for item in items:
        ids = {_clean(one) for one in (item.user_id, item.device_id, item.insert_id) if one}
        ids |= {one.replace(" ", "+") for one in ids if " " in one}
        hidden |= {one for one in ids if len(one) >= MIN_ID and one.lower() in lower}
    candidates = {word.strip(".:?!") for word in _WORD.findall(text)} - {""} - hidden
    numbered = [word for word in candidates if any(sign.isdigit() for sign in word) or "@" in word]
    for item in items if numbered else ():
        hidden |= {word for word in numbered if f':"{word}"'.encode() in item.body}
    for word in sorted(hidden, key=len, reverse=True):
        text = re.sub(re.escape(word), "[id]", text, flags=re.IGNORECASE)
    return text
