"""What is known of a lane and its items between answers: plain values, changed by `delivery.judge` alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from flybridge.delivery.circuit import CLOSED, Circuit, CircuitRules
from flybridge.delivery.exchange import Halt, Reject, Split, Verdict
from flybridge.records import DAY_MS

PATIENCE: Final = 64  # the most full requests that are accepted before the limit is raised again
NO_LIMIT: Final = 2_000  # no endpoint takes more items than this
REMEMBERED: Final = 10_000  # items that failed, over all rounds of work
DOWN_MS: Final = 8 * DAY_MS  # the reasons are in docs/adr/0016-when-items-end.md

T = TypeVar("T")
Ended = list[tuple[T, Verdict]]
Judgement = tuple[Ended[T], list[Sequence[T]], "LaneState"]


class Answer(Struct, frozen=True):
    """What is needed to know of a request beside its items and verdicts.

    `number` is the request's in the lane's sequence and `newest` the last one given out. `failed` is true where the
    request as a whole failed, `status` is 0 where there was no answer. `words` is what the vendor said.
    An item is remembered by its `key`.
    """

    number: int
    newest: int
    now_ms: int
    rules: CircuitRules
    key: Callable[[Any], Hashable]
    failed: bool = False
    status: int = 200
    words: str = ""


class Blame(Struct, frozen=True):
    """An item that was in a failed request or refused alone: the lane's newest request then, and its refusals."""

    newest: int
    refusals: int = 0


class Suspect(Struct, frozen=True):
    """An item that was refused alone, how, the newest request of the lane at that time, and how often by now."""

    item: Any
    key: Hashable
    verdict: Halt | Reject | Split
    newest: int
    times: int
    words: str = ""


class LaneState(Struct, frozen=True):
    """The state of one lane.

    `limit` is the most items in a request, 0 for the endpoint's own limit. `blamed` has the items that failed or were
    refused; `accepted` is the newest request of which something was accepted. `refusals` counts items refused alone
    since then. `recent` has a bit for each of the last items that ended, 1 for a refused one. Of the items that were
    sent alone and accepted, `passed` counts the answers that accepted them and `mistakes` those that had refused them
    before; both fade.
    """

    circuit: Circuit = CLOSED
    limit: int = 0
    fits: int = 0
    patience: int = 1
    probes: int = 0
    blamed: Mapping[Hashable, Blame] = {}
    suspects: tuple[Suspect, ...] = ()
    accepted: int = 0
    refusals: int = 0
    recent: int = 0
    passed: float = 0.0
    mistakes: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether nothing is known against the lane or an item."""
        return self.circuit is CLOSED and not (self.limit or self.blamed or self.suspects or self.mistakes)

    def is_bad(self, key: Hashable) -> bool:
        """Whether the item failed before something was accepted."""
        blame = self.blamed.get(key)
        return blame is not None and blame.newest < self.accepted

    def refused(self, key: Hashable) -> int:
        """How often the item was refused alone."""
        blame = self.blamed.get(key)
        return blame.refusals if blame is not None else 0


def blamed(state: LaneState, blames: Mapping[Hashable, Blame]) -> LaneState:
    """Return the state with these blames. The oldest are forgotten when there are too many."""
    after = {**state.blamed, **blames}
    while len(after) > REMEMBERED:
        del after[next(iter(after))]
    return replace(state, blamed=after)


def cleared(state: LaneState, over: Set[Hashable]) -> LaneState:
    """Return the state without items that have ended."""
    return replace(state, blamed={one: blame for one, blame in state.blamed.items() if one not in over})


def narrowed(state: LaneState, n: int, *, first: bool) -> LaneState:
    """Return the state with a limit of half of what failed. The first failure of a lane without a limit sets none."""
    if not state.limit and first:
        return state
    half = max(1, n // 2)
    if state.limit and half >= state.limit:
        return state
    return replace(state, limit=half, fits=0, patience=min(2 * state.patience, PATIENCE))


def probing_fewer(state: LaneState, n: int) -> LaneState:
    """Return the state with a limit of half of what a probe held. It is not about size, and rises soon."""
    return replace(narrowed(state, n, first=False), patience=state.patience)


def widened(state: LaneState, n: int) -> LaneState:
    """Return the state after a request of `n` items was accepted: a limit that holds is tried with twice as many."""
    if not state.limit or n < state.limit:
        return state
    if state.fits + 1 < state.patience:
        return replace(state, fits=state.fits + 1)
    if state.limit * 2 >= NO_LIMIT:
        return replace(state, limit=0, fits=0, patience=1)
    return replace(state, limit=state.limit * 2, fits=0)
