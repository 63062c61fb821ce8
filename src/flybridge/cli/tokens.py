"""`flybridge tokens`: API tokens of the console, and hashes of passwords for the configuration."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, Any

import typer

from flybridge.cli.audit import deed
from flybridge.cli.common import AsJson, ConfigPath, configured, with_new_store, with_store
from flybridge.cli.printing import complain, print_json, say, show
from flybridge.clock import SystemClock
from flybridge.config.console import Grant
from flybridge.records import DAY_MS, clock_time
from flybridge.store.protocol import Store
from flybridge.web.access.tokens import list_tokens, make_token, revoke_token

app = typer.Typer(
    help="List, make and revoke API tokens of the console; hash a password for the configuration.", add_completion=False
)


@app.callback(invoke_without_command=True)
def tokens(context: typer.Context, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List the API tokens."""
    if context.invoked_subcommand is not None:
        return

    async def work(store: Store) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "id": one.id,
                "role": one.grant.value,
                "ends": clock_time(one.ends_ms),
                "made": clock_time(one.made_ms),
                "last_used": clock_time(one.used_ms) if one.used_ms else "never",
            }
            for one in await list_tokens(store)
        ]

    show(with_store(configured(config), work), "API tokens", "There are no API tokens.", as_json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for. The name stands in the audit trail.")],
    role: Annotated[
        Grant, typer.Option("--role", help="`read` sees figures and pages, `operate` may act.")
    ] = Grant.READ,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="After how many days it ends.")] = 90,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and print it. It is printed once: only its hash is kept."""
    if not name.strip() or not name.isprintable() or len(name) > 80:
        raise typer.BadParameter("A name has 1 to 80 characters that can be seen.")

    async def work(store: Store) -> tuple[str, str, int]:
        now_ms = SystemClock().now_ms()
        token, text = await make_token(store, name.strip(), role, now_ms=now_ms, ends_ms=now_ms + days * DAY_MS)
        detail = f"{token.name}, role {role.value}, {days} days."
        await store.record(deed("create_token", token.id, detail), now_ms)
        return token.id, text, token.ends_ms

    id_, text, ends_ms = with_new_store(configured(config), work)
    if as_json:
        print_json({"id": id_, "token": text, "role": role.value, "ends": clock_time(ends_ms)})
        return
    complain(f"Token {id_}, role {role.value}, until {clock_time(ends_ms)} UTC. It is not shown again:")
    say(text)


@app.command()
def revoke(
    ids: Annotated[list[str], typer.Argument(help="Ids that `flybridge tokens` lists.")],
    config: ConfigPath = None,
) -> None:
    """Revoke tokens, at once."""

    async def work(store: Store) -> list[str]:
        unknown = []
        for id_ in ids:
            token = await revoke_token(store, id_)
            if token is None:
                unknown.append(id_)
            else:
                await store.record(deed("revoke_token", id_, f"{token.name}."), SystemClock().now_ms())
        return unknown

    unknown = with_store(configured(config), work)
    say(f"Revoked: {len(ids) - len(unknown)}.")
    for id_ in unknown:
        complain(f"There is no token {id_!r}: see `flybridge tokens`.")
    if unknown:
        raise typer.Exit(1)


@app.command("hash")
def hash_one() -> None:
    """Print the hash of a password, for console.password or console.users. It is read from the terminal or a pipe."""
    from flybridge.web.access.passwords import hash_password  # noqa: PLC0415 - of this command alone

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise typer.BadParameter("The two are not the same.")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < 8:
        raise typer.BadParameter("A password needs 8 characters or more.")
    say(hash_password(password))
