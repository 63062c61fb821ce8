"""What a page about performance is asked for, as it stands in its address: period, filters and view. Pure.

Raises `ConfigError` for what can't be answered, with what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct, structs

from flybridge.errors import ConfigError
from flybridge.insight.metrics import HORIZONS
from flybridge.insight.performance import AppScope, Question, last_day_over
from flybridge.insight.question import asked
from flybridge.store.performance import country_label, date_of, day_number, label, source_label

PERIODS: Final[Mapping[str, str]] = {
    "yesterday": "Yesterday",
    "7d": "7 days",
    "28d": "28 days",
    "90d": "90 days",
    "month": "This month",
    "last-month": "Last month",
}
CUSTOM: Final = "custom"
COMPARISONS: Final[Mapping[str, str]] = {"before": "Period before", "year": "A year before", "off": "Nothing"}
VIEWS: Final[Mapping[str, str]] = {
    "acquisition": "User acquisition",
    "retargeting": "Retargeting",
    "unified": "Unified",
}
BOOKINGS: Final[Mapping[str, str]] = {"event": "Day of the event", "install": "Day of the install"}
YEAR: Final = 364
"""Days between a day and the same day of the week a year before."""

NAMES: Final = ("media_source", "campaign", "country", "platform")


class Filters(Struct, frozen=True):
    """The question of a page. Days are numbers since 1970, both inclusive; an empty name filters nothing."""

    period: str
    first: int
    last: int
    compare: str = "before"
    app: str = ""
    media_source: str = ""
    campaign: str = ""
    country: str = ""
    platform: str = ""
    organic: bool = True
    view: str = "acquisition"
    booking: str = "event"
    horizon: int = 7

    @property
    def days(self) -> int:
        """The number of days of the period."""
        return self.last - self.first + 1

    def question(self, *by: str) -> Question:
        """Return the question for the store, grouped by these labels."""
        names = (self.media_source, self.campaign, self.country, self.platform)
        return Question(self.first, self.last, by, *(name or None for name in names))

    def compared(self) -> Filters | None:
        """Return the same for the period that it is compared with; None if it is compared with nothing."""
        if self.compare == "off":
            return None
        back = YEAR if self.compare == "year" else self.days
        return structs.replace(self, first=self.first - back, last=self.last - back)

    def query(self, **changes: object) -> str:
        """Return the query string of this question with some changes. What is as usual is left out."""
        own = {field: getattr(self, field) for field in ("compare", "app", *NAMES, "view", "booking", "horizon")}
        usual = Filters("", 0, 0)
        own |= {"organic": "" if self.organic else "off"}
        if self.period == CUSTOM:
            own |= {"from": date_of(self.first).isoformat(), "to": date_of(self.last).isoformat()}
        elif self.period != USUAL:
            own |= {"period": self.period}
        own |= changes
        kept = {
            name: value
            for name, value in own.items()
            if value not in (None, "") and value != getattr(usual, name, "")
        }  # fmt: skip
        return urlencode(kept)


USUAL: Final = "28d"


def names_period(query: Mapping[str, str]) -> bool:
    """Whether a query string says which days are meant."""
    return any(query.get(name) for name in ("period", "from", "to"))


def filters_of(query: Mapping[str, str], scopes: Sequence[AppScope]) -> Filters:
    """Return the question of a query string. Periods end on the last day that is over in the app, or in all apps."""
    asked_of = [scope for scope in scopes if scope.name == query.get("app")] or scopes
    period, first, last = _period(query, asked_of, {scope.today for scope in scopes})
    return Filters(
        period,
        first,
        last,
        compare=_one_of("compare", query, COMPARISONS),
        app=query.get("app", ""),
        media_source=source_label(query.get("media_source", "")),
        campaign=label(query.get("campaign")),
        country=country_label(query.get("country")) or query.get("country", ""),
        platform=label(query.get("platform")),
        organic=query.get("organic") != "off",
        view=_one_of("view", query, VIEWS),
        booking=_one_of("booking", query, BOOKINGS),
        horizon=int(_one_of("horizon", query, {str(day): "" for day in (7, *HORIZONS)})),
    )


def _one_of(name: str, query: Mapping[str, str], known: Mapping[str, str]) -> str:
    found = query.get(name) or next(iter(known))
    if found not in known:
        raise ConfigError(name, f"there is no {found[:40]!r}.", f"Choose one of {', '.join(known)}.")
    return found


def _period(query: Mapping[str, str], scopes: Sequence[AppScope], todays: set[int]) -> tuple[str, int, int]:
    """Return the name of the period, and its days. Dates count if they are others than those of a named period.

    A form sends those of the app that was shown before; `todays` are the days in all apps.
    """
    name = query.get("period") or USUAL
    today = last_day_over(scopes) + 1
    span = span_of(name, today)
    if query.get("from") or query.get("to"):
        question = asked({"from": query.get("from"), "to": query.get("to")}, scopes)
        if (question.first, question.last) not in {span_of(name, day) for day in (today, *todays)}:
            return CUSTOM, question.first, question.last
    if span is None:
        raise ConfigError("period", f"there is no {name[:40]!r}.", f"Choose one of {', '.join(PERIODS)}.")
    return name, *span


def span_of(name: str, today: int) -> tuple[int, int] | None:
    """Return the first and last day of a named period; None if there is none of this name."""
    at = date_of(today)
    month = at.replace(day=1)
    before = date_of(day_number(month) - 1).replace(day=1)
    spans = {
        "yesterday": (today - 1, today - 1),
        "7d": (today - 7, today - 1),
        "28d": (today - 28, today - 1),
        "90d": (today - 90, today - 1),
        "month": (day_number(month), today),
        "last-month": (day_number(before), day_number(month) - 1),
    }
    return spans.get(name)


def iso(day: int) -> str:
    """Return a day as `2026-01-31`."""
    return date_of(day).isoformat()


def short(day: int) -> str:
    """Return a day as `31 Jan`."""
    at: date = date_of(day)
    return f"{at.day} {at:%b}"
