"""Prometheus metrics of flybridge.

Metrics belong to a `Metrics` object that the composition root makes; no module keeps any. Their names are listed
in docs/reference/metrics.md.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter as Tallied
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Final

from msgspec import Struct, field
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from flybridge.delivery.exchange import Accepted, Verdict
from flybridge.errors import FlybridgeError
from flybridge.inbox.protocol import Depth, Inbox
from flybridge.insight.coverage import Cover, covers, with_largest_platforms
from flybridge.insight.heard import Heard, read_heard
from flybridge.insight.hints import HeldSum, summed
from flybridge.insight.standstill import RefusedStart, read_refused_starts
from flybridge.records import DAY_MS, day_of
from flybridge.roles import ALL_ROLES, Role
from flybridge.store.protocol import Store
from flybridge.store.records import Lane, LaneDepth, UncertainCount
from flybridge.telemetry.door_counts import DoorCounts, StepLatency, latency_of
from flybridge.telemetry.hearing import Hearing


class BridgeState(Struct):
    """The figures of inbox and store at one moment. None: not read, or unavailable."""

    depth: Depth | None = None
    outcomes: Mapping[tuple[str, str, str, str], int] | None = None
    lanes: Sequence[LaneDepth] | None = None
    up: dict[str, bool] = {}
    at_ms: int = 0
    holds: Sequence[HeldSum] = ()
    covers: Sequence[Cover] = ()
    uncertain: Sequence[UncertainCount] = ()
    heard: Sequence[Heard] = ()
    refused_starts: Sequence[RefusedStart] = ()


async def bridge_state(inbox: Inbox, store: Store | None, now_ms: int, hearing: Hearing | None = None) -> BridgeState:
    """Read the figures of inbox and store. One that is unavailable, or does not answer in time, is reported as
    down; nothing is raised.

    `hearing` has the notes of this process, if it works.
    """
    now = BridgeState(at_ms=now_ms)
    try:
        async with asyncio.timeout(INBOX_S):
            now.depth = await inbox.depth(now_ms)
        now.up["inbox"] = True
    except (FlybridgeError, TimeoutError):
        now.up["inbox"] = False
    if store is not None:
        try:
            async with asyncio.timeout(STORE_S):
                await _read_store(now, store, hearing)
            now.up["store"] = True
        except (FlybridgeError, TimeoutError):
            now.up["store"] = False
    return now


async def _read_store(now: BridgeState, store: Store, hearing: Hearing | None) -> None:
    sums: Tallied[tuple[str, str, str, str]] = Tallied()
    for count in await store.counts():
        sums[count.app, count.source, count.outcome, count.reason] += count.n
    now.outcomes, now.lanes = sums, await store.depths(now.at_ms)
    now.holds = summed(await store.hold_counts(), now.at_ms, sources=MEDIA_SOURCES)
    rows = await store.covered(since_day=day_of(now.at_ms - DAY_MS))
    now.covers = covers(with_largest_platforms(rows, PLATFORMS), "app", "platform")
    now.uncertain = await store.uncertain_counts()
    now.heard = await (hearing.read(store) if hearing is not None else read_heard(store))
    now.refused_starts = await read_refused_starts(store, now.at_ms)


INBOX_S: Final = 3.0
STORE_S: Final = 6.0
"""How long inbox and store may take to answer, in seconds: Prometheus gives up after ten."""
MEDIA_SOURCES: Final = 20  # of an app that have a label of their own in `flybridge_holds`; the others share one
PLATFORMS: Final = 10  # the same in `flybridge_coverage_events` and `flybridge_coverage_share`
_SLOT_BOUNDS: Final = tuple(range(14, 35))  # 2**14 ns is 16 microseconds, 2**34 ns is 17 seconds
_DELIVERY_BOUNDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200, 259_200)
_REQUEST_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _Ages(Struct):
    """The ages of a lane's events when they were accepted: counts by `_DELIVERY_BOUNDS`, and the sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_DELIVERY_BOUNDS) + 1))
    total_s: float = 0.0


