"""What every lane of a worker shares: the backends it works through, and the times and sizes it keeps to."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from flybridge.clock import Clock
from flybridge.delivery import circuit as breaker
from flybridge.delivery.exchange import Transport
from flybridge.delivery.lifecycle import Policy
from flybridge.delivery.observer import Observer
from flybridge.store.protocol import Store


class Settings(Struct, frozen=True):
    """How a worker works. Times are milliseconds.

    `lease_ms` must be longer than `timeout_ms`, the transport's limit of one exchange: the difference is how long a
    leased item may wait for its turn. `wave_items` bounds one lease, `wave_begun` where intent is recorded (or
    an eighth of what may be in flight, where that is more: begun is then still little beside what flies).
    """

    lease_ms: int = 120_000
    timeout_ms: int = 35_000
    poll_ms: int = 500
    rescue_ms: int = 15_000
    settle_ms: int = 500
    wave_items: int = 8_000
    wave_begun: int = 64


class Shell(Struct, frozen=True):
    """What every lane of a worker shares."""

    store: Store
    transport: Transport
    clock: Clock
    policy: Policy
    rules: breaker.Rules
    settings: Settings
    observer: Observer
    owner: str
    jitter: Callable[[], float]
