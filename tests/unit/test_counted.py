"""Numbers with their nouns, and lengths of time."""

import pytest

from flybridge.system.counted import percent, plural, span


@pytest.mark.parametrize(
    ("n", "words", "said"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("row",), "2 rows"),
        (1234567, ("row",), "1,234,567 rows"),
        (1, ("try", "tries"), "1 try"),
        (2, ("try", "tries"), "2 tries"),
        (1, ("message waits", "messages wait"), "1 message waits"),
        (0, ("message waits", "messages wait"), "0 messages wait"),
    ],
)
def test_a_number_stands_with_its_noun(n, words, said):
    """As one and as several, with its thousands apart."""
    assert plural(n, *words) == said


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, "0 s"), (59_999, "59 s"), (3_660_000, "1 h 1 min"), (86_400_000, "24 h"), (259_100_000, "2 d 23 h")],
)
def test_spans_are_in_the_units_that_matter(ms, text):
    """Two units at most."""
    assert span(ms) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"), (1e-9, "<1%"), (0.0099, "<1%"), (0.01, "1%"), (0.254, "25%"), (0.99, "99%"), (0.9901, ">99%"),
        (0.9999999, ">99%"), (1.0, "100%"), (1.5, "150%"),
    ],
)  # fmt: skip
def test_a_share_is_none_or_all_only_if_it_is(share, text):
    """Otherwise people take what is left for nothing."""
    assert percent(share) == text
    assert percent(share, " ").replace(" ", "") == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0%"),
        (0.0004, "<0.1%"),
        (0.001, "0.1%"),
        (0.254, "25.4%"),
        (0.999, "99.9%"),
        (0.9996, ">99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_a_share_with_a_digit_after_the_point_is_rounded_in_the_same_way(share, text):
    """Where small shares are compared."""
    assert percent(share, digits=1) == text
