"""`flybridge import` of AppsFlyer's raw data: what the files hold, a question, and the import."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

import typer
from msgspec import Struct, structs

from flybridge.cli.audit import Result
from flybridge.cli.common import confirmed
from flybridge.cli.meter import Meter
from flybridge.cli.printing import complain, print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.config.apps import App
from flybridge.config.settings import Config
from flybridge.errors import ConfigError, FlybridgeError, InboxUnavailable
from flybridge.history.files import find_files
from flybridge.history.locker_folders import newest_files
from flybridge.history.rows import UTC_TIMES
from flybridge.history.run import HistoryImport, ImportPlan, day_span, opened_import, refused
from flybridge.history.survey import Survey
from flybridge.history.take import REVISED, Taken
from flybridge.inbox.protocol import Inbox
from flybridge.operations.read_history import check_live_days
from flybridge.service.backends import opened_inbox, opened_store
from flybridge.store.protocol import Store
from flybridge.system.counted import plural
from flybridge.wiring import build_flow

SHOWN: Final = 40
"""How many files have a line each. Of more, only those that want attention do, and there is one for all of them."""


class RawImport(Struct, frozen=True):
    """The options of the command."""

    files: list[str]
    zones: tuple[str, ...] = ()
    from_day: str | None = None
    to_day: str | None = None
    dry_run: bool = False
    yes: bool = False
    again: bool = False
    rate: float = 0.0
    as_json: bool = False


async def import_raw(settings: Config, app: App, options: RawImport, result: Result) -> None:
    """Import files of raw data, or show what they hold. What came of it is put into the result."""
    if reason := refused(app.route.value):
        raise ConfigError("route", reason, "Import it into an app of the route `http_v2`.")
    from_ms, until_ms = day_span(options.from_day, options.to_day)
    named = find_files(options.files)
    files = newest_files(named)
    if n := len(named) - len(files):
        earlier = plural(n, "file is", "files are")
        complain(f"{earlier} left out: a Data Locker has later versions of the same days, which are read.")
    newest = {file.name for file in files}
    former = [file for file in named if file.name not in newest]
    plan = ImportPlan(
        app.name,
        app.appsflyer_app_id,
        files,
        options.zones[0] if options.zones else None,
        from_ms,
        until_ms,
        app.by_attribution,
        options.again,
        options.rate,
        former,
    )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(settings))
        if options.dry_run:
            await _dry_run(settings, app, plan, store, options)
            async with opened_inbox(settings) as inbox:
                await warn_waiting(inbox)
            return
        importing = stack.enter_context(opened_import(plan, settings.data_dir, SystemClock()))
        asks = not (options.yes or options.as_json)
        survey = await _survey(settings, plan, importing, store if asks else None)
        if asks:
            show_survey(survey)
            _warn_known(plan, importing)
        await _check_days(settings, store, app, survey)
        await warn_unsighted(store, app)
        if asks and not confirmed("Import these rows? Nothing can be deleted in Amplitude."):
            result.detail = "It was not confirmed; nothing was done."
            raise typer.Exit(1)
        inbox = await stack.enter_async_context(opened_inbox(settings))
        meter = Meter("rows imported", importing.unread())
        done = await importing.take(inbox.accept, meter.show, _waits)
        meter.end()
    result.detail = _sentence(done)
    _show_taken(done, options.as_json)
    if any(one.bad or one.problem for one in done):
        raise typer.Exit(1)


def _waits(problem: InboxUnavailable) -> None:
    complain(f"{problem} It is tried again for some minutes.")


async def _dry_run(settings: Config, app: App, plan: ImportPlan, store: Store, options: RawImport) -> None:
    """Show what files hold, under each assumption of the zone of their times."""
    surveys, zones = [], options.zones or (UTC_TIMES.name,)
    for zone in zones:
        of_zone = structs.replace(plan, zone=zone)
        with opened_import(of_zone, settings.data_dir, SystemClock()) as importing:
            surveys.append(await _survey(settings, of_zone, importing, store))
    if options.as_json:
        print_json(surveys if len(surveys) > 1 else surveys[0])
    else:
        for zone, survey in zip(zones, surveys, strict=True):
            show_survey(survey, f", if times are {zone}" if len(surveys) > 1 else "")
    if not options.zones and (n := surveys[0].unmarked):
        silent = plural(n, "file does not say in which zone its", "files do not say in which zone their")
        complain(
            f"{silent} times are: they are shown as UTC. An import asks for --timezone: UTC for files of the Pull API, "
            "the app's own zone for files downloaded from the dashboard. --dry-run takes several, to compare them."
        )
    with opened_import(plan, settings.data_dir, SystemClock()) as importing:
        _warn_known(plan, importing)
    for survey in surveys:
        await _check_days(settings, store, app, survey)
    await warn_unsighted(store, app)
    if any(survey.problems for survey in surveys):
        raise typer.Exit(1)


async def _survey(settings: Config, plan: ImportPlan, importing: HistoryImport, store: Store | None) -> Survey:
    """Look at the files; with a store also at what would become of their rows.

    Raises `FlybridgeError` if none can be read.
    """
    meter = Meter("rows looked at", plan.files)
    survey = await importing.survey(build_flow(settings) if store is not None else None, store, meter.show)
    meter.end()
    if len(survey.problems) == survey.files and not survey.rows:
        raise FlybridgeError("\n".join(survey.problems))
    return survey


async def _check_days(settings: Config, store: Store, app: App, survey: Survey) -> None:
    more, remedy = ": those in the files would be sent a second time", "Leave these days out with --from and --to."
    days = (survey.first_day, survey.last_day)
    await check_live_days(settings, store, app, days, SystemClock().now_ms(), more=more, remedy=remedy)


def show_survey(survey: Survey, assumed: str = "") -> None:
    """Print what files hold. `assumed` says under which assumption of their zone."""
    rows = [
        {"report": report, "outcome": outcome, "rows": n}
        for report, outcomes in survey.outcomes.items()
        for outcome, n in outcomes.items()
    ]
    rows += [{"report": report, "outcome": "left out", "rows": n} for report, n in survey.left_out.items()]
    if survey.bad:
        rows.append({"report": "", "outcome": "bad: becomes a dead letter", "rows": survey.bad})
    counted = f"{plural(survey.rows, 'row')} in {plural(survey.files, 'file')}{assumed}"
    print_rows(counted, rows, "There is no row in these files.")
    for span in survey.spans:
        lie = plural(span.ambiguous, "time lies", "times lie")
        twice = f" {lie} in an hour that the clock has twice." if span.ambiguous else ""
        say(f"If times are {span.zone}: from {span.first} to {span.last} UTC.{twice}")
    months: list[dict[str, Any]] = [{"month": month, "persons": n} for month, n in survey.months.items()]
    print_rows("Persons by month (Amplitude bills a person for each)", months, "No row that is sent names a person.")
    revenue = [{"currency": currency, "revenue": f"{amount:.2f}"} for currency, amount in survey.revenue.items()]
    print_rows("Revenue", revenue, "There is no revenue.", right=["revenue"])
    for line in survey.first_bad:
        complain(line)
    for problem in survey.problems:
        complain(problem)


def _sentence(done: list[Taken]) -> str:
    rows, bad = sum(one.rows for one in done), sum(one.bad for one in done)
    sentence = f"{sum(one.taken for one in done):,} of {rows:,} rows in {plural(len(done), 'file')} were taken"
    sentence += f", and {bad:,} can't be read: they become dead letters." if bad else "."
    return " ".join([sentence, *(one.problem for one in done if one.problem)])


def _show_taken(done: list[Taken], as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    shown = done if len(done) <= SHOWN else [one for one in done if one.bad or one.problem]
    rows = [_line(one) for one in shown]
    if len(done) > SHOWN:
        lines = [_line(one) for one in done]
        sums = {name: sum(line[name] for line in lines) for name in ("rows", "taken", "left_out", "bad")}
        known = sum(one.known for one in done)
        rows.append({"file": f"{len(done):,} files", **sums, "state": f"{known:,} imported before"})
    print_rows("Brought into the inbox", rows, "There was no file.")
    for one in done:
        if one.problem:
            complain(one.problem)
    if n := sum(one.left_out.get(REVISED, 0) for one in done):
        rows_of = plural(n, "row of ad revenue was", "rows of ad revenue were")
        complain(
            f"{rows_of} left out: AppsFlyer has changed the amount since an earlier version was imported, and "
            "Amplitude can't change an event."
        )
    if bad := sum(one.bad for one in done):
        rows_and_letters = plural(bad, "row becomes a dead letter", "rows become dead letters")
        complain(f"{rows_and_letters}: flybridge dead shows each with its file and line, and what to do.")
    if all(one.known for one in done):
        complain("Nothing was read: these files were imported before, and are as they were. --again reads them again.")


def _line(one: Taken) -> dict[str, Any]:
    return {
        "file": one.name,
        "rows": one.rows,
        "taken": one.taken,
        "left_out": sum(one.left_out.values()),
        "bad": one.bad,
        "state": "imported before" if one.known else "broken off" if one.problem else "imported",
    }


def _warn_known(plan: ImportPlan, importing: HistoryImport) -> None:
    """Warn of files whose rows are shown, and are not read by the import."""
    n = len(plan.files) - len(importing.unread())
    if n:
        were = plural(n, "file was imported before, and is", "files were imported before, and are")
        complain(f"{were} not read again without --again.")


async def warn_waiting(inbox: Inbox) -> None:
    """Warn of messages that are not filed yet, which a preview does not know."""
    if n := (await inbox.depth(SystemClock().now_ms())).waiting:
        waits = plural(n, "message waits", "messages wait")
        complain(f"{waits} in the inbox: what is among them is shown as new until flybridge serve has filed it.")


async def warn_unsighted(store: Store, app: App) -> None:
    """Warn if Amplitude has shown no user of an app: most of what is read of AppsFlyer would be held."""
    if not any(count.app == app.name for count in await store.sighted_kinds()):
        complain(
            "Amplitude has shown no user of this app yet: events that do not name their own will be held, and "
            "expire. Import its exports first: flybridge import --sightings."
        )
