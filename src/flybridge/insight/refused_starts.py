"""Starts that were refused because the secret is not that of the store, noted for the processes that run.

The refused process itself serves neither pages nor metrics. A note is taken back when its role starts with the right
secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.records import HOUR_MS
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

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
