"""A clock that jumps ends no lease that has not lapsed, and holds none for ever."""

import pytest

from flybridge.delivery.context import Context
from flybridge.delivery.gate import EvenTime
from flybridge.delivery.worker import Worker
from flybridge.store.records import Lane, Rescued
from flybridge.testing.clocks import ManualClock

DAY_S = 86_400


class Leases:
    """A store of which only the rescues matter."""

    def __init__(self) -> None:
        self.rescues: list[int] = []

    async def rescue(self, now_ms: int, *, owner: str | None = None, resend_uncertain: bool = True) -> Rescued:
        self.rescues.append(now_ms)
        return Rescued()

    async def lanes(self, now_ms: int) -> list[Lane]:
        return []

    async def states(self, beginning: str) -> list[tuple[str, bytes]]:
        return []

    async def put_state(self, name: str, value: bytes) -> None:
        """Keep nothing."""


@pytest.mark.parametrize("jump_s", [32 * DAY_S, DAY_S, 60, -60, -DAY_S, -56 * 365 * DAY_S])
async def test_after_a_jump_leases_are_left_alone_for_as_long_as_one_lasts(jump_s: int) -> None:
    """By a clock that can't be set: then what was leased before the jump has ended in truth."""
    clock, store, real = ManualClock(), Leases(), 1000.0
    worker = Worker(Context(store, None, clock), {}, seconds=lambda: real)  # type: ignore[arg-type]
    await worker.step()
    assert len(store.rescues) == 1
    clock._now_ms += jump_s * 1000
    for _ in range(11):  # the lease is 120 s
        await worker.step()
        clock._now_ms += 10_000
        real += 10
    assert len(store.rescues) == 1
    for _ in range(4):
        clock._now_ms += 10_000
        real += 10
        await worker.step()
    assert len(store.rescues) > 1


def test_small_steps_are_no_jump() -> None:
    """As those of NTP, which add up."""
    clock, real = ManualClock(), 0.0
    even = EvenTime(clock, lambda: real)
    for _ in range(100):
        clock._now_ms += 15_000
        real += 10
        assert even.seconds() == float("inf")
    clock._now_ms -= 60_000
    assert even.seconds() == 0
    real += 5
    clock._now_ms += 5_000
    assert even.seconds() == 5
