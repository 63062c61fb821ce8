"""What explains that the revenue of a day differs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flybridge.insight.comparison import ALL_EVENTS
from flybridge.insight.converted_revenue import CohortRevenue
from flybridge.insight.reconcile import DayEvidence
from flybridge.insight.reconcile_revenue import RevenueEvidence, compare_revenue

EURO = 1_000_000


def rated(amount: int) -> CohortRevenue:
    """Return the revenue of one event that was converted by the rate table."""
    return CohortRevenue(amount, rated=1, rated_amount=amount)


def parts(booked: Mapping[str, int], cohorts: Mapping[str, CohortRevenue]) -> dict[str, dict[str, int]]:
    """Return by source what explains the difference of all in-app events; nothing may be left."""
    evidence = DayEvidence("shop", 1, 0, is_final=True, counted=[], outcomes=[], name_of=lambda _, event: event)
    rows = compare_revenue(evidence, RevenueEvidence(booked=booked, cohorts=cohorts), [])
    assert all(row.key.event == ALL_EVENTS and row.unexplained("appsflyer") == 0 for row in rows)
    found = {row.key.media_source: {part.code: part.n for part in row.parts} for row in rows}
    return {source: {code: n for code, n in of.items() if code != "booking_day"} for source, of in found.items()}


@pytest.mark.parametrize("name", ["restricted", "organic"])
def test_what_is_withheld_and_was_converted_is_withheld_first(name: str) -> None:
    """The rate explains what AppsFlyer's own rate makes of it, and not the whole amount."""
    assert parts({"Facebook Ads": 12 * EURO, name: 0}, {name: rated(12 * EURO + 100_000)}) == {
        "Facebook Ads": {"restricted": -12 * EURO},
        name: {"restricted": 12 * EURO, "rate": 100_000},
    }


@pytest.mark.parametrize("name", ["restricted", "organic"])
def test_what_is_withheld_may_be_refunds(name: str) -> None:
    """What was paid back after an install of that day. What a named source has more is withheld from none."""
    assert parts({"Facebook Ads": -12 * EURO, name: 0}, {name: CohortRevenue(-12 * EURO)}) == {
        "Facebook Ads": {"restricted": 12 * EURO},
        name: {"restricted": -12 * EURO},
    }
    evidence = DayEvidence("shop", 1, 0, is_final=True, counted=[], outcomes=[], name_of=lambda _, event: event)
    booked, cohorts = {"Facebook Ads": 0, name: 12 * EURO}, {"Facebook Ads": CohortRevenue(12 * EURO)}
    rows = compare_revenue(evidence, RevenueEvidence(booked=booked, cohorts=cohorts), [])
    assert sorted(row.unexplained("appsflyer") or 0 for row in rows) == [-12 * EURO, 12 * EURO]


@pytest.mark.parametrize("source", ["Facebook Ads", "restricted", "organic"])
@pytest.mark.parametrize("difference", [-100_000, 100_000])
def test_the_rate_explains_what_is_under_the_same_source(source: str, difference: int) -> None:
    """Whether AppsFlyer names it or not."""
    booked, cohorts = {source: 12 * EURO}, {source: rated(12 * EURO + difference)}
    assert parts(booked, cohorts) == {source: {"rate": difference}}


def test_rates_of_several_sources_do_not_meet() -> None:
    """A source whose rate makes it less is not taken for one that is withheld by another whose rate makes it more."""
    booked = {"Facebook Ads": 12 * EURO, "organic": 8 * EURO}
    cohorts = {"Facebook Ads": rated(12 * EURO - 50_000), "organic": rated(8 * EURO + 50_000)}
    assert parts(booked, cohorts) == {"Facebook Ads": {"rate": -50_000}, "organic": {"rate": 50_000}}


def test_a_source_that_was_converted_and_withheld_is_not_taken_for_its_rate() -> None:
    """Rates differ by little: the rest came without its source."""
    booked = {"Facebook Ads": 72 * EURO, "restricted": 0}
    cohorts = {"Facebook Ads": rated(59 * EURO), "restricted": CohortRevenue(13 * EURO)}
    assert parts(booked, cohorts) == {
        "Facebook Ads": {"restricted": -13 * EURO},
        "restricted": {"restricted": 13 * EURO},
    }


