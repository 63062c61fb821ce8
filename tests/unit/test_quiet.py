"""Quiet hours by the clocks of a time zone, over midnight and over the changes of summer time."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from flybridge.notifications.settings import Notify, QuietHours

NIGHT = QuietHours(time(22), time(7), "Europe/Berlin")
NOON = QuietHours(time(12), time(13, 30), "America/New_York")


@pytest.mark.parametrize(
    ("hours", "at", "quiet"),
    [
        (NIGHT, "2026-01-15T20:59", False),  # 21:59 in Berlin
        (NIGHT, "2026-01-15T21:00", True),
        (NIGHT, "2026-01-15T23:30", True),
        (NIGHT, "2026-01-16T05:59", True),
        (NIGHT, "2026-01-16T06:00", False),
        (NIGHT, "2026-07-15T19:59", False),  # summer time: an hour earlier
        (NIGHT, "2026-07-15T20:00", True),
        (NIGHT, "2026-07-16T05:00", False),
        (NIGHT, "2026-03-29T01:30", True),  # in the hour that clocks leave out
        (NIGHT, "2026-10-25T00:30", True),  # in the hour that they show twice
        (NOON, "2026-01-15T16:59", False),
        (NOON, "2026-01-15T17:00", True),
        (NOON, "2026-01-15T18:29", True),
        (NOON, "2026-01-15T18:30", False),
        (Notify().quiet, "2026-01-15T00:00", False),
    ],
)
def test_they_follow_the_clocks_of_their_zone(hours, at, quiet):
    """Their end is not one of them."""
    ms = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    assert hours.contain(ms) == quiet
