"""`flybridge costs`: spend, clicks and impressions that are not in raw data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flybridge.cli.audit import Job, audited
from flybridge.cli.common import AppName, AsJson, ConfigPath, OneApp, configured, in_turn, with_new_store, with_store
from flybridge.cli.import_files import chosen_app
from flybridge.cli.printing import complain, print_json, say, show
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.insight.costs import read_costs
from flybridge.insight.question import period
from flybridge.insight.reported_costs import costs_of_files
from flybridge.records import DAY_MS, clock_time
from flybridge.store.performance import CostRow, date_of
from flybridge.store.protocol import Store
from flybridge.system.counted import plural
from flybridge.system.text_encoding import as_utf8, line_text

if TYPE_CHECKING:
    from flybridge.operations.pull_costs import CostPull

SHOWN = 20

app = typer.Typer(help="Spend, clicks and impressions by source and day.", no_args_is_help=True, add_completion=False)


@app.command("import")
def import_costs(
    file: Annotated[
        Path, typer.Argument(help="A CSV file, or a folder of Cost ETL files; see docs/reference/performance.md.")
    ],
    config: ConfigPath = None,
    only_app: OneApp = None,
    as_json: AsJson = False,
) -> None:
    """Take costs from files. They replace what files have said before about their days, and a CSV file's sources."""
    from flybridge.operations.cost_files import is_cost_folder  # noqa: PLC0415 - of this command alone

    settings = configured(config, only_app)
    is_folder = is_cost_folder(file)
    apps = settings.apps_named(only_app)
    job = Job("import-costs", [one.name for one in apps] if is_folder else [chosen_app(settings, only_app).name])
    with audited(settings, "import_costs", only_app or "all apps", job=job, new=True) as result:
        taken = (_import_folder if is_folder else _import_csv)(settings, file, only_app)
        if as_json:
            print_json(taken if is_folder else taken[0])
        else:
            for one in taken:
                named = ", ".join(one["media_sources"][:SHOWN])
                say(f"{one['rows']} rows of {named} from {one['from']} to {one['to']} replace what was known of them.")
        result.detail = f"{plural(sum(one['rows'] for one in taken), 'row')}."


