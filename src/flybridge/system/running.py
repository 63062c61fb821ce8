"""How a process runs: on the fastest event loop there is, until a signal stops it in order."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

STOPS: Final = (signal.SIGINT, signal.SIGTERM)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest event loop there is."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 - not there on Windows

    return uvloop.run(work)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set. A second signal does not speed up an orderly stop."""
    stop = asyncio.Event()
    with suppress(NotImplementedError):  # Windows has no handlers
        for number in STOPS:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def ignore_signals() -> None:
    """Ignore further signals while the interpreter ends: all work is done by then."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def write_whole() -> None:
    """Buffer standard output where Python does not, as with PYTHONUNBUFFERED. Lines are still written at once.

    Of what is written without one, Python drops the rest where a full pipe is interrupted, and says nothing.
    """
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=True)


def announce(name: str, host: str, port: int) -> None:
    """Print at once, also into a pipe, on which address a server listens."""
    sys.stdout.write(f"{name} listening on http://{host}:{port}\n")
    sys.stdout.flush()
