"""Buffer of settlements, written to the store in groups. What the store did not take is kept and offered again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flybridge.delivery.context import Context
from flybridge.delivery.lifecycle import DUE
from flybridge.store.records import Settlement


class SettlementBuffer:
    """Settlements of one lane. `ended` counts those that ended for good, `stale` those that came too late.

    `trouble` is called with what the store raises.
    """

    def __init__(self, context: Context, trouble: Callable[[Exception], None]) -> None:
        self.stale = 0
        self.ended = 0
        self._context = context
        self._trouble = trouble
        self._kept: list[Settlement] = []
        self._since_ms = 0

    def __bool__(self) -> bool:
        """Whether there are settlements that the store has not taken yet."""
        return bool(self._kept)

    def keep(self, settlements: Sequence[Settlement]) -> None:
        """Add settlements for the next flush."""
        if not self._kept:
            self._since_ms = self._context.clock.now_ms()
        self._kept.extend(settlements)

    def age_ms(self) -> int:
        """Return for how long the oldest has been kept, in milliseconds."""
        return self._context.clock.now_ms() - self._since_ms

    async def flush(self) -> bool:
        """Write the settlements to the store. False if it did not take them; they are kept for the next flush."""
        if not self._kept:
            return True
        offered, self._kept = self._kept, []
        try:
            done = await self._context.store.settle(offered, self._context.owner, self._context.clock.now_ms())
        except Exception as error:
            self._kept = offered + self._kept
            self._trouble(error)
            return False
        self.stale += done.stale
        self.ended += sum(settlement.state != DUE for settlement in offered)
        return True
