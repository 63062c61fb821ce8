"""Revenue of a postback. What is absent is not zero.

AppsFlyer reports an amount in the event's currency, in US dollars, and in the app's currency. Amplitude converts
currencies itself, so the event's own amount goes; the others stand in where it was not selected. A message of
Push API v1 has only `af_revenue` in the event's value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.event import MAX_TEXT
from flybridge.appsflyer.fields import Postback
from flybridge.mapping.table import integer, money, plain


class Revenue(Struct, frozen=True, gc=False):
    """An amount in `currency` (ISO 4217, None: unknown), and what was bought. A negative amount is a refund."""

    amount: float | None
    currency: str | None = None
    type: str | None = None
    product_id: str | None = None
    quantity: int | None = None


NO_REVENUE: Final = Revenue(None)
NOTHING: Final[dict[str, Any]] = {}


def revenue_of(postback: Postback, event_value: Any, notes: list[str]) -> Revenue | None:
    """Return the revenue; None if the message has none."""
    bought = event_value if isinstance(event_value, dict) else NOTHING
    amount, code = postback.event_revenue, postback.event_revenue_currency
    if amount is None:
        found = amount_of(postback, bought)
        if found is None:
            return None
        amount, code = found
    currency = currency_of(code) if code else None
    if code and currency is None:
        notes.append("The currency is no three-letter code and was left out.")
    kind = "Refund" if amount < 0 else "Ad" if postback.event_name == "af_ad_revenue" else None
    product, quantity = bought.get("af_content_id"), bought.get("af_quantity")
    if product is not None and not isinstance(product, str):
        product = plain(product[0] if isinstance(product, list) and len(product) == 1 else product)
    if quantity is not None:
        quantity = integer(quantity)
    return Revenue(amount, currency, kind, product[:MAX_TEXT] if product else None, quantity or None)


@lru_cache(maxsize=256)
def currency_of(written: str) -> str | None:
    """Return the code of a currency in capitals; None if it is none."""
    code = written.strip().upper()
    return code if len(code) == 3 and code.isascii() and code.isalpha() else None


def amount_of(postback: Postback, bought: dict[str, Any]) -> tuple[float, str | None] | None:
    """Return the first amount that a message reports, and its currency as it is written."""
    if postback.event_revenue is not None:
        return postback.event_revenue, postback.event_revenue_currency
    if postback.event_revenue_usd is not None:
        return postback.event_revenue_usd, "USD"
    if postback.revenue_in_selected_currency is not None:
        return postback.revenue_in_selected_currency, postback.selected_currency
    raw = bought.get("af_revenue")
    amount = None if raw is None else money(raw)
    if amount is None:
        return None
    code = bought.get("af_currency")
    return amount, code if isinstance(code, str) else postback.event_revenue_currency
