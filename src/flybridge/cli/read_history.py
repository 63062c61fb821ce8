"""`flybridge pull` and `flybridge gaps`: what AppsFlyer's reports have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer

from flybridge.appsflyer.raw_pull import LOOKBACK_DAYS, PulledReport
from flybridge.cli.audit import Job, audited, kept
from flybridge.cli.common import AsJson, ConfigPath, OneApp, configured, confirmed, in_turn
from flybridge.cli.gap_tables import show_gaps
from flybridge.cli.import_files import Rate, chosen_app
from flybridge.cli.import_history import show_survey, warn_unsighted, warn_waiting
from flybridge.cli.meter import Meter
from flybridge.cli.printing import complain, print_json, print_rows
from flybridge.clock import SystemClock
from flybridge.config.apps import App
from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.history.gap_report import GapReport
from flybridge.history.pull import Pulled
from flybridge.history.pull_preview import PullPreview
from flybridge.history.run import day_span
from flybridge.operations.read_history import HistoryReader, check_live_days, plan_of
from flybridge.records import DAY_MS, day_of
from flybridge.service.backends import opened, opened_download
from flybridge.system.counted import plural
from flybridge.system.running import run
from flybridge.wiring import build_flow

T = TypeVar("T")

FromDay = Annotated[str, typer.Option("--from", help="The first UTC day, as 2026-01-31.")]
ToDay = Annotated[str | None, typer.Option("--to", help="The last UTC day; by default until now.")]
Reports = Annotated[
    list[PulledReport] | None,
    typer.Option(
        "--report",
        metavar="NAME",
        help="Only this report, by AppsFlyer's name, such as in_app_events_report; repeatable.",
    ),
]


def pull(
    from_day: FromDay,
    to_day: ToDay = None,
    config: ConfigPath = None,
    only_app: OneApp = None,
    report: Reports = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would become of the rows. It costs the same calls.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Pull many days without a question.")] = False,
    rate: Rate = 0.0,
    as_json: AsJson = False,
) -> None:
    """Read AppsFlyer's raw-data reports into the inbox. What was received already changes nothing.

    It asks before it pulls more days than are pulled by schedule (apps.history.trailing_days).
    """
    settings = configured(config, only_app)
    app = chosen_app(settings, only_app)
    if dry_run:
        _preview(settings, app, (from_day, to_day), report or (), as_json=as_json)
        return

    async def work(reader: HistoryReader) -> list[Pulled]:
        from_ms, until_ms = await _span(reader, app, from_day, to_day)
        plan_of(app, report or ())  # what is refused is not asked for
        await warn_unsighted(reader.store, app)
        is_long = until_ms - from_ms > app.history.trailing_days * DAY_MS
        if is_long and not (yes or as_json) and not confirmed(_question(app, from_ms, until_ms, report or ())):
            raise typer.Abort
        shown = (lambda _: None) if as_json else _show_progress
        return await in_turn(
            settings,
            reader.store,
            "pull",
            app.name,
            lambda: reader.pull(app, from_ms, until_ms, report or (), shown, rate=rate),
        )

    span = f"From {from_day} to {to_day or 'now'}."
    with audited(settings, "pull", app.name, span, job=Job("pull", [app.name]), new=True) as result:
        done = run(_with_reader(settings, work))
        problems = "".join(f" {one.report}: {one.problem}" for one in done if one.problem)
        result.detail = f"{sum(one.taken for one in done)} rows were taken.{problems}"
        result.ok = not any(one.problem for one in done)
    if as_json:
        print_json(done)
    else:
        rows = [
            {
                "report": one.report,
                "rows": one.rows,
                "taken": one.taken,
                "calls": one.calls,
                "state": one.problem or "done",
            }
            for one in done
        ]
        print_rows("Pulled into the inbox", rows, "No report was asked for.")
    if any(one.problem for one in done):
        raise typer.Exit(1)


def _preview(
    settings: Config, app: App, days: tuple[str, str | None], reports: Sequence[PulledReport], *, as_json: bool
) -> None:
    """Show what reports hold. Exit code 1 if not all could be looked at."""

    async def work(reader: HistoryReader) -> PullPreview:
        from_ms, until_ms = await _span(reader, app, *days)
        shown = (lambda _: None) if as_json else _show_looked_at
        found = await reader.preview(app, from_ms, until_ms, reports, shown)
        await warn_unsighted(reader.store, app)
        await warn_waiting(reader.inbox)
        return found

    found = run(_with_reader(settings, work))
    calls, problems = sum(one.calls for one in found.reports), [one for one in found.reports if one.problem]
    if as_json:
        print_json(found)
    else:
        show_survey(found.survey)
    for one in problems:
        complain(f"{one.report}: {one.problem}")
    complain(f"This has cost {plural(calls, 'call')} of AppsFlyer's quotas, and nothing was kept: the pull asks again.")
    if problems or found.survey.problems:
        raise typer.Exit(1)


def gaps(
    from_day: FromDay,
    to_day: ToDay = None,
    config: ConfigPath = None,
    only_app: OneApp = None,
    report: Reports = None,
    fill: Annotated[bool, typer.Option("--fill", help="Read what is missing.")] = False,
    locker: Annotated[
        bool, typer.Option("--locker", help="Compare with the Data Locker, as is done without an api_token.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare AppsFlyer's reports with what was received. Exit code 1 if something is missing and not filled."""
    settings = configured(config, only_app)
    app = chosen_app(settings, only_app)

    async def work(reader: HistoryReader) -> GapReport:
        if waiting := (await reader.inbox.depth(reader.clock.now_ms())).waiting:
            waits = plural(waiting, "message waits", "messages wait")
            complain(f"{waits} in the inbox, and may be among what is missing until flybridge serve has filed them.")
        from_ms, until_ms = await _span(reader, app, from_day, to_day, locker=reader.uses_locker(app, locker=locker))
        meter = Meter("rows compared")
        found = await in_turn(
            settings,
            reader.store,
            "gaps",
            app.name,
            lambda: reader.gaps(
                app, from_ms, until_ms, fill=fill, reports=report or (), locker=locker, shown=meter.count
            ),
        )
        meter.end()
        return found

    span, job = f"From {from_day} to {to_day or 'now'}.", Job("gaps", [app.name])
    with audited(settings, "fill_gaps", app.name, span, job=job, new=True) if fill else kept(settings, job) as result:
        found = run(_with_reader(settings, work))
        result.detail = f"{plural(found.missing, 'row is', 'rows are')} missing." if not fill else ""
        result.detail = result.detail or f"{found.filled} of {found.missing} rows were filled."
        result.ok = not found.problems
    if as_json:
        print_json(found)
    else:
        show_gaps(found)
        if found.missing > found.filled and not fill:
            complain("With --fill, what is missing is read.")
    if found.problems or found.missing > found.filled:
        raise typer.Exit(1)


