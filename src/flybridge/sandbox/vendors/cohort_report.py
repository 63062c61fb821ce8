"""AppsFlyer's Cohort API: its checks, and its CSV or JSON by chosen groups and days after the conversion.

    POST /api/cohorts/v1/data/app/{app}?format=csv|json

https://dev.appsflyer.com/hc/reference/post_app-id (cohort_api.yaml of AppsFlyer's devhub, read 2026-11-29) and
https://support.appsflyer.com/hc/en-us/articles/360004799057 (read 2026-11-27). The columns of an answer are not
documented; those of revenue and of events are as public clients of the live service read them: `revenue_sum_day_7`,
`revenue_count_day_7`, `af_purchase_unique_users_day_7`, `af_purchase_conversion_rate_day_7`, `roas_rate_day_7`, after
`users`, `cost` and `ecpi`. That sessions have such columns, too, is a guess (*unverified*), and so are the words of
most errors. Hours (`granularity`) are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import accumulate
from typing import Any, Final

from msgspec import Struct, field

from flybridge.delivery.exchange import json_object
from flybridge.sandbox.http import SandboxAnswer
from flybridge.sandbox.traffic.planned import MessageKind
from flybridge.sandbox.traffic.reported import Reported
from flybridge.sandbox.vendors.aggregates import RETARGETING, SESSION_MS, ReportedApp, cells
from flybridge.sandbox.vendors.cohort_request import ACQUISITION, GROUPINGS, LAST_DAY, RETARGETED, UNIFIED, problem_of
from flybridge.sandbox.vendors.raw_data import as_csv
from flybridge.sandbox.vendors.report_csv import ratio, shown

COHORTS: Final = "/api/cohorts/v1/data/app/"
CALLS_A_MINUTE: Final = 60
SESSION: Final = "session"
"""The kind of a fact that AppsFlyer knows of and reports to nobody: the app was opened, and nothing else happened."""
NONE: Final = "None"
"""Stands for what the traffic does not have: ad sets, ads, channels."""


class _Group(Struct):
    """What is known of one group: by day after the conversion its people, events and amounts, under a name."""

    users: int = 0
    cost_usd: float | None = None
    people: defaultdict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    counts: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    sessions: set[tuple[str, int]] = field(default_factory=set)
    sums: defaultdict[tuple[str, int], float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, who: str, after: int, usd: float = 0.0) -> None:
        """Count that somebody did something so many days after the conversion."""
        self.people[name, after].add(who)
        self.first[name, who] = min(after, self.first.get((name, who), after))
        self.counts[name, after] += 1
        self.sums[name, after] += usd


class _Did(Struct, frozen=True):
    """What one fact adds: to the cohort of `began`, as it happened."""

    began: Reported
    began_ms: int
    fact: Reported
    cohort_type: str
    is_conversion: bool


def cohort_report(
    body: bytes, given: Mapping[str, str], facts: Sequence[Reported], settings: ReportedApp, now_ms: int
) -> SandboxAnswer:
    """Answer a request about an app."""
    if (asked := json_object(body)) is None:
        return _refused("Invalid JSON")
    own_zone = asked.get("preferred_timezone") is True
    day = settings.day(own_zone=own_zone)
    if (problem := problem_of(asked, given, day(now_ms))) is not None:
        return _refused(problem)
    first, last = date.fromisoformat(asked["from"][:10]), date.fromisoformat(asked["to"][:10])
    groups: defaultdict[tuple[str, ...], _Group] = defaultdict(_Group)
    known = [fact for fact in facts if fact.learned_ms <= now_ms]
    for did in _happened(known, asked["cohort_type"]):
        place = _place(did.began, day(did.began_ms), did.cohort_type)
        if first <= day(did.began_ms) <= last and _passes(asked.get("filters") or {}, place):
            _count(groups[tuple(place.get(name, NONE) for name in asked["groupings"])], did, day)
    if asked["cohort_type"] != RETARGETED:
        for key, cell in cells(known, day, now_ms=now_ms).items():
            place = {"date": f"{key.day}", "pid": key.media_source, "c": key.campaign or NONE, "geo": key.country,
                     "cohort_type": ACQUISITION}  # fmt: skip
            if cell.cost_usd is not None and first <= key.day <= last and _passes(asked.get("filters") or {}, place):
                group = groups[tuple(place.get(name, NONE) for name in asked["groupings"])]
                group.cost_usd = (group.cost_usd or 0.0) + cell.cost_usd
    groups = defaultdict(
        _Group, {at: one for at, one in groups.items() if one.users >= asked.get("min_cohort_size", 1)}
    )
    until = day(now_ms) - (first if asked.get("partial_data") is True else last)
    periods = (asked.get("filters") or {}).get("period") or range(min(until.days, LAST_DAY + 1))
    rate = settings.per_usd if asked.get("preferred_currency") is True else 1.0
    rows = [_header(asked, periods)]
    rows += [[*at, *_row(one, asked, periods, rate)] for at, one in sorted(groups.items())]
    if given.get("format") == "json":
        names = [str(name) for name in rows[0]]
        return SandboxAnswer(200, {"query": asked, "results": [dict(zip(names, row, strict=True)) for row in rows[1:]]})
    return SandboxAnswer(200, as_csv(rows))


def _refused(sentence: str) -> SandboxAnswer:
    return SandboxAnswer(422, {"error": sentence, "expose": False})


def _happened(facts: Sequence[Reported], cohort_type: str) -> Iterator[_Did]:
    """Return what counts for cohorts of a type; in `unified` each event once, where it is primary."""
    installs, returns = dict[str, Reported](), defaultdict[str, list[Reported]](list)
    for fact in facts:
        if fact.kind in {MessageKind.INSTALL, MessageKind.REINSTALL}:
            installs[fact.installation] = fact
        elif fact.kind in RETARGETING:
            returns[fact.installation].append(fact)
    for fact in facts:
        install = installs.get(fact.installation, fact)
        if cohort_type != RETARGETED and (fact.kind in {MessageKind.INSTALL, MessageKind.REINSTALL, SESSION}
            or (fact.kind == MessageKind.IN_APP and not fact.retargeting
                and not (fact.secondary and cohort_type == UNIFIED))
            or (fact.kind == MessageKind.RE_ENGAGEMENT and fact.installation in installs)):  # fmt: skip
            began = install if fact.kind in {SESSION, MessageKind.RE_ENGAGEMENT} else fact
            yield _Did(began, began.install_ms, fact, ACQUISITION, fact.kind == MessageKind.INSTALL)
        if cohort_type == ACQUISITION:
            continue
        if fact.kind in RETARGETING:
            yield _Did(fact, fact.time_ms, fact, RETARGETED, is_conversion=True)
        elif fact.kind == MessageKind.IN_APP and fact.retargeting:
            before = [one for one in returns[fact.installation] if one.time_ms <= fact.time_ms]
            began = max(before, key=lambda one: one.time_ms, default=fact)
            yield _Did(began, began.time_ms if before else fact.install_ms, fact, RETARGETED, is_conversion=False)


def _place(began: Reported, day: date, cohort_type: str) -> Mapping[str, str]:
    return {
        "date": day.isoformat(),
        "pid": began.media_source,
        "c": began.campaign or NONE,
        "geo": began.country,
        "attributed_touch_type": began.touch_type or NONE,
        "cohort_type": cohort_type,
    }


def _passes(filters: Mapping[str, Any], place: Mapping[str, str]) -> bool:
    if filters.get("revenue_type") == ["ad_monetization"]:
        return False
    return all(place.get(name, NONE) in wanted for name, wanted in filters.items() if name in GROUPINGS)


def _count(group: _Group, did: _Did, day: Callable[[int], date]) -> None:
    fact, who = did.fact, did.fact.installation
    after = max(0, (day(fact.time_ms) - day(did.began_ms)).days)
    group.users += did.is_conversion
    session = (who, fact.time_ms // SESSION_MS)
    if session not in group.sessions:
        group.sessions.add(session)
        group.add("sessions", who, after)
    if fact.kind == MessageKind.IN_APP:
        group.add(fact.event_name, who, after, fact.revenue_usd)
        if fact.revenue_usd:
            group.add("revenue", who, after, fact.revenue_usd)


MEASURES: Final = ("conversion_rate", "unique_users", "count", "sum")


def _measures(kpi: str) -> tuple[str, ...]:
    match kpi:
        case "users" | "cost" | "ecpi":
            return ()
        case "roas" | "roi":
            return ("rate",)
        case "sessions" | "uninstalls":
            return MEASURES[:3]
        case _:
            return MEASURES


def _header(asked: Mapping[str, Any], periods: Sequence[int]) -> list[object]:
    (kpi,) = asked["kpis"]
    days = [f"{kpi}_{measure}_day_{after}" for measure in _measures(kpi) for after in periods]
    return [*asked["groupings"], "users", "cost", "ecpi", *days]


def _row(group: _Group, asked: Mapping[str, Any], periods: Sequence[int], rate: float) -> list[object]:
    (kpi,) = asked["kpis"]
    cost = None if group.cost_usd is None else round(group.cost_usd * rate, 4)
    found: list[object] = [group.users, shown(cost), ratio(cost, group.users)]
    name = "revenue" if kpi in {"roas", "roi"} else kpi
    last = max(periods, default=-1)
    is_cumulative = asked["aggregation_type"] == "cumulative"

    def by_day(values: Callable[[int], float]) -> list[float]:
        each = [values(after) for after in range(last + 1)]
        return list(accumulate(each)) if is_cumulative else each

    firsts = defaultdict[int, int](int)
    for (of, _), after in group.first.items():
        firsts[after] += of == name
    people = by_day(lambda after: firsts[after] if is_cumulative else len(group.people.get((name, after), ())))
    counts = by_day(lambda after: group.counts.get((name, after), 0))
    sums = by_day(lambda after: group.sums.get((name, after), 0.0) * rate)
    per = group.users if asked.get("per_user") is True else 1
    for measure in _measures(kpi):
        for after in periods:
            match measure:
                case "conversion_rate":
                    found.append(ratio(people[after], group.users))
                case "unique_users":
                    found.append(people[after])
                case "count":
                    found.append(counts[after] if per == 1 else ratio(counts[after], per))
                case "sum":
                    found.append(round(sums[after] / per, 4) if per else shown(None))
                case _:
                    gain = sums[after] - (cost or 0.0) if kpi == "roi" else sums[after]
                    found.append(ratio(gain, cost))
    return found
