"""One log line per hop and its metrics, emitted once from the values the core returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from msgspec import structs

from flybridge.delivery.circuit import Circuit
from flybridge.delivery.observer import Exchange
from flybridge.errors import FlybridgeError
from flybridge.insight.causes import UNEXPLAINED
from flybridge.insight.cohort_comparison import CohortComparison
from flybridge.insight.comparison import DayComparison, events_by_cause
from flybridge.insight.coverage import Fall
from flybridge.insight.native import REASON as NATIVE
from flybridge.mapping.to_appsflyer.map import is_late
from flybridge.records import Filing
from flybridge.store.audiences.records import Run
from flybridge.store.records import Filed, Lane, WaitedForInstallation
from flybridge.store.server_clock import clock_sentence
from flybridge.telemetry.audience_metrics import AudienceMetrics
from flybridge.telemetry.metrics import Metrics


class Reporter:
    """Writes what the flow, the worker and audiences did to the log and the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.audiences = AudienceMetrics(metrics.registry)
        self._native: set[str] = set()
        self._jumped = False
        self._differs = False
        self._fallen: set[tuple[str, str, str, str]] = set()
        self._log = structlog.get_logger("flybridge")

    def filed(self, filings: Sequence[Filing], outcome: Filed) -> None:
        """Report a filed batch."""
        for one in filings:
            for remark in one.remarks:
                self._metrics.remarks.labels(one.envelope.app, remark).inc()
        for waited in outcome.waited:
            if _became_late(waited):
                self._metrics.remarks.labels(waited.app, "late").inc()
        for ended, n in outcome.outcomes.items():
            self._metrics.filed.labels(ended).inc(n)
        self._metrics.matched.inc(outcome.matched)
        for app in {one.envelope.app for one in filings if NATIVE in one.remarks} - self._native:
            self._native.add(app)
            problem = "Amplitude's own AppsFlyer integration is on, too: its events are in the stream. Switch it off."
            self._log.warning(NATIVE, app=app, problem=problem)
        repeated = {"repeated": outcome.repeated} if outcome.repeated else {}
        self._log.info("filed", n=len(filings), matched=outcome.matched, **repeated, **outcome.outcomes)

    def expired(self, n: int) -> None:
        """Report holds that ended unmatched."""
        self._log.info("expired", n=n)

    def fell(self, falls: Iterable[Fall]) -> None:
        """Report, once each, kinds of key that fewer events carry than before."""
        for fall in falls:
            name = (fall.app, fall.platform, fall.kind, fall.since)
            if name not in self._fallen:
                self._fallen.add(name)
                self._log.warning("coverage", app=fall.app, kind=fall.kind, since=fall.since, problem=fall.sentence)

    def ran(self, app: str, audience: str, run: Run) -> None:
        """Report a run of an audience."""
        self.audiences.ran(app, audience, run)
        fields = {
            name: value for name, value in structs.asdict(run).items() if value not in ("", 0) or name == "outcome"
        }
        seconds = (fields.pop("ended_ms", 0) - fields.pop("began_ms", 0)) / 1000
        self._log.info("synced", app=app, audience=audience, seconds=seconds, **fields)

    def pulled_costs(self, app: str, origin: str, rows: int) -> None:
        """Report costs that were pulled."""
        self._log.info("costs", app=app, origin=origin, rows=rows)

    def read(self, app: str, source: str, rows: int) -> None:
        """Report rows that were read from reports or a Data Locker."""
        if rows:
            self._log.info("read", app=app, source=source, rows=rows)

    def gaps(self, app: str, rows: int, missing: int, filled: int) -> None:
        """Report how many events of AppsFlyer's reports were missing, and how many of them were filled."""
        self._metrics.gaps.labels(app, "missing").inc(missing)
        self._metrics.gaps.labels(app, "filled").inc(filled)
        write = self._log.warning if missing else self._log.info
        write("gaps", app=app, rows=rows, missing=missing, filled=filled)

    def compared(self, app: str, days: Sequence[DayComparison]) -> None:
        """Report a comparison of counts: by how many events each cause explains, and how many none does."""
        events = events_by_cause(days)
        for cause, n in events.items():
            self._metrics.differences.labels(app, cause).set(n)
        write = self._log.warning if events[UNEXPLAINED] else self._log.info
        found = {cause: n for cause, n in events.items() if n}
        notes = len({note for day in days for note in day.notes})
        write("compared", app=app, days=len(days), notes=notes, **found)

    def compared_cohorts(self, app: str, days: Sequence[CohortComparison]) -> None:
        """Report a comparison of cohorts."""
        self._log.info("compared_cohorts", app=app, days=len(days))

    def notified(self, channel: str, outcome: str, problem: str) -> None:
        """Report a message to people that was `sent`, `failed`, or `given_up`."""
        self._metrics.notifications.labels(channel, outcome).inc()
        write = self._log.warning if problem else self._log.info
        write("notified", channel=channel, outcome=outcome, **({"problem": problem} if problem else {}))

    def on_clock(self, jump_s: float) -> None:
        """The clock has jumped by so much, or has not (any more). Logged when that changes."""
        self._metrics.jump_s.set(jump_s)
        jumped = bool(jump_s)
        if jumped == self._jumped:
            return
        self._jumped = jumped
        if jumped:
            problem = (
                "The machine's clock has jumped, or the process was away that long: nothing expires and nothing is "
                "pruned until the new time has been steady for 15 minutes. If it is wrong, set it right before that."
            )
            self._log.warning("clock", jump_s=round(jump_s), problem=problem)
        else:
            self._log.info("clock", jump_s=0)

    def on_server_clock(self, ahead_ms: int) -> None:
        """The clock of the store's server is ahead by so much. Logged when a difference begins or ends."""
        self._metrics.clock_ahead_s.set(-ahead_ms / 1000)
        problem = clock_sentence(ahead_ms)
        if bool(problem) == self._differs:
            return
        self._differs = bool(problem)
        write = self._log.warning if problem else self._log.info
        write("clock", ahead_s=round(-ahead_ms / 1000), **({"problem": problem} if problem else {}))

    def failed(self, problem: FlybridgeError) -> None:
        """Report a step that failed and will be tried again."""
        self._log.error("failed", kind=type(problem).__name__, problem=str(problem))

    def on_exchange(self, exchange: Exchange) -> None:
        """Report one request to a vendor."""
        self._metrics.attempted(exchange.lane, exchange.verdicts, exchange.seconds, exchange.ages_s)
        self._log.info(
            "attempted",
            app=exchange.lane.app,
            endpoint=exchange.lane.endpoint,
            status=exchange.status,
            ms=round(exchange.seconds * 1000),
            reason=exchange.reason,
            **({"answer": exchange.words} if exchange.words else {}),
            **exchange.counts(),
        )

    def sends_through(self, lanes: Iterable[Lane]) -> None:
        """Note the lanes of this process, so that each has its figures from the start."""
        for lane in lanes:
            self._metrics.circuit.labels(lane.app, lane.endpoint).set(0)

    def on_circuit(self, lane: Lane, circuit: Circuit) -> None:
        """Report a lane that stopped or sends again."""
        self._metrics.circuit.labels(lane.app, lane.endpoint).set(circuit.phase != "closed")
        self._log.warning(
            "circuit",
            app=lane.app,
            endpoint=lane.endpoint,
            phase=circuit.phase.value,
            reason=circuit.reason,
            answer=circuit.words,
            remedy=circuit.remedy,
            until_ms=circuit.until_ms,
        )

    def on_trouble(self, lane: Lane | None, error: Exception) -> None:
        """Report an unexpected exception of the store, an endpoint or the transport."""
        where = {"app": lane.app, "endpoint": lane.endpoint} if lane else {}
        self._log.error("trouble", kind=type(error).__name__, problem=str(error), **where)


def _became_late(waited: WaitedForInstallation) -> bool:
    """Whether AppsFlyer stamps an event with its arrival because it has waited."""
    if waited.event_ms == waited.received_ms:
        return False  # it has no time: AppsFlyer always does
    return is_late(waited.event_ms, waited.found_ms) and not is_late(waited.event_ms, waited.received_ms)
