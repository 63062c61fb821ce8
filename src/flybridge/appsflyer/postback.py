"""Read an AppsFlyer message in any of the forms in which it is sent.

Most messages are what the documentation says and are decoded in one step. The others, with a number where text belongs,
odd flags and amounts, Push API v1 names, or broken text, are read field by field: what can't be understood is left out
and noted, and never costs the message. Both ways give the same for the same fields, and so do JSON and query strings.

https://support.appsflyer.com/hc/en-us/articles/207034356 (Push API),
https://support.appsflyer.com/hc/en-us/articles/360004349657 (Push API v1, read 2026-11-24).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import compress
from json import JSONDecodeError
from operator import attrgetter
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec.structs import astuple

from flybridge.appsflyer.amounts import amount_of, reported_amount
from flybridge.appsflyer.currencies import currency_of
from flybridge.appsflyer.fields import ABSENT, KINDS, MAX_TEXT, NAMES, Amount, Flag, LongText, Postback, Text
from flybridge.appsflyer.postback_kind import Kind, kind_of
from flybridge.appsflyer.wrapped import (
    MAX_ENCODED,
    TELLING,
    is_message,
    message_in,
    object_in,
    parts_in,
)
from flybridge.identity.bare import whole
from flybridge.lenient_json import json_type, mended, printed, text_of
from flybridge.records import Dead, Media
from flybridge.system.text_encoding import BLANKS, EDGES, with_other_bytes
from flybridge.system.yes_or_no import is_not_known, word_of, yes_or_no

__all__ = ["Kind", "Postback", "kind_of", "mended", "read"]

_decode: Final = msgspec.json.Decoder(Postback, strict=False).decode
_set: Final = msgspec.structs.force_setattr

# Push API v1 name -> the v2 field that says the same.
V1_NAMES: Final[Mapping[str, str]] = {
    "appsflyer_device_id": "appsflyer_id",
    "re_targeting_conversion_type": "retargeting_conversion_type",
    "currency": "event_revenue_currency",
    "agency": "af_prt",
    "click_time": "attributed_touch_time",
    "click_time_selected_timezone": "attributed_touch_time_selected_timezone",
    "download_time": "device_download_time",
    "download_time_selected_timezone": "device_download_time_selected_timezone",
    "click_url": "original_url",
    "cost_per_install": "af_cost_value",
    "fb_campaign_name": "campaign",
    "fb_campaign_id": "af_c_id",
    "fb_adset_name": "af_adset",
    "fb_adset_id": "af_adset_id",
    "fb_adgroup_name": "af_ad",
    "fb_adgroup_id": "af_ad_id",
}

CONSENTS: Final = frozenset({"ad_user_data_enabled", "ad_personalization_enabled"})
CONSENT: Final = {"granted": True, "denied": False}
"""Words for consent. Of other flags they may mean either."""
WITHOUT_PERMISSION: Final = {
    "is_lat": True, "gdpr_applies": True, "ad_user_data_enabled": False, "ad_personalization_enabled": False,
}  # fmt: skip
"""Flags of what the person has allowed, as they are where nothing is. What can't be read is no permission."""

MAX_FIELDS: Final = 2000

IDS: Final = frozenset({"appsflyer_id", "appsflyer_device_id", "customer_user_id"})
"""Ids of which a part would be another's."""

TRIMMED: Final = ("event_name", "media_source", "campaign")
"""Names. Blanks around them are removed; other text is kept as it is."""
_names: Final = attrgetter(*TRIMMED)
_telling: Final = attrgetter(*sorted(TELLING))

TIMES: Final = ("event_time", "install_time")
_ESCAPED_TIME: Final = re.compile("%(?:25){0,3}(?:3A|20|2B)", re.IGNORECASE)
"""What shows in a time that a gateway has percent-encoded all values of a query string once more."""

CURRENCY_FIELDS: Final[Mapping[str, str]] = {
    "event_revenue": "event_revenue_currency",
    "revenue_in_selected_currency": "selected_currency",
    "af_cost_value": "af_cost_currency",
    "cost_in_selected_currency": "selected_currency",
}
"""Amounts, and the fields that say in which currency they are."""
IN_DOLLARS: Final = frozenset({"event_revenue_usd"})
ONLY_PUSHED: Final = "Check that AppsFlyer's Push API, and nothing else, posts to this address."
MESSAGES_APART: Final = (
    f"If these are several messages, send them again: they are taken apart on arrival. {ONLY_PUSHED}"
)
EXTRA: Final = "Extra data"
"""How Python's reader of JSON says that something follows a value."""
_is_absent: Final = ABSENT.__contains__

JSON: Final = Media.JSON


