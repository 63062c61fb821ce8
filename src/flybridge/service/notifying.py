"""The job that notifies people: of the conditions of the console's banner, and of the findings in the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from flybridge.clock import Clock
from flybridge.config.settings import Config
from flybridge.delivery.worker import Worker
from flybridge.inbox.protocol import Inbox
from flybridge.insight.findings import read_findings
from flybridge.insight.performance import AppScope
from flybridge.notifications.concern import FINDING, Concern, key_of
from flybridge.notifications.notifier import Notifier
from flybridge.service.backends import opened_cohorts, opened_download
from flybridge.service.data_lock import WorkerId
from flybridge.service.lifetime import Job
from flybridge.store.protocol import Store
from flybridge.telemetry.reporter import Reporter
from flybridge.web.console.condition import condition
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.words import masked_sentence
from flybridge.wiring import channel_names, channels_of, notify_rules_of, plans_of, scopes_of


async def notifying(
    stack: AsyncExitStack,
    config: Config,
    inbox: Inbox,
    store: Store,
    *,
    clock: Clock,
    worker: Worker,
    owner: WorkerId,
    report: Reporter,
) -> dict[str, Job]:
    """Return the job of a worker process; no job if nobody is to be notified. What it opens `stack` closes."""
    names = channel_names(config)
    if not names:
        return {}
    download = await stack.enter_async_context(opened_download())
    cohorts = await stack.enter_async_context(opened_cohorts(config)) if plans_of(config) else None
    reader = ConsoleReader(inbox, store, clock, worker.circuits, cohorts=cohorts, channels=names, worker=owner.name)
    notifier = Notifier(
        store,
        channels_of(config, download, clock),
        lambda: read_concerns(reader, store, lambda now_ms: scopes_of(config, now_ms), clock),
        notify_rules_of(config),
        clock=clock,
        holder="alone" if owner.alone else owner.name,
        sent=report.notified,
    )
    return {"notifications": lambda halt: notifier.run(halt, report.failed)}


async def read_concerns(
    reader: ConsoleReader, store: Store, scopes: Callable[[int], Sequence[AppScope]], clock: Clock
) -> list[Concern]:
    """Return all concerns, the conditions first, the worst of them first."""
    conditions = [
        Concern(
            key_of(one.key),
            one.key.partition("/")[0],
            one.level,
            one.sentence.replace("`", ""),
            one.path,
            one.state,
        )
        for one in condition(await reader.read()).findings
    ]
    found = await read_findings(store, scopes(clock.now_ms()))
    findings = [
        Concern(
            key_of("finding", *(str(one[name]) for name in ("kind", "app", "media_source", "campaign", "event"))),
            one["kind"],
            FINDING,
            masked_sentence(f"{one['app']}: {one['sentence']} {one['remedy']}").replace("`", ""),
            "/differences",
        )
        for one in found["findings"]
    ]
    return [*conditions, *findings]
