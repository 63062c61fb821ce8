"""What people do in an app: in-app events with their values, prices and odds, made from 64 random bits each.

Names that begin with `af_` are AppsFlyer's recommended ones
(https://support.appsflyer.com/hc/en-us/articles/115005544169, read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import Struct

from flybridge.sandbox.traffic.people import TrafficPerson
from flybridge.sandbox.traffic.postbacks import Bought
from flybridge.sandbox.traffic.sources import Weighted

LOGIN: Final = "af_login"
PURCHASE: Final = "af_purchase"
REFUND: Final = "refund"

PRICES_USD: Final = (0.99, 1.99, 4.99, 9.99, 14.5, 29.0, 59.99, 119.0)
PRODUCTS: Final = ("coins_500", "remove_ads", "shirt-blue-M", "premium_monthly", "sofa ”Oslo“", "season_pass")


class EventContent(Struct, frozen=True, gc=False):
    """An event's value, what it earned, and the order it belongs to."""

    value: dict[str, Any] | None = None
    bought: Bought | None = None
    order_id: str | None = None


def _cart(person: TrafficPerson, bits: int) -> EventContent:
    price = round(PRICES_USD[bits % 8] * person.country.per_usd, 2)
    product = PRODUCTS[bits >> 3 & 3]
    return EventContent(
        {"af_price": price, "af_currency": person.country.currency, "af_content_id": product, "af_quantity": 1}
    )


def _search(_: TrafficPerson, bits: int) -> EventContent:
    return EventContent(
        {"af_search_string": ("café", "鞋", "blue shirt", "50% off")[bits & 3], "results": bits >> 2 & 63}
    )


def _order(person: TrafficPerson, bits: int, sign: int = 1) -> EventContent:
    quantity = (bits >> 3 & 3) + 1
    usd = round(sign * PRICES_USD[bits % 8] * quantity, 2)
    amount = round(usd * person.country.per_usd, 2)
    order_id = f"o-{bits >> 8:014x}"
    value = {
        "af_revenue": str(amount) if bits >> 5 & 1 else amount,
        "af_currency": person.country.currency,
        "af_content_id": PRODUCTS[(bits >> 6) % len(PRODUCTS)],
        "af_content_type": "product",
        "af_quantity": quantity,
        "af_order_id": order_id,
    }
    return EventContent(value, Bought(amount, person.country.currency, usd), order_id)


MAKERS: Final[dict[str, Callable[[TrafficPerson, int], EventContent]]] = {
    "af_complete_registration": lambda _, bits: EventContent(
        {"af_registration_method": ("google", "e-mail", "apple")[bits % 3]}
    ),
    "af_tutorial_completion": lambda _, bits: EventContent(
        {"af_success": bits & 1 == 1, "af_tutorial_id": str(bits >> 1 & 7), "af_content": "first steps"}
    ),
    LOGIN: lambda *_: EventContent(),
    PURCHASE: _order,
    REFUND: partial(_order, sign=-1),
    "af_add_to_cart": _cart,
    "af_content_view": _cart,
    "af_level_achieved": lambda _, bits: EventContent({"af_level": bits % 60 + 1, "af_score": bits >> 8 & 0xFFFF}),
    "af_search": _search,
    "Trial Started": lambda *_: EventContent(),
    "screen_opened": _search,
}
"""Makes an event's value by the event's name. The same bits make the same value."""

_ODDS: Final = {
    PURCHASE: 22,
    "af_add_to_cart": 18,
    "af_content_view": 20,
    "af_level_achieved": 14,
    "af_search": 10,
    "Trial Started": 4,
    "screen_opened": 12,
}

EVENTS: Final = Weighted(list(_ODDS), list(_ODDS.values()))
"""What people do once they are at home in an app."""
