"""`flybridge cohorts`: the state of audiences, what differs, past runs, and running one by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from msgspec import structs

from flybridge.amplitude.cohort import (
    LIST_BYTES,
    Cohort,
    Credentials,
    list_request,
    read_list,
    read_usage,
    usage_request,
)
from flybridge.appsflyer import audience_account
from flybridge.audiences.plan import AudiencePlan, RunOptions
from flybridge.audiences.schedule import register
from flybridge.cli.audit import Job, audited
from flybridge.cli.common import AppName, AsJson, ConfigPath, Limit, configured, within
from flybridge.cli.printing import complain, print_json, print_rows, say, show
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Transport
from flybridge.delivery.whole import whole_answer
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.records import clock_time
from flybridge.service.backends import opened_cohorts, opened_download, opened_transport, shared_clock
from flybridge.service.process import opened_runner
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import NEVER_MS, Run, Standing
from flybridge.wiring import cohort_credentials_of, plans_of

app = typer.Typer(
    help="List the audiences that follow a cohort; run one, show what differs, and list past runs.",
    add_completion=False,
)

Name = Annotated[
    str, typer.Argument(help="The audience, as `flybridge cohorts` lists it; APP/NAME if two apps have it.")
]

OVERWRITE = (
    "Overwriting makes the audience in AppsFlyer exactly what Amplitude's cohort is now: everybody who was added by "
    "other means, such as an upload or another tool, is lost, and if it is interrupted the audience is smaller "
    "until the next run. Adding and removing, which is what happens without it, needs no overwriting."
)


@app.callback(invoke_without_command=True)
def cohorts(
    context: typer.Context, config: ConfigPath = None, only_app: AppName = None, as_json: AsJson = False
) -> None:
    """List the audiences that follow a cohort, and the state of each."""
    if context.invoked_subcommand is not None:
        return
    settings = configured(config, only_app)

    async def work(store: CohortStore) -> list[dict[str, Any]]:
        now_ms = SystemClock().now_ms()
        plans = await register(store, plans_of(settings), now_ms)
        return [row(one, plans) for one in await store.standings(now_ms) if only_app in (None, one.app)]

    nothing = "No audience follows a cohort: see [[apps.audiences]]."
    show(within(opened_cohorts(settings), work), "Audiences", nothing, as_json)


def row(one: Standing, plans: Mapping[tuple[str, str], AudiencePlan]) -> dict[str, Any]:
    """Return the state of an audience as plain values."""
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
        "to_add": one.to_add,
        "to_remove": one.to_remove,
        "held": one.held,
        "failures": one.tries,
        "last_run": _at(one.ran_ms),
        "in_step": _at(one.complete_ms),
        "next_run": "running" if one.running else "never" if one.next_ms >= NEVER_MS else _at(one.next_ms) or "at once",
    }


@app.command("run")
def run_one(
    name: Name,
    accept_shrink: Annotated[
        bool, typer.Option("--accept-shrink", help="Apply the cohort, however many people it removes.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Rebuild AppsFlyer's audience; a warning says what is lost.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before overwriting.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Sync one audience now: download its cohort if configured so, then send what differs. Exit code 1 on failure."""
    if overwrite:
        say(OVERWRITE, "bold yellow")
        if not yes:
            typer.confirm("Overwrite it?", abort=True)
    options = RunOptions(accept_shrink=accept_shrink, overwrite=overwrite, download=True)
    settings = configured(config)
    asked = ["accept shrink"] * accept_shrink + ["overwrite"] * overwrite
    job = Job("cohorts", [app for app, audience in plans_of(settings) if name in (audience, f"{app}/{audience}")])
    with audited(settings, "run_audience", name, ", ".join(asked), job=job, new=True) as result:
        found = _run(settings, name, options)
        result.detail, result.ok = f"The run ended as {found.outcome}: {found.changes}", found.outcome == "done"
    _end(found, run_row(found), "The run", as_json=as_json, detail=found.detail)


@app.command()
def create(
    name: Name,
    title: Annotated[str, typer.Option("--title", help="Its name in AppsFlyer, if not that of the audience.")] = "",
    config: ConfigPath = None,
) -> None:
    """Create the audience in AppsFlyer, by the app's API token, and keep its import key sealed in the store."""
    settings = configured(config)
    chosen = _chosen(settings, name)

    async def work(store: CohortStore) -> str:
        now_ms = SystemClock().now_ms()
        plans = await register(store, plans_of(settings), now_ms)
        plan = plans[chosen]
        if plan.audience.import_key:
            raise ConfigError("apps.audiences", f"{name} has an import key already.", "Run it: flybridge cohorts run.")
        called = title or f"{plan.rule.audience} {plan.rule.settings.cohort}"
        async with opened_transport() as transport:
            made = audience_account.read(await transport.send(audience_account.request(plan.audience, called)))
        if isinstance(made, str):
            raise FlybridgeError(made)
        await store.keep_import_key(*chosen, made.import_key)
        await register(store, plans, now_ms, [chosen])
        return f"AppsFlyer has made the audience {called!r} (id {made.id}). Its import key is kept sealed in the store."

    with audited(settings, "create_audience", name, new=True) as result:
        result.detail = within(opened_cohorts(settings), work)
    say(result.detail)


