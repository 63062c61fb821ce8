"""The way out of one lane: its pace, its circuit and what is known about its items, kept between requests.

Used by lanes of events and by audiences alike. What an answer means is decided in `delivery.judge`; here it is
remembered and reported. Times are those of a clock that never goes back, so that a change of the machine's time can't
keep a lane paused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from flybridge.clock import Clock
from flybridge.delivery import circuit as breaker
from flybridge.delivery import refusals
from flybridge.delivery.circuit import Admission, Circuit, CircuitRules, Phase
from flybridge.delivery.exchange import Halt, Limits, Verdict
from flybridge.delivery.judge import judge
from flybridge.delivery.lane_state import PATIENCE, Answer, Ended, LaneState
from flybridge.delivery.observer import Exchange, Observer
from flybridge.delivery.pace import pace, take
from flybridge.store.records import Lane

T = TypeVar("T")


class ForwardTime:
    """The time of a clock without its steps back: after one it goes on from where it was.

    `stepped_back` is set when the clock went back by more than a minute, until it is read.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ms = clock.now_ms()
        self._lost_ms = 0
        self.stepped_back = False

    def now_ms(self) -> int:
        now_ms = self._clock.now_ms()
        if now_ms < self._last_ms:
            self._lost_ms += self._last_ms - now_ms
            self.stepped_back |= self._last_ms - now_ms > 60_000
        self._last_ms = now_ms
        return now_ms + self._lost_ms

    def on_clock(self, at_ms: int) -> int:
        """Return the moment on the clock as it is now, 0 for 0."""
        return at_ms - self._lost_ms if at_ms else 0


JUMP_S: Final = 10.0


class EvenTime:
    """For how long a clock has run evenly, compared with `steady_s`, the seconds of a clock that can't be set."""

    def __init__(self, clock: Clock, steady_s: Callable[[], float]) -> None:
        self._clock = clock
        self._steady_s = steady_s
        self._ahead_s = clock.now_ms() / 1000 - steady_s()
        self._jumped_s = float("-inf")

    def seconds(self) -> float:
        """Return the seconds since the last jump that was seen, infinity if there was none."""
        now_s = self._steady_s()
        ahead_s = self._clock.now_ms() / 1000 - now_s
        if abs(ahead_s - self._ahead_s) > JUMP_S:
            self._jumped_s = now_s
        self._ahead_s = ahead_s  # what is slewed in small steps is no jump
        return now_s - self._jumped_s


class Gate:
    """Pace, circuit and memory of one lane. `state` is what `judge` knows."""

    def __init__(self, lane: Lane, limits: Limits, clock: Clock, rules: CircuitRules, observer: Observer) -> None:
        self.lane = lane
        self.state = LaneState()
        self.time = ForwardTime(clock)
        self._rules = rules
        self._observer = observer
        self._pace = pace(limits)
        self._number = 0

    @property
    def circuit(self) -> Circuit:
        """The circuit, with the times of the clock as it is now."""
        circuit = self.state.circuit
        return replace(
            circuit, since_ms=self.time.on_clock(circuit.since_ms), until_ms=self.time.on_clock(circuit.until_ms)
        )

    @property
    def sends(self) -> bool:
        """Whether the circuit is closed."""
        return self.state.circuit.phase is Phase.CLOSED

    @property
    def newest(self) -> int:
        """The number of the newest request."""
        return self._number

    def admission(self) -> Admission:
        """Return what may be sent now."""
        return breaker.admission(self.state.circuit, self.time.now_ms())

    def wait_s(self, items: int) -> float:
        """Reserve a request of that many items. Returns the seconds to wait before it may be sent."""
        self._pace, wait_s = take(self._pace, items, self.time.now_ms())
        return wait_s

    def sending(self) -> int:
        """Note that a request goes out. Returns its number."""
        self._number += 1
        if not self.sends:
            self.state = replace(self.state, circuit=breaker.probing(self.state.circuit))
        return self._number

    def judge(
        self,
        items: Sequence[T],
        verdicts: Sequence[Verdict],
        key: Callable[[T], Hashable],
        *,
        number: int,
        failed: bool,
        status: int,
        words: str,
    ) -> tuple[Ended[T], list[Sequence[T]]]:
        """Return the items to be settled with their verdicts, and the batches to be sent again at once."""
        answer = Answer(number, self._number, self.time.now_ms(), self._rules, key, failed, status, words)
        ended, again, state = judge(items, verdicts, self.state, answer)
        self._become(state)
        return ended, again

    def halt(self, halt: Halt, words: str) -> None:
        """Stop the lane, as the vendor refuses it as a whole."""
        circuit = breaker.halted(self.state.circuit, halt, self.time.now_ms(), self._rules, words)
        self._become(replace(self.state, circuit=circuit))

    def close_round(self) -> Ended[Any]:
        """Return what becomes of items that are still suspected at the end of a round of work."""
        if not self.state.suspects:
            return []
        ended, state = refusals.close_round(self.state, self.time.now_ms(), self._rules)
        self._become(state)
        return ended

    def retry_now(self) -> None:
        """Send again at once, as an operator wishes, and judge the vendor's refusals anew."""
        self._become(replace(self.state, circuit=breaker.CLOSED, recent=0, probes=0))

    def send_fewer(self, most: int) -> None:
        """Send half as many items in a request, and raise that again only after many were accepted."""
        limit = max(1, (self.state.limit or most) // 2)
        self.state = replace(self.state, limit=limit, fits=0, patience=PATIENCE)

    def observe(self, exchange: Exchange) -> None:
        """Report a request."""
        with suppress(Exception):
            self._observer.on_exchange(exchange)

    def _become(self, state: LaneState) -> None:
        before, self.state = self.state.circuit, state
        if (before.phase is Phase.CLOSED) != (state.circuit.phase is Phase.CLOSED):  # another failed probe is no news
            with suppress(Exception):
                self._observer.on_circuit(self.lane, self.circuit)
