"""Whether the clocks of the machines of a cluster agree, as people read it."""

from __future__ import annotations

from typing import Final

TOLERANCE_MS: Final = 10_000
"""Clocks that are set by the network differ by milliseconds."""


def clock_sentence(ahead_ms: int) -> str:
    """Return what to say of a machine that PostgreSQL's server is ahead of by so much; empty if they agree."""
    if abs(ahead_ms) < TOLERANCE_MS:
        return ""
    seconds = f"{round(abs(ahead_ms) / 1000):,} seconds {'behind' if ahead_ms > 0 else 'ahead of'}"
    return (
        f"This machine's clock is {seconds} that of PostgreSQL's server. Set both by the network (NTP): events are "
        "dated, expire and are counted in days by the clock of the process that has them."
    )
