"""What has moved lately: rates from the totals of readings, which are made while somebody looks."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from flybridge.records import OutcomeKind
from flybridge.web.console.reading import Reading

SPAN_MS: Final = 60_000
KEPT: Final = 400


class Beat(Struct, frozen=True):
    """The totals at one moment."""

    at_ms: int
    received: int
    delivered: int
    waiting: int


class FlowRates(Struct, frozen=True):
    """Messages received and events delivered per minute, and how many waited at each moment. None: not known yet."""

    received: float | None
    delivered: float | None
    over_s: float
    waiting: tuple[float, ...]


class Pulse:
    """Keeps the totals of the last minute."""

    def __init__(self) -> None:
        self._beats: deque[Beat] = deque(maxlen=KEPT)

    def beat(self, reading: Reading) -> FlowRates:
        """Note the totals of a reading. Return the rates since the oldest that is at most a minute old."""
        if not self._beats or reading.at_ms > self._beats[-1].at_ms:
            self._beats.append(_beat_of(reading))
        elif reading.at_ms < self._beats[-1].at_ms:  # the clock was set back
            self._beats.clear()
            self._beats.append(_beat_of(reading))
        while self._beats[-1].at_ms - self._beats[0].at_ms > SPAN_MS:
            self._beats.popleft()
        first, last = self._beats[0], self._beats[-1]
        over_ms = last.at_ms - first.at_ms
        waiting = tuple(float(one.waiting) for one in self._beats)
        if not over_ms:
            return FlowRates(None, None, 0.0, waiting)
        per_minute = 60_000 / over_ms
        return FlowRates(
            max(0, last.received - first.received) * per_minute,
            max(0, last.delivered - first.delivered) * per_minute,
            over_ms / 1000,
            waiting,
        )


def _beat_of(reading: Reading) -> Beat:
    delivered = sum(count.n for count in reading.counts if count.outcome == OutcomeKind.DELIVERED)
    waiting = (reading.depth.waiting if reading.depth else 0) + sum(
        depth.due + depth.later + depth.leased for depth in reading.lanes
    )
    return Beat(reading.at_ms, sum(line.received for line in reading.account.lines), delivered, waiting)
