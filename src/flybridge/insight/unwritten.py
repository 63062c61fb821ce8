"""Whether workers can write to the store, as processes know it that write nothing there themselves.

A worker whose batch did not fit notes that, which a disk often has room for. One that can write nothing at all is
known by its report, which it would renew once a minute; and a process that only shows tries to write a few bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from flybridge.delivery.lane_reports import silent_ms
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

NOTE: Final = "unwritten"
"""One for all workers: the last that could not write counts."""

LAPSE_MS: Final = 60_000
"""How long a note counts. As long as the store does not take something, it is written anew each few seconds."""


class Unwritten(Struct, frozen=True):
    """Why a worker could not write lately, and for how long none has written: empty and 0 if all is well."""

    problem: str = ""
    silent_ms: int = 0


class _Note(Struct, frozen=True):
    at_ms: int
    problem: str


_note: Final = msgspec.json.Decoder(_Note).decode


async def note_unwritten(store: Store, problem: str, at_ms: int) -> None:
    """Note that the store did not take what a worker wrote."""
    await store.put_state(NOTE, msgspec.json.encode(_Note(at_ms, problem)))


async def read_unwritten(store: Store, now_ms: int) -> Unwritten:
    """Return whether workers can write. Those that have ended in order are not missed."""
    notes = readable(await store.states(NOTE), _note).values()
    problems = [note.problem for note in notes if abs(now_ms - note.at_ms) < LAPSE_MS]
    return Unwritten(next(iter(problems), ""), await silent_ms(store, now_ms))


def unwritten_sentence(problem: str) -> str:
    """Return what to say of a store that did not take something."""
    return f"The store can't be written, so that nothing is filed or sent: {problem}"


def silent_sentence(silent: str) -> str:
    """Return what to say of workers that write nothing, for a duration as people read it."""
    return (
        f"No worker has written to the store for {silent}, so that nothing is filed or sent: see whether one runs, "
        "what its log says, whether the store's disk has room, and whether the machines' clocks agree."
    )
