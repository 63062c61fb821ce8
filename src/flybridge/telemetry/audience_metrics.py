"""Metrics of audiences: the state of each, and the outcomes of its runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from flybridge.store.audiences.records import Run, Standing
from flybridge.telemetry.metrics import gauge

LABELS: Final = ("app", "audience")

FIGURES: Final[tuple[tuple[str, str, Callable[[Standing], float]], ...]] = (
    ("flybridge_audience_people", "Members of the cohort in Amplitude.", lambda one: one.people),
    ("flybridge_audience_lacking", "Members without an identifier that may be sent.", lambda one: one.lacking),
    ("flybridge_audience_listed", "Devices that AppsFlyer has accepted.", lambda one: one.listed),
    ("flybridge_audience_refused", "Devices that AppsFlyer does not take.", lambda one: one.refused),
    (
        "flybridge_audience_held_people",
        "People a snapshot would remove, held by the shrink guard.",
        lambda one: one.held,
    ),
    ("flybridge_audience_failures", "Runs that failed since the last that did not.", lambda one: one.tries),
    ("flybridge_audience_run_timestamp_seconds", "When it ran last.", lambda one: one.ran_ms / 1000),
    (
        "flybridge_audience_snapshot_timestamp_seconds",
        "As of when the whole cohort was taken over last.",
        lambda one: one.snapshot_ms / 1000,
    ),
    (
        "flybridge_audience_in_step_timestamp_seconds",
        "When nothing was left to be sent.",
        lambda one: one.complete_ms / 1000,
    ),
)


class AudienceMetrics(Collector):
    """The figures of all audiences last passed to `standing`, and counters of runs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._standings: Sequence[Standing] = ()
        self._stopped: Collection[tuple[str, str]] = ()
        self._runs = Counter(
            "flybridge_audience_runs", "Runs of an audience, by outcome.", (*LABELS, "outcome"), registry=registry
        )
        self._sent = Counter(
            "flybridge_audience_sent", "Devices that AppsFlyer has taken in.", (*LABELS, "action"), registry=registry
        )
        registry.register(self)

    def ran(self, app: str, audience: str, run: Run) -> None:
        """Count one run."""
        self._runs.labels(app, audience, run.outcome).inc()
        for action, n in (("add", run.added), ("remove", run.removed)):
            self._sent.labels(app, audience, action).inc(n)

    def standing(self, standings: Sequence[Standing], stopped: Collection[tuple[str, str]]) -> None:
        """Replace the figures of audiences. `stopped` are the apps and names of those that wait for an operator."""
        self._standings = standings
        self._stopped = stopped

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; called by the registry."""
        names = [(one.app, one.name) for one in self._standings]
        for name, text, figure in FIGURES:
            yield gauge(name, text, LABELS, zip(names, map(figure, self._standings), strict=True))
        text = "1 while an audience has stopped and waits for an operator."
        yield gauge("flybridge_audience_stopped", text, LABELS, ((one, float(one in self._stopped)) for one in names))
        pending = [
            ((one.app, one.name, action), n)
            for one in self._standings
            for action, n in (("add", one.to_add), ("remove", one.to_remove))
        ]
        text = "Devices to be added or removed."
        yield gauge("flybridge_audience_pending", text, (*LABELS, "action"), pending)
