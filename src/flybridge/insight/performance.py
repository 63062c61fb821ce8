"""Acquisition performance: metrics of a period by source, campaign, country and more, from the store's counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field, structs

from flybridge.insight.metrics import HORIZONS, Figures, Metric, UpTo, values
from flybridge.records import PerformanceKind
from flybridge.store.performance import (
    ORGANIC,
    OTHER,
    RESTRICTED,
    WHOLE,
    CostSums,
    Labels,
    Slice,
    add,
    date_of,
    summed,
)
from flybridge.store.protocol import Store
from flybridge.system.counted import plural

BY: Final[Mapping[str, str]] = {
    "app": "app",
    "date": "day",
    "day": "day",
    "source": "media_source",
    "media_source": "media_source",
    "campaign": "campaign",
    "adset": "adset",
    "ad": "ad",
    "country": "country",
    "platform": "platform",
    "event": "event",
}
"""What can be asked for with `--by`, and which label that is."""

IN_NO_FIGURE: Final = frozenset({PerformanceKind.UNSEEN, PerformanceKind.SECONDARY, PerformanceKind.BLOCKED})
"""Kinds that the store counts for other reports."""

WITHOUT_COST: Final = frozenset({ORGANIC, RESTRICTED, OTHER, ""})
"""Sources that are none: what they brought cost nothing, or is in the spend of others."""

NAMED: Final = 3
"""How many sources a note names."""


class AppScope(Struct, frozen=True):
    """What has to be known of an app: its currency and rates, its platform, and which day it is there."""

    name: str
    currency: str
    rates: Mapping[str, float]
    platform: str
    today: int
    zone: str = "UTC"


def last_day_over(apps: Sequence[AppScope]) -> int:
    """Return the last day that is over in every app, whatever their zones; the last before 1970 if there is none."""
    return min((app.today for app in apps), default=0) - 1


class Question(Struct, frozen=True):
    """A period (days since 1970, both inclusive), the labels to group by, and filters."""

    first: int
    last: int
    by: tuple[str, ...] = ()
    media_source: str | None = None
    campaign: str | None = None
    country: str | None = None
    platform: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels to group by, each once, in the order in which they were asked for."""
        return tuple(dict.fromkeys(BY[name] for name in self.by))

    @property
    def days(self) -> int:
        """The number of days of the period."""
        return self.last - self.first + 1

    def of_app(self, app: AppScope, by: Iterable[str]) -> Slice:
        """Return the slice of one app's counters that answers it, by these labels."""
        named = (app.name, self.media_source, self.campaign, self.country, self.platform)
        return Slice(self.first, self.last, app.today, frozenset(by), *named)

    def before(self) -> Question:
        """Return the same question about the period of the same length before."""
        return structs.replace(self, first=self.first - self.days, last=self.last - self.days)


Group = tuple[Any, ...]


class PerformanceRow(Struct):
    """The sums of one group. Labels that nothing is known of are empty."""

    labels: Mapping[str, Any]
    figures: Figures

    def as_dict(self) -> dict[str, Any]:
        """Return labels and metrics as plain values. A label that is not set is None, a day is `date`."""
        return {**named(self.labels), **values(self.figures)}


