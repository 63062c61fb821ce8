"""Where an event happened: country, region, city and DMA, all four of them or none.

In Amplitude setting one of the four resets the others ("Always update all four fields together",
https://amplitude.com/docs/data/understand-ip-address-and-location), so that a message with a country alone would erase
the city that the app's own SDK has set. A place is therefore sent only if AppsFlyer reports its country, state and
city; the DMA, which most places outside the United States lack, is then the empty text. Of all other messages Amplitude
looks up the `ip` (https://amplitude.com/docs/apis/analytics/http-v2, both read 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from flybridge.appsflyer.fields import Postback
from flybridge.mapping.to_amplitude.countries import COUNTRIES
from flybridge.mapping.to_amplitude.regions import REGIONS

LOCATION: Final = "https://amplitude.com/docs/data/understand-ip-address-and-location"

CODES: Final = {name.upper(): code for code, name in COUNTRIES.items()}

SOURCES: Final = {"country": "country_code", "region": "state", "city": "city", "dma": "dma"}
"""Amplitude's four fields, and AppsFlyer's."""


class PlaceRule:
    """Which of Amplitude's four `fields` of a place are sent, and which of AppsFlyer's they are sent without.

    Fields for which the configuration has a row of its own are `taken`.
    """

    def __init__(self, without: Collection[str] = (), *, sent: bool = True, taken: Collection[str] = ()) -> None:
        self.fields = tuple(name for name in SOURCES if name not in taken)
        self._without = frozenset(without) & frozenset(SOURCES.values())
        self._sent = sent and not self._without.issuperset(SOURCES.values())
        self._nowhere = (None,) * len(self.fields)

    def values(self, postback: Postback) -> tuple[str | None, ...]:
        """Return the values of the fields, all None if the place is not whole. What is to stay out is empty."""
        country, state, city = postback.country_code, postback.state, postback.city
        if not self._sent:
            return self._nowhere
        left_out = self._without
        if left_out:
            country = "" if "country_code" in left_out else country
            state = "" if "state" in left_out else state
            city = "" if "city" in left_out else city
        if country is None or state is None or city is None:
            return self._nowhere
        dma = "" if "dma" in left_out else postback.dma or ""
        place = {
            "country": country_name(country),
            "region": region_name(postback.country_code or "", state),
            "city": city,
            "dma": dma,
        }
        return tuple([place[name] for name in self.fields])


@lru_cache(maxsize=1024)
def country_name(value: str) -> str:
    """Return the English name of a two-letter code; other text as it is."""
    value = value.strip()
    return COUNTRIES.get(value.upper(), value)


@lru_cache(maxsize=4096)
def region_name(country: str, state: str) -> str:
    """Return the name of a state's code (`CA`, `US-CA`) where it is known; other text as it is.

    The country is a code or its name.
    """
    code, state_code = country.strip().upper(), state.strip().upper()
    code = CODES.get(code, code)
    return REGIONS.get((code, state_code.removeprefix(f"{code}-")), state)
