"""The demo itself: start everything, send traffic, wait until all of it has ended, compare."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from msgspec import Struct

from flybridge.demo.cohorts import CohortVerdict
from flybridge.demo.environment import Environment, LocalEnvironment
from flybridge.demo.performance import (
    PerformanceTruth,
    PerformanceVerdict,
    compare_performance,
    tell_sandbox,
    truth_of,
)
from flybridge.demo.reconciliation import (
    ReconciliationVerdict,
    SandboxTime,
    judge_reconciliation,
    tell_raw_data,
)
from flybridge.demo.records import judge_records, read_records
from flybridge.demo.sender import Outgoing, PushRetries, Sender, Sent
from flybridge.demo.streams import StreamVerdict, interleaved
from flybridge.demo.verdict import AppVerdict, OutageVerdict
from flybridge.demo.watch import ServiceFigures
from flybridge.errors import FlybridgeError
from flybridge.insight.account import Account, balance
from flybridge.records import DAY_MS
from flybridge.sandbox.traffic.products import products
from flybridge.sandbox.traffic.traffic import TrafficMessage, TrafficOptions, generate
from flybridge.service import backends
from flybridge.store.figures import LedgerEntry

MESSAGE_HOURS: Final = 720.0
"""How long the demo keeps messages, so that the page of an event shows it field by field: all its days."""
REST_S: Final = 300.0
HURRY_S: Final = 5
"""By how much the clock is moved while nothing changes: less than a lease lasts."""


class Scenario(Struct, frozen=True):
    """What is sent and what goes wrong. The same scenario has the same traffic and the same faults.

    `expires`: at the end the clock is moved past the window of every hold. `products`: product events for AppsFlyer, as
    a share of the postbacks. `connections`: of the sender. `poll_s`: the interval of reading metrics, in seconds.
    `reconciles`: whether the differences between AppsFlyer's, flybridge's and Amplitude's counts are explained, too.
    `hurries`: where all that is in flight waits for another try, the clock is moved until it is due.
    """

    events: int = 2_000
    seed: int = 1
    faults: str = "none"
    options: TrafficOptions = TrafficOptions(comes_back=0.4, span_ms=35 * DAY_MS)
    expires: bool = True
    products: float = 0.4
    connections: int = 64
    poll_s: float = 0.5
    push_retries: PushRetries = PushRetries.NEVER
    reconciles: bool = False
    hurries: bool = False


class DemoResult(Struct, frozen=True):
    """What the demo found."""

    scenario: Scenario
    seconds: float
    events_per_s: float
    sent: dict[str, Any]
    lost: int
    account: Account
    apps: Sequence[AppVerdict]
    streams: Sequence[StreamVerdict] = ()
    cohort: CohortVerdict | None = None
    performance: Sequence[PerformanceVerdict] = ()
    reconciliation: Sequence[ReconciliationVerdict] = ()
    outage: Sequence[OutageVerdict] = ()

    @property
    def differences(self) -> int:
        """The number of disagreements, and of postbacks that were lost."""
        found = sum(len(app.disagreements) for app in self.apps)
        found += sum(len(stream.disagreements) for stream in self.streams)
        found += self.cohort.differences if self.cohort is not None else 0
        found += sum(len(one.differences) for one in self.performance)
        found += sum(len(one.wrong) for one in self.reconciliation)
        found += self.lost + sum(one.differences for one in self.outage)
        return len(self.account.discrepancies) + found


@asynccontextmanager
async def started(
    scenario: Scenario, kind: Callable[..., Environment] = LocalEnvironment
) -> AsyncIterator[Environment]:
    """Yield a started environment in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="flybridge-demo-") as directory:
        environment = kind(
            Path(directory),
            faults=scenario.faults,
            seed=scenario.seed,
            with_cohort=kind is LocalEnvironment,
            message_hours=MESSAGE_HOURS,
        )
        try:
            await environment.start()
            yield environment
        finally:
            await environment.stop()


