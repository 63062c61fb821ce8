"""Questions about performance as people write them, in options of a command or in a query string.

Raises `ConfigError` for what can't be answered, with the option and what to write instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Final

from flybridge.errors import ConfigError
from flybridge.insight.cohorts import COHORT_METRICS, GRAINS, CohortMetric
from flybridge.insight.performance import BY, AppScope, Question, last_day_over
from flybridge.store.performance import country_label, day_number, label, source_label

DAYS: Final = 28
"""The period that is shown if none is asked for ends yesterday and has so many days."""

LONGEST: Final = 800
"""Days of the longest period."""


def asked(given: Mapping[str, str | None], scopes: Sequence[AppScope]) -> Question:
    """Return a question: `by`, `from`, `to`, and the names to choose by `media_source`, `campaign`, and so on."""
    return Question(
        *period(given.get("from"), given.get("to"), until=last_day_over(scopes)),
        groups_asked(given.get("by") or "", BY),
        source_asked(given),
        label(given.get("campaign")) or None,
        country_label(given.get("country")) or given.get("country"),
        (given.get("platform") or "").strip().lower() or None,
    )


def source_asked(given: Mapping[str, str | None]) -> str | None:
    """Return the media source that is asked for as it is counted; None for all."""
    return source_label(given.get("media_source") or given.get("source") or "") or None


def chosen_scopes(scopes: Sequence[AppScope], name: str | None) -> list[AppScope]:
    """Return the app of this name, or all."""
    found = [scope for scope in scopes if name in (None, "", scope.name)]
    if not found:
        known = ", ".join(scope.name for scope in scopes)
        raise ConfigError("app", "there is no app of this name.", f"Name one of {known}.")
    return found


def chosen_cohort(metric: str | None, grain: str | None, scopes: Sequence[AppScope]) -> tuple[CohortMetric, str]:
    """Return the metric and grain of cohorts, which are of one app."""
    name, chosen = metric or "retention", grain or GRAINS[0]
    if name not in COHORT_METRICS:
        raise ConfigError("metric", "cohorts have no metric of this name.", f"Name one of {', '.join(COHORT_METRICS)}.")
    if chosen not in GRAINS:
        raise ConfigError("grain", "there is no grain of this name.", f"Name one of {', '.join(GRAINS)}.")
    if len(scopes) > 1:
        raise ConfigError("app", "cohorts are of one app.", f"Name one of {', '.join(one.name for one in scopes)}.")
    return COHORT_METRICS[name], chosen


def groups_asked(by: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the names of groups, of those that are known."""
    groups = tuple(name.strip() for name in by.split(",") if name.strip())
    for name in groups:
        if name not in known:
            raise ConfigError("by", f"there is no group {name[:40]!r}.", f"Name some of {', '.join(known)}.")
    return groups


def period(first: str | None, last: str | None, *, until: int, days: int = DAYS) -> tuple[int, int]:
    """Return the first and last day. If they are not given, the period ends with `until` and has so many days."""
    end = day_asked("to", last) if last else until
    start = day_asked("from", first) if first else end - days + 1
    if start > end:
        raise ConfigError("from", "is after the last day.", "Name the earlier day first.")
    if end - start >= LONGEST:
        raise ConfigError("from", f"the period has more than {LONGEST} days.", "Ask for a shorter one.")
    return start, end


def day_asked(option: str, text: str) -> int:
    """Return the number of a day. Raises `ConfigError` that names the option."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if not 2008 <= day.year <= 2100:
        raise ConfigError(option, f"{text[:40]!r} is not a date.", "Write it as 2026-01-31.") from None
    return day_number(day)
