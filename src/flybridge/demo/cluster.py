"""The stage of a cluster: three NATS servers, PostgreSQL, two intakes, two workers and a console, on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Unpack

from flybridge.demo.stage import Playbill, Scene
from flybridge.testing.nats import NatsCluster
from flybridge.testing.postgres import PostgresServer

TIMEOUT_S: Final = 5.0
"""How long the sandbox may take to answer: so the work of a worker that was killed is taken over after 20 seconds."""


class ClusterStage(Scene):
    """Any of its processes and servers may be killed and started again; each keeps its port and its directory.

    NATS has the loopback to itself as it comes, without flushing each write: nobody cuts the power of a demo.
    """

    late_refusals = True

    def __init__(self, directory: Path, *, workers: int = 2, intakes: int = 2, **playbill: Unpack[Playbill]) -> None:
        super().__init__(directory, **playbill)
        self.nats = NatsCluster(directory / "nats")
        self.postgres = PostgresServer(directory / "postgres")
        self.intakes = [self.part(f"intake {n}", "--only", "intake") for n in range(1, intakes + 1)]
        self.workers = [self.part(f"worker {n}", "--only", "work") for n in range(1, workers + 1)]
        self.console = self.part("console", "--only", "console")
        self.parts = (*self.intakes, *self.workers, self.console)

    @property
    def doors(self) -> Sequence[str]:
        """Return the origins of the intakes."""
        return [intake.origin for intake in self.intakes]

    @property
    def windows(self) -> Sequence[str]:
        """Return the origins of the processes with a store, the console first."""
        return [part.origin for part in (self.console, *self.workers)]

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
        servers = f'\n[cluster]\nnats = [{nats}]\npostgres = "{self.postgres.dsn()}"\n'
        return f"{servers}\n[delivery]\ntimeout_s = {TIMEOUT_S}\n"
