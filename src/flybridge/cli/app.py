"""The command line: read the arguments, call one function, print. Exit codes: 0 done, 1 failed, 2 used wrongly."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flybridge.cli import audiences, holds, import_files, inspect, migrate, privacy
from flybridge.cli import demo as cli_demo
from flybridge.cli import explain as explaining
from flybridge.cli.common import AppName, AsJson, ConfigPath, Limit, configured, run, show
from flybridge.clock import SystemClock
from flybridge.config.settings import Platform, Region, Route, loads
from flybridge.config.template import Answers, render, what_to_paste
from flybridge.demo.run import Scenario
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.insight.account import Account, read_account
from flybridge.insight.restricted import Change, changes
from flybridge.operations.replay import Replayed, replay_all
from flybridge.operations.replay import replay as replay_letters
from flybridge.roles import Role
from flybridge.sandbox.__main__ import main as run_sandbox
from flybridge.sandbox.faults import SCRIPTS
from flybridge.service import backends, wiring
from flybridge.service import process as service
from flybridge.service.lifetime import allow_more
from flybridge.telemetry.logs import LogForm, configure_logging

app = typer.Typer(
    name="flybridge",
    help="Joins AppsFlyer and Amplitude, and accounts for every event.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(audiences.app, name="cohorts")
app.add_typer(holds.app, name="holds")
app.command("import")(import_files.import_files)
app.command()(privacy.forget)
app.command()(privacy.doctor)
app.command()(migrate.migrate)


STOPS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set. The second one finds it set: an orderly stop is not hurried."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    return stop


def ignore_signals() -> None:
    """Ignore a further SIGTERM while the interpreter ends: what it would break off is done."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@app.command()
