"""How `flybridge gaps` prints what it has found, so that a person can read it however much it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from flybridge.cli.printing import complain, print_rows, say
from flybridge.history.gap_report import CAUSES, Gap, GapReport
from flybridge.history.source_counts import OTHERS
from flybridge.system.counted import plural

SHOWN: Final = 48
"""How many lines are printed of what is missing; `--json` has each hour."""
NAMED_WHERE_MUCH: Final = 5
"""How many media sources are named at most where lines of all would be too many."""
DAY: Final = len("2026-01-31")


def show_gaps(found: GapReport) -> None:
    """Print what a search has found."""
    print_rows(f"Missing events of {found.app}", _rows(found.gaps, "when", "missing"), "Nothing is missing.")
    if found.surplus:
        more = [Gap(one.report, one.day, one.cause, one.events, one.media_source) for one in found.surplus]
        print_rows(f"Events of {found.app} that only flybridge has", _rows(more, "day", "events"), "")
    say(f"{plural(found.rows, 'row')} in AppsFlyer, {found.missing:,} missing here, {found.filled:,} read now.")
    for reason in (*found.problems, *found.notes):
        complain(reason)


def _rows(gaps: Sequence[Gap], when: str, counted: str) -> list[dict[str, str | int]]:
    """Return what is printed of gaps, with these heads above their time and their number."""
    return [
        {
            "report": gap.report,
            when: gap.hour,
            "media_source": gap.media_source,
            counted: gap.missing,
            "likely_cause": CAUSES[gap.cause],
        }
        for gap in shown_gaps(gaps)
    ]


def shown_gaps(gaps: Sequence[Gap]) -> list[Gap]:
    """Return what is missing by hour, or where that is much with days or spans of days in place of hours.

    Where it still is much, only the largest sources are named.
    """
    if len(gaps) <= SHOWN:
        return list(gaps)
    days = _summed(gaps, lambda gap: gap.hour[:DAY])
    if len(days) <= SHOWN:
        return days
    for named in (None, *range(NAMED_WHERE_MUCH, -1, -1)):
        spans = _summed(gaps, lambda _: "", named)
        if len(spans) <= SHOWN:
            break
    return spans


def _summed(gaps: Sequence[Gap], when: Callable[[Gap], str], named: int | None = None) -> list[Gap]:
    """Return gaps summed over the hours of which `when` is the same, with the days that they span.

    With `named` only so many sources, the largest of all, stay by themselves.
    """
    sources = Counter[str]()
    for gap in gaps:
        sources[gap.media_source] += gap.missing
    del sources[OTHERS]
    largest = {source for source, _ in sources.most_common(named)}
    sums, spans = Counter[tuple[str, str, str, str]](), dict[tuple[str, str, str, str], tuple[str, str]]()
    for gap in gaps:
        source = gap.media_source if gap.media_source in largest else OTHERS
        key, day = (gap.report, when(gap), gap.cause, source), gap.hour[:DAY]
        sums[key] += gap.missing
        first, last = spans.get(key, (day, day))
        spans[key] = min(first, day), max(last, day)
    return [
        Gap(report, " to ".join(dict.fromkeys(spans[report, at, cause, source])), cause, n, source)
        for (report, at, cause, source), n in sorted(sums.items())
    ]
