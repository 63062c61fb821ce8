"""Wrong passwords and tokens by peer, and how long each peer has to wait."""

from __future__ import annotations

from typing import Final

FREE: Final = 10
LONGEST_S: Final = 60.0
FORGET_S: Final = 3600.0
PEERS: Final = 1000


class Guesses:
    """Wrong passwords by peer. After `FREE` of them a peer has to wait, twice as long each time, up to `LONGEST_S`."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}

    def wait_s(self, peer: str, now_s: float) -> float:
        """Return how long this peer has to wait before its next try, in seconds."""
        n, last_s = self._failed.get(peer, (0, 0.0))
        if n < FREE:
            return 0.0
        return max(0.0, last_s + min(2.0 ** min(n - FREE, 10), LONGEST_S) - now_s)

    def failed(self, peer: str, now_s: float) -> int:
        """Note a wrong password. Return how many there were; after `FORGET_S` without one they are forgotten."""
        n, last_s = self._failed.pop(peer, (0, now_s))
        n = n + 1 if now_s - last_s < FORGET_S else 1
        self._failed[peer] = (n, now_s)
        if len(self._failed) > PEERS:
            del self._failed[next(iter(self._failed))]
        return n
