"""The composition root: from a configuration to running parts. Only this module names concrete classes."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import uuid4

from flybridge import __version__, flow, telemetry
from flybridge.amplitude.attribution import AttributionApi
from flybridge.amplitude.upload import HttpV2, origin
from flybridge.clock import Clock, SystemClock
from flybridge.config import App, AtExpiry, Config, Delivery, HoldV1, Secret
from flybridge.delivery.exchange import Endpoint, Limits, Transport
from flybridge.delivery.lifecycle import Policy, Uncertain
from flybridge.delivery.transport import HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.errors import ConfigError, FlybridgeError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.insight.coverage import falls
from flybridge.mapping.to_amplitude import Rules
from flybridge.privacy import Seal
from flybridge.records import DAY_MS, Filing, day_of
from flybridge.report import Report
from flybridge.store.protocol import Filed, Lane, Store
from flybridge.store.sqlite import SqliteStore
from flybridge.web.app import WebApp
from flybridge.web.intake import Intake, IntakeApp
from flybridge.web.server import serve

HOUSEKEEPING_S: Final = 1.0
PRUNE_MS: Final = 3_600_000
COVERAGE_MS: Final = 600_000
COVERAGE_DAYS: Final = 14


class Part(StrEnum):
    """What a process does. All of them, unless it is told to do only one."""

    INTAKE = "intake"
    WORK = "work"


def open_inbox(config: Config) -> Inbox:
    """Choose the inbox."""
    _supported(config)
    return SqliteInbox(config.data_dir / "inbox.db", Seal(*config.secrets), max_waiting=config.server.max_pending)


def open_store(config: Config) -> Store:
    """Choose the store."""
    _supported(config)
    return SqliteStore(config.data_dir / "store.db", Seal(*config.secrets))


def open_transport() -> Transport:
    """Choose the door outward."""
    return HttpTransport(trust_env=True)


def _supported(config: Config) -> None:
    """Refuse settings that this version reads and does nothing with: a setting without effect is a silent loss."""
    if config.cluster is not None:
        raise ConfigError("cluster", "this version has no clustered backends.", "Leave [cluster] out.")
    for number, app in enumerate(config.apps):
        if app.streams:
            raise ConfigError(f"apps[{number}].streams", "this version does not send to AppsFlyer.", "Leave it out.")
        if app.audiences:
            raise ConfigError(f"apps[{number}].audiences", "this version has no audiences.", "Leave it out.")


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Inbox, Store]]:
    """Open inbox and store, and close them whatever happens. May be used beside a running server."""
    async with AsyncExitStack() as stack:
        inbox, store = open_inbox(config), open_store(config)
        await inbox.open()
        stack.push_async_callback(inbox.close)
        await store.open()
        stack.push_async_callback(store.close)
        yield inbox, store


def rules_of(app: App) -> Rules:
    """Give the mapping rules of one app."""
    m = app.mapping
    return Rules(
        app=app.name,
        platform=app.platform.value,
        route=app.route.value,
        prefix=f"[{m.prefix}] ",
        rename=m.rename,
        rows=tuple((row.source, row.target) for row in m.rows),
        include=m.include,
        exclude=m.exclude,
        without=m.without,
        min_id_length=app.amplitude.min_id_length,
        device_id_key=m.device_id_key,
        session_id_key=m.session_id_key,
        user_id_key=m.user_id_key,
        use_customer_user_id=m.use_customer_user_id,
        restrictions={source: policy.value for source, policy in app.restrictions.items()},
    )


def build_flow(config: Config) -> Flow:
    """Give the flow of all apps."""
    apps = {
        app.name: AppFlow(
            rules_of(app),
            hold_window_hours=app.hold.window_hours,
            hold_attribution=app.hold.v1 is HoldV1.WHEN_SEEN,
            customer_user_at_expiry=app.hold.at_expiry is AtExpiry.SEND_AS_CUSTOMER_USER_ID,
            dedup_days=config.retention.dedup_days,
        )
        for app in config.apps
    }
    return Flow(apps, Keyring(*config.secrets))


def endpoints_of(config: Config) -> Mapping[Lane, Endpoint]:
    """Give the endpoints of all apps. Both routes of an app are there, so that a changed route finishes the old one."""
    endpoints: dict[Lane, Endpoint] = {}
    for app in config.apps:
        key = app.amplitude.api_key.reveal()
        host = origin(app.amplitude.region.value, app.amplitude.base_url)
        http_v2 = HttpV2(key, host, min_id_length=app.amplitude.min_id_length, gzip=config.delivery.gzip)
        attribution = AttributionApi(key, host)
        for endpoint in (http_v2, attribution):
            endpoint.limits = _tuned(endpoint.limits, config.delivery)
            endpoints[Lane(app.name, endpoint.name)] = endpoint
    return endpoints


def _tuned(limits: Limits, own: Delivery) -> Limits:
    """Put the operator's limits in place of an endpoint's; the vendor's bound of items stays."""
    return Limits(
        min(own.max_items or limits.max_items, limits.max_items),
        limits.max_bytes,
        own.concurrency or limits.concurrency,
        own.requests_per_s or limits.requests_per_s,
        limits.items_per_s,
    )


def policy_of(config: Config) -> Policy:
    """Give the retry policy."""
    return Policy(tries=config.delivery.max_tries, uncertain=Uncertain(config.delivery.uncertain.value))


