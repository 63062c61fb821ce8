"""Metrics of performance: definitions as data, ratios from sums, and nothing for what is not known."""

from __future__ import annotations

import pytest

from flybridge.insight.metrics import HORIZONS, METRICS, Figures, UpTo, values
from flybridge.store.performance import add

M = 1_000_000


def figures(**fields) -> Figures:
    """Build the sums of a group with ten installs, two of them organic."""
    up_to = {7: UpTo(10, 3, 2, 50 * M, 40 * M, 20 * M)}
    given = {"installs": 10, "attributed": 8, "reached": 6, "spend": 20 * M, "clicks": 100, "impressions": 2000}
    return Figures(**{**given, "re_attributions": 2, "re_engagements": 3, "up_to": up_to} | fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("installs", 10),
        ("conversions", 15),
        ("conversions_user_acquisition", 10),
        ("conversions_retargeting", 5),
        ("matched_share", 0.6),
        ("spend", 20.0),
        ("ecpi", 2.5),
        ("ctr", 0.05),
        ("cvr", 0.08),
        ("ipm", 4.0),
        ("revenue_d7", 50.0),
        ("roas_d7", 2.0),
        ("roi_d7", 1.0),
        ("arpu_d7", 5.0),
        ("arppu_d7", 25.0),
        ("payer_share_d7", 0.2),
        ("retention_d7", 0.3),
        ("retention_d30", None),
        ("roas_d30", None),
    ],
)
def test_a_metric_is_computed_from_sums(name, value):
    """A day that no install day has completed has no figure."""
    assert METRICS[name].compute(figures()) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize("name", ["spend", "ecpi", "ctr", "cvr", "ipm", "roas_d7", "roi_d7", "clicks"])
def test_what_nobody_reported_is_not_zero(name):
    """Without a cost there is no cost per install; with a cost of 0 there is one of 0."""
    unknown = figures(spend=None, clicks=None, impressions=None, up_to={7: UpTo(10, revenue=5 * M)})
    assert METRICS[name].compute(unknown) is None
    if name in ("spend", "ecpi"):
        assert METRICS[name].compute(figures(spend=0)) == 0


@pytest.mark.parametrize("name", sorted(METRICS))
def test_no_metric_divides_by_nothing(name):
    """An empty group has counts of 0 and no ratios."""
    value = METRICS[name].compute(Figures())
    assert value is None or value == 0
    assert METRICS[name].compute(Figures(spend=5 * M, up_to={h: UpTo(spend=M) for h in HORIZONS})) is not False


def test_unknown_figures_add_up_to_what_is_known():
    """Only where nobody knows anything is the sum unknown."""
    assert (add(None, None), add(None, 3), add(3, None), add(2, 3)) == (None, 3, 3, 5)


def test_money_of_several_currencies_has_no_sum():
    """Counts and shares of counts have one all the same."""
    found = values(figures(), with_money=False)
    assert (found["installs"], found["retention_d7"]) == (10, 0.3)
    assert {found[name] for name in ("spend", "ecpi", "revenue", "roas_d7", "arpu_d7", "roi_d7")} == {None}
