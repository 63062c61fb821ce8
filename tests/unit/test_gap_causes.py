"""Why events are missing: by what flybridge did when they happened, and by when AppsFlyer had them."""

from __future__ import annotations

import pytest
from msgspec import structs

from flybridge.history.gap_causes import UNKNOWN, Arrival, arrival_in, arrival_since, cause_of
from flybridge.history.gap_report import GapReport
from flybridge.history.locker_folders import LockerFolder
from flybridge.history.uptime import FIRST, STATE, Uptime
from flybridge.records import DAY_MS, HOUR_MS, day_of

DAY_START_MS = 20_000 * DAY_MS
NOON_MS = DAY_START_MS + 12 * HOUR_MS
NOW_MS = DAY_START_MS + 3 * DAY_MS
RAN = Uptime([(FIRST, str(DAY_START_MS).encode())])
DOWN_AT_NOON = Uptime(
    [(FIRST, str(DAY_START_MS).encode()), (f"{STATE}{NOON_MS - 60_000}", str(NOON_MS + HOUR_MS).encode())]
)
DOWN_AT_NIGHT = Uptime(
    [
        (FIRST, str(DAY_START_MS).encode()),
        (f"{STATE}{DAY_START_MS + 23 * HOUR_MS + 1}", str(DAY_START_MS + 24 * HOUR_MS).encode()),
    ]
)
NIGHT = Arrival(DAY_START_MS + 23 * HOUR_MS, DAY_START_MS + 24 * HOUR_MS)
SOON = Arrival(NOON_MS, NOON_MS + HOUR_MS)
LATE_FOLDER = Arrival(is_late=True)
NEXT_SEARCH = Arrival(NOON_MS + 30 * HOUR_MS, 0, NOON_MS - DAY_MS, NOON_MS + 30 * HOUR_MS)
CASES = [
    # Nothing is known of when AppsFlyer had it.
    ("tiktok", UNKNOWN, RAN, "not_pushed"),
    ("tiktok", UNKNOWN, DOWN_AT_NOON, "outage"),
    ("restricted", UNKNOWN, RAN, "restricted_source"),
    ("Restricted", UNKNOWN, DOWN_AT_NOON, "outage"),
    ("tiktok", UNKNOWN, Uptime([]), "before_start"),
    # The hour of a Data Locker: soon, or hours later, when an outage of then counts and not one of noon.
    ("tiktok", SOON, RAN, "not_pushed"),
    ("tiktok", SOON, DOWN_AT_NOON, "outage"),
    ("tiktok", NIGHT, RAN, "late"),
    ("tiktok", NIGHT, DOWN_AT_NOON, "late"),
    ("tiktok", NIGHT, DOWN_AT_NIGHT, "outage"),
    ("restricted", NIGHT, RAN, "restricted_source"),
    ("tiktok", NIGHT, Uptime([]), "before_start"),
    # The folder of what AppsFlyer calls late does not say when it came.
    ("tiktok", LATE_FOLDER, RAN, "late"),
    ("tiktok", LATE_FOLDER, DOWN_AT_NOON, "outage"),
    # The search before did not meet it.
    ("tiktok", NEXT_SEARCH, RAN, "late"),
    ("tiktok", NEXT_SEARCH, DOWN_AT_NOON, "late"),
    ("tiktok", structs.replace(NEXT_SEARCH, begin_ms=NOON_MS + 1), DOWN_AT_NOON, "outage"),
    ("tiktok", structs.replace(NEXT_SEARCH, end_ms=NOON_MS), RAN, "not_pushed"),
]


@pytest.mark.parametrize(("source", "arrival", "uptime", "cause"), CASES)
def test_each_cause(source, arrival, uptime, cause):
    assert cause_of(source, NOON_MS, arrival, uptime, NOW_MS) == cause


@pytest.mark.parametrize(("hours", "cause"), [(5, "not_pushed"), (6, "late")])
def test_an_event_is_late_after_six_hours(hours, cause):
    arrival = Arrival(NOON_MS + hours * HOUR_MS, NOON_MS + (hours + 1) * HOUR_MS)
    assert cause_of("tiktok", NOON_MS, arrival, RAN, NOW_MS) == cause


@pytest.mark.parametrize(
    ("report", "hour", "arrival"),
    [
        ("inapps", "0", Arrival(DAY_START_MS, DAY_START_MS + HOUR_MS)),
        ("installs", "23", NIGHT),
        ("conversions_retargeting", "late", LATE_FOLDER),
        # Made a day or two later, of which the folder's hour says nothing.
        ("uninstalls", "23", UNKNOWN),
        ("organic_ad_revenue", "late", UNKNOWN),
        ("inapps", "", UNKNOWN),
        ("inapps", "x", UNKNOWN),
    ],
)
def test_a_folder_says_when_appsflyer_had_its_rows(report, hour, arrival):
    assert arrival_in(LockerFolder(report, day_of(DAY_START_MS), hour)) == arrival


def test_a_folder_whose_day_is_none_says_nothing():
    assert arrival_in(LockerFolder("inapps", "all", "1")) == UNKNOWN


BEFORE = GapReport(
    "shop", DAY_START_MS, NOON_MS, NOON_MS + HOUR_MS, 9, 7, 2, 2, reports=("ad_revenue_raw", "installs_report")
)


@pytest.mark.parametrize(
    ("before", "report", "is_known"),
    [
        (BEFORE, "installs_report", True),
        (None, "installs_report", False),
        # What it left missing may be what is missing still.
        (structs.replace(BEFORE, filled=1), "installs_report", False),
        # It did not compare all of the report, or what is made days later.
        (BEFORE, "organic_installs_report", False),
        (BEFORE, "ad_revenue_raw", False),
        # A Data Locker lags behind, and has reports of the same name.
        (structs.replace(BEFORE, reports=("installs", "reinstalls")), "reinstalls", False),
    ],
)
def test_what_the_search_before_did_not_meet_appsflyer_had_not(before, report, is_known):
    expected = Arrival(NOON_MS, 0, DAY_START_MS, NOON_MS) if is_known else UNKNOWN
    assert arrival_since(before, report) == expected
