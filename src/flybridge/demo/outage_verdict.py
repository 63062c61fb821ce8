"""What became of the messages of the demo's outage."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class OutageVerdict(Struct, frozen=True):
    """What became of one app's messages of the outage.

    `lost` were pushed in vain. `missing` were found in AppsFlyer's reports and nowhere here, `filled` of these were
    read. `left` is 1 if something was missing afterwards. `delivered` are right in Amplitude.
    """

    app: str
    lost: int
    missing: int
    filled: int
    left: int
    delivered: int
    wrong: Sequence[str] = ()

    @property
    def differences(self) -> int:
        """The number of events that AppsFlyer has and flybridge or Amplitude has not, or otherwise."""
        return abs(self.lost - self.filled) + self.left + len(self.wrong)
