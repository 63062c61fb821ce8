"""How `flybridge gaps` prints what is missing: so that a person can read it, however much it is."""

from __future__ import annotations

import pytest

from flybridge.cli.read_history import SHOWN, shown_gaps
from flybridge.history.gap_report import Gap


def hours(n: int, *, days: int = 1, report: str = "installs_report", cause: str = "outage") -> list[Gap]:
    """Return gaps of so many hours each day."""
    return [
        Gap(report, f"2026-{3 + day // 28:02}-{1 + day % 28:02} {hour:02}:00", cause, 1 + hour)
        for day in range(days)
        for hour in range(n)
    ]


def test_a_few_are_shown_by_hour():
    assert shown_gaps(hours(2)) == [
        ("installs_report", "2026-03-01 00:00", 1, "outage"),
        ("installs_report", "2026-03-01 01:00", 2, "outage"),
    ]


def test_more_are_shown_by_day():
    found = shown_gaps(hours(24, days=3))
    assert found == [("installs_report", f"2026-03-0{day}", 300, "outage") for day in (1, 2, 3)]


@pytest.mark.parametrize("days", [SHOWN + 1, 200])
def test_many_days_are_shown_as_one_span_for_each_report_and_cause(days):
    gaps = [*hours(1, days=days), *hours(1, days=1, cause="not_pushed"), *hours(2, days=days, report="reinstalls")]
    last = hours(1, days=days)[-1].hour[:10]
    assert shown_gaps(gaps) == [
        ("installs_report", "2026-03-01", 1, "not_pushed"),
        ("installs_report", f"2026-03-01 to {last}", days, "outage"),
        ("reinstalls", f"2026-03-01 to {last}", 3 * days, "outage"),
    ]


def test_nothing_is_shown_of_nothing():
    assert shown_gaps([]) == []
