"""What does not go on by itself: audiences that wait for an operator, and starts that were refused.

A start is refused because the secret is not that of the store. The refused process itself serves neither pages nor
metrics: it notes that for the processes that run. A note is taken back when its role starts with the right secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.records import HOUR_MS
from flybridge.store.audiences.records import Run
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STANDSTILL: Final = frozenset({"stopped", "held"})
"""Outcomes of a run after which an audience waits for an operator."""

RECENT_RUNS: Final = 200
"""Runs of all audiences that are looked at for the last one of each."""


def standing_still(runs: Iterable[tuple[str, str, Run]]) -> list[tuple[str, str, Run]]:
    """Return the audiences that wait for an operator: app, name, and the last run. `runs` are the newest first."""
    last: dict[tuple[str, str], Run] = {}
    for app, name, run in runs:
        last.setdefault((app, name), run)
    return [(app, name, run) for (app, name), run in sorted(last.items()) if run.outcome in STANDSTILL]


def audience_sentence(app: str, name: str, run: Run) -> str:
    """Return what has happened and what to do."""
    detail = f" {run.detail}" if run.detail else ""
    if run.outcome == "held":
        return (
            f"The audience {name} of {app} is held back: too many members would leave at once.{detail} If that is "
            f"right, run `flybridge cohorts run {name} --accept-shrink`."
        )
    return (
        f"The audience {name} of {app} has stopped.{detail} Correct the cause, then run `flybridge cohorts run {name}`."
    )


STATE: Final = "refused_start/"
RECENT_MS: Final = HOUR_MS
"""How long a refused start is worth a warning. A supervisor starts the process again long before that."""


class RefusedStart(Struct, frozen=True):
    """The last refused start of a role."""

    role: str
    at_ms: int


_refused: Final = msgspec.json.Decoder(RefusedStart).decode


async def note_refused_start(store: Store, role: str, now_ms: int) -> None:
    """Note a refused start."""
    await store.put_state(STATE + role, msgspec.json.encode(RefusedStart(role, now_ms)))


async def clear_refused_start(store: Store, role: str) -> None:
    """Take the note of a role back."""
    await store.drop_states([STATE + role])


async def read_refused_starts(store: Store, now_ms: int) -> Sequence[RefusedStart]:
    """Return the refused starts of the last hour, one for each role."""
    found = readable(await store.states(STATE), _refused).values()
    return [one for one in found if abs(now_ms - one.at_ms) < RECENT_MS]


def refused_start_sentence(one: RefusedStart) -> str:
    """Return what to say of a refused start."""
    process = "A process" if one.role == "all" else f"A process with the role {one.role}"
    return (
        f"{process} was not started, because its secret is not the one of this store: give it the same secret as the "
        "others, or put the former one into `former_secrets`."
    )
