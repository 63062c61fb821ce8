"""How AppsFlyer's cohorts and flybridge's differ over the installs of a period, from the stored comparisons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from flybridge.insight.causes import APPSFLYER, CAUSES
from flybridge.insight.cohort_comparison import INSTALLS, METRICS, REPORT, REVENUE, CohortComparison
from flybridge.insight.performance import AppScope
from flybridge.insight.question import asked, groups_asked, source_asked
from flybridge.records import MICRO, utc_time
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store

GROUPS: Final[Mapping[str, str]] = {"app": "app", "date": "date", "source": "media_source",
                                    "media_source": "media_source"}  # fmt: skip
DEFAULT_BY: Final = "source"


class CohortDifferenceQuestion(Struct, frozen=True):
    """The days of the installs, the groups, and a media source, if it is one alone."""

    first: int
    last: int
    by: tuple[str, ...]
    media_source: str | None = None


class _SideSums(Struct):
    appsflyer: int = 0
    flybridge: int = 0
    unexplained: int = 0
    causes: Counter[str] = field(default_factory=Counter)


def asked_cohort_differences(given: Mapping[str, str | None], scopes: Sequence[AppScope]) -> CohortDifferenceQuestion:
    """Return a question: `from`, `to`, `by` and `media_source`. Raises `ConfigError` for what is none."""
    period = asked({name: given.get(name) for name in ("from", "to")}, scopes)
    by = tuple(dict.fromkeys(GROUPS[name] for name in groups_asked(given.get("by") or DEFAULT_BY, GROUPS)))
    return CohortDifferenceQuestion(period.first, period.last, by, source_asked(given))


async def read_cohort_differences(
    store: Store, scopes: Collection[AppScope], question: CohortDifferenceQuestion
) -> dict[str, Any]:
    """Return the differences by the question's groups, and in all.

    A row counts `installs`, people `active` so many days after the install (`day`), or the `revenue` up to that day, of
    the installs of which that day is over. Revenue is in the app's currency; that of apps in several is not added up.
    """
    names = {scope.name: scope.currency for scope in scopes}
    reports = await store.day_reports(REPORT, question.first, question.last)
    kept = (report.read(CohortComparison) for report in reports if report.app in names)
    days = [one for one in kept if one is not None]
    currencies = {one.currency for one in days}
    rows: defaultdict[tuple[tuple[str, ...], str, int], _SideSums] = defaultdict(_SideSums)
    total: defaultdict[tuple[tuple[str, ...], str, int], _SideSums] = defaultdict(_SideSums)
    for one in days:
        for row in one.rows:
            metric, source = row.key.kind, row.key.media_source
            if question.media_source not in {None, source} or (metric == REVENUE and len(currencies) > 1):
                continue
            labels = {"app": one.app, "date": date_of(one.day).isoformat(), "media_source": source}
            at = (tuple(labels[name] for name in question.by), metric, int(row.key.event or 0))
            for sums in (rows[at], total[(), *at[1:]]):
                sums.appsflyer += row.appsflyer or 0
                sums.flybridge += row.flybridge
                sums.unexplained += abs(row.unexplained(APPSFLYER) or 0)
                for part in row.parts:
                    sums.causes[part.code] += part.n
    return {
        "from": date_of(question.first).isoformat(),
        "to": date_of(question.last).isoformat(),
        "by": list(question.by),
        "currency": currencies.pop() if len(currencies) == 1 else None,
        "rows": [_row(dict(zip(question.by, at[0], strict=True)), at, rows[at]) for at in sorted(rows, key=_order)],
        "total": [_row({}, at, total[at]) for at in sorted(total, key=_order)],
        "days": [
            {"app": one.app, "date": date_of(one.day).isoformat(),
             "made_at": utc_time(one.made_ms) if one.made_ms else None, "notes": list(one.notes)}
            for one in days
        ],
        "causes": [
            {"code": one.code, "title": one.title, "sentence": one.sentence, "remedy": one.remedy}
            for one in CAUSES.values() if any(sums.causes[one.code] for sums in total.values())
        ],
    }  # fmt: skip


def _order(at: tuple[tuple[str, ...], str, int]) -> tuple[tuple[str, ...], int, int]:
    return at[0], METRICS.index(at[1]), at[2]


def _row(labels: Mapping[str, str], at: tuple[tuple[str, ...], str, int], sums: _SideSums) -> dict[str, Any]:
    _, metric, day = at

    def shown(n: int) -> int | float:
        return round(n / MICRO, 2) if metric == REVENUE else n

    return {
        **labels,
        "metric": metric,
        "day": None if metric == INSTALLS else day,
        "appsflyer": shown(sums.appsflyer),
        "flybridge": shown(sums.flybridge),
        "unexplained": shown(sums.unexplained),
        "causes": [{"code": code, "n": shown(sums.causes[code])} for code in CAUSES if sums.causes[code]],
    }
