"""Counts by media source name the largest, and are bounded whatever comes as a source."""

from __future__ import annotations

from collections import Counter

import pytest

from flybridge.history.source_counts import OTHERS, SourceCounts


def test_few_sources_are_all_named():
    counts = SourceCounts(named=3)
    for source in ("b", "a", "b", ""):
        counts.add(("installs_report",), source)
    assert counts.largest() == [
        (("installs_report",), "", 1),
        (("installs_report",), "a", 1),
        (("installs_report",), "b", 2),
    ]


def test_the_largest_of_the_whole_are_named_in_each_line():
    """Not those that are the largest of a line: a source is named everywhere or nowhere."""
    counts = SourceCounts(named=2)
    for n, source in enumerate(("small", "middle", "large"), start=1):
        for _ in range(n):
            counts.add(("first",), source)
    counts.add(("second",), "small")
    counts.add(("second",), "large")
    counts.add(("second",), "middle")
    assert counts.largest() == [
        (("first",), OTHERS, 1),
        (("first",), "large", 3),
        (("first",), "middle", 2),
        (("second",), OTHERS, 1),
        (("second",), "large", 1),
        (("second",), "middle", 1),
    ]


@pytest.mark.parametrize("hours", [1, 30, 200])
def test_no_more_counts_are_held_than_are_allowed(hours):
    """A thousand sources, each an event an hour: the sums by hour stay right, and what is named is counted whole."""
    counts, held, truth = SourceCounts(named=5, held=100), 0, Counter[str]()
    for hour in range(hours):
        for n in range(1000):
            source = f"source-{n}" if n >= 20 else "large"
            counts.add((f"{hour:03}",), source)
            truth[source] += 1
            held = max(held, len(counts._counts))
    # Of each hour one count at least.
    assert held <= max(101, hours)
    found = counts.largest()
    by_hour, by_source = Counter[str](), Counter[str]()
    for (hour,), source, n in found:
        by_hour[hour] += n
        by_source[source] += n
    assert set(by_hour.values()) == {1000}
    assert len(set(by_source) - {OTHERS}) <= 5
    named = set(by_source) - {OTHERS}
    assert all(by_source[source] == truth[source] for source in named)
    if hours < 30:
        assert "large" in named


def test_a_source_of_the_reserved_name_is_counted_with_the_others():
    counts = SourceCounts(named=1)
    for source in (OTHERS, "a", "a", "b"):
        counts.add(("x",), source)
    assert counts.largest() == [(("x",), OTHERS, 2), (("x",), "a", 2)]
