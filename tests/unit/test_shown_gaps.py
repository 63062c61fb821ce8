"""How `flybridge gaps` prints what is missing: so that a person can read it, however much it is."""

from __future__ import annotations

import pytest

from flybridge.cli.gap_tables import SHOWN, shown_gaps
from flybridge.history.gap_report import Gap
from flybridge.history.source_counts import OTHERS


def hours(
    n: int, *, days: int = 1, report: str = "installs_report", cause: str = "outage", source: str = "tiktok"
) -> list[Gap]:
    """Return gaps of so many hours each day."""
    return [
        Gap(report, f"2026-{3 + day // 28:02}-{1 + day % 28:02} {hour:02}:00", cause, 1 + hour, source)
        for day in range(days)
        for hour in range(n)
    ]


def test_a_few_are_shown_by_hour_and_source():
    gaps = [*hours(2), *hours(2, source="organic")]
    assert shown_gaps(gaps) == gaps


def test_more_are_shown_by_day_and_source():
    found = shown_gaps([*hours(24, days=3), *hours(1, source="organic")])
    assert found == [
        Gap("installs_report", "2026-03-01", "outage", 1, "organic"),
        *(Gap("installs_report", f"2026-03-0{day}", "outage", 300, "tiktok") for day in (1, 2, 3)),
    ]


@pytest.mark.parametrize("days", [SHOWN + 1, 200])
def test_many_days_are_shown_as_one_span_for_each_report_cause_and_source(days):
    gaps = [*hours(1, days=days), *hours(1, days=1, cause="not_pushed"), *hours(2, days=days, report="reinstalls")]
    gaps += hours(1, days=2, source="organic")
    last = hours(1, days=days)[-1].hour[:10]
    assert shown_gaps(gaps) == [
        Gap("installs_report", "2026-03-01", "not_pushed", 1, "tiktok"),
        Gap("installs_report", "2026-03-01 to 2026-03-02", "outage", 2, "organic"),
        Gap("installs_report", f"2026-03-01 to {last}", "outage", days, "tiktok"),
        Gap("reinstalls", f"2026-03-01 to {last}", "outage", 3 * days, "tiktok"),
    ]


@pytest.mark.parametrize(("reports", "named"), [(1, 20), (3, 5), (8, 5), (16, 2), (30, 0), (48, 0)])
def test_many_sources_are_shown_by_the_largest_of_them(reports, named):
    """As many as leave a table that can be read; the sum is that of all."""
    gaps = [
        gap
        for report in range(reports)
        for number in range(20)
        for gap in hours(3, days=4, report=f"report-{report:02}", source=f"source-{number:02}")
        for _ in range(number + 1)
    ]
    found = shown_gaps(gaps)
    assert len(found) <= SHOWN
    assert sum(gap.missing for gap in found) == sum(gap.missing for gap in gaps)
    expected = {f"source-{number:02}" for number in range(20 - named, 20)}
    assert {gap.media_source for gap in found} - {OTHERS} == expected
    assert (OTHERS in {gap.media_source for gap in found}) == (named < 20)


def test_nothing_is_shown_of_nothing():
    assert shown_gaps([]) == []
