"""End deliveries in doubt that Amplitude shows as arrived, so that they are not sent again; dead letters as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flybridge.amplitude import attribution
from flybridge.clock import Clock
from flybridge.delivery.shown import note_shown
from flybridge.records import Filing, Shown
from flybridge.store.protocol import Store
from flybridge.store.records import Lane

NOTED_MS: Final = 600_000
UNANSWERED: Final = ("uncertain", "tries_spent")
LETTERS: Final = 200
"""How many of the newest dead letters of a reason are compared."""


class ShownEvents:
    """Compares what Amplitude shows with what may have arrived, per app."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._noted_ms: dict[str, int] = {}

    async def settle(self, filings: Sequence[Filing]) -> int:
        """End the deliveries that these messages show as arrived. Returns how many there were."""
        apps: dict[str, list[Shown]] = {}
        for filing in filings:
            if filing.shown is not None:
                apps.setdefault(filing.envelope.app, []).append(filing.shown)
        return sum([await self._settle(app, shown) for app, shown in apps.items()])

    async def _settle(self, app: str, shown: Sequence[Shown]) -> int:
        lane, now_ms = Lane(app, attribution.NAME), self._clock.now_ms()
        if abs(now_ms - self._noted_ms.get(app, -NOTED_MS)) >= NOTED_MS:
            await note_shown(self._store, lane, now_ms)
            self._noted_ms[app] = now_ms
        ids = []
        for item in await self._store.in_doubt(lane, now_ms):
            if any(attribution.is_shown(item.body, one) for one in shown):
                ids.append(item.id)
        settled = await self._store.arrived(ids, now_ms) if ids else 0
        return settled + await self._unbury(app, shown, now_ms)

    async def _unbury(self, app: str, shown: Sequence[Shown], now_ms: int) -> int:
        """Deliver dead letters whose event has arrived: parked ones, and those whose answers were lost to the last."""
        ids = []
        for reason in UNANSWERED:
            for letter in await self._store.dead(app=app, reason=reason, limit=LETTERS):
                if any(attribution.is_shown(letter.body, one) for one in shown):
                    ids.append(letter.id)
        return await self._store.arrived_after_all(ids, now_ms) if ids else 0
