"""AppsFlyer's, flybridge's and Amplitude's counts side by side, and what makes them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct, structs
from starlette.routing import Route

from flybridge.insight.causes import AMPLITUDE, APPSFLYER, CAUSES
from flybridge.insight.cohort_comparison import ACTIVE, INSTALLS, REVENUE
from flybridge.insight.cohort_differences import CohortDifferenceQuestion, read_cohort_differences
from flybridge.insight.comparison import ALL_EVENTS
from flybridge.insight.csv_text import csv_text
from flybridge.insight.differences import (
    asked_differences,
    last_compared,
    notes_of,
    partly_compared,
    read_differences,
    zones_apart,
)
from flybridge.insight.findings import read_findings
from flybridge.insight.performance import AppScope
from flybridge.insight.question import chosen_scopes
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.web.console.figures import name_of
from flybridge.web.console.filters import CUSTOM, PERIODS, Filters, filters_of, iso, names_period
from flybridge.web.console.latest import latest_of
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.waterfall import waterfall
from flybridge.web.console.words import masked_sentence, shown, uncut

ENTRY: Final = Entry("differences", "/differences", "Differences", with_period=True)

KINDS: Final[Mapping[str, str]] = {
    "install": "Installs",
    "reinstall": "Reinstalls",
    "re-engagement": "Re-engagements",
    "re-attribution": "Re-attributions",
}
BY: Final[Mapping[str, str]] = {"date": "Day", "media_source": "Source"}
URGENT: Final = frozenset({"unexplained", "second_integration", "missed_messages", "source_silent"})
MAX_ROWS: Final = 400
ALONE: Final = 3
"""Up to so many findings of a kind have a card each."""


class Counts(Struct, frozen=True):
    """One row of the table, and the rows under it. A count is None where that side was not asked."""

    name: str
    appsflyer: int | None
    flybridge: int
    amplitude: int | None
    received: int | None
    delivered: int | None
    unexplained: int | None
    under: Sequence[Counts] = ()


class DifferencesQuery(Struct, frozen=True):
    """The question of the page: a period, apps, what is compared, and what rows are by."""

    filters: Filters
    event: str
    kind: str
    by: str

    @property
    def is_event(self) -> bool:
        """Whether an in-app event is compared."""
        return self.kind == "event" or self.event not in KINDS

    def query(self, **changes: object) -> str:
        """Return the query string of this question with some changes."""
        own: dict[str, object] = {"event": "" if self.event == "install" else self.event, "kind": self.kind}
        own["by"] = "" if self.by == "date" else self.by
        if self.filters.period != CUSTOM:
            own["period"] = self.filters.period
        return self.filters.query(**own | changes)

    def given(self, by: str) -> dict[str, str | None]:
        """Return the question as `asked_differences` reads it."""
        return {
            "from": iso(self.filters.first),
            "to": iso(self.filters.last),
            "by": by,
            "event": self.event,
            "kind": self.kind or None,
            "media_source": self.filters.media_source or None,
        }


def routes(site: Site) -> list[Route]:
    """Return the page and its figures as CSV."""
    return site.figures(ENTRY, shown_differences, csv_of)


def asked_for(site: Site, query: Mapping[str, str]) -> DifferencesQuery:
    """Return the question of a query string. An event of a select is its kind and name in one."""
    filters = filters_of({"period": "7d", **query}, site.scopes())
    event, kind = query.get("event") or "install", query.get("kind", "")
    if event.startswith("event:"):
        event, kind = event.removeprefix("event:"), "event"
    by = query.get("by", "")
    return DifferencesQuery(filters, event, kind if kind == "event" else "", by if by in BY else "date")


async def shown_differences(site: Site, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the page."""
    it = asked_for(site, query)
    everyone = site.scopes()
    scopes = chosen_scopes(everyone, it.filters.app) if everyone else []
    if not scopes:
        return {"asked": None}
    other = "media_source" if it.by == "date" else "date"
    whole = await read_differences(site.store, scopes, asked_differences(it.given(it.by), scopes))
    instead = ""
    if not whole["days"] and not names_period(query):
        it, instead = await _latest(site.store, scopes, it)
        whole = await read_differences(site.store, scopes, asked_differences(it.given(it.by), scopes))
    fine = await read_differences(site.store, scopes, asked_differences(it.given(f"{it.by},{other}"), scopes))
    findings = await read_findings(site.store, scopes)
    total = whole["total"]
    notes = [*zones_apart(whole["days"]), *partly_compared(whole, scopes), *notes_of(whole["days"])]
    rows = _rows(whole["rows"], fine["rows"], it.by, other)
    chosen = it.filters
    asked = CohortDifferenceQuestion(chosen.first, chosen.last, ("media_source",), chosen.media_source or None)
    cohorts = await read_cohort_differences(site.store, scopes, asked)
    return {
        "asked": it,
        "filters": it.filters,
        "periods": PERIODS,
        "by": BY,
        "apps": [scope.name for scope in everyone],
        "events": _events(whole["events"], it),
        "range": f"{iso(it.filters.first)} to {iso(it.filters.last)}",
        "instead": instead,
        "what": _named(it.event, is_event=it.is_event),
        "findings": _findings(findings["findings"]),
        "looked": [one for one in findings["apps"] if one["made_at"]],
        "counts": _counts("Total", total),
        "waterfall": waterfall(total, _events_of(it, scopes)),
        "rows": rows[:MAX_ROWS],
        "left_out": len(rows[MAX_ROWS:]),
        "days": whole["days"],
        "cohorts": [_cohort(one, cohorts["currency"]) for one in cohorts["total"]],
        "cohort_days": len({day["date"] for day in cohorts["days"] if day["made_at"]}),
        "cohort_notes": [masked_sentence(note) for note in notes_of(cohorts["days"])],
        "notes": [masked_sentence(note) for note in notes],
        "open": len({day["date"] for day in whole["days"] if not day["is_final"]}),
        "source": shown(it.filters.media_source) if it.filters.media_source else "",
        "query": it.query(),
    }


