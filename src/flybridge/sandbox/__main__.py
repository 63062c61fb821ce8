"""`flybridge sandbox`, and `python -m flybridge.sandbox`: the sandbox on its own."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from flybridge.errors import ConfigError
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.faults import SCRIPTS, Faults
from flybridge.sandbox.server import Sandbox, serve_sandbox
from flybridge.sandbox.vendors.data_locker import keep as keep_locker
from flybridge.system.running import announce, run, stop_on_signals


def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0 chooses a free one.")] = 8701,
    faults: Annotated[str, typer.Option("--faults", help=f"Faults to simulate: {', '.join(SCRIPTS)}.")] = "none",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same faults.")] = 0,
    speed: Annotated[float, typer.Option("--speed", help="How many times faster its clock runs.")] = 1.0,
    locker: Annotated[Path | None, typer.Option("--locker", help="Write a Data Locker into this directory.")] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    keep: Annotated[
        Literal["light", "full"], typer.Option("--keep", help="full keeps the properties of every event.")
    ] = "light",
    api_key: Annotated[
        list[str] | None, typer.Option("--api-key", help="A project's key, repeatable; any key by default.")
    ] = None,
) -> None:
    """Simulate Amplitude and AppsFlyer on this machine, without an account. Runs until Ctrl-C."""
    try:
        vendors = Sandbox(
            FastClock(speed),
            Faults.named(faults, seed),
            api_keys=api_key,
            keep_bodies=keep == "full",
            # A seed of its own: the faults of one vendor don't depend on what the other was sent.
            appsflyer_faults=Faults.named(faults, seed + 1),
        )
    except ValueError as problem:
        raise typer.BadParameter(f"{problem}.") from None
    try:
        run(_serve(vendors, host, port, locker))
    except ConfigError as problem:
        sys.stderr.write(f"{problem}\n")
        raise typer.Exit(1) from None


async def _serve(sandbox: Sandbox, host: str, port: int, locker: Path | None) -> None:
    writing = None if locker is None else asyncio.create_task(keep_locker(locker, sandbox.raw_data, sandbox.clock))
    await serve_sandbox(sandbox, host, port, stop_on_signals(), ready=partial(announce, "sandbox", host))
    if writing is not None:
        writing.cancel()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(sandbox)
    app()
