"""Amplitude's Dashboard REST API as its documentation describes it: event segmentation, from what was really saved.

    POST /sandbox/zone?project=&timezone=     the time zone of a project; UTC unless it is set

Days and hours are those of the project's zone, by the time of the event. A query costs days x conditions x type; 1,000
in five minutes, 108,000 in an hour, and no more than five at once. The page shows neither the bodies of errors nor how
hours are written in `xValues` (*unverified*). Properties are known if the sandbox keeps everything; else the media
source and the campaign only. `m=sums` adds up the first property of `group_by` (*unverified* which of two it is).

https://amplitude.com/docs/apis/analytics/dashboard-rest (read 2026-11-27).
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from flybridge.sandbox.http import SandboxAnswer, Scope, Send, is_zone, moment_of, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.cohorts import project_of
from flybridge.sandbox.vendors.ledger import ProjectLedger, Saved
from flybridge.sandbox.vendors.properties import described

SEGMENTATION: Final = "/api/2/events/segmentation"
ZONE: Final = "/sandbox/zone"

BUDGETS: Final = ((300_000, 1_000), (3_600_000, 108_000))
"""Milliseconds, and what queries may cost in them."""
AT_ONCE: Final = 5
INTERVALS: Final[Mapping[str, int]] = {"-300000": 2, "-3600000": 7, "1": 365, "7": 365, "30": 365}
"""Intervals that the sandbox knows, and how many days of each are shown. Weeks and months are not served."""
SUMS: Final = "sums"
METRICS: Final = frozenset({"uniques", "totals", "average", SUMS})
REVENUE: Final = "$revenue"
ANY: Final = frozenset({"_all", "_active"})
BUILT_IN: Final = frozenset({"platform", "country", "region", "city", "language"})
NONE: Final = "(none)"
GROUPS: Final = 100
MAX_GROUPS: Final = 1_000


class GroupBy(Struct):
    """A property to group an event by."""

    type: str
    value: str


class PropertyFilter(Struct):
    """A filter of an event by a property."""

    subprop_type: str
    subprop_key: str
    subprop_op: str
    subprop_value: list[str]

    def passes(self, event: Saved) -> bool:
        """Whether an event passes."""
        found = _value(event, GroupBy(self.subprop_type, self.subprop_key)) in self.subprop_value
        return found == (self.subprop_op == "is")


class EventDefinition(Struct):
    """The parameter `e`."""

    event_type: str
    group_by: list[GroupBy] = []
    filters: list[PropertyFilter] = []


class Query(Struct):
    """A query as it was understood."""

    event: EventDefinition
    metric: str
    interval: str
    first: date
    last: date
    groups: list[GroupBy]
    limit: int

    @property
    def cost(self) -> int:
        """What it costs: each group counts as four segments, and makes its event dearer by four."""
        days = (self.last - self.first).days + 1
        return days * (4 * len(self.groups) or 1) * (1 + 4 * len(self.event.group_by))


class RefusedQuery(Exception):
    """A query that Amplitude refuses."""


class Dashboard(VendorApi, kw_only=True):
    """The API, for every project. `zones` are the time zones of projects by API key; `running` are queries at work."""

    pages = (SEGMENTATION, ZONE)

    ledgers: Mapping[str, ProjectLedger]
    zones: dict[str, str] = field(default_factory=dict)
    running: int = 0
    asked: int = 0
    # What each project has spent: times and costs.
    _spent: defaultdict[str, deque[tuple[int, int]]] = field(default_factory=lambda: defaultdict(deque))

    async def play(self, scope: Scope, send: Send, body: bytes | None) -> None:
        """Answer one query while others may run."""
        self.running += 1
        try:
            await super().play(scope, send, body)
        finally:
            self.running -= 1

    def own_page(self, scope: Scope, _: bytes) -> SandboxAnswer:
        """Set the time zone of a project."""
        given = query_of(scope)
        project, zone = given.get("project", ""), given.get("timezone", "")
        if not is_zone(zone):
            return SandboxAnswer(400, {"error": "There is no such time zone.", "remedy": "Name it as Europe/Berlin."})
        self.zones[project] = zone
        return SandboxAnswer(200, {"timezone": zone})

    def answer(self, scope: Scope, _: bytes | None) -> SandboxAnswer:
        project = project_of(scope)
        if isinstance(project, SandboxAnswer):
            return project
        if self.running > AT_ONCE:
            return _refused(429, "too_many_requests", f"Number of concurrent queries exceeds {AT_ONCE}")
        try:
            query = _query(query_of(scope))
        except RefusedQuery as problem:
            return _refused(400, "invalid_chart_definition", str(problem))
        if (over := self._over_budget(project, query.cost)) is not None:
            return _refused(429, "too_many_requests", over)
        self.asked += 1
        ledger = self.ledgers.get(project)
        saved = ledger.saved if ledger is not None else []
        return SandboxAnswer(200, {"data": _series(query, saved, ZoneInfo(self.zones.get(project, "UTC")))})

    def _over_budget(self, project: str, cost: int) -> str | None:
        now_ms, spent = self.clock.now_ms(), self._spent[project]
        while spent and now_ms - spent[0][0] >= BUDGETS[-1][0]:
            spent.popleft()
        for span_ms, most in BUDGETS:
            if cost + sum(one for at, one in spent if now_ms - at < span_ms) > most:
                return f"Query cost exceeds {most} per {span_ms // 60_000} minutes"
        spent.append((now_ms, cost))
        return None


def _refused(status: int, kind: str, detail: str) -> SandboxAnswer:
    error = {"http_code": status, "type": kind, "message": detail, "metadata": {"details": detail}}
    return SandboxAnswer(status, {"error": error})


def _query(given: Mapping[str, str]) -> Query:
    try:
        event = msgspec.json.decode(given.get("e", ""), type=EventDefinition)
    except msgspec.DecodeError:
        raise RefusedQuery("Missing or invalid event") from None
    if "e2" in given or "s" in given or any(one.subprop_op not in {"is", "is not"} for one in event.filters):
        raise RefusedQuery("The sandbox serves one event, no segments, and the filters `is` and `is not`")
    first, last = (moment_of(given.get(name, ""), "%Y%m%d") for name in ("start", "end"))
    metric, interval = given.get("m", "uniques"), given.get("i", "1")
    if first is None or last is None or first > last:
        raise RefusedQuery("Invalid start or end")
    if metric not in METRICS:
        raise RefusedQuery(f"Invalid metric: {metric}")
    if interval not in INTERVALS or interval in {"7", "30"}:
        raise RefusedQuery(f"Invalid interval: {interval}")
    if (last - first).days + 1 > INTERVALS[interval]:
        raise RefusedQuery(f"The interval {interval} is limited to {INTERVALS[interval]} days")
    groups = [*event.group_by, *(_property(given[name]) for name in ("g", "g2") if name in given)]
    if metric == SUMS and not event.group_by:
        raise RefusedQuery("A property metric needs a property in group_by")
    if len(groups) > 2 or any(group.type not in {"event", "user"} for group in groups):
        raise RefusedQuery("Invalid group by")
    limit = int(given["limit"]) if given.get("limit", "").isdecimal() else GROUPS
    return Query(event, metric, interval, first.date(), last.date(), groups, min(limit, MAX_GROUPS))


def _property(name: str) -> GroupBy:
    return GroupBy("user", name.removeprefix("gp:"))


def _series(query: Query, saved: Iterable[Saved], zone: ZoneInfo) -> dict[str, Any]:
    values = _values(query, zone)
    at = {value: number for number, value in enumerate(values)}
    times: defaultdict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    people: defaultdict[tuple[str, ...], defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    # The first property is what is added up, whatever its currency.
    groups = query.groups[1:] if query.metric == SUMS else query.groups
    sums: defaultdict[tuple[str, ...], defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for event in saved:
        if query.event.event_type not in ANY and event.event_type != query.event.event_type:
            continue
        number = at.get(_bucket(event.time_ms, query.interval, zone))
        if number is None or not all(one.passes(event) for one in query.event.filters):
            continue
        label = tuple(_value(event, group) for group in groups)
        if query.metric == SUMS:
            amount = _number(event, query.groups[0])
            if amount is None:
                continue
            sums[label][number] += amount
        times[label][number] += 1
        people[label][number].add(event.user_id or event.device_id or "")
    if not groups:
        times.setdefault((), Counter())
    labels = sorted(times, key=lambda label: (-times[label].total(), label))[: query.limit]
    numbers = range(len(values))
    series = [
        [sums[one][n] if query.metric == SUMS else _figure(query.metric, times[one][n], len(people[one][n]))
         for n in numbers]
        for one in labels
    ]  # fmt: skip
    return {
        "series": series,
        "seriesLabels": [_written(label) for label in labels],
        "seriesCollapsed": [[{"setId": "", "value": sum(one)}] for one in series],
        "xValues": values,
    }


def _figure(metric: str, times: int, people: int) -> float:
    if metric == "average":
        return times / people if people else 0
    return times if metric == "totals" else people


def _written(label: tuple[str, ...]) -> Any:
    """Return a label: the event's number, and the values of its groups."""
    return [0, "; ".join(label)] if label else 0


