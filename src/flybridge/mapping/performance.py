"""What a postback adds to the performance counters: whose campaign, on which day, how much money. Pure.

It is the same whatever the configuration sends to Amplitude: a filtered, held or refused event counts as well, under
the media source that AppsFlyer reports. Not counted are what AppsFlyer does not count either: uninstall measurements.
Installs that SKAdNetwork reports are a figure of their own: they name no person, and may be among the others. Blocked
fraud, and the secondary of two attributions (https://support.appsflyer.com/hc/en-us/articles/360016371077, read
2026-11-24), are kinds of their own, in no figure: they explain differences.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from flybridge.appsflyer.currencies import currency_of
from flybridge.appsflyer.fields import Postback
from flybridge.appsflyer.postback_kind import Kind
from flybridge.appsflyer.postback_time import time_ms, time_of
from flybridge.mapping.counting import Counting
from flybridge.mapping.to_amplitude.facts import Facts
from flybridge.mapping.to_amplitude.revenue import amount_of
from flybridge.records import DAY_MS, MICRO, Dimensions, Performance, PerformanceKind
from flybridge.store.performance import country_label, label, source_label
from flybridge.system.yes_or_no import yes_or_no

MAX_AMOUNT: Final = 1e9
"""A larger amount is a mistake, and would spoil every sum it is added to: it is counted as not converted."""


SKAD_INSTALLS: Final = frozenset({"install", "redownload", "re-download"})
"""Names of SKAdNetwork messages of an install, without what older ones have in front. Others are about the same one."""
SKAD_CAMPAIGN: Final = (
    "campaign", "ad_network_campaign_name", "ad_network_campaign_id", "skad_campaign_id", "skad_source_identifier",
)  # fmt: skip
"""What names a campaign: the network's own name and id before Apple's number of two to four digits."""
RETARGETED: Final = frozenset({Kind.RE_ENGAGEMENT_IN_APP, Kind.RE_ATTRIBUTION_IN_APP})
BEGINS: Final = frozenset({"install", "reinstall", "re-attribution"})
"""Families of conversions that begin an installation. A re-engagement is of one that is there."""


def performance_of(
    facts: Facts, counting: Counting, *, keys: tuple[bytes, ...], is_secondary: bool = False
) -> Performance | None:
    """Return what a message counts for; None if it does not count.

    `keys` are the matching keys of the AppsFlyer id. `is_secondary`: it is the secondary of two attributions, of which
    the other is counted.
    """
    postback, kind, platform = facts.postback, facts.classification.reported, facts.classification.platform
    if kind is None:
        return None
    if is_secondary and kind.is_conversion:
        return None
    if kind is Kind.SKADNETWORK:
        return _skadnetwork(postback, platform, counting, facts.event_ms)
    if kind is Kind.UNINSTALL:
        return None
    install_ms = facts.install_ms if kind.is_conversion else time_of(postback, "install_time")
    dimensions, origin, begins = _counted(
        kind,
        postback.event_name,
        postback.media_source,
        postback.campaign,
        postback.af_adset if counting.detail != "campaign" else None,
        postback.af_ad if counting.detail == "ad" else None,
        postback.country_code,
        platform,
    )
    moment = facts.event_ms
    if begins:
        install_ms = install_ms or facts.reported_ms
        # An installation is of its own day, not of the one on which AppsFlyer heard of it.
        moment = install_ms or moment
    revenue, paid, converted = (0, False, True) if kind.is_conversion else _money(postback, facts.whole, counting)
    touched = postback.attributed_touch_time
    day = counting.day
    if postback.blocked_reason is not None or is_secondary:  # in no figure
        apart = PerformanceKind.SECONDARY if postback.blocked_reason is None else PerformanceKind.BLOCKED
        return Performance(dimensions._replace(kind=apart), day(moment))
    return Performance(
        dimensions,
        day(moment),
        revenue,
        not converted,
        paid,
        keys,
        begins,
        origin,
        day(install_ms) if install_ms is not None else 0,
        install_ms // 1000 if install_ms is not None else 0,
        (time_ms(touched) or 0) // 1000 if begins and touched is not None else 0,
    )


@lru_cache(32_768)
def _counted(  # noqa: PLR0917 - a cache takes no names
    kind: Kind,
    event: str | None,
    source: str | None,
    campaign: str | None,
    adset: str | None,
    ad: str | None,
    country: str | None,
    platform: str,
) -> tuple[Dimensions, Dimensions | None, bool]:
    """Return what a message is counted under, what it tells of its installation, and whether it begins one.

    Labels are masked, shortened, and the same for the same source however it is written.
    """
    of_event = PerformanceKind.RETARGETED_EVENT if kind in RETARGETED else PerformanceKind.EVENT
    dimensions = Dimensions(
        kind.family if kind.is_conversion else of_event,
        label("" if kind.is_conversion else event),
        source_label("organic" if kind.is_organic else source or ""),
        label(None if kind.is_organic else campaign),
        label(adset),
        label(ad),
        country_label(country),
        label(platform),
    )
    if kind.family in BEGINS:
        return dimensions, dimensions, True
    if kind.is_conversion or kind in RETARGETED:
        return dimensions, None, False
    return dimensions, dimensions._replace(kind=PerformanceKind.UNSEEN, event="", country=""), False


def _skadnetwork(postback: Postback, platform: str, counting: Counting, event_ms: int) -> Performance | None:
    """Return an install that SKAdNetwork reports: the first postback of an ad that won. It names no person.

    Later postbacks of version 4, and those of ads that lost, are about installs that are counted already.
    """
    name = (postback.event_name or "").lower().removeprefix("af_").removeprefix("skad_")
    sequence, won = postback.get("skad_postback_sequence_index"), _first(postback, "skad_did_win", "did_win")
    if name not in SKAD_INSTALLS or sequence not in (None, 0, "0") or yes_or_no(won) is False:
        return None
    fine, finest = counting.detail != "campaign", counting.detail == "ad"
    dimensions = Dimensions(
        PerformanceKind.SKADNETWORK,
        "",
        source_label(_first(postback, "media_source", "ad_network_name", "skad_ad_network_id")),
        label(_first(postback, *SKAD_CAMPAIGN)),
        label(_first(postback, "af_adset", "ad_network_adset_name", "ad_network_adset_id") if fine else None),
        label(_first(postback, "af_ad", "ad_network_ad_name", "ad_network_ad_id") if finest else None),
        country_label(postback.country_code),
        label(platform),
    )
    return Performance(dimensions, _skad_day(postback, counting, event_ms))


def _skad_day(postback: Postback, counting: Counting, event_ms: int) -> int:
    """Return the day of an install that SKAdNetwork reports: Apple tells none, and AppsFlyer estimates it.

    Without an estimate it is the day on which the postback came, whose time has another name than that of events.
    """
    # A date has no zone: its midnight is on the day before in half the world.
    if (estimated := time_ms(_first(postback, "install_date"))) is not None:
        return estimated // DAY_MS
    if postback.event_time is None and (came := time_ms(_first(postback, "timestamp"))) is not None:
        return counting.day(came)
    return counting.day(event_ms)


def _first(postback: Postback, *names: str) -> str:
    """Return the first of these fields that the message has, as text; empty if it has none."""
    return next((str(value).strip() for name in names if (value := postback.get(name)) is not None), "")


def _money(postback: Postback, value: Any, counting: Counting) -> tuple[int, bool, bool]:
    """Return the amount in millionths of the app's currency, whether it was a purchase, and whether it is known."""
    bought = value if isinstance(value, dict) else {}
    found = amount_of(postback, bought)
    if found is None:
        return 0, False, True
    currency = counting.currency
    known = (
        (postback.event_revenue, postback.event_revenue_currency),
        (postback.revenue_in_selected_currency, postback.selected_currency),
        (postback.event_revenue_usd, "USD"),
        found,
    )
    paid = found[0] > 0
    for amount, code in known:
        if amount is not None and code and currency_of(code) == currency:
            return _micros(amount, paid)
    for amount, code in known:
        # An app may also have given a rate to a currency of its own.
        rate = counting.rates.get(code.strip().upper()) if amount is not None and code else None
        if amount is not None and rate is not None:
            return _micros(amount * rate, paid)
    return 0, paid, found[0] == 0


def _micros(amount: float, paid: bool) -> tuple[int, bool, bool]:
    if abs(amount) > MAX_AMOUNT:
        return 0, paid, False
    return round(amount * MICRO), paid, True
