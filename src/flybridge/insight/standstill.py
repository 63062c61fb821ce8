"""What to say of an audience that does not go on by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flybridge.store.audiences.records import Run

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
