"""Finds, among an event's properties, the few that name where it came from.

The bridge's mapping may be changed by its user, so that the sandbox does not know the names: it takes
`[AppsFlyer] media source`, `media_source`, `Media Source` for the same, and looks through user property operations
(`$set`, `$setOnce`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from typing import Any, Final

from msgspec import Struct

_ENDINGS: Final = {
    "appsflyer id": "appsflyer_id",
    "media source": "media_source",
    "campaign": "campaign",
    "order id": "order_id",
}


class Described(Struct, gc=False):
    """What the properties say; None where they don't."""

    appsflyer_id: str | None = None
    media_source: str | None = None
    campaign: str | None = None
    order_id: str | None = None


def _slot(name: str) -> str | None:
    if name in {"$set", "$setOnce"}:
        return name
    plain = name.lower().replace("_", " ")
    plain = plain.rpartition("] ")[2].removeprefix("af ").strip()
    return _ENDINGS.get(plain)


@lru_cache(maxsize=4096)
def _telling(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    # Events come in few shapes: which of a shape's names say something is found once.
    return tuple((name, slot) for name in names if (slot := _slot(name)) is not None)


def described(*groups: Mapping[str, Any] | None) -> Described:
    """Look through properties, the first group that names something first."""
    found = Described()
    for group in groups:
        if group:
            _look(group, found)
    return found


def _look(group: Mapping[str, Any], found: Described) -> None:
    for name, slot in _telling(tuple(group)):
        value = group[name]
        if slot[0] == "$":
            if isinstance(value, dict):
                _look(value, found)
        elif value is not None and getattr(found, slot) is None:
            text = value if isinstance(value, str) else str(value)
            # Sources and campaigns are few and repeat; an interned string is kept once.
            setattr(found, slot, intern(text) if slot in {"media_source", "campaign"} else text)
