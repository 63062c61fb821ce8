"""What commands change, written to the audit trail: a row before, so that it is known to have begun, and one after."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from flybridge.cli.common import with_new_store, with_store
from flybridge.cli.printing import complain
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import FlybridgeError
from flybridge.store.trail import Deed

NAMED = 20
"""Ids that are written out."""


class Result(Struct):
    """What came of it, as a sentence with its numbers; `ok` is False if it was not done."""

    detail: str = ""
    ok: bool = True


@contextmanager
def audited(
    config: Config, action: str, target: str = "", detail: str = "", *, new: bool = False, needed: bool = True
) -> Iterator[Result]:
    """Write to the audit trail what the block does. The block says what came of it in the result.

    With `new` the store is made if it is not there; else `ConfigError` is raised, and the block is not run. Where it is
    not `needed`, as by what works on the inbox alone, a store that is away is a complaint.
    """
    opened = with_new_store if new else with_store

    def write(outcome: str, text: str) -> None:
        made = deed(action, target, text, outcome)
        try:
            opened(config, lambda store: store.record(made, SystemClock().now_ms()))
        except FlybridgeError as problem:
            if needed:
                raise
            complain(f"This is not in the audit trail: {problem}")

    write("begun", detail)
    result = Result()
    try:
        yield result
    except Exception as problem:
        write("failed", str(problem))
        raise
    write("done" if result.ok else "failed", result.detail or detail)


def deed(action: str, target: str, detail: str, outcome: str = "done") -> Deed:
    """Return a row of the audit trail for what is done on the command line."""
    return Deed(actor=f"{_user()} (command line)", action=action, outcome=outcome, target=target, detail=detail)


def listed(ids: Sequence[int]) -> str:
    """Return ids as a target."""
    return ", ".join(map(str, ids[:NAMED])) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return "unknown"
