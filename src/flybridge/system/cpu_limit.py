"""A limit of processor time for code that may not end, such as a pattern on hostile text."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class CpuLimitExceeded(BaseException):
    """The code used more processor time than it may. Not an `Exception`, so that the limited code can't catch it."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `CpuLimitExceeded` in the block once the process has used this much processor time.

    Works in the main thread of systems that have interval timers, also inside a regular expression, which checks for
    signals while it runs. Elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    armed = True

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if armed:  # the signal may arrive between the end of the block and the end of the timer
            raise CpuLimitExceeded

    former = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, former)