def _question(app: App, from_ms: int, until_ms: int, reports: Sequence[PulledReport]) -> str:
    days, n = (until_ms - 1) // DAY_MS - from_ms // DAY_MS + 1, len(reports or app.history.reports)
    return (
        f"Pull {plural(days, 'day')} of {plural(n, 'report')} of {app.name}? Amplitude bills a person for "
        "each month of their events, and nothing can be deleted in Amplitude."
    )


def _show_progress(state: Pulled) -> None:
    complain(f"{state.report}: {plural(state.rows, 'row')}, {state.taken:,} taken{_left(state)}")


def _show_looked_at(state: Pulled) -> None:
    complain(f"{state.report}: {plural(state.rows, 'row')} looked at{_left(state)}")


def _left(state: Pulled) -> str:
    return f", {plural(len(state.pending), 'window')} to go" if state.pending else ""


async def _span(
    reader: HistoryReader, app: App, from_day: str, to_day: str | None, *, locker: bool = False
) -> tuple[int, int]:
    """Return the span of time. Raises `ConfigError` for days that AppsFlyer, or flybridge, does not know any more."""
    now_ms = reader.clock.now_ms()
    from_ms, until_ms = day_span(from_day, to_day)
    until_ms = min(until_ms, now_ms)
    if from_ms >= now_ms:
        raise ConfigError("--from", f"{from_day} has not begun: it is {day_of(now_ms)}.", "Name a day that has.")
    if not locker and from_ms < now_ms - (LOOKBACK_DAYS + 1) * DAY_MS:
        raise ConfigError("--from", f"AppsFlyer's reports reach {LOOKBACK_DAYS} days back.", "Import files instead.")
    remedy = "Ask for later days, or for days before flybridge received any."
    days = (day_of(from_ms), day_of(until_ms - 1))
    await check_live_days(reader.config, reader.store, app, days, now_ms, remedy=remedy)
    return from_ms, until_ms


async def _with_reader(settings: Config, work: Callable[[HistoryReader], Awaitable[T]]) -> T:
    async with opened(settings) as (inbox, store), opened_download() as download:
        return await work(HistoryReader(settings, inbox, store, download, build_flow(settings), SystemClock()))
