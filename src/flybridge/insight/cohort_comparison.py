"""Compare what AppsFlyer's Cohort API and flybridge have of the installs of one day, and split the differences. Pure.

Three things are compared for each media source: installs, people who were active so many days after the install, and
revenue up to that day. AppsFlyer counts who opened the app; flybridge sees a person only by a conversion or an
in-app event. A row's `kind` is what it counts, its `event` the number of days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from flybridge.insight.causes import APPSFLYER
from flybridge.insight.compared_rows import WITHHELD, ComparedRows, add, largest, left, move_withheld, respelled
from flybridge.insight.comparison import CENT, ComparedRow
from flybridge.insight.converted_revenue import CohortRevenue, explain_conversion

REPORT: Final = "cohorts"
"""The kind of day report that holds a comparison."""

INSTALLS, ACTIVE, REVENUE = METRICS = ("installs", "active", "revenue")
HORIZONS: Final = (0, 1, 3, 7, 14, 30, 60, 90)


class CohortSide(Struct):
    """What one side has of a media source. By days after the install: `active` people, and `revenue` up to then."""

    installs: int = 0
    active: dict[int, int] = field(default_factory=dict)
    revenue: dict[int, int] = field(default_factory=dict)


class CohortEvidence(Struct, frozen=True):
    """What is known of the installs of one day, by media source.

    `reinstalls` is the part of flybridge's side that began with a reinstall, and `unseen` the part of which the
    conversion never came, so that it may be one. `converted` says how flybridge's revenue up to each day was converted.
    `withholding` are sources, in lower case, that are known to forbid naming them. `down_since` is after how many days
    no process of flybridge was running first, `unreadable` how many dead letters since the day were never mapped, and
    `final` the last number of days after the install for which AppsFlyer counts no more.
    """

    appsflyer: Mapping[str, CohortSide]
    flybridge: Mapping[str, CohortSide]
    reinstalls: Mapping[str, CohortSide]
    unseen: Mapping[str, CohortSide]
    converted: Mapping[str, Sequence[CohortRevenue]]
    last: int
    final: int
    withholding: frozenset[str]
    down_since: int | None = None
    unreadable: int = 0


class CohortComparison(Struct, frozen=True):
    """How the cohorts of the installs of one day compare. `notes` are sentences about what is not known, and why.

    `made_ms` is when AppsFlyer last answered; 0 if it never did.
    """

    app: str
    day: int
    made_ms: int
    currency: str
    rows: Sequence[ComparedRow] = ()
    notes: Sequence[str] = ()


def compare_cohorts(evidence: CohortEvidence) -> list[ComparedRow]:
    """Return the rows of a day."""
    found = ComparedRows()
    theirs: Mapping[str, CohortSide] = respelled(evidence.appsflyer, evidence.flybridge, lambda one, _: one)
    for source in {*theirs, *evidence.flybridge}:
        they, we = theirs.get(source, CohortSide()), evidence.flybridge.get(source, CohortSide())
        _fill(found.row(INSTALLS, "", source), they.installs, we.installs)
        for after in HORIZONS:
            if after <= evidence.last:
                _fill(found.row(ACTIVE, f"{after}", source), they.active.get(after, 0), we.active.get(after, 0))
                _fill(found.row(REVENUE, f"{after}", source), they.revenue.get(after, 0), we.revenue.get(after, 0))
    _split(found.of(INSTALLS, ""), evidence, INSTALLS, 0)
    for after in HORIZONS:
        for kind in (ACTIVE, REVENUE):
            _split(found.of(kind, f"{after}"), evidence, kind, after)
    rows = [row for row in found.by_key.values() if row.appsflyer or row.flybridge]
    return sorted(rows, key=lambda row: (row.key.media_source, METRICS.index(row.key.kind), int(row.key.event or 0)))


def _fill(row: ComparedRow, appsflyer: int, flybridge: int) -> None:
    row.appsflyer, row.flybridge = appsflyer, flybridge


def _split(rows: Mapping[str, ComparedRow], evidence: CohortEvidence, kind: str, after: int) -> None:
    """Split the differences of one figure into their causes, as far as there is evidence."""
    least = CENT if kind == REVENUE else 1
    named = {source: row for source, row in rows.items() if source not in WITHHELD}
    _reinstalls(named, evidence.reinstalls, kind, after)
    if kind == REVENUE:
        nothing = [CohortRevenue()] * (after + 1)
        explain_conversion(rows, lambda source: evidence.converted.get(source, nothing)[after], evidence.withholding)
    else:
        move_withheld(rows, evidence.withholding)
    _reinstalls(rows, evidence.reinstalls, kind, after)
    _reinstalls(rows, evidence.unseen, kind, after)
    unreadable = evidence.unreadable
    for row in largest(rows.values(), lambda row: -left(row, APPSFLYER)):
        lacking = -left(row, APPSFLYER)
        if unreadable and lacking >= least:
            taken = lacking if kind == REVENUE else min(lacking, unreadable)
            add(row, "unreadable", -taken)
            unreadable -= 0 if kind == REVENUE else taken
        if evidence.down_since is not None and evidence.down_since <= after and -left(row, APPSFLYER) >= least:
            add(row, "gap", left(row, APPSFLYER))
        if after > evidence.final and abs(left(row, APPSFLYER)) >= least:
            add(row, "not_final", left(row, APPSFLYER))
        if kind == ACTIVE and left(row, APPSFLYER) < 0:
            add(row, "opened_only", left(row, APPSFLYER))


def _reinstalls(rows: Mapping[str, ComparedRow], sides: Mapping[str, CohortSide], kind: str, after: int) -> None:
    """Add what people did who installed the app again, where AppsFlyer has less: it may not count them as new."""
    for source, row in rows.items():
        side = sides.get(source, CohortSide())
        again = (side.active if kind == ACTIVE else side.revenue if kind == REVENUE else {}).get(after, 0)
        add(row, "conversion_definition", max(0, min(left(row, APPSFLYER), again)))