def read(body: bytes, media: Media) -> Postback | Dead:
    """Return the message, or `Dead` for bytes that are neither a JSON object nor a query string. Never raises."""
    try:
        if media is not JSON:
            return _read_query(body)
        postback: Postback | None
        try:
            postback = _decode(body)
            # msgspec skips over fields that it does not look for, whatever bytes they are.
            if not body.isascii():
                str(body, "utf-8")
        except msgspec.ValidationError:
            postback = _read_blanks(body)
        except (msgspec.DecodeError, UnicodeError):
            return _read_tolerantly(body)
        if postback is None:
            return _read_tolerantly(body)
        values = astuple(postback)
        try:
            if not ABSENT.isdisjoint(values):
                for name in compress(NAMES, map(_is_absent, values)):
                    _set(postback, name, None)
        except TypeError:  # an object or a list in one of the two fields that may have any type
            _drop_absent(postback)
        _set(postback, "body", body)
        if _is_v1(postback.appsflyer_device_id, postback.event_type, postback.appsflyer_id):
            return _read_tolerantly(body)
        # `strip` returns the text itself where there is nothing to remove. Written out, for a loop takes longer.
        event, source, campaign = _names(postback)
        if event is None and not any(_telling(postback)):
            return _read_tolerantly(body)
        if not (
            (event is None or (event.strip(EDGES) is event and event.isascii()))
            and (source is None or (source.strip(EDGES) is source and source.isascii()))
            and (campaign is None or (campaign.strip(EDGES) is campaign and campaign.isascii()))
        ):
            _trim(postback)
        return postback
    except RecursionError:
        return Dead(
            "decode",
            "nested_too_deep",
            "The message nests objects or lists deeper than can be read.",
            "AppsFlyer sends flat messages: find out who sent this one.",
        )


def _trim(postback: Postback) -> None:
    for name, value in zip(TRIMMED, _names(postback), strict=True):
        if value is not None:
            _set(postback, name, None if (trimmed := value.strip(BLANKS)) in ABSENT else trimmed)


def _drop_absent(postback: Postback) -> None:
    for name, value in zip(NAMES, astuple(postback), strict=False):
        if isinstance(value, str) and value in ABSENT:
            _set(postback, name, None)


def _is_v1(device_id: object, event_type: object, appsflyer_id: object) -> bool:
    """Whether a message is of Push API v1. In v2 only retargeting messages have an `event_type`."""
    return device_id is not None or (event_type is not None and appsflyer_id is None)


def _read_blanks(body: bytes) -> Postback | None:
    """Read a message whose only fault is blank flags and amounts, which older Push API messages have by the dozen."""
    # JSON is written with one blank behind the colon or with none. Within a text the quotes would be escaped.
    for colon in (b":", b": "):
        if (blanked := body.replace(colon + b'""', b":null")) != body:
            try:
                postback = _decode(blanked)
            except (msgspec.DecodeError, UnicodeError):
                return None
            # In an object a blank is a value, which must stay what it is.
            return None if type(postback.event_value) is dict or type(postback.custom_data) is dict else postback
    return None


def _read_query(body: bytes) -> Postback | Dead:
    text = body.decode("utf-8", "surrogateescape").lstrip("\ufeff").strip().removeprefix("?")
    pairs: dict[str, str] = {}
    with suppress(ValueError):
        for each in parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="surrogateescape"):
            # Bytes that are no UTF-8 are of Windows-1252, in which browsers and old servers escape.
            name, value = map(with_other_bytes, each)
            name = name.lstrip("\ufeff").removeprefix("amp;")  # of an address that was copied out of HTML
            if name not in pairs or value not in ABSENT:
                pairs[name] = value
    for _ in range(MAX_ENCODED):
        if not any(_ESCAPED_TIME.search(pairs.get(name, "")) for name in TIMES):
            break
        pairs = {name: with_other_bytes(unquote_plus(value, errors="surrogateescape")) for name, value in pairs.items()}
    if (inner := message_in(pairs)) is not None:
        return _coerce(inner, msgspec.json.encode(inner), [])
    if not pairs:
        return Dead(
            "decode",
            "not_query",
            "The message came by GET, but its query string holds no fields.",
            "Check the endpoint's URL in AppsFlyer's Push API settings, or choose POST there.",
        )
    return _coerce(pairs, msgspec.json.encode(pairs), [])


