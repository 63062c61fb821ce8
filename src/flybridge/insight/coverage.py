"""The share of events that carry an identifier to match by, and where that share falls.

A new version of an app that no longer passes an identifier shows in no total for days: its events are held and
expire. The share of events that carry a kind of key, compared with the time before, shows it at once.

When is a fall worth a warning? All of these must hold, so that neither small numbers nor ordinary weeks cause one:

- at least `MIN_EVENTS` events on both sides,
- the share is lower by at least `MIN_POINTS`, and by at least `MIN_PART` of what it was,
- and by `MIN_DEVIATIONS` standard deviations of what chance alone would do to it.

Events of one person carry the same identifiers, so that a hundred of them tell little more than ten people do. How much
less they tell is taken from how the share differs within a source before, and from how many events there are for each
install; see `design_effect`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import Any, Final

from msgspec import Struct, structs

from flybridge.insight.hints import OTHERS, largest
from flybridge.records import DAY_MS, day_of
from flybridge.store.figures import CoverageRow
from flybridge.store.protocol import Store
from flybridge.system.counted import percent

DAYS: Final = 14
"""Days in which a fall is looked for."""
MIN_EVENTS: Final = 200
MIN_POINTS: Final = 0.1
MIN_PART: Final = 0.25
MIN_DEVIATIONS: Final = 4.0
DAYS_BEFORE: Final = 7
MOST_PER_PERSON: Final = 10
"""People who use the app for long have more events for each install than events of their own in two weeks."""
MIN_CELLS: Final = 5

FIELDS: Final = ("app", "day", "platform", "app_version", "media_source")


class Cover(Struct, frozen=True):
    """How many events there were, and how many of them carried each kind of key. A field not asked for is empty."""

    events: int
    carried: dict[str, int]
    app: str = ""
    day: str = ""
    platform: str = ""
    app_version: str = ""
    media_source: str = ""

    def share(self, kind: str) -> float:
        """Return the share of events that carried this kind, from 0 to 1."""
        return self.carried.get(kind, 0) / self.events if self.events else 0.0


class Fall(Struct, frozen=True):
    """A kind of key that fewer events carry than before. `since` is a version of the app, or a day."""

    app: str
    platform: str
    kind: str
    since: str
    by: str
    share: float
    before: float
    events: int

    @property
    def sentence(self) -> str:
        """A sentence with what fell and what to look at."""
        what = "version" if self.by == "app_version" else "day"
        carried = "any key at all" if self.kind == "any" else self.kind
        return (
            f"{self.app}, {self.platform or 'any platform'}: since {what} {self.since} only {percent(self.share)} of "
            f"events carry {carried}, before it was {percent(self.before)}. See what that {what} changed in the app, "
            "its consent dialogue, or AppsFlyer's Push API fields."
        )


class _Halves(Struct, frozen=True):
    """The events of the newest version or day, and those of the ones before it."""

    by: str
    after: Cover
    before: Sequence[Cover]


def covers(rows: Iterable[CoverageRow], *by: str) -> list[Cover]:
    """Return the sums of the counters by these fields (`FIELDS`), the most events first."""
    if unknown := set(by) - set(FIELDS):
        raise ValueError(f"coverage has no {', '.join(sorted(unknown))}; it has {', '.join(FIELDS)}")
    events: Counter[tuple[str, ...]] = Counter()
    carried: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in rows:
        values = tuple(getattr(row, name) for name in by)
        events[values] += row.n
        for kind in row.kinds:
            carried[values][kind] += row.n
        if row.kinds:
            carried[values]["any"] += row.n
    return [
        Cover(n, dict(sorted(carried[values].items())), **dict(zip(by, values, strict=True)))
        for values, n in sorted(events.items(), key=lambda one: (-one[1], one[0]))
    ]


def with_largest_platforms(rows: Sequence[CoverageRow], n: int) -> list[CoverageRow]:
    """Return the rows with all platforms of an app but its n largest put together as `OTHERS`.

    A platform is any text that a message has, and each would be a series of its own.
    """
    kept = largest(((row.app, row.platform, row.n) for row in rows), n)
    return [row if (row.app, row.platform) in kept else structs.replace(row, platform=OTHERS) for row in rows]


async def read_falls(store: Store, now_ms: int, app: str | None = None) -> list[Fall]:
    """Return the `falls` of the last days, of all apps or of one."""
    return falls(await store.coverage(since_day=day_of(now_ms - DAYS * DAY_MS), app=app))


def falls(rows: Iterable[CoverageRow]) -> list[Fall]:
    """Return the kinds of key that the newest version of an app, or its last day, carries less often than before."""
    apart: defaultdict[tuple[str, str], list[CoverageRow]] = defaultdict(list)
    for row in rows:
        apart[row.app, row.platform].append(row)
    found: list[Fall] = []
    for (app, platform), own in sorted(apart.items()):
        for halves in (_halves(own, "app_version", version_key), _halves(own, "day", str, DAYS_BEFORE)):
            if halves is not None:
                known = {getattr(cover, halves.by) for cover in halves.before}
                found += _compared(app, platform, halves, [row for row in own if getattr(row, halves.by) in known])
    return found


def _halves(
    rows: Sequence[CoverageRow], by: str, order: Callable[[str], Any], before: int | None = None
) -> _Halves | None:
    """Split into the newest version or day with enough events, and those before it, at most so many."""
    known = [cover for cover in covers(rows, by) if getattr(cover, by)]
    known.sort(key=lambda cover: order(getattr(cover, by)))
    while known and known[-1].events < MIN_EVENTS:
        known.pop()
    first = 0 if before is None else max(0, len(known) - 1 - before)
    return _Halves(by, known[-1], known[first:-1]) if known else None


def _compared(app: str, platform: str, halves: _Halves, usual_rows: Sequence[CoverageRow]) -> Iterable[Fall]:
    by, after, before = halves.by, halves.after, halves.before
    n_before = sum(cover.events for cover in before)
    if n_before < MIN_EVENTS:
        return
    for kind in sorted({kind for cover in before for kind in cover.carried}):
        share, usual = after.share(kind), sum(cover.carried.get(kind, 0) for cover in before) / n_before
        if fell(share, after.events, usual, n_before, design_effect(usual_rows, kind, by)):
            yield Fall(app, platform, kind, getattr(after, by), by, share, usual, after.events)


def design_effect(rows: Sequence[CoverageRow], kind: str, by: str) -> float:
    """Return by how much the variance of a share of events is larger than if each event were of another person.

    That is how much the share of a kind differs from cell to cell of a source (its days, or its versions), measured by
    what chance would do to it; or, where that is more, the number of events for each install.
    """
    cells: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    sources: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        carried = row.n if kind in row.kinds or (kind == "any" and row.kinds) else 0
        for sums in (cells[row.media_source, getattr(row, by)], sources[row.media_source]):
            sums[0] += row.n
            sums[1] += carried
    squares, freedom = 0.0, 0
    for source, (n, carried) in sources.items():
        if not 0 < carried < n:
            continue
        share, own = carried / n, [cell for (of, _), cell in cells.items() if of == source]
        squares += sum((found - size * share) ** 2 / (size * share * (1 - share)) for size, found in own)
        freedom += len(own) - 1
    spread = squares / freedom if freedom >= MIN_CELLS else 1.0
    installs = sum(row.installs for row in rows)
    each = min(sum(row.n for row in rows) / installs, MOST_PER_PERSON) if installs else 1.0
    return max(1.0, spread, each)


def fell(share: float, n: int, before: float, n_before: int, design: float = 1.0) -> bool:
    """Whether a share is notably lower than before. The thresholds are described in the module's docstring.

    `design` is by how much its variance is larger than if all `n` were independent of each other.
    """
    lost = before - share
    if n < MIN_EVENTS or n_before < MIN_EVENTS or lost < MIN_POINTS or lost < MIN_PART * before:
        return False
    pooled = (share * n + before * n_before) / (n + n_before)
    deviation = sqrt(design * pooled * (1 - pooled) * (1 / n + 1 / n_before))
    return lost >= MIN_DEVIATIONS * deviation


def version_key(version: str) -> tuple[tuple[int, ...], str]:
    """Return the order of versions: by their numbers, `4.10` after `4.9`, then by their text."""
    return tuple(int(digits) for digits in re.findall(r"\d{1,9}", version)), version
