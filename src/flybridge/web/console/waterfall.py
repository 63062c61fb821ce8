"""From one count to the next: the causes of a difference as rows with floating bars. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct

from flybridge.insight.causes import AMPLITUDE, APPSFLYER, CAUSES
from flybridge.insight.reconcile import CODES, OUTCOMES
from flybridge.records import OutcomeKind
from flybridge.web.console.words import IDENTIFIERS, shown

WIDTH: Final = 1000
"""Width of a bar in its own units."""

MARGIN: Final = 0.15
"""Part of the range that is left free where bars do not begin at 0."""

UNEXPLAINED_SENTENCE: Final = "No cause accounts for this part."
UNEXPLAINED_REMEDY: Final = (
    "Compare AppsFlyer's raw data report of the day with `flybridge account`; it shows which events are missing."
)

OUTCOME_OF: Final[Mapping[str, str]] = {
    **{cause: outcome for outcome, cause in OUTCOMES.items() if outcome != OutcomeKind.APPLIED},
    **{cause: outcome for (outcome, _), cause in CODES.items()},
    "unreadable": OutcomeKind.DEAD,
}
"""The outcome of the events of a cause, by which they are found. Those of other causes never came or were delivered."""


class Step(Struct, frozen=True):
    """One row: a count (`base`), a cause (`more` or `less`), or what is not explained. `x` and `width` are its bar."""

    kind: str
    title: str
    n: int
    x: float
    width: float
    sentence: str = ""
    remedy: str = ""
    path: str = ""
    details: Sequence[tuple[str, int]] = ()


class Waterfall(Struct, frozen=True):
    """All rows. Bars begin at `begins`, which is 0 unless the differences would be too small to see."""

    steps: Sequence[Step]
    begins: int


def waterfall(total: Mapping[str, Any], events: Mapping[str, str] | None = None) -> Waterfall:
    """Return the rows from AppsFlyer's count to flybridge's and on to Amplitude's, as far as each is known.

    `events` are filters of the page of events; with them causes lead to their events.
    """
    rows: list[tuple[str, str, int, int, Mapping[str, Any]]] = []  # kind, title, n, level before
    level = 0
    if total["appsflyer"] is not None:
        level = total["appsflyer"]
        rows.append(("base", "AppsFlyer", level, 0, {}))
        level = _causes(rows, total, APPSFLYER, level)
        rows.append(("base", "flybridge", level, 0, {}))
    if total["amplitude"] is not None:
        if total["appsflyer"] is None or level != total["flybridge_with_amplitude"]:
            level = total["flybridge_with_amplitude"]
            title = "flybridge" if total["appsflyer"] is None else "flybridge, where Amplitude's count is known"
            rows.append(("base", title, level, 0, {}))
        level = _causes(rows, total, AMPLITUDE, level)
        rows.append(("base", "Amplitude", level, 0, {}))
    if not rows:
        rows.append(("base", "flybridge", total["flybridge"], 0, {}))
    levels = [before + n for _, _, n, before, _ in rows] + [before for kind, _, _, before, _ in rows if kind != "base"]
    low, high = min(levels, default=0), max(levels, default=0)
    begins = max(0, int(low - MARGIN * (high - low))) if high - low < high / 4 else 0
    whole = max(1, high - begins)
    return Waterfall([_step(*row, begins=begins, whole=whole, events=events or {}) for row in rows], begins)


def _causes(rows: list[Any], total: Mapping[str, Any], step: str, level: int) -> int:
    """Add the rows of one step; return the count that they lead to."""
    for cause in total["causes"]:
        if cause["step"] == step:
            kind = "more" if cause["n"] > 0 else "less"
            rows.append((kind, CAUSES[cause["code"]].title, cause["n"], level, cause))
            level += cause["n"]
    left, parts = total["unexplained"][step], total["unexplained_parts"][step]
    if parts["more"] or parts["less"]:
        rows.append(("unexplained", "Unexplained", left, level, parts))
        level += left
    return level


def _offset(parts: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return what is taken from some rows and added to others, if both is the case: their sum hides it."""
    if not (parts.get("more") and parts.get("less")):
        return []
    return [("in some rows", -parts["less"]), ("in others", parts["more"])]


def _detail(text: str) -> str:
    """Return a detail of a cause: kinds of identifier by their names, other texts as they are."""
    kinds = text.split(" ")
    if all(kind in IDENTIFIERS for kind in kinds):
        return " + ".join(IDENTIFIERS[kind] for kind in kinds)
    return shown(text)


def _step(
    kind: str,
    title: str,
    n: int,
    before: int,
    cause: Mapping[str, Any],
    *,
    begins: int,
    whole: int,
    events: Mapping[str, str],
) -> Step:
    left, right = (begins, n) if kind == "base" else (min(before, before + n), max(before, before + n))
    x = (left - begins) / whole * WIDTH
    width = max(3.0 if kind != "base" else 0.0, (right - left) / whole * WIDTH)
    sentence = remedy = path = ""
    if kind == "unexplained":
        sentence, remedy = UNEXPLAINED_SENTENCE, UNEXPLAINED_REMEDY
    elif cause:
        known = CAUSES[cause["code"]]
        sentence, remedy = known.sentence, known.remedy
        if outcome := OUTCOME_OF.get(known.code):
            path = f"/events?{urlencode({**events, 'outcome': outcome})}"
    details = [(_detail(one["detail"]), one["n"]) for one in cause.get("details", ())] + _offset(cause)
    return Step(kind, title, n, round(min(x, WIDTH - width), 1), round(width, 1), sentence, remedy, path, details)