@app.command()
def diff(name: Name, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show what a run would change. Nothing is changed or sent; a cohort that is downloaded is downloaded."""
    settings = configured(config)
    chosen = _chosen(settings, name)
    found = _run(settings, name, RunOptions(dry=True, download=True))

    async def work(store: CohortStore) -> Standing:
        standings = await store.standings(SystemClock().now_ms())
        return next(one for one in standings if (one.app, one.name) == chosen)

    one = within(opened_cohorts(settings), work)
    plain = {
        "app": one.app,
        "name": one.name,
        "outcome": found.outcome,
        "reason": found.reason,
        "detail": found.detail,
        "members_in_amplitude": found.rows,
        "would_join": found.joined,
        "would_leave": found.left,
        "waits_to_be_added": one.to_add,
        "waits_to_be_removed": one.to_remove,
    }
    _end(found, plain, "What a run would change", as_json=as_json)


@app.command()
def history(
    name: Annotated[str | None, typer.Argument(help="Only this audience.")] = None,
    limit: Limit = 20,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first: when, how long, what was moved, and what went wrong."""
    settings = configured(config)
    chosen = _chosen(settings, name) if name else (None, None)
    runs = within(opened_cohorts(settings), lambda store: store.history(chosen[0], chosen[1], limit))
    rows = [{"app": app_name, "name": audience} | run_row(one) for app_name, audience, one in runs]
    show(rows, "Runs", "There was no run yet.", as_json)


def run_row(one: Run) -> dict[str, Any]:
    """Return a run as plain values."""
    plain = {key: value for key, value in structs.asdict(one).items() if key not in {"began_ms", "ended_ms"}}
    return {"began": _at(one.began_ms), "seconds": round((one.ended_ms - one.began_ms) / 1000, 1)} | plain


@app.command()
def lacking(name: Name, limit: Limit = 100, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List members who can't be listed in AppsFlyer, by their id in Amplitude, and why."""
    settings = configured(config)
    app_name, audience = _chosen(settings, name)
    found = within(opened_cohorts(settings), lambda store: store.lacking(app_name, audience, limit))
    rows = [{"user": one.who, "lacks": one.lack.name.lower()} for one in found]
    show(rows, "Members who can't be listed", "Every member has an identifier.", as_json)


@app.command()
def drop(name: Name, config: ConfigPath = None) -> None:
    """Erase what is kept of an audience that is not configured any more. AppsFlyer's audience is left as it is."""
    settings = configured(config)
    app_name, _, audience = name.rpartition("/")

    async def work(store: CohortStore) -> int:
        plans = plans_of(settings)
        names = [(one.app, one.name) for one in await store.standings(0) if one.name == audience]
        names = [one for one in names if app_name in ("", one[0])]
        if any(one in plans for one in names):
            raise ConfigError("apps.audiences", f"{name!r} is configured.", "Take it out of the file first.")
        return sum([await store.drop(*one) for one in names])

    with audited(settings, "drop_audience", name, new=True):
        if not within(opened_cohorts(settings), work):
            raise FlybridgeError(f"There is no audience {name!r}.")
    say(f"Nothing of {name} is kept here any more.")


@app.command()
def amplitude(only_app: AppName = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the cohorts that Amplitude offers, with the ids that apps.audiences.cohort wants."""
    settings = configured(config, only_app)
    accounts = {one.name: cohort_credentials_of(one) for one in settings.apps_named(only_app)}

    if not any(accounts.values()):
        raise ConfigError(
            "apps.amplitude.secret_key", "is needed to ask Amplitude for its cohorts.", "Set it to the project's own."
        )
    usages: dict[str, str] = {}

    async def work(transport: Transport) -> list[dict[str, Any]]:
        found = []
        for app_name, account in accounts.items():
            if account is None:
                continue
            found += [
                {
                    "app": app_name,
                    "id": one.id,
                    "name": one.name,
                    "size": one.size,
                    "computed": _at(one.computed_s * 1000),
                }
                for one in await _offered(app_name, account)
                if not one.archived
            ]
            if (usage := read_usage(await transport.send(usage_request(account)))) is not None:
                usages[app_name] = str(usage)
        return found

    show(within(opened_transport(), work), "Cohorts in Amplitude", "Amplitude has no cohort.", as_json)
    for app_name, sentence in usages.items():
        complain(f"{app_name}: {sentence}")


async def _offered(app_name: str, account: Credentials) -> list[Cohort]:
    async with opened_download() as download:
        answer = await whole_answer(download, list_request(account), LIST_BYTES)
    if answer is not None and answer.status != 200:
        raise FlybridgeError(f"Amplitude answers {answer.status}: check the keys and region of {app_name}.")
    found = read_list(answer) if answer is not None else None
    if found is None:
        raise FlybridgeError(f"What answers for {app_name} has no list of cohorts: check base_url and any proxy.")
    return found


def _run(settings: Config, name: str, options: RunOptions) -> Run:
    plans = plans_of(settings)
    chosen = _chosen(settings, name)

    async def work(store: CohortStore) -> Run | None:
        await register(store, plans, SystemClock().now_ms())
        clock = await shared_clock(settings)
        async with opened_transport() as transport, opened_runner(settings, store, transport, clock) as runner:
            return await runner.run(plans[chosen], options)

    found = within(opened_cohorts(settings), work)
    if found is None:
        raise FlybridgeError(f"Another process runs the audience {name} now: try again when it is done.")
    return found


def _end(found: Run, plain: Mapping[str, Any], title: str, *, as_json: bool, detail: str = "") -> None:
    """Print a run, and end with code 1 if it is not done."""
    if as_json:
        print_json(plain)
    else:
        print_rows(title, [plain], "")
        if detail:
            say(detail, "" if found.outcome == "done" else "bold")
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
    return clock_time(ms) if 0 < ms < NEVER_MS else ""
