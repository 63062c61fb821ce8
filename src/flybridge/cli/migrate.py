"""`flybridge migrate`: bring stored data to this version, or from a directory to a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flybridge.cli.common import ConfigPath, configured
from flybridge.cli.inspect import account_rows
from flybridge.cli.printing import print_rows, say
from flybridge.config.settings import Config
from flybridge.service import backends
from flybridge.service.relocate import relocate
from flybridge.system.running import run


def migrate(
    config: ConfigPath = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Move the directory to the cluster of this configuration.")
    ] = None,
) -> None:
    """Migrate inbox and store to this version, or move a directory to a cluster. `serve` does the first, too."""
    source = configured(config)
    run(_update(source) if to is None else _move(source, configured(to)))


async def _update(config: Config) -> None:
    async with backends.opened(config):
        say("Inbox and store are up to date.")


async def _move(source: Config, target: Config) -> None:
    moved = await relocate(source, target, _progress)
    rows = [{"table": table, "rows": n} for table, n in moved.rows.items()]
    print_rows(f"Moved from {source.data_dir}", rows, "There was nothing to move.")
    print_rows("The account, the same on both sides", account_rows(moved.account), "Nothing was received.")
    say(
        f"{moved.received} messages received so far are accounted for in the cluster. Start its workers. Start "
        f"none on {source.data_dir} any more, and delete it when you need no backup: it holds personal data."
    )


def _progress(table: str, rows: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{table}: {rows:,} rows")
        sys.stderr.flush()
