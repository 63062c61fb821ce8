"""Every metric of performance as it must be, from what the generator made. Pure.

It knows nothing of counters, cells or installations as the store has them: each figure is counted anew from single
facts, in the plainest way, by the definitions of docs/reference/performance.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from flybridge.sandbox.traffic.planned import MessageKind
from flybridge.sandbox.traffic.reported import SPENDING, AdSpend, Reported
from flybridge.sandbox.traffic.sources import ORGANIC

HORIZONS: Final = (0, 1, 3, 7, 14, 30, 90)
LAST: Final = 90

Group = tuple[str, ...]
Place = Mapping[str, str]
"""What a figure is of: `media_source`, `campaign`, `country` and `date`."""


class MoneyRules(Struct, frozen=True):
    """An app's zone and currency, and what a unit of other currencies is worth in it."""

    zone: str
    currency: str
    rates: Mapping[str, float]

    def day(self, ms: int) -> date:
        """Return the day of a time."""
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(self.zone)).date()

    def amount(self, fact: Reported) -> float | None:
        """Return the amount of an event in the app's currency; None if it can't be converted."""
        if fact.amount is None:
            return 0.0
        for amount, currency in ((fact.amount, fact.currency), (fact.revenue_usd, "USD")):
            if currency == self.currency:
                return amount
        for amount, currency in ((fact.amount, fact.currency), (fact.revenue_usd, "USD")):
            if currency in self.rates:
                return amount * self.rates[currency]
        return None


class _Life(Struct):
    """One installation: its install, and what its person did on which day after it."""

    install: Reported
    day: date
    active: set[int] = field(default_factory=set)
    revenue: dict[int, float] = field(default_factory=dict)
    paid: int | None = None


class _True(Struct):
    """What is true of one group. `paid_for` is the revenue that is not organic."""

    kinds: dict[str, int] = field(default_factory=dict)
    attributed: int = 0
    reached: int = 0
    revenue: float = 0.0
    paid_for: float = 0.0
    not_converted: int = 0
    lives: list[_Life] = field(default_factory=list)
    costs: list[tuple[date, float | None]] = field(default_factory=list)
    clicks: float | None = None
    impressions: float | None = None


def true_metrics(
    facts: Sequence[Reported],
    by: Sequence[str],
    *,
    rules: MoneyRules,
    per_usd: float,
    today: date,
    reached: Collection[str],
) -> dict[Group, dict[str, float | None]]:
    """Return every metric of each group. `reached` are installations of which something was given to a person.

    Costs are in US dollars, of which one is worth `per_usd`.
    """
    groups: defaultdict[Group, _True] = defaultdict(_True)

    def group(place: Place) -> _True:
        return groups[tuple(place[name] for name in by)]

    counted = [fact for fact in facts if fact.readable and not fact.secondary and fact.kind != SPENDING]
    lives = {
        fact.installation: _Life(fact, rules.day(fact.install_ms))
        for fact in counted
        if fact.kind == MessageKind.INSTALL
    }
    begun = {MessageKind.INSTALL, MessageKind.REINSTALL, MessageKind.RE_ATTRIBUTION}
    for fact in counted:
        day = rules.day(fact.install_ms if fact.kind in begun else fact.time_ms)
        it = group(_place(fact, day))
        it.kinds[fact.kind] = it.kinds.get(fact.kind, 0) + 1
        life = lives.get(fact.installation)
        after = max(0, (day - life.day).days) if life is not None else LAST + 1
        if life is not None and after <= LAST:
            life.active.add(after)
        if fact.kind == MessageKind.INSTALL:
            it.attributed += fact.raw_source != ORGANIC
            it.reached += fact.installation in reached
        if fact.kind == MessageKind.IN_APP:
            amount = rules.amount(fact)
            it.revenue += amount or 0.0
            it.paid_for += (amount or 0.0) if fact.raw_source != ORGANIC else 0.0
            it.not_converted += amount is None
            if life is not None and after <= LAST:
                life.revenue[after] = life.revenue.get(after, 0.0) + (amount or 0.0)
                if (fact.amount or 0) > 0:
                    life.paid = after if life.paid is None else min(life.paid, after)
    for life in lives.values():
        group(_place(life.install, life.day)).lives.append(life)
    for fact in facts:
        if fact.spent is None:
            continue
        # Networks know of every install, and aggregates name every source.
        day = rules.day(fact.install_ms)
        if day > today:
            continue
        it = group(_named(fact.media_source, fact.campaign or "", fact.country, day))
        it.costs.append((day, _reported_cost(fact.spent, (today - day).days, per_usd)))
        it.clicks = _sum([it.clicks, fact.spent.clicks])
        it.impressions = _sum([it.impressions, fact.spent.impressions])
    return {name: _metrics(it, today) for name, it in groups.items()}


