"""The amount of an event, and its currency. AppsFlyer takes an amount without a currency for dollars.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flybridge.amplitude.streamed import Streamed
from flybridge.appsflyer.amounts import currency_in
from flybridge.appsflyer.currencies import currency_of
from flybridge.mapping.to_appsflyer import convert as s2s
from flybridge.mapping.to_appsflyer.rules import StreamRules, found_at

REVENUE: Final = "eventValue.af_revenue"


def stated_currency(event: Streamed, rules: StreamRules) -> str | None:
    """Return the currency that an event states, as a code."""
    for row in rules.compiled.currencies:
        if (raw := found_at(event, row.source)) is not None and (code := s2s.currency(raw)) is not None:
            return currency_of(code)
    return None


def is_of_no_code(event: Streamed, rules: StreamRules, found: Mapping[str, Any]) -> bool:
    """Whether an event states a currency that can't be sent. AppsFlyer would take its amount for dollars."""
    if "eventCurrency" in found or "eventValue.af_currency" in found or "eventCurrency" in rules.compiled.fixed:
        return False
    return any(s2s.states(found_at(event, row.source)) for row in rules.compiled.currencies)


def complete_currency(event: Streamed, rules: StreamRules, found: dict[str, Any], notes: list[str]) -> None:
    """Send the currency that an amount names, `9,99 €`, if none is stated: AppsFlyer would take it for dollars."""
    if "eventCurrency" in found or "eventValue.af_currency" in found or "eventCurrency" in rules.compiled.fixed:
        return
    for row in rules.compiled.rows:
        if row.target == REVENUE and REVENUE in found and (raw := found_at(event, row.source)) is not None:
            if s2s.amount(raw, stated_currency(event, rules)) is None:  # the amount is of another row
                continue
            if (code := currency_in(raw)) is not None:
                found["eventCurrency"] = code
                notes.append(f"The currency was taken from {row.source}: {code}.")
            elif s2s.amount(raw, "USD") is None:
                del found[REVENUE]
                notes.append(f"{row.source} names no dollars, and no code says which currency, and was left out.")
            return
