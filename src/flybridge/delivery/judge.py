"""What an answer means for its items and for the lane. Pure, and used by lanes and by audiences alike.

A vendor names the item it refuses, or it does not: then the answer is about the lane (an outage, a wrong key, a proxy)
or about one item that the vendor did not name. The outcome of other items distinguishes the two:

- **A request fails as a whole** (no answer, a server error). The first time its items are sent again later, at no
  cost. A request with an item that failed before is halved and sent again at once, down to one item. After the second
  failure in a row requests carry half as many items (`LaneState.limit`), down to one; what is accepted raises the limit
  again. So the limit of a proxy is found, and an item that makes the vendor fail ends up alone.
- **An item fails alone.** While the lane sends it pays a try. While the lane is down it does not, unless it is known to
  be bad: it failed, something that was sent later was accepted, and it fails again. Items that are known to be bad say
  nothing about the lane, so they don't stop it. A probe of a lane is up to `PROBES` single items, in the order in which
  they are due, so that bad items at the head of the queue don't hold up the others; `REPEATS` that failed before.
- **An item is refused alone** (a firewall, any 4xx). A proxy that refuses some requests answers like that, so the item
  is sent again: it is the item after `REFUSALS` answers between which others were accepted (`HALTS` where the answer is
  one about the lane), or after `LONELY` where nothing else is sent. An item that is accepted at last shows that the
  lane refuses at random, and for a day it takes `DOUBTFUL_REFUSALS`. If `SUSPECTS` items are refused and nothing is
  accepted it is the lane: it halts, and all of them are kept. A refusal that names the item or its field needs no
  second answer in a lane that sends.
- **A request is refused as the lane's** (a wrong key, another server). The lane halts. A probe that is answered so
  again is sent in halves, down to one item: a firewall may answer a whole request for one of its items.
- **Too many die.** If the vendor refuses more than `CircuitRules.dead_share` of the last `WINDOW` items the lane halts,
  and what would have died is kept: a mistake in the mapping must not turn a day of events into dead letters.

A lane that answers with failures for longer than `DOWN_MS` lets single items pay tries, so that a lane which holds
nothing but bad items ends them, too. Before that they can't be distinguished from an outage. A lane that is refused
(a wrong key) keeps its items for ever: an operator has to act.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from flybridge.delivery import circuit as breaker
from flybridge.delivery.batching import halve
from flybridge.delivery.circuit import CLOSED, Circuit, CircuitRules, Phase
from flybridge.delivery.exchange import Accepted, Halt, Reject, Retry, Split, Verdict
from flybridge.delivery.words import said
from flybridge.records import DAY_MS

SUSPECTS: Final = 3  # items refused alone, with nothing accepted since, that prove the lane itself is refused
PASSING: Final = 2  # refusals in a row before a lane no longer counts as one that accepts
PROBES: Final = 16  # single items that may fail in one probe of a lane
REPEATS: Final = 4  # the same, of items that failed before
PATIENCE: Final = 64  # the most full requests that are accepted before the limit is raised again
NO_LIMIT: Final = 2_000  # no endpoint takes more items than this
REMEMBERED: Final = 10_000  # items that failed, over all rounds of work
WINDOW: Final = 100
REFUSALS: Final = 3  # refusals of an item alone while others are accepted, after which it ends
HALTS: Final = 8  # the same where the answer is one about the lane
LONELY: Final = 6  # as `REFUSALS`, while nothing else is sent, which takes about a minute
DOUBTFUL_REFUSALS: Final = 20  # as both, in a lane that accepted items which it had refused alone
MISTAKEN_MS: Final = DAY_MS
DOWN_MS: Final = 8 * DAY_MS  # the reasons are in docs/adr/0016-when-items-end.md

_ALL: Final = (1 << WINDOW) - 1

NOTHING_ACCEPTED: Final = (
    "Nothing is accepted and every item is refused. If the answer is about the request, check the address, "
    "`delivery.gzip` and any proxy on the way; if it is about the events, correct the mapping. All are kept."
)
DEAD_RATE: Final = (
    "The vendor refuses too many items (`delivery.dead_share`); the others are kept. See `flybridge dead` for the "
    "reason, correct the cause, then `flybridge lanes retry`. Else sending is tried again each hour."
)

REFUSED_ALONE: Final = "Refused alone, {} times, while others were accepted in between: {}."

T = TypeVar("T")


class Answer(Struct, frozen=True):
    """What `judge` needs to know of a request beside its items and verdicts.

    `number` is the request's in the lane's sequence and `newest` the last one given out. `failed` is true where the
    request as a whole failed, `status` is 0 where there was no answer. `words` is what the vendor said.
    """

    number: int
    newest: int
    now_ms: int
    rules: CircuitRules
    failed: bool = False
    status: int = 200
    words: str = ""


class Suspect(Struct, frozen=True):
    """An item that was refused alone, how, and the newest request of the lane at that time."""

    item: Any
    key: Hashable
    verdict: Halt | Reject | Split
    newest: int
    words: str = ""


class LaneState(Struct, frozen=True):
    """The state of one lane.

    `limit` is the most items in a request, 0 for the endpoint's own limit. `blamed` has the items that were in a failed
    request or refused alone, with the newest request at that time; `accepted` is the newest request of which something
    was accepted. `refusals` counts items refused alone since then. `recent` has a bit for each of the last items that
    ended, 1 for a refused one. `doubted` has the items that were refused alone, and how often while others were
    accepted; `lonely` how often with nothing accepted in between. `mistaken_ms` is when one of the doubted was
    accepted: such refusals have reasons of the lane's own.
    """

    circuit: Circuit = CLOSED
    limit: int = 0
    fits: int = 0
    patience: int = 1
    probes: int = 0
    blamed: Mapping[Hashable, int] = {}
    suspects: tuple[Suspect, ...] = ()
    accepted: int = 0
    refusals: int = 0
    recent: int = 0
    doubted: Mapping[Hashable, int] = {}
    lonely: Mapping[Hashable, int] = {}
    mistaken_ms: int = 0

    @property
    def plain(self) -> bool:
        """Whether nothing is known against the lane or an item."""
        return self.circuit is CLOSED and not (self.limit or self.blamed or self.suspects)

    def is_bad(self, key: Hashable) -> bool:
        """Whether the item failed before something was accepted."""
        return self.blamed.get(key, self.accepted) < self.accepted


Ended = list[tuple[T, Verdict]]
Judgement = tuple[Ended[T], list[Sequence[T]], LaneState]


def judge(
    items: Sequence[T],
    verdicts: Sequence[Verdict],
    state: LaneState,
    answer: Answer,
    key: Callable[[T], Hashable],
) -> Judgement[T]:
    """Return the items to be settled with their verdicts, the batches to be sent again at once, and the new state.

    A suspected item is in neither of the two until it is cleared or `close_round` is called.
    """
    if state.plain and not answer.failed and all(type(verdict) is Accepted for verdict in verdicts):
        accepted = replace(
            state,
            accepted=max(state.accepted, answer.number),
            refusals=0,
            recent=(state.recent << min(len(items), WINDOW)) & _ALL,
        )
        return list(zip(items, verdicts, strict=True)), [], accepted
    if answer.failed:
        return _failed(items, verdicts, state, answer, key)
    alone = len(items) == 1
    refusal = verdicts[0]
    # What is too large even alone is refused.
    if alone and isinstance(refusal, Halt | Reject | Split):
        certain = isinstance(refusal, Reject) and refusal.named
        if not certain or _is_doubtful(state, key(items[0])):
            return _suspect(items[0], refusal, state, answer, key)
    halt = next((verdict for verdict in verdicts if isinstance(verdict, Halt)), None)
    if halt is not None:
        return _halted(items, verdicts, halt, state, answer)
    return _answered(items, verdicts, state, answer, key)


def _halted(
    items: Sequence[T], verdicts: Sequence[Verdict], halt: Halt, state: LaneState, answer: Answer
) -> Judgement[T]:
    """Judge a request that is refused as the whole lane's: the lane halts; a probe is sent again in halves."""
    if state.circuit.phase is Phase.HALF_OPEN and len(items) > 1:
        # A firewall may answer for the whole what it has against one item.
        return [], list(halve(items)), _probing_fewer(state, len(items))
    circuit = breaker.halted(state.circuit, halt, answer.now_ms, answer.rules, words=answer.words)
    return list(zip(items, verdicts, strict=True)), [], replace(state, circuit=circuit)


