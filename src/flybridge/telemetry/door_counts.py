"""Request counts of each intake endpoint, the log lines made from them, and how long steps take by such counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from msgspec import Struct

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


async def log_received(received: Received, clock: Clock) -> None:
    """Log the requests of each endpoint every second, if there were any, until cancelled."""
    log = structlog.get_logger("flybridge")
    try:
        while True:
            await clock.sleep(1.0)
            for line in received.lines():
                log.info("received", **line)
    finally:
        for line in received.lines():
            log.info("received", **line)


class StepLatency(Struct, frozen=True):
    """One step: `received` by source, `answered` and `delivered` by app and endpoint.

    Half of the `n` were at most `p50_s`, 99 of 100 at most `p99_s`, by the upper ends of classes of time. None: longer
    than the last class.
    """

    step: str
    name: str
    endpoint: str
    n: int
    p50_s: float | None
    p99_s: float | None


def latency_of(step: str, name: str, endpoint: str, bounds: Sequence[float], counts: Sequence[int]) -> StepLatency:
    """Return the latency of a step.

    `counts` has one class for each of `bounds`, and may have one more for what is longer.
    """
    return StepLatency(step, name, endpoint, sum(counts), quantile(bounds, counts, 0.5), quantile(bounds, counts, 0.99))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the upper end of the class that holds this quantile; None for what is longer than all, or of nothing."""
    wanted, found = sum(counts) * share, 0
    for bound, n in zip(bounds, counts, strict=False):
        found += n
        if n and found >= wanted:
            return bound
    return None
