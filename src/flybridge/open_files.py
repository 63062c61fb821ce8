"""How many files and connections this process may have open at once."""

from __future__ import annotations

import sys
from typing import Final

WANTED: Final = 65_536


def allow_more() -> int:
    """Raise the limit as far as the system lets an ordinary user; give what it is, 0 where there is none.

    Systems let a process begin with 1,024, fewer than the connections of a busy door and a distant vendor together.
    """
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 0
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if most > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            return soft
        return most
    return soft
