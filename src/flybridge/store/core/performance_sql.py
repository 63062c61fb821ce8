"""The statements about performance, written as in `store.core.queries`."""
# ruff: noqa: S608 - the pieces are this module's own

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

from flybridge.store.core.tables import Read
from flybridge.store.performance import LABELS

FILTERS: Final = ("app", "media_source", "campaign", "country", "platform")
FIRST_FLAG: Final = 4 + len(FILTERS)
LIST: Final = FIRST_FLAG + len(LABELS) + 1
"""The number of the list of horizons, after all parameters of a slice."""


def performance_reads(series: str) -> Mapping[Read, str]:
    """Return the statements. `series` gives the numbers from -1 to 90 as `h`."""

    def flagged(at: int, column: str, nothing: str) -> str:
        return f"CASE WHEN ${FIRST_FLAG + at}::bigint = 1 THEN {column} ELSE {nothing} END"

    def labels(of: Mapping[str, str]) -> str:
        return ", ".join(
            flagged(at, of.get(label, "''"), "0" if label == "day" else "''") for at, label in enumerate(LABELS)
        )

    def chosen(of: Mapping[str, str]) -> str:
        tests = [f"{of['day']} BETWEEN $1::bigint AND $2::bigint"]
        tests += [
            f"(${4 + at}::text IS NULL OR {of[name]} = ${4 + at}::text)"
            for at, name in enumerate(FILTERS)
            if name in of
        ]
        return " AND ".join(tests)

    columns = {label: f"d.{label}" for label in LABELS} | {"day": "c.day"}
    costs = {label: f"k.{label}" for label in ("app", "day", "media_source", "campaign", "country")}
    grouped = ", ".join(str(at) for at in range(1, len(LABELS) + 1))
    n = len(LABELS)
    event = flagged(n, "d.event", "''")
    # All parameters are named in every text, so that their numbers are the same in all of them.
    given = f"$3::bigint IS NOT NULL AND {event} IS NOT NULL"
    complete = "c.day + h < $3::bigint"
    base = "performance_cells c JOIN dimensions d ON d.id = c.dimension"
    sums = ", ".join(f"sum(p.{name})::bigint" for name in ("active", "payers", "events", "revenue", "not_converted"))
    up_to = ", ".join(f"sum(p.{name})::bigint" for name in ("payers", "events", "revenue", "not_converted"))
    cost_sums = ", ".join(f"sum(k.{name})::bigint" for name in ("spend", "clicks", "impressions"))
    begun = "d.kind IN ('install', 'reinstall', 're-attribution')"
    best = """NOT EXISTS (SELECT 1 FROM costs b WHERE b.app = k.app AND b.day = k.day
                          AND b.media_source = k.media_source AND b.precedence < k.precedence)"""
    flag = f"${FIRST_FLAG + n}::bigint"
    among = f"h = ANY(${LIST}::bigint[])"
    return {
        Read.PERFORMANCE: f"""SELECT {labels(columns)}, d.kind, {event}, sum(p.n)::bigint, sum(p.revenue)::bigint,
                                     sum(p.not_converted)::bigint, sum(p.reached)::bigint
                              FROM {base} JOIN performance p ON p.cell = c.id
                              WHERE {chosen(columns)} AND {given}
                              GROUP BY {grouped}, {n + 1}, {n + 2}""",
        Read.SIZES: f"""SELECT {labels(columns)}, d.kind, h, sum(p.n)::bigint
                        FROM {base} JOIN performance p ON p.cell = c.id JOIN {series} ON {complete}
                        WHERE {chosen(columns)} AND {begun} AND {given} AND {among}
                        GROUP BY {grouped}, {n + 1}, {n + 2}""",
        Read.COHORTS: f"""SELECT {labels(columns)}, d.kind, h,
                                 sum(CASE WHEN p.day_offset = h THEN p.active ELSE 0 END)::bigint, {up_to}
                          FROM {base} JOIN install_cohorts p ON p.cell = c.id
                          JOIN {series} ON {complete} AND p.day_offset <= h
                          WHERE {chosen(columns)} AND {begun} AND {given} AND {among}
                          GROUP BY {grouped}, {n + 1}, {n + 2}""",
        Read.CURVES: f"""SELECT {labels(columns)}, d.kind, p.day_offset, {sums}
                         FROM {base} JOIN install_cohorts p ON p.cell = c.id
                         WHERE {chosen(columns)} AND {given}
                         GROUP BY {grouped}, {n + 1}, {n + 2}""",
        Read.COSTS: f"""SELECT {labels(costs)}, h, k.origin, k.currency, {cost_sums}
                        FROM costs k JOIN {series} ON k.day + h < $3::bigint
                        WHERE {chosen(costs)} AND {best} AND ($8::text IS NULL OR 1 = 1) AND {flag} IS NOT NULL
                          AND {among}
                        GROUP BY {grouped}, {n + 1}, {n + 2}, {n + 3}""",
    }


NAMED_BY: Final = ("app", "kind", "event", "media_source", "campaign", "adset", "ad", "country", "platform")
"""The columns of a row of dimensions."""

NAMED: Final = ", ".join(NAMED_BY)


class CellSql:
    """The texts that find and make cells. `parameter` writes a parameter by its number and type.

    `same` is the test whether a row of `dimensions` is the one that is `wanted`, so that an index serves. `new_ids`
    writes the text that gives as many new ids of a table as its parameter says.
    """

    def __init__(self, parameter: Callable[[int, str], str], same: str, new_ids: Callable[[str], str]) -> None:
        self.new_ids = new_ids
        self._parameter = parameter
        self._same = same
        self._texts: dict[tuple[str, int], str] = {}
        one, two = parameter(1, "bigint"), parameter(2, "text")
        cells = "performance_cells JOIN dimensions ON dimensions.id = dimension"
        self.named = f"SELECT day, {NAMED.removeprefix('app, ')} FROM {cells} WHERE performance_cells.id = {one}"
        self.count = f"SELECT count(*) FROM {cells} WHERE day = {one} AND app = {two}"

    def find(self, n: int) -> str:
        """Parameters: number, day, names, n times. Columns: number, dimension, cell (may be NULL), of those there."""
        return self._text(
            "find",
            n,
            ("bigint", "bigint", *["text"] * len(NAMED_BY)),
            f"""WITH wanted (number, day, {NAMED}) AS (VALUES {{}})
                SELECT wanted.number, dimensions.id, performance_cells.id
                FROM wanted JOIN dimensions ON {self._same}
                LEFT JOIN performance_cells ON performance_cells.day = wanted.day AND dimension = dimensions.id""",
        )

    def make_dimensions(self, n: int) -> str:
        """Parameters: id, names, n times. Columns: the id, of those that are new."""
        return self._text(
            "dimensions",
            n,
            ("bigint", *["text"] * len(NAMED_BY)),
            f"INSERT INTO dimensions (id, {NAMED}) VALUES {{}} ON CONFLICT DO NOTHING RETURNING id",
        )

    def make_cells(self, n: int) -> str:
        """Parameters: id, day, dimension, n times. Columns: the id, of those that are new."""
        return self._text(
            "cells",
            n,
            ("bigint", "bigint", "bigint"),
            "INSERT INTO performance_cells (id, day, dimension) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
        )

    def _text(self, name: str, n: int, types: Sequence[str], sql: str) -> str:
        text = self._texts.get((name, n))
        if text is None:
            numbers = count(1)
            rows = ", ".join(f"({', '.join(self._parameter(next(numbers), kind) for kind in types)})" for _ in range(n))
            text = self._texts[name, n] = sql.format(rows)
        return text
