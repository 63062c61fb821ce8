"""The job that notifies people: of the conditions of the console's banner, and of the findings in the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flybridge.clock import Clock
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download
from flybridge.insight.findings import read_findings
from flybridge.insight.performance import AppScope
from flybridge.notifications.concern import FINDING, Concern, key_of
from flybridge.notifications.notifier import Notifier
from flybridge.service.data_lock import WorkerId
from flybridge.service.lifetime import Job
from flybridge.telemetry.reporter import Reporter
from flybridge.web.console.condition import condition
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.words import masked_sentence
from flybridge.wiring import channels_of, scopes_of


def notifying(
    config: Config, reader: ConsoleReader, download: Download, owner: WorkerId, report: Reporter, *, clock: Clock
) -> dict[str, Job]:
    """Return the job of a worker process; no job without a channel. `clock` is one that all worker processes share."""
    if not reader.channels:
        return {}
    notifier = Notifier(
        reader.store,
        channels_of(config, download, reader.clock),
        lambda: read_concerns(reader, lambda now_ms: scopes_of(config, now_ms)),
        config.notify,
        clock=clock,
        holder="alone" if owner.alone else owner.name,
        address=config.server.public_url,
        sent=report.notified,
    )
    return {"notifications": lambda halt: notifier.run(halt, report.failed)}


async def read_concerns(reader: ConsoleReader, scopes: Callable[[int], Sequence[AppScope]]) -> list[Concern]:
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
    found = await read_findings(reader.store, scopes(reader.clock.now_ms()))
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
