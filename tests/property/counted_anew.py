"""What happened as single facts, and every figure of performance counted from them in the plainest way.

Written from docs/reference/performance.md: it imports nothing of flybridge, and knows of no counter, cell or cohort.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
HORIZONS = (0, 1, 3, 7, 14, 30, 90)
BEGUN = ("install", "reinstall", "re-attribution")
EVENTS = ("event", "retargeted")
COUNTED = (*BEGUN, *EVENTS, "re-engagement")
ORIGINS = ("csv", "etl", "master", "aggregate")

Values = dict[str, float | None]


class App(NamedTuple):
    """One app: its zone and currency, what others are worth in it, and its platform."""

    name: str
    zone: str
    currency: str
    rates: tuple[tuple[str, float], ...]
    platform: str

    def worth(self, amount: float | None, currency: str | None) -> float | None:
        """Return an amount in the app's currency; None if it has no rate."""
        if amount is None or currency == self.currency:
            return amount
        return next((amount * rate for code, rate in self.rates if code == currency), None)


class Fact(NamedTuple):
    """Something that happened. `usd` is the amount as AppsFlyer converts it."""

    app: App
    person: int
    kind: str
    at: datetime
    installed: datetime
    source: str
    campaign: str
    country: str
    event: str = ""
    amount: float | None = None
    currency: str | None = None
    usd: float | None = None

    @property
    def day(self) -> date:
        """The day that it counts on."""
        at = self.installed if self.kind in BEGUN else self.at
        return at.astimezone(ZoneInfo(self.app.zone)).date()

    @property
    def money(self) -> float | None:
        """The amount in the app's currency; None if it can't be converted."""
        if not self.amount:
            return 0.0
        if self.usd is not None and self.app.currency == "USD":
            return self.usd
        own = self.app.worth(self.amount, self.currency)
        return own if own is not None else self.app.worth(self.usd, "USD")


class Cost(NamedTuple):
    """What `origin` has reported about a day."""

    app: App
    origin: str
    day: date
    source: str
    campaign: str
    country: str
    currency: str
    spend: float | None
    clicks: int | None
    impressions: int | None

    @property
    def money(self) -> float | None:
        """The spend in the app's currency."""
        return self.app.worth(self.spend, self.currency)


class Life(NamedTuple):
    """One installation: its install, and all that its person did."""

    install: Fact
    facts: Sequence[Fact]

    @property
    def day(self) -> date:
        """The day of the install."""
        return self.install.day

    def after(self, fact: Fact) -> int:
        """Return how many days after the install something happened; 0 if it was before."""
        return max(0, (fact.day - self.day).days)

    def revenue(self, horizon: int) -> float:
        """Return the revenue up to a day."""
        return sum(one.money or 0 for one in self.events(horizon))

    def events(self, horizon: int) -> list[Fact]:
        """Return the in-app events up to a day."""
        return [one for one in self.facts if one.kind in EVENTS and self.after(one) <= horizon]

    def has_paid(self, horizon: int) -> bool:
        """Whether something was bought up to a day."""
        return any((one.amount or 0) > 0 for one in self.events(horizon))

    def is_active(self, day: int) -> bool:
        """Whether anything was done on a day."""
        return any(self.after(one) == day for one in self.facts)


class Asked(NamedTuple):
    """A question: a period, labels, what is filtered by, and by app the day that is not over."""

    first: date
    last: date
    by: tuple[str, ...]
    filters: Mapping[str, str]
    today: Mapping[str, date]

    def has(self, labels: Mapping[str, Any]) -> bool:
        """Whether something with these labels is asked for."""
        return self.first <= labels["day"] <= self.last and all(labels[name] == of for name, of in self.filters.items())


class Found(NamedTuple):
    """What there is of one group."""

    facts: list[Fact]
    lives: list[Life]
    costs: list[Cost]


