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

_encode: Final = msgspec.json.Encoder().encode


def without_ids(text: str, devices: Iterable[bytes]) -> str:
    """Return a text with `[id]` in place of the person's identifiers, in whatever case."""
    ids = sorted((device.decode() for device in devices), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, ids)), "[id]", text, flags=re.IGNORECASE)


def names_a_device(value: Any, devices: Iterable[bytes]) -> bool:
    """Return whether a property's value contains one of the person's identifiers, in whatever case."""
    try:
        written = _encode(value).lower()
    except (OverflowError, ValueError, RecursionError):
        return True
    return any(device in written for device in devices)