def _import_csv(settings: Config, file: Path, only_app: str | None) -> list[dict[str, Any]]:
    """Take the rows of a CSV file. Returns what was taken."""
    one = chosen_app(settings, only_app)
    name = one.name
    try:
        with file.open("rb") as raw:
            text = "".join(map(line_text, as_utf8(raw)))
    except OSError as problem:
        raise ConfigError("", f"{file} can't be read: {problem.strerror}.", "Name a CSV file.") from None
    tomorrow = date_of(SystemClock().now_ms() // DAY_MS + 1)  # where it is today already
    found = read_costs(io.StringIO(text, newline=""), name, one.insight.currency, tomorrow)
    for bad in found.bad[:SHOWN]:
        complain(f"{file}, line {bad.line}: {bad.problem}")
    if found.bad:
        raise FlybridgeError(f"Nothing was taken: {plural(len(found.bad), 'line')} can't be read.")
    if not found.rows:
        raise ConfigError("", f"{file} has no rows.", "Write at least one below the header.")

    async def work(store: Store) -> None:
        await store.replace_costs(name, "csv", found.rows, days=found.days, every_source=False)

    with_new_store(settings, work)
    return [_taken(name, found.rows)]


def _import_folder(settings: Config, folder: Path, only_app: str | None) -> list[dict[str, Any]]:
    """Take the rows of Cost ETL files. Returns what was taken of each app."""
    from flybridge.operations.cost_files import read_cost_files  # noqa: PLC0415 - pyarrow is an extra
    from flybridge.operations.pull_costs import replace_by_files  # noqa: PLC0415

    read = read_cost_files(folder)
    by_app = {
        one.name: costs_of_files(one.name, one.appsflyer_app_id, one.insight.currency, read)
        for one in settings.apps_named(only_app)
    }
    taken = {name: rows for name, rows in by_app.items() if rows}
    if not taken:
        named = ", ".join(sorted({row.app_id for row in read})[:SHOWN])
        raise ConfigError("", f"{folder} is about {named}.", "Compare that with appsflyer_app_id.")

    async def work(store: Store) -> None:
        for name, rows in taken.items():
            await replace_by_files(store, name, rows)

    with_new_store(settings, work)
    return [_taken(name, rows) for name, rows in taken.items()]


def _taken(name: str, rows: Sequence[CostRow]) -> dict[str, Any]:
    first, last = (date_of(day).isoformat() for day in (min(row.day for row in rows), max(row.day for row in rows)))
    sources = sorted({row.media_source for row in rows})
    return {"app": name, "rows": len(rows), "from": first, "to": last, "media_sources": sources}


@app.command("pull")
def pull_costs(
    config: ConfigPath = None,
    only_app: AppName = None,
    first: Annotated[
        str | None, typer.Option("--from", help="The first day; by default 89 days before the last.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day; by default today.")] = None,
    as_json: AsJson = False,
) -> None:
    """Pull costs from where the configuration says, now. They replace what was known of these days."""
    from flybridge.operations.pull_costs import CORRECTED_DAYS, cost_plans_of, pull  # noqa: PLC0415 - of this command
    from flybridge.service.backends import opened_download  # noqa: PLC0415

    settings = configured(config, only_app)
    plans = [plan for plan in cost_plans_of(settings, ask_anyway=True) if only_app in (None, plan.app)]
    if not plans:
        raise ConfigError(
            "apps.insight.costs", "says nothing about where costs come from.", "Set it, or appsflyer.api_token."
        )
    now_ms = SystemClock().now_ms()
    refused: list[str] = []

    async def pull_all(store: Store) -> list[CostPull]:
        done = []
        async with opened_download() as download:
            for plan in plans:
                since, until = period(first, last, until=plan.insight.day(now_ms), days=CORRECTED_DAYS)
                work = partial(pull, plan, store, download, first=since, last=until, now_ms=now_ms)
                try:
                    done.append(await in_turn(settings, store, "costs", plan.app, work, part=plan.origin))
                except FlybridgeError as problem:
                    refused.append(f"{plan.app}: {problem}")
        return done

    job = Job("costs", sorted({plan.app for plan in plans}))
    with audited(settings, "pull_costs", only_app or "all apps", job=job, new=True) as result:
        done = with_new_store(settings, pull_all)
        result.detail = " ".join([f"{plural(sum(one.rows for one in done), 'row')}.", *refused])
        result.ok = not refused
    if as_json:
        print_json([_plain(one) for one in done])
    else:
        for one in done:
            say(
                f"{one.app}: {plural(one.rows, 'row')} of {one.origin} from {date_of(one.first)} to "
                f"{date_of(one.last)} in place of what was known of them."
            )
    for sentence in refused:
        complain(sentence)
    if refused:
        raise typer.Exit(1)


@app.command("status")
def cost_status(config: ConfigPath = None, only_app: AppName = None, as_json: AsJson = False) -> None:
    """Show when costs were pulled last, and why they were not since."""
    from flybridge.operations.pull_costs import standing  # noqa: PLC0415 - of this command alone

    settings = configured(config, only_app)
    pulls = [one for one in with_store(settings, standing) if only_app in (None, one.app)]
    rows = [_plain(one) if as_json else _plain(one) | {"pulled": _clock(one.pulled_ms)} for one in pulls]
    nothing = "No costs have been pulled. `flybridge costs pull` does it now, apps.insight.costs by schedule."
    show(rows, "Costs", nothing, as_json)


def _clock(time_ms: int) -> str | None:
    return clock_time(time_ms) if time_ms else None


def _plain(one: CostPull) -> dict[str, Any]:
    at = datetime.fromtimestamp(one.pulled_ms / 1000, UTC).isoformat(timespec="seconds")
    return {
        "app": one.app,
        "origin": one.origin,
        "pulled": at if one.pulled_ms else None,
        "rows": one.rows,
        "from": date_of(one.first).isoformat() if one.pulled_ms else None,
        "to": date_of(one.last).isoformat() if one.pulled_ms else None,
        "problem": one.problem or None,
    }
