"""The rate limit of one lane: two token buckets, as values. Pure.

A bucket may go into debt: a request larger than the bucket is sent once the bucket is full enough to
begin it, and later requests wait until the debt is paid. The mean rate is kept and nothing is stuck.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from flybridge.delivery.exchange import Limits


class Bucket(Struct, frozen=True):
    """Tokens that return at `per_s` up to `burst`; `per_s` 0 means no limit. `at_ms` is when `tokens` was right."""

    per_s: float
    burst: float
    tokens: float
    at_ms: int = 0


class Pace(Struct, frozen=True):
    """The lane's budget of requests and of items."""

    requests: Bucket
    items: Bucket


def bucket(per_s: float, burst_s: float = 1.0) -> Bucket:
    """Return a full bucket that holds `burst_s` seconds of the rate, at least one token."""
    burst = max(1.0, per_s * burst_s)
    return Bucket(per_s, burst, burst)


def pace(limits: Limits) -> Pace:
    """Return the pace an endpoint asks for."""
    return Pace(bucket(limits.requests_per_s), bucket(limits.items_per_s))


def take(pace: Pace, items: int, now_ms: int) -> tuple[Pace, float]:
    """Reserve one request of that many items. Returns the seconds to wait before it may be sent, 0.0 for now."""
    requests, first = _take(pace.requests, 1, now_ms)
    bulk, second = _take(pace.items, items, now_ms)
    return Pace(requests, bulk), max(first, second)


def _take(bucket: Bucket, n: float, now_ms: int) -> tuple[Bucket, float]:
    if bucket.per_s <= 0:
        return bucket, 0.0
    passed_s = max(0, now_ms - bucket.at_ms) / 1000
    tokens = min(bucket.burst, bucket.tokens + passed_s * bucket.per_s)
    needed = min(n, bucket.burst)
    wait_s = max(0.0, (needed - tokens) / bucket.per_s)
    return replace(bucket, tokens=tokens - n, at_ms=max(now_ms, bucket.at_ms)), wait_s