def _reported_cost(spent: AdSpend, age: int, per_usd: float) -> float | None:
    """Return what an install has cost, as its network has it so many days later."""
    cost = None
    for since, then in spent.costs:
        cost = then * per_usd if since <= age or cost is None else cost
    return cost


def _place(fact: Reported, day: date) -> Place:
    return _named(fact.raw_source, fact.raw_campaign or "", fact.country, day)


def _named(source: str, campaign: str, country: str, day: date) -> Place:
    return {"media_source": source, "campaign": campaign, "country": country, "date": day.isoformat()}


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _over(top: float | None, bottom: float | None) -> float | None:
    return None if top is None or not bottom else top / bottom


def _metrics(it: _True, today: date) -> dict[str, float | None]:
    def of(kind: MessageKind) -> int:
        return it.kinds.get(kind.value, 0)

    installs, engaged, attributed = (
        of(MessageKind.INSTALL),
        of(MessageKind.RE_ENGAGEMENT),
        of(MessageKind.RE_ATTRIBUTION),
    )
    spend = _sum(cost for _, cost in it.costs)
    found: dict[str, float | None] = {
        "installs": installs,
        "conversions": installs + engaged + attributed,
        "conversions_user_acquisition": installs,
        "conversions_retargeting": engaged + attributed,
        "reinstalls": of(MessageKind.REINSTALL),
        "re_engagements": engaged,
        "re_attributions": attributed,
        "matched_share": _over(it.reached, installs),
        "spend": spend,
        "clicks": it.clicks,
        "impressions": it.impressions,
        "ecpi": _over(spend, it.attributed),
        "ctr": _over(it.clicks, it.impressions),
        "cvr": None if it.clicks is None else _over(it.attributed, it.clicks),
        "ipm": None if it.impressions is None else _over(1000 * it.attributed, it.impressions),
        "events": of(MessageKind.IN_APP),
        "revenue": it.revenue,
        "roas": _over(it.paid_for, spend),
        "not_converted": it.not_converted,
        "skad_installs": 0,  # the traffic has no SKAdNetwork postbacks
    }
    for horizon in HORIZONS:
        found |= _up_to(it, horizon, today)
    return found


def _up_to(it: _True, horizon: int, today: date) -> dict[str, float | None]:
    """Return the metrics of the installs that have so many complete days."""
    lives = [life for life in it.lives if (today - life.day).days > horizon]
    spend = _sum(cost for day, cost in it.costs if (today - day).days > horizon)
    revenues = [sum(amount for after, amount in life.revenue.items() if after <= horizon) for life in lives]
    paid_for = [amount for life, amount in zip(lives, revenues, strict=True) if life.install.raw_source != ORGANIC]
    payers = sum(life.paid is not None and life.paid <= horizon for life in lives)
    n: int | None = len(lives) or None
    revenue = sum(revenues) if lives else None

    def share(part: Callable[[_Life], bool]) -> float | None:
        return _over(sum(map(part, lives)) if lives else None, n)

    return {
        f"revenue_d{horizon}": revenue,
        f"roas_d{horizon}": _over(sum(paid_for), spend),
        f"roi_d{horizon}": None if spend is None else _over(sum(paid_for) - spend, spend),
        f"arpu_d{horizon}": _over(revenue, n),
        f"arppu_d{horizon}": _over(revenue, payers),
        f"payer_share_d{horizon}": share(lambda life: life.paid is not None and life.paid <= horizon),
        f"retention_d{horizon}": share(lambda life: horizon in life.active),
    }
