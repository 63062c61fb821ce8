"""Checks of what may be stuck on its way out: lanes, and dead letters that can't be opened. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from flybridge.delivery.circuit import Phase
from flybridge.delivery.lane_reports import LaneReport
from flybridge.operations.doctor import Check
from flybridge.records import OutcomeKind
from flybridge.store.figures import Count
from flybridge.store.records import Lane, LaneDepth
from flybridge.system.counted import plural, span

LONG_MS: Final = 600_000
"""An outage that is longer, or an event that is due for longer, is no passing matter."""


def sending_checks(
    depths: Sequence[LaneDepth],
    reports: Mapping[Lane, LaneReport],
    configured: Collection[Lane],
    now_ms: int,
    *,
    workers: int,
) -> list[Check]:
    """Check each lane that holds deliveries or is paused. One check that all is well if none is stuck."""
    waiting = {depth.lane: depth for depth in depths}
    found = [
        check
        for lane in sorted({*waiting, *reports})
        if (check := _sending(lane, waiting.get(lane), reports.get(lane), configured, now_ms, workers=workers))
    ]
    return found or [Check("sending", True, f"{len(configured)} lanes, none is stuck.")]


def _sending(
    lane: Lane,
    depth: LaneDepth | None,
    report: LaneReport | None,
    configured: Collection[Lane],
    now_ms: int,
    *,
    workers: int,
) -> Check | None:
    name, waiting = f"sending {lane.app} {lane.endpoint}", depth.waiting if depth else 0
    late_ms = now_ms - depth.oldest_ms if depth and depth.oldest_ms else 0
    circuit = report.circuit if report else None
    if lane not in configured:
        if not waiting:
            return None
        remedy = "Configure the app and the route that they were filed for, or take them out with `flybridge lanes`."
        return Check(name, False, f"{_wait(waiting)}, and the configuration has no such lane. {remedy}")
    if circuit is not None and circuit.phase is not Phase.CLOSED:
        for_ms = now_ms - circuit.since_ms
        answer = f" ({circuit.words})" if circuit.words else ""
        state = "is halted" if circuit.halted else "is paused"
        detail = f"{state} for {span(for_ms)}: {circuit.reason}{answer}. {_wait(waiting)}. {circuit.remedy}"
        passing = not circuit.halted and for_ms < LONG_MS
        return Check(name, passing, detail, warning=passing)
    if depth is not None and depth.later:
        later = plural(depth.later, "event could not be sent, and waits", "events could not be sent, and wait")
        detail = f"{later} for another try: see `flybridge lanes`."
        return Check(name, True, detail, warning=True)
    if depth is None or not depth.due:
        return None
    if not workers:
        return Check(name, True, f"{_wait(waiting)}, and no process sends: start `flybridge serve`.", warning=True)
    if late_ms >= LONG_MS:
        due = plural(depth.due, "event is due", "events are due, one")
        detail = f"{due} for {span(late_ms)}: more is filed than is sent, or see the log."
        return Check(name, True, detail, warning=True)
    return None


def sealed_checks(counts: Iterable[Count]) -> list[Check]:
    """Warn of dead letters whose content can't be opened."""
    n = sum(count.n for count in counts if count.outcome == OutcomeKind.DEAD and count.reason == "sealed")
    if not n:
        return []
    detail = (
        f"{n} dead letters can't be opened: if `secret` was changed put the former one into `former_secrets`, restart, "
        "and replay them."
    )
    return [Check("sealed", True, detail, warning=True)]


def _wait(n: int) -> str:
    return plural(n, "event waits", "events wait")
