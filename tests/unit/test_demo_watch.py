"""What the demo shows of a running flybridge fits everywhere, and never stands still without a word."""

from __future__ import annotations

from collections import Counter

from flybridge.demo.sender import Sent
from flybridge.demo.watch import Lines, Screen, ServiceFigures

MANY = 1_234_567
FIGURES = ServiceFigures(MANY, Counter(delivered=MANY, held=MANY, filtered=MANY, refused=MANY, duplicate=MANY), MANY)


def test_the_live_figures_fit_into_eighty_columns():
    """Whatever the figures are: none of them is cut."""
    lines = Screen().draw(FIGURES, Sent(acknowledged=MANY)).plain.splitlines()
    assert all(len(line) <= 80 for line in lines), lines
    assert "delivered 1,234,567" in "\n".join(lines)


def test_a_pipe_gets_a_line_now_and_then():
    """Two looks at once are one line; with no time between lines, each look is one."""
    said: list[str] = []
    often, seldom = Lines(said.append, every_s=0.0), Lines(said.append, every_s=3600.0)
    for _ in range(2):
        seldom.show(FIGURES, Sent(acknowledged=1))
    assert len(said) == 1
    for _ in range(2):
        often.show(FIGURES, Sent(acknowledged=1))
    assert len(said) == 3
    assert said[0].strip() == "received 1  delivered 1,234,567  held 1,234,567  dead 0  in flight 1,234,567"
