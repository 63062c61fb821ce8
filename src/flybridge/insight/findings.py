"""What is worth a look today: ten kinds of finding, each with the figures that prove it.

A finding needs numbers and significance: the thresholds are those of `insight.coverage` for shares, and for counts a
probability of less than one in ten thousand that chance alone would do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from flybridge.insight.performance import AppScope
from flybridge.records import utc_time
from flybridge.store.figures import DayReport
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store

REPORT: Final = "findings"
"""The kind of day report that holds findings."""

KEPT_DAYS: Final = 7
"""Findings of a job that has not run for so long are not shown."""


class FindingKind(Struct, frozen=True):
    """A kind of finding. `test` says what makes it one."""

    code: str
    title: str
    remedy: str
    test: str


_ALL: Final = (
    FindingKind(
        "unexplained",
        "A difference that nothing explains",
        "Look at the differences of the day; AppsFlyer's raw data report of it shows which events are missing.",
        "more than 2 % of the count of a day that is final, and 10 or more",
    ),
    FindingKind(
        "second_integration",
        "Another integration sends the same events",
        "Switch Amplitude's own AppsFlyer integration off, in AppsFlyer or in Amplitude.",
        "10 events or more in Amplitude that flybridge has not sent",
    ),
    FindingKind(
        "missed_messages",
        "Messages of AppsFlyer were never received",
        "See `flybridge gaps --fill`, or import AppsFlyer's raw data report of the day.",
        "10 events or more of a source that AppsFlyer counts and flybridge has not received: it was not running, or "
        "they were not pushed",
    ),
    FindingKind(
        "source_silent",
        "A source went silent",
        "Ask the source, and see whether its link and its postbacks in AppsFlyer are still there.",
        "no install of a steady source for so long that chance alone would cause it less than once in 10,000 times",
    ),
    FindingKind(
        "matched_share_fell",
        "Fewer installs of a source reach a person in Amplitude",
        "See what changed in the app's consent dialogue and in the identifiers it passes.",
        "as of `coverage`: 200 installs on both sides, 10 points and a quarter lower, 4 standard deviations",
    ),
    FindingKind(
        "identifier_lost",
        "A version of the app lost an identifier",
        "See what that version changed in the app, its consent dialogue, or AppsFlyer's Push API fields.",
        "as of `coverage`: 200 events on both sides, 10 points and a quarter lower, 4 times the usual deviation",
    ),
    FindingKind(
        "cost_without_installs",
        "Spend without installs",
        "Ask the source what was delivered, and see whether its campaigns carry AppsFlyer's link.",
        "no install in a week for a spend that brings 10 or more at the price of the app's other sources",
    ),
    FindingKind(
        "installs_without_cost",
        "Installs without their cost",
        "See the cost integration of the source in AppsFlyer, or import its costs.",
        "30 installs or more in 3 days without a cost, of a source that had costs before",
    ),
    FindingKind(
        "low_retention",
        "A campaign keeps half as many people as its source",
        "Look at its targeting and at where its installs come from before spending more.",
        "as of `coverage`, against the other campaigns of the source, and at most half of theirs",
    ),
    FindingKind(
        "unknown_currency",
        "Revenue in a currency without a rate",
        "Set `apps.insight.rates` for it, or the currency of the app in AppsFlyer.",
        "1 % or more of the events of a source in a week, and 10 or more",
    ),
)

KINDS: Final[Mapping[str, FindingKind]] = {one.code: one for one in _ALL}
"""The kinds of finding by code, the most urgent first."""


class Finding(Struct, frozen=True):
    """One finding. `evidence` are the figures that its sentence rests on."""

    kind: str
    app: str
    sentence: str
    evidence: dict[str, float | str | None]
    media_source: str = ""
    campaign: str = ""
    event: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, with the words of its kind."""
        kind = KINDS[self.kind]
        return {
            "kind": self.kind,
            "app": self.app,
            "title": kind.title,
            "sentence": self.sentence,
            "remedy": kind.remedy,
            "media_source": self.media_source or None,
            "campaign": self.campaign or None,
            "event": self.event or None,
            "evidence": self.evidence,
        }


class DayFindings(Struct):
    """The findings of one app as the job of a day has made them."""

    findings: list[Finding] = field(default_factory=list)


def written(app: str, day: int, made_ms: int, findings: Sequence[Finding]) -> DayReport:
    """Return findings as they are stored."""
    return DayReport(app, REPORT, day, made_ms, msgspec.json.encode(DayFindings(list(findings))))


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings in the order of their kinds."""
    rank = {code: number for number, code in enumerate(KINDS)}
    return sorted(findings, key=lambda one: (rank[one.kind], one.app, one.media_source, one.campaign, one.event))


async def read_findings(store: Store, scopes: Sequence[AppScope]) -> dict[str, Any]:
    """Return the last findings of these apps as plain values. They are stored, and nothing is asked or computed."""
    apps: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for scope in scopes:
        reports = await store.day_reports(REPORT, scope.today - KEPT_DAYS, scope.today, app=scope.name)
        last = reports[-1] if reports else None
        date, made_at = (date_of(last.day).isoformat(), utc_time(last.made_ms)) if last else (None, None)
        apps.append({"app": scope.name, "date": date, "made_at": made_at})
        if last is not None and (kept := last.read(DayFindings)) is not None:
            findings += (one for one in kept.findings if one.kind in KINDS)
    return {"apps": apps, "findings": [one.as_dict() for one in ordered(findings)]}
