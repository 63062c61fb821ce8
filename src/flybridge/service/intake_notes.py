"""What an intake process does while a store can be reached, which it does not need.

It notes there which senders it refuses, where the console can read it; without that nobody else would know. And it
compares its clock, by which messages are dated, with that of the store's server.
"""

from __future__ import annotations

import asyncio
from typing import Final

from flybridge.clock import Clock, rest
from flybridge.config.settings import Config
from flybridge.errors import FlybridgeError, SealBroken
from flybridge.roles import Role
from flybridge.service.backends import checked_store
from flybridge.service.lifetime import compare_clocks
from flybridge.store.server_clock import ServerClock
from flybridge.telemetry.hearing import Hearing
from flybridge.telemetry.reporter import Reporter

AGAIN_S: Final = 10.0


async def note_refusals(
    config: Config,
    hearing: Hearing,
    clock: Clock,
    halt: asyncio.Event,
    *,
    report: Reporter,
    server: ServerClock | None,
) -> None:
    """Write the notes, and compare the clocks if there is a `server`, until `halt` is set.

    Raises `SealBroken` if the secret is not that of the store.

    An embedded store is not made here: a worker makes it.
    """
    while not halt.is_set():
        try:
            if config.cluster is not None or (config.data_dir / "store.db").exists():
                async with checked_store(config, Role.INTAKE.value, clock) as store:
                    jobs = [hearing.run(store, clock, halt, report.failed)]
                    if server is not None:
                        jobs.append(compare_clocks(server, store, report, halt))
                    await asyncio.gather(*jobs)
        except SealBroken:
            raise
        except FlybridgeError as problem:
            report.failed(problem)
        await rest(halt, AGAIN_S)
