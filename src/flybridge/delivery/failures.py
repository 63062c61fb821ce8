"""Requests that fail as a whole: an outage, a size that is cut, or one item that makes the vendor fail. Pure.

- The first time the items of such a request are sent again later, at no cost. A request with an item that failed before
  is halved and sent again at once, down to one item. After the second failure in a row requests carry half as many
  items (`LaneState.limit`), down to one; what is accepted raises the limit again. So the limit of a proxy is found, and
  an item that makes the vendor fail ends up alone.
- A rate that is exceeded is not about the items, until nothing has passed for `THROTTLED_MS`. Then the next requests
  carry half as many, and never at once.
- An item that fails alone pays a try while the lane sends. While the lane is down it does not, unless it is known to be
  bad: it failed, something that was sent later was accepted, and it fails again. Items that are known to be bad say
  nothing about the lane, so they don't stop it.
- A probe of a lane is up to `PROBES` single items, in the order in which they are due, so that bad items at the head of
  the queue don't hold up the others; `REPEATS` that failed before.
- A lane that answers with failures for longer than `DOWN_MS` lets single items pay tries, so that a lane which holds
  nothing but bad items ends them, too. Before that they can't be distinguished from an outage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from flybridge.delivery import circuit as breaker
from flybridge.delivery.batching import halve
from flybridge.delivery.circuit import Circuit, Phase
from flybridge.delivery.exchange import Retry, Verdict
from flybridge.delivery.lane_state import DOWN_MS, Answer, Blame, Judgement, LaneState, T, blamed, narrowed

PROBES: Final = 16  # single items that may fail in one probe of a lane
REPEATS: Final = 4  # the same, of items that failed before
THROTTLED_MS: Final = 600_000  # after nothing but 429 for so long an item may be the cause


def judge_failure(items: Sequence[T], verdicts: Sequence[Verdict], state: LaneState, answer: Answer) -> Judgement[T]:
    """Judge a request that failed as a whole."""
    retries = [verdict for verdict in verdicts if isinstance(verdict, Retry)]
    before, reason, now_ms = state.circuit, retries[0].reason, answer.now_ms
    keys = [answer.key(item) for item in items]
    known = any(one in state.blamed for one in keys)
    throttled = answer.status == 429
    # A connection that was refused has nothing to do with the content; nor has a rate that was exceeded, if requests
    # pass sooner or later.
    stalled = before.phase is not Phase.CLOSED and now_ms - before.since_ms >= THROTTLED_MS
    content = retries[0].counts and (not throttled or known or stalled)
    if content:
        state = blamed(state, {one: Blame(answer.number) for one in keys if one not in state.blamed})
    if len(items) == 1:
        bad = content and state.is_bad(keys[0])
        circuit, probes = _after_single(state, retries[0], answer, bad=bad, content=content, fresh=not known)
        down = before.phase is not Phase.CLOSED
        lasting = content and down and now_ms - before.since_ms >= DOWN_MS
        pays = retries[0].counts and (not down or bad or lasting)
        # An outage must not end an item that has few tries: only what fails while others pass.
        retry = replace(retries[0], counts=pays, most_tries=retries[0].most_tries if bad else 0)
        return [(items[0], retry)], [], replace(state, circuit=circuit, probes=probes)
    circuit = breaker.failed(before, reason, now_ms, answer.rules, words=answer.words)
    state = replace(state, circuit=circuit, probes=0)
    if content:
        state = narrowed(state, len(items), first=circuit.failures < 2)
        if known and circuit.phase is Phase.CLOSED and not throttled:
            return [], list(halve(items)), state
    return [(item, replace(retry, counts=False)) for item, retry in zip(items, retries, strict=True)], [], state


def _after_single(
    state: LaneState, retry: Retry, answer: Answer, *, bad: bool, content: bool, fresh: bool
) -> tuple[Circuit, int]:
    """Return the circuit, and the single items that failed in this probe, after a single item failed.

    `content` means that the item may be the cause, `fresh` that it did not fail before.
    """
    circuit = state.circuit
    if bad:
        return circuit, state.probes
    lasting = answer.now_ms - circuit.since_ms >= DOWN_MS
    most = min(2 ** min(circuit.opens, 8), PROBES if fresh or lasting else REPEATS)
    if content and circuit.phase is Phase.HALF_OPEN and state.probes + 1 < most:
        return circuit, state.probes + 1
    return breaker.failed(circuit, retry.reason, answer.now_ms, answer.rules, words=answer.words), 0
