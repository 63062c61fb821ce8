"""Differences between the three counts over a period, by app, day and media source, from the stored comparisons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.errors import ConfigError
from flybridge.insight.causes import CAUSES, STEPS
from flybridge.insight.comparison import (
    ALL_EVENTS,
    CENT,
    CONVERSIONS,
    REPORT,
    ComparedGroup,
    ComparedRow,
    DayComparison,
    rank,
    read,
)
from flybridge.insight.nearest import FARTHEST_DAYS
from flybridge.insight.performance import AppScope, Question
from flybridge.insight.question import asked, groups_asked, source_asked
from flybridge.records import MICRO, PerformanceKind, utc_time
from flybridge.store.figures import UNEXPLAINED_EVENTS
from flybridge.store.performance import date_of, day_number
from flybridge.store.protocol import Store

GROUPS: Final[Mapping[str, str]] = {"app": "app", "date": "date", "day": "date", "source": "media_source",
                                    "media_source": "media_source"}  # fmt: skip
"""What differences can be grouped by."""

MOST_NAMED: Final = 1_000

PIECE_DAYS: Final = 7
"""Days of comparisons that are read at first, to find the last one; then twice as many, and so on."""

DEFAULT_BY: Final = "date,media_source"


COUNT: Final = "count"
REVENUE: Final = "revenue"
METRICS: Final = (COUNT, REVENUE)


class DifferenceQuestion(Struct, frozen=True):
    """A period, the groups, and what is compared: a kind of conversion, or the in-app event of a name.

    Of `revenue` all in-app events are compared if none is named.
    """

    first: int
    last: int
    by: tuple[str, ...]
    kind: str
    event: str
    media_source: str | None
    metric: str = COUNT


def asked_differences(given: Mapping[str, str | None], scopes: Sequence[AppScope]) -> DifferenceQuestion:
    """Return a question: `from`, `to`, `by`, `event`, `metric` and `media_source`.

    Raises `ConfigError` for what is none.
    """
    period: Question = asked({name: given.get(name) for name in ("from", "to")}, scopes)
    groups = groups_asked(given.get("by") or DEFAULT_BY, GROUPS)
    metric = given.get("metric") or COUNT
    if metric not in METRICS:
        raise ConfigError("metric", f"{metric[:40]!r} is not compared.", f"Name one of {', '.join(METRICS)}.")
    if metric == REVENUE and len({scope.currency for scope in scopes}) > 1:
        known = ", ".join(scope.name for scope in scopes)
        raise ConfigError(
            "app", "the apps have different currencies: their revenue is not added up.", f"Name one of {known}."
        )
    event = given.get("event") or ("" if metric == REVENUE else PerformanceKind.INSTALL)
    is_conversion = event in CONVERSIONS and given.get("kind") != PerformanceKind.EVENT
    if is_conversion and metric == REVENUE:
        raise ConfigError("event", f"{event} has no revenue.", "Name an in-app event, or none for all of them.")
    return DifferenceQuestion(
        period.first,
        period.last,
        tuple(dict.fromkeys(GROUPS[name] for name in groups)),
        event if is_conversion else PerformanceKind.EVENT,
        "" if is_conversion else event,
        source_asked(given),
        metric,
    )


async def last_compared(store: Store, apps: Sequence[AppScope], before: int) -> int | None:
    """Return the last day before one that was compared; None if there is none within `FARTHEST_DAYS`."""
    names, end, length = {app.name for app in apps}, before, PIECE_DAYS
    while before - end < FARTHEST_DAYS:
        reports = await store.day_reports(REPORT, end - length, end - 1)
        if compared := [report.day for report in reports if report.app in names]:
            return max(compared)
        end, length = end - length, 2 * length
    return None


async def read_differences(store: Store, scopes: Sequence[AppScope], question: DifferenceQuestion) -> dict[str, Any]:
    """Answer a question about these apps as plain values. It reads stored comparisons and asks no vendor."""
    names = {scope.name for scope in scopes}
    reports = await store.day_reports(
        REPORT, question.first, question.last, app=scopes[0].name if len(scopes) == 1 else None
    )
    days = [found for one in reports if one.app in names and (found := read(one)) is not None]
    least = 1 if question.metric == COUNT else CENT // 2
    groups: dict[tuple[str, ...], ComparedGroup] = {}
    total = ComparedGroup(least=least)
    for day in days:
        for row in _chosen(day.rows if question.metric == COUNT else day.revenue, question):
            labels = {"app": day.app, "date": date_of(day.day).isoformat(), "media_source": row.key.media_source}
            groups.setdefault(tuple(labels[name] for name in question.by), ComparedGroup(least=least)).add(row)
            total.add(row)
    by_date = question.by.index("date") if "date" in question.by else None
    ordered = sorted(groups, key=lambda group: (group[by_date] if by_date is not None else "",
                                                -groups[group].flybridge, group))  # fmt: skip
    return {
        "from": date_of(question.first).isoformat(),
        "to": date_of(question.last).isoformat(),
        "metric": question.metric,
        "currency": _currency(days) if question.metric == REVENUE else None,
        "kind": question.kind,
        "event": question.event or None,
        "by": list(question.by),
        "rows": [
            {name: value or None for name, value in zip(question.by, group, strict=True)}
            | plain(groups[group], question.metric)
            for group in ordered
        ],
        "total": plain(total, question.metric),
        "days": [
            {
                "app": day.app,
                "date": date_of(day.day).isoformat(),
                "made_at": utc_time(day.made_ms),
                "is_final": day.is_final,
                "zone": day.zone,
                "amplitude_zone": day.amplitude_zone,
                "appsflyer": day.appsflyer or None,
                "amplitude": day.amplitude or None,
                "notes": day.notes,
            }
            for day in days
        ],
        "events": _events(days),
        "unexplained_events": await _named(store, names, question),
        "steps": dict(STEPS),
        "causes": [
            {"code": one.code, "step": one.step, "title": one.title, "sentence": one.sentence, "remedy": one.remedy}
            for one in CAUSES.values()
        ],
    }


def partly_compared(found: Mapping[str, Any], scopes: Sequence[AppScope]) -> list[str]:
    """Return a sentence for each app of which not all days of the period that are over were compared, if some were."""
    first, last = (day_number(date.fromisoformat(found[name])) for name in ("from", "to"))
    sentences = []
    for scope in scopes:
        n, over = sum(day["app"] == scope.name for day in found["days"]), min(last, scope.today - 1) - first + 1
        if not found["days"] or n >= over:
            continue
        compared = f"{n:,} of {over:,} days {'was' if n == 1 else 'were'} compared, and the figures are of no others"
        sentences.append(f"{scope.name}: {compared if n else f'none of {over:,} days was compared'}.")
    return sentences


def notes_of(days: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what is to be said about compared days, each sentence once, with its app where there are several."""
    days = list(days)
    several = len({day["app"] for day in days}) > 1
    sentences = [f"{day['app']}: {note}" if several else note for day in days for note in day["notes"]]
    return list(dict.fromkeys(sentences))


