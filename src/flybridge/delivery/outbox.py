"""Answers on their way to the store, settled in groups. What the store did not take is kept and offered again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flybridge.delivery.context import Shell
from flybridge.delivery.lifecycle import DUE
from flybridge.store.protocol import Settlement


class Outbox:
    """Settlements of one lane. `ended` counts those that ended for good, `stale` those that came too late.

    `trouble` is told what the store raises.
    """

    def __init__(self, shell: Shell, trouble: Callable[[Exception], None]) -> None:
        self.stale = 0
        self.ended = 0
        self._shell = shell
        self._trouble = trouble
        self._kept: list[Settlement] = []
        self._since_ms = 0

    def __bool__(self) -> bool:
        """Return whether answers are kept that the store did not take yet."""
        return bool(self._kept)

    def keep(self, settlements: Sequence[Settlement]) -> None:
        """Keep answers until the next flush."""
        if not self._kept:
            self._since_ms = self._shell.clock.now_ms()
        self._kept.extend(settlements)

    def age_ms(self) -> int:
        """Return for how long the oldest has been kept."""
        return self._shell.clock.now_ms() - self._since_ms

    async def flush(self) -> bool:
        """Settle what has been answered. False if the store did not take it; it is kept for the next time."""
        if not self._kept:
            return True
        offered, self._kept = self._kept, []
        try:
            done = await self._shell.store.settle(offered, self._shell.owner, self._shell.clock.now_ms())
        except Exception as error:
            self._kept = offered + self._kept
            self._trouble(error)
            return False
        self.stale += done.stale
        self.ended += sum(settlement.state != DUE for settlement in offered)
        return True
