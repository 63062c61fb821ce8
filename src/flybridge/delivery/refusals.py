"""Items that are refused alone by an answer that names none: the item, or the lane? Pure.

A proxy or a firewall that refuses some of all requests answers like a vendor that refuses one item, so one such answer
ends nothing and the item is sent again after a few seconds:

- It is the item after `REFUSALS` answers if others are accepted in between (`HALTS` where the answer is one about the
  lane), or after `LONELY` where nothing else is sent.
- If items that had been refused are accepted, the lane refuses at random. How often is estimated from their answers,
  and an item ends only after so many refusals that the chance of a mistake is `CHANCE` (`UNPROVEN` while all that are
  refused may be bad). A lane that was mistaken a few times among hundreds of answers asks hardly more often.
- If `SUSPECTS` items are refused and nothing is accepted it is the lane: it halts, and all of them are kept.
- A refusal that names the item or its field needs no second answer in a lane that sends.
- In a lane that has been down for longer than `DOWN_MS` a refusal ends its item. A lane that is refused as a whole (a
  wrong key) keeps its items for ever: an operator has to act.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import ceil, log
from typing import Any, Final

from msgspec.structs import replace

from flybridge.delivery import circuit as breaker
from flybridge.delivery.answers import ALL, judge_items
from flybridge.delivery.circuit import CircuitRules, Phase
from flybridge.delivery.exchange import Halt, Reject, Retry, Split
from flybridge.delivery.lane_state import (
    DOWN_MS,
    Answer,
    Blame,
    Ended,
    Judgement,
    LaneState,
    Suspect,
    T,
    blamed,
    cleared,
)
from flybridge.delivery.words import said

SUSPECTS: Final = 3  # items refused alone, with nothing accepted since, that prove the lane itself is refused
PASSING: Final = 2  # refusals in a row before a lane no longer counts as one that accepts
REFUSALS: Final = 3  # refusals of an item alone while others are accepted, after which it ends
HALTS: Final = 9  # the same where the answer is one about the lane, which has halted it the first time
LONELY: Final = 6  # as `REFUSALS`, while nothing else is sent, which takes about 20 seconds
CHANCE: Final = 1e-5  # of ending an item by mistake, in a lane that was mistaken before
UNPROVEN: Final = 1e-3  # the same, in one that was not
MOST: Final = 60  # refusals that end an item in any lane
PAUSE_S: Final = 10.0  # the longest pause before an item is sent again

NOTHING_ACCEPTED: Final = (
    "Nothing is accepted and every item is refused. If the answer is about the request, check the address, "
    "`delivery.gzip` and any proxy on the way; if it is about the events, correct the mapping. All are kept."
)
REFUSED_REMEDY: Final = (
    "Others are accepted, so it is this item: a firewall or a proxy on the way may take its content for an attack. See "
    "with `flybridge explain` what is sent, correct the mapping or let it pass there, then replay the dead letter."
)
REFUSED_ALONE: Final = "Refused alone, {} times, while others were accepted in between: {}."


def is_doubtful(state: LaneState, key: Hashable) -> bool:
    """Whether a refused item may be the lane's fault."""
    if state.is_bad(key):
        return False
    return not state.accepted or state.refusals >= PASSING or state.circuit.phase is not Phase.CLOSED


def needed(state: LaneState, usual: int) -> int:
    """Return after how many refusals an item ends. The estimate is a cautious one where there are few answers.

    Other items that are refused may be bad, too, or the lane's mistakes as well.
    """
    others = sum(blame.refusals > 0 for blame in state.blamed.values()) - 1
    doubts = state.mistakes + max(0, others)
    if not doubts:
        return usual
    share = (doubts + 2) / (doubts + state.passed + 2)
    chance = CHANCE if state.mistakes else UNPROVEN
    return min(max(usual, ceil(log(chance) / log(share))), MOST) if share < 1 else MOST


def judge_refusal(item: T, verdict: Halt | Reject | Split, state: LaneState, answer: Answer) -> Judgement[T]:
    """Judge an item that was refused alone: it is the item, or the lane, or neither is known yet."""
    one = answer.key(item)
    halts = isinstance(verdict, Halt)
    lasting = state.circuit.phase is not Phase.CLOSED and answer.now_ms - state.circuit.since_ms >= DOWN_MS
    if lasting and not halts:
        return [(item, verdict)], [], cleared(state, {one})
    if state.is_bad(one) and isinstance(verdict, Reject) and verdict.named:
        return _end(item, verdict, state, answer)
    if state.is_bad(one):
        return _counted(item, verdict, state, answer)
    if not halts and not is_doubtful(state, one):
        state = replace(state, refusals=state.refusals + (one not in state.blamed))
        return _counted(item, verdict, state, answer)
    return _suspected(item, verdict, state, answer, one)


