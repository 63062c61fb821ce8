"""What the generator knows about each message it made: what must become of it, and what Amplitude must hold.

The truth is written down from what was made and from what the vendors document, never by asking flybridge's mapping:
so a comparison with it can find a fault in the mapping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct


class Fate(StrEnum):
    """What must become of a message. `DELIVERED` may be after a wait (`Truth.waits`)."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    HELD = "held"
    FILTERED = "filtered"
    REFUSED = "refused"
    APPLIED = "applied"
    DEAD = "dead"


class Expected(Struct, frozen=True, gc=False):
    """A fate and, where there is one, its cause in the generator's own words."""

    fate: Fate
    why: str = ""


class Truth(Struct, frozen=True, gc=False):
    """What is true of one message. Fields from `event_type` on are what Amplitude must hold if it is delivered.

    `id` numbers the messages of a stream from 0. `v2` and `v1` are the fates on a route `http_v2` and `attribution`.
    `waits`: on `http_v2` it reaches Amplitude only because the person is sighted, before or after. `time_ms` and
    `event_type` together are unique within an app. On V1 Amplitude finds the person itself: `user_id` and `device_id`
    are those of `http_v2`. `campaign` is None where it may not be sent.
    """

    id: int
    app: str
    kind: str
    v2: Expected
    v1: Expected
    waits: bool
    duplicate_of: int | None
    appsflyer_id: str | None
    event_type: str
    time_ms: int
    user_id: str | None = None
    device_id: str | None = None
    revenue: float | None = None
    currency: str | None = None
    media_source: str | None = None
    campaign: str | None = None
    order_id: str | None = None
    cost_usd: float | None = None

    def expected(self, route: str) -> Expected:
        """Return the fate on `http_v2` or `attribution`."""
        return self.v1 if route == "attribution" else self.v2


class Difference(Struct, frozen=True):
    """One event whose value in Amplitude is not the true one."""

    id: int
    field: str
    true: Any
    found: Any


class Comparison(Struct, frozen=True):
    """The truth against what Amplitude holds, for one app. All lists are empty where the bridge did its work.

    `missing`: ids of messages that had to be delivered and are not there. `doubled`: ids saved more than once,
    and how often more.
    `unexpected`: rows that no message explains. `rejected`: ids that the sandbox refused as scripted; they are not
    missing.
    """

    right: int
    missing: list[int]
    doubled: Mapping[int, int]
    unexpected: list[Mapping[str, Any]]
    different: list[Difference]
    rejected: list[int]

    @property
    def agrees(self) -> bool:
        """Whether nothing is missing, doubled, unexpected or different."""
        return not (self.missing or self.doubled or self.unexpected or self.different)


IN_APP: Final = "in-app"
IDENTIFY: Final = "$identify"
COMPARED = ("user_id", "device_id", "revenue", "currency", "media_source", "campaign")


def compare(
    truths: Iterable[Truth],
    saved: Iterable[Mapping[str, Any]],
    rejected: Iterable[Mapping[str, Any]] = (),
    *,
    route: str = "http_v2",
) -> Comparison:
    """Compare the truths of one app with rows of `/sandbox/record` of its project.

    On `attribution` identity and revenue are not compared: the Attribution API takes neither.
    """
    wanted = {
        (truth.event_type, truth.time_ms): truth for truth in truths if truth.expected(route).fate is Fate.DELIVERED
    }
    refused = {(row["event_type"], row["time_ms"]) for row in rejected}
    seen: Counter[int] = Counter()
    unexpected: list[Mapping[str, Any]] = []
    different: list[Difference] = []
    for row in saved:
        truth = wanted.get((row["event_type"], row["time_ms"]))
        if truth is None:
            unexpected.append(row)
            continue
        seen[truth.id] += 1
        different.extend(_differences(truth, row, route))
    # A conversion is sent together with an Identify call for its user properties: if one is refused, neither is there.
    identified = {time_ms for event_type, time_ms in refused if event_type == IDENTIFY}
    gone = {
        truth.id
        for key, truth in wanted.items()
        if key in refused or (truth.kind != IN_APP and truth.time_ms in identified)
    }
    missing = [truth.id for truth in wanted.values() if truth.id not in seen and truth.id not in gone]
    wrong = {difference.id for difference in different}
    return Comparison(
        right=sum(1 for id_, times in seen.items() if times == 1 and id_ not in wrong),
        missing=missing,
        doubled={id_: times - 1 for id_, times in seen.items() if times > 1},
        unexpected=unexpected,
        different=different,
        rejected=sorted(gone - seen.keys()),
    )


def _differences(truth: Truth, row: Mapping[str, Any], route: str) -> Iterable[Difference]:
    for name in COMPARED[4:] if route == "attribution" else COMPARED:
        true, found = getattr(truth, name), row.get(name)
        if not _same(true, found):
            yield Difference(truth.id, name, true, found)
    # The AppsFlyer id is sent only by a mapping that is configured to.
    if row.get("appsflyer_id") is not None and row["appsflyer_id"] != truth.appsflyer_id:
        yield Difference(truth.id, "appsflyer_id", truth.appsflyer_id, row["appsflyer_id"])


def _same(true: Any, found: Any) -> bool:
    if isinstance(true, float) and isinstance(found, int | float):
        return abs(true - found) < 0.005
    return bool(true == found)
