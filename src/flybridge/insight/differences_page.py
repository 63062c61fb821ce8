"""Prints docs/reference/differences.md from the causes and findings: `python -m flybridge.insight.differences_page`."""

from __future__ import annotations

import sys
from typing import Final

from flybridge.insight.causes import CAUSES, STEPS
from flybridge.insight.findings import KINDS

HEAD: Final = """# Differences

Why AppsFlyer, flybridge and Amplitude count differently, and what is found in the figures. `flybridge reconcile` and
`/api/v1/reconciliation` show it by day and media source.

| count | what it is |
| --- | --- |
| AppsFlyer | the Aggregate Pull API, which is not restricted as raw data is; days of the app's zone |
| flybridge | what it received and counts, whatever became of it: each event once, under the source of its message |
| Amplitude | totals of the event on the day of the project's zone, by the Dashboard REST API |

Each difference is split into the causes below, in this order, by what was counted. The sums hold for every day, source
and event:

- AppsFlyer + its causes + unexplained = flybridge
- flybridge + its causes + unexplained = Amplitude

A cause is never given more than its evidence has. What is left is *unexplained*, and that is a reason to look.
"""

TABLE: Final = """| cause | what it is | counted by | what to do |
| --- | --- | --- | --- |
"""

FOUND: Final = """
## Findings

What the daily job finds worth a look. None without figures, and none that chance alone would make.

| finding | when | what to do |
| --- | --- | --- |
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [HEAD]
    for step, title in STEPS.items():
        lines += [f"\n## {title}\n\n", TABLE]
        lines += [
            f"| {one.title} (`{one.code}`) | {one.sentence} | {one.evidence} | {one.remedy} |\n"
            for one in CAUSES.values()
            if one.step == step
        ]
    lines.append(FOUND)
    lines += [f"| {one.title} (`{one.code}`) | {one.test} | {one.remedy} |\n" for one in KINDS.values()]
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
