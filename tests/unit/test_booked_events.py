"""On which day and for which source AppsFlyer books an event of its raw data."""

from __future__ import annotations

import pytest
from msgspec import structs

from flybridge.insight.cohorts import LAST
from flybridge.operations.booked_events import BookedEvents, BookedSums
from flybridge.records import Dimensions, Performance, PerformanceKind

DAY = 20_000
DAYS = range(DAY, DAY + 3)


def labels(kind: str, source: str) -> Dimensions:
    return Dimensions(kind, "", source, "", "", "", "DE", "android")


def began(key: bytes, source: str, day: int = DAY, kind: str = PerformanceKind.INSTALL) -> Performance:
    """Return a conversion with which an installation begins."""
    named = labels(kind, source)
    return Performance(named, day, keys=(key,), begins=True, origin=named, install_day=day, install_s=day * 86_400)


def event(key: bytes, source: str, day: int, revenue: int = 100, *, install_day: int = DAY) -> Performance:
    """Return an event that tells of its installation by itself."""
    return Performance(
        labels(PerformanceKind.EVENT, source), day, revenue, keys=(key,), origin=labels(PerformanceKind.UNSEEN, source),
        install_day=install_day, install_s=install_day * 86_400,
    )  # fmt: skip


def retargeted(key: bytes, source: str, day: int, revenue: int = 100) -> Performance:
    """Return an event within a re-engagement window, which names the time at which the person came back."""
    named = labels(PerformanceKind.RETARGETED_EVENT, source)
    return Performance(named, day, revenue, keys=(key,), install_day=day, install_s=day * 86_400)


def booked(*rows: Performance, rated: bool = True) -> dict[tuple[int, str], BookedSums]:
    """Return what is found, which is the same in any order of the rows."""
    found = []
    for order in (rows, rows[::-1]):
        events = BookedEvents(DAYS)
        for row in order:
            events.add(row, is_rated=rated and not row.begins)
        found.append(events.sums())
    assert found[0] == found[1]
    return found[0]


def test_an_event_is_booked_under_the_source_and_on_the_day_of_the_install():
    """Whatever source brought the person back since."""
    found = booked(began(b"a", "tiktokglobal_int"), retargeted(b"a", "criteo_int", DAY + 2, -250))
    assert found == {(DAY, "tiktokglobal_int"): BookedSums(1, 1, 250, events=1)}


def test_an_event_tells_of_an_install_that_is_not_in_raw_data():
    assert booked(event(b"a", "organic", DAY + 1)) == {(DAY, "organic"): BookedSums(1, 1, 100, events=1)}
    assert booked(retargeted(b"a", "criteo_int", DAY + 1)) == {}


def test_the_earliest_conversion_counts():
    rows = (
        began(b"a", "Facebook Ads", DAY + 1, PerformanceKind.REINSTALL),
        began(b"a", "organic"),
        event(b"a", "Facebook Ads", DAY + 2, install_day=DAY + 1),
    )
    assert booked(*rows) == {(DAY, "organic"): BookedSums(1, 1, 100, events=1)}


@pytest.mark.parametrize(
    "rows",
    [
        (began(b"a", "criteo_int", kind=PerformanceKind.RE_ATTRIBUTION), retargeted(b"a", "criteo_int", DAY)),
        (began(b"a", "organic", DAY - 1), event(b"a", "organic", DAY, install_day=DAY - 1)),
        (Performance(labels(PerformanceKind.EVENT, "organic"), DAY, 100),),
    ],
    ids=["retargeting", "another day", "no installation"],
)
def test_what_is_not_booked_on_these_days_is_left_out(rows):
    assert booked(*rows) == {}


def test_what_happened_after_the_last_day_of_a_cohort_is_told_apart():
    """AppsFlyer books it all the same, and flybridge's cohorts end."""
    rows = (began(b"a", "organic", DAY + 1), *(event(b"a", "organic", DAY + 1 + LAST + n, 10) for n in (0, 1, 5)))
    unknown = structs.replace(event(b"a", "organic", DAY + 100, 0), not_converted=True)
    found = booked(*rows, unknown, rated=False)
    assert found == {(DAY + 1, "organic"): BookedSums(3, late=3, late_revenue=20, late_not_converted=1, events=4)}


def test_what_is_not_known_is_missing_where_it_is_booked():
    """Under the source of the install, whatever its amount; what no cohort counts is not."""
    events = BookedEvents(DAYS)
    events.add(began(b"a", "organic"), is_rated=False, is_missing=True)
    events.add(event(b"a", "organic", DAY + 1, -70), is_rated=False, is_missing=True)
    events.add(event(b"a", "organic", DAY + 2), is_rated=False)
    events.add(event(b"a", "organic", DAY + LAST + 1), is_rated=False, is_missing=True)
    found = events.sums()[DAY, "organic"]
    assert (found.events, found.missing, found.missing_revenue, found.late) == (3, 1, -70, 1)
