"""How a command begins and ends: the options that many share, the configuration, the loop, the printing of rows."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from flybridge.cli import inspect
from flybridge.config.settings import Config, load

T = TypeVar("T")

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration file.", envvar="FLYBRIDGE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AppName = Annotated[str | None, typer.Option("--app", help="Only this app.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest loop there is."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 - not there on Windows

    return uvloop.run(work)


@contextmanager
def cleared_away() -> Iterator[None]:
    """Let SIGTERM break the running task off as Ctrl-C does, so that what it has begun is cleared away.

    Ends with exit code 143, as a shell says of who was terminated. Asking twice hurries nothing.
    """
    loop, task, asked = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def break_off() -> None:
        if not asked.is_set():
            asked.set()
            task.cancel()

    with suppress(NotImplementedError):  # Windows knows no SIGTERM
        loop.add_signal_handler(signal.SIGTERM, break_off)
    try:
        yield
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
        sys.stderr.write("Terminated. What was begun has been cleared away.\n")
        raise typer.Exit(128 + signal.SIGTERM) from None


def configured(path: Path | None) -> Config:
    """Load the configuration."""
    return load(path, os.environ)


def show(rows: list[dict[str, Any]], title: str, nothing: str, as_json: bool) -> None:
    """Print rows, for programs or for people."""
    if as_json:
        inspect.print_json(rows)
    else:
        inspect.print_rows(title, rows, nothing)
