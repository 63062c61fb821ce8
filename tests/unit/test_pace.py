"""How fast requests may follow each other."""

from flybridge.delivery.exchange import Limits
from flybridge.delivery.pace import pace, take


def test_no_limit_never_waits() -> None:
    """Zero means no limit."""
    state = pace(Limits(10, 10, 1))
    for _ in range(1000):
        state, wait_s = take(state, 1000, 5)
        assert wait_s == 0


def test_requests_beyond_the_burst_wait_for_their_turn() -> None:
    """Ten a second: ten at once, the eleventh a tenth of a second later."""
    state = pace(Limits(1, 10, 1, requests_per_s=10))
    waits = []
    for _ in range(12):
        state, wait_s = take(state, 1, 1000)
        waits.append(round(wait_s, 3))
    assert waits == [0.0] * 10 + [0.1, 0.2]


def test_tokens_return_with_time_and_no_further_than_the_burst() -> None:
    """An idle hour does not allow more than one second's worth at once."""
    state = pace(Limits(1, 10, 1, requests_per_s=2))
    for now_ms, expected in ((0, 0.0), (0, 0.0), (0, 0.5), (3_600_000, 0.0), (3_600_000, 0.0), (3_600_000, 0.5)):
        state, wait_s = take(state, 1, now_ms)
        assert wait_s == expected


def test_a_request_larger_than_the_burst_is_sent_and_paid_for_afterwards() -> None:
    """The mean rate holds and nothing is stuck."""
    state = pace(Limits(1000, 10, 1, items_per_s=100))
    state, wait_s = take(state, 500, 0)
    assert wait_s == 0.0
    state, wait_s = take(state, 100, 0)
    assert wait_s == 5.0


def test_a_clock_that_goes_back_gives_no_tokens() -> None:
    """Time that was counted once is not counted again."""
    state = pace(Limits(1, 10, 1, requests_per_s=1))
    state, _ = take(state, 1, 10_000)
    state, _ = take(state, 1, 5_000)
    _, wait_s = take(state, 1, 10_000)
    assert wait_s == 2.0