def _is_doubtful(state: LaneState, key: Hashable) -> bool:
    """Whether a refused item may be the lane's fault."""
    if state.is_bad(key):
        return False
    return not state.accepted or state.refusals >= PASSING or state.circuit.phase is not Phase.CLOSED


def _failed(
    items: Sequence[T],
    verdicts: Sequence[Verdict],
    state: LaneState,
    answer: Answer,
    key: Callable[[T], Hashable],
) -> Judgement[T]:
    """Judge a request that failed as a whole."""
    retries = [verdict for verdict in verdicts if isinstance(verdict, Retry)]
    before, reason, now_ms = state.circuit, retries[0].reason, answer.now_ms
    # A connection that was refused, or a rate that was exceeded, has nothing to do with the content.
    content = retries[0].counts and answer.status != 429
    keys = [key(item) for item in items]
    known = any(one in state.blamed for one in keys)
    if content:
        state = _blame(state, keys, answer.number)
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
        state = _narrowed(state, len(items), first=circuit.failures < 2)
        if known and circuit.phase is Phase.CLOSED:
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


def _blame(state: LaneState, keys: Sequence[Hashable], newest: int) -> LaneState:
    blamed = dict(state.blamed)
    for one in keys:
        blamed.setdefault(one, newest)
    while len(blamed) > REMEMBERED:
        del blamed[next(iter(blamed))]
    return replace(state, blamed=blamed)


