"""The end of the demo: flybridge is down for days, AppsFlyer pushes in vain, and the gap is filled.

AppsFlyer does not push a message again. What it has kept in its reports is compared with what was received, and exactly
what is missing is read; then truth and Amplitude are compared event by event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import structs

from flybridge.demo.environment import DemoApp, LocalEnvironment
from flybridge.demo.performance import tell_sandbox, truth_of
from flybridge.demo.run import wait_for_rest
from flybridge.demo.sender import Outgoing, PushRetries, Sender
from flybridge.demo.verdict import OutageVerdict
from flybridge.history.gap_report import GapReport
from flybridge.operations.read_history import HistoryReader
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.traffic.traffic import TrafficMessage, TrafficOptions, generate
from flybridge.sandbox.traffic.truth import Fate, compare
from flybridge.service import backends
from flybridge.testing.clocks import ManualClock
from flybridge.wiring import build_flow

DAYS: Final = 4
SPAN_MS: Final = 3 * 3_600_000
OTHER_PEOPLE: Final = 1_000_000
"""Added to the seed: the same seed begins with the same people."""
TRIES: Final = 40


async def play_outage(environment: LocalEnvironment, *, seed: int, events: int) -> list[OutageVerdict]:
    """Push messages while flybridge is stopped, start it, and fill the gap. It must be stopped, and is in the end."""
    apps = [app for app in environment.apps if app.route == "http_v2"]
    sandbox = environment.client
    began_ms = await sandbox.now_ms()
    messages = {app.name: outage_traffic(app, seed, events, began_ms) for app in apps}
    days = days_down((one for sent in messages.values() for one in sent), began_ms)
    await sandbox.advance(days * 86_400)
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    line = [one for sent in messages.values() for one in sent]
    await tell_sandbox(sandbox, environment.loaded(), truth_of(line))
    pushed = [one for one in line if one.path.startswith("/v1/push/")]
    sender = Sender(*environment.intake_origins, push_retries=PushRetries.NEVER)
    await sender.send(Outgoing(one.path, one.body, headers) for one in pushed)
    for app in apps:
        body = b"\n".join(one.body for one in messages[app.name] if one.path.startswith("/v1/push/"))
        await sandbox.post("raw/happened", body, app=app.appsflyer_app_id)
    await environment.bridge.start()
    rest = [one for one in line if not one.path.startswith("/v1/push/")]
    await Sender(*environment.intake_origins).send(Outgoing(one.path, one.body, headers) for one in rest)
    until_ms = await sandbox.now_ms()
    filled = {app.name: Counter[str]() for app in apps}
    left = list(apps)
    for tried in range(TRIES):  # reports meet scripted faults like everything else, and are asked for again later
        now_ms = until_ms + tried * HOUR_MS
        reports = await _fill(environment, left, began_ms - DAY_MS, until_ms, now_ms)
        await wait_for_rest(environment)
        for name, report in reports.items():
            filled[name].update(missing=report.missing, filled=report.filled)
        left = [app for app in left if reports[app.name].problems or reports[app.name].missing]
        if not left:
            break
    saved, rejected = await sandbox.record("saved"), await sandbox.record("rejected")
    await environment.close()
    verdicts = []
    for app in apps:
        own = [row for row in saved if row["project"] == app.api_key and row["time_ms"] >= began_ms - 1000]
        refused = [row for row in rejected if row["project"] == app.api_key]
        found = filled[app.name]
        delivered, wrong = _compared(messages[app.name], own, refused)
        lost = sum(one.path.startswith("/v1/push/") for one in messages[app.name])
        verdicts.append(
            OutageVerdict(app.name, lost, found["missing"], found["filled"], int(app in left), delivered, wrong)
        )
    return verdicts


def outage_traffic(app: DemoApp, seed: int, events: int, start_ms: int) -> list[TrafficMessage]:
    """Return what is pushed in vain. None of it is of people whom the demo's other traffic has made known."""
    options = TrafficOptions(start_ms=start_ms, span_ms=SPAN_MS, malformed=0, odd=0, duplicates=0, late=0)
    return list(generate(seed + OTHER_PEOPLE, events, [app], options))


def days_down(messages: Iterable[TrafficMessage], began_ms: int) -> int:
    """Return for how many days flybridge is down: longer than the traffic lasts, of which some comes days later."""
    last_ms = max((one.truth.time_ms for one in messages), default=began_ms)
    return max(DAYS, (last_ms - began_ms) // DAY_MS + 1)


def _compared(
    messages: Sequence[TrafficMessage], saved: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]]
) -> tuple[int, list[str]]:
    """Compare truth and Amplitude. Reports have whole seconds: events of one name and second are compared by number."""
    truths = [
        structs.replace(one.truth, time_ms=one.truth.time_ms // 1000 * 1000)
        for one in messages
        if one.path.startswith("/v1/push/")
    ]
    due = [one for one in truths if one.expected("http_v2").fate is Fate.DELIVERED]
    times = Counter((one.event_type, one.time_ms) for one in due)
    alone = [one for one in truths if times[one.event_type, one.time_ms] < 2]
    comparison = compare(alone, [row for row in saved if times[row["event_type"], row["time_ms"]] < 2], rejected)
    found = Counter((row["event_type"], row["time_ms"]) for row in saved)
    refused = {(row["event_type"], row["time_ms"]) for row in rejected}
    wrong = [f"Message {number} is not in Amplitude." for number in comparison.missing]
    wrong += [f"Amplitude has {row['event_type']!r}, which was not sent." for row in comparison.unexpected]
    wrong += [f"Message {one.id}: {one.field} is {one.found!r}, not {one.true!r}." for one in comparison.different]
    wrong += [
        f"Of {n} events {name!r} of one second Amplitude has {found[name, at]}."
        for (name, at), n in times.items()
        if n > 1 and found[name, at] != n and (name, at) not in refused
    ]
    return min(len(due), len(saved)), wrong


async def _fill(
    environment: LocalEnvironment, apps: Sequence[DemoApp], from_ms: int, until_ms: int, now_ms: int
) -> dict[str, GapReport]:
    """Search all apps' reports for what is missing, and read it."""
    config = environment.loaded()
    found = {}
    async with backends.opened_download() as download, backends.opened(config) as (inbox, store):
        reader = HistoryReader(config, inbox, store, download, build_flow(config), ManualClock(now_ms))
        for app in apps:
            settings = config.app(app.name)
            assert settings is not None, "the configuration is that of the environment"
            found[app.name] = await reader.gaps(settings, from_ms, until_ms, fill=True)
    return found
