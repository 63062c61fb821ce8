"""`flybridge performance --cohort`: what the installs of each day, week or month did on the days after."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len

from flybridge.cli.common import with_store
from flybridge.cli.printing import blocks, complain, label, name_shown, print_json, print_rows, say, sparkline, width
from flybridge.config.settings import Config
from flybridge.insight.cohorts import CohortMetric, Cohorts, read_cohorts
from flybridge.insight.csv_text import csv_text
from flybridge.insight.metrics import figure
from flybridge.insight.nearest import instead_of, latest
from flybridge.insight.performance import AppScope, Question
from flybridge.store.protocol import Store

SHOWN_OFFSETS = (0, 1, 2, 3, 5, 7, 14, 30, 60, 90)


def show_cohorts(
    settings: Config,
    scopes: Sequence[AppScope],
    question: Question,
    chosen: tuple[CohortMetric, str],
    *,
    is_chosen: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print install-day cohorts of a metric and a grain."""

    async def work(store: Store) -> tuple[Cohorts, str]:
        read = await read_cohorts(store, scopes[0], question, chosen[0], grain=chosen[1])
        if is_chosen and not read.cohorts:
            shown, sentence = await latest(store, scopes, question)
            read = await read_cohorts(store, scopes[0], shown, chosen[0], grain=chosen[1])
            return read, sentence or await instead_of(store, scopes, question)
        return read, "" if read.cohorts else await instead_of(store, scopes, question)

    found, instead = with_store(settings, work)
    rows = [cohort.as_dict() for cohort in found.cohorts]
    if as_json:
        print_json(rows)
    elif as_csv:
        heads = [head for head in (rows[0] if rows else {"date": 0, "installs": 0, "spend": 0}) if head != "values"]
        first = [*heads, *(f"d{day}" for day in range(len(found.whole.values)))]
        sys.stdout.write(csv_text([first, *([*(row[head] for head in heads), *row["values"]] for row in rows)], "\n"))
    else:
        _print_cohorts(found)
    if instead:
        complain(instead)


def _print_cohorts(found: Cohorts) -> None:
    unit = found.metric.unit
    offsets = [day for day in SHOWN_OFFSETS if any(cohort.values[day] is not None for cohort in found.cohorts)]
    title = f"{found.metric.title} by {found.grain} of install: {found.metric.formula} ({found.zone})"
    table = []
    for cohort in found.cohorts:
        plain = cohort.as_dict()
        labels = {
            label(name): name_shown(value)
            for name, value in plain.items()
            if name not in ("installs", "spend", "values")
        }
        values = {f"D{day}": _or_dash(cohort.values[day], unit) for day in offsets}
        table.append({**labels, "installs": f"{cohort.size:,}", **values})
    if len(table) > 1:
        whole = dict.fromkeys(table[0], "") | {"date": "all", "installs": f"{found.whole.counted[0]:,}"}
        table.append(whole | {f"D{day}": _or_dash(found.whole.values[day], unit) for day in offsets})
    days = [f"D{day}" for day in offsets]
    heads = len(table[0]) - len(days) if table else 0
    for number, columns in enumerate(blocks(table, heads, width())):
        block = [{name: row[name] for name in columns} for row in table]
        print_rows("" if number else title, block, "No installation began in this period.", right=["installs", *days])
    if not sys.stdout.isatty() or not found.cohorts:
        return
    curve = [value for value in found.whole.values if value is not None]
    room = width() - cell_len("All: ")
    say(f"All: {sparkline(curve[:room])}")


def _or_dash(value: float | None, unit: str) -> str:
    return "-" if value is None else figure(value, unit)
