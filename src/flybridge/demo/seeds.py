"""The comparisons of the demo for many seeds, in this process: `python -m flybridge.demo.seeds`.

A seed makes the traffic of some weeks, the script of faults, and the zones, currencies, rates and routes of three apps.
For each, every event is compared, every metric of performance, and every count of a reconciliation, of which each
difference must be explained by as many events of each cause as were planted; then all metrics again after a replay of
all dead letters, and after people were forgotten.

Nothing waits in real time: a seed takes seconds, and of a seed with a difference `flybridge demo` is not needed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from msgspec import Struct, structs

from flybridge.demo import streams
from flybridge.demo.environment import DemoApp, LocalEnvironment
from flybridge.demo.in_process import ORIGIN, InProcess, in_process
from flybridge.demo.performance import PerformanceTruth, compare_performance, tell_sandbox, truth_of
from flybridge.demo.reconciliation import TRIES, JumpingTime, judge_reconciliation, tell_raw_data
from flybridge.identity import Keyring
from flybridge.insight.causes import APPSFLYER
from flybridge.insight.cohort_comparison import REVENUE
from flybridge.insight.comparison import CENT
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.forget import PersonIds, forget
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.operations.replay import replay_all
from flybridge.records import DAY_MS
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.faults import SCRIPTS, Faults
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.planned import MessageKind, TrafficMessage
from flybridge.sandbox.traffic.products import products
from flybridge.sandbox.traffic.traffic import TrafficOptions, generate
from flybridge.sandbox.vendors.aggregates import PER_USD
from flybridge.store.performance import date_of
from flybridge.testing.inside import Inside

ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Pacific/Auckland")
AT_ONCE: Final = 40
"""Messages that come in together."""
STEP_S: Final = 5.0
REST_S: Final = 3600.0
RESTS: Final = 200
WAIT_S: Final = 73 * 3600.0
OPTIONS: Final = TrafficOptions(late_seen=0.3, comes_back=0.4, span_ms=35 * DAY_MS)
FORGOTTEN: Final = 3


class SeedResult(Struct, frozen=True):
    """What one seed came to. `compared` figures and counts; `wrong` are sentences about what is not as it must be."""

    seed: int
    faults: str
    events: int
    compared: int
    seconds: float
    wrong: Sequence[str]


def apps_of(seed: int) -> list[DemoApp]:
    """Return three apps, whose zone, currency, rates and route are drawn."""
    draw = random.Random(f"apps {seed}")  # noqa: S311 - repeatable on purpose
    kinds = (("shop-android", "android", "com.example.shop"), ("shop-ios", "ios", "id1234567890"),
             ("game-ios", "ios", "id2345678901"))  # fmt: skip
    apps = []
    for name, platform, app_id in kinds:
        currency = draw.choice(sorted(PER_USD))
        others = [other for other in sorted(PER_USD) if other != currency and draw.random() < 0.5]
        # As a table of rates has them: near those of AppsFlyer, and rounded.
        rates = {
            other: float(f"{PER_USD[currency] / PER_USD[other] * draw.uniform(0.97, 1.03):.3g}") for other in others
        }
        route = "attribution" if draw.random() < 0.3 else "http_v2"
        apps.append(DemoApp(name, platform, app_id, route, draw.choice(ZONES), currency, rates))
    return apps


def faults_of(seed: int) -> str:
    """Return the script of faults of a seed: all of them in turn."""
    return list(SCRIPTS)[seed % len(SCRIPTS)]


async def play(seed: int, events: int, faults: str, directory: Path) -> SeedResult:
    """Play the traffic of a seed with that many postbacks, and compare."""
    began = perf_counter()
    environment = LocalEnvironment(directory, faults=faults, seed=seed, apps=apps_of(seed))
    messages = list(generate(seed, events, environment.apps, OPTIONS))
    made = list(products(messages, seed, 0.4))
    truth = truth_of(messages)
    clock = JumpingTime(max(message.send_ms for message in messages) + DAY_MS)
    script = structs.replace(SCRIPTS[faults], slow_s=(0.0, 0.0))
    sandbox = Sandbox(clock, Faults(script, seed), appsflyer_faults=Faults(script, seed))
    inside = Inside(sandbox)
    client = SandboxClient(inside, ORIGIN)
    text = environment.config(ORIGIN)
    opened = in_process(environment, text, sandbox=sandbox, clock=clock, transport=inside, seed=seed)
    async with opened as flybridge:
        await tell_sandbox(client, flybridge.config, truth)
        await tell_raw_data(client, flybridge.config, messages)
        line = list(streams.interleaved(messages, made))
        for start in range(0, len(line), AT_ONCE):
            await flybridge.receive(line[start : start + AT_ONCE])
            await flybridge.work(STEP_S)
        await _rest(flybridge)
        wrong = list((await flybridge.judge(messages, made)).wrong)
        compared = len(line)
        found = await judge_reconciliation(flybridge.config, flybridge.store, (client, inside), clock, messages)
        wrong += [f"{one.app}: {what}" for one in found for what in one.wrong]
        compared += sum(one.rows + one.money for one in found)
        cohorts = await _cohorts(flybridge, inside, messages)
        compared += cohorts[0]
        wrong += cohorts[1]
        for after in ("", "after a replay: ", "when people were forgotten: "):
            if after.startswith("after"):
                await replay_all(flybridge.store, flybridge.flow, clock)
                await _rest(flybridge)
            elif after:
                await _forget_some(flybridge, messages)
            figures = await _performance(flybridge, inside, truth)
            compared += figures[0]
            wrong += [after + what for what in figures[1]]
    return SeedResult(seed, faults, events, compared, round(perf_counter() - began, 1), wrong)


async def _rest(flybridge: InProcess) -> None:
    """Work until nothing waits any more: neither here nor in Amplitude, which waits for people, too."""
    for _ in range(RESTS):
        await flybridge.work(REST_S)
        if not {count.outcome for count in await flybridge.store.counts()} & {"pending", "held"}:
            break
    await flybridge.work(WAIT_S)


async def _performance(flybridge: InProcess, inside: Inside, truth: PerformanceTruth) -> tuple[int, list[str]]:
    """Return how many figures were compared, and those that are not the true ones."""
    now_ms = flybridge.clock.now_ms()
    found = await compare_performance(flybridge.config, flybridge.store, inside, truth, now_ms)
    return sum(one.compared for one in found), [f"{one.app}: {what}" for one in found for what in one.differences]


async def _cohorts(flybridge: InProcess, inside: Inside, messages: Sequence[TrafficMessage]) -> tuple[int, list[str]]:
    """Return how many figures of cohorts were compared with AppsFlyer's, and those that nothing explains."""
    comparer = CohortComparer(flybridge.store, inside, flybridge.clock)
    compared, wrong = 0, list[str]()
    for plan in reconcile_plans_of(flybridge.config):
        facts = [one.reported for one in messages if one.reported is not None and one.truth.app == plan.app]
        days = [plan.insight.day(fact.install_ms) for fact in facts]
        for one in range(min(days), max(days) + 1) if days else ():
            for _ in range(TRIES):
                (day,) = await comparer.run(plan, [one])
                if not day.notes:
                    break
            compared += len(day.rows)
            wrong += [f"{plan.app}: {note}" for note in day.notes]
            for row in day.rows:
                left, least = row.unexplained(APPSFLYER) or 0, CENT if row.key.kind == REVENUE else 1
                if abs(left) >= least:
                    what = f"{row.key.kind} to day {row.key.event or 0} of {row.key.media_source}, {date_of(day.day)}"
                    wrong.append(f"{plan.app}: of {what}, {left} of {row.appsflyer} are unexplained.")
    return compared, wrong