def _counted(item: T, verdict: Halt | Reject | Split, state: LaneState, answer: Answer) -> Judgement[T]:
    """Judge an item that is refused alone in a lane that sends. After enough such answers it ends."""
    one = answer.key(item)
    times = state.refused(one) + 1
    usual = HALTS if isinstance(verdict, Halt) else REFUSALS if state.is_bad(one) else LONELY
    # The next refusal counts as one beside others if something is accepted in between: it may be the lane's again.
    state = blamed(state, {one: Blame(answer.newest, times)})
    if times < needed(state, usual):
        return [(item, _again(verdict, times))], [], state
    if isinstance(verdict, Halt):
        verdict = Reject("refused_alone", REFUSED_ALONE.format(times, verdict.reason), REFUSED_REMEDY)
    return _end(item, verdict, state, answer)


def _again(verdict: Halt | Reject | Split, times: int) -> Retry:
    """Return the verdict for an item to be asked for again, in some seconds and at no cost: refusals are counted."""
    return Retry(verdict.reason, min(times + 1.0, PAUSE_S), counts=False, alone=True)


def _suspected(
    item: T, verdict: Halt | Reject | Split, state: LaneState, answer: Answer, one: Hashable
) -> Judgement[T]:
    """Judge an item that was refused in a lane that may be refused as a whole."""
    fresh = one not in state.blamed
    # While nothing is accepted only the first answer counts: it shows a mistake if the item is accepted later.
    before = state.refused(one)
    state = blamed(state, {one: Blame(answer.newest, max(1, before))})
    if isinstance(verdict, Reject):  # the answer is not at hand when it is settled
        verdict = replace(verdict, detail=said(verdict.detail, answer.words))
    elif isinstance(verdict, Split):
        verdict = replace(verdict, words=answer.words)
    suspects = (*state.suspects, Suspect(item, one, verdict, answer.newest, before + 1, answer.words))
    state = replace(state, suspects=suspects, refusals=state.refusals + fresh)
    if len(suspects) >= SUSPECTS or state.circuit.phase is Phase.OPEN:
        ended, state = convicted(state, answer.now_ms, answer.rules)
        return ended, [], state
    return [], [], state


def _end(item: T, verdict: Reject | Split, state: LaneState, answer: Answer) -> Judgement[T]:
    """Judge an item that is known to be bad: it says nothing more about the lane."""
    ended, again, after = judge_items([item], [verdict], state, answer)
    return ended, again, replace(after, refusals=state.refusals)


def close_round(state: LaneState, now_ms: int, rules: CircuitRules) -> tuple[Ended[Any], LaneState]:
    """Return what becomes of items that are still suspected at the end of a round of work, and the new state.

    A few refused items of a lane that sends are tried again, until each was refused `LONELY` times; else it is the
    lane.
    """
    own = not any(isinstance(one.verdict, Halt) for one in state.suspects)
    if not own or state.circuit.phase is not Phase.CLOSED or state.refusals >= SUSPECTS:
        return convicted(state, now_ms, rules)
    ended: Ended[Any] = []
    recent, most = state.recent, needed(state, LONELY)
    counts = {one.key: Blame(one.newest, one.times) for one in state.suspects}
    over = set()
    for one in state.suspects:
        if one.times >= most or (isinstance(one.verdict, Reject) and one.verdict.named):
            recent = (recent << 1 | 1) & ALL
            over.add(one.key)
            ended.append((one.item, one.verdict))
        else:
            ended.append((one.item, _again(one.verdict, one.times)))
    return ended, cleared(replace(blamed(state, counts), suspects=(), recent=recent), over)


def convicted(state: LaneState, now_ms: int, rules: CircuitRules) -> tuple[Ended[Any], LaneState]:
    """Return all suspects to be given back, and the state of a lane that is refused as a whole."""
    if not state.suspects:
        return [], state
    halts = [
        one.verdict if isinstance(one.verdict, Halt) else Halt(one.verdict.reason, NOTHING_ACCEPTED)
        for one in state.suspects
    ]
    circuit = breaker.halted(state.circuit, halts[-1], now_ms, rules, words=state.suspects[-1].words)
    ended: Ended[Any] = [(one.item, halt) for one, halt in zip(state.suspects, halts, strict=True)]
    return ended, replace(state, circuit=circuit, suspects=(), probes=0)
