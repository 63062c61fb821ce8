"""The values of each page's template from a reading. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from flybridge.delivery.circuit import Circuit, Phase
from flybridge.insight.account import AccountLine, by_reason
from flybridge.insight.hints import AGES, OLDER, Known, age_of, hint
from flybridge.insight.native import native_warnings
from flybridge.insight.reasons import Reason, reason_of
from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.store.figures import HeldCount
from flybridge.store.protocol import Lane
from flybridge.web.console.reading import Reading
from flybridge.web.console.words import share, shown, span

MAX_ROWS: Final = 300
"""Rows of one table. Media sources are text from outside, and there may be any number of them."""

SLOW_INBOX_MS: Final = 300_000
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


class Advice(Struct, frozen=True):
    """Something that needs attention: its level, a sentence, and the page with details."""

    level: str
    sentence: str
    page: str = ""


def overview(reading: Reading, days: int) -> dict[str, Any]:
    """Return the account: the sums of each app, then per day, the newest first."""
    lines = reading.account.lines
    shown_days = sorted({line.day for line in lines}, reverse=True)[:days]
    apps: defaultdict[str, list[AccountLine]] = defaultdict(list)
    for line in lines:
        apps[line.app].append(line)
    rows = [_row(line.app, line.day, [line]) for line in lines if line.day in shown_days]
    rows.sort(key=lambda row: (row.day, row.app), reverse=True)
    present = {name for row in rows for name, n in row.parts.items() if n}
    totals = [_row(app, "", own) for app, own in sorted(apps.items())]
    present |= {name for row in totals for name, n in row.parts.items() if n}
    return {
        "advice": advice(reading),
        "balanced": bool(lines) and reading.account.balanced and not reading.inbox_away,
        "totals": totals,
        "rows": rows[:MAX_ROWS],
        "left_out": max(0, len(rows) - MAX_ROWS),
        "parts": [name for name in PARTS if name in present],
        "meanings": PARTS,
        "reasons": _reasons(reading, exclude=("dead", "held")),
        "days": days,
        "more_days": len({line.day for line in lines}) > len(shown_days),
        "waiting": reading.depth.waiting if reading.depth else None,
        "oldest": span(reading.at_ms - reading.depth.oldest_ms) if reading.depth and reading.depth.oldest_ms else "",
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
    label = ", ".join(f"{name} {share(parts[name], whole)}" for name in PARTS if parts[name])
    return AccountRow(shown(app), day, received, parts, bars, label or "nothing yet")


def advice(reading: Reading) -> list[Advice]:
    """Return what needs an operator, the worst first."""
    found = [
        Advice(
            "bad", f"{shown(wrong.app)}, {wrong.day}: {wrong.what} Expected {wrong.expected:,}, found {wrong.found:,}."
        )
        for wrong in reading.account.discrepancies
    ]
    if reading.inbox_away:
        found.append(Advice("bad", "The inbox can't be read, so what it holds is missing from these sums."))
    for lane, circuit in sorted((reading.circuits or {}).items()):
        if circuit.phase is not Phase.CLOSED:
            found.append(
                Advice(
                    _level(circuit), f"{shown(lane.app)}, {lane.endpoint}: {_state(circuit, reading.at_ms)}", "lanes"
                )
            )
    if dead := sum(count.n for count in reading.counts if count.outcome == OutcomeKind.DEAD):
        found.append(Advice("warn", f"{_events(dead)} could not be processed or delivered.", "dead"))
    found += [Advice("warn", shown_sentence(one)) for one in native_warnings(reading.counts, reading.at_ms)]
    if uncertain := sum(count.n for count in reading.uncertain):
        sentence = (
            f"{_events(uncertain)} may be at the vendor more than once, because answers were lost: see "
            "`flybridge lanes uncertain`."
        )
        found.append(Advice("warn", sentence))
    found += [Advice("warn", shown_sentence(fall.sentence), "holds") for fall in reading.falls]
    depth = reading.depth
    if depth and depth.oldest_ms and reading.at_ms - depth.oldest_ms > SLOW_INBOX_MS:
        age = span(reading.at_ms - depth.oldest_ms)
        found.append(
            Advice("warn", f"The oldest message in the inbox has waited for {age}: is a worker running?", "lanes")
        )
    waiting = Counter[str]()
    for held in reading.holds:
        waiting[held.app] += held.n
    for app, n in sorted(waiting.items()):
        known = reading.known.get(app, Known())
        if not known.streaming or not known.kinds:
            found.append(Advice("warn", f"{_events(n)} wait. {hint(shown(app), (), 0, known)}", "holds"))
    return found


def holds(reading: Reading, windows: Mapping[str, float]) -> dict[str, Any]:
    """Return held events by app, media source and kinds of identifier: their ages, the reason, and the time left."""
    groups: defaultdict[tuple[str, str, tuple[str, ...]], list[HeldCount]] = defaultdict(list)
    for held in reading.holds:
        groups[held.app, held.media_source, held.key_kinds].append(held)
    rows = [_held(*cell, own, reading=reading, windows=windows) for cell, own in groups.items()]
    rows.sort(key=lambda row: (-row["n"], row["app"], row["source"]))
    return {
        "rows": rows[:MAX_ROWS],
        "left_out": max(0, len(rows) - MAX_ROWS),
        "total": sum(row["n"] for row in rows),
        "ages": [name for _, name in AGES] + [OLDER],
        "warnings": [shown_sentence(fall.sentence) for fall in reading.falls],
        "expired": by_reason(reading.counts, OutcomeKind.EXPIRED),
    }


def _held(
    app: str,
    source: str,
    kinds: tuple[str, ...],
    own: Sequence[HeldCount],
    *,
    reading: Reading,
    windows: Mapping[str, float],
) -> dict[str, Any]:
    ages: Counter[str] = Counter()
    for held in own:
        ages[age_of(held.hour_ms, reading.at_ms)] += held.n
    oldest_ms = min(held.hour_ms for held in own)
    waited_ms = reading.at_ms - oldest_ms
    window = windows.get(app)
    left = "" if window is None else span(oldest_ms + int(window * HOUR_MS) - reading.at_ms)
    return {
        "app": shown(app),
        "source": shown(source) or "-",
        "keys": ", ".join(kinds) or "none",
        "n": sum(held.n for held in own),
        "ages": ages,
        "left": left,
        "why": hint(shown(app), kinds, waited_ms, reading.known.get(app, Known())),
    }


def dead(reading: Reading) -> dict[str, Any]:
    """Return dead letters by reason with the remedy, without their content."""
    return {"rows": _reasons(reading, only="dead")}


def lanes(reading: Reading) -> dict[str, Any]:
    """Return the state of sending per app and endpoint."""
    depths = {depth.lane: depth for depth in reading.lanes}
    circuits = reading.circuits
    rows = []
    for lane in sorted({*depths, *(circuits or {})}):
        depth, circuit = depths.get(lane), (circuits or {}).get(lane)
        rows.append(
            {
                "app": shown(lane.app),
                "endpoint": lane.endpoint,
                "due": depth.due if depth else 0,
                "later": depth.later if depth else 0,
                "leased": depth.leased if depth else 0,
                "oldest": span(reading.at_ms - depth.oldest_ms) if depth and depth.oldest_ms else "-",
                "state": _state(circuit, reading.at_ms) if circuit else _unserved(lane, circuits),
                "level": _level(circuit) if circuit and circuit.phase is not Phase.CLOSED else "",
            }
        )
    depth_of_inbox = reading.depth
    return {
        "rows": rows,
        "inbox": depth_of_inbox,
        "inbox_oldest": span(reading.at_ms - depth_of_inbox.oldest_ms)
        if depth_of_inbox and depth_of_inbox.oldest_ms
        else "",
        "elsewhere": circuits is None,
    }


def _unserved(lane: Lane, circuits: Mapping[Lane, Circuit] | None) -> str:
    if circuits is None:
        return "see the workers"
    return f"not served: the app {shown(lane.app)!r} is not in the configuration."


def _level(circuit: Circuit) -> str:
    """Return how bad it is that a lane is paused: an outage ends by itself, a refusal needs an operator."""
    return "bad" if circuit.halted else "warn"


def _state(circuit: Circuit, now_ms: int) -> str:
    if circuit.phase is Phase.CLOSED:
        return "sends"
    again = f"Tries again in {span(circuit.until_ms - now_ms)}." if circuit.until_ms > now_ms else "Tries again now."
    why = f"{circuit.reason}. " if circuit.reason else ""
    answer = f"{shown_sentence(circuit.words)}. " if circuit.words else ""
    return f"Paused: {why}{answer}{shown_sentence(circuit.remedy)} {again}"


def _reasons(reading: Reading, *, only: str = "", exclude: Iterable[str] = ()) -> list[dict[str, Any]]:
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


def shown_sentence(sentence: str) -> str:
    """Return a sentence that may quote text from outside, masked word by word."""
    return " ".join(shown(word) for word in sentence.split(" "))


def _events(n: int) -> str:
    return "1 event" if n == 1 else f"{n:,} events"
