"""The command line. A command reads its arguments, calls one function and prints what it returns.

Exit codes: 0 done, 1 failed, 2 used wrongly. Importing this module loads no backend, no vendor and no web server: each
command imports what it needs when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer
from typer.core import TyperCommand, TyperGroup

from flybridge import __version__
from flybridge.cli.common import ConfigPath, configured
from flybridge.config.apps import Platform, Region, Route
from flybridge.config.settings import loads
from flybridge.errors import ConfigError, FlybridgeError, NotAvailable, StoreUnavailable
from flybridge.roles import Role
from flybridge.system.running import announce, ignore_signals, run, stop_on_signals, write_whole


class Later(NamedTuple):
    """Where a command is defined, and its help as the list of commands shows it.

    `name` is a function, or a `typer.Typer` that has commands of its own.
    """

    module: str
    name: str
    help: str

    def load(self, command: str) -> Any:
        """Import the command. Its own help is the docstring of the function."""
        found = getattr(import_module(self.module), self.name)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(command)(function)
        loaded = typer.main.get_command(found)
        loaded.name = command
        return loaded


LATER: Final[Mapping[str, Later]] = {
    "setup": Later("flybridge.cli.setup", "setup", "Print what to enter at the vendors, or enter it."),
    "account": Later("flybridge.cli.inspect", "account", "Show what came in and what became of it."),
    "holds": Later("flybridge.cli.holds", "app", "List, release and expire events that wait for their user."),
    "dead": Later("flybridge.cli.inspect", "dead", "List dead letters: what failed, why, and what helps."),
    "lanes": Later("flybridge.cli.lanes", "app", "Show the state of deliveries; retry or take out what is stuck."),
    "replay": Later("flybridge.cli.inspect", "replay", "Process or deliver dead letters again."),
    "discard": Later("flybridge.cli.inspect", "discard", "Give up messages in the inbox that can't be opened."),
    "cohorts": Later("flybridge.cli.audiences", "app", "List and run the audiences that follow a cohort."),
    "performance": Later("flybridge.cli.performance", "performance", "Show what each media source brings."),
    "reconcile": Later(
        "flybridge.cli.reconcile", "reconcile", "Show why AppsFlyer, flybridge and Amplitude count differently."
    ),
    "findings": Later("flybridge.cli.reconcile", "findings", "Show what in the figures is worth a look."),
    "costs": Later("flybridge.cli.costs", "app", "Pull or import spend, clicks and impressions."),
    "export": Later("flybridge.cli.export", "export", "Write counters, cohorts and the ledger as Parquet."),
    "explain": Later("flybridge.cli.explain", "explain", "Show what would become of a message, field by field."),
    "import": Later("flybridge.cli.import_files", "import_files", "Import files into the inbox."),
    "notify": Later("flybridge.cli.notify", "notify", "Show the notifications that were sent, or send a test message."),
    "tokens": Later("flybridge.cli.tokens", "app", "List, make and revoke API tokens of the console."),
    "pull": Later("flybridge.cli.read_history", "pull", "Read AppsFlyer's raw-data reports."),
    "gaps": Later("flybridge.cli.read_history", "gaps", "Find what was never received, and read it."),
    "forget": Later("flybridge.cli.forget", "forget", "Remove a person everywhere, and print a receipt."),
    "doctor": Later("flybridge.cli.doctor", "doctor", "Check the bridge, and each credential at its vendor."),
    "migrate": Later("flybridge.cli.migrate", "migrate", "Migrate stored data to this version, or to a cluster."),
    "sandbox": Later("flybridge.sandbox.__main__", "sandbox", "Simulate Amplitude and AppsFlyer on this machine."),
    "demo": Later("flybridge.cli.demo", "demo", "Run everything on this machine, and compare the results."),
}
"""All commands but those of this module."""


class Commands(TyperGroup):
    """The group of all commands, which imports the one that is called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # `commands` is what help, completion and suggestions read: it must not cost an import.
        self.commands.update({name: TyperCommand(name, help=later.help) for name, later in LATER.items()})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, imported."""
        if cmd_name in LATER:
            return LATER[cmd_name].load(cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises `ConfigError` if it has to ask for an option, and no terminal can answer."""
        try:
            return super().invoke(ctx)
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            sys.stdout.write("\n")  # the question has left its line open
            remedy = f"Give what is asked for as options: see `flybridge {ctx.invoked_subcommand} --help`."
            raise ConfigError("", "There is no terminal to ask, and nothing was done.", remedy) from None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group from the table, without importing a command."""
        listed = TyperGroup(
            name=self.name,
            commands=dict(self.commands),
            help=self.help,
            params=self.params,
            rich_markup_mode=self.rich_markup_mode,
        )
        listed.format_help(ctx, formatter)


app = typer.Typer(
    name="flybridge",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flybridge {__version__}")
        raise typer.Exit


@app.callback()
def flybridge(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Joins AppsFlyer and Amplitude, and accounts for every event."""


SHOWN_SECRETS = {
    "FLYBRIDGE_SECRET": "(the value of FLYBRIDGE_SECRET)",
    "AF_PUSH_TOKEN": "value-of-AF_PUSH_TOKEN",
    "AMPLITUDE_API_KEY": "value-of-AMPLITUDE_API_KEY",
    "AMPLITUDE_WEBHOOK_TOKEN": "value-of-AMPLITUDE_WEBHOOK_TOKEN",
}


MADE = ("FLYBRIDGE_SECRET", "AF_PUSH_TOKEN", "AMPLITUDE_WEBHOOK_TOKEN")
"""Secrets that `init` makes: nobody else gives them."""


