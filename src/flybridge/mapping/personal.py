"""Where identifiers of a person or a device stand in a message: fields, keys, and values that contain one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

# A shorter identifier is found in any text.
MIN_TELLING: Final = 8

PERSONAL: Final = frozenset(
    {
        "appsflyer_id", "appsflyer_device_id", "customer_user_id", "advertising_id", "idfa", "idfv", "android_id",
        "amazon_aid", "oaid", "imei", "android_app_set_id", "ip", "custom_data", "original_url", "http_referrer",
        "deeplink_url", "gp_referrer", "gp_broadcast_referrer", "user_agent", "event_value",
    }
)  # fmt: skip
"""Fields that name a person or a device, or may contain what does. They are masked where people read them."""

DEVICE_FIELDS: Final = (
    "idfa", "idfv", "advertising_id", "amazon_aid", "oaid", "imei", "android_id", "android_app_set_id",
)  # fmt: skip
"""Fields that hold a device's identifier and nothing else. They are never properties."""

ID_KEYS: Final = frozenset(DEVICE_FIELDS) | {
    "adid", "gaid", "aaid", "google_advertising_id", "advertiser_id", "app_set_id", "mac", "mac_address", "device_imei",
}  # fmt: skip
"""Keys of `event_value` that hold an identifier by name, in lower case."""
BETWEEN_WORDS: Final = str.maketrans("", "", "_- ")

LAST: Final = 12
"""The end of an identifier that stands in each spelling of it, however the parts before are joined. To look for it is
enough to know that the identifier is not there."""
UUIDS: Final = (32, 36)
"""Lengths of a UUID, without dashes and with them."""
_APART: Final = "(?:[-_.: ]|%2d)?"
_BETWEEN: Final = re.compile(rb"[-_.: ]|%2d")

_encode: Final = msgspec.json.Encoder().encode


def _letters_of(key: str) -> str:
    return key.strip().casefold().translate(BETWEEN_WORDS)


# Not those of one word: an `ad_id` is that of an ad.
_ID_LETTERS: Final = frozenset(_letters_of(key) for key in ID_KEYS if "_" in key)


def is_id_key(key: str) -> bool:
    """Whether a key holds an identifier by its name, in any case of letters, and with any signs between its words."""
    return key.strip().lower() in ID_KEYS or _letters_of(key) in _ID_LETTERS


def without_ids(text: str, devices: Iterable[bytes]) -> str:
    """Return a text with `[id]` in place of the person's identifiers, however they are spelled."""
    ids = sorted((device.decode() for device in devices), key=len, reverse=True)
    return re.sub("|".join(map(_spelled, ids)), "[id]", text, flags=re.IGNORECASE)


def names_a_device(value: Any, devices: Iterable[bytes]) -> bool:
    """Whether a property's value contains one of the person's identifiers, however it is spelled."""
    try:
        written = _encode(value).lower()
    except (OverflowError, ValueError, RecursionError):
        return True
    near = [device for device in devices if device[-LAST:] in written]
    if not near:
        return False
    plain = _plain(written)
    return any(_plain(device) in plain if len(device) in UUIDS else device in written for device in near)


def _plain(text: bytes) -> bytes:
    return _BETWEEN.sub(b"", text)


def _spelled(device: str) -> str:
    """Return a pattern of an identifier. The parts of a UUID may stand apart."""
    if len(device) not in UUIDS or len(digits := device.replace("-", "")) != UUIDS[0]:
        return re.escape(device)
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return _APART.join(map(re.escape, parts))
