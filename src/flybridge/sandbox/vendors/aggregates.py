"""What AppsFlyer's aggregate reports count: the facts of the traffic by day of the install, source, campaign, country.

Figures are LTV: what a user does later is booked on the day of the install, and in reports about retargeting on the day
of the conversion (https://support.appsflyer.com/hc/en-us/articles/360014697157). Costs are those of the installs, as
networks report them: less than all of it on the first days, and corrected after 14, 29 or 88 days. Campaigns with a
cost also spend on days without an install.

https://support.appsflyer.com/hc/en-us/articles/207034346,
https://support.appsflyer.com/hc/en-us/articles/360008849238 (read 2026-11-27). How much is corrected is invented.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final
from zlib import crc32
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from flybridge.sandbox.traffic.people import COUNTRIES
from flybridge.sandbox.traffic.planned import MessageKind
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.traffic.sources import ORGANIC

PER_USD: Final[Mapping[str, float]] = {country.currency: country.per_usd for country in COUNTRIES}
LOYAL: Final = 3
"""Sessions of a loyal user."""
SESSION_MS: Final = 1_800_000
IDLE: Final = 97
"""A campaign spends on one of so many days without an install."""

RETARGETING: Final = (MessageKind.RE_ENGAGEMENT.value, MessageKind.RE_ATTRIBUTION.value)


class ReportedApp(Struct, frozen=True):
    """An app's settings in AppsFlyer. Days before `since` are in UTC, whatever zone was chosen then."""

    timezone: str = "UTC"
    currency: str = "USD"
    since: date = date.min

    @property
    def per_usd(self) -> float:
        """What a US dollar is worth in the app's currency."""
        return PER_USD[self.currency]

    def day(self, *, own_zone: bool) -> Callable[[int], date]:
        """Return a function from a time in milliseconds to its day."""
        zone = ZoneInfo(self.timezone)

        def day(ms: int) -> date:
            moment = datetime.fromtimestamp(ms / 1000, UTC)
            return moment.astimezone(zone).date() if own_zone and moment.date() >= self.since else moment.date()

        return day


class Key(Struct, frozen=True, order=True):
    """What a row of figures is about. `campaign` is empty if there is none."""

    day: date
    media_source: str
    campaign: str
    country: str


class EventCell(Struct):
    """What people of one cell did under one name of event."""

    people: set[str] = field(default_factory=set)
    count: int = 0
    sales_usd: float = 0.0


class ReportCell(Struct):
    """Figures of one key. None is not known."""

    installs: int = 0
    active: dict[str, set[int]] = field(default_factory=dict)
    days: dict[str, set[date]] = field(default_factory=dict)
    revenue_usd: float = 0.0
    cost_usd: float | None = None
    clicks: int | None = None
    impressions: int | None = None
    events: defaultdict[str, EventCell] = field(default_factory=lambda: defaultdict(EventCell))

    @property
    def sessions(self) -> int:
        """How often the app was used: half hours in which something happened."""
        return sum(map(len, self.active.values()))

    @property
    def loyal_users(self) -> int:
        """How many people have used the app often."""
        return sum(len(half_hours) >= LOYAL for half_hours in self.active.values())

    def retained(self, install_day: date, after: int) -> int:
        """Return how many people did something so many days after the install."""
        return sum(any((one - install_day).days == after for one in days) for days in self.days.values())


def cells(facts: Iterable[Reported], day: Callable[[int], date], *, now_ms: int) -> dict[Key, ReportCell]:
    """Return the cells of user acquisition as AppsFlyer knows them at `now_ms`."""
    counted = (
        (fact, fact.install_ms) for fact in facts
        if fact.kind == MessageKind.INSTALL or (fact.kind == MessageKind.IN_APP and not fact.retargeting)
    )  # fmt: skip
    found, costs = _counted(counted, day, now_ms)
    _spend(found, costs, day(now_ms))
    return dict(found)


def activity_cells(facts: Iterable[Reported], day: Callable[[int], date], *, now_ms: int) -> dict[Key, ReportCell]:
    """Return the cells of in-app events of user acquisition by the day on which they happened."""
    counted = ((fact, fact.time_ms) for fact in facts if fact.kind == MessageKind.IN_APP and not fact.retargeting)
    return dict(_counted(counted, day, now_ms)[0])


