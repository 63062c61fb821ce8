"""By which ways an app's installs find their user in Amplitude, and what share of them each can reach. Pure.

A way works if postbacks carry an identifier and Amplitude shows one of the same kind. Amplitude removes advertising
ids, vendor ids and App Set ids from what it shows, so that they can only be matched where its SDK makes the device id
from them (https://amplitude.com/docs/faq/missing-mobile-attribution-events, read 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Final

from msgspec import Struct

from flybridge.identity import IdKind
from flybridge.records import OutcomeKind
from flybridge.store.figures import Count, CoverageRow, SightedKind
from flybridge.system.counted import percent, plural

DEVICE_ID: Final = "amplitude_device_id"
USER_ID: Final = "amplitude_user_id"
ENOUGH: Final = 0.95
"""The share from which nothing more is recommended."""

MATCHED: Final = "matched"


class Way(Struct, frozen=True):
    """A way to find the user: a message with one of `named` names the user itself, one with `kinds` is matched."""

    name: str
    advice: str
    named: Set[str] = frozenset()
    kinds: Set[str] = frozenset()


WAYS: Final = (
    Way(
        "Amplitude's device id in the message",
        "pass Amplitude's device id to AppsFlyer as custom data, under mapping.device_id_key",
        named=frozenset({DEVICE_ID}),
    ),
    Way(
        "the AppsFlyer id",
        "set the AppsFlyer id in Amplitude as the user property appsflyer_id",
        kinds=frozenset({IdKind.APPSFLYER_ID.value}),
    ),
    Way(
        "one user id in both",
        "set the same user id in both SDKs",
        named=frozenset({USER_ID}),
        kinds=frozenset({IdKind.CUSTOMER_USER_ID.value}),
    ),
    Way(
        "the device id of Amplitude's SDK",
        "let Amplitude's SDK make its device id from an identifier that AppsFlyer reports: on iOS it does so unless "
        "the app sets one, on Android with useAdvertisingIdForDeviceId",
        kinds=frozenset(
            {IdKind.IDFV.value, IdKind.IDFA.value, IdKind.ADID.value, IdKind.APP_SET_ID.value, IdKind.OAID.value}
        ),
    ),
)
"""The best first."""


class Reached(Struct, frozen=True):
    """A way and the share of installs that it can reach at most, from 0 to 1. `works`: some are reached."""

    way: Way
    share: float

    @property
    def works(self) -> bool:
        """Whether any is reached."""
        return self.share > 0


class Reach(Struct, frozen=True):
    """What the ways reach of one app's installs, `share` by any of them. `matched` and `expired` count ended holds.

    Where no install has come in these days, in-app events stand for them: `messages` counts all, `installs` none.
    """

    app: str
    messages: int
    installs: int
    ways: Sequence[Reached]
    share: float
    matched: int = 0
    expired: int = 0

    @property
    def works(self) -> bool:
        """Whether there is a way, or nothing has come yet."""
        return not self.messages or any(reached.works for reached in self.ways)

    @property
    def sentence(self) -> str:
        """What works, what it reaches, and what to do next."""
        if not self.messages:
            return "No message from AppsFlyer in these days."
        works = [f"{reached.way.name} ({percent(reached.share)})" for reached in self.ways if reached.works]
        what = plural(self.installs, "install") if self.installs else plural(self.messages, "message")
        said = f"Of {what}, at most {percent(self.share)} can be matched: by {', '.join(works)}."
        if not works:
            said = f"Of {what}, none can be matched: Amplitude has shown no identifier that is in them."
        if ended := self.matched + self.expired:
            said += f" {self.matched:,} of {ended:,} that were held found their user in time."
        missing = next((reached.way.advice for reached in self.ways if not reached.works), None)
        worth = self.share < ENOUGH or self.matched < ENOUGH * ended
        return f"{said} Next, {missing}." if missing and worth else said


def reach(
    app: str,
    covered: Iterable[CoverageRow],
    sighted: Iterable[SightedKind],
    counts: Iterable[Count],
    *,
    since_day: str,
    since_ms: int,
) -> Reach:
    """Return what the ways reach of one app's installs, by the data from `since_day`, which begins at `since_ms`."""
    rows = [row for row in covered if row.app == app and row.day >= since_day]
    shown = {seen.kind for seen in sighted if seen.app == app and seen.last_ms >= since_ms}
    installs = sum(row.installs for row in rows)
    weights = [(row.kinds, row.installs if installs else row.n) for row in rows]
    found = [_reached(way.named | (way.kinds & shown), weights) for way in WAYS]
    anything = frozenset[str]().union(*(way.named | (way.kinds & shown) for way in WAYS))
    ended = [count for count in counts if count.app == app and count.day >= since_day]
    return Reach(
        app,
        sum(row.n for row in rows),
        installs,
        [Reached(way, share) for way, share in zip(WAYS, found, strict=True)],
        _reached(anything, weights),
        sum(count.n for count in ended if count.outcome == OutcomeKind.DELIVERED and count.reason == MATCHED),
        sum(count.n for count in ended if count.outcome == OutcomeKind.EXPIRED),
    )


def _reached(kinds: Set[str], weights: Sequence[tuple[Sequence[str], int]]) -> float:
    total = sum(n for _, n in weights)
    return sum(n for carried, n in weights if not kinds.isdisjoint(carried)) / total if total else 0.0
