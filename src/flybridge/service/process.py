"""The composition root: from a configuration to a running process. With `backends` alone it names concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from flybridge import __version__, flow
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import keep_in_step
from flybridge.clock import Clock, SystemClock
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Transport
from flybridge.delivery.observer import Observer
from flybridge.delivery.transport import HttpDownload
from flybridge.delivery.worker import Worker
from flybridge.identity import Keyring
from flybridge.inbox.protocol import Inbox
from flybridge.records import Filing
from flybridge.roles import Part, duties_of
from flybridge.service import lifetime
from flybridge.service.backends import open_transport, opened_cohorts, opened_inbox, opened_store, owner_of
from flybridge.service.data_lock import Owner
from flybridge.service.wiring import build_flow, clear, doors_of, endpoints_of, plans_of, policy_of, settings_of
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.protocol import Filed, Store
from flybridge.telemetry import metrics as telemetry
from flybridge.telemetry.door_counts import Received
from flybridge.telemetry.reporter import Report
from flybridge.web.app import WebApp
from flybridge.web.console.app import Console
from flybridge.web.intake import Intake


@asynccontextmanager
async def opened_runner(
    config: Config,
    cohorts: CohortStore,
    transport: Transport,
    clock: Clock | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Runner]:
    """Return what runs audiences. The store says if another process runs one at the same time."""
    download = HttpDownload(trust_env=True)
    try:
        keyring = Keyring(*config.secrets)
        yield Runner(cohorts, transport, download, clock or SystemClock(), keyring, observer=observer)
    finally:
        await download.close()


class Service:
    """One process, put together from a configuration.

    One that only takes in has no store and no worker; one that only works has no doors; one that only shows reads.
    """

    def __init__(self, config: Config, only: Part | None = None, clock: Clock | None = None) -> None:
        self._config = config
        self._duties = duties_of(only)
        self._clock = clock or SystemClock()

    async def run(self, stop: asyncio.Event, ready: Callable[[int], None] | None = None) -> None:
        """Run until `stop` is set, then end in order; see `running.run`.

        `ready` is called with the port when requests are answered. Raises `errors.FlybridgeError` when a part can't
        start or ends by itself: whoever supervises the process starts it again. A server that goes away while it
        runs is waited for.
        """
        config, duties = self._config, self._duties
        async with AsyncExitStack() as stack:
            owner = stack.enter_context(owner_of(config)) if duties.works else None
            inbox = await stack.enter_async_context(opened_inbox(config))
            store = await stack.enter_async_context(opened_store(config)) if duties.needs_store else None
            intake = Intake(
                doors_of(config) if duties.takes else (), inbox, self._clock, max_bytes=config.server.max_body_bytes
            )
            metrics = telemetry.Metrics(__version__, intake.tallies)
            report = Report(metrics)
            worker, jobs = None, dict[str, lifetime.Job]()
            if owner is not None and store is not None:
                if owner.alone:
                    await inbox.reclaim()
                transport = open_transport(config.delivery.timeout_s)
                stack.push_async_callback(transport.close)
                worker = self._worker(store, transport, owner, report)
                jobs = self._jobs(inbox, store, worker, report)
                jobs |= await self._audiences(stack, transport, report)
            console = self._console(inbox, store, worker) if duties.shows and store is not None else None
            web = WebApp(
                intake,
                inbox,
                metrics,
                self._clock,
                version=__version__,
                store=store,
                console=console,
                duties=duties,
            )
            received = Received(intake.tallies)
            await lifetime.run(web, config.server, jobs, received, clock=self._clock, stop=stop, ready=ready)

    def _worker(self, store: Store, transport: Transport, owner: Owner, report: Report) -> Worker:
        return Worker(
            store,
            transport,
            endpoints_of(self._config),
            self._clock,
            policy=policy_of(self._config),
            settings=settings_of(self._config),
            observer=report,
            owner=owner.name,
            replaces=owner.former,
        )

    def _jobs(self, inbox: Inbox, store: Store, worker: Worker, report: Report) -> dict[str, lifetime.Job]:
        """Return what a working process does until it is told to halt."""
        clock, kept = self._clock, self._config.retention

        def filed(filings: Sequence[Filing], outcome: Filed) -> None:
            report.filed(filings, outcome)
            worker.notify()

        built = build_flow(self._config)
        return {
            "flow": lambda halt: flow.run(
                built, inbox, store, clock=clock, stop=halt, filed=filed, failed=report.failed
            ),
            "worker": worker.run,
            "housekeeping": lambda halt: lifetime.keep_house(store, worker, report, kept=kept, clock=clock, halt=halt),
        }

    async def _audiences(self, stack: AsyncExitStack, transport: Transport, report: Report) -> dict[str, lifetime.Job]:
        """Return what keeps audiences in step, if there are any."""
        followed = plans_of(self._config)
        if not followed:
            return {}
        cohorts = await stack.enter_async_context(opened_cohorts(self._config))
        runner = await stack.enter_async_context(opened_runner(self._config, cohorts, transport, self._clock, report))
        return {
            "audiences": lambda halt: keep_in_step(
                runner,
                cohorts,
                followed,
                clock=self._clock,
                stop=halt,
                ran=report.ran,
                standing=report.audiences.standing,
                failed=report.failed,
            )
        }

    def _console(self, inbox: Inbox, store: Store, worker: Worker | None) -> Console:
        config = self._config
        return Console(
            inbox,
            store,
            self._clock,
            windows={app.name: app.hold.window_hours for app in config.apps},
            password=clear(config.console.password),
            circuits=worker.circuits if worker is not None else None,
            version=__version__,
        )
