"""What an answer means for its items and for the lane. Pure, and used by lanes and by audiences alike.

A vendor names the item it refuses, or it does not: then the answer is about the lane (an outage, a wrong key, a proxy)
or about one item that the vendor did not name. The outcome of other items distinguishes the two:

- A request that fails as a whole (no answer, a server error) is judged in `delivery.failures`.
- An item that is refused alone (a firewall, any 4xx) is judged in `delivery.refusals`.
- A request of which each item has a verdict of its own is judged in `delivery.answers`.
- A request that is refused as the lane's (a wrong key, another server) halts the lane. A probe that is answered so
  again is sent in halves, down to one item: a firewall may answer a whole request for one of its items.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from flybridge.delivery import circuit as breaker
from flybridge.delivery.answers import ALL, WINDOW, judge_items
from flybridge.delivery.batching import halve
from flybridge.delivery.circuit import Phase
from flybridge.delivery.exchange import Accepted, Halt, Reject, Split, Verdict
from flybridge.delivery.failures import judge_failure
from flybridge.delivery.lane_state import Answer, Judgement, LaneState, T, probing_fewer
from flybridge.delivery.refusals import is_doubtful, judge_refusal


def judge(items: Sequence[T], verdicts: Sequence[Verdict], state: LaneState, answer: Answer) -> Judgement[T]:
    """Return the items to be settled with their verdicts, the batches to be sent again at once, and the new state.

    A suspected item is in neither of the two until it is cleared or `refusals.close_round` is called.
    """
    if state.plain and not answer.failed and all(type(verdict) is Accepted for verdict in verdicts):
        accepted = replace(
            state,
            accepted=max(state.accepted, answer.number),
            refusals=0,
            recent=(state.recent << min(len(items), WINDOW)) & ALL,
            passed=min(state.passed + (len(items) == 1), WINDOW),
        )
        return list(zip(items, verdicts, strict=True)), [], accepted
    if answer.failed:
        return judge_failure(items, verdicts, state, answer)
    alone = len(items) == 1
    refusal = verdicts[0]
    # What is too large even alone is refused.
    if alone and isinstance(refusal, Halt | Reject | Split):
        certain = isinstance(refusal, Reject) and refusal.named
        if not certain or is_doubtful(state, answer.key(items[0])):
            return judge_refusal(items[0], refusal, state, answer)
    halt = next((verdict for verdict in verdicts if isinstance(verdict, Halt)), None)
    if halt is not None:
        return _halted(items, verdicts, halt, state, answer)
    return judge_items(items, verdicts, state, answer)


def _halted(
    items: Sequence[T], verdicts: Sequence[Verdict], halt: Halt, state: LaneState, answer: Answer
) -> Judgement[T]:
    """Judge a request that is refused as the whole lane's: the lane halts; a probe is sent again in halves."""
    if state.circuit.phase is Phase.HALF_OPEN and len(items) > 1:
        # A firewall may answer for the whole what it has against one item.
        return [], list(halve(items)), probing_fewer(state, len(items))
    circuit = breaker.halted(state.circuit, halt, answer.now_ms, answer.rules, words=answer.words)
    return list(zip(items, verdicts, strict=True)), [], replace(state, circuit=circuit)