def _read_tolerantly(body: bytes) -> Postback | Dead:
    notes: list[str] = []
    try:
        message = msgspec.json.decode(body)
        msgspec.json.encode(message)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, ValueError):
        try:
            body = _clean(text_of(body).strip(BLANKS))
            message = msgspec.json.decode(body)
        except (ValueError, OverflowError) as problem:
            if (parts := parts_in(body)) and (is_message(parts) or message_in(parts) is not None):
                message = message_in(parts) or parts
                return _coerce(message, msgspec.json.encode(message), [])
            return Dead(
                "decode",
                "not_json",
                f"The message is not readable JSON: {_fault(problem)}.",
                MESSAGES_APART if str(problem).startswith(EXTRA) else ONLY_PUSHED,
            )
        notes.append("The message was not clean JSON (broken text or numbers) and was mended before it was read.")
    outer = message if isinstance(message, dict) else object_in(message)
    inner = None if outer is None else message_in(outer) or outer
    if inner is not None and inner is not message:
        message, body = inner, msgspec.json.encode(inner)
    if not isinstance(message, dict):
        return Dead(
            "decode",
            "not_an_object",
            f"The message is JSON, but {json_type(message)} and not an object with fields.",
            "Send one AppsFlyer message per request, as a JSON object.",
        )
    return _coerce(message, body, notes)


def _fault(problem: Exception) -> str:
    """Return what breaks JSON, and where. Nothing of the text, which may name a person."""
    if isinstance(problem, JSONDecodeError):
        what = problem.msg.partition(":")[0]
        return f"{what} at line {problem.lineno}, character {problem.colno}"
    return "it holds what no text does"


def _clean(text: str) -> bytes:
    """Return JSON of what is broken JSON, or an object as other programs print it. Raises `ValueError`."""
    try:
        return mended(text)
    except (ValueError, OverflowError):
        with suppress(ValueError, OverflowError):
            return printed(text)
        raise


def _coerce(message: Mapping[str, Any], body: bytes, notes: list[str]) -> Postback:
    found: dict[str, Any] = {}
    for name in NAMES:
        if (value := message.get(name)) is not None:
            found[name] = _one(name, value, notes, message)
    if _is_v1(found.get("appsflyer_device_id"), found.get("event_type"), found.get("appsflyer_id")):
        for old, name in V1_NAMES.items():
            if found.get(name) is None and (value := message.get(old)) is not None:
                found[name] = _one(name, value, notes, message)
    return Postback(**found, body=body, notes=tuple(notes))


def _one(name: str, value: Any, notes: list[str], message: Mapping[str, Any]) -> Any:
    if isinstance(value, list | dict) and _READERS[name] is not _as_is:
        while isinstance(value, list) and len(value) == 1:
            value = value[0]  # as programs read a query string whose fields may come several times
        if not value and not isinstance(value, bool | int | float):  # what PHP has for nothing is an empty list
            return None
    if isinstance(value, str):
        if name in TRIMMED:
            value = value.strip(BLANKS)
        if value in ABSENT:
            return None
        if name in CURRENCY_FIELDS and (currency := currency_of(message.get(CURRENCY_FIELDS[name]))) is not None:
            return _money(name, value, currency, notes)
        if name in IN_DOLLARS:
            return _money(name, value, "USD", notes)
    return _READERS[name](name, value, notes)


def _short(name: str, value: Any, notes: list[str]) -> str | None:
    if name in IDS and isinstance(value, dict | list):
        notes.append(f"The {name} is not one id and was left out.")
        return None
    if name in IDS and isinstance(value, float) and (value := whole(value)) is None:
        notes.append(f"The {name} is a number that has lost digits and was left out.")
        return None
    found = _text(value)
    if len(found) > MAX_TEXT:
        if name in IDS:
            notes.append(f"The {name} is longer than {MAX_TEXT} characters and was left out.")
            return None
        notes.append(f"The text of {name} was cut to {MAX_TEXT} characters.")
        found = found[:MAX_TEXT]
    return found or None


def _whole(_: str, value: Any, __: list[str]) -> str | None:
    return _text(value) or None


def _as_is(_: str, value: Any, __: list[str]) -> Any:
    return value


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


def _flag(name: str, value: Any, notes: list[str]) -> bool | None:
    if (known := yes_or_no(value)) is not None:
        return known
    word = word_of(value)
    if name in CONSENTS and word in CONSENT:
        return CONSENT[word]
    if name in WITHOUT_PERMISSION and not is_not_known(word):
        notes.append(f"The field {name} is neither true nor false and was read as no permission.")
        return WITHOUT_PERMISSION[name]
    notes.append(f"The field {name} is neither true nor false and was left out.")
    return None


def _amount(name: str, value: Any, notes: list[str]) -> float | None:
    number = amount_of(value)
    if number is None:
        notes.append(f"The field {name} is not an amount and was left out.")
    return number


def _money(name: str, value: str, currency: str, notes: list[str]) -> float | None:
    number = reported_amount(value, currency)
    if number is None:
        notes.append(f"The field {name} is not an amount in {currency} and was left out.")
    return number


_BY_KIND: Final = ((Text, _short), (LongText, _whole), (Flag, _flag), (Amount, _amount))
# Comparing types is slow: which reader a field has is decided once.
_READERS: Final[Mapping[str, Callable[[str, Any, list[str]], Any]]] = {
    name: next((reader for known, reader in _BY_KIND if known == kind), _as_is) for name, kind in KINDS.items()
}
