"""The days that a page about performance begins with, where nothing was counted in the usual ones."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from flybridge.insight.nearest import days_up_to, last_day_before, latest
from flybridge.insight.performance import AppScope
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.web.console.filters import CUSTOM, Filters


class EarlierFigures(Struct, frozen=True):
    """A sentence about figures before the period, and the link to them: its words, and its query string."""

    sentence: str
    link: str
    query: str


async def latest_of(store: Store, scopes: Sequence[AppScope], filters: Filters) -> tuple[Filters, str]:
    """Return the question for as many days up to the last with figures, and a sentence; no sentence if none have."""
    question, sentence = await latest(store, scopes, filters.question())
    if not sentence:
        return filters, ""
    return structs.replace(filters, period=CUSTOM, first=question.first, last=question.last), sentence


async def earlier_of(store: Store, scopes: Sequence[AppScope], filters: Filters) -> EarlierFigures | None:
    """Return where there are figures, for a period before which there are none for as long as it is."""
    last = await last_day_before(store, scopes, filters.question())
    if last is None or last >= filters.first - filters.days:
        return None
    shown = await days_up_to(store, scopes, filters.question(), last)
    then = structs.replace(filters, period=CUSTOM, first=shown.first, last=shown.last)
    return EarlierFigures(
        f"The last day before these with figures is {date_of(last)}.",
        f"Show {date_of(shown.first)} to {date_of(shown.last)}",
        then.query(),
    )
