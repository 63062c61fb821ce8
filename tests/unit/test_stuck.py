"""What is stuck is said, with what to do, by any process."""

import pytest

from flybridge.delivery.circuit import CLOSED, Circuit, CircuitRules, failed, halted
from flybridge.delivery.exchange import Halt
from flybridge.delivery.lane_reports import LaneReport, WorkerReport, reporting, write_report
from flybridge.operations.stuck import sealed_checks, sending_checks
from flybridge.sealing import Seal
from flybridge.store.figures import Count
from flybridge.store.records import Lane, LaneDepth
from flybridge.store.sqlite.store import SqliteStore

NOW = 1_767_225_600_000
LANE = Lane("shop", "http_v2")
RULES = CircuitRules(threshold=1)
HALTED = halted(CLOSED, Halt("invalid_api_key", "Check the key."), NOW - 30_000, RULES, "api2 answered 400: Invalid")
OUTAGE = failed(CLOSED, "server_error_503", NOW - 30_000, RULES, "api2 answered 503")
LONG_OUTAGE = failed(CLOSED, "server_error_503", NOW - 3_000_000, RULES, "api2 answered 503")


@pytest.mark.parametrize(
    ("circuit", "later", "late_s", "workers", "configured", "ok", "warning", "says"),
    [
        (CLOSED, 0, 1, 1, True, True, False, "none is stuck"),
        (CLOSED, 2, 1, 1, True, True, True, "2 events could not be sent, and wait for another try"),
        (CLOSED, 1, 1, 1, True, True, True, "1 event could not be sent, and waits for another try"),
        (HALTED, 2, 1, 1, True, False, False, "is halted for 30 s: invalid_api_key (api2 answered 400: Invalid)"),
        (OUTAGE, 2, 1, 1, True, True, True, "is paused for 30 s: server_error_503 (api2 answered 503). 8 events wait"),
        (LONG_OUTAGE, 2, 1, 1, True, False, False, "is paused for 50 min"),
        (CLOSED, 0, 3600, 1, True, True, True, "due, one for 1 h"),
        (CLOSED, 0, 1, 0, True, True, True, "no process sends"),
        (CLOSED, 2, 1, 1, False, False, False, "the configuration has no such lane"),
    ],
)
def test_each_state_of_a_lane_is_said(
    *, circuit: Circuit, later: int, late_s: int, workers: int, configured: bool, ok: bool, warning: bool, says: str
) -> None:
    """With how long, why, what the vendor said, how many wait, and what to do."""
    depths = [LaneDepth(LANE, 5, later, 1, NOW - late_s * 1000)]
    reports = {} if circuit is CLOSED else {LANE: LaneReport("shop", "http_v2", circuit)}
    (check,) = sending_checks(depths, reports, [LANE] if configured else [], NOW, workers=workers)
    assert (check.ok, check.warning) == (ok, warning)
    assert says in check.detail


def test_dead_letters_that_cannot_be_opened_are_said() -> None:
    """And no others."""
    counts = [Count("shop", "2026-01-01", "push", "dead", reason, 3) for reason in ("sealed", "too_large")]
    (check,) = sealed_checks([*counts, Count("shop", "2026-01-02", "push", "dead", "sealed", 1)])
    assert check.detail.startswith("4 dead letters can't be opened")
    assert sealed_checks(counts[1:]) == []


async def test_it_is_known_which_workers_run(tmp_path) -> None:
    """By their reports, for three minutes."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"a secret for tests only"))
    await store.open()
    try:
        assert await reporting(store, NOW) == 0
        await write_report(store, WorkerReport("worker-1", NOW, ()))
        assert await reporting(store, NOW) == 1
        assert await reporting(store, NOW + 200_000) == 0
    finally:
        await store.close()