def labels_of(one: Fact | Cost) -> dict[str, Any]:
    """Return all labels."""
    return {
        "app": one.app.name, "day": one.day, "media_source": one.source, "campaign": one.campaign,
        "country": one.country, "platform": one.app.platform, "event": one.event if isinstance(one, Fact) else "",
    }  # fmt: skip


def added(values: Iterable[float | None]) -> float | None:
    """Return a sum; None if nothing of it is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def over(top: float | None, bottom: float | None) -> float | None:
    """Return a quotient; None if it is not known or undefined."""
    return None if top is None or not bottom else top / bottom


def lives_of(facts: Iterable[Fact]) -> list[Life]:
    """Return the installations whose install came."""
    by_person = defaultdict(list)
    for fact in facts:
        if fact.kind in COUNTED:
            by_person[fact.person].append(fact)
    return [Life(one, own) for own in by_person.values() for one in own if one.kind == "install"]


def first_known(costs: Iterable[Cost]) -> list[Cost]:
    """Return the costs that count: of each source and day those of the first origin that has any figure."""
    known = [one for one in costs if (one.spend, one.clicks, one.impressions) != (None, None, None)]
    best: dict[Any, int] = {}
    for one in known:
        at = (one.app.name, one.day, one.source)
        best[at] = min(best.get(at, len(ORIGINS)), ORIGINS.index(one.origin))
    return [one for one in known if best[one.app.name, one.day, one.source] == ORIGINS.index(one.origin)]


def true_figures(facts: Sequence[Fact], costs: Sequence[Cost], asked: Asked) -> dict[Any, Values]:
    """Return every metric of each group, and of all together under None."""
    groups: defaultdict[Any, Found] = defaultdict(lambda: Found([], [], []))
    kinds: tuple[Iterable[Any], ...] = (
        [fact for fact in facts if fact.kind in COUNTED], lives_of(facts), first_known(costs),
    )  # fmt: skip
    for at, some in enumerate(kinds):
        for one in some:
            labels = labels_of(one.install if isinstance(one, Life) else one)
            if asked.has(labels):
                groups[tuple(labels[name] for name in asked.by)][at].append(one)
                groups[None][at].append(one)
    return {group: _metrics(found, asked.today) for group, found in groups.items()}


def _metrics(found: Found, today: Mapping[str, date]) -> Values:
    n = {kind: sum(fact.kind == kind for fact in found.facts) for kind in COUNTED}
    paid_installs = sum(fact.kind == "install" and fact.source != "organic" for fact in found.facts)
    spend = added(cost.money for cost in found.costs)
    clicks, impressions = added(one.clicks for one in found.costs), added(one.impressions for one in found.costs)
    events = [fact for fact in found.facts if fact.kind in EVENTS]
    retargeted = n["re-attribution"] + n["re-engagement"]
    result: Values = {
        "installs": n["install"],
        "conversions": n["install"] + retargeted,
        "conversions_user_acquisition": n["install"],
        "conversions_retargeting": retargeted,
        "reinstalls": n["reinstall"],
        "re_engagements": n["re-engagement"],
        "re_attributions": n["re-attribution"],
        "spend": spend,
        "clicks": clicks,
        "impressions": impressions,
        "ecpi": over(spend, paid_installs),
        "ctr": over(clicks, impressions),
        "cvr": over(paid_installs, clicks),
        "ipm": over(1000 * paid_installs, impressions),
        "events": len(events),
        "revenue": sum(fact.money or 0 for fact in events),
        "roas": over(sum(fact.money or 0 for fact in events if fact.source != "organic"), spend),
        "not_converted": sum(fact.money is None for fact in events),
    }
    for horizon in HORIZONS:
        result |= _up_to(horizon, found, today)
    return result


def _up_to(horizon: int, found: Found, today: Mapping[str, date]) -> Values:
    """Return the metrics of the install days after which so many days are over."""
    lives = [life for life in found.lives if life.day + horizon * DAY < today[life.install.app.name]]
    spend = added(one.money for one in found.costs if one.day + horizon * DAY < today[one.app.name])
    revenue = added(life.revenue(horizon) for life in lives)
    earned = sum(life.revenue(horizon) for life in lives if life.install.source != "organic")
    payers = sum(life.has_paid(horizon) for life in lives)
    return {
        f"revenue_d{horizon}": revenue,
        f"roas_d{horizon}": over(earned, spend),
        f"roi_d{horizon}": None if spend is None else over(earned - spend, spend),
        f"arpu_d{horizon}": over(revenue, len(lives)),
        f"arppu_d{horizon}": over(revenue, payers),
        f"payer_share_d{horizon}": over(payers, len(lives)),
        f"retention_d{horizon}": over(sum(life.is_active(horizon) for life in lives), len(lives)),
    }


class Cohort(NamedTuple):
    """The installations of some days, and what they cost."""

    first: date
    last: date
    group: tuple[Any, ...]
    lives: list[Life]
    costs: list[Cost]


def cohorts_of(
    facts: Sequence[Fact], costs: Sequence[Cost], asked: Asked, metric: str, grain: str
) -> Mapping[Any, Cohort]:
    """Return the cohorts by their first day and group. Organic installs are in no ROAS."""
    found: dict[Any, Cohort] = {}
    for one in (*lives_of(facts), *first_known(costs)):
        labels = labels_of(one.install if isinstance(one, Life) else one)
        if not asked.has(labels) or (metric == "roas" and labels["media_source"] == "organic"):
            continue
        (first, last), group = _span(one.day, grain, asked), tuple(labels[name] for name in asked.by)
        cohort = found.setdefault((first, group), Cohort(first, last, group, [], []))
        if isinstance(one, Life):
            cohort.lives.append(one)
        else:
            cohort.costs.append(one)
    return found


def with_spend(cohorts: Sequence[Cohort], costs: Sequence[Cost], asked: Asked) -> list[Cohort]:
    """Return the cohorts of whose days the spend was reported: none is before the first or after the last with one.

    The days with a spend of a month before and after the period count as well.
    """
    around = asked._replace(first=asked.first - 31 * DAY, last=asked.last + 31 * DAY)
    days = [cost.day for cost in first_known(costs) if cost.money is not None and around.has(labels_of(cost))]
    return [one for one in cohorts if not days or (min(days) <= one.first and one.last <= max(days))]


def true_values(metric: str, cohorts: Iterable[Cohort], today: date) -> list[tuple[float | None, int]]:
    """Return the values of cohorts together by day after the install, and how many installs these are of.

    They are of the cohorts of which the day is over for all installs.
    """
    found: list[tuple[float | None, int]] = []
    for day in range(91):
        over_then = [one for one in cohorts if one.last + day * DAY < today]
        lives = [life for one in over_then for life in one.lives]
        spend = added(cost.money for one in over_then for cost in one.costs)
        found.append((_value(metric, day, lives, spend) if over_then else None, len(lives)))
    return found


def _span(day: date, grain: str, asked: Asked) -> tuple[date, date]:
    first = last = day
    if grain == "week":
        first = day - day.weekday() * DAY
        last = first + 6 * DAY
    if grain == "month":
        first = day.replace(day=1)
        last = (first + 31 * DAY).replace(day=1) - DAY
    return max(first, asked.first), min(last, asked.last)


def _value(metric: str, day: int, lives: Sequence[Life], spend: float | None) -> float | None:
    revenue = sum(life.revenue(day) for life in lives)
    values: Values = {
        "retention": over(sum(life.is_active(day) for life in lives), len(lives)),
        "ltv": over(revenue, len(lives)),
        "revenue": revenue,
        "roas": over(revenue, spend),
        "payer_share": over(sum(life.has_paid(day) for life in lives), len(lives)),
        "events": sum(len(life.events(day)) for life in lives),
    }
    return values[metric]
