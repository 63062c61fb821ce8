"""`flybridge reconcile` and `flybridge findings`: why the counts differ, and what in them is worth a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Annotated, Any

import typer

from flybridge.cli.audit import Job, kept
from flybridge.cli.common import AppName, AsJson, ConfigPath, configured, in_turn, of_options, with_store
from flybridge.cli.printing import NOT_SET, complain, label, print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.errors import ConfigError
from flybridge.insight.causes import CAUSES, STEPS
from flybridge.insight.differences import (
    REVENUE,
    DifferenceQuestion,
    asked_differences,
    notes_of,
    partly_compared,
    read_differences,
    zones_apart,
)
from flybridge.insight.findings import read_findings
from flybridge.insight.performance import AppScope, last_day_over
from flybridge.insight.question import chosen_scopes, day_asked
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.wiring import scopes_of

MOST_NAMED = 12
COHORT_DAYS, COHORT_AGE = 7, 7
"""How many days of installs are compared, and how many days these are over, unless days are named."""
VENDORS = {
    "appsflyer": ("AppsFlyer", "appsflyer.api_token"),
    "amplitude": ("Amplitude", "amplitude.secret_key"),
}


def reconcile(
    config: ConfigPath = None,
    day: Annotated[
        str | None, typer.Option("--day", help="The day to compare, as 2026-01-31; by default yesterday.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="The first of several days.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last of several days.")] = None,
    only_app: AppName = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this media source.")] = None,
    event: Annotated[
        str | None, typer.Option("--event", help="A conversion (by default install), or the name of an in-app event.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="What is compared: count (the default), or revenue of in-app events.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Groups, separated by commas: date, source, app.")] = None,
    cohorts: Annotated[
        bool, typer.Option("--cohorts", help="Compare what installs did on the days after, with the Cohort API.")
    ] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Show what was compared before, and ask no vendor.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the counts of AppsFlyer, flybridge and Amplitude, and say why they differ."""
    settings = configured(config, only_app)
    if day and (first or last):
        raise ConfigError("--day", "is one day, and --from and --to are several.", "Leave out one of the two.")
    if day:
        day_asked("--day", day)
    now_ms = SystemClock().now_ms()
    scopes = chosen_scopes(scopes_of(settings, now_ms), only_app)
    given = {"from": first or day, "to": last or day, "media_source": source, "event": event, "by": by,
             "metric": metric}  # fmt: skip
    if cohorts:
        compared = _cohorts(settings, scopes, given, stored=stored)
        if as_json:
            print_json(compared)
            return
        _print_cohorts(compared)
        answered = [one for one in compared["days"] if one["made_at"]]
        for sentence in partly_compared(compared | {"days": answered}, scopes):
            complain(sentence)
        return
    if not (day or first or last):
        given["from"] = given["to"] = _yesterday(scopes)
    with of_options():
        question = asked_differences(given, scopes)
    if stored:
        found = _found(settings, scopes, question, stored=True)
    else:
        with kept(settings, Job("compare", [scope.name for scope in scopes])) as result:
            found = _found(settings, scopes, question, stored=False)
            result.detail = f"Compared {found['from']} to {found['to']}."
    if as_json:
        print_json(found)
        return
    _print(found)
    for sentence in partly_compared(found, scopes):
        complain(sentence)


def findings(config: ConfigPath = None, only_app: AppName = None, as_json: AsJson = False) -> None:
    """Show what in the figures of the last weeks is worth a look. No vendor is asked."""
    from flybridge.operations.find import find_and_keep  # noqa: PLC0415 - of this command alone

    settings = configured(config, only_app)
    now_ms = SystemClock().now_ms()
    scopes = chosen_scopes(scopes_of(settings, now_ms), only_app)

    async def work(store: Store) -> dict[str, Any]:
        for scope in scopes:
            await find_and_keep(store, scope, now_ms)
        return await read_findings(store, scopes)

    found = with_store(settings, work)
    if as_json:
        print_json(found)
        return
    for one in found["findings"]:
        say(one["title"], "bold")
        say(one["sentence"])
        say(one["remedy"])
        say("")
    if not found["findings"]:
        say("Nothing in the figures of the last weeks needs a look.")


def _yesterday(scopes: Sequence[AppScope]) -> str:
    return date_of(last_day_over(scopes)).isoformat()