def _cohort(one: Mapping[str, Any], currency: str | None) -> dict[str, Any]:
    """Return a figure of the cohorts of all sources, with what AppsFlyer and flybridge have of it."""
    whole = one["metric"] != REVENUE
    name = {INSTALLS: "Installs", ACTIVE: f"Active on day {one['day']}"}.get(one["metric"])
    difference = one["flybridge"] - one["appsflyer"]
    return {
        "name": name or f"Revenue to day {one['day']}{f' ({currency})' if currency else ''}",
        "appsflyer": _figure(one["appsflyer"], whole=whole),
        "flybridge": _figure(one["flybridge"], whole=whole),
        "difference": _figure(difference, "+", whole=whole) if difference else "0",
        "unexplained": _figure(one["unexplained"], whole=whole) if one["unexplained"] else "",
        "causes": [(CAUSES[part["code"]], _figure(part["n"], "+", whole=whole)) for part in one["causes"]],
    }


def _figure(n: float, sign: str = "", *, whole: bool) -> str:
    return f"{n:{sign},}" if whole else f"{n:{sign},.2f}"


async def _latest(store: Store, scopes: Sequence[AppScope], it: DifferencesQuery) -> tuple[DifferencesQuery, str]:
    """Return the question for as many days up to the last that was compared, or else counted, and a sentence."""
    filters = it.filters
    last = await last_compared(store, scopes, filters.first)
    if last is None:
        filters, sentence = await latest_of(store, scopes, filters)
    else:
        sentence = f"Nothing was compared after {iso(last)}: these are the {filters.days} days up to then."
        filters = structs.replace(filters, period=CUSTOM, first=last - filters.days + 1, last=last)
    return structs.replace(it, filters=filters), sentence


def _events(found: Sequence[Mapping[str, Any]], it: DifferencesQuery) -> list[tuple[str, str]]:
    """Return what can be compared, as values and names of a select; what is chosen is always among them."""
    ordered = [(one["event"] or one["kind"], one["event"] is not None) for one in found]
    if (chosen := (it.event, it.is_event)) not in ordered:
        ordered.insert(0, chosen)
    return [(f"event:{name}" if is_event else name, _named(name, is_event=is_event)) for name, is_event in ordered]


