"""Builders for what the contract suite files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

from flybridge.records import (
    DAY_MS,
    HOUR_MS,
    Deliver,
    Delivery,
    Dimensions,
    Envelope,
    Filing,
    Hold,
    Media,
    Performance,
    Sighting,
    Source,
    content_key,
)
from flybridge.store.figures import LedgerEntry
from flybridge.store.performance import Slice
from flybridge.store.protocol import Store
from flybridge.store.records import Lane

NOW_MS = 1_764_000_000_000  # 2025-11-24
DAY = "2025-11-24"
LANE = Lane("shop", "http_v2")
WINDOW_MS = 72 * HOUR_MS

_numbers = count(1)


def key(name: str) -> bytes:
    """Build a matching key or content key."""
    return content_key(name.encode())


def envelope(receipt: str | None = None, app: str = "shop", **fields: Any) -> Envelope:
    """Build an envelope, with a receipt of its own unless one is given."""
    receipt = f"r{next(_numbers)}" if receipt is None else receipt
    given: dict[str, Any] = {"source": Source.PUSH, "media": Media.JSON, "received_ms": NOW_MS, "body": b"{}"} | fields
    return Envelope(app, receipt=receipt, **given)


def item(name: str = "install", **fields: Any) -> Deliver:
    """Build an item that can be told apart by its body and insert_id."""
    return Deliver("http_v2", f"id-{name}", f"[AppsFlyer] {name}", b'{"name": "%s"}' % name.encode(), **fields)


def direct(name: str = "install", *, receipt: str | None = None, app: str = "shop", **fields: Any) -> Filing:
    """File an item whose user is known."""
    return Filing(envelope(receipt, app), item(name, user_id="ada"), **fields)


def waiting(name: str, *keys: str, event_ms: int = NOW_MS, app: str = "shop", **fields: Any) -> Filing:
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


def sighting(name: str, user_id: str | None = "ada", device_id: str | None = "ada-phone", **fields: Any) -> Sighting:
    """Build a sighting of one key."""
    given: dict[str, Any] = {"app": "shop", "kind": "idfa", "seen_ms": NOW_MS} | fields
    return Sighting(key=key(name), user_id=user_id, device_id=device_id, **given)


DIMENSIONS = Dimensions("install", "", "tiktok", "summer", "", "", "DE", "ios")
TODAY = NOW_MS // DAY_MS


def bought(revenue: float = 0.0, **named: Any) -> Performance:
    """Build what an in-app event of no installation counts for."""
    dimensions = DIMENSIONS._replace(**{"kind": "event", "event": "purchase", **named})
    return Performance(dimensions, TODAY, round(revenue * 1_000_000), paid=revenue > 0)


def installed(who: str = "af", *, install_s: int = NOW_MS // 1000, touch_s: int = 0, **named: Any) -> Performance:
    """Build what an install counts for."""
    dimensions = DIMENSIONS._replace(**named)
    day = install_s // 86_400
    return Performance(
        dimensions, day, keys=(key(who),), begins=True, origin=dimensions, install_day=day, install_s=install_s,
        touch_s=touch_s,
    )  # fmt: skip


def acted(
    who: str = "af", days: int = 0, revenue: float = 0.0, *, install_s: int = NOW_MS // 1000, **named: Any
) -> Performance:
    """Build what an event of an installation counts for, so many days after the install."""
    dimensions = DIMENSIONS._replace(kind="event", event="purchase", **named)
    origin = dimensions._replace(kind="unseen", event="", country="")
    day = install_s // 86_400
    return Performance(
        dimensions, day + days, round(revenue * 1_000_000), paid=revenue > 0, keys=(key(who),), origin=origin,
        install_day=day, install_s=install_s,
    )  # fmt: skip


async def counted(store: Store) -> int:
    """Return how many conversions and events the performance counters have."""
    return sum(row.n for row in await store.performance(Slice(0, 50_000, 50_000)))


async def standing(store: Store) -> dict[str, int]:
    """Return the counters by outcome."""
    totals: Counter[str] = Counter()
    for c in await store.counts():
        totals[c.outcome] += c.n
    return dict(totals)


async def lease(
    store: Store, now_ms: int = NOW_MS, lane: Lane = LANE, *, owner: str = "worker", limit: int = 1000
) -> Sequence[Delivery]:
    """Lease what is due, for a minute."""
    return await store.lease(lane, limit, now_ms, 60_000, owner)


async def names(store: Store, now_ms: int = NOW_MS, **named: Any) -> list[str]:
    """Lease what is due and give the items' names in order."""
    return [delivery.insert_id.removeprefix("id-") for delivery in await lease(store, now_ms, **named)]


async def lines(store: Store, **named: Any) -> list[LedgerEntry]:
    """Read the whole ledger."""
    return [line async for line in store.ledger(**named)]


LATER_MS = NOW_MS + DAY_MS
