"""Events of delivery for logs and metrics: one value per exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from flybridge.delivery.circuit import Circuit
from flybridge.delivery.exchange import Verdict
from flybridge.store.records import Lane


class Exchange(Struct, frozen=True):
    """One request and its answer.

    `verdicts` and `ages_s` (seconds since each item was received) are in the order of the items; `seconds` is the
    time on the wire, `status` 0 means that no answer came, `reason` is that of the first verdict that is not
    `Accepted`, `words` is what the vendor said then. Nothing in it identifies a person.
    """

    lane: Lane
    verdicts: Sequence[Verdict]
    ages_s: Sequence[float]
    seconds: float
    status: int
    reason: str
    words: str = ""

    def counts(self) -> Mapping[str, int]:
        """Count the items by verdict: `accepted`, `retry`, `reject`, `split`, `halt`."""
        return Counter(type(verdict).__name__.lower() for verdict in self.verdicts)


class Observer(Protocol):
    """Receives events of delivery. Must not block; what it raises is ignored."""

    def on_exchange(self, exchange: Exchange) -> None:
        """Called after each request, answered or not."""
        ...

    def on_circuit(self, lane: Lane, circuit: Circuit) -> None:
        """Called when a lane stops or starts to send."""
        ...

    def on_trouble(self, lane: Lane | None, error: Exception) -> None:
        """Called on an unexpected exception of the store, an endpoint or the transport. Delivery goes on."""
        ...


class Silent:
    """Observes nothing."""

    def on_exchange(self, exchange: Exchange) -> None: ...

    def on_circuit(self, lane: Lane, circuit: Circuit) -> None: ...

    def on_trouble(self, lane: Lane | None, error: Exception) -> None: ...
