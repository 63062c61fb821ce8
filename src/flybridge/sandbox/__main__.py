"""`python -m flybridge.sandbox`: the sandbox on its own, for a staging app or a test that kills only flybridge."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flybridge.errors import ConfigError
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.faults import SCRIPTS, Faults
from flybridge.sandbox.server import Sandbox, serve_sandbox
from flybridge.sandbox.vendors.data_locker import keep
from flybridge.system.running import announce, run, stop_on_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted. Print one line with the address once it answers, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m flybridge.sandbox", description="Answers as Amplitude and AppsFlyer do."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8701, help="0 chooses a free one (default: 8701)")
    parser.add_argument("--faults", choices=sorted(SCRIPTS), default="none")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster the clock runs")
    parser.add_argument("--keep", choices=("light", "full"), default="light", help="full keeps every event's body")
    parser.add_argument("--api-key", action="append", help="a project's key, repeatable (default: any key)")
    parser.add_argument(
        "--locker", type=Path, metavar="DIR", help="write a Data Locker there: the complete hours' files"
    )
    options = parser.parse_args(arguments)
    try:
        clock = FastClock(options.speed)
    except ValueError as problem:
        parser.error(f"--speed: {problem}")
    sandbox = Sandbox(
        clock,
        Faults.named(options.faults, options.seed),
        api_keys=options.api_key,
        keep_bodies=options.keep == "full",
        # A seed of its own: the faults of one vendor don't depend on what the other was sent.
        appsflyer_faults=Faults.named(options.faults, options.seed + 1),
    )
    try:
        run(_serve(sandbox, options.host, options.port, options.locker))
    except ConfigError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


async def _serve(sandbox: Sandbox, host: str, port: int, locker: Path | None) -> None:
    writing = None if locker is None else asyncio.create_task(keep(locker, sandbox.raw_data, sandbox.clock))
    await serve_sandbox(sandbox, host, port, stop_on_signals(), ready=partial(announce, "sandbox", host))
    if writing is not None:
        writing.cancel()


if __name__ == "__main__":
    sys.exit(main())