def _values(query: Query, zone: ZoneInfo) -> Sequence[str]:
    days = [query.first + timedelta(days=n) for n in range((query.last - query.first).days + 1)]
    if query.interval == "1":
        return [day.isoformat() for day in days]
    step = timedelta(milliseconds=-int(query.interval))
    moment = datetime.combine(days[0], datetime.min.time(), zone).astimezone(UTC)
    end = datetime.combine(days[-1] + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)
    found = []
    while moment < end:
        found.append(moment.astimezone(zone).isoformat())
        moment += step
    return found


def _bucket(time_ms: int, interval: str, zone: ZoneInfo) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(zone)
    if interval == "1":
        return moment.date().isoformat()
    step_s = -int(interval) // 1000
    into_s = (moment.minute * 60 + moment.second) % step_s
    return (moment - timedelta(seconds=into_s, microseconds=moment.microsecond)).isoformat()


def _number(event: Saved, group: GroupBy) -> float | None:
    """Return a property of an event as a number; None if it is none."""
    if group.value == REVENUE:
        return event.revenue
    try:
        return float(_value(event, group))
    except ValueError:
        return None


def _value(event: Saved, group: GroupBy) -> str:
    """Return what an event says of a property. Without its body its media source and campaign are known."""
    if event.body is not None:
        kept = msgspec.json.decode(event.body)
        if group.type == "user" and group.value in BUILT_IN:
            return str(kept.get(group.value) or NONE)
        properties = kept.get("user_properties" if group.type == "user" else "event_properties") or {}
        if group.type == "user":
            properties = {**properties, **(properties.get("$set") or {})}
        found = properties.get(group.value.removeprefix("gp:") if group.type == "user" else group.value)
        return NONE if found is None else str(found)
    known = described({group.value: "x"})
    found = event.media_source if known.media_source else event.campaign if known.campaign else None
    return NONE if found is None else found