def doors_of(config: Config) -> list[IntakeApp]:
    """Give the doors of all apps."""
    return [
        IntakeApp(
            name=app.name,
            push_token=_bytes(app.appsflyer.push_token),
            stream_token=_bytes(app.amplitude.webhook_token),
            token_header=app.appsflyer.token_header.lower().encode(),
        )
        for app in config.apps
    ]


def _bytes(secret: Secret | None) -> bytes | None:
    return None if secret is None else secret.reveal().encode()


class Claim:
    """The right to be the one worker on a data directory, and the name of the worker before.

    The lock ends with the process, however it ends; then what the former worker had leased can be taken back at
    once instead of when the leases lapse.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._file = (data_dir / "worker.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigError(
                "data_dir", f"another flybridge works on {data_dir} already.", "Stop it, or use another directory."
            ) from None
        self._file.seek(0)
        self.former = self._file.read().strip() or None
        self.owner = f"worker-{uuid4().hex}"
        self._file.truncate(0)
        self._file.write(self.owner)
        self._file.flush()

    def release(self) -> None:
        """Let go. The name stays, for the next worker."""
        self._file.close()


class Service:
    """The running parts of one process.

    A process that only takes data in has no store and no worker; one that only works has no doors.
    """

    def __init__(self, config: Config, only: Part | None = None, clock: Clock | None = None) -> None:
        self._config = config
        self._works = only in (None, Part.WORK)
        self._takes = only in (None, Part.INTAKE)
        self._clock = clock or SystemClock()

    async def run(self, stop: asyncio.Event, ready: Callable[[int], None] | None = None) -> None:
        """Run until `stop` is set, then drain: nothing new is taken, what is in flight is finished.

        `ready` is called with the port when requests are answered. Raises `errors.FlybridgeError` when a part can't
        start or ends by itself.
        """
        config = self._config
        async with AsyncExitStack() as stack:
            claim = Claim(config.data_dir) if self._works else None
            if claim is not None:
                stack.callback(claim.release)
            inbox, store = await stack.enter_async_context(opened(config))
            intake = Intake(
                doors_of(config) if self._takes else (), inbox, self._clock, max_bytes=config.server.max_body_bytes
            )
            metrics = telemetry.Metrics(__version__, intake.tallies)
            web = WebApp(intake, inbox, metrics, self._clock, version=__version__, store=store if self._works else None)
            report, halt = Report(metrics), asyncio.Event()
            tasks = [asyncio.create_task(telemetry.log_received(telemetry.Received(intake.tallies), self._clock))]
            if claim is not None:
                await inbox.reclaim()
                transport = open_transport()
                stack.push_async_callback(transport.close)
                worker = self._worker(store, transport, claim, report)
                tasks += self._work(inbox, store, worker, report, halt)
            server_stop = asyncio.Event()
            server = asyncio.create_task(serve(web, config.server.host, config.server.port, server_stop, ready=ready))
            try:
                await _first(stop, server, *tasks)
            finally:
                web.drain()
                server_stop.set()
                await asyncio.wait({server})
                halt.set()
                tasks[0].cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in (server, *tasks[1:]):
                task.result()

    def _worker(self, store: Store, transport: Transport, claim: Claim, report: Report) -> Worker:
        return Worker(
            store,
            transport,
            endpoints_of(self._config),
            self._clock,
            policy=policy_of(self._config),
            observer=report,
            owner=claim.owner,
            replaces=claim.former,
        )

    def _work(
        self, inbox: Inbox, store: Store, worker: Worker, report: Report, halt: asyncio.Event
    ) -> list[asyncio.Task[None]]:
        def filed(filings: Sequence[Filing], outcome: Filed) -> None:
            report.filed(filings, outcome)
            worker.notify()

        road = flow.run(
            build_flow(self._config), inbox, store, clock=self._clock, stop=halt, filed=filed, failed=report.failed
        )
        return [
            asyncio.create_task(road, name="flow"),
            asyncio.create_task(worker.run(halt), name="worker"),
            asyncio.create_task(self._keep_house(store, worker, report, halt), name="housekeeping"),
        ]

    async def _keep_house(self, store: Store, worker: Worker, report: Report, halt: asyncio.Event) -> None:
        """End holds whose window is over, each second; forget what is past its retention, each hour.

        Each ten minutes, look whether events carry less to be matched by than before.
        """
        kept, pruned_ms, looked_ms = self._config.retention, 0, 0
        while not halt.is_set():
            now_ms = self._clock.now_ms()
            try:
                if expired := await store.expire(now_ms):
                    report.expired(expired)
                    worker.notify()  # some may have to be sent as their customer user
                    continue
                if now_ms - looked_ms >= COVERAGE_MS:
                    since = day_of(now_ms - COVERAGE_DAYS * DAY_MS)
                    report.fell(falls(await store.coverage(since_day=since)))
                    looked_ms = now_ms
                if now_ms - pruned_ms >= PRUNE_MS:
                    await store.prune(now_ms, ledger_days=kept.ledger_days, dead_days=kept.dead_days)
                    pruned_ms = now_ms
            except FlybridgeError as problem:
                report.failed(problem)
            with suppress(TimeoutError):
                await asyncio.wait_for(halt.wait(), HOUSEKEEPING_S)


async def _first(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Wait until a stop is asked for, or a part ends by itself."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