def retargeting_cells(
    facts: Sequence[Reported], day: Callable[[int], date], *, now_ms: int
) -> dict[str, dict[Key, ReportCell]]:
    """Return the cells of retargeting by the kind of conversion, which count as `installs` there. They have no cost."""
    conversions: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for fact in facts:
        if fact.kind in RETARGETING:
            conversions[fact.installation].append((fact.time_ms, fact.kind))
    by_kind: dict[str, list[tuple[Reported, int]]] = {kind: [] for kind in RETARGETING}
    for fact in facts:
        if fact.kind in RETARGETING:
            by_kind[fact.kind].append((fact, fact.time_ms))
        elif fact.kind == MessageKind.IN_APP and fact.retargeting:
            # What brought the person back last before the event; the clock of a device may be a little slow.
            before = [one for one in conversions[fact.installation] if one[0] <= fact.time_ms]
            booked_ms, kind = max(before) if before else (fact.install_ms, RETARGETING[0])
            by_kind[kind].append((fact, booked_ms))
    return {kind: dict(_counted(counted, day, now_ms)[0]) for kind, counted in by_kind.items()}


def _counted(
    facts: Iterable[tuple[Reported, int]], day: Callable[[int], date], now_ms: int
) -> tuple[defaultdict[Key, ReportCell], defaultdict[Key, list[float]]]:
    """Return the cells of facts that are booked at a time, and what their conversions have cost."""
    found: defaultdict[Key, ReportCell] = defaultdict(ReportCell)
    costs: defaultdict[Key, list[float]] = defaultdict(list)
    for fact, booked_ms in facts:
        if fact.learned_ms > now_ms:
            continue
        key = Key(day(booked_ms), fact.media_source, fact.campaign or "", fact.country)
        cell = found[key]
        cell.active.setdefault(fact.installation, set()).add(fact.time_ms // SESSION_MS)
        cell.days.setdefault(fact.installation, set()).add(day(fact.time_ms))
        if fact.kind == MessageKind.IN_APP:
            event = cell.events[fact.event_name]
            event.people.add(fact.installation)
            event.count += 1
            event.sales_usd += fact.revenue_usd
            cell.revenue_usd += fact.revenue_usd
            continue
        cell.installs += 1
        if fact.cost_usd is not None:
            costs[key].append(fact.cost_usd)
    return found, costs


def _spend(found: defaultdict[Key, ReportCell], costs: Mapping[Key, list[float]], today: date) -> None:
    """Write spend, clicks and impressions of each cell as networks have reported them until today."""
    campaigns: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    days = sorted({key.day for key in found})
    for key, each in costs.items():
        campaigns[key.media_source, key.campaign, key.country] += each
    for key, cell in found.items():
        if key.media_source == ORGANIC:
            continue
        number = _number(key)
        if key in costs:
            cell.cost_usd = _as_reported(sum(costs[key]), number, (today - key.day).days)
            cell.clicks = cell.installs * (8 + number % 33)
            cell.impressions = cell.clicks * (20 + number // 64 % 101)
        elif cell.installs and key.campaign:
            cell.clicks = 3 * cell.installs  # AppsFlyer's own links have clicks, and no cost
    for (source, campaign, country), each in campaigns.items():
        for idle in days:
            key = Key(idle, source, campaign, country)
            number = _number(key)
            if number % IDLE == 0 and key not in costs:
                cell = found[key]
                cell.cost_usd = _as_reported(sum(each) / len(each), number, (today - idle).days)
                cell.clicks = 5 + number % 20
                cell.impressions = cell.clicks * 60


def _number(key: Key) -> int:
    return crc32(f"{key.day} {key.media_source} {key.campaign} {key.country}".encode())


def _as_reported(cost: float, number: int, age: int) -> float:
    """Return a cost as it is known so many days after the day of the install."""
    if age < 1:
        share = 0.6
    elif age < 7:
        share = 0.92 if number % 3 == 0 else 1.0
    else:
        share = 1.0
        for after, chosen, change in ((14, 1, 1.02), (29, 2, 0.97), (88, 3, 1.01)):
            if age >= after and number % 5 == chosen:
                share = change
    return round(cost * share, 2)


def by_source(found: Mapping[Key, ReportCell]) -> dict[Key, ReportCell]:
    """Return the cells of all countries together."""
    merged: defaultdict[Key, ReportCell] = defaultdict(ReportCell)
    for key, cell in found.items():
        into = merged[Key(key.day, key.media_source, key.campaign, "")]
        into.installs += cell.installs
        into.active |= cell.active
        into.days |= cell.days
        into.revenue_usd += cell.revenue_usd
        for name in ("cost_usd", "clicks", "impressions"):
            more = getattr(cell, name)
            if more is not None:
                setattr(into, name, round((getattr(into, name) or 0) + more, 2))
        for event, figures in cell.events.items():
            into.events[event].people |= figures.people
            into.events[event].count += figures.count
            into.events[event].sales_usd += figures.sales_usd
    return dict(merged)


def between(
    found: Mapping[Key, ReportCell], first: date, last: date, sources: Collection[str] = ()
) -> dict[Key, ReportCell]:
    """Return the cells of these days, and of these sources if any is named."""
    return {
        key: cell
        for key, cell in found.items()
        if first <= key.day <= last and (not sources or key.media_source in sources)
    }
