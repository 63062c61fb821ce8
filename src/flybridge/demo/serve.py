"""`python -m flybridge.demo.serve`: `flybridge serve` by the sandbox's clock, so that days can pass in a moment."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flybridge.config.settings import load
from flybridge.errors import FlybridgeError
from flybridge.roles import Role
from flybridge.service.lifetime import allow_more
from flybridge.service.process import Service
from flybridge.telemetry.logs import LogForm, configure_logging
from flybridge.testing.clocks import following


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Prints one line with the address once it answers, and returns the exit code."""
    parser = argparse.ArgumentParser("python -m flybridge.demo.serve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--only", type=Role, choices=list(Role))
    parser.add_argument("--clock-of", required=True, help="the origin of the sandbox")
    options = parser.parse_args(arguments)
    configure_logging(LogForm.AUTO, "info")
    allow_more()
    try:
        asyncio.run(_serve(options.config, options.port, options.only, options.clock_of))
    except FlybridgeError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    # What a further signal could interrupt is done.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


async def _serve(path: Path, port: int, only: Role | None, clock_of: str) -> None:
    config = load(path, os.environ)
    config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, port=port))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(bound: int) -> None:
        sys.stdout.write(f"flybridge listening on http://{config.server.host}:{bound}\n")
        sys.stdout.flush()

    async with following(clock_of) as clock:
        await Service(config, only, clock).run(stop, ready)


if __name__ == "__main__":
    sys.exit(main())