async def _forget_some(flybridge: InProcess, messages: Sequence[TrafficMessage]) -> None:
    installs = [message.truth.appsflyer_id for message in messages if message.truth.kind == MessageKind.INSTALL]
    keyring = Keyring(*flybridge.config.secrets)
    for appsflyer_id in [one for one in installs if one is not None][:FORGOTTEN]:
        person = PersonIds(appsflyer_id=appsflyer_id)
        await forget(person, flybridge.config.apps, flybridge.store, keyring, clock=flybridge.clock)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play seeds one after the other and print what each came to. Return 1 if anything is not as it must be."""
    options = argparse.ArgumentParser(prog="python -m flybridge.demo.seeds", description=__doc__)
    options.add_argument("--events", type=int, default=400, help="postbacks of each seed")
    options.add_argument("--first", type=int, default=1, help="the first seed")
    options.add_argument("--seeds", type=int, default=25, help="how many seeds")
    options.add_argument("--faults", choices=list(SCRIPTS), help="one script, in place of all in turn")
    chosen = options.parse_args(arguments)
    wrong = 0
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        with tempfile.TemporaryDirectory(prefix="flybridge-seeds-") as directory:
            result = asyncio.run(play(seed, chosen.events, chosen.faults or faults_of(seed), Path(directory)))
        wrong += len(result.wrong)
        title = f"seed {seed}, {result.faults}: {result.compared:,} compared in {result.seconds:g} s"
        print(f"{title}, {len(result.wrong)} wrong", *result.wrong[:20], sep="\n  ", flush=True)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
