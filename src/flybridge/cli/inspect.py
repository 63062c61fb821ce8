"""`flybridge account`, `flybridge dead` and `flybridge replay`: the ledger, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer

from flybridge.cli.audit import audited, listed
from flybridge.cli.common import AppName, AsJson, ConfigPath, Limit, configured, with_both, with_store
from flybridge.cli.printing import complain, print_json, print_rows, say, show
from flybridge.clock import SystemClock
from flybridge.inbox.protocol import Inbox
from flybridge.insight.account import Account, narrowed, read_account
from flybridge.insight.question import day_asked
from flybridge.operations.replay import Replayed, damaged, replay_all
from flybridge.operations.replay import discard as give_up
from flybridge.operations.replay import replay as replay_some
from flybridge.records import DeadLetter, OutcomeKind, clock_time
from flybridge.store.events import EventAttempt
from flybridge.store.figures import RestrictedCount
from flybridge.store.performance import date_of
from flybridge.store.protocol import Store
from flybridge.store.records import UncertainCount
from flybridge.system.counted import plural
from flybridge.wiring import build_flow

Reason = Annotated[str | None, typer.Option("--reason", help="Only this reason.")]


def account(
    config: ConfigPath = None,
    only_app: AppName = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From this day of reception on, as 2026-01-31, in UTC.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what came in and what became of it, per app and day. Exit code 1 if a single event is unaccounted for."""
    since_day = date_of(day_asked("--since", since)).isoformat() if since else ""

    async def work(inbox: Inbox, store: Store) -> tuple[Account, Sequence[RestrictedCount], Sequence[UncertainCount]]:
        whole, counts = await read_account(inbox, store, audit=True)
        restricted = [one for one in await store.restricted() if only_app in (None, one.app) and one.day >= since_day]
        uncertain = [one for one in await store.uncertain_counts() if only_app in (None, one.app)]
        return narrowed(whole, counts, only_app, since_day), restricted, uncertain

    drawn, restricted, uncertain = with_both(configured(config, only_app), work)
    show_account(drawn, restricted, uncertain, as_json=as_json)
    if not drawn.balanced:
        raise typer.Exit(1)


