"""`flybridge export`: Parquet files for tools of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flybridge.cli.common import AppName, AsJson, ConfigPath, configured, with_store
from flybridge.cli.printing import print_json, say
from flybridge.clock import SystemClock
from flybridge.errors import ConfigError
from flybridge.insight.question import chosen_scopes, day_asked
from flybridge.operations.export import EVER
from flybridge.operations.export import export as write
from flybridge.system.counted import plural
from flybridge.wiring import scopes_of


def export(
    directory: Annotated[Path, typer.Argument(help="Where to write; the files of a former export are replaced.")],
    config: ConfigPath = None,
    first: Annotated[str | None, typer.Option("--from", help="The first day of what is counted.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day of what is counted.")] = None,
    only_app: AppName = None,
    as_json: AsJson = False,
) -> None:
    """Write counters, cohorts, costs and the ledger as Parquet, without an identifier of anybody."""
    settings = configured(config, only_app)
    scopes = chosen_scopes(scopes_of(settings, SystemClock().now_ms()), only_app)
    days = (day_asked("--from", first) if first else EVER[0], day_asked("--to", last) if last else EVER[1])
    if days[0] > days[1]:
        raise ConfigError("--from", "is after the last day.", "Name the earlier day first.")
    written = with_store(settings, lambda store: write(store, scopes, directory, days=days))
    if as_json:
        print_json(written)
        return
    files = [f"{name}.parquet ({plural(n, 'row')})" for name, n in written.items()]
    say(f"{directory}: {', '.join(files)}.")
