"""`flybridge costs`: spend, clicks and impressions that are not in raw data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flybridge.cli.common import AppName, AsJson, ConfigPath, configured, with_new_store
from flybridge.cli.import_files import chosen_app
from flybridge.cli.printing import complain, print_json, say
from flybridge.errors import ConfigError
from flybridge.insight.costs import read_costs
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store

SHOWN = 20

app = typer.Typer(help="Spend, clicks and impressions by source and day.", no_args_is_help=True, add_completion=False)


@app.callback()
def costs() -> None:
    """Spend, clicks and impressions by source and day."""


@app.command("import")
def import_costs(
    file: Annotated[Path, typer.Argument(help="A CSV file; see docs/reference/performance.md.")],
    config: ConfigPath = None,
    only_app: AppName = None,
    as_json: AsJson = False,
) -> None:
    """Take costs from a CSV file. They replace what files have said before about its sources and days."""
    settings = configured(config, only_app)
    name = chosen_app(settings, only_app)
    one = settings.app(name)
    assert one is not None
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            found = read_costs(lines, name, one.insight.currency)
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise ConfigError("", f"{file} can't be read: {reason}.", "Name a CSV file.") from None
    for bad in found.bad[:SHOWN]:
        complain(f"{file}, line {bad.line}: {bad.problem}")
    if found.bad:
        complain(f"Nothing was taken: {len(found.bad)} lines can't be read.")
        raise typer.Exit(1)
    if not found.rows:
        raise ConfigError("", f"{file} has no rows.", "Write at least one below the header.")

    async def work(store: Store) -> None:
        await store.replace_costs(name, "csv", found.rows, days=found.days, every_source=False)

    with_new_store(settings, work)
    first, last = (date_of(day).isoformat() for day in found.days)
    sources = sorted({row.media_source for row in found.rows})
    if as_json:
        print_json({"app": name, "rows": len(found.rows), "from": first, "to": last, "media_sources": sources})
    else:
        say(f"{len(found.rows)} rows of {', '.join(sources)} from {first} to {last} replace what was known of them.")
