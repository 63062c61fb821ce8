"""What restrictions changed: rows of the rollups, by source as AppsFlyer reported it, policy and day of the event.

They are beside the rows of the events themselves, which tell a restricted source as the policy does. Who adds up
rollups by kind of message meets them under a kind of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from flybridge.masking import dimension
from flybridge.records import RESTRICTED_KIND, Measure
from flybridge.store.figures import RollupRow

MAX_SOURCE = 128


class Change(Struct, frozen=True):
    """How many events of one source and day a policy changed, or kept back (`drop`)."""

    app: str
    day: str
    media_source: str
    policy: str
    events: int


def change(media_source: str | None, policy: str, day: str) -> Measure:
    """Return what one changed event adds to the rollups."""
    source = dimension(media_source or "organic")[:MAX_SOURCE]
    return Measure(RESTRICTED_KIND, policy, source, "", "", "", day)


def changes(rollups: Iterable[RollupRow]) -> list[Change]:
    """Find the changes among rollups, by app, day and source."""
    found = [
        Change(row.app, row.event_day, row.media_source, row.event, row.n)
        for row in rollups
        if row.kind == RESTRICTED_KIND
    ]
    return sorted(found, key=lambda row: (row.app, row.day, row.media_source, row.policy))
