"""Every metric of acquisition performance as data: its name, formula and note, and how it is computed from sums.

A metric is computed from the sums of a group, so that a total is never a mean of ratios. It is None where a part of it
is not known: without a cost there is no cost per install, and it is not 0. Metrics with a horizon (`_d7`) are of those
install days only of which so many days are over.

The definitions are AppsFlyer's: https://support.appsflyer.com/hc/en-us/articles/207040476 (retention by calendar day),
https://support.appsflyer.com/hc/en-us/articles/360014697157 (overview; read 2026-11-24).
docs/reference/performance.md is printed from this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field

from flybridge.records import MICRO

HORIZONS: Final = (0, 1, 3, 7, 14, 30, 90)
"""Days after the install that metrics are offered for."""

COUNT: Final = "count"
MONEY: Final = "money"
SHARE: Final = "share"
NUMBER: Final = "number"


class UpTo(Struct):
    """Sums of the install days that have so many complete days. `active` is on that day, the others are up to it.

    `attributed_revenue` is that of installations that are not organic.
    """

    installs: int = 0
    active: int = 0
    payers: int = 0
    revenue: int = 0
    attributed_revenue: int = 0
    spend: int | None = None


class Figures(Struct):
    """The sums of one group. Money is in millionths of the currency; None is not reported.

    `attributed` installs and revenue are those that are not organic. `reached` are installs of which something
    was given to a person in Amplitude, `not_converted` events whose amount is in a currency without a rate.
    """

    installs: int = 0
    attributed: int = 0
    reinstalls: int = 0
    re_engagements: int = 0
    re_attributions: int = 0
    events: int = 0
    revenue: int = 0
    attributed_revenue: int = 0
    not_converted: int = 0
    reached: int = 0
    skad_installs: int = 0
    spend: int | None = None
    clicks: int | None = None
    impressions: int | None = None
    up_to: dict[int, UpTo] = field(default_factory=dict)

    def at(self, horizon: int) -> UpTo:
        """Return the sums for a horizon; they are all 0 if no install day has so many complete days."""
        return self.up_to.setdefault(horizon, UpTo())


class Metric(Struct, frozen=True):
    """One metric. `horizon` is None if it has none; `unit` is `count`, `money`, `share` (1 is 100 %) or `number`."""

    name: str
    title: str
    unit: str
    formula: str
    note: str
    compute: Callable[[Figures], float | None]
    horizon: int | None = None


def _divided(top: float | None, bottom: float | None) -> float | None:
    return None if top is None or not bottom else top / bottom


def _money(micros: float | None) -> float | None:
    return None if micros is None else round(micros / MICRO, 6)


def _at(horizon: int) -> list[Metric]:
    """Return the metrics of one horizon."""
    d, up_to = f"_d{horizon}", f"up to day {horizon} after the install"

    def of(compute: Callable[[UpTo], float | None]) -> Callable[[Figures], float | None]:
        return lambda figures: compute(figures.at(horizon)) if figures.at(horizon).installs else None

    def of_cost(compute: Callable[[UpTo], float | None]) -> Callable[[Figures], float | None]:
        return lambda figures: None if figures.at(horizon).spend is None else compute(figures.at(horizon))

    return [
        Metric(
            f"revenue{d}", f"Revenue D{horizon}", MONEY, f"revenue of the installations {up_to}, inclusive",
            "Booked on the day of the install, as AppsFlyer's LTV figures are.", of(lambda it: _money(it.revenue)),
            horizon,
        ),
        Metric(
            f"roas{d}", f"ROAS D{horizon}", SHARE, f"revenue{d} without organic / spend of the same days",
            "Undefined without a cost.", of_cost(lambda it: _divided(it.attributed_revenue, it.spend)), horizon,
        ),
        Metric(
            f"roi{d}", f"ROI D{horizon}", SHARE, f"(revenue{d} without organic - spend) / spend of the same days",
            "ROAS less 100 %.",
            of_cost(lambda it: _divided(it.attributed_revenue - (it.spend or 0), it.spend)), horizon,
        ),
        Metric(
            f"arpu{d}", f"ARPU D{horizon}", MONEY, f"revenue{d} / installs of the same days",
            "Also called LTV. Of all installations, not of those that are active.",
            of(lambda it: _money(_divided(it.revenue, it.installs))), horizon,
        ),
        Metric(
            f"arppu{d}", f"ARPPU D{horizon}", MONEY, f"revenue{d} / installations with a purchase {up_to}",
            "Undefined while there is no purchase.",
            of(lambda it: _money(_divided(it.revenue, it.payers))), horizon,
        ),
        Metric(
            f"payer_share{d}", f"Payers D{horizon}", SHARE,
            f"installations with a purchase {up_to} / installs of the same days",
            "A purchase is an event with a positive amount, in any currency. AppsFlyer's own benchmark is day 30.",
            of(lambda it: _divided(it.payers, it.installs)), horizon,
        ),
        Metric(
            f"retention{d}", f"Retention D{horizon}", SHARE,
            f"installations that did anything on calendar day {horizon} after the install / installs of the same days",
            "AppsFlyer's calendar days in the app's zone: an install at 22:44 and a launch at 01:12 is day 1. "
            "Amplitude's default is rolling windows of 24 hours from the first event on, whose day N lies on calendar "
            "days N and N + 1: it is not computed here, because only days are kept of people, and no times. To "
            "compare, choose strict calendar dates in Amplitude, and the same zone (`rm=rolling` of its API is another "
            "thing: on day N or later). AppsFlyer counts launches; raw data has none, so that any event counts here.",
            of(lambda it: _divided(it.active, it.installs)), horizon,
        ),
    ]  # fmt: skip


METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric(
            "installs", "Installs", COUNT, "first launches, organic ones included", "By the day of the install.",
            lambda it: it.installs,
        ),
        Metric(
            "conversions", "Conversions", COUNT, "installs + re-attributions + re-engagements",
            "AppsFlyer's unified view. Reinstalls are not in it.",
            lambda it: it.installs + it.re_attributions + it.re_engagements,
        ),
        Metric(
            "conversions_user_acquisition", "UA conversions", COUNT, "installs", "AppsFlyer's user acquisition view.",
            lambda it: it.installs,
        ),
        Metric(
            "conversions_retargeting", "Retargeting", COUNT, "re-attributions + re-engagements",
            "AppsFlyer's retargeting view.", lambda it: it.re_attributions + it.re_engagements,
        ),
        Metric(
            "reinstalls", "Reinstalls", COUNT, "reinstalls", "No conversion of a campaign.", lambda it: it.reinstalls,
        ),
        Metric(
            "re_engagements", "Re-engagements", COUNT, "re-engagements", "Of people who have the app.",
            lambda it: it.re_engagements,
        ),
        Metric(
            "re_attributions", "Re-attributions", COUNT, "re-attributions", "Of people who had removed the app.",
            lambda it: it.re_attributions,
        ),
        Metric(
            "skad_installs", "SKAN installs", COUNT, "installs that SKAdNetwork reports",
            "First postbacks of ads that won. They name no person, and some are among `installs`, too: the two are "
            "never added up. AppsFlyer flags those (`af_attribution_flag`) only for apps with its single source of "
            "truth.",
            lambda it: it.skad_installs,
        ),
        Metric(
            "matched_share", "Matched", SHARE, "installs that reached a person in Amplitude / installs",
            "An install is matched if any message of it was sent under an Amplitude user or device that it named or "
            "was matched with: not by one that was released by hand, or sent under its customer user id when its "
            "window was over. What Amplitude then rejects, as of a silenced device, is matched all the same. On the "
            "route attribution Amplitude does not say whom it finds.",
            lambda it: _divided(it.reached, it.installs),
        ),
        Metric(
            "spend", "Spend", MONEY, "cost as a network or the advertiser reports it",
            "Raw data has none that could be added up. Not known is n/a, and never 0.", lambda it: _money(it.spend),
        ),
        Metric("clicks", "Clicks", COUNT, "clicks as reported with the cost", "", lambda it: it.clicks),
        Metric(
            "impressions", "Impressions", COUNT, "impressions as reported with the cost", "", lambda it: it.impressions,
        ),
        Metric(
            "ecpi", "eCPI", MONEY, "spend / installs that are not organic", "Undefined without cost or installs.",
            lambda it: _money(_divided(it.spend, it.attributed)),
        ),
        Metric("ctr", "CTR", SHARE, "clicks / impressions", "", lambda it: _divided(it.clicks, it.impressions)),
        Metric(
            "cvr", "CVR", SHARE, "installs that are not organic / clicks", "AppsFlyer's conversion rate.",
            lambda it: None if it.clicks is None else _divided(it.attributed, it.clicks),
        ),
        Metric(
            "ipm", "IPM", NUMBER, "1000 x installs that are not organic / impressions", "Installs per mille.",
            lambda it: None if it.impressions is None else _divided(1000 * it.attributed, it.impressions),
        ),
        Metric("events", "Events", COUNT, "in-app events", "By the day of the event.", lambda it: it.events),
        Metric(
            "revenue", "Revenue", MONEY, "revenue of in-app events", "Booked on the day of the event. Gross, refunds "
            "taken off.", lambda it: _money(it.revenue),
        ),
        Metric(
            "roas", "ROAS", SHARE, "revenue without organic / spend", "Of the events of the period, whenever their "
            "installs were. Undefined without a cost.", lambda it: _divided(it.attributed_revenue, it.spend),
        ),
        Metric(
            "not_converted", "Not converted", COUNT, "events with an amount in a currency without a rate",
            "Their amounts are in no sum. Give `apps.insight.rates` a rate for the currency.",
            lambda it: it.not_converted,
        ),
        *(metric for horizon in HORIZONS for metric in _at(horizon)),
    )
}  # fmt: skip
"""By name, in the order in which they are shown."""

DEFAULT: Final = (
    "installs", "conversions", "spend", "ecpi", "revenue", "roas_d7", "arpu_d7", "retention_d1", "retention_d7",
    "matched_share",
)  # fmt: skip
"""What is shown if nothing else is asked for."""


def values(figures: Figures, *, with_money: bool = True) -> dict[str, float | None]:
    """Return every metric of a group by name. Without `with_money` its money is of several currencies, and None."""
    return {
        name: metric.compute(figures) if with_money or not of_money(metric) else None
        for name, metric in METRICS.items()
    }


def of_money(metric: Metric) -> bool:
    """Whether a metric is an amount, or a ratio of amounts."""
    return metric.unit == MONEY or metric.name.startswith(("roas", "roi_"))


def figure(value: float | None, unit: str) -> str:
    """Return a value as people read it."""
    if value is None:
        return "n/a"
    if unit == COUNT:
        return f"{value:,.0f}"
    if unit == SHARE:
        return f"{value * 100:.1f} %"
    return f"{value:,.2f}" if unit == MONEY else f"{value:.2f}"