def _todays(scopes: Sequence[AppScope], first: int) -> dict[str, int]:
    """Return which day it is in each app in which the first day asked for is over, and name the others."""
    todays = {scope.name: scope.today for scope in scopes}
    for name, today in todays.items():
        if today <= first:
            over = date_of(today - 1)
            complain(f"{name}: a day that is not over is not compared. The last that is over is {over}.")
    return {name: today for name, today in todays.items() if first < today}


def _found(
    settings: Config, scopes: Sequence[AppScope], question: DifferenceQuestion, *, stored: bool
) -> dict[str, Any]:
    async def read(store: Store) -> dict[str, Any]:
        return await read_differences(store, scopes, question)

    async def ask(store: Store) -> dict[str, Any]:
        from flybridge.amplitude.dashboard import COST, SUMS_COST  # noqa: PLC0415
        from flybridge.operations.count_amplitude import USED, QueryBudget  # noqa: PLC0415 - only when vendors are asked
        from flybridge.operations.reconcile import Reconciler  # noqa: PLC0415
        from flybridge.operations.reconcile_plan import reconcile_plans_of  # noqa: PLC0415
        from flybridge.service.backends import opened_download, opened_transport  # noqa: PLC0415

        clock = SystemClock()
        todays = _todays(scopes, question.first)
        plans = [plan for plan in reconcile_plans_of(settings) if plan.app in todays]
        events = settings.insight.reconcile_events
        one_day = sum((events + 2) * COST + events * SUMS_COST for plan in plans if plan.credentials)
        most = one_day * (question.last - question.first + 1)
        if most > USED:
            complain(f"Amplitude's budget of queries may be used up: this takes up to {most // USED * 5} minutes.")
        async with opened_transport() as transport, opened_download() as download:
            reconciler = Reconciler(store, QueryBudget(transport, clock), download, clock)
            for plan in plans:
                # A day that is not over can't be compared.
                last = min(question.last, todays[plan.app] - 1)
                work = partial(reconciler.run, plan, question.first, last, again=True)
                await in_turn(settings, store, "compare", plan.app, work)
        return await read(store)

    return with_store(settings, read if stored else ask)


def _cohorts(
    settings: Config, scopes: Sequence[AppScope], given: Mapping[str, str | None], *, stored: bool
) -> dict[str, Any]:
    from flybridge.insight.cohort_differences import (  # noqa: PLC0415 - only with --cohorts
        asked_cohort_differences,
        read_cohort_differences,
    )

    if given["event"] or given["metric"]:
        raise ConfigError("--cohorts", "cohorts are compared whole.", "Leave --event and --metric out.")
    if not (given["from"] or given["to"]):
        last = date.fromisoformat(_yesterday(scopes)) - timedelta(days=COHORT_AGE)
        given = {**given, "from": f"{last - timedelta(days=COHORT_DAYS - 1)}", "to": f"{last}"}
    with of_options():
        question = asked_cohort_differences(given, scopes)

    async def read(store: Store) -> dict[str, Any]:
        return await read_cohort_differences(store, scopes, question)

    async def ask(store: Store) -> dict[str, Any]:
        from flybridge.operations.compare_cohorts import CohortComparer  # noqa: PLC0415
        from flybridge.operations.reconcile_plan import reconcile_plans_of  # noqa: PLC0415
        from flybridge.service.backends import opened_download  # noqa: PLC0415

        todays = _todays(scopes, question.first)
        async with opened_download() as download:
            comparer = CohortComparer(store, download, SystemClock())
            for plan in reconcile_plans_of(settings):
                if plan.app in todays and plan.account:
                    days = range(question.first, min(question.last + 1, todays[plan.app]))
                    await in_turn(settings, store, "compare", plan.app, partial(comparer.run, plan, days))
        return await read(store)

    return with_store(settings, read if stored else ask)


