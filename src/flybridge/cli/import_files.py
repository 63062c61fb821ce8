"""`flybridge import`: files into the inbox."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flybridge.cli.audit import Job, Result, audited
from flybridge.cli.common import AsJson, ConfigPath, OneApp, configured, within
from flybridge.cli.meter import Meter
from flybridge.cli.printing import complain, print_json, print_rows
from flybridge.clock import SystemClock
from flybridge.config.apps import App
from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.inbox.protocol import Inbox
from flybridge.operations.import_files import Imported, import_file
from flybridge.service.backends import opened_inbox
from flybridge.system.running import run
from flybridge.wiring import intake_apps_of

SHOWN = 20


Rate = Annotated[
    float,
    typer.Option(
        "--rate",
        min=0,
        help="The most rows in a second that go into the inbox, 0 for no limit. What is sent is bounded by "
        "delivery.items_per_s.",
    ),
]


def import_files(
    files: Annotated[
        list[str], typer.Argument(help="Files, patterns and directories, on this machine or in s3://, gs:// or az://.")
    ],
    config: ConfigPath = None,
    only_app: OneApp = None,
    sightings: Annotated[
        bool,
        typer.Option("--sightings", help="The files name the identifiers of users: CSV, JSON, Amplitude's exports."),
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="The files hold Amplitude's events, as its Export API writes them."),
    ] = False,
    timezone: Annotated[
        list[str] | None,
        typer.Option(
            "--timezone", help="The zone of times that name none, such as Europe/Berlin; repeatable with --dry-run."
        ),
    ] = None,
    from_day: Annotated[
        str | None, typer.Option("--from", help="Only rows from this UTC day on, as 2026-01-31.")
    ] = None,
    to_day: Annotated[str | None, typer.Option("--to", help="Only rows up to the end of this UTC day.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would become of the rows.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Import at once, without the preview and the question.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Read also files that were imported already.")] = False,
    rate: Rate = 0.0,
    as_json: AsJson = False,
) -> None:
    """Import files into the inbox, also while a server runs. The same file again changes nothing.

    Without --sightings and --stream they are AppsFlyer's raw data: CSV, compressed with gzip or not, and Parquet.
    """
    if sightings and stream:
        raise typer.BadParameter("Say what the files hold: --sightings or --stream.")
    given = {"--dry-run": dry_run, "--timezone": timezone, "--from": from_day, "--to": to_day, "--rate": rate}
    if (sightings or stream) and (ignored := [name for name, value in given.items() if value]):
        # Nothing may be taken because an option was overlooked that says to take nothing, or less.
        form = "--sightings" if sightings else "--stream"
        raise typer.BadParameter(
            f"{form} goes without {' and '.join(ignored)}: only raw data has that. Nothing was taken."
        )
    zones = tuple(dict.fromkeys(timezone or ()))
    if len(zones) > 1 and not dry_run:
        raise typer.BadParameter("Name one --timezone: several are compared by --dry-run only.")
    settings = configured(config, only_app)
    app = chosen_app(settings, only_app)
    name = app.name
    counted = f"{len(files)} files or folders" if len(files) > 1 else "1 file or folder"
    if sightings or stream:
        paths = [_path(one) for one in files]
        with audited(settings, "import", name, counted, job=Job("import", [name]), new=True, needed=False) as result:
            done = _amplitude(settings, app, paths, stream=stream)
            bad = sum(len(one.bad) for one in done)
            result.detail = f"{sum(one.taken for one in done):,} of {sum(one.lines for one in done):,} lines were taken"
            result.detail += f", and {bad:,} can't be read." if bad else "."
            result.ok = not bad
        _show(done, as_json)
        return
    from flybridge.cli.import_history import RawImport, import_raw  # noqa: PLC0415 - its readers take a while to load

    options = RawImport(files, zones, from_day, to_day, dry_run, yes, again, rate, as_json)
    if dry_run:
        run(import_raw(settings, app, options, Result()))
        return
    with audited(settings, "import", name, counted, job=Job("import", [name]), new=True, needed=False) as result:
        run(import_raw(settings, app, options, result))


def _path(name: str) -> Path:
    """Return the path of a file of Amplitude's. Raises `ConfigError` for an address or a directory."""
    if "://" in name:
        raise ConfigError(
            "", f"{name} is an address, and these files are read from this machine.", "Download it first."
        )
    if (path := Path(name)).is_dir():
        raise ConfigError("", f"{name} is a directory.", f"Name the files in it: {path / '*'}")
    return path


def _amplitude(settings: Config, app: App, files: list[Path], *, stream: bool) -> list[Imported]:
    async def work(inbox: Inbox) -> list[Imported]:
        now_ms, shortest, done = SystemClock().now_ms(), app.amplitude.min_id_length, list[Imported]()
        # As the intake gives the events of a project's stream to the app of their platform.
        routes = next(one.routes for one in intake_apps_of(settings) if one.name == app.name)
        for path in files:
            meter = Meter(f"lines read of {path}")
            done.append(
                await import_file(
                    path,
                    app.name,
                    inbox.accept,
                    now_ms,
                    meter.count,
                    stream=stream,
                    apps_of=None if routes is None else routes.apps_of,
                    min_id_length=shortest,
                )
            )
            meter.end()
        return done

    return within(opened_inbox(settings), work)


def _show(done: list[Imported], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        rows = [
            {
                "file": one.file,
                "lines": one.lines,
                "taken": one.taken,
                "without_ids": one.silent,
                "bad": len(one.bad),
                "messages": one.envelopes,
            }
            for one in done
        ]
        print_rows("Brought into the inbox", rows, "There was no file.")
        for one in done:
            for bad in one.bad[:SHOWN]:
                complain(f"{one.file}, line {bad.line}: {bad.problem}")
            if len(one.bad) > SHOWN:
                complain(f"{one.file}: and {len(one.bad) - SHOWN} more.")
    if any(one.bad for one in done):
        raise typer.Exit(1)


def chosen_app(settings: Config, name: str | None) -> App:
    """Return the app of the files: the one that is named, or the only one."""
    found = settings.apps_named(name)
    if len(found) != 1:
        names = ", ".join(app.name for app in settings.apps)
        raise ConfigError("", f"The files belong to one of the apps {names}.", "Name it with --app.")
    return found[0]
