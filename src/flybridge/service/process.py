"""The composition root: builds a running process from a configuration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from flybridge import __version__
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import keep_in_step
from flybridge.clock import Clock, SystemClock
from flybridge.config.settings import Config
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Download, Transport
from flybridge.delivery.observer import Observer
from flybridge.delivery.worker import Worker
from flybridge.errors import FlybridgeError
from flybridge.flow import loop
from flybridge.history.uptime import keep_noting, note_downtime
from flybridge.identity import Keyring
from flybridge.inbox.protocol import Inbox
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.console import ConsoleOperations
from flybridge.operations.cost_schedule import cost_tasks
from flybridge.operations.count_amplitude import QueryBudget
from flybridge.operations.pull_costs import cost_plans_of
from flybridge.operations.read_history import HistoryReader
from flybridge.operations.reconcile import Reconciler
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.operations.reconcile_schedule import compare_tasks
from flybridge.operations.schedule import ScheduledTask, keep_running
from flybridge.records import Filing, OutcomeKind
from flybridge.roles import Role, roles_of
from flybridge.service import lifetime
from flybridge.service.backends import (
    checked_store,
    opened_cohorts,
    opened_download,
    opened_inbox,
    opened_transport,
    worker_id_of,
)
from flybridge.service.confirmed_clock import ConfirmedClock, DatingClock
from flybridge.service.data_lock import WorkerId
from flybridge.service.intake_notes import note_refusals
from flybridge.service.notifying import notifying
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.protocol import Store
from flybridge.store.records import Filed
from flybridge.store.server_clock import ServerClock
from flybridge.telemetry import metrics as telemetry
from flybridge.telemetry.door_counts import Received
from flybridge.telemetry.hearing import Hearing
from flybridge.telemetry.reporter import Reporter
from flybridge.web.app import WebApp
from flybridge.web.console.app import ConsoleApp
from flybridge.web.console.gate import ConsoleGate
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.site import Site
from flybridge.web.intake import Intake
from flybridge.wiring import (
    build_flow,
    channel_names,
    channels_of,
    check,
    clear,
    endpoints_of,
    intake_apps_of,
    plans_of,
    scopes_of,
)


@asynccontextmanager
async def opened_runner(
    config: Config,
    cohorts: CohortStore,
    transport: Transport,
    clock: Clock | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Runner]:
    """Build the audience runner. The store's claim keeps two processes from running one audience."""
    async with opened_download() as download:
        yield Runner(cohorts, transport, download, clock or SystemClock(), Keyring(*config.secrets), observer=observer)


