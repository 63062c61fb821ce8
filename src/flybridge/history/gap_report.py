"""What a search for gaps has found, and the likely causes.

The last search of each app is kept in the store: the console shows it, and differences are explained by it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from flybridge.records import HOUR_MS, day_of
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable
from flybridge.system.counted import plural

FOUND: Final = "gaps-found "

OUTAGE: Final = "outage"
BEFORE: Final = "before_start"
SOURCE: Final = "restricted_source"
LATE: Final = "late"
OTHER: Final = "not_pushed"
UNFINISHED: Final = "not_final"
NO_FOLDER: Final = "no_folder"
ALONE: Final = "not_reported"
CAUSES: Final = {
    OUTAGE: "flybridge did not run, its store could not be reached, or its inbox refused messages",
    BEFORE: "it happened before flybridge ran for the first time",
    SOURCE: "the source forbids sharing, and reports have it where pushes do not",
    LATE: "AppsFlyer had it hours after it happened: the device was offline, for example",
    OTHER: "flybridge ran: the event is not selected in the Push API, or AppsFlyer had it late, which a report of the "
    "Pull API does not show",
    UNFINISHED: "AppsFlyer's reports of the last two days, and of what came in the last hours, are not final",
    NO_FOLDER: "it may be in an hour of which the Data Locker has no finished folder",
    ALONE: "AppsFlyer has taken it out since, as fraud for example, something else has sent the message, or a file was "
    "imported with a wrong time zone",
}


class Gap(Struct, frozen=True, order=True):
    """Missing events of one report, hour (UTC, of the events) and media source with the same likely cause.

    The source is named as performance names it, and is `source_counts.OTHERS` beyond the largest.
    """

    report: str
    hour: str
    cause: str
    missing: int
    media_source: str = ""


class Surplus(Struct, frozen=True, order=True):
    """Events that only flybridge has, of one kind of report, day (in the app's zone) and media source, with their
    likely cause. The ledger keeps no hours. The source is named as that of a gap.
    """

    report: str
    day: str
    cause: str
    events: int
    media_source: str = ""


class GapReport(Struct, frozen=True):
    """What a search has found about an app. `known` rows were filed before; `filled` are those taken now.

    `surplus` is what only flybridge has. `reports` were compared wholly; `problems` are why a part was not compared
    and will be tried again, `notes` what was left out for good.
    """

    app: str
    from_ms: int
    until_ms: int
    at_ms: int
    rows: int
    known: int
    missing: int
    filled: int
    gaps: tuple[Gap, ...] = ()
    problems: tuple[str, ...] = ()
    surplus: tuple[Surplus, ...] = ()
    notes: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        more = sum(one.events for one in self.surplus)
        span = f"{_minute(self.from_ms)} to {_minute(self.until_ms)} UTC"
        return (
            f"{self.app}, {span}: AppsFlyer has {plural(self.rows, 'row')}, of which "
            f"{self.missing:,} were missing here and {self.filled:,} were filled"
            + (f"; {plural(more, 'event is', 'events are')} only here" if more else "")
            + f" (compared {_minute(self.at_ms)})."
            + "".join(f" Not all could be compared: {reason}" for reason in (*self.problems, *self.notes)[:1])
        )


def _minute(ms: int) -> str:
    return f"{day_of(ms)} {ms // HOUR_MS % 24:02}:{ms // 60_000 % 60:02}"


async def last_found(store: Store, app: str | None = None) -> list[GapReport]:
    """Return what was found last, by app, or of one app."""
    found = readable(await store.states(FOUND), msgspec.json.Decoder(GapReport).decode).values()
    return [one for one in found if app in (None, one.app)]
