"""`flybridge cohorts`: how audiences stand, what differs, what happened, and running one by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from msgspec import structs

from flybridge.amplitude.cohort import list_request, read_list
from flybridge.audiences.plan import AudiencePlan, RunOptions
from flybridge.audiences.schedule import targets
from flybridge.cli.common import AppName, AsJson, ConfigPath, Limit, configured, run, show
from flybridge.cli.inspect import console, print_json
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.service import backends
from flybridge.service import process as service
from flybridge.service.wiring import cohort_credentials_of, plans_of
from flybridge.store.audiences.protocol import NEVER_MS, Run, Standing

app = typer.Typer(help="List the audiences that follow a cohort; run one, and see what differs and what happened.")

Name = Annotated[
    str, typer.Argument(help="The audience, as `flybridge cohorts` lists it; APP/NAME if two apps have it.")
]

OVERWRITE = (
    "Overwriting makes the audience in AppsFlyer exactly what Amplitude's cohort is now: whoever was put there by "
    "other means, an upload or another tool, is lost, and if it breaks off in the middle the audience is smaller "
    "until the next run. Adding and removing, which is what happens without it, needs no overwriting."
)


@app.callback(invoke_without_command=True)
def cohorts(
    context: typer.Context, config: ConfigPath = None, only_app: AppName = None, as_json: AsJson = False
) -> None:
    """List the audiences that follow a cohort, and how each stands."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    settings = configured(config)

    async def work() -> list[dict[str, Any]]:
        async with backends.opened_cohorts(settings) as store:
            now_ms, plans = SystemClock().now_ms(), plans_of(settings)
            await store.keep(targets(plans, now_ms))
            return [row(one, plans) for one in await store.standings(now_ms) if only_app in (None, one.app)]

    show(run(work()), "Audiences", "No audience follows a cohort: see [[apps.audiences]].", as_json)


def row(one: Standing, plans: Mapping[tuple[str, str], AudiencePlan]) -> dict[str, Any]:
    """Return how an audience stands as plain values."""
    plan = plans.get((one.app, one.name))
    return {
        "app": one.app,
        "name": one.name,
        "cohort": f"{one.title or 'Cohort'} {one.cohort}".strip(),
        "cadence": plan.cadence if plan else "not configured",
        "people": one.people,
        "lacking": one.lacking,
        "listed": one.listed,
        "refused": one.refused,
        "to add": one.to_add,
        "to remove": one.to_remove,
        "held": one.held,
        "failures": one.tries,
        "last run": _at(one.ran_ms),
        "in step": _at(one.complete_ms),
        "next run": "running" if one.running else "never" if one.next_ms >= NEVER_MS else _at(one.next_ms) or "at once",
    }


