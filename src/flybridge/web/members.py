"""Taking a list of events apart at the door: each becomes a message, because each is to be accounted for."""

from __future__ import annotations

from typing import Final

import msgspec

AT_ONCE: Final = 500
"""Members of a list that are stored at once, so that a long list fits where other messages wait, too."""

_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def members(body: bytes) -> list[bytes] | None:
    """Give the members of a list, with the bytes they came in; None if it is no list, or has none."""
    if body.lstrip()[:1] != b"[":
        return None
    try:
        return [bytes(part) for part in _list.decode(body)] or None
    except msgspec.DecodeError:
        return None
