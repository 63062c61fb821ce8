"""A cluster on this machine: three NATS servers, PostgreSQL, two intakes, two workers and a console."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from flybridge.demo.environment import Environment
from flybridge.testing.nats import NatsCluster
from flybridge.testing.postgres import PostgresServer

TIMEOUT_S: Final = 5.0
"""Timeout of the calls to the sandbox. Leases follow it: the work of a killed worker is taken over after 20 seconds."""


class ClusterEnvironment(Environment):
    """Processes and servers that can be killed and started again; each keeps its port and its directory.

    NATS does not flush each write: a demo survives the end of a process, not a power cut.
    """

    late_refusals = True

    def __init__(self, directory: Path, *, workers: int = 2, intakes: int = 2, **options: Any) -> None:
        super().__init__(directory, **options)
        self.nats = NatsCluster(directory / "nats")
        self.postgres = PostgresServer(directory / "postgres")
        self.intakes = [self.process(f"intake {n}", "--only", "intake") for n in range(1, intakes + 1)]
        self.workers = [self.process(f"worker {n}", "--only", "work") for n in range(1, workers + 1)]
        self.console = self.process("console", "--only", "console")
        self.processes = (*self.intakes, *self.workers, self.console)

    @property
    def intake_origins(self) -> Sequence[str]:
        """The origins of the intakes."""
        return [intake.origin for intake in self.intakes]

    @property
    def metrics_origins(self) -> Sequence[str]:
        """The origins of the processes with a store, the console first."""
        return [process.origin for process in (self.console, *self.workers)]

    async def start(self) -> None:
        """Start the servers, then everything else."""
        await asyncio.gather(self.nats.__aenter__(), self.postgres.start())
        await super().start()

    async def stop(self) -> None:
        """Stop everything, the servers last."""
        try:
            await super().stop()
        finally:
            try:
                await self.postgres.stop()
            finally:
                await self.nats.stop()

    def shared(self) -> str:
        """Return the addresses of the servers."""
        nats = ", ".join(f'"{url}"' for url in self.nats.urls)
        return f'\n[cluster]\nnats = [{nats}]\npostgres = "{self.postgres.dsn()}"\n'

    def delivery(self) -> str:
        """Return the settings of `[delivery]`: what a worker had when it was killed goes to another one soon."""
        return f"{super().delivery()}timeout_s = {TIMEOUT_S}\n"
