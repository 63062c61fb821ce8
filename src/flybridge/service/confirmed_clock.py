"""The time by which data expires: the machine's, but for a jump that is not confirmed yet.

A machine's clock may be wrong for seconds or minutes, at boot above all, until it is set by the network. What is erased
in that time does not come back. So after a jump time passes as before, until the clock has been steady for
`CONFIRM_S`: then it was set right. A time that goes back is believed at once where data expires, because it erases
nothing.

What comes while the clock is years behind, as after a boot at 1970, is dated by the time that goes on as before: else
it would expire as soon as the clock is set right.

A process learns of a jump before its start from the store, which keeps the last confirmed time. After a stop of more
than `TOLERANCE_MS` nothing expires for the first `CONFIRM_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from flybridge.clock import Clock
from flybridge.records import DAY_MS

TOLERANCE_MS: Final = 3_600_000
"""Less than the shortest retention by far, and more than any clock is corrected by in everyday life."""

CONFIRM_S: Final = 900.0

BEHIND_MS: Final = 30 * DAY_MS
"""A machine without the time begins years ago: in 1970, or when it was made."""


class ConfirmedClock:
    """A clock that follows another, and after a jump goes on as before until the new time is confirmed.

    `monotonic` is the time in seconds of a clock that can't be set.
    """

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._at = (clock.now_ms(), monotonic())
        self._jumped: tuple[int, float] | None = None

    def begin(self, confirmed_ms: int) -> None:
        """Take over the last confirmed time of an earlier process; 0 if there is none."""
        if confirmed_ms:
            self._at = (confirmed_ms, self._monotonic())

    def now_ms(self) -> int:
        now_ms, now_s = self._clock.now_ms(), self._monotonic()
        if abs(now_ms - _after(self._at, now_s)) <= TOLERANCE_MS:
            self._jumped = None
        elif self._jumped is None or abs(now_ms - _after(self._jumped, now_s)) > TOLERANCE_MS:
            self._jumped = (now_ms, now_s)
        elif now_s - self._jumped[1] >= CONFIRM_S:
            self._jumped = None
        if self._jumped is None:
            self._at = (now_ms, now_s)
            return now_ms
        return min(now_ms, _after(self._at, now_s))

    @property
    def last_ms(self) -> int:
        """The last time that was believed."""
        return self._at[0]

    def as_before_ms(self) -> int:
        """Return the time that goes on as before, until another one is confirmed."""
        now_ms = self.now_ms()
        return _after(self._at, self._monotonic()) if self._jumped is not None else now_ms

    @property
    def jump_s(self) -> float:
        """By how many seconds the clock has jumped, negative if back, while that is not confirmed; else 0."""
        if self._jumped is None:
            return 0.0
        return (self._jumped[0] - _after(self._at, self._jumped[1])) / 1000

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class DatingClock:
    """A clock by which what comes is dated: another one, unless that is years behind the confirmed time."""

    def __init__(self, clock: Clock, confirmed: ConfirmedClock) -> None:
        self._clock = clock
        self._confirmed = confirmed

    def now_ms(self) -> int:
        now_ms = self._clock.now_ms()
        return now_ms if now_ms > self._confirmed.last_ms - BEHIND_MS else self._confirmed.as_before_ms()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


def _after(at: tuple[int, float], now_s: float) -> int:
    ms, s = at
    return ms + round((now_s - s) * 1000)
