"""What a search for gaps says about one day of an app."""

from __future__ import annotations

import pytest

from flybridge.history.gap_report import Gap, GapReport
from flybridge.operations.known_gaps import known_gap
from flybridge.records import DAY_MS, HOUR_MS

DAY_START_MS = 1_772_409_600_000  # 2026-03-02 00:00 UTC


def searched(*gaps: Gap, first_ms: int = DAY_START_MS - DAY_MS, last_ms: int = DAY_START_MS + 2 * DAY_MS) -> GapReport:
    missing = sum(gap.missing for gap in gaps)
    return GapReport("shop", first_ms, last_ms, last_ms, 100, 100 - missing, missing, 0, gaps)


def test_each_report_tells_of_its_kinds():
    """Organic and not together; which of two kinds of retargeting is missing is not known."""
    found = known_gap(
        searched(
            Gap("installs_report", "2026-03-02 07:00", "outage", 4),
            Gap("organic_installs_report", "2026-03-02 08:00", "outage", 2),
            Gap("organic_installs_report", "2026-03-02 09:00", "not_pushed", 1),
            Gap("installs-retarget", "2026-03-02 09:00", "not_pushed", 3),
            Gap("installs_report", "2026-03-02 09:00", "restricted_source", 9),
            Gap("in_app_events_report", "2026-03-02 09:00", "outage", 50),
        ),
        DAY_START_MS,
        DAY_START_MS + DAY_MS,
    )
    assert found is not None
    assert found.missing == {"install": 7, "re-engagement": 3, "re-attribution": 3}
    assert found.causes == {"install": "outage", "re-engagement": "not_pushed", "re-attribution": "not_pushed"}


@pytest.mark.parametrize(("hour", "counts"), [("17:00", False), ("18:00", True), ("19:00", True)])
def test_a_day_that_begins_at_half_past_has_the_hour_in_which_it_does(hour, counts):
    """Asia/Kolkata begins its second of March at 18:30 UTC on the first."""
    gap = Gap("installs_report", f"2026-03-01 {hour}", "outage", 4)
    begin_ms = DAY_START_MS - 5 * HOUR_MS - HOUR_MS // 2
    found = known_gap(searched(gap), begin_ms, begin_ms + DAY_MS)
    assert found is not None
    assert found.missing == ({"install": 4} if counts else {})


@pytest.mark.parametrize(("first_ms", "last_ms"), [(DAY_START_MS + 1, 2**50), (0, DAY_START_MS + DAY_MS - 1)])
def test_a_search_of_a_part_of_the_day_tells_nothing(first_ms, last_ms):
    report = searched(first_ms=first_ms, last_ms=last_ms)
    assert known_gap(report, DAY_START_MS, DAY_START_MS + DAY_MS) is None
