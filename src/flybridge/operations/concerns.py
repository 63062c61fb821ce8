"""What people are notified of: the conditions of the console's banner, and the findings in the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flybridge.clock import Clock
from flybridge.insight.findings import read_findings
from flybridge.insight.performance import AppScope
from flybridge.notifications.concern import FINDING, Concern, key_of
from flybridge.store.protocol import Store
from flybridge.web.console.condition import condition
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.words import masked_sentence


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
