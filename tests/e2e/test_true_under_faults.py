"""Every metric and every count is the true one after each script of faults, after a replay, and when people are
forgotten: in this process, on both databases.
"""

from __future__ import annotations

from typing import Any

from planting import APP_ID, DAY_START_MS, Bench

from flybridge.demo.performance import PerformanceTruth, compare_performance, tell_sandbox, truth_of
from flybridge.demo.reconciliation import ReconciliationVerdict, judge_reconciliation, tell_raw_data
from flybridge.identity import Keyring
from flybridge.operations.forget import PersonIds, forget
from flybridge.operations.replay import replay_all
from flybridge.records import DAY_MS, Source
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.faults import SCRIPTS, Faults, FaultScript
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.traffic.truth import Fate

EVENTS = 700
OPTIONS = TrafficOptions(
    late_seen=0.2, restricted=0.15, comes_back=0.5, malformed=0.02, start_ms=DAY_START_MS, span_ms=21 * DAY_MS
)
INSIGHT = 'timezone = "America/New_York"\ncurrency = "EUR"\nrates = { GBP = 1.165, JPY = 0.0061 }'


LONG_HOLD = "\n[apps.hold]\nwindow_hours = 360"
"""People are seen weeks after their install in this traffic, and the clock jumps there."""


class BenchTime:
    """The bench's clock, which the sandbox has, too: as the demo moves the sandbox's."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def now_ms(self) -> int:
        return self._bench.clock.now_ms()

    async def sleep(self, seconds: float) -> None:
        self._bench.clock.advance(seconds)

    async def move(self, now_ms: int) -> None:
        self._bench.clock.advance(max(301.0, (now_ms - self.now_ms()) / 1000))


class Played:
    """Traffic that went through a bench, and what has to be true of it."""

    def __init__(self, bench: Bench, messages: list[TrafficMessage]) -> None:
        self.bench, self.messages = bench, messages
        self.truth: PerformanceTruth = truth_of(messages)

    async def wrong(self) -> list[str]:
        """Return what is not the true figure, and what is not explained."""
        bench = self.bench
        now_ms = bench.clock.now_ms()
        (found,) = await compare_performance(bench.config, bench.store, bench.download, self.truth, now_ms)
        assert found.compared > 10_000
        self.counts = await self.reconciled()
        return [*found.differences, *self.counts.wrong]

    async def reconciled(self) -> ReconciliationVerdict:
        vendors: Any = (SandboxClient(self.bench.transport, self.bench.origin), self.bench.download)
        clock: Any = BenchTime(self.bench)
        (found,) = await judge_reconciliation(self.bench.config, self.bench.store, vendors, clock, self.messages)
        assert found.rows > 100
        return found


async def play(bench: Bench) -> Played:
    """Send traffic of three weeks, each part of it under another script of faults."""
    messages = list(generate(7, EVENTS, [TrafficApp("shop", "android", APP_ID)], OPTIONS))
    played = Played(bench, messages)
    client = SandboxClient(bench.transport, bench.origin)
    await tell_sandbox(client, bench.config, played.truth)
    await tell_raw_data(client, bench.config, messages)
    scripts = [*SCRIPTS.values(), FaultScript(silenced_devices=0.1, invalid_events=0.1, poison_events=0.05)]
    for number, message in enumerate(messages):
        at = number * len(scripts) // len(messages)
        if number == 0 or at != (number - 1) * len(scripts) // len(messages):
            bench.sandbox.amplitude.faults = Faults(scripts[at], at)
        bench.clock.advance(max(0, message.send_ms - bench.clock.now_ms()) / 1000)
        source = Source.PUSH if message.path.startswith("/v1/push") else Source.STREAM
        await bench.receive([message.body], source, at_ms=message.send_ms)
        if number % 50 == 0:
            await bench.deliver()
    bench.sandbox.amplitude.faults = Faults.named("none", 1)
    for _ in range(16):
        bench.clock.advance(DAY_MS / 1000)
        await bench.store.expire(bench.clock.now_ms())
        await bench.deliver()
    return played


async def test_figures_are_true_after_every_fault_a_replay_and_a_request_to_forget(new_bench):
    """And nothing is unexplained: each cause has as many events as were planted."""
    async with new_bench(insight=INSIGHT + LONG_HOLD, days="0") as bench:
        played = await play(bench)
        assert await played.wrong() == []
        found = {one.code: one.found for one in played.counts.causes}
        wanted = {"silenced", "rejected", "restricted", "unreadable", "expired", "booking_day", "day_boundary"}
        assert wanted <= set(found)

        done = await replay_all(bench.store, bench.flow, bench.clock)
        assert done.processed > 0
        assert done.redelivered > 0
        await bench.deliver()
        assert await played.wrong() == []
        assert played.counts.currencies["JPY"] + played.counts.currencies["GBP"] > 3

        installs = [one.truth for one in played.messages if one.reported is not None and one.truth.kind == "install"]
        for truth in [*installs[:3], next(one for one in installs if one.v2.fate is Fate.HELD)]:
            person, keyring = PersonIds(appsflyer_id=truth.appsflyer_id), Keyring(*bench.config.secrets)
            receipt = await forget(person, bench.config.apps, bench.store, keyring, clock=bench.clock)
            assert receipt.removed.tombstones > 0
        assert await played.wrong() == []
