"""Find the name that a name in the configuration was meant to be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_OTHER: Final = re.compile(r"[\W_]+")


def plain_name(name: str) -> str:
    """Return a name without what reports and programs write in other ways: capitals, blanks, dashes."""
    return _OTHER.sub("_", name.casefold()).strip("_")


def nearest_name(name: str, known: Iterable[str], alike: float) -> str | None:
    """Return the known name that is `name` in other letters, or else is most like it; None if none is.

    `alike` is how alike two names are at least, from 0 to 1.
    """
    by_plain = {plain_name(one): one for one in known}
    plain = plain_name(name)
    if plain in by_plain:
        return by_plain[plain]
    return next((by_plain[one] for one in get_close_matches(plain, by_plain, 1, alike)), None)
