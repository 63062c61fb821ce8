"""Request counts of each intake endpoint, and the log lines made from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from flybridge.clock import Clock


class DoorCounts:
    """Requests of one intake endpoint since the process started. Plain integers, because each request counts.

    `slots[n]` counts answers that took less than `2**n` nanoseconds and at least half of that. `problem` is why the
    inbox refused a message last.
    """

    __slots__ = ("accepted", "app", "elapsed_ns", "problem", "refused", "slots", "source")

    def __init__(self, app: str, source: str) -> None:
        self.app = app
        self.source = source
        self.accepted = 0
        self.problem = ""
        self.refused: dict[int, int] = {}
        self.elapsed_ns = 0
        self.slots = [0] * 64

    def accept(self, elapsed_ns: int) -> None:
        """Count one accepted request and the time it took."""
        self.accepted += 1
        self.elapsed_ns += elapsed_ns
        self.slots[elapsed_ns.bit_length()] += 1

    def refuse(self, status: int) -> None:
        """Count one refused request."""
        self.refused[status] = self.refused.get(status, 0) + 1


class Received:
    """Turns counts into the `received` lines: the changes since the last call."""

    def __init__(self, counts: Sequence[DoorCounts]) -> None:
        self._counts = counts
        self._seen: list[tuple[int, dict[int, int]]] = [(0, {}) for _ in counts]

    def lines(self) -> list[dict[str, Any]]:
        """Return one line per endpoint that was used since the last call."""
        lines = []
        for n, count in enumerate(self._counts):
            accepted, refused = count.accepted, dict(count.refused)
            before, refused_before = self._seen[n]
            turned_away = {
                str(s): c - refused_before.get(s, 0) for s, c in refused.items() if c != refused_before.get(s)
            }
            if accepted != before or turned_away:
                line = {"app": count.app, "source": count.source, "accepted": accepted - before, "refused": turned_away}
                lines.append(line)
            self._seen[n] = (accepted, refused)
        return lines


async def log_received(received: Received, clock: Clock, every_s: float = 1.0) -> None:
    """Log the requests of each endpoint every `every_s` seconds, if there were any, until cancelled."""
    log = structlog.get_logger("flybridge")
    try:
        while True:
            await clock.sleep(every_s)
            for line in received.lines():
                log.info("received", **line)
    finally:
        for line in received.lines():
            log.info("received", **line)
