"""The account: every message that was received, by its outcome."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.errors import FlybridgeError
from flybridge.insight.account import AccountLine, by_reason
from flybridge.insight.reasons import Reason, reason_of
from flybridge.records import OutcomeKind
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import OUTCOMES, share, shown

ENTRY: Final = Entry("account", "/account", "Account")

DAYS: Final = 14
MAX_DAYS: Final = 400

MAX_ROWS: Final = 300
"""Rows of one table. Media sources are text from outside, and there may be any number of them."""

BAR: Final = 1000
"""Width of a bar in its own units."""

PARTS: Final[Mapping[str, str]] = {
    "delivered": "accepted by Amplitude",
    "in flight": "waits to be mapped, sent, or tried again",
    "held": "waits for its user to be seen in Amplitude",
    "applied": "identified a user or changed a cohort; nothing to send",
    "duplicate": "the same message had come before",
    "filtered": "left out by the configuration, or of a kind that is never sent",
    "refused": "a rule forbids sending it",
    "expired": "its user was not seen in time",
    "forgotten": "erased at the request of the person",
    "dead": "could not be processed or delivered; kept, and can be sent again",
}
"""The parts that add up to what was received, in the order of the bars."""


class Bar(Struct, frozen=True):
    """One part of a bar: its offset and width, of `BAR`."""

    name: str
    x: float
    width: float


class AccountRow(Struct, frozen=True):
    """One row of the account: what was received, and the outcomes it is made of."""

    app: str
    day: str
    received: int
    parts: Mapping[str, int]
    bars: Sequence[Bar]
    label: str


def routes(site: Site) -> list[Route]:
    """Return the page."""

    async def show(request: Request) -> Response:
        values = shown_account(await site.reader.read(), _days(request))
        values["gaps"] = []
        with suppress(FlybridgeError):  # the banner says that the store can't be reached
            values["gaps"] = await site.operations.gaps()
        return await site.page(request, ENTRY, "account.html", **values)

    return site.routes(ENTRY, show)


def _days(request: Request) -> int:
    """Return the number of days asked for, or the default if it is unusable."""
    asked = request.query_params.get("days", "")
    if not (asked.isascii() and asked.isdigit()):
        return DAYS
    # Python refuses to read a number of thousands of digits.
    return min(int(asked.lstrip("0")[:9] or "0"), MAX_DAYS) or DAYS


def shown_account(reading: Reading, days: int) -> dict[str, Any]:
    """Return the account: the sums of each app, then per day, the newest first."""
    lines = reading.account.lines
    shown_days = sorted({line.day for line in lines}, reverse=True)[:days]
    apps: defaultdict[str, list[AccountLine]] = defaultdict(list)
    for line in lines:
        apps[line.app].append(line)
    rows = [_row(line.app, line.day, [line]) for line in lines if line.day in shown_days]
    rows.sort(key=lambda row: (row.day, row.app), reverse=True)
    totals = [_row(app, "", own) for app, own in sorted(apps.items())]
    present = {name for row in (*rows, *totals) for name, n in row.parts.items() if n}
    return {
        "balanced": bool(lines) and reading.account.balanced and not reading.inbox_away,
        "totals": totals,
        "rows": rows[:MAX_ROWS],
        "left_out": max(0, len(rows) - MAX_ROWS),
        "parts": [name for name in PARTS if name in present],
        "meanings": PARTS,
        "outcomes": OUTCOMES,
        "reasons": reasons(reading, exclude=("dead", "held")),
        "days": days,
        "more_days": len({line.day for line in lines}) > len(shown_days),
    }


def _row(app: str, day: str, lines: Sequence[AccountLine]) -> AccountRow:
    parts: Counter[str] = Counter()
    for line in lines:
        parts.update({kind: n for kind, n in line.outcomes.items() if kind != OutcomeKind.PENDING})
        parts["in flight"] += line.in_flight
    received = sum(line.received for line in lines)
    whole = max(received, sum(parts.values()))
    bars, x = [], 0.0
    for name in PARTS:
        if n := parts[name]:
            width = BAR * n / whole
            bars.append(Bar(name.replace(" ", "-"), round(x, 2), round(width, 2)))
            x += width
    label = ", ".join(f"{OUTCOMES[name]} {share(parts[name], whole)}" for name in PARTS if parts[name])
    return AccountRow(shown(app), day, received, parts, bars, label or "nothing yet")


def reasons(reading: Reading, *, only: str = "", exclude: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return a row per outcome, app and reason, in the order of the outcomes, the most first."""
    kinds = [only] if only else [kind for kind in PARTS if kind not in {*exclude, "in flight"}]
    rows = []
    for kind in kinds:
        for app, code, n, first, last in by_reason(reading.counts, kind):
            if not code and not only and kind != OutcomeKind.EXPIRED:
                continue
            reason: Reason = reason_of(kind, code)
            rows.append(
                {
                    "outcome": kind,
                    "app": shown(app),
                    "code": code,
                    "n": n,
                    "first": first,
                    "last": last,
                    "meaning": reason.meaning,
                    "remedy": reason.remedy,
                }
            )
    return rows[:MAX_ROWS]