def zones_apart(days: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each app whose days begin at another hour in Amplitude."""
    zones = sorted({(day["app"], day["zone"], day["amplitude_zone"]) for day in days if day["amplitude"]})
    return [
        f"{app}: days begin in {zone} at AppsFlyer and here, and in {other} in Amplitude."
        for app, zone, other in zones
        if zone != other
    ]


async def _named(store: Store, apps: Collection[str], question: DifferenceQuestion) -> list[dict[str, Any]]:
    """Return the events that flybridge has sent and Amplitude has not, where each was looked for."""
    found: list[dict[str, Any]] = []
    for report in await store.day_reports(UNEXPLAINED_EVENTS, question.first, question.last):
        if report.app in apps:
            labels = {"app": report.app, "date": date_of(report.day).isoformat()}
            found += [labels | one for one in msgspec.json.decode(report.body, type=list[dict[str, Any]])]
    return found[:MOST_NAMED]


def _chosen(rows: Iterable[ComparedRow], question: DifferenceQuestion) -> Iterable[ComparedRow]:
    for row in rows:
        if row.key.kind != question.kind:
            continue
        # All events together are those by their own day, not the sum by the day of the install.
        is_any = question.metric == REVENUE and not question.event and row.key.event != ALL_EVENTS
        if row.key.event != question.event and not is_any:
            continue
        if question.media_source in (None, row.key.media_source):
            yield row


def plain(group: ComparedGroup, metric: str = COUNT) -> dict[str, Any]:
    """Return the sums of a group as plain values. What is not known is None.

    Of revenue the figures are amounts, and each cause says how many `events` have made it. `more` and `less` are what
    a cause, or no cause, adds to some rows and takes from others; `left` is all that no cause explains.
    """
    is_count = metric == COUNT
    shown: Callable[[int | None], float | None] = (lambda n: n) if is_count else _amount

    def offset(of: str) -> dict[str, Any]:
        return {"more": shown(group.more.get(of, 0)), "less": shown(group.less.get(of, 0))}

    def part(code: str, details: Mapping[str, int]) -> dict[str, Any]:
        found = {"code": code, "step": CAUSES[code].step, "n": shown(sum(details.values())), **offset(code)}
        if not is_count:
            found["events"] = sum(group.events[code, detail] for detail in details)
        named = [
            {"detail": detail, "n": shown(n)} | ({} if is_count else {"events": group.events[code, detail]})
            for detail, n in details.items() if detail
        ]  # fmt: skip
        return found | {"details": named}

    return {
        "appsflyer": shown(group.appsflyer),
        "flybridge": shown(group.flybridge),
        "amplitude": shown(group.amplitude),
        "flybridge_with_appsflyer": shown(group.with_appsflyer),
        "flybridge_with_amplitude": shown(group.with_amplitude),
        "causes": [part(code, details) for code, details in group.by_cause().items()],
        "unexplained": {step: shown(n) for step, n in group.unexplained.items()},
        "unexplained_parts": {step: offset(step) for step in group.unexplained},
        "left": shown(group.left),
    }


def _amount(micros: int | None) -> float | None:
    """Return an amount to the cent."""
    # Adding 0 makes no amount of less than nothing.
    return None if micros is None else round(micros / MICRO, 2) + 0.0


def _currency(days: Iterable[DayComparison]) -> str | None:
    """Return the currency of all these days; None if there are several, or none."""
    found = {day.currency for day in days if day.currency}
    return found.pop() if len(found) == 1 else None


def _events(days: Iterable[DayComparison]) -> list[dict[str, Any]]:
    """Return what can be asked for, the most frequent first within each kind."""
    found: dict[tuple[str, str], int] = {}
    for day in days:
        for row in day.rows:
            at = (row.key.kind, row.key.event)
            found[at] = found.get(at, 0) + row.flybridge
    ranked = sorted(found, key=lambda at: (rank(at[0]), at[1] != ALL_EVENTS, -found[at], at))
    return [{"kind": kind, "event": event or None, "flybridge": found[kind, event]} for kind, event in ranked]
