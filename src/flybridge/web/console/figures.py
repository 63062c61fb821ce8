"""Metrics as pages show them: values, their change, names of groups, and rows under rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup, escape
from msgspec import Struct

from flybridge.insight.metrics import MONEY, SHARE, Figures, Metric, figure, of_money
from flybridge.insight.performance import PerformanceReport, PerformanceRow, merged
from flybridge.mapping.to_amplitude.countries import COUNTRIES
from flybridge.store.performance import ORGANIC, OTHER, RESTRICTED
from flybridge.web.console.words import isolated, shown

NOTES: Final[Mapping[str, str]] = {
    ORGANIC: "came without an ad",
    RESTRICTED: "sources that may not be named",
    OTHER: "beyond insight.max_cells",
}
"""What is to be said about a source that is none."""

NAMELESS: Final[Mapping[str, str]] = {
    "media_source": "No source named",
    "campaign": "No campaign named",
    "country": "No country named",
    "platform": "No platform named",
}
MAX_ROWS: Final = 200
MAX_UNDER: Final = 25

LESS_IS_BETTER: Final = frozenset({"ecpi", "not_converted"})
NEUTRAL: Final = frozenset({"spend", "clicks", "impressions", "reinstalls"})


class Change(Struct, frozen=True):
    """How a value differs from that of another period: as text, and whether that is `better`, `worse` or `same`."""

    text: str
    way: str


class Cell(Struct, frozen=True):
    """One value of a row: as text, and as a plain number to sort by, empty if it is not known."""

    text: str
    plain: str
    metric: str


class Node(Struct, frozen=True):
    """A row of a table: its name, what it is filtered by, its values, its share of the whole, and the rows under it."""

    name: str
    label: str
    value: str
    note: str
    share: float
    cells: Sequence[Cell]
    under: Sequence[Node] = ()


def text_of(value: float | None, unit: str, *, beside: float | None = None) -> str:
    """Return a value as people read it; large ones, and those that stand `beside` a large one, without decimals."""
    if value is not None and unit == MONEY and max(abs(value), abs(beside or 0)) >= 10_000:
        return f"{value:,.0f}"
    if value is not None and unit == SHARE and abs(value) >= 10:
        return f"{value * 100:,.0f} %"
    return figure(value, unit)


def axis(unit: str) -> Callable[[float], str]:
    """Return how values stand at an axis: short."""

    def form(value: float) -> str:
        value, percent = (value * 100, " %") if unit == SHARE else (value, "")
        for factor, sign in ((1e12, "tn"), (1e9, "bn"), (1e6, "m"), (1e3, "k")):
            if abs(value) >= factor:
                return f"{value / factor:.3g}{sign}{percent}"
        return f"{value:.3g}{percent}"

    return form


def change_of(metric: Metric, value: float | None, was: float | None) -> Change | None:
    """Return how a value has changed; None if one of the two is not known."""
    if value is None or was is None:
        return None
    if metric.unit == SHARE and not of_money(metric):
        points = (value - was) * 100
        text, size = f"{points:+.1f} pts", round(points, 1)
    elif not was:
        return Change("new", "same") if value else Change("no change", "same")
    else:
        size = round((value - was) / abs(was) * 100, 1)
        text = f"{size:+.0f} %" if abs(size) >= 10 else f"{size:+.1f} %"
    if not size:
        return Change("no change", "same")
    if metric.name in NEUTRAL:
        return Change(text, "same")
    return Change(text, "better" if (size > 0) != (metric.name in LESS_IS_BETTER) else "worse")


def name_of(label: str, value: Any) -> str:
    """Return the name of a group, as it may be shown."""
    if not value:
        return NAMELESS.get(label, "Not named")
    if label == "media_source" and value in (ORGANIC, RESTRICTED):
        return str(value).capitalize()
    return COUNTRIES.get(value, str(value)) if label == "country" else isolated(shown(value))


def cells_of(node: Node, heads: Sequence[str]) -> Markup:
    """Return the cells of a row as HTML, under these heads.

    A table has thousands of them, which takes a template half of the time of the page. They are made of numbers.
    """
    share, part = node.share * 100, f"{node.share * 100:.0f}"
    before = (
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{round(share, 1)}" height="8"></rect></svg>'
    )
    after = f' <span class="part">{part} %</span>'
    made = []
    for cell, head in zip(node.cells, heads, strict=True):
        known = "n" if cell.plain else "n na"
        made.append(
            f'<td class="{known}" data-of="{escape(head)}" data-plain="{cell.plain}">{before}{cell.text}{after}</td>'
        )
        before = after = ""
    return Markup("".join(made))  # noqa: S704 - digits, and heads that are escaped


Group = tuple[Any, list[PerformanceRow], Figures]
"""The value of a label, its rows, and their sum."""


class Table:
    """Makes rows of a table from an answer. `metrics` are its columns; shares are of the metric `of`.

    If there are more rows than a table has, those with `words` in their name or below them come before larger ones.
    """

    def __init__(
        self,
        found: PerformanceReport,
        rows: Sequence[PerformanceRow],
        metrics: Sequence[Metric],
        of: Metric,
        words: str = "",
    ) -> None:
        self._found = found
        self._rows = rows
        self._metrics = metrics
        self._of = of
        self._words = words.strip().lower()
        self._notes: dict[str, Mapping[str, str]] = {"media_source": NOTES}
        if not found.currency:
            self._notes["app"] = {app: f"money in {currency}" for app, currency in found.currencies.items()}
        self.total = merged(row.figures for row in rows)
        self._whole = of.compute(self.total) or 0

    def nodes(self, levels: Sequence[str]) -> tuple[Sequence[Node], int]:
        """Return the rows by these labels, one under the other, the largest first; and how many are left out."""
        return self._under(self._rows, levels, MAX_ROWS, with_money=bool(self._found.currency))

    def cells(self, figures: Figures, *, with_money: bool) -> list[Cell]:
        """Return the values of one row."""
        cells = []
        for metric in self._metrics:
            value = metric.compute(figures) if with_money or not of_money(metric) else None
            text = text_of(value, metric.unit)
            if value is not None and self._found.is_partial(metric):
                text += "*"
            cells.append(Cell(text, "" if value is None else f"{value:.6f}", metric.name))
        return cells

    def _under(
        self, rows: Sequence[PerformanceRow], levels: Sequence[str], most: int, *, with_money: bool
    ) -> tuple[Sequence[Node], int]:
        """Return the rows by these labels. Without `with_money` these are of several currencies."""
        if not levels:
            return (), 0
        label, *deeper = levels
        groups: dict[Any, list[PerformanceRow]] = {}
        for row in rows:
            groups.setdefault(row.labels[label], []).append(row)
        summed = [(value, own, merged(row.figures for row in own)) for value, own in groups.items()]
        summed.sort(key=lambda one: (-(self._of.compute(one[2]) or 0), -one[2].revenue, str(one[0])))
        if self._words and len(summed) > most:
            summed.sort(key=lambda one: not self._is_named(one[1], levels))
        of_one = with_money or label == "app"
        shown, rest = self._chosen(summed, most)
        nodes = [self._node(label, value, own, figures, deeper, with_money=of_one) for value, own, figures in shown]
        if rest:
            figures = merged(one for _, _, one in rest)
            nodes.append(self._made("", f"{len(rest):,} more", "", figures, (), with_money=with_money))
        return nodes, len(rest)

    def _chosen(self, summed: list[Group], most: int) -> tuple[list[Group], list[Group]]:
        """Return the rows that are shown, and those that are summed in one.

        What has cost something and brought nothing is the last by its size, and what a table is looked at for: up to
        a fifth of the rows are the dearest of these.
        """
        vain = [one for one in summed[most:] if one[2].spend and not self._of.compute(one[2])]
        vain = sorted(vain, key=lambda one: -(one[2].spend or 0))[: most // 5]
        shown = [*summed[: most - len(vain)], *vain]
        values = {one[0] for one in shown}
        return shown, [one for one in summed if one[0] not in values]

    def _is_named(self, rows: Sequence[PerformanceRow], levels: Sequence[str]) -> bool:
        return any(self._words in name_of(label, row.labels[label]).lower() for row in rows for label in levels)

    def _node(
        self,
        label: str,
        value: Any,
        rows: Sequence[PerformanceRow],
        figures: Figures,
        deeper: Sequence[str],
        *,
        with_money: bool,
    ) -> Node:
        under, _ = self._under(rows, deeper, MAX_UNDER, with_money=with_money)
        # A single row without a name says nothing that the row above it does not say.
        if len(under) == 1 and not under[0].value:
            under = ()
        return self._made(label, name_of(label, value), str(value or ""), figures, under, with_money=with_money)

    def _made(
        self, label: str, name: str, value: str, figures: Figures, under: Sequence[Node], *, with_money: bool
    ) -> Node:
        part = self._of.compute(figures) or 0
        note = self._notes.get(label, {}).get(value, "")
        cells = self.cells(figures, with_money=with_money)
        return Node(name, label, value, note, part / self._whole if self._whole else 0.0, cells, under)