def _narrowed(state: LaneState, n: int, *, first: bool) -> LaneState:
    """Return the state with a limit of half of what failed. The first failure of a lane without a limit sets none."""
    if not state.limit and first:
        return state
    half = max(1, n // 2)
    if state.limit and half >= state.limit:
        return state
    return replace(state, limit=half, fits=0, patience=min(2 * state.patience, PATIENCE))


def _probing_fewer(state: LaneState, n: int) -> LaneState:
    """Return the state with a limit of half of what a probe held. It is not about size, and rises soon."""
    return replace(_narrowed(state, n, first=False), patience=state.patience)


def _widened(state: LaneState, n: int) -> LaneState:
    """Return the state after a request of `n` items was accepted: a limit that holds is tried with twice as many."""
    if not state.limit or n < state.limit:
        return state
    if state.fits + 1 < state.patience:
        return replace(state, fits=state.fits + 1)
    if state.limit * 2 >= NO_LIMIT:
        return replace(state, limit=0, fits=0, patience=1)
    return replace(state, limit=state.limit * 2, fits=0)


def _suspect(
    item: T,
    verdict: Halt | Reject | Split,
    state: LaneState,
    answer: Answer,
    key: Callable[[T], Hashable],
) -> Judgement[T]:
    """Judge an item that was refused alone: it is the item, or the lane, or neither is known yet."""
    one = key(item)
    lasting = state.circuit.phase is not Phase.CLOSED and answer.now_ms - state.circuit.since_ms >= DOWN_MS
    if lasting and not isinstance(verdict, Halt):
        return [(item, verdict)], [], _cleared(state, {one})
    if state.is_bad(one) and isinstance(verdict, Reject) and verdict.named:
        return _end(item, verdict, state, answer, key)
    if state.is_bad(one):
        return _refused_again(item, verdict, state, answer, key)
    fresh = one not in state.blamed
    if not isinstance(verdict, Halt) and not _is_doubtful(state, one):
        if not fresh:
            return _refused_lonely(item, verdict, state, answer, key)
        state = replace(_blame(state, [one], answer.newest), refusals=state.refusals + 1)
        return [(item, Retry(verdict.reason, alone=True))], [], _doubting(state, one, 1)
    state = _blame(state, [one], answer.newest)
    if isinstance(verdict, Halt):
        state = _doubting(state, one, state.doubted.get(one, 0))
    if isinstance(verdict, Reject):  # the answer is not at hand when it is settled
        verdict = replace(verdict, detail=said(verdict.detail, answer.words))
    elif isinstance(verdict, Split):
        verdict = replace(verdict, words=answer.words)
    suspects = (*state.suspects, Suspect(item, one, verdict, answer.newest, answer.words))
    state = replace(state, suspects=suspects, refusals=state.refusals + fresh)
    if len(suspects) >= SUSPECTS or state.circuit.phase is Phase.OPEN:
        ended, state = convicted(state, answer.now_ms, answer.rules)
        return ended, [], state
    return [], [], state


def _refused_again(
    item: T,
    verdict: Halt | Reject | Split,
    state: LaneState,
    answer: Answer,
    key: Callable[[T], Hashable],
) -> Judgement[T]:
    """Judge an item that is refused alone while others are accepted. After enough such answers it ends."""
    one = key(item)
    times = state.doubted.get(one, 0) + 1
    # The next refusal counts if something is accepted in between: it may be the lane's again.
    state = _doubting(replace(state, blamed={**state.blamed, one: answer.newest}), one, times)
    mistaken = state.mistaken_ms and answer.now_ms - state.mistaken_ms < MISTAKEN_MS
    usual = HALTS if isinstance(verdict, Halt) else REFUSALS
    if times < (DOUBTFUL_REFUSALS if mistaken else usual):
        return [(item, Retry(verdict.reason, alone=True))], [], state
    if isinstance(verdict, Halt):
        detail = said(REFUSED_ALONE.format(times, verdict.reason), answer.words)
        verdict = Reject("refused_alone", detail, verdict.remedy)
    return _end(item, verdict, state, answer, key)


def _refused_lonely(
    item: T,
    verdict: Reject | Split,
    state: LaneState,
    answer: Answer,
    key: Callable[[T], Hashable],
) -> Judgement[T]:
    """Judge an item that is refused alone again with nothing accepted in between, in a lane that sent lately."""
    one = key(item)
    times = state.lonely.get(one, 1) + 1
    if times >= LONELY:
        return _end(item, verdict, state, answer, key)
    return [(item, Retry(verdict.reason, alone=True))], [], replace(state, lonely={**state.lonely, one: times})


def _end(
    item: T, verdict: Reject | Split, state: LaneState, answer: Answer, key: Callable[[T], Hashable]
) -> Judgement[T]:
    """Judge an item that is known to be bad: it says nothing more about the lane."""
    ended, again, after = _answered([item], [verdict], state, answer, key)
    return ended, again, replace(after, refusals=state.refusals)


def _doubting(state: LaneState, one: Hashable, times: int) -> LaneState:
    if one not in state.doubted and len(state.doubted) >= REMEMBERED:
        return state
    return replace(state, doubted={**state.doubted, one: times})


def _cleared(state: LaneState, over: Set[Hashable]) -> LaneState:
    """Return the state without items that have ended."""
    return replace(
        state,
        blamed={one: n for one, n in state.blamed.items() if one not in over},
        doubted={one: n for one, n in state.doubted.items() if one not in over},
        lonely={one: n for one, n in state.lonely.items() if one not in over},
    )


def close_round(state: LaneState, now_ms: int, rules: CircuitRules) -> tuple[Ended[Any], LaneState]:
    """Return what becomes of items that are still suspected at the end of a round of work, and the new state.

    A few refused items of a lane that sends are tried again, until each was refused `LONELY` times; else it is the
    lane.
    """
    own = not any(isinstance(one.verdict, Halt) for one in state.suspects)
    if not own or state.circuit.phase is not Phase.CLOSED or state.refusals >= SUSPECTS:
        return convicted(state, now_ms, rules)
    ended: Ended[Any] = []
    recent, lonely = state.recent, dict(state.lonely)
    for one in state.suspects:
        lonely[one.key] = lonely.get(one.key, 0) + 1
        if lonely[one.key] >= LONELY or (isinstance(one.verdict, Reject) and one.verdict.named):
            recent = (recent << 1 | 1) & _ALL
            ended.append((one.item, one.verdict))
        else:
            ended.append((one.item, Retry(one.verdict.reason, alone=True)))
    over = {one.key for one, (_, verdict) in zip(state.suspects, ended, strict=True) if not isinstance(verdict, Retry)}
    return ended, _cleared(replace(state, suspects=(), recent=recent, lonely=lonely), over)


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


def _answered(
    items: Sequence[T],
    verdicts: Sequence[Verdict],
    state: LaneState,
    answer: Answer,
    key: Callable[[T], Hashable],
) -> Judgement[T]:
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
        recent = (recent << 1 | isinstance(verdict, refusal)) & _ALL
        ended.append((item, verdict))
    if large:
        again += halve(large) if len(large) > 1 else [large]
        if state.circuit.phase is Phase.HALF_OPEN:
            state = _probing_fewer(state, len(items))
    accepted = any(isinstance(verdict, Accepted) for verdict in verdicts)
    # That a request is too large, or one item is bad, says nothing about the lane.
    if accepted or (not (len(items) == 1 and refused) and not all(isinstance(verdict, Split) for verdict in verdicts)):
        state = replace(state, circuit=breaker.succeeded(state.circuit), probes=0)
    state = replace(state, recent=recent, refusals=state.refusals + (refused if len(items) == 1 else 0))
    if accepted:
        again += [[one.item] for one in state.suspects if one.newest < answer.number]
        state = replace(
            _widened(state, len(items)),
            accepted=max(state.accepted, answer.number),
            refusals=0,
            lonely={},
            suspects=tuple(one for one in state.suspects if one.newest >= answer.number),
        )
    if state.blamed:
        over = state.blamed.keys() & {key(item) for item, verdict in ended if not isinstance(verdict, Retry | Halt)}
        if over:
            passed = {key(item) for item, verdict in ended if isinstance(verdict, Accepted)}
            mistaken_ms = state.mistaken_ms if state.doubted.keys().isdisjoint(passed) else answer.now_ms
            state = replace(_cleared(state, over), mistaken_ms=mistaken_ms)
    if stopped:
        circuit = breaker.halted(state.circuit, kept, answer.now_ms, answer.rules, words=answer.words)
        state = replace(state, circuit=circuit)
    return ended, again, state
