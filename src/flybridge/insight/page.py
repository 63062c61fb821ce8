"""The tables of docs/reference/performance.md, printed from the metrics."""

from __future__ import annotations

from collections.abc import Mapping

from flybridge.insight.cohorts import COHORT_METRICS
from flybridge.insight.metrics import HORIZONS, METRICS, SHARE, Metric
from flybridge.insight.performance import BY
from flybridge.system.reference_pages import print_page, table


def parts() -> Mapping[str, str]:
    """Return the printed parts of the page by name."""
    metrics = (_cells(metric) for metric in METRICS.values() if metric.horizon in (None, 7))
    cohort = ((f"`{one.name}`", one.unit, one.formula) for one in COHORT_METRICS.values())
    return {
        "horizons": f"N is one of {', '.join(map(str, HORIZONS))}. A `{SHARE}` of 1 is 100 %.",
        "metrics": table(("metric", "unit", "formula", "note"), metrics),
        "groups": f"`--by` takes any of {', '.join(f'`{name}`' for name in BY)}, separated by commas.",
        "cohort": table(("metric", "unit", "formula"), cohort),
    }


def _cells(metric: Metric) -> tuple[str, str, str, str]:
    if metric.horizon is None:
        return f"`{metric.name}`", metric.unit, metric.formula, metric.note
    formula = metric.formula.replace("_d7", "_dN").replace("day 7", "day N")
    return f"`{metric.name.replace('_d7', '_dN')}`", metric.unit, formula, metric.note


if __name__ == "__main__":
    print_page(parts())
