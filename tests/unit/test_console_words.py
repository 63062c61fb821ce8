"""How what came from outside is shown in the console."""

from __future__ import annotations

import re

import pytest

from flybridge.insight.causes import CAUSES
from flybridge.insight.findings import KINDS
from flybridge.insight.metrics import METRICS
from flybridge.insight.reasons import REASONS
from flybridge.web.console.figures import name_of
from flybridge.web.console.plain_words import WORDS, ticked
from flybridge.web.console.words import masked_sentence, share, shown, uncut


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


def test_what_ends_a_long_word_of_a_sentence_is_not_cut_off():
    """Two names of a list would be read as one."""
    assert masked_sentence(f"Of {'x' * 100}, ann and {'y' * 100}.").replace("\u2026", "") == (
        f"Of {'x' * 79}, ann and {'y' * 79}."
    )


def test_names_in_files_are_whole_and_masked():
    """Cut at the same length, two campaigns would have one name, and neither the one that its network has."""
    assert uncut("x" * 120) == "x" * 120
    assert "ann@example.com" not in uncut("x" * 90 + " ann@example.com")


def test_a_figure_stays_beside_a_name_that_is_written_from_right_to_left():
    """Without marks the figure after it is shown before it."""
    assert name_of("media_source", "شبكة 1") == "\u2068شبكة 1\u2069"
    assert name_of("media_source", "São Paulo 広告") == "São Paulo 広告"


def test_backticks_are_code_and_everything_is_escaped():
    """Ours are words of the configuration; from outside they open nothing."""
    assert ticked("see `secret` & <b>") == "see <code>secret</code> &amp; &lt;b&gt;"
    assert ticked("`<script>` ` alone") == "`&lt;script&gt;` ` alone"
    assert ticked("") == ""


def test_a_setting_is_put_into_words_and_its_key_is_for_operators():
    """Who looks at figures does not edit the configuration."""
    remedy = 'Make `hold.window_hours` longer, or set `hold.v1 = "when-seen"`.'
    assert ticked(remedy, operates=False) == (
        "Make the hold window longer, or set the rule for waiting on the Attribution API to when-seen."
    )
    assert "the hold window (<code>hold.window_hours</code>) longer" in ticked(remedy)
    assert ticked("See `flybridge dead`.", operates=False) == "See the page Dead letters."


def test_every_setting_and_command_in_a_sentence_for_marketers_has_words():
    """Causes, findings, metrics, and the reasons of outcomes."""
    sentences = [part for one in CAUSES.values() for part in (one.sentence, one.remedy)]
    sentences += [part for one in KINDS.values() for part in (one.remedy, one.title)]
    sentences += [one.note for one in METRICS.values()]
    sentences += [part for one in REASONS.values() for part in (one.meaning, one.remedy)]
    named = {name.partition(" = ")[0] for one in sentences for name in re.findall(r"`([^`]+)`", one)}
    keys = {name for name in named if "." in name or name.startswith("flybridge ")}
    assert keys
    assert keys - WORDS.keys() == set()


@pytest.mark.parametrize(
    ("n", "of", "text"),
    [(0, 0, "0 %"), (9, 9, "100 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (1, 3, "33 %")],
)
def test_a_share_of_something_is_never_nothing(n, of, text):
    """Rounding hides neither the few nor that some are missing."""
    assert share(n, of) == text