def init(  # noqa: PLR0917 - Typer gives every argument by name
    path: Annotated[Path, typer.Option("--config", "-c", help="The file to write.")] = Path("flybridge.toml"),
    name: Annotated[str, typer.Option(prompt="A short name for the app (it appears in addresses)")] = "my-app",
    platform: Annotated[Platform, typer.Option(prompt="Platform")] = Platform.ANDROID,
    appsflyer_app_id: Annotated[str, typer.Option(prompt="The app's id in AppsFlyer")] = "com.example.app",
    route: Annotated[
        Route, typer.Option(prompt="Route to Amplitude (see docs/how-to/choose-a-route.md)")
    ] = Route.HTTP_V2,
    region: Annotated[Region, typer.Option(prompt="Region of the Amplitude project")] = Region.US,
    public_url: Annotated[str, typer.Option(help="The address the vendors will reach.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Write a commented configuration, and say what to paste where."""
    if path.exists() and not force:
        raise ConfigError("", f"{path} exists already.", "Use --force to overwrite it, or --config to write another.")
    answers = Answers(
        name=name,
        appsflyer_app_id=appsflyer_app_id,
        platform=platform,
        route=route,
        region=region,
        public_url=public_url,
    )
    text = render(answers)
    # Checked with placeholder secrets before it is written: a name or an id may be wrong.
    config = loads(text, path.absolute().parent, SHOWN_SECRETS)
    path.write_text(text, encoding="utf-8")
    typer.echo(f"Wrote {path}. Set the environment variables it names, then run `flybridge serve`.\n")
    typer.echo(what_to_paste(config))


SHOWN_SECRETS = {
    "FLYBRIDGE_SECRET": "(the value of FLYBRIDGE_SECRET)",
    "AF_PUSH_TOKEN": "value-of-AF_PUSH_TOKEN",
    "AMPLITUDE_API_KEY": "value-of-AMPLITUDE_API_KEY",
    "AMPLITUDE_WEBHOOK_TOKEN": "value-of-AMPLITUDE_WEBHOOK_TOKEN",
}


@app.command()
def serve(
    config: ConfigPath = None,
    only: Annotated[
        Role | None, typer.Option("--only", help="Do only this part of the work.", envvar="FLYBRIDGE_PART")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Instead of server.port.", envvar="FLYBRIDGE_PORT"),
    ] = None,
    log: Annotated[LogForm, typer.Option("--log", help="How log lines look.")] = LogForm.AUTO,
    level: Annotated[str, typer.Option("--level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Take messages in, map them, deliver them. Runs until SIGTERM or Ctrl-C, then finishes what it has begun."""
    settings = configured(config)
    if port is not None:
        settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, port=port))
    configure_logging(log, level)
    allow_more()

    async def work() -> None:
        host = settings.server.host
        await service.Service(settings, only).run(
            stop_on_signals(), lambda port: print_line(f"flybridge listening on http://{host}:{port}")
        )

    run(work())
    ignore_signals()


def print_line(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@app.command()
def account(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show what came in and what became of it, per app and day. Exit code 1 if a single event is unaccounted for."""

    async def work() -> tuple[Account, list[Change]]:
        async with backends.opened(configured(config)) as (inbox, store):
            drawn, _ = await read_account(inbox, store, audit=True)
            return drawn, changes(await store.rollups())

    drawn, restricted = run(work())
    inspect.show_account(drawn, restricted, as_json=as_json)
    if not drawn.balanced:
        raise typer.Exit(1)


@app.command()
def dead(
    config: ConfigPath = None,
    only_app: AppName = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only this reason.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters: what could not be processed or delivered, why, and what would help."""

    async def work() -> list[dict[str, Any]]:
        async with backends.opened_store(configured(config)) as store:
            return inspect.dead_rows(await store.dead(app=only_app, reason=reason, limit=limit))

    show(run(work()), "Dead letters", "There are no dead letters.", as_json)


@app.command()
def replay(  # noqa: PLR0917 - Typer gives every argument by name
    ids: Annotated[list[int] | None, typer.Argument(help="Ids that `flybridge dead` shows.")] = None,
    config: ConfigPath = None,
    every: Annotated[bool, typer.Option("--all", help="All that --app and --reason leave.")] = False,
    only_app: AppName = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only this reason.")] = None,
    as_json: AsJson = False,
) -> None:
    """Process or deliver dead letters again."""
    if bool(ids) == every:
        raise typer.BadParameter("Name the ids to replay, or say --all.")
    settings = configured(config)

    async def work() -> Replayed:
        clock, flow = SystemClock(), wiring.build_flow(settings)
        async with backends.opened_store(settings) as store:
            if every:
                return await replay_all(store, flow, clock, app=only_app, reason=reason)
            letters = await store.dead(ids=ids, app=only_app, reason=reason)
            return await replay_letters(store, flow, [letter.id for letter in letters], clock.now_ms())

    done = run(work())
    if as_json:
        inspect.print_json(done)
    else:
        typer.echo(f"{done.redelivered} are due for delivery again, {done.processed} were processed again.")
        for outcome, n in sorted(done.outcomes.items()):
            typer.echo(f"  {outcome}: {n}")
    if ids and done.redelivered + done.processed < len(set(ids)):
        typer.echo("Some of these ids are no dead letters (any more).", err=True)
        raise typer.Exit(1)


@app.command()
def explain(
    message: Annotated[str, typer.Argument(help="A file with one message, the JSON itself, or - for standard input.")],
    config: ConfigPath = None,
    only_app: AppName = None,
    as_json: AsJson = False,
) -> None:
    """Show how one postback, or one event of Amplitude, would be mapped, row by row. Nothing is stored or sent."""
    body = explaining.read_message(message)
    chosen = explaining.choose_app(configured(config), only_app, body)
    found = explaining.explain_message(chosen, body, SystemClock().now_ms())
    streamed = explaining.amplitude_event(chosen, body) is not None
    explaining.show_explanation(chosen, found, as_json=as_json, streamed=streamed)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option("--port", help="The port; 0 chooses a free one.")] = 8701,
    faults: Annotated[str, typer.Option("--faults", help=f"One of {', '.join(SCRIPTS)}.")] = "none",
    seed: Annotated[int, typer.Option("--seed", help="Of the faults.")] = 0,
    speed: Annotated[float, typer.Option("--speed", help="How many times faster its clock runs.")] = 1.0,
) -> None:
    """Answer as Amplitude does, on this machine, without an account. Runs until Ctrl-C."""
    words = ["--port", str(port), "--faults", faults, "--seed", str(seed), "--speed", str(speed)]
    raise typer.Exit(run_sandbox(words))


SHARE = "The share of postbacks of people {}, 0 to 1."


@app.command()
def demo(  # noqa: PLR0917 - Typer gives every argument by name
    once: Annotated[bool, typer.Option("--once", help="Without the live table.")] = False,
    events: Annotated[int, typer.Option("--events", min=1, help="How many postbacks to send.")] = 5_000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed plays the same people and faults.")] = 1,
    faults: Annotated[str, typer.Option("--faults", help=f"One of {', '.join(SCRIPTS)}.")] = "flaky",
    late: Annotated[float, typer.Option("--late", help=SHARE.format("whom only Amplitude's stream names"))] = 0.3,
    never: Annotated[float, typer.Option("--never", help=SHARE.format("whom Amplitude never sees"))] = 0.08,
    restricted: Annotated[float, typer.Option("--restricted", help=SHARE.format("of a restricted source"))] = 0.1,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result to this file; - prints it.")] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="On NATS and PostgreSQL, with two intakes, two workers and a console.")
    ] = False,
) -> None:
    """Start everything on this machine, send traffic, and compare truth, ledger and Amplitude event by event.

    Exit code 1 on any difference.
    """
    if faults not in SCRIPTS:
        raise typer.BadParameter(f"There are no faults named {faults!r}; there are {', '.join(SCRIPTS)}.")
    if min(late, never, restricted) < 0 or late + never > 1 or restricted > 1:
        raise typer.BadParameter("Shares are from 0 to 1, and --late and --never together at most 1.")
    options = msgspec.structs.replace(Scenario().options, late_seen=late, held=never, restricted=restricted)
    outcome = run(cli_demo.run_demo(Scenario(events, seed, faults, options), quiet=once, cluster=cluster))
    if json is not None:
        cli_demo.write_json(outcome, json)
    if str(json) != "-":
        cli_demo.tell(outcome)
    if outcome.differences:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; give errors as sentences."""
    try:
        app()
    except FlybridgeError as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2 if isinstance(problem, ConfigError) else 1)
