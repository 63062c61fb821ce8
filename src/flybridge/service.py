"""The composition root: from a configuration to running parts. Only this module names concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

from flybridge import __version__, flow, running, telemetry
from flybridge.amplitude.attribution import AttributionApi
from flybridge.amplitude.upload import HttpV2, origin
from flybridge.appsflyer.inapp_event import ORIGIN as APPSFLYER
from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.audiences import plans
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import keep_in_step
from flybridge.claim import Owner, claimed, one_of_many
from flybridge.clock import Clock, SystemClock
from flybridge.config import App, AtExpiry, Config, Delivery, HoldV1, Secret
from flybridge.config_streams import streams_of
from flybridge.delivery.download import HttpDownload
from flybridge.delivery.exchange import Endpoint, Limits, Transport
from flybridge.delivery.lane import Settings
from flybridge.delivery.lifecycle import Policy, Uncertain
from flybridge.delivery.observer import Observer
from flybridge.delivery.transport import HttpTransport
from flybridge.delivery.worker import Worker
from flybridge.errors import ConfigError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.inbox.jetstream import JetStreamInbox
from flybridge.inbox.jetstream_link import StreamSettings
from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.mapping.to_amplitude import Rules
from flybridge.part import Part, duties_of
from flybridge.privacy import Seal
from flybridge.records import Filing
from flybridge.report import Report
from flybridge.store.cohort_protocol import CohortStore
from flybridge.store.protocol import Filed, Lane, Store
from flybridge.store.sqlite import SqliteStore
from flybridge.store.sqlite_cohort import SqliteCohorts
from flybridge.tally import Received
from flybridge.web.app import WebApp
from flybridge.web.console.app import Console
from flybridge.web.intake import Intake, IntakeApp

__all__ = [
    "Part",
    "Service",
    "build_flow",
    "endpoints_of",
    "open_inbox",
    "open_store",
    "open_transport",
    "opened",
    "policy_of",
    "rules_of",
    "settings_of",
]

CONNECTIONS: Final = 2_000
"""More than all lanes have in flight: what waits for a connection would wait behind another lane's."""


def open_inbox(config: Config) -> Inbox:
    """Choose the inbox."""
    seal, cluster = Seal(*config.secrets), config.cluster
    if cluster is None:
        return SqliteInbox(config.data_dir / "inbox.db", seal, max_waiting=config.server.max_pending)
    settings = StreamSettings(cluster.stream, cluster.replicas, cluster.max_age_hours * 3600, cluster.max_bytes)
    return JetStreamInbox(
        [server.reveal() for server in cluster.nats],
        seal,
        settings,
        max_waiting=config.server.max_pending,
        max_body_bytes=config.server.max_body_bytes,
    )


def open_store(config: Config) -> Store:
    """Choose the store."""
    if config.cluster is not None:
        return _postgres()[0](config.cluster.postgres.reveal(), Seal(*config.secrets))
    return SqliteStore(config.data_dir / "store.db", Seal(*config.secrets))


def _postgres() -> tuple[Callable[[str, Seal], Store], Callable[[str, Seal], CohortStore]]:
    try:
        from flybridge.store.postgres import PostgresStore  # noqa: PLC0415 - psycopg is an extra
        from flybridge.store.postgres_cohort import PostgresCohorts  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "cluster.postgres", "the client of PostgreSQL is not installed.", "pip install 'flybridge[cluster]'."
        ) from None
    return PostgresStore, PostgresCohorts


def open_transport(timeout_s: float = 30.0) -> Transport:
    """Choose the door outward."""
    return HttpTransport(timeout_s=timeout_s, trust_env=True, connections=CONNECTIONS)


def open_cohorts(config: Config) -> CohortStore:
    """Choose the store of cohorts: the same as that of everything else."""
    if config.cluster is not None:
        return _postgres()[1](config.cluster.postgres.reveal(), Seal(*config.secrets))
    return SqliteCohorts(config.data_dir / "store.db", Seal(*config.secrets))


