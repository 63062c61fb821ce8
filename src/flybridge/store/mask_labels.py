"""A step of the migrations: what was stored before labels were masked is masked, and equal counters become one."""

# ruff: noqa: S608 - the names are this module's own

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from flybridge.identity.masking import masked

Run = Callable[[str, Sequence[object]], list[Any]]
"""Runs a statement whose parameters are `$1`, `$2`, ... and returns its rows."""

COUNTERS: Final = (
    ("rollups", ("event", "media_source", "campaign", "country", "platform"), ("n", "revenue", "cost")),
    ("coverage", ("platform", "app_version", "media_source"), ("n",)),
    ("hold_counts", ("media_source",), ("n",)),
)
"""Tables of counters: the columns that came from outside, and those that are added up."""

HELD: Final = ("holds", ("event_type", "media_source"))
"""A table of rows, which stay as many."""


def mask_labels(run: Run, columns_of: Callable[[str], Sequence[str]]) -> bool:
    """Mask all labels. `columns_of` returns a table's columns. Returns whether there was anything to mask."""
    tables = [(table, names) for table, names, _ in COUNTERS] + [HELD]
    clear = {
        label
        for table, names in tables
        for name in names
        for (label,) in run(f"SELECT DISTINCT {name} FROM {table}", ())
    }
    masks = {label: mask for label in clear if (mask := masked(label)) != label}
    if not masks:
        return False
    run("CREATE TEMPORARY TABLE masks (label TEXT PRIMARY KEY, mask TEXT NOT NULL)", ())
    for label, mask in masks.items():
        run("INSERT INTO masks (label, mask) VALUES ($1, $2)", (label, mask))
    for table, names, sums in COUNTERS:
        keys = [name for name in columns_of(table) if name not in sums]
        kept = ", ".join(f"{_mask_of(table, name)} AS {name}" if name in names else name for name in keys)
        added, listed = ", ".join(f"sum({name}) AS {name}" for name in sums), ", ".join([*keys, *sums])
        by = ", ".join(str(number) for number in range(1, len(keys) + 1))
        run(f"CREATE TEMPORARY TABLE counted AS SELECT {kept}, {added} FROM {table} GROUP BY {by}", ())
        run(f"DELETE FROM {table}", ())
        run(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM counted", ())
        run("DROP TABLE counted", ())
    holds, labels = HELD
    for name in labels:
        run(f"UPDATE {holds} SET {name} = {_mask_of(holds, name)} WHERE {name} IN (SELECT label FROM masks)", ())
    run("DROP TABLE masks", ())
    return True


def _mask_of(table: str, name: str) -> str:
    return f"coalesce((SELECT mask FROM masks WHERE label = {table}.{name}), {table}.{name})"
