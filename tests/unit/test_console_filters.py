"""The question of a page as it stands in the address, and its way back into an address."""

from __future__ import annotations

from datetime import date
from urllib.parse import parse_qsl

import pytest

from flybridge.errors import ConfigError
from flybridge.insight.performance import AppScope
from flybridge.insight.question import asked
from flybridge.store.performance import date_of, day_number
from flybridge.web.console.filters import PERIODS, filters_of, span_of

TODAY = day_number(date(2026, 3, 15))
SCOPES = [AppScope("shop", "USD", {}, "ios", TODAY)]


def days(first: str, last: str) -> tuple[int, int]:
    """Return two days as numbers."""
    return day_number(date.fromisoformat(first)), day_number(date.fromisoformat(last))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("yesterday", "2026-03-14", "2026-03-14"),
        ("7d", "2026-03-08", "2026-03-14"),
        ("28d", "2026-02-15", "2026-03-14"),
        ("90d", "2025-12-15", "2026-03-14"),
        ("month", "2026-03-01", "2026-03-15"),
        ("last-month", "2026-02-01", "2026-02-28"),
    ],
)
def test_each_named_period_has_its_days(name, first, last):
    """All but the running month end yesterday, because today is not over."""
    assert name in PERIODS
    assert span_of(name, TODAY) == days(first, last)
    found = filters_of({"period": name}, SCOPES)
    assert (found.first, found.last) == days(first, last)


EAST_AND_WEST = [AppScope("east", "USD", {}, "ios", TODAY + 1), AppScope("west", "USD", {}, "ios", TODAY)]


@pytest.mark.parametrize(
    ("app", "last"), [("", "2026-03-14"), ("west", "2026-03-14"), ("east", "2026-03-15"), ("none", "2026-03-14")]
)
def test_periods_end_on_a_day_that_is_over_in_every_app(app, last):
    """A day of which one app has a part would be compared with whole days."""
    for name in ("yesterday", "7d", "28d", "90d"):
        found = filters_of({"period": name, "app": app}, EAST_AND_WEST)
        assert (name, found.period, found.last) == (name, name, day_number(date.fromisoformat(last)))
    assert asked({}, EAST_AND_WEST).last == TODAY - 1


def test_another_app_has_its_own_days_of_the_same_period():
    """The form sends the dates of the app that was shown before."""
    for before, after in (("", "east"), ("east", "west"), ("east", ""), ("west", "east")):
        shown = filters_of({"app": before}, EAST_AND_WEST)
        dates = {"from": f"{date_of(shown.first)}", "to": f"{date_of(shown.last)}"}
        found = filters_of({"period": "28d", **dates, "app": after}, EAST_AND_WEST)
        assert found == filters_of({"app": after}, EAST_AND_WEST)


def test_dates_count_only_if_they_differ_from_the_named_period():
    """A form sends the dates of the period that it shows along with its name."""
    same = filters_of({"period": "7d", "from": "2026-03-08", "to": "2026-03-14"}, SCOPES)
    other = filters_of({"period": "7d", "from": "2026-03-01", "to": "2026-03-14"}, SCOPES)
    assert same.period == "7d"
    assert (other.period, other.first) == ("custom", days("2026-03-01", "2026-03-01")[0])


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"period": "7d", "media_source": "Facebook Ads", "campaign": "a & b=c", "country": "de"},
        {"from": "2026-01-01", "to": "2026-01-31", "organic": "off", "view": "unified", "booking": "install"},
        {"compare": "year", "app": "shop", "platform": "ios", "horizon": "0"},
    ],
)
def test_a_question_survives_its_own_address(query):
    """What a link says is what the page answers."""
    asked = filters_of(query, SCOPES)
    assert filters_of(dict(parse_qsl(asked.query())), SCOPES) == asked


def test_a_country_is_found_by_either_of_its_codes():
    """A link may say GB, and AppsFlyer says UK."""
    assert [filters_of({"country": code}, SCOPES).country for code in ("gb", "UK", "de", "")] == ["UK", "UK", "DE", ""]


def test_what_is_usual_is_not_in_the_address():
    """A link without filters is short."""
    assert filters_of({}, SCOPES).query() == ""
    assert filters_of({"campaign": "x"}, SCOPES).query(campaign="") == ""


@pytest.mark.parametrize(
    ("compare", "first", "last"),
    [("before", "2026-03-01", "2026-03-07"), ("year", "2025-03-09", "2025-03-15")],
)
def test_it_is_compared_with_as_many_days(compare, first, last):
    """A year before begins on the same day of the week."""
    earlier = filters_of({"period": "7d", "compare": compare}, SCOPES).compared()
    assert earlier is not None
    assert (earlier.first, earlier.last) == days(first, last)
    assert filters_of({"compare": "off"}, SCOPES).compared() is None


@pytest.mark.parametrize(
    "query",
    [
        {"period": "<script>"}, {"view": "all"}, {"booking": "x"}, {"compare": "week"}, {"horizon": "8"},
        {"from": "2026-02-30"}, {"from": "2026-03-10", "to": "2026-03-01"}, {"from": "1999-01-01", "to": "2026-01-01"},
    ],
)  # fmt: skip
def test_what_can_not_be_answered_names_the_part(query):
    """The address is typed, too."""
    with pytest.raises(ConfigError) as refused:
        filters_of(query, SCOPES)
    assert refused.value.path in {*query, "to"}
