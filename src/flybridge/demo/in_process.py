"""flybridge between the sandbox's vendors in one process, on a clock that is moved by hand. Nothing waits in real time.

For scenarios that last days, and for many seeds. What was sent is judged as the demo does: by the generator's truth,
the ledger, and what the vendors hold.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from flybridge.config.settings import Config
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Transport
from flybridge.delivery.worker import Worker
from flybridge.demo.environment import DemoApp, Environment
from flybridge.demo.records import judge_records, read_records
from flybridge.flow.filing import Flow
from flybridge.insight.account import balance
from flybridge.records import Envelope, Media, Source
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product
from flybridge.service import backends
from flybridge.store.figures import Count
from flybridge.store.protocol import Store
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside
from flybridge.wiring import build_flow, endpoints_of

ORIGIN: Final = "http://sandbox"


class InProcessVerdict(Struct, frozen=True):
    """What became of the traffic. `wrong` are sentences about what is not as it must be."""

    counts: Sequence[Count]
    uncertain: int
    wrong: Sequence[str]


class InProcess(Struct):
    """A flow, a store and a worker, which sends to `sandbox`. `received` counts messages."""

    apps: Sequence[DemoApp]
    config: Config
    store: Store
    sandbox: Sandbox
    clock: JumpingClock
    flow: Flow
    worker: Worker
    received: int = 0

    async def receive(self, line: Iterable[TrafficMessage | Product]) -> None:
        """File messages that come in now."""
        now_ms, envelopes = self.clock.now_ms(), []
        for message in line:
            _, _, door, app = message.path.split("/")[:4]
            receipt = f"receipt-{self.received}"
            envelopes.append(Envelope(app, Source(door), Media.JSON, now_ms, message.body, receipt))
            self.received += 1
        await self.store.file(self.flow.filings(envelopes), now_ms)

    async def work(self, seconds: float) -> None:
        """Send all that is due, and let that much time pass."""
        while await self.store.expire(self.clock.now_ms()):
            pass
        before_ms = self.clock.now_ms()
        await self.worker.drain()
        self.clock.advance(max(0.0, seconds - (self.clock.now_ms() - before_ms) / 1000))

    async def judge(self, messages: Sequence[TrafficMessage], made: Sequence[Product]) -> InProcessVerdict:
        """Compare the truth, the ledger and both vendors' records, after the end of every wait."""
        ledger = [entry async for entry in self.store.ledger()]
        counts = await self.store.counts()
        received: defaultdict[tuple[str, str], int] = defaultdict(int)
        for count in counts:
            received[count.app, count.day] += count.n
        account = balance(received, {}, counts, await self.store.audit())
        wrong = [f"{one.app} {one.day}: {one.what}" for one in account.discrepancies]
        apps, streams = judge_records(
            self.apps,
            messages,
            made,
            ledger=ledger,
            records=await read_records(SandboxClient(Inside(self.sandbox), ORIGIN)),
            repeats={},
            after_expiry=True,
        )
        disagreements = [one for stream in streams for one in stream.disagreements]
        disagreements += [one for app in apps for one in app.disagreements]
        wrong += [f"{one.app}: {one.what}" for one in disagreements]
        uncertain = sum(one.n for one in await self.store.uncertain_counts())
        return InProcessVerdict(counts, uncertain, wrong)


@asynccontextmanager
async def in_process(
    environment: Environment, text: str, *, sandbox: Sandbox, clock: JumpingClock, transport: Transport, seed: int
) -> AsyncIterator[InProcess]:
    """Yield flybridge with the configuration `text`, on a store in the directory of the environment.

    It sends through `transport`.
    """
    environment.config_path.write_text(text, encoding="utf-8")
    config = environment.loaded()
    async with backends.opened_store(config) as store:
        draw, sends = random.Random(seed), config.delivery  # noqa: S311 - repeatable on purpose
        context = Context(store, transport, clock, sends.policy, sends.circuit, sends.times, jitter=draw.random)
        worker = Worker(context, endpoints_of(config))
        yield InProcess(environment.apps, config, store, sandbox, clock, build_flow(config), worker)
