"""What notifications are about, and what of it is new: pure.

A concern is sent once, and again only if it becomes worse or another matter, or is over. What lasts for less than a
set time, and what comes and goes within it, is not sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct

WORST: Final = 5
"""How many conditions are sent at a time, the worst first. The others follow when these are over."""

BAD: Final = "bad"
FINDING: Final = "finding"
RANK: Final[Mapping[str, int]] = {BAD: 0, "warn": 1, FINDING: 2}


class Concern(Struct, frozen=True):
    """A condition of the bridge, or a finding in its figures. The sentence holds no identifier of a person.

    `key` is the same as long as it lasts, `state` changes when it has become another matter. `level` is `bad` if an
    operator has to act, `warn` if it should be looked at, or `finding`.
    """

    key: str
    kind: str
    level: str
    sentence: str
    path: str = ""
    state: str = ""

    @property
    def standing(self) -> str:
        """What must change for another message."""
        return f"{self.level}/{self.state}"


class Notified(Struct, frozen=True):
    """A concern as it was sent last, and when it was sent first."""

    concern: Concern
    since_ms: int


class News(Struct, frozen=True):
    """What has begun, changed and ended since the last message."""

    began: Sequence[Concern] = ()
    changed: Sequence[Concern] = ()
    ended: Sequence[Notified] = ()

    def __bool__(self) -> bool:
        return bool(self.began or self.changed or self.ended)

    @property
    def urgent(self) -> bool:
        """Whether an operator has to act."""
        return any(one.level == BAD for one in (*self.began, *self.changed))


def key_of(*parts: str) -> str:
    """Return the key of a concern: a hash, because names of campaigns and events are text from outside."""
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def notification_key(channel: str) -> str:
    """Return the key of the condition that messages through a channel do not arrive."""
    return f"notification/{channel}"


class Settling:
    """Keeps back what has not lasted yet. `after_ms` is how long it has to."""

    def __init__(self, after_ms: int) -> None:
        self._after_ms = after_ms
        self._since: dict[str, tuple[str | None, int]] = {}

    def look(
        self, concerns: Iterable[Concern], notified: Iterable[str], now_ms: int
    ) -> tuple[dict[str, Concern], frozenset[str]]:
        """Return the concerns that have stood as they are for long enough, and the sent keys that are gone as long."""
        present = {one.key: one for one in concerns}
        since: dict[str, tuple[str | None, int]] = {}
        for key in {*present, *notified}:
            standing = present[key].standing if key in present else None
            before = self._since.get(key)
            begun_ms = before[1] if before is not None and before[0] == standing and before[1] <= now_ms else now_ms
            since[key] = (standing, begun_ms)
        self._since = since
        lasting = {key for key, (_, begun_ms) in since.items() if now_ms - begun_ms >= self._after_ms}
        return {key: one for key, one in present.items() if key in lasting}, frozenset(lasting - present.keys())


def news(
    notified: Mapping[str, Notified],
    settled: Mapping[str, Concern],
    gone: Iterable[str],
    *,
    warnings: bool,
    findings: bool,
) -> News:
    """Return what has to be sent. Without `warnings` or `findings` none of these is begun."""
    ranked = sorted(settled.values(), key=lambda one: RANK[one.level])
    conditions = [one for one in ranked if one.level == BAD or (warnings and one.level != FINDING)]
    wanted = [*conditions[:WORST], *(one for one in ranked if findings and one.level == FINDING)]
    return News(
        began=[one for one in wanted if one.key not in notified],
        changed=[one for one in ranked if one.key in notified and _another(one, notified[one.key].concern)],
        ended=[notified[key] for key in sorted(gone) if key in notified],
    )


def _another(one: Concern, before: Concern) -> bool:
    """Whether a concern has become another matter since it was sent. One that is only milder is not over yet."""
    return one.standing != before.standing and RANK[one.level] <= RANK[before.level]


def after(notified: Mapping[str, Notified], found: News, now_ms: int) -> dict[str, Notified]:
    """Return what has been sent once this news has been."""
    over = {one.concern.key for one in found.ended}
    new = {one.key: Notified(one, now_ms) for one in found.began}
    new |= {one.key: Notified(one, notified[one.key].since_ms) for one in found.changed}
    return {key: one for key, one in notified.items() if key not in over} | new
