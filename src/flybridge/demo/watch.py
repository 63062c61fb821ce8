"""What the demo sees of a running flybridge: its metrics, as one row of figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

import aiohttp
from msgspec import Struct, structs
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from flybridge.demo.sender import Sent


class ServiceFigures(Struct, frozen=True):
    """Figures of one moment, in envelopes. `in_flight` is what waits in the inbox and deliveries that are due."""

    durable: int
    outcomes: Counter[str]
    in_inbox: int

    @property
    def in_flight(self) -> int:
        """Return what has not come to rest."""
        return self.in_inbox + self.outcomes["pending"]


async def read_figures(session: aiohttp.ClientSession, origin: str) -> ServiceFigures:
    """Read the metrics once. Raises `aiohttp.ClientError` where there are none."""
    async with session.get(f"{origin}/metrics") as response:
        response.raise_for_status()
        text = await response.text()
    outcomes: Counter[str] = Counter()
    durable = in_inbox = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            match sample.name:
                case "flybridge_envelopes":
                    outcomes[sample.labels["outcome"]] += int(sample.value)
                case "flybridge_intake_accepted_total":
                    durable += int(sample.value)
                case "flybridge_inbox_waiting":
                    in_inbox = int(sample.value)
    return ServiceFigures(durable, outcomes, in_inbox)


async def read_all_figures(
    session: aiohttp.ClientSession, intake_origins: Sequence[str], metrics_origins: Sequence[str]
) -> ServiceFigures:
    """Add up what each of the doors took, and read all else at the first window that answers.

    Any process with a store is a window, and they all show the same. Raises `aiohttp.ClientError` when none answers.
    """
    seen = ServiceFigures(0, Counter(), 0)
    for number, origin in enumerate(metrics_origins, 1):
        try:
            seen = await read_figures(session, origin)
            break
        except (aiohttp.ClientError, TimeoutError):
            if number == len(metrics_origins):
                raise
    for intake in intake_origins:
        if intake != origin:
            with suppress(aiohttp.ClientError, TimeoutError):
                taken = await read_figures(session, intake)
                seen = structs.replace(seen, durable=seen.durable + taken.durable)
    return seen


class Screen:
    """The live table. Rates are of the time since the last look."""

    def __init__(self) -> None:
        self._last = (monotonic(), 0)

    def draw(self, now: ServiceFigures, sent: Sent) -> Table:
        """Draw the figures of one moment."""
        at, before = self._last
        self._last = (monotonic(), now.durable)
        rate = (now.durable - before) / max(0.001, self._last[0] - at)
        table = Table(title="AppsFlyer -> flybridge -> Amplitude (sandbox)", title_justify="left")
        figures = {
            "received": sent.acknowledged,
            "durable": now.durable,
            "per second": round(rate),
            "p99 ms": round(sent.p(0.99) * 1000, 1),
            "delivered": now.outcomes["delivered"],
            "held": now.outcomes["held"],
            "filtered": now.outcomes["filtered"],
            "refused": now.outcomes["refused"],
            "duplicates": now.outcomes["duplicate"],
            "dead": now.outcomes["dead"],
            "in flight": now.in_flight,
        }
        for name in figures:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(*(f"{value:,}" for value in figures.values()))
        return table
