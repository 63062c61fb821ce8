"""What commands change, written to the audit trail: a row before, so that it is known to have begun, and one after.

What a job does by schedule and a command by hand is kept as a run of that job, too.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct
from typer import Abort, Exit

from flybridge.cli.common import with_new_store, with_store
from flybridge.cli.printing import complain
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import FlybridgeError
from flybridge.store.job_runs import JobRun, note_run
from flybridge.store.protocol import Store
from flybridge.store.trail import Deed

NAMED = 20
"""Ids that are written out."""


class Result(Struct):
    """What came of it, as a sentence with its numbers; `ok` is False if it was not done."""

    detail: str = ""
    ok: bool = True


class Job(Struct, frozen=True):
    """The job that a command does by hand: its kind, and the apps that it does it for."""

    kind: str
    apps: Sequence[str]


@contextmanager
def audited(
    config: Config,
    action: str,
    target: str = "",
    detail: str = "",
    *,
    job: Job | None = None,
    new: bool = False,
    needed: bool = True,
) -> Iterator[Result]:
    """Write to the audit trail what the block does. The block says what came of it in the result.

    It is a run of `job`, too, if one is given. With `new` the store is made if it is not there; else `ConfigError` is
    raised, and the block is not run. Where it is not `needed`, as by what works on the inbox alone, a store that is
    away is a complaint; so is one that is away at the end, because what was done is not to be done again for that.
    """
    opened = with_new_store if new else with_store
    began_ms, result = SystemClock().now_ms(), Result()

    def write(outcome: str, text: str, run: JobRun | None = None) -> None:
        async def work(store: Store) -> None:
            await store.record(deed(action, target, text, outcome), SystemClock().now_ms())
            if job is not None and run is not None:
                await _note(store, job, run)

        try:
            opened(config, work)
        except FlybridgeError as problem:
            if needed and outcome == "begun":
                raise
            complain(f"This is not in the audit trail: {problem}")

    write("begun", detail)
    try:
        yield result
    except Exception as problem:
        said = _said(problem, result)
        write("failed", said, _run(began_ms, problem=said))
        raise
    said = result.detail or detail
    write("done" if result.ok else "failed", said, _run(began_ms, said) if result.ok else _run(began_ms, problem=said))


@contextmanager
def kept(config: Config, job: Job) -> Iterator[Result]:
    """Keep what the block does as a run of a job. It changes nothing that the audit trail would be asked for."""
    began_ms, result = SystemClock().now_ms(), Result()
    try:
        yield result
    except Exception as problem:
        failed = _run(began_ms, problem=_said(problem, result))
        with suppress(FlybridgeError):
            with_store(config, lambda store: _note(store, job, failed))
        raise
    done = _run(began_ms, result.detail) if result.ok else _run(began_ms, problem=result.detail)
    with_store(config, lambda store: _note(store, job, done))


async def _note(store: Store, job: Job, run: JobRun) -> None:
    for app in job.apps:
        await note_run(store, f"{job.kind} {app}", run)


def _run(began_ms: int, did: str = "", problem: str = "") -> JobRun:
    return JobRun(began_ms, SystemClock().now_ms(), did, problem, _actor())


def _said(problem: Exception, result: Result) -> str:
    """Return what went wrong. A command that has said so itself ends with an exit code, which says nothing."""
    if isinstance(problem, Abort):
        return "It was not confirmed; nothing was done."
    if isinstance(problem, Exit):
        return result.detail or "It failed; the command printed why."
    return str(problem)


def deed(action: str, target: str, detail: str, outcome: str = "done") -> Deed:
    """Return a row of the audit trail for what is done on the command line."""
    return Deed(actor=_actor(), action=action, outcome=outcome, target=target, detail=detail)


def listed(ids: Sequence[int]) -> str:
    """Return ids as a target."""
    return ", ".join(map(str, ids[:NAMED])) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")


def _actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        user = "unknown"
    return f"{user} (command line)"
