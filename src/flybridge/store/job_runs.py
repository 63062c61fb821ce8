"""The last runs of each job, by schedule or by hand, kept in the store's `state`: when, with what result, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.store.protocol import Store
from flybridge.store.state_values import readable

STATE: Final = "runs "
MOST: Final = 20
"""Runs of a job that are kept, the newest."""


class JobRun(Struct, frozen=True):
    """A run of a job. `did` is what it did, with numbers, and `problem` what went wrong; either may be empty.

    `by` is who ran it by hand; empty if it ran by schedule.
    """

    began_ms: int
    ended_ms: int
    did: str = ""
    problem: str = ""
    by: str = ""


_runs: Final = msgspec.json.Decoder(list[JobRun]).decode


async def note_run(store: Store, job: str, run: JobRun) -> None:
    """Keep a run of a job, which is named by its kind and its app. Two processes at once may lose one of theirs."""
    before = (await read_runs(store, job)).get(job, ())
    await store.put_state(STATE + job, msgspec.json.encode([run, *before][:MOST]))


async def read_runs(store: Store, job: str = "") -> Mapping[str, Sequence[JobRun]]:
    """Return the kept runs of jobs whose names begin so, by job, newest first."""
    runs = readable(await store.states(STATE + job), _runs)
    return {name.removeprefix(STATE): found for name, found in runs.items()}
