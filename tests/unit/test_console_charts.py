"""The geometry of charts: what is drawn has the size of its number."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.insight.metrics import METRICS
from flybridge.web.console.charts import Series, columns, lines, scale, spark
from flybridge.web.console.figures import axis, change_of, text_of

NUMBERS = st.one_of(st.integers(0, 10**9), st.floats(0, 1e9, allow_nan=False))


@given(st.floats(1e-6, 1e12))
def test_an_axis_ends_at_or_above_the_highest_value(most):
    """Its marks are evenly apart, few, and begin at 0."""
    marks = scale(most)
    top = marks[-1]
    assert marks[0] == 0
    assert top >= most * (1 - 1e-9)
    assert top < most * 2.6
    assert 2 <= len(marks) <= 6
    gaps = [after - before for before, after in pairwise(marks)]
    assert max(gaps) == pytest.approx(min(gaps), rel=1e-6)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_an_axis_reaches_down_to_refunds(most, least):
    """It has 0 among its few marks, and no mark beyond the last that is needed."""
    marks = scale(most, least=least)
    assert 0 in marks
    assert 2 <= len(marks) <= 7
    if max(most, 0) - min(least, 0) >= 1e-6:
        gap = marks[1] - marks[0]
        assert marks[0] - gap * 1e-6 <= min(least, 0) < marks[0] + gap
        assert marks[-1] - gap < max(most, 0) <= marks[-1] + gap * 1e-6 or (most <= 0 and marks[-1] == 0)


@pytest.mark.parametrize("values", [[5.0, -3.0, 0.0], [-1.0, -2.0, -3.0], [0.0, -0.5, 2.0]])
def test_a_line_is_as_low_as_its_refunds(values):
    """More was paid back than earned on a day: the line goes below 0, and not along it."""
    for chart in lines(["1", "2", "3"], [Series("Revenue", "s0", values)], str):
        heights = [float(point.split()[1]) for point in chart.lines[0].path.removeprefix("M").split("L")]
        zero = next(tick.at for tick in chart.up if float(tick.text) == 0)
        assert [zero > height for height in heights] == [value > 0 for value in values]
        assert [zero < height for height in heights] == [value < 0 for value in values]
        assert all(12 <= height <= chart.height - 26 for height in heights)
    small = [float(point.split()[1]) for point in spark(values).removeprefix("M").split("L")]
    assert sorted(small, reverse=True) == [small[at] for at in sorted(range(3), key=values.__getitem__)]
    assert len(set(small)) == 3
    assert all(0 <= height <= 28 for height in small)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40))
def test_columns_are_as_high_as_their_sums(pairs):
    """The parts of a column stand on each other without a gap, from the base to their sum."""
    labels = [str(at) for at in range(len(pairs))]
    for chart in columns(
        labels, [Series("a", "s0", [a for a, _ in pairs]), Series("b", "s1", [b for _, b in pairs])], str
    ):
        by_column: dict[float, list] = {}
        for rect in chart.rects:
            assert 0 <= rect.x <= rect.x + rect.width <= chart.width
            assert rect.y >= 0
            by_column.setdefault(rect.x, []).append(rect)
        highest = max((a + b for a, b in pairs), default=0)
        for at, (a, b) in enumerate(pairs):
            slot = chart.slots[at]
            own = [r for rects in by_column.values() for r in rects if slot.x - 0.2 <= r.x < slot.x + slot.width]
            assert len(own) == (a > 0) + (b > 0)
            if own and a + b == highest:
                assert sum(r.height for r in own) == pytest.approx(chart.up[0].at - min(r.y for r in own), abs=0.3)


@given(st.lists(st.one_of(st.none(), NUMBERS), max_size=60))
def test_a_line_has_a_point_for_each_known_value(values):
    """What is not known is a gap and no 0."""
    for chart in lines([str(at) for at in range(len(values))], [Series("a", "s0", values)], str):
        points = sum(line.path.count(" ") for line in chart.lines)
        assert points == sum(value is not None for value in values)
        assert len(chart.slots) == len(values)


def test_a_small_line_needs_two_days_and_something_to_show():
    """Nothing is drawn of nothing."""
    assert spark([]) == spark([1]) == spark([0, 0]) == spark([None, None]) == ""
    assert spark([0, 1, None, 2]).count("L") == 2


@pytest.mark.parametrize(
    ("metric", "value", "was", "text", "way"),
    [
        ("installs", 110, 100, "+10 %", "better"),
        ("installs", 101, 100, "+1.0 %", "better"),
        ("installs", 90, 100, "-10 %", "worse"),
        ("ecpi", 1.1, 1.0, "+10 %", "worse"),
        ("spend", 2.0, 1.0, "+100 %", "same"),
        ("matched_share", 0.85, 0.80, "+5.0 pts", "better"),
        ("roas", 1.5, 1.0, "+50 %", "better"),
        ("installs", 5, 0, "new", "same"),
        ("installs", 0, 0, "no change", "same"),
        ("installs", 100, 100, "no change", "same"),
    ],
)
def test_a_change_says_how_much_and_whether_it_is_good(metric, value, was, text, way):
    """Shares change by points, all else by per cent of what it was; a lower price is better."""
    found = change_of(METRICS[metric], value, was)
    assert found is not None
    assert (found.text, found.way) == (text, way)


def test_what_is_not_known_has_no_change():
    """No cost is not a cost of 0."""
    assert change_of(METRICS["spend"], None, 1.0) is None
    assert change_of(METRICS["spend"], 1.0, None) is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "money", "n/a"), (9_999.5, "money", "9,999.50"), (12_345.6, "money", "12,346"), (0.123, "share", "12.3 %"),
     (53.759, "share", "5,376 %"), (1234, "count", "1,234")],
)  # fmt: skip
def test_values_are_written_as_people_read_them(value, unit, text):
    """Large amounts have no cents."""
    assert text_of(value, unit) == text


def test_two_amounts_that_are_compared_are_written_alike():
    """The smaller of them has no cents, either."""
    assert (text_of(9_687.0, "money", beside=10_802.0), text_of(10_802.0, "money", beside=9_687.0)) == (
        "9,687", "10,802"
    )  # fmt: skip


def test_an_axis_is_short():
    """It has no room for zeros."""
    assert [axis("money")(n) for n in (0, 250, 2500, 2.5e6, 3e9)] == ["0", "250", "2.5k", "2.5m", "3bn"]
    assert [axis("share")(n) for n in (0, 0.25, 9.5, 50, 1e5)] == ["0 %", "25 %", "950 %", "5k %", "10m %"]


@pytest.mark.parametrize("unit", ["share", "money", "count"])
@given(st.floats(1e-3, 1e9))
def test_no_mark_of_an_axis_is_cut_off(unit, most):
    """It has room for seven characters; 5e+03 % has eight."""
    chart = lines(["1"], [Series("a", "s0", [most])], axis(unit))
    for mark in (tick.text for picture in chart for tick in picture.up):
        assert len(mark) <= 7, mark


@pytest.mark.parametrize("most", [1, 2, 3, 9, 10, 11, 26, 99, 101, 12_345])
def test_numbers_of_events_have_marks_that_are_whole(most):
    """There are no 7.5 installs."""
    marks = scale(most, whole=True)
    assert all(mark == int(mark) for mark in marks)
    assert marks[-1] >= most
    assert len(marks) <= 6