@asynccontextmanager
async def opened_inbox(config: Config) -> AsyncIterator[Inbox]:
    """Open the inbox, and close it whatever happens."""
    inbox = open_inbox(config)
    await inbox.open()
    try:
        yield inbox
    finally:
        await inbox.close()


@asynccontextmanager
async def opened_store(config: Config) -> AsyncIterator[Store]:
    """Open the store, and close it whatever happens."""
    store = open_store(config)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Inbox, Store]]:
    """Open inbox and store, and close them whatever happens. May be used beside a running server."""
    async with opened_inbox(config) as inbox, opened_store(config) as store:
        yield inbox, store


@asynccontextmanager
async def opened_cohorts(config: Config) -> AsyncIterator[CohortStore]:
    """Open the store of cohorts, and close it whatever happens. May be used beside a running server."""
    cohorts = open_cohorts(config)
    await cohorts.open()
    try:
        yield cohorts
    finally:
        await cohorts.close()


@asynccontextmanager
async def opened_runner(
    config: Config,
    cohorts: CohortStore,
    transport: Transport,
    clock: Clock | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Runner]:
    """Give what runs audiences. The store says if another process runs one at the same time."""
    download = HttpDownload(trust_env=True)
    try:
        keyring = Keyring(*config.secrets)
        yield Runner(cohorts, transport, download, clock or SystemClock(), keyring, observer=observer)
    finally:
        await download.close()


@contextmanager
def owner_of(config: Config) -> Iterator[Owner]:
    """Say in whose name this process works: alone on its directory, or as one of many on shared servers."""
    if config.cluster is not None:
        yield one_of_many()
        return
    with claimed(config.data_dir) as owner:
        yield owner


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
            streams=streams_of(app, f"apps[{number}]"),
            stream_fields=app.amplitude.stream_fields,
            audiences=plans.rules_of(app),
        )
        for number, app in enumerate(config.apps)
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
        if app.appsflyer.s2s_key:  # also without streams: what was filed while there were some is sent
            to_appsflyer = InAppEvent(
                app.appsflyer.s2s_key.reveal(),
                app.appsflyer_app_id,
                app.appsflyer.base_url or APPSFLYER,
                concurrency=config.delivery.concurrency or app.appsflyer.s2s_concurrency,
                requests_per_s=app.appsflyer.s2s_requests_per_s or config.delivery.requests_per_s,
            )
            endpoints[Lane(app.name, to_appsflyer.name)] = to_appsflyer
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


def settings_of(config: Config) -> Settings:
    """Give the times a worker keeps to. The lease leaves an exchange twice the time it may take, and a reserve."""
    timeout_s = config.delivery.timeout_s
    return Settings(lease_ms=round(timeout_s * 4000), timeout_ms=round(timeout_s * 1000) + 5000)


def doors_of(config: Config) -> list[IntakeApp]:
    """Give the doors of all apps."""
    return [
        IntakeApp(
            name=app.name,
            push_token=_bytes(app.appsflyer.push_token),
            stream_token=_bytes(app.amplitude.webhook_token),
            token_header=app.appsflyer.token_header.lower().encode(),
            takes_apart=bool(app.streams),
            cohorts=frozenset(one.cohort for one in app.audiences),
        )
        for app in config.apps
    ]


def _bytes(secret: Secret | None) -> bytes | None:
    return None if secret is None else secret.reveal().encode()


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
            worker, jobs = None, dict[str, running.Job]()
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
            await running.run(web, config.server, jobs, received, clock=self._clock, stop=stop, ready=ready)

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

    def _jobs(self, inbox: Inbox, store: Store, worker: Worker, report: Report) -> dict[str, running.Job]:
        """Give what a working process does until it is told to halt."""
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
            "housekeeping": lambda halt: running.keep_house(store, worker, report, kept=kept, clock=clock, halt=halt),
        }

    async def _audiences(self, stack: AsyncExitStack, transport: Transport, report: Report) -> dict[str, running.Job]:
        """Give what keeps audiences in step, if there are any."""
        followed = plans.plans_of(self._config)
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
            password=_bytes(config.console.password),
            circuits=worker.circuits if worker is not None else None,
            version=__version__,
        )
