"""The geometry of charts: rectangles, lines and ticks from numbers, for templates that draw them as SVG. Pure.

Every chart is made twice, wide and narrow, so that its text can be read on a small screen without a script.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import Final

from msgspec import Struct

WIDE: Final = (600, 230)
NARROW: Final = (340, 210)
LEFT: Final = 46
RIGHT: Final = 8
TOP: Final = 12
BOTTOM: Final = 26
SMALLEST: Final = 1e-6
"""What is smaller can't be distinguished from 0."""
STEPS: Final = 4
"""About how many steps are marked at an axis."""


class Series(Struct, frozen=True):
    """A line or a part of columns: its name, its class of colour, and its values. None is drawn as a gap."""

    name: str
    color: str
    values: Sequence[float | None]


class Rect(Struct, frozen=True):
    """A rectangle and its class."""

    x: float
    y: float
    width: float
    height: float
    color: str


class Line(Struct, frozen=True):
    """A line through points, dashed where its values are not final. `last` is its last point."""

    path: str
    color: str
    last: tuple[float, float]
    dashed: bool = False


class Tick(Struct, frozen=True):
    """A mark at an axis."""

    at: float
    text: str


class Slot(Struct, frozen=True):
    """A place along the horizontal axis, and what is there."""

    x: float
    width: float
    text: str


class Chart(Struct, frozen=True):
    """One picture of a chart."""

    width: int
    height: int
    rects: Sequence[Rect] = ()
    lines: Sequence[Line] = ()
    across: Sequence[Tick] = ()
    up: Sequence[Tick] = ()
    slots: Sequence[Slot] = ()


class Figure(Struct, frozen=True):
    """A chart with its title, a sentence that says what it shows, its legend, and the table behind it."""

    key: str
    title: str
    summary: str
    pictures: Sequence[Chart]
    legend: Sequence[tuple[str, str]]
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def columns(labels: Sequence[str], series: Sequence[Series], form: Callable[[float], str]) -> list[Chart]:
    """Return stacked columns of whole numbers, wide and narrow."""
    totals = [sum(one.values[at] or 0 for one in series) for at in range(len(labels))]
    steps = scale(max(totals, default=0), whole=True)
    frames = [_Frame(size, len(labels), steps) for size in (WIDE, NARROW)]
    return [frame.chart(labels, series, form, steps, rects=frame.rects(series)) for frame in frames]


def lines(
    labels: Sequence[str], series: Sequence[Series], form: Callable[[float], str], *, dashed: Sequence[str] = ()
) -> list[Chart]:
    """Return lines, wide and narrow; those of the classes in `dashed` are dashed. The axis goes below 0 if one does."""
    known = [value for one in series for value in one.values if value is not None]
    steps = scale(max(known, default=0), least=min(known, default=0))
    frames = [_Frame(size, len(labels), steps) for size in (WIDE, NARROW)]
    return [frame.chart(labels, series, form, steps, lines=frame.lines(series, dashed)) for frame in frames]


def spark(values: Sequence[float | None], width: int = 120, height: int = 28) -> str:
    """Return the path of a small line without axes; empty if there is nothing to draw."""
    known = [value for value in values if value is not None]
    top, base = max(0.0, *known, 0.0), min(0.0, *known, 0.0)
    if len(values) < 2 or top == base:
        return ""
    step = width / (len(values) - 1)
    points = [
        f"{_r(at * step)} {_r(height - 2 - (height - 4) * (value - base) / (top - base))}"
        for at, value in enumerate(values)
        if value is not None
    ]
    return "M" + "L".join(points)


def scale(most: float, *, least: float = 0.0, whole: bool = False) -> Sequence[float]:
    """Return the values to mark at an axis, evenly apart: from `least`, or 0, to `most`. Only whole ones if `whole`."""
    most, least = max(most, 0.0), min(least, 0.0)
    if most - least < SMALLEST:
        return (0.0, 1.0)
    raw = max((most - least) / STEPS, 1.0) if whole else (most - least) / STEPS
    power = 10.0 ** floor(log10(raw))
    factors = (1, 2, 5, 10) if whole and power == 1 else (1, 2, 2.5, 5, 10)
    step = next(factor * power for factor in factors if raw <= factor * power * (1 + 1e-9))
    return [round(at * step, 12) for at in range(-_enough(-least / step), _enough(most / step) + 1)]


def _enough(steps: float) -> int:
    """Return how many whole steps there are to a value; what is as good as one needs no further step."""
    return ceil(steps * (1 - 1e-9))


class _Frame:
    """The space of one picture: where its values and places are."""

    def __init__(self, size: tuple[int, int], places: int, marks: Sequence[float]) -> None:
        self.width, self.height = size
        self._base, self._top = marks[0], marks[-1]
        self.places = max(1, places)
        self.step = (self.width - LEFT - RIGHT) / self.places

    def x(self, at: float) -> float:
        return LEFT + at * self.step

    def y(self, value: float) -> float:
        room = self.height - TOP - BOTTOM
        return TOP + room * (self._top - value) / (self._top - self._base)

    def rects(self, series: Sequence[Series]) -> list[Rect]:
        """Return the parts of stacked columns."""
        gap = min(3.0, self.step * 0.2)
        found = []
        for at, values in enumerate(zip(*(one.values for one in series), strict=True)):
            y = self.y(0)
            for one, value in zip(series, values, strict=True):
                if value:
                    height = self.y(0) - self.y(value)
                    y -= height
                    found.append(Rect(_r(self.x(at) + gap / 2), _r(y), _r(self.step - gap), _r(height), one.color))
        return found

    def lines(self, series: Sequence[Series], dashed: Sequence[str]) -> list[Line]:
        """Return a line for each run of known values."""
        found = []
        for one in series:
            run: list[tuple[float, float]] = []
            for at, value in enumerate([*one.values, None]):
                if value is not None:
                    run.append((_r(self.x(at + 0.5)), _r(self.y(value))))
                elif run:
                    path = "M" + "L".join(f"{x} {y}" for x, y in run)
                    found.append(Line(path, one.color, run[-1], one.color in dashed))
                    run = []
        return found

    def chart(
        self,
        labels: Sequence[str],
        series: Sequence[Series],
        form: Callable[[float], str],
        steps: Sequence[float],
        *,
        rects: Sequence[Rect] = (),
        lines: Sequence[Line] = (),
    ) -> Chart:
        every = max(1, -(-len(labels) * 58 // (self.width - LEFT - RIGHT)))
        across = [
            Tick(_r(self.x(at + 0.5)), label) for at, label in enumerate(labels) if (len(labels) - 1 - at) % every == 0
        ]
        slots = [
            Slot(_r(self.x(at)), _r(self.step), label + ": " + _told(series, at, form))
            for at, label in enumerate(labels)
        ]  # fmt: skip
        up = [Tick(_r(self.y(value)), form(value)) for value in steps]
        return Chart(self.width, self.height, rects, lines, across, up, slots)


def _told(series: Sequence[Series], at: int, form: Callable[[float], str]) -> str:
    named = ((one.name, one.values[at]) for one in reversed(series))
    return ", ".join(f"{name} {'n/a' if value is None else form(value)}" for name, value in named if value != 0) or "0"


def _r(number: float) -> float:
    return round(number, 1)
