"""Revenue of a postback. What is absent is not zero, and no amount goes without its currency.

AppsFlyer reports an amount up to three times: in the event's currency, in US dollars, and in a currency selected for
the app; what the SDK was given stands in the event's value. Amplitude adds up the `revenue` of all events as plain
numbers, whatever their `currency`; only its derived property *Currency Converted Revenue* converts
(https://amplitude.com/docs/data/currency-conversion, https://amplitude.com/docs/account-management/currency-unit, read
2026-11-27). An app that sells in several currencies therefore wants `usd` or `selected`.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.event import MAX_TEXT
from flybridge.appsflyer.amounts import amount_of as read_amount
from flybridge.appsflyer.amounts import currency_in, is_ambiguous
from flybridge.appsflyer.currencies import currency_of
from flybridge.appsflyer.fields import ABSENT, Postback
from flybridge.identity.bare import only
from flybridge.mapping.table import integer, plain
from flybridge.records import Word

USD: Final = "USD"
NOTHING: Final[dict[str, Any]] = {}


class RevenueIn(Word):
    """The amount that becomes the revenue of an event in Amplitude."""

    EVENT = "event"  # in the currency of the event
    USD = "usd"  # as AppsFlyer converts it to US dollars
    SELECTED = "selected"  # as AppsFlyer converts it to the currency selected for the app
    NONE = "none"  # no revenue: the app's own SDK sends it to Amplitude already


EVENT: Final = RevenueIn.EVENT
NONE: Final = RevenueIn.NONE


class Revenue(Struct, frozen=True, gc=False):
    """An amount in `currency` (ISO 4217), and what was bought. A negative amount is a refund."""

    amount: float | None
    currency: str | None = None
    type: str | None = None
    product_id: str | None = None
    quantity: int | None = None


class RevenueRule(Struct, frozen=True):
    """Which amount is taken, and the fields of AppsFlyer that it may not be taken from."""

    choice: RevenueIn = RevenueIn.EVENT
    without: frozenset[str] = frozenset()


ANYTHING: Final = RevenueRule()

Money = tuple[float, str]
"""An amount and its ISO 4217 code."""

NO_REVENUE: Final = Revenue(None)
SELECTED: Final = frozenset({"revenue_in_selected_currency", "selected_currency"})


def revenue_of(postback: Postback, event_value: Any, rule: RevenueRule, notes: list[str]) -> Revenue | None:
    """Return the revenue in the chosen currency; None if the message has none."""
    if rule.choice is NONE:
        return None
    bought = event_value if isinstance(event_value, dict) and "event_value" not in rule.without else NOTHING
    if postback.event_revenue is None and not _has_amount(postback, bought):
        return None
    money = _chosen(postback, bought, rule)
    if money is None:
        if postback.event_revenue is not None or not _is_nothing(bought.get("af_revenue")):
            notes.append(_why_none(postback, bought, rule.choice))
        return None
    amount, currency = money
    kind = "Refund" if amount < 0 else "Ad" if postback.event_name == "af_ad_revenue" else None
    product, quantity = bought.get("af_content_id"), bought.get("af_quantity")
    if product is not None and not isinstance(product, str):
        product = plain(only(product))
    if product in ABSENT:
        product = None
    if quantity is not None:
        quantity = integer(only(quantity)) if not isinstance(quantity, bool) else None
    return Revenue(amount, currency, kind, product[:MAX_TEXT] if product else None, quantity or None)


def _chosen(postback: Postback, bought: dict[str, Any], rule: RevenueRule) -> Money | None:
    """Return the amount and the currency of one pair. An amount is never joined with the currency of another."""
    own = _in_event_currency(postback, bought, rule)
    if rule.choice is EVENT and own is not None:
        return own
    usd = None if "event_revenue_usd" in rule.without else postback.event_revenue_usd
    dollars = None if usd is None else (usd, USD)
    selected = None if SELECTED.intersection(rule.without) else _in_selected_currency(postback)
    match rule.choice:
        case RevenueIn.USD:
            return dollars or _in(USD, own) or _in(USD, selected)
        case RevenueIn.SELECTED:
            code = currency_of(postback.selected_currency)
            return selected or _in(code, own) or _in(code, dollars)
        case _:
            return dollars or selected


def _in_event_currency(postback: Postback, bought: dict[str, Any], rule: RevenueRule = ANYTHING) -> Money | None:
    """Return the amount as the event has it: AppsFlyer's, or what the SDK was given."""
    # Carts pass amounts and currencies as lists.
    reported = None if "event_revenue_currency" in rule.without else currency_of(postback.event_revenue_currency)
    amount = postback.event_revenue
    if amount is not None and reported is not None:
        return amount, reported
    raw, stated = bought.get("af_revenue"), only(bought.get("af_currency"))
    given = currency_of(stated)
    currency = reported or given
    if amount is None:
        # AppsFlyer reports a currency also where it reports no revenue. What the app has stated is that of its amount.
        currency = given or (reported if _is_nothing(stated) else None) or currency_in(raw)
    elif reported is None and given is not None and (own := read_amount(raw, given)) is not None:
        amount = own
    if currency is None:
        return None
    if amount is None and raw is not None:
        amount = read_amount(raw, currency)
    return None if amount is None else (amount, currency)


def _has_amount(postback: Postback, bought: dict[str, Any]) -> bool:
    return (
        postback.event_revenue is not None
        or postback.event_revenue_usd is not None
        or postback.revenue_in_selected_currency is not None
        or not _is_nothing(bought.get("af_revenue"))
    )


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in ABSENT)


def _in_selected_currency(postback: Postback) -> Money | None:
    amount, currency = postback.revenue_in_selected_currency, currency_of(postback.selected_currency)
    return None if amount is None or currency is None else (amount, currency)


def _in(currency: str | None, money: Money | None) -> Money | None:
    return money if money is not None and money[1] == currency else None


def _why_none(postback: Postback, bought: dict[str, Any], choice: RevenueIn) -> str:
    own = _in_event_currency(postback, bought)
    if own is not None:
        return (
            f"The revenue is in {own[1]} and was left out: AppsFlyer did not convert it (mapping.revenue is {choice})."
        )
    written = currency_of(postback.event_revenue_currency) or currency_of(only(bought.get("af_currency")))
    if postback.event_revenue is None and read_amount(raw := bought.get("af_revenue"), written) is None:
        how = "can be read in two ways" if is_ambiguous(raw, written) else "can't be read"
        return f"The amount in af_revenue {how} and was left out: the SDK expects it as 1234.56."
    return "The revenue has no currency that is a code of ISO 4217 and was left out."


def amount_of(postback: Postback, bought: dict[str, Any]) -> tuple[float, str | None] | None:
    """Return the first amount that a message reports, and its currency as it is written; None if it reports none."""
    if not _has_amount(postback, bought):
        return None
    if (own := _in_event_currency(postback, bought)) is not None:
        return own
    if postback.event_revenue_usd is not None:
        return postback.event_revenue_usd, USD
    if postback.revenue_in_selected_currency is not None:
        return postback.revenue_in_selected_currency, postback.selected_currency
    amount = postback.event_revenue if postback.event_revenue is not None else read_amount(bought.get("af_revenue"))
    return None if amount is None else (amount, None)
