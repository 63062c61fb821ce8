"""An item that is refused alone: after how many answers it ends, and how soon it is asked for again."""

from __future__ import annotations

import random
from collections import deque

import pytest
from msgspec.structs import replace

from flybridge.delivery.circuit import CLOSED, CircuitRules, Phase
from flybridge.delivery.exchange import Accepted, Halt, Reject, Retry, Verdict
from flybridge.delivery.judge import judge
from flybridge.delivery.lane_state import Answer, LaneState
from flybridge.delivery.refusals import HALTS, LONELY, MOST, PAUSE_S, REFUSALS, close_round

REFUSED = Reject("invalid_event", "It is bad.", "Mend it.")
FORBIDDEN = Halt("forbidden", "Ask.")
NAMED = Reject("invalid_fields", "The field time is invalid.", "Mend it.", named=True)
RULES = CircuitRules(dead_share=0.0)


class Lane:
    """Sends items alone, one after the other, and remembers what the lane learns."""

    def __init__(self) -> None:
        self.state = LaneState()
        self.sent = 0

    def send(self, item: str, verdict: Verdict) -> Verdict | None:
        """Return what becomes of the item. A suspected one is settled as at the end of a round."""
        self.sent += 1
        answer = Answer(self.sent, self.sent, self.sent * 1_000, RULES, str)
        ended, _, self.state = judge([item], [verdict], self.state, answer)
        if not ended and self.state.suspects:
            ended, self.state = close_round(self.state, answer.now_ms, RULES)
        return ended[-1][1] if ended else None

    def ends(self, verdict: Verdict, *, others: bool) -> tuple[int, float]:
        """Send a bad item until it ends. Returns the answers that it took, and the sum of the pauses in seconds."""
        pauses = []
        for times in range(1, 200):
            outcome = self.send("bad", verdict)
            if isinstance(outcome, Reject):
                return times, sum(pauses)
            assert isinstance(outcome, Retry)
            assert outcome.alone
            assert not outcome.counts
            assert outcome.after_s is not None
            assert outcome.after_s <= PAUSE_S
            pauses.append(outcome.after_s)
            if others:
                self.send(f"good {times}", Accepted())
        raise AssertionError("it never ends")


def working() -> Lane:
    """Return a lane that has accepted something."""
    lane = Lane()
    lane.send("first", Accepted())
    return lane


def test_an_item_ends_after_a_few_answers_and_seconds() -> None:
    """Others in between, nothing else sent, and an answer that names the field."""
    assert working().ends(REFUSED, others=True) == (REFUSALS, 5.0)
    assert working().ends(REFUSED, others=False) == (LONELY, 20.0)
    assert working().ends(NAMED, others=True) == (1, 0.0)


def test_an_answer_about_the_lane_ends_an_item_after_more_answers_with_others_between() -> None:
    """The first time it stops the lane."""
    lane = working()
    assert isinstance(lane.send("bad", FORBIDDEN), Halt)
    assert lane.state.circuit.phase is Phase.OPEN
    lane.state = LaneState(accepted=lane.sent + 1, blamed=lane.state.blamed)  # another item was accepted in a probe
    times, pauses_s = lane.ends(FORBIDDEN, others=True)
    assert times == HALTS - 1
    assert pauses_s <= HALTS * PAUSE_S


@pytest.mark.parametrize(
    ("mistakes", "passed", "most", "most_s"),
    [(0, 0, REFUSALS, 10), (3, 300, 4, 15), (3, 20, 7, 40), (1, 1, 45, 420), (400, 100, MOST, 600)],
)
def test_a_lane_that_was_mistaken_asks_more_often_but_not_for_long(
    *, mistakes: int, passed: int, most: int, most_s: float
) -> None:
    """It used to ask twenty times, with pauses that grew to hours, for a day after one mistake."""
    lane = working()
    lane.state = LaneState(accepted=1, mistakes=mistakes, passed=passed)
    times, pauses_s = lane.ends(REFUSED, others=True)
    assert times <= most
    assert pauses_s <= most_s


@pytest.mark.parametrize("verdict", [REFUSED, FORBIDDEN])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.35, 0.5])
def test_a_lane_that_refuses_at_random_ends_nothing(share: float, verdict: Verdict) -> None:
    """Twenty lanes of three hundred items each, up to half of all answers."""
    ended = 0
    for seed in range(20):
        chance, lane = random.Random(seed), Lane()
        due = deque(f"item {number}" for number in range(300))
        while due:
            lane.state = replace(lane.state, circuit=CLOSED)
            item = due.popleft()
            outcome = lane.send(item, verdict if chance.random() < share else Accepted())
            ended += isinstance(outcome, Reject)
            if outcome is None or isinstance(outcome, Retry | Halt):
                due.insert(min(len(due), 3), item)
    assert ended == 0
