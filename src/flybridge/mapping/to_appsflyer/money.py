"""The amount of an event, and its currency. AppsFlyer takes an amount without a currency for dollars.

Apps that report to both vendors may name an event's amount twice, each with a currency beside it (`PAIRED`). An amount
is not joined with the currency of the other.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flybridge.amplitude.streamed import Streamed
from flybridge.appsflyer.amounts import currency_in
from flybridge.appsflyer.currencies import TAKEN, currency_of
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer.rules import StreamRules, found_at

REVENUE: Final = "eventValue.af_revenue"
AF_CURRENCY: Final = "eventValue.af_currency"
PAIRED: Final = {
    "event_properties.af_revenue": "event_properties.af_currency",
    "event_properties.$revenue": "event_properties.$currency",
    "event_properties.revenue": "event_properties.currency",
    "revenue": "currency",
}
"""Where the currency of an amount stands, by where the amount does."""


def paired_amount(event: Streamed, rules: StreamRules) -> dict[str, Any]:
    """Return the first amount that has a currency beside it, and that currency, by target; empty if there is none."""
    if "eventCurrency" in rules.compiled.fixed:
        return {}
    for row in rules.compiled.rows:
        if row.target != REVENUE or (raw := found_at(event, row.source)) is None:
            continue
        beside = event.find(PAIRED.get(row.source, ""))
        code = None if beside is None else s2s.currency(beside)
        if code is not None and (value := s2s.amount(raw, currency_of(code))) is not None:
            return {REVENUE: value, "eventCurrency": code}
    return {}


def leave_other_currency(rules: StreamRules, found: dict[str, Any]) -> None:
    """Leave out an `af_currency` that is not the currency of the event."""
    stated = found.get(AF_CURRENCY)
    if AF_CURRENCY not in rules.compiled.fixed and found.get("eventCurrency", stated) != stated:
        found.pop(AF_CURRENCY, None)


def stated_currency(event: Streamed, rules: StreamRules) -> str | None:
    """Return the currency that an event states, as a code."""
    for row in rules.compiled.currencies:
        if (raw := found_at(event, row.source)) is not None and (code := s2s.currency(raw)) is not None:
            return currency_of(code)
    return None


def is_of_no_code(event: Streamed, rules: StreamRules, found: Mapping[str, Any]) -> bool:
    """Whether an event states a currency that can't be sent. AppsFlyer would take its amount for dollars."""
    if "eventCurrency" in found or AF_CURRENCY in found or "eventCurrency" in rules.compiled.fixed:
        return False
    return any(s2s.states(found_at(event, row.source)) for row in rules.compiled.currencies)


def complete_currency(event: Streamed, rules: StreamRules, found: dict[str, Any], notes: list[str]) -> None:
    """Send the currency that an amount names, `9,99 €`, if none is stated: AppsFlyer would take it for dollars."""
    if "eventCurrency" in found or REVENUE not in found:
        return
    for row in rules.compiled.rows:
        if row.target == REVENUE and (raw := found_at(event, row.source)) is not None:
            if s2s.amount(raw, stated_currency(event, rules)) is None:  # the amount is of another row
                continue
            if not is_of_currency(raw, row.source, rules, found, notes):
                del found[REVENUE]
            return


def is_of_currency(raw: Any, source: str, rules: StreamRules, found: dict[str, Any], notes: list[str]) -> bool:
    """Whether AppsFlyer will know the currency of an amount. One that the amount names is added to `found`."""
    if "eventCurrency" in found or AF_CURRENCY in found or "eventCurrency" in rules.compiled.fixed:
        return True
    if (code := currency_in(raw)) in TAKEN:
        found["eventCurrency"] = code
        notes.append(f"The currency was taken from {source}: {code}.")
    elif s2s.amount(raw, "USD") is None:
        notes.append(f"{source} names no dollars, and no code says which currency, and was left out.")
        return False
    return True
