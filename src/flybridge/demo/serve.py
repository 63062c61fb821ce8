"""`python -m flybridge.demo.serve`: `flybridge serve` by the sandbox's clock, so that days can pass in a moment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from flybridge.config.settings import load
from flybridge.errors import FlybridgeError
from flybridge.roles import Role
from flybridge.service.lifetime import allow_more
from flybridge.service.process import Service
from flybridge.system.running import announce, ignore_signals, run, stop_on_signals
from flybridge.telemetry.logs import configure_logging
from flybridge.testing.clocks import following


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Prints one line with the address once it answers, and returns the exit code."""
    parser = argparse.ArgumentParser("python -m flybridge.demo.serve", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--only", type=Role, choices=list(Role))
    parser.add_argument("--clock-of", required=True, help="the origin of the sandbox")
    options = parser.parse_args(arguments)
    configure_logging()
    allow_more()
    try:
        run(_serve(options.config, options.port, options.only, options.clock_of))
    except FlybridgeError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    ignore_signals()
    return 0


async def _serve(path: Path, port: int, only: Role | None, clock_of: str) -> None:
    config = load(path, os.environ)
    config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, port=port))
    async with following(clock_of) as clock:
        await Service(config, only, clock).run(stop_on_signals(), partial(announce, "flybridge", config.server.host))


if __name__ == "__main__":
    sys.exit(main())
