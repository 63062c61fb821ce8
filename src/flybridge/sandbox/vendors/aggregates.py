"""What AppsFlyer's aggregate reports count: the facts of the traffic by day of the install, source, campaign, country.

Figures are LTV: what a user does later is booked on the day of the install, and in reports about retargeting on the day
of the conversion (https://support.appsflyer.com/hc/en-us/articles/360014697157, read 2026-11-27). Costs, clicks and
impressions are those that networks report of the installs: see `traffic.reported`.

https://support.appsflyer.com/hc/en-us/articles/207034346 (read 2026-11-27).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from flybridge.sandbox.traffic.people import COUNTRIES
from flybridge.sandbox.traffic.planned import MessageKind
from flybridge.sandbox.traffic.reported import SPENDING, AdSpend, Reported

PER_USD: Final[Mapping[str, float]] = {country.currency: country.per_usd for country in COUNTRIES}
LOYAL: Final = 3
"""Sessions of a loyal user."""
SESSION_MS: Final = 1_800_000

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
        if fact.kind in {MessageKind.INSTALL, SPENDING} or (fact.kind == MessageKind.IN_APP and not fact.retargeting)
    )  # fmt: skip
    return _counted(counted, day, now_ms)


def activity_cells(facts: Iterable[Reported], day: Callable[[int], date], *, now_ms: int) -> dict[Key, ReportCell]:
    """Return the cells of in-app events of user acquisition by the day on which they happened."""
    counted = ((fact, fact.time_ms) for fact in facts if fact.kind == MessageKind.IN_APP and not fact.retargeting)
    return _counted(counted, day, now_ms)


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
    return {kind: _counted(counted, day, now_ms) for kind, counted in by_kind.items()}


def _counted(facts: Iterable[tuple[Reported, int]], day: Callable[[int], date], now_ms: int) -> dict[Key, ReportCell]:
    """Return the cells of facts that are booked at a time."""
    found: defaultdict[Key, ReportCell] = defaultdict(ReportCell)
    today = day(now_ms)
    for fact, booked_ms in facts:
        if fact.learned_ms > now_ms:
            continue
        key = Key(day(booked_ms), fact.media_source, fact.campaign or "", fact.country)
        cell = found[key]
        if fact.spent is not None:
            _spend(cell, fact.spent, (today - key.day).days)
        if fact.kind == SPENDING:
            continue
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
    return dict(found)


def _spend(cell: ReportCell, spent: AdSpend, age: int) -> None:
    """Add what is reported of one install so many days after its day."""
    if spent.costs:
        known = [cost for since, cost in spent.costs if since <= age]
        cell.cost_usd = round((cell.cost_usd or 0.0) + (known[-1] if known else spent.costs[0][1]), 2)
    cell.clicks = (cell.clicks or 0) + spent.clicks
    if spent.impressions is not None:
        cell.impressions = (cell.impressions or 0) + spent.impressions


def merged(found: Mapping[Key, ReportCell], *, dated: bool = True, geo: bool) -> dict[Key, ReportCell]:
    """Return cells in their order, those of all days together unless `dated`, of all countries unless `geo`."""
    rows: defaultdict[Key, ReportCell] = defaultdict(ReportCell)
    for key, cell in found.items():
        into = rows[Key(key.day if dated else date.min, key.media_source, key.campaign, key.country if geo else "")]
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
    return dict(sorted(rows.items()))


def between(
    found: Mapping[Key, ReportCell], first: date, last: date, sources: Collection[str] = ()
) -> dict[Key, ReportCell]:
    """Return the cells of these days, and of these sources if any is named."""
    return {
        key: cell
        for key, cell in found.items()
        if first <= key.day <= last and (not sources or key.media_source in sources)
    }
