"""A time limit for many waits of which nearly all end at once.

`asyncio.timeout` sets a timer for every wait and takes it back, which costs more than reading a body that has arrived
with its headers. Here one timer serves all waits that go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


class TimeLimit:
    """Ends waits that take longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: dict[asyncio.Task[Any], float] = {}  # the longest wait first
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, wait: Awaitable[T]) -> T:
        """Return what a wait of the running task gives. Raises `TimeoutError`."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        self._began[task] = monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)
        try:
            return await wait
        except asyncio.CancelledError:
            # As in `asyncio.timeout`: who else cancels the task gets it cancelled.
            if task in self._late and task.uncancel() <= 0:
                raise TimeoutError from None
            raise
        finally:
            del self._began[task]
            self._late.discard(task)

    def _end(self) -> None:
        """End the waits whose time is over, and come back when the next one's may be."""
        now_s, self._timer = monotonic(), None
        for task, began_s in self._began.items():
            left_s = began_s + self._seconds - now_s
            if left_s > 0:
                self._timer = asyncio.get_running_loop().call_later(left_s, self._end)
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