async def run_scenario(
    environment: Environment,
    scenario: Scenario,
    show: Callable[[ServiceFigures, Sent], None] = lambda _, __: None,
    *,
    step: Callable[[str], None] = lambda _: None,
    after_sending: Awaitable[None] | None = None,
) -> DemoResult:
    """Send a scenario's traffic, wait until all of it has ended, and compare. Waits for `after_sending` before that.

    `show` gets the figures again and again, and `step` a sentence when something else begins.
    Raises `FlybridgeError` if something is still in flight after five minutes.
    """
    messages = list(generate(scenario.seed, scenario.events, environment.apps, scenario.options))
    made = list(products(messages, scenario.seed, scenario.products))
    count = len(messages) + len(made)
    truth = truth_of(messages)
    sender = Sender(
        *environment.intake_origins,
        connections=scenario.connections,
        late=environment.late_refusals,
        push_retries=scenario.push_retries,
    )
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    started = perf_counter()
    watching = asyncio.create_task(_watch(environment, sender, show, scenario.poll_s))
    moving = asyncio.create_task(_move_cohort(environment))
    try:
        await tell_sandbox(environment.client, environment.loaded(), truth)
        line = interleaved(messages, made)
        step(f"Sending {len(messages):,} messages of AppsFlyer's and {len(made):,} of Amplitude's stream.")
        await sender.send(Outgoing(message.path, message.body, headers) for message in line)
        count -= sender.sent.lost
        if after_sending is not None:
            await after_sending
        step("All is sent. Waiting until everything is delivered, held, or ended with a reason.")
        await moving
        await wait_for_rest(environment, count, scenario.poll_s, hurries=scenario.hurries)
        if scenario.expires:
            step(f"Moving the clock past {environment.window_hours:g} hours, so that what still waits expires.")
            await _expire(environment, count, scenario.poll_s)
        cohort = await _judge_cohort(environment, step)
    finally:
        watching.cancel()
        moving.cancel()
    seconds = perf_counter() - started
    show(await environment.figures(), sender.sent)
    now_ms, records = await environment.client.now_ms(), await read_records(environment.client)
    step("Comparing every event, and every figure of performance, with what was generated.")
    await environment.close()
    account, ledger = await account_and_ledger(environment)
    performance, reconciliation = await judge_figures(
        environment, truth, now_ms, messages if scenario.reconciles else ()
    )
    verdicts, streamed = judge_records(
        environment.apps,
        messages,
        made,
        ledger=ledger,
        records=records,
        repeats=Counter(sender.repeated),
        after_expiry=scenario.expires,
    )
    return DemoResult(
        scenario,
        round(seconds, 2),
        round(count / seconds, 1),
        _as_plain(sender.sent),
        sender.sent.lost,
        account,
        verdicts,
        streamed,
        cohort,
        performance,
        reconciliation,
    )


async def _move_cohort(environment: Environment) -> None:
    if environment.cohort is not None:
        await environment.cohort.move(environment.client, environment.intake_origins[0])


def _as_plain(sent: Sent) -> dict[str, Any]:
    times = {"p50_ms": round(sent.p(0.5) * 1000, 2), "p99_ms": round(sent.p(0.99) * 1000, 2)}
    return {"acknowledged": sent.acknowledged, "again": sent.again, "refused": sent.refused} | times


async def _judge_cohort(environment: Environment, step: Callable[[str], None]) -> CohortVerdict | None:
    if environment.cohort is None:
        return None
    step("Waiting until AppsFlyer's audience is in step with Amplitude's cohort.")
    return await environment.cohort.judge(environment.client, environment.intake_origins[0])


async def _watch(
    environment: Environment, sender: Sender, show: Callable[[ServiceFigures, Sent], None], poll_s: float
) -> None:
    while True:
        with suppress(FlybridgeError):
            show(await environment.figures(), sender.sent)
        await asyncio.sleep(poll_s)


async def wait_for_rest(
    environment: Environment, messages: int = 0, poll_s: float = 0.5, *, hurries: bool = False
) -> None:
    """Wait until three readings in a row have nothing in flight, and that many messages an outcome.

    With `hurries` the sandbox's clock, which flybridge follows, is moved while nothing changes.
    """
    deadline, quiet = perf_counter() + REST_S, 0
    before: ServiceFigures | None = None
    while quiet < 3:
        if perf_counter() > deadline:
            raise FlybridgeError(f"After {REST_S:.0f} seconds there is still something in flight.")
        now = await environment.figures()
        quiet = quiet + 1 if now.in_flight == 0 and sum(now.outcomes.values()) >= messages else 0
        if hurries and now == before:
            await environment.client.advance(HURRY_S)
        before = now
        await asyncio.sleep(poll_s / 2)


async def _expire(environment: Environment, messages: int, poll_s: float) -> None:
    """Move the sandbox's clock, which flybridge follows, past the window of every hold; wait until none is left."""
    await environment.client.advance(round(environment.window_hours * 3600) + 3600)
    deadline = perf_counter() + REST_S
    while (await environment.figures()).outcomes["held"]:
        if perf_counter() > deadline:
            raise FlybridgeError(f"{REST_S:.0f} seconds after the end of their window there are still events held.")
        await asyncio.sleep(poll_s / 2)
    await wait_for_rest(environment, messages, poll_s)


async def judge_figures(
    environment: Environment, truth: PerformanceTruth, now_ms: int, reconciled: Sequence[TrafficMessage] = ()
) -> tuple[list[PerformanceVerdict], list[ReconciliationVerdict]]:
    """Compare every metric of performance with the truth, and the vendors' counts of what is to be reconciled."""
    config, sandbox = environment.loaded(), environment.client
    async with backends.opened_download() as download, backends.opened_store(config) as store:
        performance = await compare_performance(config, store, download, truth, now_ms)
        if not reconciled:
            return performance, []
        await tell_raw_data(sandbox, config, reconciled)
        clock = SandboxTime(sandbox)
        return performance, await judge_reconciliation(config, store, (sandbox, download), clock, reconciled)


async def account_and_ledger(environment: Environment) -> tuple[Account, list[LedgerEntry]]:
    """Return the account and the ledger. No process of flybridge may run."""
    async with backends.opened(environment.loaded()) as (inbox, store):
        account = balance(await inbox.received(), await inbox.waiting(), await store.counts(), await store.audit())
        return account, [entry async for entry in store.ledger()]
