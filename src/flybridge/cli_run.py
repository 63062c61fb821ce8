"""How a command begins and ends: the options that many share, the configuration, the loop, the printing of rows."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from flybridge import cli_look
from flybridge.config import Config, load

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


def configured(path: Path | None) -> Config:
    """Load the configuration."""
    return load(path, os.environ)


def show(rows: list[dict[str, Any]], title: str, nothing: str, as_json: bool) -> None:
    """Print rows, for programs or for people."""
    if as_json:
        cli_look.print_json(rows)
    else:
        cli_look.print_rows(title, rows, nothing)
