"""The command `explain`: how one message would be mapped, row by row. Nothing is stored, nothing is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flybridge.amplitude.streamed import Streamed, event_in, reshaped
from flybridge.appsflyer import postback
from flybridge.cli.common import AppName, AsJson, ConfigPath, configured
from flybridge.cli.printing import print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.config.settings import App, Config
from flybridge.config.streams import streams_of
from flybridge.errors import ConfigError
from flybridge.mapping.to_amplitude.explain import Explanation
from flybridge.mapping.to_amplitude.explain import explain as explain_postback
from flybridge.mapping.to_appsflyer.explain import explain_event
from flybridge.records import Dead, Media
from flybridge.service.wiring import rules_of


def explain(
    message: Annotated[str, typer.Argument(help="A file with one message, the JSON itself, or - for standard input.")],
    config: ConfigPath = None,
    only_app: AppName = None,
    as_json: AsJson = False,
) -> None:
    """Show how one postback, or one event of Amplitude, would be mapped, row by row. Nothing is stored or sent."""
    body = read_message(message)
    app = choose_app(configured(config), only_app, body)
    found = explain_message(app, body, SystemClock().now_ms())
    show_explanation(app, found, as_json=as_json, streamed=amplitude_event(app, body) is not None)


def read_message(given: str) -> bytes:
    """Return the bytes of a message: of a file, of standard input for `-`, or the argument itself if it is JSON."""
    if given == "-":
        return sys.stdin.buffer.read()
    if given.lstrip().startswith("{"):
        return given.encode()
    path = Path(given)
    if not path.is_file():
        raise ConfigError(
            "", f"There is no file {given}.", "Name a file, give the JSON itself, or - for standard input."
        )
    return path.read_bytes()


def choose_app(config: Config, name: str | None, body: bytes) -> App:
    """Return app whose rules apply: the one that is named, the only one, or the one whose id the message carries."""
    if name is not None:
        if (app := config.app(name)) is None:
            known = ", ".join(app.name for app in config.apps)
            raise ConfigError("--app", f"There is no app {name!r}.", f"There are {known}.")
        return app
    if len(config.apps) == 1:
        return config.apps[0]
    read = postback.read(body, Media.JSON)
    said = None if isinstance(read, Dead) else read.app_id
    matching = [app for app in config.apps if app.appsflyer_app_id == said]
    if len(matching) != 1:
        raise ConfigError("--app", "The message does not say which app it is of.", "Name the app with --app.")
    return matching[0]


def amplitude_event(app: App, body: bytes) -> Streamed | None:
    """Return the message as an event of Amplitude, None if it is a postback."""
    try:
        message = reshaped(msgspec.json.decode(body), app.amplitude.stream_fields)
    except (msgspec.DecodeError, RecursionError):
        return None
    found = event_in(message)
    return None if found is None or found.find("event_name") or found.find("conversion_type") else found


def explain_message(app: App, body: bytes, now_ms: int) -> Explanation:
    """Explain a postback, or an event of Amplitude, by the rules of an app."""
    if (event := amplitude_event(app, body)) is not None:
        return explain_event(event, streams_of(app), now_ms)
    read = postback.read(body, Media.JSON)
    if isinstance(read, Dead):
        return Explanation(f"dead: {read.detail} {read.remedy}", (), ())
    return explain_postback(read, rules_of(app), now_ms)


def show_explanation(app: App, found: Explanation, *, as_json: bool, streamed: bool = False) -> None:
    """Print an explanation, of an event of Amplitude if `streamed`. Personal ids are masked in it."""
    if as_json:
        print_json({"app": app.name, **msgspec.to_builtins(found)})
        return
    side = "to AppsFlyer" if streamed else f"route {app.route}"
    came, goes = ("Amplitude", "AppsFlyer") if streamed else ("AppsFlyer", "Amplitude")
    say(f"{app.name} ({side}): {found.outcome}")
    rows: list[dict[str, Any]] = [
        {came: row.source, "value": row.raw, goes: row.target, "as": _said(row.value), "note": row.note}
        for row in found.rows
    ]
    if rows:
        print_rows("Row by row", rows, "")
    for note in found.notes:
        say(f"  note: {note}")


def _said(value: Any) -> Any:
    return "(not sent)" if value is None else value
