"""What the demo sees of a running flybridge: its metrics, as one row of figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic

from msgspec import Struct, structs
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.text import Text

from flybridge.delivery.exchange import HttpRequest, Transport
from flybridge.demo.sender import Sent
from flybridge.errors import FlybridgeError


class ServiceFigures(Struct, frozen=True):
    """Figures of one moment, in envelopes. `in_flight` is what waits in the inbox and deliveries that are due."""

    durable: int
    outcomes: Counter[str]
    in_inbox: int

    @property
    def in_flight(self) -> int:
        """Return what has not come to rest."""
        return self.in_inbox + self.outcomes["pending"]


async def samples(transport: Transport, origin: str) -> list[Sample]:
    """Return the metrics of a process. Raises `FlybridgeError` where there are none."""
    answer = await transport.send(HttpRequest("GET", f"{origin}/metrics", {}, b""))
    if answer.status != 200:
        raise FlybridgeError(f"{origin} answers {answer.status} in place of its metrics.")
    return [sample for family in text_string_to_metric_families(answer.body.decode()) for sample in family.samples]


async def read_figures(transport: Transport, origin: str) -> ServiceFigures:
    """Read the metrics once. Raises `FlybridgeError` where there are none."""
    outcomes: Counter[str] = Counter()
    durable = in_inbox = 0
    for sample in await samples(transport, origin):
        match sample.name:
            case "flybridge_envelopes":
                outcomes[sample.labels["outcome"]] += int(sample.value)
            case "flybridge_intake_accepted_total":
                durable += int(sample.value)
            case "flybridge_inbox_waiting":
                in_inbox = int(sample.value)
    return ServiceFigures(durable, outcomes, in_inbox)


async def read_all_figures(
    transport: Transport, intake_origins: Sequence[str], metrics_origins: Sequence[str]
) -> ServiceFigures:
    """Add up what each of the doors took, and read all else at the first window that answers.

    Any process with a store is a window, and they all show the same. Raises `FlybridgeError` when none answers.
    """
    seen = ServiceFigures(0, Counter(), 0)
    for number, origin in enumerate(metrics_origins, 1):
        try:
            seen = await read_figures(transport, origin)
            break
        except FlybridgeError:
            if number == len(metrics_origins):
                raise
    for intake in intake_origins:
        if intake != origin:
            with suppress(FlybridgeError):
                taken = await read_figures(transport, intake)
                seen = structs.replace(seen, durable=seen.durable + taken.durable)
    return seen


class Screen:
    """The live figures. Rates are of the time since the last look."""

    def __init__(self) -> None:
        self._last = (monotonic(), 0)

    def draw(self, now: ServiceFigures, sent: Sent) -> Text:
        """Return the figures of one moment: three lines that fit into 80 columns."""
        at, before = self._last
        self._last = (monotonic(), now.durable)
        rate = (now.durable - before) / max(0.001, self._last[0] - at)
        came = {"received": sent.acknowledged, "on the disk": now.durable, "per second": round(rate)}
        ended = {name: now.outcomes[name] for name in ("delivered", "filtered", "refused")}
        lines = [
            f"{_figures(came)}  p99 {sent.p(0.99) * 1000:.1f} ms",
            _figures(ended | {"in flight": now.in_flight}),
            _figures(
                {"held": now.outcomes["held"], "duplicates": now.outcomes["duplicate"], "dead": now.outcomes["dead"]}
            ),
        ]
        return Text("\n".join(lines))


class Lines:
    """The figures as a line every few seconds, for a file or a pipe."""

    def __init__(self, say: Callable[[str], None], every_s: float = 5.0) -> None:
        self._say, self._every_s, self._next = say, every_s, monotonic()

    def show(self, now: ServiceFigures, sent: Sent) -> None:
        """Print a line if it is time for one."""
        if monotonic() >= self._next:
            self._next = monotonic() + self._every_s
            outcomes = {name: now.outcomes[name] for name in ("delivered", "held", "dead")}
            self._say(f"  {_figures({'received': sent.acknowledged, **outcomes, 'in flight': now.in_flight})}")


def _figures(values: Mapping[str, int]) -> str:
    return "  ".join(f"{name} {value:,}" for name, value in values.items())