def _is_new(context: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Refuse a file that exists before any question is asked: once both it and --force are known, in either order."""
    given = {**context.params, str(param.name): value}
    if "force" in given and "path" in given and given["path"].exists() and not given["force"]:
        raise ConfigError(
            "", f"{given['path']} exists already.", "Use --force to overwrite it, or --config to write another."
        )
    return value


@app.command()
def init(
    path: Annotated[
        Path, typer.Option("--config", "-c", is_eager=True, callback=_is_new, help="The file to write.")
    ] = Path("flybridge.toml"),
    name: Annotated[
        str, typer.Option(prompt="A short name for the app (it appears in addresses)", help="A short name for the app.")
    ] = "my-app",
    platform: Annotated[Platform, typer.Option(prompt="Platform", help="What the app runs on.")] = Platform.ANDROID,
    appsflyer_app_id: Annotated[
        str, typer.Option(prompt="The app's id in AppsFlyer", help="The app's id in AppsFlyer.")
    ] = "com.example.app",
    route: Annotated[
        Route,
        typer.Option(prompt="Route to Amplitude (see docs/how-to/choose-a-route.md)", help="The route to Amplitude."),
    ] = Route.HTTP_V2,
    region: Annotated[
        Region,
        typer.Option(prompt="Region of the Amplitude project", help="Where the Amplitude project keeps its data."),
    ] = Region.US,
    public_url: Annotated[str | None, typer.Option(help="The address that the vendors reach.")] = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", help="The API key of the Amplitude project.", envvar="AMPLITUDE_API_KEY")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", is_eager=True, callback=_is_new, help="Overwrite the file if it exists.")
    ] = False,
) -> None:
    """Write a commented configuration and its secrets, and print what to enter at the vendors."""
    from flybridge.config.env_file import NAME, read_env_file, write_env_file  # noqa: PLC0415 - of this command alone
    from flybridge.config.template import Answers, render, what_to_paste  # noqa: PLC0415

    if sys.stdin.isatty():
        if public_url is None:
            public_url = typer.prompt("The https address that the vendors reach (empty: later)", default="")
        if api_key is None:
            api_key = typer.prompt("The API key of the Amplitude project (empty: later)", default="", hide_input=True)
    answers = Answers(
        name=name,
        appsflyer_app_id=appsflyer_app_id,
        platform=platform,
        route=route,
        region=region,
        public_url=public_url or "",
    )
    text = render(answers)
    # Checked with placeholder secrets before it is written: a name or an id may be wrong.
    folder = path.absolute().parent
    loads(text, folder, SHOWN_SECRETS)
    if not folder.is_dir():
        raise ConfigError("", f"There is no directory {folder}.", "Make it, or name another file with --config.")
    given = {name: value for name in SHOWN_SECRETS if (value := os.environ.get(name))}
    made = {name: token_hex(24) for name in MADE if name not in given}
    write_env_file(folder / NAME, {**made, "AMPLITUDE_API_KEY": api_key or ""})
    path.write_text(text, encoding="utf-8")
    typer.echo(f"Wrote {path}, and its secrets to {folder / NAME}, which only you can read.")
    known = {**SHOWN_SECRETS, **read_env_file(folder / NAME), **given}
    if not known["AMPLITUDE_API_KEY"]:
        known["AMPLITUDE_API_KEY"] = SHOWN_SECRETS["AMPLITUDE_API_KEY"]
        typer.echo(f"Write the project's API key into {folder / NAME}, as AMPLITUDE_API_KEY=..., before you start.")
    typer.echo("Then run `flybridge serve`, and `flybridge setup` to see this again:\n")
    typer.echo(what_to_paste(loads(text, folder, known)))


@app.command()
def serve(
    config: ConfigPath = None,
    only: Annotated[Role | None, typer.Option("--only", help="Take only this role.", envvar="FLYBRIDGE_PART")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="Listen on this port instead of server.port.", envvar="FLYBRIDGE_PORT"
        ),
    ] = None,
    log: Annotated[str, typer.Option("--log", help="The form of log lines: auto, console or json.")] = "auto",
    level: Annotated[
        str, typer.Option("--level", help="The least level of log lines: debug, info, warning or error.")
    ] = "info",
) -> None:
    """Receive, map and deliver messages until SIGTERM or Ctrl-C; then finish what is in flight."""
    from flybridge.service.lifetime import allow_more  # noqa: PLC0415 - the server and its clients
    from flybridge.service.process import Service  # noqa: PLC0415
    from flybridge.telemetry.logs import FORMS, configure_logging  # noqa: PLC0415

    for option, value, known in (("--log", log, FORMS), ("--level", level, LEVELS)):
        if value not in known:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}.", param_hint=option)
    settings = configured(config)
    if port is not None:
        settings = msgspec.structs.replace(settings, server=msgspec.structs.replace(settings.server, port=port))
    configure_logging(log, level)
    allow_more()

    async def work() -> None:
        await Service(settings, only).run(stop_on_signals(), partial(announce, "flybridge", settings.server.host))

    run(work())
    ignore_signals()


LEVELS = ("debug", "info", "warning", "error")


def main() -> None:
    """Run the command line. Faults are printed as sentences, without a traceback."""
    from flybridge.cli.printing import complain  # noqa: PLC0415 - `serve` prints nothing by it

    write_whole()
    try:
        app()
    except FlybridgeError as problem:
        # Unlike the service, a command tries nothing again by itself.
        complain(f"{problem} Run the same command again." if isinstance(problem, StoreUnavailable) else str(problem))
        is_wrong = isinstance(problem, ConfigError) and not isinstance(problem, NotAvailable)
        sys.exit(2 if is_wrong else 1)
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        complain(f"{where}{problem.strerror or problem}.")
        sys.exit(1)
