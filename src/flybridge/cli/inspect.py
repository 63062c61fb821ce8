"""The commands that look: account, holds, dead letters. Each gives plain rows, printed as a table or as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flybridge.insight.account import Account
from flybridge.insight.restricted import Change
from flybridge.records import DeadLetter, OutcomeKind
from flybridge.store.figures import Held

# Into a file or a pipe there is no width to respect.
console = Console(width=None if sys.stdout.isatty() else 200)


def print_json(value: Any) -> None:
    """Print JSON, indented, as programs and people read it."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode() + "\n")


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], nothing: str) -> None:
    """Print rows as a table whose columns are the first row's keys."""
    if not rows:
        console.print(nothing)
        return
    # Values are anybody's text: brackets in them are no markup.
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in rows[0]:
        numeric = isinstance(rows[0][column], int | float)
        table.add_column(str(column), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    console.print(table)


def account_rows(account: Account) -> list[dict[str, Any]]:
    """Return a row per app and day: what came in, and where it stands."""
    found = {kind for line in account.lines for kind, n in line.outcomes.items() if n}
    kinds = [kind.value for kind in OutcomeKind if kind in found and kind is not OutcomeKind.PENDING]
    return [
        {
            "app": line.app,
            "day": line.day,
            "received": line.received,
            **{kind: line.outcomes.get(kind, 0) for kind in kinds},
            "in flight": line.in_flight,
            "missing": line.missing,
        }
        for line in account.lines
    ]


def restricted_sums(restricted: Iterable[Change]) -> list[str]:
    """Return a sentence part for each source that a restriction changed, all days together."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in restricted:
        sums[row.media_source, row.policy] += row.events
    return [f"{source} {policy} {n}" for (source, policy), n in sorted(sums.items())]


def show_account(account: Account, restricted: Sequence[Change] = (), *, as_json: bool) -> None:
    """Print the account, its reasons, what restrictions changed, and what does not agree."""
    rows = account_rows(account)
    if as_json:
        found = [msgspec.structs.asdict(d) for d in account.discrepancies]
        told = {"balanced": account.balanced, "days": rows, "reasons": account.reasons, "discrepancies": found}
        print_json({**told, "restricted": [msgspec.structs.asdict(row) for row in restricted]})
        return
    print_rows("What came in, and what became of it", rows, "Nothing was received yet.")
    for outcome, reasons in sorted(account.reasons.items()):
        shares = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
        console.print(f"  {outcome}: {shares}")
    if restricted:
        console.print(f"  restricted: {', '.join(restricted_sums(restricted))}")
    if account.balanced:
        console.print("[green]Every event is accounted for.[/green]")
    for wrong in account.discrepancies:
        where = f"{wrong.app} {wrong.day}".strip()
        console.print(f"[red]{where}: {wrong.what} Expected {wrong.expected}, found {wrong.found}.[/red]")


def hold_rows(held: Iterable[Held], now_ms: int) -> list[dict[str, Any]]:
    """Return a row per waiting event, without anything that names a person."""
    return [
        {
            "id": hold.id,
            "app": hold.app,
            "event": hold.event_type,
            "media source": hold.media_source or "-",
            "keys": " ".join(hold.key_kinds),
            "waits for": _span(now_ms - hold.received_ms),
            "time left": _span(hold.expires_ms - now_ms),
        }
        for hold in held
    ]


def dead_rows(letters: Iterable[DeadLetter]) -> list[dict[str, Any]]:
    """Return a row per dead letter, without its content."""
    return [
        {
            "id": letter.id,
            "app": letter.app,
            "stage": letter.stage,
            "reason": letter.reason,
            "what happened": letter.detail,
            "what to do": letter.remedy,
            "died": datetime.fromtimestamp(letter.died_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "version": letter.version,
        }
        for letter in letters
    ]


def _span(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes // 1440} d"
