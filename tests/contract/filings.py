"""Builders for what the contract suite files."""

from __future__ import annotations

from collections import Counter
from itertools import count

from flybridge.records import (
    DAY_MS,
    HOUR_MS,
    Deliver,
    Envelope,
    Filing,
    Hold,
    Measure,
    Media,
    Sighting,
    Source,
    content_key,
)
from flybridge.store.protocol import Lane

NOW_MS = 1_764_000_000_000  # 2025-11-24
DAY = "2025-11-24"
LANE = Lane("shop", "http_v2")
WINDOW_MS = 72 * HOUR_MS

_numbers = count(1)


def key(name: str) -> bytes:
    """Build a matching key or content key."""
    return content_key(name.encode())


def envelope(receipt: str | None = None, app: str = "shop", **fields) -> Envelope:
    """Build an envelope, with a receipt of its own unless one is given."""
    receipt = f"r{next(_numbers)}" if receipt is None else receipt
    fields = {"source": Source.PUSH, "media": Media.JSON, "received_ms": NOW_MS, "body": b"{}"} | fields
    return Envelope(app, receipt=receipt, **fields)


def item(name: str = "install", **fields) -> Deliver:
    """Build an item that can be told apart by its body and insert_id."""
    return Deliver("http_v2", f"id-{name}", f"[AppsFlyer] {name}", b'{"name": "%s"}' % name.encode(), **fields)


def direct(name: str = "install", *, receipt: str | None = None, app: str = "shop", **fields) -> Filing:
    """File an item whose user is known."""
    return Filing(envelope(receipt, app), item(name, user_id="ada"), **fields)


def waiting(name: str, *keys: str, event_ms: int = NOW_MS, app: str = "shop", **fields) -> Filing:
    """File an item that waits for one of the keys."""
    hold = Hold(
        item(name),
        tuple(key(k) for k in keys),
        tuple("idfa" for _ in keys),
        event_ms,
        fields.pop("expires_ms", NOW_MS + WINDOW_MS),
        "tiktok",
    )
    return Filing(envelope(app=app), hold, **fields)


def sighting(name: str, user_id: str | None = "ada", device_id: str | None = "ada-phone", **fields) -> Sighting:
    """Build a sighting of one key."""
    fields = {"app": "shop", "kind": "idfa", "seen_ms": NOW_MS} | fields
    return Sighting(key=key(name), user_id=user_id, device_id=device_id, **fields)


def measure(kind: str = "install", revenue: float = 0.0) -> Measure:
    """Build what an event adds to the rollups."""
    return Measure(kind, kind, "tiktok", "summer", "DE", "ios", DAY, revenue, 0.5)


async def standing(store) -> dict[str, int]:
    """Return the counters by outcome."""
    totals: Counter[str] = Counter()
    for c in await store.counts():
        totals[c.outcome] += c.n
    return dict(totals)


async def lease(store, now_ms: int = NOW_MS, lane: Lane = LANE, *, owner: str = "worker", limit: int = 1000):
    """Lease what is due, for a minute."""
    return await store.lease(lane, limit, now_ms, 60_000, owner)


async def names(store, now_ms: int = NOW_MS, **named) -> list[str]:
    """Lease what is due and give the items' names in order."""
    return [delivery.insert_id.removeprefix("id-") for delivery in await lease(store, now_ms, **named)]


async def lines(store, **named) -> list:
    """Read the whole ledger."""
    return [line async for line in store.ledger(**named)]


LATER_MS = NOW_MS + DAY_MS