@app.command("run")
def run_one(  # noqa: PLR0917 - Typer gives every argument by name
    context: typer.Context,
    name: Name,
    accept_shrink: Annotated[
        bool, typer.Option("--accept-shrink", help="Take the cohort over however many people it removes.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make AppsFlyer's audience anew; see the warning.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before overwriting.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Bring one audience in step now: download if it is downloaded, then send what differs. Exit code 1 on failure."""
    if overwrite:
        console.print(OVERWRITE, style="bold yellow")
        if not yes:
            typer.confirm("Overwrite it?", abort=True)
    options = RunOptions(accept_shrink=accept_shrink, overwrite=overwrite, download=True)
    _tell(_run(configured(config or context.obj), name, options), as_json=as_json)


@app.command()
def diff(context: typer.Context, name: Name, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """What a run would change, without changing or sending anything. Downloads, if the audience is downloaded."""
    settings = configured(config or context.obj)
    app_name, audience = _chosen(settings, name)
    found = _run(settings, name, RunOptions(dry=True, download=True))

    async def work() -> Standing:
        async with backends.opened_cohorts(settings) as store:
            standings = await store.standings(SystemClock().now_ms())
            return next(one for one in standings if (one.app, one.name) == (app_name, audience))

    one = run(work())
    told = {
        "app": app_name,
        "name": audience,
        "outcome": found.outcome,
        "reason": found.reason,
        "detail": found.detail,
        "members in Amplitude": found.rows,
        "would join": found.joined,
        "would leave": found.left,
        "waits to be added": one.to_add,
        "waits to be removed": one.to_remove,
    }
    if as_json:
        print_json(told)
    else:
        show([told], "What a run would change", "", False)
    if found.outcome != "done":
        raise typer.Exit(1)


@app.command()
def history(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this audience.")] = None,
    limit: Limit = 20,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first: when, how long, what was moved, and what went wrong."""
    settings = configured(config or context.obj)
    chosen = _chosen(settings, name) if name else (None, None)

    async def work() -> list[dict[str, Any]]:
        async with backends.opened_cohorts(settings) as store:
            return [
                {"app": app_name, "name": audience} | run_row(one)
                for app_name, audience, one in await store.history(chosen[0], chosen[1], limit)
            ]

    show(run(work()), "Runs", "There was no run yet.", as_json)


def run_row(one: Run) -> dict[str, Any]:
    """Return a run as plain values."""
    told = {key: value for key, value in structs.asdict(one).items() if key not in {"began_ms", "ended_ms"}}
    return {"began": _at(one.began_ms), "seconds": round((one.ended_ms - one.began_ms) / 1000, 1)} | told


@app.command()
def lacking(
    context: typer.Context, name: Name, limit: Limit = 100, config: ConfigPath = None, as_json: AsJson = False
) -> None:
    """List members who can't be listed in AppsFlyer, by their id in Amplitude, and why."""
    settings = configured(config or context.obj)
    app_name, audience = _chosen(settings, name)

    async def work() -> list[dict[str, Any]]:
        async with backends.opened_cohorts(settings) as store:
            found = await store.lacking(app_name, audience, limit)
            return [{"user": one.who, "lacks": one.lack.name.lower()} for one in found]

    show(run(work()), "Members who can't be listed", "Every member has an identifier.", as_json)


@app.command()
def drop(context: typer.Context, name: Name, config: ConfigPath = None) -> None:
    """Erase what is kept of an audience that is not configured any more. AppsFlyer's audience is left as it is."""
    settings = configured(config or context.obj)
    app_name, _, audience = name.rpartition("/")

    async def work() -> int:
        async with backends.opened_cohorts(settings) as store:
            plans = plans_of(settings)
            names = [(one.app, one.name) for one in await store.standings(0) if one.name == audience]
            names = [one for one in names if app_name in ("", one[0])]
            if any(one in plans for one in names):
                raise ConfigError("apps.audiences", f"{name!r} is configured.", "Take it out of the file first.")
            return sum([await store.drop(*one) for one in names])

    if not run(work()):
        raise FlybridgeError(f"There is no audience {name!r}.")
    typer.echo(f"Nothing of {name} is kept here any more.")


@app.command()
def amplitude(
    context: typer.Context, only_app: AppName = None, config: ConfigPath = None, as_json: AsJson = False
) -> None:
    """List the cohorts that Amplitude offers, with the ids that apps.audiences.cohort wants."""
    settings = configured(config or context.obj)
    accounts = {one.name: cohort_credentials_of(one) for one in settings.apps if only_app in (None, one.name)}

    async def work() -> list[dict[str, Any]]:
        transport, found = backends.open_transport(), []
        try:
            for app_name, account in accounts.items():
                if account is None:
                    continue
                response = await transport.send(list_request(account))
                if response.status != 200:
                    raise FlybridgeError(f"Amplitude answers {response.status}: see the keys and region of {app_name}.")
                found += [
                    {
                        "app": app_name,
                        "id": one.id,
                        "name": one.name,
                        "size": one.size,
                        "computed": _at(one.computed_s * 1000),
                    }
                    for one in read_list(response)
                    if not one.archived
                ]
        finally:
            await transport.close()
        return found

    show(run(work()), "Cohorts in Amplitude", "There is none, or no app has a secret_key.", as_json)


def _run(settings: Config, name: str, options: RunOptions) -> Run:
    chosen = _chosen(settings, name)

    async def work() -> Run | None:
        plans = plans_of(settings)
        async with backends.opened_cohorts(settings) as store:
            await store.keep(targets(plans, SystemClock().now_ms()))
            transport = backends.open_transport()
            try:
                async with service.opened_runner(settings, store, transport) as runner:
                    return await runner.run(plans[chosen], options)
            finally:
                await transport.close()

    found = run(work())
    if found is None:
        raise FlybridgeError(f"The audience {name} is being run already: try again when that has ended.")
    return found


def _tell(found: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(run_row(found))
    else:
        show([run_row(found)], "The run", "", False)
        if found.detail:
            console.print(found.detail, markup=False, style="" if found.outcome == "done" else "bold")
    if found.outcome != "done":
        raise typer.Exit(1)


def _chosen(settings: Config, name: str) -> tuple[str, str]:
    app_name, _, audience = name.rpartition("/")
    found = [one for one in plans_of(settings) if one[1] == audience and app_name in ("", one[0])]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError("", f"Several apps have an audience {audience!r}.", f"Write {found[0][0]}/{audience}.")
    raise ConfigError("", f"No audience is called {name!r}.", "`flybridge cohorts` lists those there are.")


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if 0 < ms < NEVER_MS else ""
