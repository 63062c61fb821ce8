"""What every lane of a worker shares: the backends, and the settings of times and sizes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec import Struct, field

from flybridge.clock import Clock
from flybridge.delivery import circuit as breaker
from flybridge.delivery.exchange import Transport
from flybridge.delivery.lifecycle import RetryPolicy
from flybridge.delivery.observer import Observer, Silent

if TYPE_CHECKING:  # the configuration needs the settings alone, and no store
    from flybridge.store.protocol import Store


class Settings(Struct, frozen=True):
    """Times (in milliseconds) and sizes of a worker.

    `lease_ms` must be longer than `timeout_ms`, the transport's limit of one exchange: the difference is how long a
    leased item may wait for its turn. `wave_items` bounds one lease, `wave_begun` where intent is recorded (or
    an eighth of what may be in flight, where that is more).
    """

    lease_ms: int = 120_000
    timeout_ms: int = 35_000
    poll_ms: int = 500
    rescue_ms: int = 15_000
    settle_ms: int = 500
    wave_items: int = 8_000
    wave_begun: int = 64


class Context(Struct, frozen=True):
    """What a worker sends with. `owner` names this process in its leases and must be unique.

    `ahead_ms` returns by how much the clock by which leases end, which all workers share, is ahead of `clock`.
    """

    store: Store
    transport: Transport
    clock: Clock
    policy: RetryPolicy = RetryPolicy()
    rules: breaker.CircuitRules = breaker.CircuitRules()
    settings: Settings = Settings()
    observer: Observer = Silent()
    owner: str = field(default_factory=lambda: f"worker-{uuid4().hex}")
    jitter: Callable[[], float] = random.random
    ahead_ms: Callable[[], int] = lambda: 0
