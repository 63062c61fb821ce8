"""Which hours a Data Locker has nothing to read of."""

from __future__ import annotations

import pytest

from flybridge.history.locker_folders import LockerFolder
from flybridge.history.surplus import Compared, absent_hours
from flybridge.records import DAY_MS, HOUR_MS

DAY = "2026-01-09"
DAY_MS_OF = 1_767_916_800_000
ALL = range(24)


def folders(report, hours, *, marked=True):
    return [LockerFolder(report, DAY, str(hour), is_complete=marked) for hour in hours]


@pytest.mark.parametrize(
    ("found", "absent"),
    [
        (folders("inapps", ALL), []),
        (folders("inapps", [hour for hour in ALL if hour != 7]), [7]),
        # Another report has the hour, and this one has nearly all others.
        (folders("inapps", [hour for hour in ALL if hour != 7]) + folders("installs", ALL), [7]),
        # Hours without rows may have no folder.
        (folders("inapps", range(8)) + folders("installs", ALL), []),
        (folders("inapps", range(8)) + folders("installs", range(20)), [20, 21, 22, 23]),
        # One is not finished, where others are; in a copy without marks all count.
        (folders("inapps", ALL[1:]) + folders("inapps", [0], marked=False), [0]),
        (folders("inapps", ALL, marked=False), []),
        (folders("inapps", [""]), []),
        (folders("inapps", ["late"]), list(ALL)),
        ([], list(ALL)),
    ],
)
def test_an_hour_is_absent_if_the_data_locker_has_not_finished_it(found, absent):
    hours = absent_hours(found, DAY_MS_OF, DAY_MS_OF + DAY_MS)["event"]
    assert [(hour_ms - DAY_MS_OF) // HOUR_MS for hour_ms in hours] == absent


@pytest.mark.parametrize(
    ("sent", "zone_h", "is_absent"),
    [
        (6, 0, False),  # it was sent before the hour
        (7, 0, True),
        (40, 0, True),
        (40, 8, False),  # the app's day begins after it
        (40, 7, True),
    ],
)
def test_an_event_may_be_in_an_hour_between_its_day_and_when_it_was_sent(sent, zone_h, is_absent):
    day = DAY_MS_OF // DAY_MS
    compared = Compared(
        (), {}, range(0), 0, 0, absent={"event": [DAY_MS_OF + 7 * HOUR_MS]},
        begin=lambda one: one * DAY_MS + zone_h * HOUR_MS,
    )  # fmt: skip
    assert compared.may_be_absent("event", day, DAY_MS_OF + sent * HOUR_MS) is is_absent
    assert not compared.may_be_absent("install", day, DAY_MS_OF + sent * HOUR_MS)
