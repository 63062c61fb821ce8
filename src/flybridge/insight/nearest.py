"""What to ask for instead, where a question about performance has no figures: the nearest days, or the names there are.

It reads backwards and forwards from the period, in longer and longer pieces, so that it costs little where figures are
near.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from flybridge.insight.performance import IN_NO_FIGURE, AppScope, Question
from flybridge.records import PerformanceKind
from flybridge.store.performance import Slice, date_of
from flybridge.store.protocol import Store

PIECE_DAYS: Final = 28
FARTHEST_DAYS: Final = 1_200
"""How far from the period figures are looked for."""

QUIET_DAYS: Final = 400
"""How far back from the last day with figures an install is looked for."""

MOST_NAMED: Final = 12

FILTERS: Final = {"media_source": "media source", "campaign": "campaign", "country": "country", "platform": "platform"}


async def latest(store: Store, apps: Sequence[AppScope], question: Question) -> tuple[Question, str]:
    """Return the question for as many days up to the last with figures, if it has none, and a sentence that says so.

    Where the first figures are of a later day, which is not over, it is for the days up to today. The question itself
    and no sentence, if it has figures or there are none at all.
    """
    if await _days(store, apps, question, question.first, question.last):
        return question, ""
    last = await last_day_before(store, apps, question)
    if last is None:
        return await _begun(store, apps, question)
    shown = await days_up_to(store, apps, question, last)
    until = "then" if shown.last == last else f"{date_of(shown.last)}, the last with an install"
    return shown, f"Nothing was counted after {date_of(last)}: these are the {shown.days} days up to {until}."


async def _begun(store: Store, apps: Sequence[AppScope], question: Question) -> tuple[Question, str]:
    today = max((app.today for app in apps), default=question.last)
    first = min(await _days(store, apps, question, question.last + 1, today), default=None)
    if first is None:
        return question, ""
    sentence = (
        f"The first figures are of {date_of(first)}: these are the {question.days} days up to today, which is not over."
    )
    return structs.replace(question, first=today - question.days + 1, last=today), sentence


async def days_up_to(store: Store, apps: Sequence[AppScope], question: Question, last: int) -> Question:
    """Return the question for as many days up to one; if nobody came in them, up to the last before with an install.

    Events of people who came long ago go on for weeks, and are not what is looked for.
    """
    before = structs.replace(question, first=last - QUIET_DAYS, last=last)
    came = [day for kind, day in await _counted(store, apps, before) if kind == PerformanceKind.INSTALL]
    days = question.last - question.first
    end = max(came, default=last)
    if end >= last - days:
        end = last
    return structs.replace(question, first=end - days, last=end)


async def last_day_before(store: Store, apps: Sequence[AppScope], question: Question) -> int | None:
    """Return the last day before the period with figures; None if there is none."""
    before = None
    length, first = PIECE_DAYS, question.first
    while before is None and question.first - first < FARTHEST_DAYS:
        days = await _days(store, apps, question, first - length, first - 1)
        before = max(days, default=None)
        first, length = first - length, 2 * length
    return before


async def instead_of(store: Store, apps: Sequence[AppScope], question: Question) -> str:
    """Return a sentence about where there are figures, for a question that has none."""
    before, after = await _nearest(store, apps, question)
    found = []
    if before is not None:
        found.append(f"the last day before it with figures is {date_of(before)}")
    if after is not None:
        found.append(f"the first after it is {date_of(after)}")
    if found:
        sentence = " and ".join(found)
        return f"{sentence[0].upper()}{sentence[1:]}."
    return await _names(store, apps, question)


async def _names(store: Store, apps: Sequence[AppScope], question: Question) -> str:
    """Return a sentence about the names that can be asked for in place of one that nothing was counted under."""
    for name, title in FILTERS.items():
        wanted = getattr(question, name)
        if wanted is None:
            continue
        rest = structs.replace(question, media_source=None, campaign=None, country=None, platform=None)
        known = await _known(store, apps, rest, name)
        if not known:
            break
        if wanted not in known:
            more = f", and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
            named = ", ".join(known[:MOST_NAMED])
            return f"Nothing is counted under the {title} {wanted[:80]!r}. There are {named}{more}."
    return "Nothing was counted yet. Messages of AppsFlyer are counted when they come in, or by `flybridge import`."


async def _known(store: Store, apps: Sequence[AppScope], rest: Question, name: str) -> list[str]:
    """Return the values of a label, in the period or nearest to it."""
    before, after = await _nearest(store, apps, rest)
    for at in (None, before, after):
        first, last = (rest.first, rest.last) if at is None else (at - PIECE_DAYS + 1, at + PIECE_DAYS - 1)
        found = {
            getattr(row.labels, name)
            for app in apps
            for row in await store.performance(Slice(first, last, app.today, frozenset({name}), app.name))
            if row.kind not in IN_NO_FIGURE
        }
        if found - {""}:
            return sorted(found - {""})
    return []


async def _nearest(store: Store, apps: Sequence[AppScope], question: Question) -> tuple[int | None, int | None]:
    """Return the last day before the period with figures, and the first after it. None: there is none."""
    before, after = await last_day_before(store, apps, question), None
    last, length, until = question.last, PIECE_DAYS, max((app.today for app in apps), default=question.last)
    while after is None and last < until:
        days = await _days(store, apps, question, last + 1, last + length)
        after = min(days, default=None)
        last, length = last + length, 2 * length
    return before, after


async def _days(store: Store, apps: Sequence[AppScope], question: Question, first: int, last: int) -> set[int]:
    return {day for _, day in await _counted(store, apps, structs.replace(question, first=first, last=last))}


async def _counted(store: Store, apps: Sequence[AppScope], question: Question) -> set[tuple[str, int]]:
    """Return the kinds that were counted on each day."""
    return {
        (row.kind, row.labels.day)
        for app in apps
        for row in await store.performance(question.of_app(app, {"day"}))
        if row.kind not in IN_NO_FIGURE
    }
