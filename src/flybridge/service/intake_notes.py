"""Notes of what an intake process has refused, written where the console can read them.

A process that only takes needs no store, and goes on without one. While a store can be reached it notes there which
senders it refuses; without that nobody else would know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from flybridge.clock import Clock, rest
from flybridge.config.settings import Config
from flybridge.errors import FlybridgeError, SealBroken
from flybridge.roles import Role
from flybridge.service.backends import checked_store
from flybridge.telemetry.hearing import Hearing

AGAIN_S: Final = 10.0


async def note_refusals(
    config: Config, hearing: Hearing, clock: Clock, halt: asyncio.Event, failed: Callable[[FlybridgeError], None]
) -> None:
    """Write the notes until `halt` is set. Raises `SealBroken` if the secret is not that of the store.

    An embedded store is not made here: a worker makes it.
    """
    while not halt.is_set():
        try:
            if config.cluster is not None or (config.data_dir / "store.db").exists():
                async with checked_store(config, Role.INTAKE.value, clock) as store:
                    await hearing.run(store, clock, halt, failed)
        except SealBroken:
            raise
        except FlybridgeError as problem:
            failed(problem)
        await rest(halt, AGAIN_S)