def dead(
    config: ConfigPath = None,
    only_app: AppName = None,
    reason: Reason = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters: what could not be processed or delivered, why, and what would help."""
    settings = configured(config, only_app)

    async def work(store: Store) -> tuple[Sequence[DeadLetter], Mapping[int, Sequence[EventAttempt]]]:
        letters = await store.dead(app=only_app, reason=reason, limit=limit)
        if reason and not letters:
            complain(await _other_reasons(store, only_app, reason))
        return letters, await store.attempts([letter.id for letter in letters]) if as_json else {}

    letters, attempts = with_store(settings, work)
    rows = dead_rows(letters)
    if as_json:
        rows = [row | {"attempts": attempt_rows(attempts.get(row["id"], ()))} for row in rows]
    show(
        rows,
        "Dead letters",
        "There are no dead letters of this kind." if reason else "There are no dead letters.",
        as_json,
    )


async def _other_reasons(store: Store, app: str | None, reason: str) -> str:
    """Return a sentence about a reason that no dead letter has."""
    known = {one.reason for one in await store.counts() if one.outcome == OutcomeKind.DEAD and app in (None, one.app)}
    others = f"There are: {', '.join(sorted(known))}." if known else "There is no dead letter at all."
    return f"--reason: no dead letter has the reason {reason[:40]!r}. {others}"


def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids that `flybridge dead` lists.")] = None,
    config: ConfigPath = None,
    every: Annotated[bool, typer.Option("--all", help="All that --app and --reason select.")] = False,
    only_app: AppName = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Process or deliver dead letters again."""
    if bool(ids) == every:
        raise typer.BadParameter("Name the ids to replay, or say --all, and not both.")
    settings = configured(config, only_app)
    missing: set[int] = set()

    async def work(store: Store) -> Replayed:
        clock, flow = SystemClock(), build_flow(settings)
        if every:
            found = await replay_all(store, flow, clock, app=only_app, reason=reason)
            if reason and not found.redelivered + found.processed:
                complain(await _other_reasons(store, only_app, reason))
            return found
        chosen = await store.dead_ids(ids=ids or (), app=only_app, reason=reason)
        missing.update(set(ids or ()) - set(chosen))
        return await replay_some(store, flow, chosen, clock.now_ms())

    target = listed(ids) if ids else f"{only_app or 'all apps'}, {reason or 'all reasons'}"
    with audited(settings, "replay", target) as result:
        done = with_store(settings, work)
        result.detail = f"{done.redelivered} due for delivery again, {done.processed} processed again."
    if as_json:
        print_json(done)
    else:
        say(f"{done.redelivered} are due for delivery again, {done.processed} were processed again.")
        for outcome, n in sorted(done.outcomes.items()):
            say(f"  {outcome}: {n}")
    if ids and done.redelivered + done.processed < len(set(ids)):
        which = f" ({listed(sorted(missing))})" if missing else ""
        complain(f"Some of these ids{which} are not dead letters, or not any more: see `flybridge dead`.")
        raise typer.Exit(1)


def discard(
    config: ConfigPath = None,
    yes: Annotated[bool, typer.Option("--yes", help="Give them up; without it they are only counted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Discard messages in the inbox that can't be opened: they are counted as dead letters, without content."""

    async def work(inbox: Inbox, store: Store) -> tuple[Mapping[tuple[str, str], int], int]:
        found = await damaged(inbox)
        return found, await give_up(inbox, store, SystemClock().now_ms()) if yes else 0

    settings = configured(config)
    if yes:
        with audited(settings, "discard") as result:
            found, n = with_both(settings, work)
            result.detail = f"{plural(n, 'message')} that can't be opened."
    else:
        found, n = with_both(settings, work)
    rows = [{"app": app, "day": day, "messages": times} for (app, day), times in sorted(found.items())]
    if as_json:
        print_json({"found": rows, "discarded": n})
        return
    print_rows("Messages in the inbox that can't be opened", rows, "Every message in the inbox can be opened.")
    if n:
        say(f"{n} were given up; see flybridge dead --reason damaged.")
    elif rows:
        say("If `secret` was changed, put the former one into `former_secrets` and restart: then nothing is lost.")
        say("Else restore the inbox from a copy, or give them up with --yes.")


def account_rows(account: Account) -> list[dict[str, Any]]:
    """Return a row per app and day: what came in, and in which state it is."""
    found = {kind for line in account.lines for kind, n in line.outcomes.items() if n}
    kinds = [kind.value for kind in OutcomeKind if kind in found and kind is not OutcomeKind.PENDING]
    return [
        {
            "app": line.app,
            "day": line.day,
            "received": line.received,
            **{kind: line.outcomes.get(kind, 0) for kind in kinds},
            "in_flight": line.in_flight,
            "missing": line.missing,
        }
        for line in account.lines
    ]


def restricted_sums(restricted: Iterable[RestrictedCount]) -> list[str]:
    """Return a sentence part for each source that a restriction changed, all days together."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in restricted:
        sums[row.media_source, row.policy] += row.events
    return [f"{source} {policy} {n}" for (source, policy), n in sorted(sums.items())]


def show_account(
    account: Account,
    restricted: Sequence[RestrictedCount] = (),
    uncertain: Sequence[UncertainCount] = (),
    *,
    as_json: bool,
) -> None:
    """Print the account, its reasons, what restrictions changed, and what does not agree."""
    rows = account_rows(account)
    if as_json:
        found = [msgspec.structs.asdict(d) for d in account.discrepancies]
        plain = {"balanced": account.balanced, "days": rows, "reasons": account.reasons, "discrepancies": found}
        named = {"restricted": restricted, "uncertain": uncertain}
        print_json({**plain, **{name: [msgspec.structs.asdict(row) for row in rows] for name, rows in named.items()}})
        return
    print_rows("What came in, and what became of it", rows, "Nothing was received yet.")
    for outcome, reasons in sorted(account.reasons.items()):
        shares = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
        say(f"  {outcome}: {shares}")
    if restricted:
        say(f"  restricted: {', '.join(restricted_sums(restricted))}")
    for count in uncertain:
        say(
            f"  uncertain: {count.n} of {count.app} ({count.outcome}) may be at the vendor more than once, because "
            "answers were lost: see flybridge lanes uncertain"
        )
    if account.balanced:
        say("Every event is accounted for.", "green")
    for wrong in account.discrepancies:
        where = f"{wrong.app} {wrong.day}".strip()
        say(f"{where}: {wrong.what} Expected {wrong.expected}, found {wrong.found}.", "red")


def attempt_rows(attempts: Iterable[EventAttempt]) -> list[dict[str, Any]]:
    """Return a row per attempt to deliver that was not accepted, oldest first. Status 0: there was no answer."""
    return [
        {
            "at": clock_time(one.at_ms),
            "endpoint": one.endpoint,
            "status": one.status,
            "reason": one.reason,
            "answer": one.words,
        }
        for one in attempts
    ]


def dead_rows(letters: Iterable[DeadLetter]) -> list[dict[str, Any]]:
    """Return a row per dead letter, without its content."""
    return [
        {
            "id": letter.id,
            "app": letter.app,
            "stage": letter.stage,
            "reason": letter.reason,
            "what_happened": letter.detail,
            "what_to_do": letter.remedy,
            "died": clock_time(letter.died_ms),
            "version": letter.version,
        }
        for letter in letters
    ]