def _print_cohorts(found: Mapping[str, Any]) -> None:
    rows = []
    for one in [*found["rows"], *({**dict.fromkeys(found["by"], "total"), **one} for one in found["total"])]:
        labels = {label(name): one[name] or NOT_SET for name in found["by"]}
        of = "installs" if one["day"] is None else f"{one['metric']} D{one['day']}"
        causes = ", ".join(f"{CAUSES[part['code']].title} {_number(part['n'], '+')}" for part in one["causes"])
        rows.append(
            labels
            | {"what": of, "AppsFlyer": _number(one["appsflyer"]), "flybridge": _number(one["flybridge"]),
               "unexplained": _number(one["unexplained"]), "why": causes}
        )  # fmt: skip
    money = f", revenue in {found['currency']}" if found["currency"] else ""
    nothing = "Nothing was compared. AppsFlyer's Cohort API is asked with appsflyer.api_token, and not with --stored."
    numbers = ["AppsFlyer", "flybridge", "unexplained"]
    print_rows(f"Installs of {found['from']} to {found['to']}{money}", rows, nothing, right=numbers)
    for note in notes_of(found["days"]):
        complain(note)


def _print(found: Mapping[str, Any]) -> None:
    what = found["event"] or found["kind"]
    if found["metric"] == REVENUE:
        what = f"Revenue of {found['event'] or 'all in-app events'}"
        what += f" in {found['currency']}" if found["currency"] else ""
    period = found["from"] if found["from"] == found["to"] else f"{found['from']} to {found['to']}"
    rows = [_row(found["by"], one) for one in found["rows"]]
    if len(rows) > 1:
        total = _row(found["by"], found["total"])
        rows.append(total | {name: "total" if not at else "" for at, name in enumerate(map(label, found["by"]))})
    numbers = ["AppsFlyer", "flybridge", "Amplitude", "unexplained"]
    print_rows(f"{what}, {period}", rows, _nothing(found), right=numbers)
    causes = [_cause(one) for one in found["total"]["causes"]]
    if causes:
        print_rows("Why they differ", causes, "", right=["n"])
    for note in [*zones_apart(found["days"]), *notes_of(found["days"])]:
        complain(note)
    for side, (name, needs) in VENDORS.items():
        if found["days"] and not any(one[side] for one in found["days"]):
            complain(f"{name} was not asked, or did not answer: it is asked with {needs}.")
            continue
        known, whole = found["total"][f"flybridge_with_{side}"], found["total"]["flybridge"]
        if known != whole:
            complain(
                f"{name}'s total is to be compared with {_number(known)} of flybridge's {_number(whole)}: of the rest "
                f"{name} was not asked, or did not answer."
            )
    if any(not one["is_final"] for one in found["days"]):
        say("AppsFlyer's figures of a day are final 48 hours after it.")


def _nothing(found: Mapping[str, Any]) -> str:
    """Return a sentence for a comparison without rows: what else could be asked for."""
    if not found["days"]:
        return "Nothing was compared on these days. Without --stored the vendors are asked."
    known = [one["event"] or one["kind"] for one in found["events"]]
    if not known:
        return "Nothing was counted on these days."
    named = ", ".join(known[:MOST_NAMED])
    more = f", and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"Nothing was counted of this on these days. There is {named}{more}."


def _row(by: Sequence[str], one: Mapping[str, Any]) -> dict[str, Any]:
    labels = {label(name): one.get(name) or NOT_SET for name in by}
    return labels | {
        "AppsFlyer": _number(one["appsflyer"]),
        "flybridge": _number(one["flybridge"]),
        "Amplitude": _number(one["amplitude"]),
        "unexplained": _number(one["left"]),
    }


def _number(n: float | None, sign: str = "") -> str:
    """Return a count, or an amount to the cent. Nothing has no sign."""
    sign = sign if n else ""
    return "n/a" if n is None else f"{n:{sign},}" if isinstance(n, int) else f"{n:{sign},.2f}"


def _cause(one: Mapping[str, Any]) -> dict[str, Any]:
    cause = CAUSES[one["code"]]
    details = ", ".join(
        f"{detail['detail']} {_number(detail['n'], '+')}"
        + (f" ({detail['events']:,} events)" if detail.get("events") else "")
        for detail in one["details"]
    )
    if one["more"] and one["less"]:
        offset = f"in some rows {_number(-one['less'], '+')}, in others {_number(one['more'], '+')}"
        details = f"{details}; {offset}" if details else offset
    return {
        "cause": cause.title,
        "n": _number(one["n"], "+"),
        "step": STEPS[cause.step].removeprefix("From "),
        "what it is": cause.sentence,
        "what to do": cause.remedy,
        "details": details,
    }