class Service:
    """One process, built from a configuration and the roles it has."""

    def __init__(self, config: Config, only: Role | None = None, clock: Clock | None = None) -> None:
        self._config = config
        self._roles = roles_of(only)
        self._clock = clock or SystemClock()
        # A clock that is given is moved on purpose, by days at a time, and never wrong.
        self._moves = clock is not None
        self._server = ServerClock(self._clock) if config.cluster is not None and not self._moves else None
        # By it end leases that processes have from each other.
        self._shared = self._server or self._clock
        self._confirmed = ConfirmedClock(self._clock, self._seconds if self._moves else time.monotonic)

    def _seconds(self) -> float:
        return self._clock.now_ms() / 1000

    async def run(self, stop: asyncio.Event, ready: Callable[[int], None] | None = None) -> None:
        """Run until `stop` is set, then end in order; see `lifetime.run`.

        `ready` is called with the port once requests are answered. Raises `FlybridgeError` when a backend can't be
        opened or a task ends by itself; a supervisor should restart the process. A backend that goes away later
        is waited for.
        """
        config, roles = self._config, self._roles
        check(config)
        async with AsyncExitStack() as stack:
            owner = stack.enter_context(worker_id_of(config)) if roles.works else None
            inbox = await stack.enter_async_context(opened_inbox(config))
            store = None
            if roles.needs_store:
                store = await stack.enter_async_context(checked_store(config, roles.name, self._clock))
            intake = Intake(
                intake_apps_of(config) if roles.takes else (),
                inbox,
                DatingClock(self._clock, self._confirmed),
                max_bytes=config.server.max_body_bytes,
                max_pending=config.server.max_pending,
            )
            metrics = telemetry.Metrics(__version__, intake.counts)
            report = Reporter(metrics)
            worker, reader, hearing, jobs = None, None, None, dict[str, lifetime.Job]()
            server = self._server
            if store is not None and server is not None:
                await server.measure(store)
                jobs["clocks"] = partial(lifetime.compare_clocks, server, store, report)
            transport = await stack.enter_async_context(opened_transport(config.delivery.timeout_s))
            download = await stack.enter_async_context(opened_download())
            if owner is not None and store is not None:
                if owner.alone:
                    await inbox.reclaim()
                if roles.takes:
                    await note_downtime(store, self._clock.now_ms())
                if not self._moves:
                    self._confirmed.begin(await store.confirmed_ms())
                worker = self._worker(store, transport, owner, report)
                hearing = Hearing(intake.counts, "alone" if owner.alone else owner.name)
                jobs |= self._jobs(inbox, store, worker, report, hearing)
                jobs |= await self._audiences(stack, transport, report)
                jobs |= self._scheduled(inbox, store, transport, download, report)
                jobs["uptime"] = self._uptime(store, intake, hearing)
                reader = await self._reader(stack, inbox, store, worker=worker, owner=owner, hearing=hearing)
                jobs |= notifying(config, reader, download, owner, report, clock=self._shared)
            elif roles.takes:
                refusals = Hearing(intake.counts, f"intake-{uuid4().hex}", hears=False)
                jobs["refusals"] = lambda halt: note_refusals(
                    config, refusals, self._clock, halt, report=report, server=server
                )
            console = None
            if roles.shows and store is not None:
                if hearing is None:
                    hearing = Hearing((), "console", hears=False)
                    jobs["written"] = self._tries(store, hearing)
                reader = reader or await self._reader(stack, inbox, store, hearing=hearing)
                console = self._console(reader, metrics, transport, download, hearing)
            web = WebApp(
                intake,
                inbox,
                metrics,
                self._clock,
                version=__version__,
                store=store,
                console=console,
                roles=roles,
                metrics_token=clear(config.server.metrics_token),
                hearing=hearing,
                server_clock=server,
            )
            received = Received(intake.counts)
            await lifetime.run(web, config.server, jobs, received, clock=self._clock, stop=stop, ready=ready)

    def _worker(self, store: Store, transport: Transport, owner: WorkerId, report: Reporter) -> Worker:
        endpoints = endpoints_of(self._config)
        report.sends_through(endpoints)
        sends = self._config.delivery
        context = Context(store, transport, self._clock, sends.policy, sends.circuit, sends.times, report, owner.name)
        if (server := self._server) is not None:
            context = replace(context, ahead_ms=lambda: server.ahead_ms)
        return Worker(
            context,
            endpoints,
            replaces=owner.former,
            seconds=self._seconds if self._moves else time.monotonic,
        )

    def _jobs(
        self, inbox: Inbox, store: Store, worker: Worker, report: Reporter, hearing: Hearing
    ) -> dict[str, lifetime.Job]:
        """Return the jobs of a worker process."""
        clock, confirmed, kept = self._clock, self._confirmed, self._config.retention

        def filed(filings: Sequence[Filing], outcome: Filed) -> None:
            report.filed(filings, outcome)
            hearing.filed(filings)
            if outcome.matched or outcome.outcomes.get(OutcomeKind.PENDING.word, 0) > len(outcome.leased):
                worker.notify()

        def failed(problem: FlybridgeError) -> None:
            report.failed(problem)
            hearing.fail(problem, clock.now_ms())

        built = build_flow(self._config)
        return {
            "flow": lambda halt: loop.run(
                built,
                inbox,
                store,
                clock=clock,
                confirmed=DatingClock(confirmed, confirmed),
                stop=halt,
                filed=filed,
                failed=failed,
                worker=worker,
            ),
            "worker": worker.run,
            "hearing": lambda halt: hearing.run(
                store, clock, halt, report.failed, is_steady=lambda: not confirmed.jump_s
            ),
            "housekeeping": lambda halt: lifetime.housekeeping(
                store, inbox, worker, report, kept=kept, clock=confirmed, halt=halt
            ),
        }

    async def _audiences(
        self, stack: AsyncExitStack, transport: Transport, report: Reporter
    ) -> dict[str, lifetime.Job]:
        """Return the job that runs audiences; no job if none is configured."""
        followed = plans_of(self._config)
        if not followed:
            return {}
        cohorts = await stack.enter_async_context(opened_cohorts(self._config))
        runner = await stack.enter_async_context(opened_runner(self._config, cohorts, transport, self._shared, report))
        return {
            "audiences": lambda halt: keep_in_step(
                runner,
                cohorts,
                followed,
                clock=self._shared,
                confirmed=self._confirmed,
                stop=halt,
                ran=report.ran,
                standing=report.audiences.standing,
                failed=report.failed,
            )
        }

    def _scheduled(
        self, inbox: Inbox, store: Store, transport: Transport, download: Download, report: Reporter
    ) -> dict[str, lifetime.Job]:
        """Return the jobs that read what AppsFlyer has not pushed, pull costs, and compare the vendors' counts."""
        config, clock = self._config, self._clock
        reader = HistoryReader(config, inbox, store, download, build_flow(config), clock)
        reconciler = Reconciler(store, QueryBudget(transport, clock), download, clock)

        def run(tasks: Sequence[ScheduledTask], halt: asyncio.Event) -> Coroutine[Any, Any, None]:
            return keep_running(tasks, store, clock=self._shared, stop=halt, failed=report.failed)

        reads = reader.tasks(report.gaps, report.read)
        costs = cost_tasks(cost_plans_of(config), store, download, clock, report.pulled_costs)
        jobs: dict[str, lifetime.Job] = {"history": partial(run, reads)} if reads else {}
        jobs |= {"costs": partial(run, costs)} if costs else {}
        jobs["reconcile"] = lambda halt: run(
            compare_tasks(
                reconcile_plans_of(config),
                store,
                reconciler,
                CohortComparer(store, download, clock),
                days=config.insight.reconcile_days,
                scopes=lambda now_ms: scopes_of(config, now_ms),
                clock=clock,
                stop=halt,
                compared=report.compared,
                compared_cohorts=report.compared_cohorts,
            ),
            halt,
        )
        return jobs

    def _tries(self, store: Store, hearing: Hearing) -> lifetime.Job:
        """Return the job that finds out whether the store can be written where nothing else writes."""
        return lambda halt: hearing.keep_trying(store, self._clock, halt)

    def _uptime(self, store: Store, intake: Intake, hearing: Hearing) -> lifetime.Job:
        """Return the job that notes when flybridge could not store what was pushed."""
        clock = self._confirmed
        return lambda halt: keep_noting(
            store,
            clock,
            halt,
            is_steady=lambda: not clock.jump_s,
            refused_ms=lambda: intake.refused_ms,
            failed=hearing.fail,
        )

    async def _reader(
        self,
        stack: AsyncExitStack,
        inbox: Inbox,
        store: Store,
        *,
        worker: Worker | None = None,
        owner: WorkerId | None = None,
        hearing: Hearing | None = None,
    ) -> ConsoleReader:
        """Return what reads the figures of the console, and of notifications."""
        return ConsoleReader(
            inbox,
            store,
            self._clock,
            worker.circuits if worker is not None else None,
            await stack.enter_async_context(opened_cohorts(self._config)) if plans_of(self._config) else None,
            channel_names(self._config),
            owner.name if owner is not None else "",
            hearing,
        )

    def _console(
        self,
        reader: ConsoleReader,
        metrics: telemetry.Metrics,
        transport: Transport,
        download: Download,
        hearing: Hearing,
    ) -> ConsoleApp:
        config, store, clock = self._config, reader.store, self._clock
        site = Site(
            reader=reader,
            gate=ConsoleGate(
                config.console,
                store,
                clock,
                config.secrets[0],
                public_url=config.server.public_url,
                failed=hearing.fail,
            ),
            windows={app.name: app.hold.window_hours for app in config.apps},
            shortest_id=config.shortest_id,
            scopes_at=lambda now_ms: scopes_of(config, now_ms),
            latencies=metrics.latencies,
            version=__version__,
            all_operations=ConsoleOperations(
                config,
                reader.inbox,
                store,
                transport,
                clock,
                open_cohorts=lambda: opened_cohorts(config),
                open_runner=lambda cohorts: opened_runner(config, cohorts, transport, clock),
                download=download,
                channels=channels_of(config, download, clock),
            ),
        )
        refused = metrics.console_refused
        return ConsoleApp(site, transport=transport, count=lambda status: refused.labels(str(status)).inc())