@pytest.mark.parametrize("name", ["restricted", "organic"])
def test_what_has_no_rate_is_not_taken_for_what_was_withheld_of_its_source(name: str) -> None:
    """An amount that could not be converted may be of any size: what came without its source is known, and is first."""
    cohorts = {"Facebook Ads": CohortRevenue(not_converted=1, paid=1), name: CohortRevenue(87 * EURO, paid=1)}
    assert parts({"Facebook Ads": 93 * EURO, name: 0}, cohorts) == {
        "Facebook Ads": {"restricted": -87 * EURO, "rate": -6 * EURO},
        name: {"restricted": 87 * EURO},
    }


@pytest.mark.parametrize("name", ["Facebook Ads", "restricted"])
def test_a_refund_that_has_no_rate_is_a_matter_of_the_rate(name: str) -> None:
    """As a payment is. It may have come under its source, or without."""
    found = parts({"Facebook Ads": -71 * EURO}, {name: CohortRevenue(not_converted=1)})
    assert found["Facebook Ads"] == {"rate": 71 * EURO}


@pytest.mark.parametrize(
    ("own", "withheld", "booked", "rate"), [(750, 620, 1_360, 10_000_000), (14, 4, 17, 1_000_000), (14, 3, 17, 0)]
)
@pytest.mark.parametrize("name", ["restricted", "organic"])
def test_what_was_withheld_is_found_where_a_rate_hides_it(name: str, own: int, withheld: int, booked: int, rate: int):
    """What its source lacks is less than that, or as little as the rate makes of the source's own revenue."""
    source = CohortRevenue(own * EURO, paid=3, rated=3, rated_amount=own * EURO + 30 * EURO)
    cohorts = {"Facebook Ads": source, name: CohortRevenue(withheld * EURO, paid=1)}
    found = parts({"Facebook Ads": booked * EURO, name: 0}, cohorts)
    assert found[name] == {"restricted": withheld * EURO}
    assert found["Facebook Ads"] == {"restricted": -withheld * EURO} | ({"rate": rate} if rate else {})


def test_what_was_withheld_is_not_taken_for_a_rate_where_much_was_refunded() -> None:
    """A purchase and its refund were converted for much, and are worth little together."""
    booked = {"email": 11 * EURO}
    cohorts = {"restricted": CohortRevenue(11 * EURO + 99_000, rated=3, rated_amount=640 * EURO)}
    assert parts(booked, cohorts) == {
        "email": {"restricted": -11 * EURO},
        "restricted": {"restricted": 11 * EURO, "rate": 99_000},
    }


@pytest.mark.parametrize("name", ["restricted", "organic"])
def test_a_rate_is_told_of_the_source_from_which_converted_revenue_was_withheld(name: str) -> None:
    """Where the rate makes it less than AppsFlyer has under the source's own name."""
    assert parts({"Facebook Ads": 12 * EURO}, {name: rated(12 * EURO - 100_000)}) == {
        "Facebook Ads": {"restricted": -12 * EURO + 100_000, "rate": -100_000},
        name: {"restricted": 12 * EURO - 100_000},
    }


@pytest.mark.parametrize(("paid", "code"), [(3, "rate"), (2, "")])
def test_each_amount_may_be_rounded_by_half_a_cent(paid: int, code: str) -> None:
    """AppsFlyer converts it to dollars and back, at its own rate."""
    evidence = DayEvidence("shop", 1, 0, is_final=True, counted=[], outcomes=[], name_of=lambda _, event: event)
    money = RevenueEvidence(booked={"organic": 124_522_000}, cohorts={"organic": CohortRevenue(124_510_000, paid=paid)})
    (row,) = compare_revenue(evidence, money, [])
    assert [(part.code, part.n, part.events) for part in row.parts if part.code != "booking_day"] == (
        [(code, -12_000, paid)] if code else []
    )