class PerformanceReport(Struct):
    """The answer. `complete` says for each horizon how many days of the period count for it.

    `currency` is empty if the apps have different ones; then each row is of one app, and the total has no money.
    `currencies` are those of the apps.
    """

    question: Question
    currency: str
    zone: str
    rows: Sequence[PerformanceRow]
    total: Figures
    complete: Mapping[int, int]
    notes: Sequence[str] = field(default_factory=list)
    currencies: Mapping[str, str] = field(default_factory=dict)

    def totals(self) -> dict[str, float | None]:
        """Return every metric of all rows together."""
        return values(self.total, with_money=bool(self.currency))

    def plain_rows(self) -> list[dict[str, Any]]:
        """Return the rows as plain values: labels, the currency of the money, metrics."""
        return [{**self.plain_labels(row.labels), **values(row.figures)} for row in self.rows]

    def plain_labels(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """Return the labels of a row as plain values, and the currency of its money."""
        return {**named(labels), "currency": self.currency or self.currencies[labels["app"]]}

    def is_partial(self, metric: Metric) -> bool:
        """Whether some days of the period are left out of a metric, as they are not over for it."""
        return metric.horizon is not None and self.complete[metric.horizon] < self.question.days

    def is_comparable(self, metric: Metric, other: PerformanceReport) -> bool:
        """Whether a metric of this period may be compared with that of another: a sum only if it is of as many days."""
        is_sum = metric.horizon is not None and metric.name.startswith("revenue")
        return not is_sum or self.complete[metric.horizon or 0] == other.complete[metric.horizon or 0]


def named(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return labels as plain values: what is not set is None, and a day is a date."""
    found: dict[str, Any] = {}
    for label, value in labels.items():
        if label == "day":
            found["date"] = date_of(value).isoformat()
        else:
            found[label] = value or None
    return found


async def read_performance(
    store: Store, apps: Sequence[AppScope], question: Question, horizons: Sequence[int] = HORIZONS
) -> PerformanceReport:
    """Answer a question about these apps. Its cost grows with days and cells, not with events.

    Metrics of other `horizons` are None: leave out what is not shown, because they cost the most.
    """
    by_name = {app.name: app.currency for app in apps}
    currencies = set(by_name.values())
    if len(currencies) > 1 and "app" not in question.by:
        question = structs.replace(question, by=("app", *question.by))
    groups: dict[Group, Figures] = {}
    notes: list[str] = []
    for app in apps:
        await _read_app(store, app, question, groups, notes, horizons=horizons)
    total = merged(groups.values())
    labels = question.labels
    rows = [PerformanceRow(dict(zip(labels, group, strict=True)), figures) for group, figures in groups.items()]
    day = labels.index("day") if "day" in labels else None
    rows.sort(key=lambda row: (row.labels["day"] if day is not None else 0, -row.figures.installs, -row.figures.revenue,
                               tuple(map(str, row.labels.values()))))  # fmt: skip
    if len(currencies) > 1:
        notes.append(f"The apps have different currencies: their money is not added up ({_named_with(by_name)}).")
    if any(OTHER in row.labels.values() for row in rows):
        notes.append(f"{OTHER} is what came after a day had insight.max_cells combinations.")
    return PerformanceReport(
        question,
        currencies.pop() if len(currencies) == 1 else "",
        ", ".join(sorted({app.zone for app in apps})),
        rows,
        total,
        {horizon: _complete(apps, question, horizon) for horizon in HORIZONS},
        notes,
        by_name,
    )


def _named_with(currencies: Mapping[str, str]) -> str:
    found: dict[str, list[str]] = {}
    for name, currency in sorted(currencies.items()):
        found.setdefault(currency, []).append(name)
    return "; ".join(f"{currency}: {', '.join(names)}" for currency, names in sorted(found.items()))


def _complete(apps: Sequence[AppScope], question: Question, horizon: int) -> int:
    """Return how many days of the period have so many complete days, in every app."""
    return max(0, min(question.last, last_day_over(apps) - horizon) - question.first + 1)


async def _read_app(
    store: Store,
    app: AppScope,
    question: Question,
    groups: dict[Group, Figures],
    notes: list[str],
    *,
    horizons: Sequence[int],
) -> None:
    by = question.labels
    asked = question.of_app(app, {*by, "media_source"})

    def figures(labels: Labels, event: str = "") -> Figures:
        group = tuple([event if label == "event" else getattr(labels, label) for label in by])
        return groups.setdefault(group, Figures())

    brought: set[str] = set()
    not_converted = 0
    for row in await store.performance(asked):
        if row.kind in IN_NO_FIGURE:
            continue
        it = figures(row.labels, row.event)
        if row.kind == PerformanceKind.INSTALL or row.revenue:
            brought.add(row.labels.media_source)
        match row.kind:
            case PerformanceKind.INSTALL:
                it.installs += row.n
                it.attributed += row.n if row.labels.media_source != ORGANIC else 0
                it.reached += row.reached
            case PerformanceKind.REINSTALL:
                it.reinstalls += row.n
            case PerformanceKind.RE_ENGAGEMENT:
                it.re_engagements += row.n
            case PerformanceKind.RE_ATTRIBUTION:
                it.re_attributions += row.n
            case PerformanceKind.SKADNETWORK:
                it.skad_installs += row.n
            case _:
                it.events += row.n
                it.revenue += row.revenue
                it.attributed_revenue += row.revenue if row.labels.media_source != ORGANIC else 0
                it.not_converted += row.not_converted
                not_converted += row.not_converted
    if not_converted:
        amounts = plural(not_converted, "event has an amount", "events have an amount")
        notes.append(
            f"{app.name}: {amounts} in a currency without a rate, which is in no revenue; give apps.insight.rates one."
        )
    for size in await store.cohort_sizes(asked, horizons):
        if size.kind == PerformanceKind.INSTALL:
            figures(size.labels).at(size.horizon).installs += size.n
    for sums in await store.cohort_sums(asked, horizons):
        if sums.kind == PerformanceKind.INSTALL:
            at = figures(sums.labels).at(sums.horizon)
            at.active += sums.active
            at.payers += sums.payers
            at.revenue += sums.revenue
            at.attributed_revenue += sums.revenue if sums.labels.media_source != ORGANIC else 0
    costed = await _read_costs(store, app, asked, figures, notes, horizons=horizons)
    if costed and (free := sorted(brought - costed - WITHOUT_COST)):
        notes.append(_uncosted_note(app, free))
    if costed:
        notes += await _of_days(store, app, asked)
    if not horizons:
        return
    unseen = sum(
        point.active
        for point in await store.curves(structs.replace(asked, by=frozenset()))
        if point.kind == PerformanceKind.UNSEEN
    )
    if unseen:
        notes.append(
            f"{app.name}: there was activity of installations whose install was not received ({unseen:,} active days "
            "in all). Cohorts leave it out; its events and revenue count on the days on which they happened."
        )


async def _read_costs(
    store: Store, app: AppScope, asked: Slice, figures: Any, notes: list[str], *, horizons: Sequence[int]
) -> set[str]:
    """Add costs to the figures; return the sources that a spend is known of."""
    missing: set[str] = set()
    costed: set[str] = set()
    for cost in await costs_in(store, app, asked, (WHOLE, *horizons)):
        spend = spend_in(app, cost)
        if spend is None and cost.spend is not None:
            missing.add(cost.currency)
        it = figures(cost.labels)
        if cost.spend is not None:
            costed.add(cost.labels.media_source)
        if cost.horizon == WHOLE:
            it.spend = add(it.spend, spend)
            it.clicks = add(it.clicks, cost.clicks)
            it.impressions = add(it.impressions, cost.impressions)
        else:
            at = it.at(cost.horizon)
            at.spend = add(at.spend, spend)
    if missing:
        notes.append(
            f"{app.name}: costs in {', '.join(sorted(missing))} are left out; give apps.insight.rates a rate for it."
        )
    return costed


async def costs_in(store: Store, app: AppScope, asked: Slice, horizons: Sequence[int] = (WHOLE,)) -> Sequence[CostSums]:
    """Return an app's costs in a slice. Costs name no platform: they are of the app's own."""
    if asked.platform not in (None, app.platform):
        return ()
    found = await store.costs(asked, horizons)
    if "platform" not in asked.by:
        return found
    return [structs.replace(cost, labels=structs.replace(cost.labels, platform=app.platform)) for cost in found]


async def _of_days(store: Store, app: AppScope, asked: Slice) -> list[str]:
    """Return sentences about days that lack the spend, or all that it is divided by, where other days have both."""
    costs = await store.costs(structs.replace(asked, by=frozenset({"day"})), (WHOLE,))
    notes = []
    until = max(cost.labels.day for cost in costs if cost.spend is not None)
    if until < min(asked.last, app.today - 1):
        notes.append(
            f"{app.name}: no spend is known of the days after {date_of(until)}. eCPI, ROAS and the like of "
            "all days have their installs and revenue all the same."
        )
    # Of any source: one alone may have brought nobody.
    whole = Slice(asked.first, asked.last, asked.today, frozenset({"day"}), app.name)
    received = {row.labels.day for row in await store.performance(whole) if row.n}
    spent = {cost.labels.day for cost in costs if cost.spend and cost.labels.day < app.today}
    if silent := sorted(spent - received):
        first, last = date_of(silent[0]), date_of(silent[-1])
        several = f"{len(silent):,} days with a spend, {first} to {last}"
        notes.append(
            f"{app.name}: nothing was received of {several if first < last else f'{first}, which has a spend'}. "
            "eCPI, ROAS and the like have that spend all the same."
        )
    return notes


def _uncosted_note(app: AppScope, sources: Sequence[str]) -> str:
    """Return a sentence about sources that brought something and have no known spend, where others have one."""
    more = f" and {len(sources) - NAMED:,} more" if len(sources) > NAMED else ""
    return (
        f"{app.name}: no spend is known of {', '.join(sources[:NAMED])}{more}. eCPI, ROAS and the like of all sources "
        "together have their installs and revenue all the same."
    )


def spend_in(app: AppScope, cost: CostSums) -> int | None:
    """Return a spend in the app's currency; None if it is not known or has no rate."""
    if cost.spend is None or cost.currency == app.currency:
        return cost.spend
    rate = app.rates.get(cost.currency)
    return None if rate is None else round(cost.spend * rate)


def merged(groups: Iterable[Figures]) -> Figures:
    """Return the sums of several groups together."""
    rows = list(groups)
    up_to: defaultdict[int, list[UpTo]] = defaultdict(list)
    for row in rows:
        for horizon, one in row.up_to.items():
            up_to[horizon].append(one)
    return summed(Figures, rows, up_to={horizon: summed(UpTo, some) for horizon, some in up_to.items()})