class Metrics(Collector):
    """All metrics of one process. `counts` are those of the intake endpoints; `state` is what was read last."""

    def __init__(self, version: str, counts: Sequence[DoorCounts] = ()) -> None:
        # Else every counter and histogram has a second series with the time it was made.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._version = version
        self._counts = counts
        self.state = BridgeState()
        counter, gauged = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        lane = ("app", "endpoint")
        self._attempts = counter("flybridge_attempts", "Items sent to a vendor, by verdict.", (*lane, "verdict"))
        took = "How long vendors took to answer a request."
        self._requests = Histogram(
            "flybridge_request_seconds", took, lane, buckets=_REQUEST_BOUNDS, registry=self.registry
        )
        self._ages: dict[Lane, _Ages] = {}
        self._answers: dict[Lane, list[int]] = {}
        self.circuit = gauged("flybridge_circuit_open", "1 while sending through this lane is paused.", lane)
        jump = "By how much the machine's clock has jumped, while that is not confirmed."
        self.jump_s = gauged("flybridge_clock_jump_seconds", jump)
        ahead = "By how much the machine's clock is ahead of that of PostgreSQL's server; negative if it is behind."
        self.clock_ahead_s = gauged("flybridge_clock_ahead_seconds", ahead)
        self.filed = counter("flybridge_filed", "Envelopes filed by this process, by first outcome.", ("outcome",))
        self.matched = counter("flybridge_matched", "Holds that found their user in this process.")
        remarks = "What was noticed about events on their way to AppsFlyer."
        self.remarks = counter("flybridge_stream_remarks", remarks, ("app", "remark"))
        gaps = "Events that AppsFlyer's reports had and flybridge had not."
        self.gaps = counter("flybridge_gap_events", gaps, ("app", "state"))
        differences = "Events by which the counts of the last compared days differ, by cause."
        self.differences = gauged("flybridge_differences", differences, ("app", "cause"))
        self.console_refused = counter("flybridge_console_refused", "Console requests turned away.", ("status",))
        messages = "Messages to people, by what became of them."
        self.notifications = counter("flybridge_notifications", messages, ("channel", "outcome"))
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def attempted(self, lane: Lane, verdicts: Sequence[Verdict], seconds: float, ages_s: Sequence[float]) -> None:
        """Count one request: the verdict and the age of each item, in the same order."""
        self._requests.labels(lane.app, lane.endpoint).observe(seconds)
        answers = self._answers.setdefault(lane, [0] * (len(_REQUEST_BOUNDS) + 1))
        answers[bisect_left(_REQUEST_BOUNDS, seconds)] += 1
        # A call of the client library takes microseconds, so there is one per kind of verdict and not one per item.
        for kind, n in Tallied(map(type, verdicts)).items():
            self._attempts.labels(lane.app, lane.endpoint, kind.__name__.lower()).inc(n)
        ages = self._ages.setdefault(lane, _Ages())
        for verdict, age_s in zip(verdicts, ages_s, strict=True):
            if isinstance(verdict, Accepted):
                ages.counts[bisect_left(_DELIVERY_BOUNDS, age_s)] += 1
                ages.total_s += age_s

    def latencies(self) -> list[StepLatency]:
        """Return how long each step takes in this process, in the order of the pipeline."""
        found = []
        for source, counted in self._slots().items():
            bounds = [2**n / 1e9 for n in range(len(counted))]
            found.append(latency_of("received", source, "", bounds, counted))
        for lane, requests in sorted(self._answers.items()):
            found.append(latency_of("answered", lane.app, lane.endpoint, _REQUEST_BOUNDS, requests))
        for lane, ages in sorted(self._ages.items()):
            found.append(latency_of("delivered", lane.app, lane.endpoint, _DELIVERY_BOUNDS, ages.counts))
        return [one for one in found if one.n]

    def _slots(self) -> dict[str, list[int]]:
        """Return the answers of the intake by source and slot of time."""
        slots: dict[str, list[int]] = {}
        for count in self._counts:
            if count.app:
                before = slots.get(count.source, [0] * 64)
                slots[count.source] = [a + b for a, b in zip(before, count.slots, strict=True)]
        return slots

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted elsewhere; called by the registry."""
        yield gauge("flybridge_info", "Always 1; carries the version.", ("version",), [((self._version,), 1)])
        yield from self._doors()
        yield self._delivered()
        yield from self._figures()

    def _doors(self) -> Iterator[Metric]:
        accepted = CounterMetricFamily(
            "flybridge_intake_accepted", "Envelopes made durable and answered 200.", labels=("app", "source")
        )
        refused = CounterMetricFamily(
            "flybridge_intake_refused", "Requests turned away, by status.", labels=("app", "source", "status")
        )
        slots = self._slots()
        elapsed: dict[str, int] = {}
        for count in self._counts:
            if count.app:
                accepted.add_metric((count.app, count.source), count.accepted)
                elapsed[count.source] = elapsed.get(count.source, 0) + count.elapsed_ns
            for status, n in sorted(count.refused.items()):
                refused.add_metric((count.app, count.source, str(status)), n)
        latency = HistogramMetricFamily(
            "flybridge_intake_seconds", "From a request's headers to its 200, the flush included.", labels=("source",)
        )
        for source, counted in slots.items():
            upto = list(accumulate(counted))
            buckets = [(repr(2**n / 1e9), float(upto[n])) for n in _SLOT_BOUNDS]
            latency.add_metric((source,), [*buckets, ("+Inf", float(upto[-1]))], elapsed[source] / 1e9)
        yield from (accepted, refused, latency)

    def _delivered(self) -> Metric:
        metric = HistogramMetricFamily(
            "flybridge_delivery_seconds",
            "From receiving an event to its acceptance by the vendor, the wait for a match included.",
            labels=("app", "endpoint"),
        )
        for lane, ages in self._ages.items():
            *upto, whole = accumulate(ages.counts)
            bounds = zip(map(str, map(float, _DELIVERY_BOUNDS)), map(float, upto), strict=True)
            metric.add_metric((lane.app, lane.endpoint), [*bounds, ("+Inf", float(whole))], ages.total_s)
        return metric

    def _figures(self) -> Iterator[Metric]:
        now = self.state
        up = "1 if the part answered when it was last asked."
        yield gauge("flybridge_up", up, ("part",), (((part,), float(well)) for part, well in now.up.items()))
        if now.depth is not None:
            yield GaugeMetricFamily("flybridge_inbox_waiting", "Envelopes accepted, not yet filed.", now.depth.waiting)
            yield GaugeMetricFamily("flybridge_inbox_leased", "Of those, being worked on.", now.depth.leased)
            yield GaugeMetricFamily(
                "flybridge_inbox_unreadable", "Of those, in chunks that can't be opened.", now.depth.unreadable
            )
            yield GaugeMetricFamily(
                "flybridge_inbox_oldest_seconds", "Age of the oldest of them.", _age_s(now.depth.oldest_ms, now.at_ms)
            )
        if now.outcomes is not None:
            labels = ("app", "source", "outcome", "reason")
            yield gauge("flybridge_envelopes", "Where envelopes stand now.", labels, now.outcomes.items())
        yield gauge(
            "flybridge_uncertain",
            "Messages that a vendor may have got more than once.",
            ("app", "outcome"),
            (((count.app, count.outcome), float(count.n)) for count in now.uncertain),
        )
        yield from self._holds()
        yield from self._silences()
        if now.lanes is not None:
            oldest = [_age_s(lane.oldest_ms, now.at_ms) for lane in now.lanes]
            for name, text, figures in (
                ("due", "Deliveries that could be sent now.", [lane.due for lane in now.lanes]),
                ("later", "Deliveries that wait for another try.", [lane.later for lane in now.lanes]),
                ("leased", "Deliveries in a worker's hands.", [lane.leased for lane in now.lanes]),
                ("oldest_seconds", "Age of the oldest delivery that is due.", oldest),
            ):
                at = ((lane.lane.app, lane.lane.endpoint) for lane in now.lanes)
                yield gauge(f"flybridge_lane_{name}", text, ("app", "endpoint"), zip(at, figures, strict=True))

    def _silences(self) -> Iterator[Metric]:
        now_ms, labels = self.state.at_ms, ("app", "source")
        known = [one for one in self.state.heard if one.last_ms]
        ages = [((one.app, one.source), _age_s(one.last_ms, now_ms)) for one in known]
        yield gauge("flybridge_heard_age_seconds", "Time since the last message of an app and source.", labels, ages)
        silent = [((one.app, one.source), float(one.silent_ms(now_ms) > 0)) for one in known]
        yield gauge("flybridge_silent", "1 while nothing comes for longer than usual.", labels, silent)
        unstored = [((one.app, one.source), float(one.unstored(now_ms) > 0)) for one in self.state.heard if one.app]
        yield gauge("flybridge_unstored", "1 while the inbox refuses messages.", labels, unstored)
        starts = dict.fromkeys((ALL_ROLES.name, *Role), 0.0) | {one.role: 1.0 for one in self.state.refused_starts}
        text = "1 after a process was not started because its secret is not that of the store."
        yield gauge("flybridge_wrong_secret", text, ("role",), (((role,), value) for role, value in starts.items()))

    def _holds(self) -> Iterator[Metric]:
        held, covered = self.state.holds, self.state.covers
        labels: tuple[str, ...] = ("app", "media_source", "keys", "age")
        waiting = [((row.app, row.media_source, row.keys, row.age), float(row.n)) for row in held]
        yield gauge("flybridge_holds", "Events that wait for their user, by class of age.", labels, waiting)
        labels = ("app", "platform")
        events = [((cover.app, cover.platform), float(cover.events)) for cover in covered]
        yield gauge("flybridge_coverage_events", "Events of today and yesterday (UTC).", labels, events)
        shares = [((cover.app, cover.platform, kind), cover.share(kind)) for cover in covered for kind in cover.carried]
        yield gauge("flybridge_coverage_share", "Of them, those with a kind of key.", (*labels, "kind"), shares)


def gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """Return a gauge with a value for the labels of each row."""
    metric = GaugeMetricFamily(name, text, labels=labels)
    for values, n in rows:
        metric.add_metric(values, n)
    return metric


def _age_s(since_ms: int, now_ms: int) -> float:
    return max(0, now_ms - since_ms) / 1000 if since_ms else 0.0
