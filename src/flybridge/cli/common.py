"""What commands share: options, the configuration, the event loop, and the backends that they work on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from flybridge.cli.printing import complain
from flybridge.config.settings import Config, load
from flybridge.errors import ConfigError
from flybridge.system.running import run

if TYPE_CHECKING:
    from flybridge.inbox.protocol import Inbox
    from flybridge.store.protocol import Store

B = TypeVar("B")
T = TypeVar("T")


def _given(context: typer.Context, path: Path | None) -> Path | None:
    # A command of a group takes the file that the group was given, unless it is given another one.
    chosen: Path | None = path or context.obj
    context.obj = chosen
    return chosen


ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file.", envvar="FLYBRIDGE_CONFIG", callback=_given),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AppName = Annotated[str | None, typer.Option("--app", help="Only this app.")]
OneApp = Annotated[str | None, typer.Option("--app", help="The app, if there are several.")]
LARGEST: Final = 2**63 - 1
"""No row of either store has a greater number, and neither takes one as a parameter."""


def _held(number: int) -> int:
    # Not as an upper limit of the option: its help would show the nineteen digits.
    if number > LARGEST:
        raise typer.BadParameter(f"{number} is more than any store holds.")
    return number


Limit = Annotated[int, typer.Option("--limit", min=1, callback=_held, help="The most that are shown.")]


@contextmanager
def cleared_away() -> Iterator[None]:
    """Cancel the running task on SIGTERM, as Ctrl-C does, so that it cleans up.

    Exits with code 143, as a shell reports a terminated process. A second SIGTERM changes nothing.
    """
    loop, task, asked = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def break_off() -> None:
        if not asked.is_set():
            asked.set()
            task.cancel()

    with suppress(NotImplementedError):  # Windows has no SIGTERM
        loop.add_signal_handler(signal.SIGTERM, break_off)
    try:
        yield
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
        sys.stderr.write("Terminated. Everything that was started has been removed.\n")
        raise typer.Exit(128 + signal.SIGTERM) from None


def configured(path: Path | None, app: str | None = None) -> Config:
    """Load the configuration. Raises `ConfigError` if it does not have the app that was named."""
    config = load(path, os.environ)
    if app is not None and config.app(app) is None:
        known = ", ".join(one.name for one in config.apps)
        raise ConfigError("--app", f"there is no app {app!r}.", f"Name one of {known}.")
    return config


@contextmanager
def of_options() -> Iterator[None]:
    """Raise what is wrong with a question of a query string as what is wrong with the option of the same name."""
    try:
        yield
    except ConfigError as problem:
        raise ConfigError(f"--{problem.path}", problem.problem, problem.remedy) from None


def confirmed(question: str) -> bool:
    """Ask a question. Raises `ConfigError` where no terminal can answer it."""
    try:
        return typer.confirm(question, default=False)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo()  # the question has left its line open
        problem = "there is no terminal to ask, and nothing was done."
        raise ConfigError("--yes", problem, "With it there is no question.") from None


def within(context: AbstractAsyncContextManager[B], work: Callable[[B], Awaitable[T]]) -> T:
    """Run `work` on what is open within a context, such as a backend of `service.backends`."""

    async def opened() -> T:
        async with context as backend:
            return await work(backend)

    return run(opened())


def with_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run `work` on the store. Raises `ConfigError` if the data directory holds none: there is nothing to look at."""
    _needs(config, "store")
    return with_new_store(config, work)


def with_new_store(config: Config, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run `work` on the store, which is made if it is not there."""
    from flybridge.service.backends import opened_store  # noqa: PLC0415 - only when a store is opened

    return within(opened_store(config), work)


def with_both(config: Config, work: Callable[[Inbox, Store], Awaitable[T]]) -> T:
    """Run `work` on inbox and store. Raises `ConfigError` if the data directory holds none."""
    from flybridge.service.backends import opened  # noqa: PLC0415 - only when they are opened

    _needs(config, "inbox", "store")
    return within(opened(config), lambda both: work(*both))


async def in_turn(
    config: Config, store: Store, job: str, app: str, work: Callable[[], Coroutine[Any, Any, T]], *, part: str = ""
) -> T:
    """Do what a job of an app does by schedule, once no other process does it: a vendor's quota is of all of them."""
    from flybridge.operations.schedule import ScheduledJob, run_by_hand  # noqa: PLC0415 - of few commands
    from flybridge.service.backends import shared_clock  # noqa: PLC0415

    def waits() -> None:
        complain(
            f"Another process does this for {app} at this moment: waiting until it has ended. One that was killed "
            "keeps others waiting for a minute."
        )

    return await run_by_hand(ScheduledJob(f"{job} {app}", 0, part), store, await shared_clock(config), work, waits)


def _needs(config: Config, *names: str) -> None:
    if config.cluster is None and not any((config.data_dir / f"{name}.db").exists() for name in names):
        raise ConfigError(
            "data_dir",
            f"there is no {' and no '.join(names)} in {config.data_dir}.",
            "Name the configuration of a bridge that has run, or start it with `flybridge serve`.",
        )
