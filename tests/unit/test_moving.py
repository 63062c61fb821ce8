"""The account of a running bridge: what moves between two looks is no discrepancy, what is gone is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.insight.moving import Look, balance_moving, by_reason
from flybridge.store.figures import Count

CELL = ("shop", "2026-01-31")


def look(received: int, waiting: int) -> Look:
    """Return what an inbox says of one cell."""
    return Look({CELL: received}, {CELL: waiting})


def counted(**outcomes: int) -> list[Count]:
    """Return what a store says of the same cell."""
    return [Count(*CELL, "push", outcome, "", n) for outcome, n in outcomes.items()]


def test_figures_at_rest_agree_to_the_last_one():
    """Nothing moves: the sum must be what was received."""
    assert balance_moving(look(10, 0), counted(delivered=7, held=3), look(10, 0)).balanced


@pytest.mark.parametrize("found", [9, 11])
def test_one_that_is_gone_or_doubled_is_found_at_rest(found):
    """A single envelope without an outcome, or one outcome too many, is a discrepancy with both figures."""
    (wrong,) = balance_moving(look(10, 0), counted(delivered=found), look(10, 0)).discrepancies
    assert (wrong.app, wrong.day, wrong.expected, wrong.found) == (*CELL, 10, found)


def test_one_that_is_gone_is_found_while_others_wait():
    """What waits can't hide more than waits."""
    assert balance_moving(look(10, 4), counted(delivered=6), look(10, 4)).balanced
    (wrong,) = balance_moving(look(10, 4), counted(delivered=5), look(10, 4)).discrepancies
    assert (wrong.expected, wrong.found) == (6, 5)


@given(st.data())
def test_what_moves_is_never_a_discrepancy(data):
    """Whatever is received, filed and acknowledged between the questions, in any order, nothing is reported."""
    received = filed = acked = 0

    def live() -> None:
        nonlocal received, filed, acked
        for step in data.draw(st.lists(st.sampled_from("rfa"), max_size=12)):
            received += step == "r"
            filed += step == "f" and filed < received
            acked += step == "a" and acked < filed

    def asked() -> Look:
        taken = received
        live()
        return look(taken, received - acked)

    live()
    before = asked()
    live()
    counts = counted(delivered=filed)
    live()
    assert balance_moving(before, counts, asked()).balanced


def test_reasons_are_summed_per_app_with_their_days():
    """Sources and days are taken together; the most first."""
    counts = [
        Count("shop", "2026-01-30", "push", "dead", "not_json", 1),
        Count("shop", "2026-02-02", "file", "dead", "not_json", 2),
        Count("game", "2026-02-01", "push", "dead", "silenced", 9),
        Count("shop", "2026-02-01", "push", "delivered", "matched", 5),
    ]
    assert by_reason(counts, "dead") == [
        ("game", "silenced", 9, "2026-02-01", "2026-02-01"),
        ("shop", "not_json", 3, "2026-01-30", "2026-02-02"),
    ]
