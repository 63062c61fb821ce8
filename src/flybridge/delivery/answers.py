"""Requests of which each item has a verdict of its own, and lanes in which too many items are refused. Pure.

If the vendor refuses more than `CircuitRules.dead_share` of the last `WINDOW` items the lane halts, and what would have
died is kept: a mistake in the mapping must not turn a day of events into dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from flybridge.delivery import circuit as breaker
from flybridge.delivery.batching import halve
from flybridge.delivery.circuit import Phase
from flybridge.delivery.exchange import Accepted, Halt, Reject, Retry, Split, Verdict
from flybridge.delivery.lane_state import Answer, Ended, Judgement, LaneState, T, cleared, probing_fewer, widened

WINDOW: Final = 100
ALL: Final = (1 << WINDOW) - 1
FADING: Final = 1 - 1 / 256  # of `LaneState.mistakes` and `passed`, with each request that is accepted
FORGOTTEN: Final = 0.01  # mistakes that count as none

DEAD_RATE: Final = (
    "The vendor refuses too many items (`delivery.dead_share`); the others are kept. See `flybridge dead` for the "
    "reason, correct the cause, then `flybridge lanes retry`. Else sending is tried again each hour."
)


def judge_items(items: Sequence[T], verdicts: Sequence[Verdict], state: LaneState, answer: Answer) -> Judgement[T]:
    """Judge a request of which each item has a verdict of its own."""
    ended: Ended[T] = []
    again: list[Sequence[T]] = []
    large: list[T] = []
    kept = Halt("dead_rate", DEAD_RATE, 3600.0)
    refusal = Reject if len(items) > 1 else (Reject, Split)
    refused = sum(isinstance(verdict, refusal) for verdict in verdicts)
    share = answer.rules.dead_share
    bounded = share > 0 and not (len(items) >= WINDOW and refused <= share * len(items))
    most, recent, stopped = max(1, int(share * WINDOW)), state.recent, False
    for item, verdict in zip(items, verdicts, strict=True):
        if isinstance(verdict, Split) and len(items) > 1:
            large.append(item)
            continue
        if isinstance(verdict, refusal) and bounded and recent.bit_count() >= most:
            stopped = True
            ended.append((item, kept))
            continue
        recent = (recent << 1 | isinstance(verdict, refusal)) & ALL
        ended.append((item, verdict))
    if large:
        again += halve(large) if len(large) > 1 else [large]
        if state.circuit.phase is Phase.HALF_OPEN:
            state = probing_fewer(state, len(items))
    accepted = any(isinstance(verdict, Accepted) for verdict in verdicts)
    # That a request is too large, or one item is bad, says nothing about the lane.
    if accepted or (not (len(items) == 1 and refused) and not all(isinstance(verdict, Split) for verdict in verdicts)):
        state = replace(state, circuit=breaker.succeeded(state.circuit), probes=0)
    state = replace(state, recent=recent, refusals=state.refusals + (refused if len(items) == 1 else 0))
    if accepted:
        again += [[one.item] for one in state.suspects if one.newest < answer.number]
        state = replace(
            _learned(widened(state, len(items)), items, answer),
            accepted=max(state.accepted, answer.number),
            refusals=0,
            suspects=tuple(one for one in state.suspects if one.newest >= answer.number),
        )
    if state.blamed:
        over = state.blamed.keys() & {
            answer.key(item) for item, verdict in ended if not isinstance(verdict, Retry | Halt)
        }
        if over:
            state = cleared(state, over)
    if stopped:
        circuit = breaker.halted(state.circuit, kept, answer.now_ms, answer.rules, words=answer.words)
        state = replace(state, circuit=circuit)
    return ended, again, state


def _learned(state: LaneState, items: Sequence[T], answer: Answer) -> LaneState:
    """Return the state after something was accepted: what was refused before was refused by mistake."""
    passed, mistakes = state.passed * FADING, state.mistakes * FADING
    if len(items) == 1:
        passed, mistakes = passed + 1, mistakes + state.refused(answer.key(items[0]))
    return replace(state, passed=passed, mistakes=mistakes if mistakes > FORGOTTEN else 0.0)
