"""Child processes on this machine that end with the process that started them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from flybridge.errors import FlybridgeError

START_S: Final = 30.0
STOP_S: Final = 60.0
PR_SET_PDEATHSIG: Final = 1
SERVER_PORTS: Final = range(15_000, 32_000)
"""Below those that systems give to connections by default: from 32768 on Linux, from 49152 elsewhere."""
PORTS_OF_BLOCK: Final = 50


class Process:
    """One child process that says on which address it listens, in a line that ends with it."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.origin = ""
        self._arguments = arguments
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the running process."""
        if self._process is None:
            raise FlybridgeError(f"{self.name} is not running.")
        return self._process.pid

    def follow(self, *words: str) -> None:
        """Add arguments that are known only now, for every start from now on."""
        self._arguments = (*self._arguments, *words)

    async def start(self) -> None:
        """Start, and wait until it listens. Raises `FlybridgeError` with the end of its log if it does not."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self._arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment(),
                preexec_fn=die_with_parent,
            )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_S)
        except TimeoutError:
            line = b""
        if b"http://" not in line:
            await self.kill()
            raise FlybridgeError(f"{self.name} did not start. The end of its log:\n{end_of(self._log)}")
        self.origin = line.decode().split()[-1]

    async def kill(self) -> None:
        """Kill with SIGKILL, as a power cut would."""
        await ended(self._process, signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to stop, wait until it has, and give its exit code."""
        return await ended(self._process, signal.SIGTERM)


async def ended(process: asyncio.subprocess.Process | None, how: signal.Signals, within_s: float = STOP_S) -> int:
    """End a process that may run, by SIGKILL if it does not end in time. Return its exit code, 0 if there is none."""
    if process is None:
        return 0
    if process.returncode is None:
        process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            process.kill()
            await process.wait()
    return process.returncode or 0


def end_of(log: Path) -> str:
    """Return the last lines of a log."""
    return log.read_text(errors="replace")[-2000:]


def environment(**more: str) -> dict[str, str]:
    """Return this environment without a proxy, which must not stand between two processes on the loopback."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | more


def die_with_parent() -> None:
    """Let a child process be killed when the thread that starts it ends, also by SIGKILL. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """Return a port of the loopback that is free, and that no other process gets from here.

    It is none of those that systems give to connections: one of them may be another connection's before the server
    that it is for listens there.
    """
    with _handing_out:
        return next(_free_ports)


def _ports() -> Iterator[int]:
    """Yield the ports of one block after the other, each block of this process alone as long as it runs.

    A socket for datagrams marks a block: its ports are not those of connections, so that servers can still listen on
    the same number, and the system gives it back when the process ends, however it ends.
    """
    starts = list(SERVER_PORTS[::PORTS_OF_BLOCK])
    secrets.SystemRandom().shuffle(starts)
    marks = []
    for start in starts:
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", start))
        except OSError:
            mark.close()
            continue
        marks.append(mark)
        for port in range(start, start + PORTS_OF_BLOCK):
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                probe.close()
                yield port
    raise FlybridgeError(f"All ports of {SERVER_PORTS} are taken: end some of the processes that tests have started.")


_handing_out: Final = Lock()
_free_ports: Final = _ports()
