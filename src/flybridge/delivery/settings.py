"""The settings of `[delivery]`, and what the worker, its lanes and its endpoints take from them.

The text under each field is its documentation: docs/reference/config.md is printed from it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from flybridge.delivery.circuit import CircuitRules
from flybridge.delivery.context import Settings
from flybridge.delivery.exchange import Limits
from flybridge.delivery.lifecycle import RetryPolicy, Uncertain


class DeliverySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How deliveries are sent to the vendors."""

    max_tries: Annotated[int, Meta(ge=1, le=1000)] = 20
    """How often a delivery is tried before it becomes a dead letter. An outage of the vendor or a refused key costs no
    try."""
    uncertain: Uncertain = Uncertain.RESEND
    """What to do with a delivery that may have arrived although its answer was lost, where the vendor does not
    recognise a repeat: `resend` may double it, `park` makes it a dead letter for you to decide."""
    max_items: Annotated[int, Meta(ge=0, le=2000)] = 0
    """The most items in one request. 0 uses each endpoint's own limit, which this never raises."""
    concurrency: Annotated[int, Meta(ge=0, le=1000)] = 0
    """The most requests in flight for one app and endpoint. 0 uses the endpoint's own limit."""
    requests_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """The most requests in a second for one app and endpoint. 0 uses the endpoint's own limit."""
    items_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    """The most events in a second for one app and endpoint, for plans of Amplitude with a limit (Starter: 1,000). 0
    sets no limit. Each process that delivers has this bound for itself, and so have history (`batch`) and what is new
    (`http_v2`)."""
    dead_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """If a vendor refuses more than this share of the last 100 items, sending to that endpoint stops and waits for you,
    so that a mistake does not turn all events into dead letters. 0 never stops."""
    timeout_s: Annotated[float, Meta(ge=5, le=300)] = 30.0
    """How long a vendor may take to answer. Deliveries leased by a worker that died go to another one after four times
    as long."""
    gzip: bool = False
    """Whether uploads to Amplitude are compressed, as those of its SDKs are."""

    @property
    def policy(self) -> RetryPolicy:
        """How often and when deliveries are tried again."""
        return RetryPolicy(tries=self.max_tries, uncertain=self.uncertain)

    @property
    def circuit(self) -> CircuitRules:
        """When lanes stop."""
        return CircuitRules(dead_share=self.dead_share)

    @property
    def times(self) -> Settings:
        """The times of a worker. The lease is four times as long as an exchange may take."""
        return Settings(lease_ms=round(self.timeout_s * 4000), timeout_ms=round(self.timeout_s * 1000) + 5000)

    def tuned(self, limits: Limits) -> Limits:
        """Return the configured limits where set, else the endpoint's. `max_items` never exceeds the vendor's limit."""
        return Limits(
            min(self.max_items or limits.max_items, limits.max_items),
            limits.max_bytes,
            self.concurrency or limits.concurrency,
            self.requests_per_s or limits.requests_per_s,
            self.items_per_s or limits.items_per_s,
        )
