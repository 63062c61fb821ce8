"""Product events as Amplitude's webhook streams them, and what AppsFlyer must get of them.

    for product in products(messages, seed=7, share=0.4):
        post(product.path, product.body)          # product.truth says what must become of it

They are made for the people of a given traffic, because its postbacks decide who can be identified.
An event without AppsFlyer id is made only for a user whose postbacks name exactly one installation, or for one whom
none names: the truth then does not depend on the order of arrival.

The truth is written down from what was made, never by asking flybridge's mapping. `STREAM` is the configuration it is
true for.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate
from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.postbacks import written
from flybridge.sandbox.traffic.truth import Fate, Truth

_encode: Final = msgspec.json.Encoder().encode

STREAM: Final = """
[[apps.streams]]
events = ["Order *"]
rename = { "Order Completed" = "af_purchase" }
extras = ["*"]
wait_hours = 24
[[apps.streams.where]]
property = "event_properties.plan"
is_not = "test"
[[apps.streams.where]]
property = "event_properties.price"
gt = 0
"""

PRICES: Final = (0.99, 4.99, 9.99, 29.0, 119.5)
CURRENCIES: Final = ("USD", "EUR", "JPY", "BRL")


class ProductKind(StrEnum):
    """What a product event is made to show."""

    ORDER = "order"
    REFUND = "refund"
    NAMELESS = "without id"  # its AppsFlyer id is known from postbacks
    STRANGER = "stranger"  # its AppsFlyer id is known from nowhere
    TEST = "test order"
    FREE = "free order"
    VIEW = "view"
    LOOP = "loop"


ODDS: Final = {
    ProductKind.ORDER: 34,
    ProductKind.REFUND: 6,
    ProductKind.NAMELESS: 20,
    ProductKind.STRANGER: 10,
    ProductKind.TEST: 8,
    ProductKind.FREE: 6,
    ProductKind.VIEW: 10,
    ProductKind.LOOP: 6,
}
"""How often what is made, of a hundred."""
BOUNDS: Final = tuple(accumulate(ODDS.values()))

CHOSEN: Final = frozenset({ProductKind.ORDER, ProductKind.REFUND, ProductKind.NAMELESS})


class ProductTruth(Struct, frozen=True, gc=False):
    """What is true of one product event. Fields from `event_name` on are what AppsFlyer must hold if it is delivered.

    `event_name` and `event_time` together are unique within an app.
    """

    id: int
    app: str
    kind: ProductKind
    fate: Fate
    event_name: str = ""
    event_time: str = ""
    appsflyer_id: str = ""
    customer_user_id: str | None = None
    revenue: float | None = None
    currency: str | None = None


class Product(Struct, frozen=True, gc=False):
    """One product event on its way to flybridge: POST `body` to `path`, after message number `after`."""

    path: str
    body: bytes
    truth: ProductTruth
    after: int


def products(messages: Sequence[TrafficMessage], seed: int, share: float) -> Iterator[Product]:
    """Return product events for about this share of a traffic's messages, some of them twice."""
    random = Random(f"products {seed}")  # noqa: S311 - repeatable on purpose
    installations = _installations(messages)
    times: set[tuple[str, int]] = set()
    number = 0
    for position, message in enumerate(messages):
        truth = message.truth
        # Of people whom AppsFlyer's messages identify: the user property must not match those who wait for the stream.
        known = truth.v2.fate is Fate.DELIVERED and not truth.waits and truth.appsflyer_id
        draw, bits = random.random(), random.getrandbits(64)
        if not known or draw >= share:
            continue
        kind = list(ODDS)[bisect(BOUNDS, bits % 100)]
        names = (truth.user_id, truth.device_id)
        named = {one for name in names if name for one in installations.get((truth.app, name), ())}
        if kind is ProductKind.NAMELESS and len(named) != 1:
            kind = ProductKind.ORDER
        time_ms = truth.time_ms + 1_000 + bits % 60_000
        while (truth.app, time_ms) in times:
            time_ms += 1
        times.add((truth.app, time_ms))
        sent_as = next(iter(named)) if kind is ProductKind.NAMELESS else truth.appsflyer_id or ""
        body, made = _write(truth, kind, number=number, time_ms=time_ms, bits=bits, sent_as=sent_as)
        path = f"/v1/stream/{truth.app}"
        yield Product(path, body, made, position)
        number += 1
        if bits >> 32 & 31 == 0:  # Amplitude is in doubt and sends it again
            again = ProductTruth(number, made.app, kind, Fate.DUPLICATE)
            yield Product(path, body, again, position)
            number += 1


def _installations(messages: Sequence[TrafficMessage]) -> Mapping[tuple[str, str], set[str]]:
    """Return what postbacks tell: which installations there are of each user and device that they name themselves."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for message in messages:
        truth = message.truth
        if truth.v2.fate is Fate.DELIVERED and not truth.waits and truth.appsflyer_id:
            for name in (truth.user_id, truth.device_id):
                if name:
                    found[truth.app, name].add(truth.appsflyer_id)
    return found


def _write(
    truth: Truth, kind: ProductKind, *, number: int, time_ms: int, bits: int, sent_as: str
) -> tuple[bytes, ProductTruth]:
    """Write an event of a person. `sent_as` is the AppsFlyer id it must leave under."""
    price = 0.0 if kind is ProductKind.FREE else PRICES[bits >> 8 & 3]
    currency = CURRENCIES[bits >> 12 & 3]
    revenue = -price if kind is ProductKind.REFUND else price
    event_type = {
        ProductKind.REFUND: "Order Refunded",
        ProductKind.VIEW: "Page Viewed",
        ProductKind.LOOP: "Order Imported",
    }.get(kind, "Order Completed")
    properties: dict[str, Any] = {
        "price": price,
        "$revenue": revenue,
        "$currency": currency,
        "plan": "test" if kind is ProductKind.TEST else ("pro", "basic")[bits >> 16 & 1],
        "note": "x" * (bits >> 20 & 1023) if bits >> 18 & 3 == 0 else "short",
    }
    if kind is ProductKind.LOOP:
        properties["[AppsFlyer] message type"] = "install-in-app-event"
    user_id, device_id, appsflyer_id = truth.user_id, truth.device_id, truth.appsflyer_id
    if kind is ProductKind.STRANGER:
        user_id, device_id, appsflyer_id = f"stranger-{bits:016x}", f"stranger-{bits:016x}R", None
    elif kind is ProductKind.NAMELESS:
        appsflyer_id = None
    time = written(time_ms)
    body = _encode(
        {
            "$insert_id": f"{bits:016x}-{number}",
            "event_type": event_type,
            "event_time": f"{time}000",
            "user_id": user_id,
            "device_id": device_id,
            "event_properties": properties,
            "user_properties": {"appsflyer_id": appsflyer_id} if appsflyer_id else {},
            "is_attribution_event": False,
            "library": "amplitude-ts/2.11.0",
        }
    )
    if kind in CHOSEN:
        name = "Order Refunded" if kind is ProductKind.REFUND else "af_purchase"
        return body, ProductTruth(
            number, truth.app, kind, Fate.DELIVERED, name, time, sent_as, user_id, revenue, currency
        )
    fate = Fate.HELD if kind is ProductKind.STRANGER else Fate.APPLIED
    return body, ProductTruth(number, truth.app, kind, fate)