def _named(name: str, *, is_event: bool) -> str:
    if name == ALL_EVENTS:
        return "All in-app events"
    return shown(name) if is_event else KINDS.get(name, shown(name))


def _events_of(it: DifferencesQuery, scopes: Sequence[AppScope]) -> dict[str, str]:
    """Return the filters by which the events of this page are found, by UTC days of reception.

    The first day has begun earlier in the east, and events may arrive a day later than they happened.
    """
    filters = it.filters
    midnights = [datetime.combine(date_of(filters.first), time(), ZoneInfo(scope.zone)) for scope in scopes]
    chosen = {"app": filters.app, "media_source": filters.media_source}
    if it.kind == "event" and it.event != ALL_EVENTS:
        chosen["event"] = it.event
    chosen |= {"since": min(at.astimezone(UTC).date() for at in midnights).isoformat(), "until": iso(filters.last + 1)}
    return {name: value for name, value in chosen.items() if value}


def _findings(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the cards of the findings: one each, and one for all of a kind where there are many."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        kinds.setdefault(one["kind"], []).append(one)
    cards = []
    for ones in kinds.values():
        together = [ones] if len(ones) > ALONE else [[one] for one in ones]
        cards += [{**_finding(some[0]), "ones": [_finding(one) for one in some]} for some in together]
    return cards


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    evidence = [
        (shown(name.replace("_", " ")), f"{value:,.4g}" if isinstance(value, float) else shown(value))
        for name, value in one["evidence"].items()
        if value is not None
    ]
    return {
        "level": "bad" if one["kind"] in URGENT else "warn",
        "app": shown(one["app"]),
        "title": one["title"],
        "sentence": masked_sentence(one["sentence"]),
        "remedy": one["remedy"],
        "evidence": evidence,
    }


def _counts(name: str, sums: Mapping[str, Any], under: Sequence[Counts] = ()) -> Counts:
    """Return one row: the differences are of what is known on both sides."""
    appsflyer, amplitude = sums["appsflyer"], sums["amplitude"]
    return Counts(
        name,
        appsflyer,
        sums["flybridge"],
        amplitude,
        None if appsflyer is None else sums["flybridge_with_appsflyer"] - appsflyer,
        None if amplitude is None else amplitude - sums["flybridge_with_amplitude"],
        sums["left"],
        under,
    )


def _rows(whole: Sequence[Mapping[str, Any]], fine: Sequence[Mapping[str, Any]], by: str, other: str) -> list[Counts]:
    """Return rows with those of the other group under them; days the newest first."""
    under: dict[Any, list[Counts]] = {}
    for one in fine:
        under.setdefault(one[by], []).append(_counts(_group(other, one[other]), one))
    rows = [_counts(_group(by, one[by]), one, under.get(one[by], ())) for one in whole]
    return rows[::-1] if by == "date" else rows


def _group(label: str, value: str | None) -> str:
    return value or "" if label == "date" else name_of("media_source", value)


async def csv_of(site: Site, query: Mapping[str, str]) -> tuple[str, str]:
    """Return the counts and causes by app, day and source as CSV with plain numbers, and a name for the file."""
    it = asked_for(site, query)
    scopes = chosen_scopes(site.scopes(), it.filters.app)
    found = await read_differences(site.store, scopes, asked_differences(it.given("app,date,media_source"), scopes))
    rows: list[list[object]] = [
        ["app", "date", "media_source", "appsflyer", "flybridge", "amplitude", *CAUSES, "unexplained_appsflyer",
         "unexplained_amplitude"]
    ]  # fmt: skip
    for row in found["rows"]:
        causes = {one["code"]: one["n"] for one in row["causes"]}
        left = [row["unexplained"][APPSFLYER], row["unexplained"][AMPLITUDE]]
        counts = [row["appsflyer"], row["flybridge"], row["amplitude"]]
        labels = [uncut(row[name] or "") for name in ("app", "date", "media_source")]
        rows.append([*labels, *counts, *(causes.get(code, 0) for code in CAUSES), *left])
    return csv_text(rows), f"differences-{iso(it.filters.first)}-{iso(it.filters.last)}.csv"
