"""`flybridge import`: files into the inbox."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flybridge.amplitude.event import MIN_ID_LENGTH
from flybridge.cli.common import AppName, AsJson, ConfigPath, configured, with_inbox
from flybridge.cli.printing import complain, print_json, print_rows
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.inbox.protocol import Inbox
from flybridge.operations.import_files import Imported, import_events, import_file

SHOWN = 20


def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files, compressed with gzip or not.")],
    config: ConfigPath = None,
    only_app: AppName = None,
    sightings: Annotated[
        bool,
        typer.Option("--sightings", help="They list who owns which identifier: CSV, JSON lines, Amplitude exports."),
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="They hold Amplitude's events, as its Export API writes them: JSON lines."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring files into the inbox. Safe beside a running server; the same file again changes nothing."""
    if sightings == stream:
        raise typer.BadParameter("Say what the files hold: --sightings or --stream.")
    settings = configured(config)
    name = chosen_app(settings, only_app)

    async def work(inbox: Inbox) -> list[Imported]:
        now_ms = SystemClock().now_ms()
        if stream:
            return [await import_events(path, name, inbox.accept, now_ms, _progress(path)) for path in files]
        app = settings.app(name)
        shortest = app.amplitude.min_id_length if app is not None else MIN_ID_LENGTH
        return [
            await import_file(path, name, inbox.accept, now_ms, _progress(path), min_id_length=shortest)
            for path in files
        ]

    done = with_inbox(settings, work)
    if as_json:
        print_json(done)
    else:
        print_rows("Brought into the inbox", [_row(one) for one in done], "There was no file.")
        for one in done:
            for bad in one.bad[:SHOWN]:
                complain(f"{one.file}, line {bad.line}: {bad.problem}")
            if len(one.bad) > SHOWN:
                complain(f"{one.file}: and {len(one.bad) - SHOWN} more.")
    if any(one.bad for one in done):
        raise typer.Exit(1)


def chosen_app(settings: Config, name: str | None) -> str:
    """Return the app of the files: the one that is named, or the only one."""
    names = [app.name for app in settings.apps]
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        raise ConfigError("", f"The files belong to one of the apps {', '.join(names)}.", "Name it with --app.")
    return str(name)


def _row(one: Imported) -> dict[str, Any]:
    return {
        "file": one.file,
        "lines": one.lines,
        "taken": one.taken,
        "without_ids": one.silent,
        "bad": len(one.bad),
        "messages": one.envelopes,
    }


def _progress(path: Path) -> Any:
    def tell(lines: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{path}: {lines:,} lines")
            sys.stderr.flush()

    return tell
