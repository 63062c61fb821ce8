"""Messages that something else has put around a message: a queue, a gateway, or a form.

    {"data": {"app_id": ...}}, {"Type": "Notification", "Message": "{...}"}, payload={...}, multipart/form-data

Every message of AppsFlyer has some of the fields in `TELLING`, and what is put around one has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flybridge.lenient_json import mended
from flybridge.system.text_encoding import line_text

MAX_ENCODED: Final = 4
"""How often a message may have been encoded once more."""
TELLING: Final = frozenset(
    {
        "appsflyer_id", "appsflyer_device_id", "app_id", "event_name", "event_time", "install_time", "conversion_type",
        "media_source", "customer_user_id",
    }
)  # fmt: skip
"""Fields of which a message has two or more."""
PASSED: Final = frozenset({"event_value", "custom_data"})
"""Fields in which an app may pass the same names."""

# The boundary of a form of several parts stands in its first line: https://www.rfc-editor.org/rfc/rfc7578.
_BOUNDARY: Final = re.compile(rb"\s{0,8}(--[^\r\n]{1,200})\r?\n")
_NAME: Final = re.compile(
    rb'content-disposition:[^\r\n]{0,40}form-data;[^\r\n]{0,200}?\bname="?([^"\r\n;]{1,200})', re.I
)
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")


def object_in(value: Any) -> dict[str, Any] | None:
    """Return an object that was encoded more than once, or is alone in a list; None if there is none."""
    for _ in range(MAX_ENCODED):
        while isinstance(value, list) and len(value) == 1:
            (value,) = value
        if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "[", '"'}:
            break
        try:
            value = msgspec.json.decode(mended(value))
        except (ValueError, OverflowError):
            return None
    return value if isinstance(value, dict) else None


def message_in(envelope: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the message in what is put around it; None if that is a message itself, or holds none or several."""
    if TELLING & envelope.keys():
        return None
    found = [one for name, value in envelope.items() if name not in PASSED and (one := object_in(value)) is not None]
    if not found and len(envelope) == 1:  # a form has a text without a name in place of the name
        found = [one for one in map(object_in, envelope) if one is not None]
    if (messages := [one for one in found if is_message(one)]) or len(found) != 1:
        return messages[0] if len(messages) == 1 else None
    return message_in(found[0])


def is_message(fields: Mapping[str, Any]) -> bool:
    """Whether fields are those of a message."""
    return len(TELLING & fields.keys()) > 1


def parts_in(body: bytes) -> dict[str, str]:
    """Return the parts of a form of several parts by their names; nothing of another body, or if two have one name."""
    boundary = _BOUNDARY.match(body)
    if boundary is None:
        return {}
    found: dict[str, str] = {}
    for part in body[boundary.end() - 1 :].split(b"\n" + boundary[1]):
        head = _BLANK_LINE.search(part)
        name = None if head is None else _NAME.search(part, 0, head.start())
        if head is not None and name is not None:
            if (called := line_text(name[1])) in found:
                return {}
            found[called] = line_text(part[head.end() :].removesuffix(b"\r"))
    return found
