"""Prints docs/reference/performance.md from the metrics: `python -m flybridge.insight.page`."""

from __future__ import annotations

import sys
from typing import Final

from flybridge.insight.cohorts import COHORT_METRICS
from flybridge.insight.costs import COLUMNS
from flybridge.insight.metrics import HORIZONS, METRICS, SHARE
from flybridge.insight.performance import BY
from flybridge.store.performance import OTHER

HEAD: Final = f"""\
# Metrics of performance

What `flybridge performance` and `/api/v1/performance` show, and how it is computed. Each metric is computed from
sums: a total is never a mean of ratios. What is not known is `n/a` in tables, empty in CSV and `null` in JSON,
never 0. A share is a plain number in CSV and JSON: 0.25 is 25 %.

- **Days** begin in the zone of the app (`apps.insight.timezone`, UTC by default). Give it the zone that the app has
  in AppsFlyer.
- **Money** is in the app's currency (`apps.insight.currency`): AppsFlyer's own conversion, where a message has one,
  else the rate in `apps.insight.rates`. Other amounts are counted as not converted, and not added up. Gross of fees
  and taxes.
- **Two ways of booking.** `revenue` is booked on the day of the event, under the source of the event. Metrics with
  a day (`_d7`) are booked on the day of the install, under the source of the install, as AppsFlyer's LTV figures
  are.
- **Incomplete cohorts are left out.** A metric of day 7 is of the install days of which 7 whole days are over, and
  its cost is that of the same days. A `*` marks one that some days of the period are missing from; without any it
  is `n/a`.
- **Once.** An event counts once, whatever becomes of it on the way to Amplitude, and however often it arrives.
  Blocked fraud, uninstall measurements and the secondary of two attributions do not count, and what SKAdNetwork
  reports is a metric of its own.
- **Organic and restricted** are media sources of their own. `restricted` is what AppsFlyer says where a source
  forbids that it is named: its events are real, and no one can say whose they are.
- **`{OTHER}`** is what came after a day had `insight.max_cells` combinations.
- Installations whose install was never received (because the bridge is younger) are in no metric of a cohort. Their
  events and revenue count on the day of the event.

This page is printed from the code (`make pages`).
"""

COSTS: Final = f"""\
## Costs

Raw data has no cost that could be added up, so that it comes from somewhere else. Of one source and day the first of
these counts that has any figure:

1. **A CSV file** that anybody can write, by `flybridge costs import FILE.csv`:

   ```csv
   {",".join(COLUMNS)}
   2026-01-31,Facebook Ads,Spring,DE,120.50,EUR,310,20400
   ```

   `date`, `media_source` and one figure are needed. An empty figure or `N/A` is not known. A file replaces what files
   have said before about its sources, from its first to its last day: corrections replace, and files of two networks
   do not touch each other. Media source and campaign must be written as AppsFlyer writes them.
2. **Files of AppsFlyer's Cost ETL**, by `flybridge costs import FOLDER`, or by schedule from `apps.insight.cost_files`.
   The last whole batch that is about a day counts; where a network says in which countries it spends, they are known.
   Needs `pip install 'flybridge[parquet]'`.
3. **AppsFlyer's Master API** (premium), by schedule with `apps.insight.costs = "master"`. It lacks the last two days.
4. **AppsFlyer's Aggregate Pull API**, which every plan has, by schedule with `apps.insight.costs = "aggregate"`, or by
   `flybridge costs pull`. What the report by source has more than the one by country is kept without a country.

A pull replaces the last 90 days, because networks correct costs up to day 88. What is refused, broken off or empty
changes nothing; `flybridge costs status` says why. Days and amounts are in the zone and currency that the app has in
AppsFlyer: `apps.insight.timezone` must be the same. Costs in another currency need a rate.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    rows = ["| metric | unit | formula | note |", "| --- | --- | --- | --- |"]
    for metric in METRICS.values():
        if metric.horizon in (None, 7):
            name = metric.name if metric.horizon is None else metric.name.replace("_d7", "_dN")
            formula = metric.formula if metric.horizon is None else _for_any(metric.formula)
            rows.append(f"| `{name}` | {metric.unit} | {formula} | {metric.note} |")
    days = ", ".join(str(horizon) for horizon in HORIZONS)
    cohort = ["| metric | unit | formula |", "| --- | --- | --- |"]
    cohort += [f"| `{one.name}` | {one.unit} | {one.formula} |" for one in COHORT_METRICS.values()]
    groups = ", ".join(f"`{name}`" for name in BY)
    return "\n".join(
        [
            HEAD,
            "## Metrics",
            "",
            f"N is one of {days}. A `{SHARE}` of 1 is 100 %.",
            "",
            *rows,
            "",
            "## Groups",
            "",
            f"`--by` takes any of {groups}, separated by commas.",
            "Ad sets and ads are counted with `apps.insight.detail` only.",
            "",
            "## Cohorts",
            "",
            "`flybridge performance --cohort` and `/api/v1/cohorts` show these by day after the install, 0 to 90.",
            "The last row is of all cohorts that have so many complete days.",
            "",
            *cohort,
            "",
            COSTS,
        ]
    )


def _for_any(formula: str) -> str:
    return formula.replace("_d7", "_dN").replace("day 7", "day N")


if __name__ == "__main__":
    sys.stdout.write(page())
