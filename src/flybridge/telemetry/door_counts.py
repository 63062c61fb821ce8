"""What the doors count, and the log lines that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from flybridge.clock import Clock


class Tally:
    """What one door counted since the process started. Plain integers: counting must cost next to nothing.

    `slots[n]` counts answers that took less than `2**n` nanoseconds and at least half of that.
    """

    __slots__ = ("accepted", "app", "elapsed_ns", "refused", "slots", "source")

    def __init__(self, app: str, source: str) -> None:
        self.app = app
        self.source = source
        self.accepted = 0
        self.refused: dict[int, int] = {}
        self.elapsed_ns = 0
        self.slots = [0] * 64

    def accept(self, elapsed_ns: int) -> None:
        """Count one request that was taken."""
        self.accepted += 1
        self.elapsed_ns += elapsed_ns
        self.slots[elapsed_ns.bit_length()] += 1

    def refuse(self, status: int) -> None:
        """Count one request that was turned away."""
        self.refused[status] = self.refused.get(status, 0) + 1


class Received:
    """Turns tallies into the `received` lines: what has changed since it was last asked."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self._tallies = tallies
        self._seen: list[tuple[int, dict[int, int]]] = [(0, {}) for _ in tallies]

    def lines(self) -> list[dict[str, Any]]:
        """Return one line per door that was used since the last call."""
        lines = []
        for n, tally in enumerate(self._tallies):
            accepted, refused = tally.accepted, dict(tally.refused)
            before, refused_before = self._seen[n]
            turned_away = {
                str(s): c - refused_before.get(s, 0) for s, c in refused.items() if c != refused_before.get(s)
            }
            if accepted != before or turned_away:
                line = {"app": tally.app, "source": tally.source, "accepted": accepted - before, "refused": turned_away}
                lines.append(line)
            self._seen[n] = (accepted, refused)
        return lines


async def log_received(received: Received, clock: Clock, every_s: float = 1.0) -> None:
    """Log what the doors did, every `every_s` seconds in which they did something, until cancelled."""
    log = structlog.get_logger("flybridge")
    try:
        while True:
            await clock.sleep(every_s)
            for line in received.lines():
                log.info("received", **line)
    finally:
        for line in received.lines():
            log.info("received", **line)
