"""`flybridge explain`: what would become of a message. Nothing is stored, nothing is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flybridge.cli.common import AsJson, ConfigPath, OneApp, configured
from flybridge.cli.printing import print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.config.apps import App
from flybridge.errors import ConfigError
from flybridge.operations.explain import MAX_ROWS, MessageOutcome, app_of
from flybridge.operations.explain import explain as explain_message
from flybridge.operations.messages import FORMS, GivenMessage, read_messages
from flybridge.records import Source

OPTIONS = {Source.PUSH: "--postback", Source.STREAM: "--stream", Source.COHORT: "--cohort"}


def explain(
    message: Annotated[
        str, typer.Argument(help="A file (JSON, query string, CSV), the message itself, or - for standard input.")
    ],
    config: ConfigPath = None,
    only_app: OneApp = None,
    postback: Annotated[bool, typer.Option("--postback", help="Read it as a message of AppsFlyer.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Read it as an event or user of Amplitude.")] = False,
    cohort: Annotated[bool, typer.Option("--cohort", help="Read it as a message about an Amplitude cohort.")] = False,
    call: Annotated[
        str,
        typer.Option("--call", help="Read it as a list-based integration's call: /, /COHORT/add or /COHORT/remove."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show what `serve` would do with a message: its outcome and reason, and how each field is mapped."""
    if postback + stream + (cohort or bool(call)) > 1:
        raise typer.BadParameter("A message is one of --postback, --stream and --cohort.")
    cohort = cohort or bool(call)
    settings = configured(config, only_app)
    source = Source.PUSH if postback else Source.STREAM if stream else Source.COHORT if cohort else None
    raw = read_argument(message)
    app = app_of(settings, only_app, read_messages(raw, source))
    messages = read_messages(
        raw,
        source,
        app.amplitude.stream_fields,
        by_attribution=app.by_attribution,
        app_id=app.appsflyer_app_id,
    )
    if call:
        messages = [msgspec.structs.replace(one, call=f"/{call.strip('/')}") for one in messages]
    now_ms = SystemClock().now_ms()
    found = [outcome for one in messages[:MAX_ROWS] for outcome in explain_message(settings, app, one, now_ms)]
    if as_json:
        plain = [msgspec.to_builtins(one) for one in found]
        print_json(plain[0] if len(plain) == 1 else plain)
        return
    for one in found:
        _show(app, one)
    _hint(messages, source)


def read_argument(given: str) -> bytes:
    """Return the bytes of a file, of standard input for `-`, or the argument itself if it is a message."""
    if given == "-":
        return sys.stdin.buffer.read()
    if given.lstrip()[:1] in ("{", "["):
        return given.encode("utf-8", "surrogateescape")
    try:
        if (path := Path(given)).is_file():
            return path.read_bytes()
    except (OSError, ValueError) as problem:
        if "=" not in given:
            raise ConfigError("", f"{given} can't be read: {problem}.", "Name a file that can be read.") from None
    if "=" in given:
        return given.encode("utf-8", "surrogateescape")
    raise ConfigError(
        "", f"There is no file {given!r}.", "Name a file, give the message itself, or - for standard input."
    )


def _show(app: App, found: MessageOutcome) -> None:
    reason = f", {found.reason}" if found.reason else ""
    say(f"{app.name}, {found.form}: {found.outcome}{reason}")
    say(f"  {found.sentence}")
    if found.remedy:
        say(f"  What to do: {found.remedy}")
    came, goes = ("Amplitude", "AppsFlyer") if found.form == "event of Amplitude" else ("AppsFlyer", "Amplitude")
    rows: list[dict[str, Any]] = [
        {
            came: row.source,
            "value": row.raw,
            goes: row.target,
            "as": "(not sent)" if row.value is None else row.value,
            "note": row.note,
        }
        for row in found.rows
    ]
    if rows:
        print_rows(found.mapping, rows, "")
    for note in found.notes:
        say(f"  note: {note}")


def _hint(messages: list[GivenMessage], source: Source | None) -> None:
    if len(messages) > MAX_ROWS:
        say(f"{len(messages)} rows: the first {MAX_ROWS} are explained.")
    if source is None and messages and messages[0].form in FORMS.values():
        others = [option for kind, option in OPTIONS.items() if kind is not messages[0].source]
        say(f"Read as: {messages[0].form}. {' or '.join(others)} reads it as another kind.")
