"""How what came from outside is shown in the console."""

from __future__ import annotations

import pytest

from flybridge.web.console.words import share, shown, span, ticked


@pytest.mark.parametrize(
    "personal",
    ["BCCE52E7-03EE-321A-B3D4-E57123966239", "1629191854863-7087037", "ann@example.com"],
)
def test_an_identifier_in_a_media_source_is_masked(personal):
    """Macros of networks put anything into such a field."""
    assert personal not in shown(f"network_{personal}_x")


def test_text_from_outside_can_neither_hide_nor_flood():
    """Signs that turn the direction or can't be printed become marks, and a long text is cut."""
    assert shown("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc\ufffdd"
    assert len(shown("x" * 10_000)) == 80
    assert shown("São Paulo 広告") == "São Paulo 広告"


def test_backticks_are_code_and_everything_is_escaped():
    """Ours are words of the configuration; from outside they open nothing."""
    assert ticked("see `hold.at_expiry` & <b>") == "see <code>hold.at_expiry</code> &amp; &lt;b&gt;"
    assert ticked("`<script>` ` alone") == "`&lt;script&gt;` ` alone"
    assert ticked("") == ""


@pytest.mark.parametrize(
    ("n", "of", "text"),
    [(0, 0, "0 %"), (9, 9, "100 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (1, 3, "33 %")],
)
def test_a_share_of_something_is_never_nothing(n, of, text):
    """Rounding hides neither the few nor that some are missing."""
    assert share(n, of) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, "0 s"), (59_999, "59 s"), (3_660_000, "1 h 1 min"), (259_100_000, "2 d 23 h")],
)
def test_spans_are_in_the_units_that_matter(ms, text):
    """Two units at most."""
    assert span(ms) == text
