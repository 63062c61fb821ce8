"""Events changed by restrictions: rows of the rollups, by the source AppsFlyer reported, policy and day of the event.

They stand beside the rows of the events themselves, which name a restricted source as the policy does. In sums of
rollups by kind of message they have a kind of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from flybridge.masking import dimension
from flybridge.records import RESTRICTED_KIND, Measure
from flybridge.store.figures import RollupRow

MAX_SOURCE = 128


class Change(Struct, frozen=True):
    """The number of events of one source and day that a policy changed or dropped."""

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
    """Return the changes among rollups, by app, day and source."""
    found = [
        Change(row.app, row.event_day, row.media_source, row.event, row.n)
        for row in rollups
        if row.kind == RESTRICTED_KIND
    ]
    return sorted(found, key=lambda row: (row.app, row.day, row.media_source, row.policy))
